"""EPANET in this process: a network held in it, for one steady state after another."""

from __future__ import annotations

import ctypes
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import ConvergenceError, NetworkError
from leakdetect.network import Floats, Ints, Link, Network, Node
from leakdetect.toolkit import FOOT, KPA, PSI, US_UNITS, Project, model_text, write_copy
from leakdetect.units import factor

_ERROR = re.compile(r"(\s*Error \d+:)+")
_KW = 0.7457  # in a horsepower, as EPANET has it
_BASEDEMAND, _EMITTER, _TANKLEVEL, _HEAD, _MINLEVEL, _MAXLEVEL = 1, 3, 8, 10, 20, 21  # EN_NodeProperty
_ROUGHNESS, _INITSTATUS, _INITSETTING, _FLOW, _STATUS, _SETTING, _POWER = 2, 4, 5, 8, 11, 12, 18  # EN_LinkProperty
_TRIALS, _ACCURACY, _DEMANDMULT, _SP_GRAVITY, _SP_VISCOS = 0, 1, 4, 12, 13  # EN_Option
_MOST_TRIALS = 500
LEAST_LEVEL, _MOST_LEVEL = 0.01, 100.0  # [m] above a tank's bottom: at 0 EPANET shuts the outlet
_DURATION = 0  # EN_TimeParameter
_CONTROLS, _RULES = 5, 6  # EN_CountType
_UNBALANCED = 1  # a warning of EN_runH
_FROM_LAST, _FROM_SCRATCH = 0, 10  # EN_InitHydOption


@dataclass(frozen=True)
class Curve:
    """Head gained by a pump, or lost in a general purpose valve, against flow.

    Attributes
    ----------
    kind : {'function', 'segments', 'power'}
        A power function through one or three points, straight lines between points, or a pump of constant power.
    flow, head : ndarray
        The points [m3/s], [m], as drawn.
    """

    kind: str
    flow: Floats
    head: Floats


