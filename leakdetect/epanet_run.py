"""EPANET over time, in this process: demands laid in as arrays, emitters and valves changed between steps.

With `epanet` one of the two modules that know WNTR. EPANET's own toolkit does the work (Rossman et al. 2020,
EPANET 2.2 User Manual, EPA/600/R-20/133); everything here is m, m3/h and s, as EPANET's CMH files are.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from leakdetect.epanet import read_wntr
from leakdetect.errors import ConvergenceError, NetworkError
from leakdetect.network import Floats
from leakdetect.toolkit import Project

if TYPE_CHECKING:
    import wntr

_EMITTER, _DEMAND, _PRESSURE = 3, 9, 11  # EN_NodeProperty
_FLOW, _STATUS, _SETTING = 8, 11, 12  # EN_LinkProperty
_CONTROLS = 5  # EN_CountType
_LOW_LEVEL, _HIGH_LEVEL = 0, 1  # EN_ControlType
_WARNINGS = {
    1: "did not converge",
    2: "unstable",
    3: "nodes cut off",
    4: "a pump cannot deliver",
    5: "a valve cannot deliver",
    6: "negative pressures",
}


def write_variant(
    path: Path,
    out: Path,
    *,
    step: int,
    roughness: Mapping[str, float] | None = None,
    split: Mapping[str, str] | None = None,
    closed: Sequence[str] = (),
    emitters: bool = False,
    accuracy: float = 1e-3,
) -> None:
    """Write a changed copy of a model file, in CMH, for a run in steps of `step`.

    Parameters
    ----------
    path, out : Path
        The model file and the copy.
    step : int
        Hydraulic and pattern step [s]; patterns in the file are resampled to it.
    roughness : mapping, optional
        New roughness of pipes, in the file's head-loss formula.
    split : mapping, optional
        Pipe -> name of a new node at its middle; the pipe keeps its name on its upstream half.
    closed : sequence of str
        Pipes to shut.
    emitters : bool
        Emitters will be set, elsewhere than at split pipes.
    accuracy : float
        EPANET's convergence criterion: change of flow over total flow.

    Raises
    ------
    MissingFileError, NetworkError
        If the file cannot be read, or has emitters of another exponent than a hole's 0.5.
    """
    import wntr

    model = read_wntr(path)
    if (split or emitters) and model.options.hydraulic.emitter_exponent != 0.5:
        if any(node.emitter_coefficient for _, node in model.junctions()):
            raise NetworkError(f"{path}: its emitters have an exponent other than 0.5: leaks cannot be added to them")
        model.options.hydraulic.emitter_exponent = 0.5
    for name, value in (roughness or {}).items():
        model.get_link(name).roughness = value
    for pipe, node in (split or {}).items():
        middle = model.get_link(pipe)
        # WNTR copies a check valve to both halves; one is enough and two may chatter.
        check = middle.check_valve
        wntr.morph.split_pipe(model, pipe, f"{pipe}__b", node, return_copy=False)
        model.get_link(f"{pipe}__b").check_valve = False
        model.get_link(pipe).check_valve = check
    for pipe in closed:
        model.get_link(pipe).initial_status = "Closed"
    _retime(model, step)
    model.options.hydraulic.accuracy = accuracy
    model.options.hydraulic.trials = max(100, model.options.hydraulic.trials)
    model.options.hydraulic.unbalanced = "CONTINUE"
    model.options.hydraulic.unbalanced_value = 10
    model.options.report.status = "NO"
    model.options.report.summary = "NO"
    model.options.quality.parameter = "NONE"
    wntr.network.write_inpfile(model, str(out), units="CMH")


def _retime(model: wntr.network.WaterNetworkModel, step: int) -> None:
    """Bring every pattern of the model to steps of `step` seconds: the mean over a longer step, held over a shorter."""
    time = model.options.time
    old = int(time.pattern_timestep)
    for name in model.pattern_name_list:
        pattern = model.get_pattern(name)
        values = np.atleast_1d(np.asarray(pattern.multipliers, dtype=float))
        if values.size > 1 and old != step:
            fine = int(np.gcd(old, step))
            period = int(np.lcm(values.size * old, step))
            instants = np.resize(np.repeat(values, old // fine), period // fine)
            pattern.multipliers = instants.reshape(-1, step // fine).mean(axis=1)
    time.hydraulic_timestep = time.pattern_timestep = time.report_timestep = step
    time.rule_timestep = min(time.rule_timestep or step, step)


class EpanetRun(AbstractContextManager["EpanetRun"]):
    """A run of a CMH model file written by `write_variant`, step by step.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    warnings : Counter
        EPANET's warnings so far, by what they say.
    """

    def __init__(self, path: Path) -> None:
        self.warnings: Counter[str] = Counter()
        self._path = path
        self._folder = tempfile.TemporaryDirectory(prefix="epanet-")
        try:
            self._open = Project(path, Path(self._folder.name) / "run.rpt")
        except NetworkError as error:
            self._folder.cleanup()
            raise NetworkError(f"{path}: {error}: correct the model") from None
        self._lib, self._project = self._open.lib, self._open.handle
        self._value = ctypes.c_double()
        self._by_ref = ctypes.byref(self._value)
        self._get_node, self._get_link = self._lib.EN_getnodevalue, self._lib.EN_getlinkvalue
        self._patterns: list[int] = []
        self._check(self._lib.EN_openH(self._project))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close EPANET and remove its report."""
        self._lib.EN_closeH(self._project)
        self._open.close()
        self._folder.cleanup()

    def _check(self, code: int) -> None:
        if 0 < code <= 6:
            self.warnings[_WARNINGS[code]] += 1
        elif code > 6:
            kind = ConvergenceError if code == 110 else NetworkError
            raise kind(f"{self._path}: EPANET error {code}: {self._open.said(code)}")

    def node(self, name: str) -> int:
        """Return EPANET's index of a node; `NetworkError` if there is none."""
        return self._index(self._lib.EN_getnodeindex, name)

    def link(self, name: str) -> int:
        """Return EPANET's index of a link; `NetworkError` if there is none."""
        return self._index(self._lib.EN_getlinkindex, name)

    def _index(self, find: Callable[..., int], name: str) -> int:
        index = ctypes.c_int()
        self._check(find(self._project, name.encode("latin-1"), ctypes.byref(index)))
        return index.value

    def own_demands(self, nodes: Sequence[str]) -> None:
        """Give each node one demand with a pattern of its own, for `set_demands`; every other demand becomes 0."""
        project, lib = self._project, self._lib
        total, count = ctypes.c_int(), ctypes.c_int()
        self._check(lib.EN_getcount(project, 0, ctypes.byref(total)))
        for index in range(1, total.value + 1):
            if lib.EN_getnumdemands(project, index, ctypes.byref(count)) == 0:
                for k in range(1, count.value + 1):
                    lib.EN_setbasedemand(project, index, k, ctypes.c_double(0.0))
        self._patterns.clear()
        for i, name in enumerate(nodes):
            node, pattern = self.node(name), ctypes.c_int()
            identity = f"own-{i}".encode()
            self._check(lib.EN_addpattern(project, identity))
            self._check(lib.EN_getpatternindex(project, identity, ctypes.byref(pattern)))
            self._check(lib.EN_setdemandpattern(project, node, 1, pattern))
            self._check(lib.EN_setbasedemand(project, node, 1, ctypes.c_double(1.0)))
            self._patterns.append(pattern.value)

    def set_demands(self, demand: Floats) -> None:
        """Lay in the demands of the next steps [m3/h], shape (chunk, nodes); every chunk of a run has the same length.

        EPANET takes pattern row ``step modulo length``, so a chunk must start at a multiple of its length.
        """
        columns = np.ascontiguousarray(demand.T, dtype=np.float64)
        pointer = ctypes.POINTER(ctypes.c_double)
        for pattern, column in zip(self._patterns, columns, strict=True):
            self._check(
                self._lib.EN_setpattern(
                    self._project, pattern, column.ctypes.data_as(pointer), ctypes.c_int(len(column))
                )
            )

    def begin(self, duration: int) -> None:
        """Go to time 0 of a run of `duration` seconds."""
        self._check(self._lib.EN_settimeparam(self._project, 0, ctypes.c_long(duration)))
        self._check(self._lib.EN_initH(self._project, 0))

    def solve(self) -> int:
        """Solve the present instant and return its time [s]."""
        time = ctypes.c_long()
        self._check(self._lib.EN_runH(self._project, ctypes.byref(time)))
        return time.value

    def advance(self) -> int:
        """Go to the next step, or to an earlier moment when a control acts; return the seconds, 0 at the end."""
        step = ctypes.c_long()
        self._check(self._lib.EN_nextH(self._project, ctypes.byref(step)))
        return step.value

    def set_emitter(self, node: int, coefficient: float) -> None:
        """Set an emitter q = C p^0.5, C in m3/h per m^0.5."""
        self._check(self._lib.EN_setnodevalue(self._project, node, _EMITTER, ctypes.c_double(coefficient)))

    def set_setting(self, link: int, value: float) -> None:
        """Set a valve's setting or a pump's speed."""
        self._check(self._lib.EN_setlinkvalue(self._project, link, _SETTING, ctypes.c_double(value)))

    def set_open(self, link: int, is_open: bool) -> None:
        """Open or shut a pipe."""
        self._check(self._lib.EN_setlinkvalue(self._project, link, _STATUS, ctypes.c_double(float(is_open))))

    def limit_demands(self, required: float) -> None:
        """Let customers get less below `required` [m] of pressure: a share (p / required)^0.5, nothing at 0."""
        low, high, power = (ctypes.c_double(value) for value in (0.0, required, 0.5))
        self._check(self._lib.EN_setdemandmodel(self._project, 1, low, high, power))

    def level_controls(self, link: int) -> list[tuple[int, float]]:
        """Return which simple controls rule a link by the level of a tank: their index and the level [m]."""
        count, kind, of, node = (ctypes.c_int() for _ in range(4))
        setting, level = ctypes.c_double(), ctypes.c_double()
        self._check(self._lib.EN_getcount(self._project, _CONTROLS, ctypes.byref(count)))
        found = []
        for index in range(1, count.value + 1):
            out = (ctypes.byref(value) for value in (kind, of, setting, node, level))
            self._check(self._lib.EN_getcontrol(self._project, index, *out))
            if of.value == link and kind.value in {_LOW_LEVEL, _HIGH_LEVEL}:
                found.append((index, level.value))
        return found

    def set_control_level(self, index: int, level: float) -> None:
        """Let a simple control act at another level of its tank [m]."""
        kind, of, node = (ctypes.c_int() for _ in range(3))
        setting, old = ctypes.c_double(), ctypes.c_double()
        out = (ctypes.byref(value) for value in (kind, of, setting, node, old))
        self._check(self._lib.EN_getcontrol(self._project, index, *out))
        self._check(self._lib.EN_setcontrol(self._project, index, kind, of, setting, node, ctypes.c_double(level)))

    def pressures(self, nodes: Sequence[int]) -> list[float]:
        """Return pressures [m]; of a tank its level above the bottom."""
        return self._read(self._get_node, nodes, _PRESSURE)

    def outflows(self, nodes: Sequence[int]) -> list[float]:
        """Return demand and emitter flow of junctions, inflow of reservoirs and tanks [m3/h]."""
        return self._read(self._get_node, nodes, _DEMAND)

    def flows(self, links: Sequence[int]) -> list[float]:
        """Return flows through links [m3/h], positive from start to end node."""
        return self._read(self._get_link, links, _FLOW)

    def _read(self, get: Callable[..., int], indices: Sequence[int], code: int) -> list[float]:
        project, value, by_ref = self._project, self._value, self._by_ref
        out = []
        for index in indices:
            get(project, index, code, by_ref)
            out.append(value.value)
        return out
