"""Reads EPANET model files by WNTR, which `epanet_run` alone knows beside this module."""

from __future__ import annotations

import logging
import math
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leakdetect.errors import MissingFileError, NetworkError
from leakdetect.network import Floats, Link, Network, Node
from leakdetect.toolkit import KPA, US_UNITS, model_text, write_copy
from leakdetect.units import canonical

if TYPE_CHECKING:
    import wntr

_WEEK = 7 * 86400
_COPIED = re.compile(r" (of|in input file) '?\S*model\.inp'?")  # where `write_copy` put it
_NODE_KINDS = {"Junction": Node.JUNCTION, "Reservoir": Node.RESERVOIR, "Tank": Node.TANK}


def load_network(path: Path | str) -> Network:
    """Read an EPANET 2.2 model file.

    Parameters
    ----------
    path : path
        An ``.inp`` file in any of EPANET's flow units and head-loss formulas.

    Raises
    ------
    MissingFileError
        If there is no such file.
    NetworkError
        If EPANET or WNTR cannot read it; the message carries their reason, on one line.
    """
    path = Path(path)
    return to_network(read_wntr(path), path)


def read_wntr(path: Path) -> wntr.network.WaterNetworkModel:
    """Return WNTR's own model of the file; errors as `load_network`."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: name an EPANET .inp file")
    import wntr  # here: it takes a second, which `--help` need not wait for

    logging.getLogger("wntr").setLevel(logging.ERROR)
    text = model_text(path)
    head = text[:100_000].upper()
    if "[JUNCTIONS]" not in head and "[RESERVOIRS]" not in head and "[TITLE]" not in head:
        raise NetworkError(f"{path}: not an EPANET input file: no [JUNCTIONS] section; export the model as .inp")
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="leakdetect-") as folder:
            warnings.simplefilter("ignore")
            model = wntr.network.WaterNetworkModel(str(write_copy(text, folder)))
    except Exception as error:  # WNTR raises bare Exceptions of many kinds; none may reach the user as a traceback
        reason = _COPIED.sub("", _one_line(error))
        raise NetworkError(f"{path}: cannot be read as an EPANET model: {reason}: correct the model") from error
    if not model.num_junctions or model.num_reservoirs + model.num_tanks == 0:
        raise NetworkError(f"{path}: needs at least one junction and one reservoir or tank")
    return model


def library_path(name: str) -> Path:
    """Return the file of a network that WNTR brings along; `MissingFileError` if it has none of that name."""
    from wntr.library import model_library

    if name not in model_library.model_name_list:
        raise MissingFileError(f"{name}: this version of WNTR brings no such network: install WNTR 1.5")
    return Path(model_library.get_filepath(name))


def _one_line(error: BaseException) -> str:
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    return " ".join(" / ".join(dict.fromkeys(str(e) or type(e).__name__ for e in chain)).split())


def to_network(model: wntr.network.WaterNetworkModel, path: Path | None = None) -> Network:
    """Return the arrays of a WNTR model (WNTR keeps SI, as we do)."""
    nodes = [model.get_node(n) for n in _epanet_nodes(model)]
    links = [model.get_link(n) for n in _epanet_links(model)]
    index = {node.name: i for i, node in enumerate(nodes)}
    categories, base, patterns, step = _demands(model, nodes)
    kinds = np.array([_NODE_KINDS[node.node_type] for node in nodes], dtype=np.int64)
    return Network(
        name=path.stem if path else (model.name or "network"),
        node_names=tuple(node.name for node in nodes),
        node_kind=kinds,
        elevation=np.array([_elevation(node) for node in nodes]),
        xy=np.array([node.coordinates or (math.nan, math.nan) for node in nodes], dtype=float).reshape(-1, 2),
        base_demand=base,
        categories=categories,
        patterns=patterns,
        pattern_step=step,
        link_names=tuple(link.name for link in links),
        link_kind=np.array([_link_kind(link) for link in links], dtype=np.int64),
        start=np.array([index[link.start_node_name] for link in links], dtype=np.int64),
        end=np.array([index[link.end_node_name] for link in links], dtype=np.int64),
        length=_numbers(links, "length", 0.0),
        diameter=_numbers(links, "diameter", math.nan),
        roughness=_numbers(links, "roughness", math.nan),
        minor_loss=_numbers(links, "minor_loss", 0.0),
        open=np.array([link.initial_status.name != "Closed" for link in links], dtype=bool),
        check_valve=np.array([bool(getattr(link, "check_valve", False)) for link in links], dtype=bool),
        setting=np.array([_setting(link, _pressure_unit(model)) for link in links], dtype=float),
        tank_area=np.array(
            [math.pi * node.diameter**2 / 4 if node.node_type == "Tank" else math.nan for node in nodes], dtype=float
        ),
        headloss=str(model.options.hydraulic.headloss),
        flow_unit=canonical("flow", str(model.options.hydraulic.inpfile_units or "CMH")),
        path=path,
    )


def _epanet_nodes(model: wntr.network.WaterNetworkModel) -> list[str]:
    return [*model.junction_name_list, *model.reservoir_name_list, *model.tank_name_list]


def _epanet_links(model: wntr.network.WaterNetworkModel) -> list[str]:
    return [*model.pipe_name_list, *model.pump_name_list, *model.valve_name_list]


def _numbers(elements: list[Any], name: str, missing: float) -> Floats:
    values = (getattr(element, name, None) for element in elements)
    return np.array([missing if value is None else float(value) for value in values])


def _elevation(node: Any) -> float:
    return float(node.base_head if node.node_type == "Reservoir" else node.elevation)


def _link_kind(link: Any) -> int:
    return int(Link[link.link_type.upper() if link.link_type != "Valve" else link.valve_type.upper()])


def _pressure_unit(model: wntr.network.WaterNetworkModel) -> float:
    """Return the head [m] of what WNTR takes for 1 m of pressure: it knows neither kPa nor liquids but water."""
    hydraulic = model.options.hydraulic
    us = canonical("flow", str(hydraulic.inpfile_units or "CMH")) in US_UNITS
    kpa = str(hydraulic.inpfile_pressure_units or "").upper() == "KPA" and not us
    return (KPA if kpa else 1.0) / float(hydraulic.specific_gravity or 1.0)


def _setting(link: Any, pressure_unit: float) -> float:
    if link.link_type == "Pipe":
        return math.nan
    if link.link_type == "Pump":
        return float(link.base_speed)
    fixed = link.initial_status.name in {"Open", "Closed"}  # by [STATUS]: the valve does not follow its setting
    if fixed or link.valve_type == "GPV":
        return math.nan
    unit = pressure_unit if link.valve_type in {"PRV", "PSV", "PBV"} else 1.0
    return float(link.initial_setting or 0.0) * unit


def _demands(model: wntr.network.WaterNetworkModel, nodes: list[Any]) -> tuple[tuple[str, ...], Floats, Floats, float]:
    """Return categories (one a pattern), base demand (N, C), multipliers (P, C) and the pattern step [s]."""
    default = model.options.hydraulic.pattern
    scale = float(model.options.hydraulic.demand_multiplier or 1.0)
    columns: dict[str, int] = {}
    entries: list[tuple[int, int, float]] = []
    for i, node in enumerate(nodes):
        if node.node_type != "Junction":
            continue
        for demand in node.demand_timeseries_list:
            name = str(demand.pattern_name or default or "")
            column = columns.setdefault(name, len(columns))
            entries.append((i, column, float(demand.base_value) * scale))
    if not columns:
        columns[""] = 0
    base = np.zeros((len(nodes), len(columns)))
    for i, column, value in entries:
        base[i, column] += value
    step = float(model.options.time.pattern_timestep)
    known = {name: np.asarray(model.get_pattern(name).multipliers, dtype=float) for name in model.pattern_name_list}
    shapes = [known[name] if name in known and known[name].size else np.ones(1) for name in columns]
    period = min(math.lcm(*(s.size for s in shapes)), max(int(_WEEK / step), *(s.size for s in shapes)))
    return tuple(columns), base, np.stack([np.resize(s, period) for s in shapes], axis=1), step