class Epanet:
    """A network held in EPANET in this process, for one steady state after another with no file per step.

    The model is the file's own, freed of what belongs to time (patterns, controls, rules), of what makes outflow depend
    on pressure (emitters, pressure-driven demand) and of the limits of tanks. Everything is SI.

    Parameters
    ----------
    network : Network
        As read by `load_network` from a file.
    accuracy : float
        Relative flow change at which EPANET stops iterating.

    Raises
    ------
    NetworkError
        If EPANET refuses the file.
    """

    def __init__(self, network: Network, accuracy: float = 1e-4) -> None:
        if network.path is None:
            raise NetworkError(f"network {network.name} was not read from a file: EPANET needs one")
        self.network = network
        text = model_text(network.path)
        self._folder = tempfile.TemporaryDirectory(prefix="leakdetect-")
        model = write_copy(text, self._folder.name)
        try:
            self._open = Project(model, model.with_suffix(".rpt"))
        except NetworkError as error:
            reasons = _reasons(model.with_suffix(".rpt")) or str(error)
            self._folder.cleanup()
            raise NetworkError(f"{network.path}: EPANET refuses it: {reasons}: correct the model") from None
        self._lib, self._project = self._open.lib, self._open.handle
        self._flow = factor("flow", network.flow_unit)
        us = network.flow_unit in US_UNITS
        self._head = FOOT if us else 1.0
        kpa = re.search(r"^\s*PRESSURE\s+KPA\b", text, flags=re.IGNORECASE | re.MULTILINE)
        self._pressure = (PSI if us else KPA if kpa else 1.0) / self._option(_SP_GRAVITY)
        lookup = ctypes.c_int()
        self._nodes = [self._index("EN_getnodeindex", name, lookup) for name in network.node_names]
        self._links = [self._index("EN_getlinkindex", name, lookup) for name in network.link_names]
        self._free_of_time(accuracy)
        self._free_of_limits()
        self._lib.EN_openH(self._project)
        self._start = _FROM_SCRATCH

    def _index(self, function: str, name: str, found: ctypes.c_int) -> int:
        getattr(self._lib, function)(self._project, name.encode(), ctypes.byref(found))
        return found.value

    def _option(self, code: int) -> float:
        value = ctypes.c_double()
        self._lib.EN_getoption(self._project, code, ctypes.byref(value))
        return value.value

    def _free_of_time(self, accuracy: float) -> None:
        lib, project, real = self._lib, self._project, ctypes.c_double
        lib.EN_settimeparam(project, _DURATION, ctypes.c_long(0))
        lib.EN_setoption(project, _DEMANDMULT, real(1.0))
        lib.EN_setoption(project, _ACCURACY, real(accuracy))
        lib.EN_setoption(project, _TRIALS, real(_MOST_TRIALS))
        lib.EN_setdemandmodel(project, 0, real(0.0), real(0.1), real(0.5))  # what is withdrawn is given
        count = ctypes.c_int()
        for kind, delete in ((_CONTROLS, lib.EN_deletecontrol), (_RULES, lib.EN_deleterule)):
            lib.EN_getcount(project, kind, ctypes.byref(count))
            for i in range(count.value, 0, -1):
                delete(project, i)
        for i, node in enumerate(self._nodes):
            if self.network.node_kind[i] != Node.JUNCTION:
                continue
            lib.EN_getnumdemands(project, node, ctypes.byref(count))
            for k in range(count.value, 0, -1):
                lib.EN_setdemandpattern(project, node, k, 0)
                lib.EN_setbasedemand(project, node, k, real(0.0))
            lib.EN_setnodevalue(project, node, _EMITTER, real(0.0))

    def _free_of_limits(self) -> None:
        """Widen the tanks' levels, so that one read beyond the drawing is taken and shuts no inlet."""
        for i, node in enumerate(self._nodes):
            if self.network.node_kind[i] == Node.TANK:
                for code, metres in ((_MAXLEVEL, _MOST_LEVEL), (_MINLEVEL, 0.0)):
                    self._lib.EN_setnodevalue(self._project, node, code, ctypes.c_double(metres / self._head))

    def close(self) -> None:
        """Free EPANET's memory and its files; may be called twice."""
        self._open.close()
        self._folder.cleanup()

    def __enter__(self) -> Epanet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_demands(self, nodes: Ints, values: Floats) -> None:
        """Set what is withdrawn at junctions [m3/s]."""
        put, project, real = self._lib.EN_setnodevalue, self._project, ctypes.c_double
        for i, value in zip(nodes.tolist(), (values / self._flow).tolist(), strict=True):
            put(project, self._nodes[i], _BASEDEMAND, real(value))

    def highest_level(self, tank: int) -> float:
        """Return how high a tank's level may be set [m]."""
        return float(self._get(self._lib.EN_getnodevalue, self._nodes, np.array([tank]), _MAXLEVEL)[0]) * self._head

    def set_level(self, tank: int, level: float) -> None:
        """Set a tank's level above its bottom [m]; as far as the drawing's own table of volumes goes, if it has one."""
        level = min(max(level, LEAST_LEVEL), self.highest_level(tank))
        self._lib.EN_setnodevalue(self._project, self._nodes[tank], _TANKLEVEL, ctypes.c_double(level / self._head))

    def set_open(self, link: int, is_open: bool) -> None:
        """Open or close a pipe or pump."""
        self._lib.EN_setlinkvalue(self._project, self._links[link], _INITSTATUS, ctypes.c_double(float(is_open)))

    def set_roughness(self, links: Ints, values: Floats) -> None:
        """Set pipes' roughness, in the model's own measure (H-W: -; D-W: m)."""
        scale = 1.0 if self.network.headloss != "D-W" else 1e-3 * (FOOT if self._head != 1.0 else 1.0)
        for link, value in zip(links.tolist(), (values / scale).tolist(), strict=True):
            self._lib.EN_setlinkvalue(self._project, self._links[link], _ROUGHNESS, ctypes.c_double(value))

    def set_pressure_setting(self, valve: int, pressure: float) -> None:
        """Set what a PRV or PSV holds [m of pressure]."""
        value = ctypes.c_double(pressure / self._pressure)
        self._lib.EN_setlinkvalue(self._project, self._links[valve], _INITSETTING, value)

    @property
    def viscosity(self) -> float:
        """Of the water, relative to EPANET's own."""
        return self._option(_SP_VISCOS)

    def curve(self, link: int) -> Curve | None:
        """Return how head goes with flow in a pump or a general purpose valve; None for other links."""
        kind = self.network.link_kind[link]
        if kind not in {Link.PUMP, Link.GPV}:
            return None
        lib, project, index = self._lib, self._project, ctypes.c_int()
        if kind == Link.PUMP:
            form = ctypes.c_int()
            lib.EN_getpumptype(project, self._links[link], ctypes.byref(form))
            if lib.EN_getheadcurveindex(project, self._links[link], ctypes.byref(index)) or not index.value:
                return Curve("power", np.zeros(0), np.zeros(0))
            name = {0: "power", 1: "function"}.get(form.value, "segments")
        else:
            setting = self._get(lib.EN_getlinkvalue, self._links, np.array([link]), _INITSETTING)
            name, index.value = "segments", int(setting[0])
        count, flow, head = ctypes.c_int(), ctypes.c_double(), ctypes.c_double()
        lib.EN_getcurvelen(project, index, ctypes.byref(count))
        points = []
        for i in range(1, count.value + 1):
            lib.EN_getcurvevalue(project, index, i, ctypes.byref(flow), ctypes.byref(head))
            points.append((flow.value * self._flow, head.value * self._head))
        return Curve(name, *np.array(points).T)

    def power(self, pump: int) -> float:
        """Return what a pump of constant power adds to the water [hp]."""
        power = float(self._get(self._lib.EN_getlinkvalue, self._links, np.array([pump]), _POWER)[0])
        return power if self._head != 1.0 else power / _KW

    def speeds(self, pumps: Ints) -> Floats:
        """Return pumps' relative speeds at the last steady state."""
        return self._get(self._lib.EN_getlinkvalue, self._links, pumps, _SETTING)

    def forget(self) -> None:
        """Let the next solution start from scratch, and so not rest on those before it, even in the last digit."""
        self._start = _FROM_SCRATCH

    def solve(self) -> None:
        """Find the steady state, from the one before.

        Raises
        ------
        ConvergenceError
            If EPANET finds none.
        """
        time = ctypes.c_long()
        self._lib.EN_initH(self._project, self._start)
        self._start = _FROM_LAST
        code = self._lib.EN_runH(self._project, ctypes.byref(time))
        if code == _UNBALANCED or code >= 100:
            self.forget()
            why = "did not balance: check demands, statuses and settings" if code < 100 else f"error {code}"
            raise ConvergenceError(f"{self.network.path}: EPANET found no steady state: {why}")

    def heads(self, nodes: Ints) -> Floats:
        """Return heads [m] at the last steady state."""
        return self._get(self._lib.EN_getnodevalue, self._nodes, nodes, _HEAD) * self._head

    def flows(self, links: Ints) -> Floats:
        """Return flows [m3/s] at the last steady state, positive from start to end."""
        return self._get(self._lib.EN_getlinkvalue, self._links, links, _FLOW) * self._flow

    def is_open(self, links: Ints) -> NDArray[np.bool_]:
        """Say which links were not shut at the last steady state (check valves and controls of pressure included)."""
        opened: NDArray[np.bool_] = self._get(self._lib.EN_getlinkvalue, self._links, links, _STATUS) > 0
        return opened

    def _get(self, get: Any, index: list[int], which: Ints, code: int) -> Floats:
        value, project = ctypes.c_double(), self._project
        place = ctypes.byref(value)
        out = np.empty(len(which))
        for k, i in enumerate(which.tolist()):
            get(project, index[i], code, place)
            out[k] = value.value
        return out


def _reasons(report: Path) -> str:
    """Return the errors that EPANET's report names, on one line; '' where it names none."""
    lines = report.read_text(encoding="utf-8", errors="replace").splitlines() if report.is_file() else []
    found = []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if _ERROR.match(line) and "Error 200" not in line:
            reason = _ERROR.sub("", line)
            found.append(" ".join(f"{reason} {after if reason.rstrip().endswith(':') else ''}".split()))
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
