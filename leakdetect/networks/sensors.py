"""Where a network is measured: lists of sensors, read, written, or chosen by spreading them out."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse.csgraph import dijkstra

from leakdetect.errors import ElementError, InputError, MissingFileError
from leakdetect.network import Link, Network, Node

_COLUMNS = {"pressure": "pressures", "flow": "flows", "level": "levels", "demand": "demands"}


@dataclass(frozen=True)
class Sensors:
    """Ids of the elements that are measured.

    Attributes
    ----------
    pressures, demands : tuple of str
        Nodes; `demands` are customer meters.
    flows : tuple of str
        Links.
    levels : tuple of str
        Tanks.
    """

    pressures: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    demands: tuple[str, ...] = ()

    def check(self, network: Network) -> None:
        """Raise `ElementError` unless every element is in the network and of the right kind."""
        for name in (*self.pressures, *self.demands):
            network.node(name)
        for name in self.flows:
            network.link(name)
        for name in self.levels:
            if network.node_kind[network.node(name)] != Node.TANK:
                raise ElementError(f"network {network.name}: '{name}' is not a tank: levels are measured in tanks")
        for quantity, column in _COLUMNS.items():
            names = getattr(self, column)
            if len(set(names)) != len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise InputError(f"the {quantity} sensor at '{twice}' is named twice: name it once")

    def __len__(self) -> int:
        return len(self.pressures) + len(self.flows) + len(self.levels) + len(self.demands)


def read_sensors(path: Path) -> Sensors:
    """Read a list of sensors: CSV with the columns ``quantity,element``.

    Raises
    ------
    MissingFileError, InputError
        If there is no such file, or a row is not of these.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: a list of sensors is a CSV with the columns quantity,element")
    found: dict[str, list[str]] = {column: [] for column in _COLUMNS.values()}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"quantity", "element"} <= set(rows.fieldnames or ()):
            raise InputError(f"{path}: needs the columns quantity,element in its first row")
        for number, row in enumerate(rows, start=2):
            column = _COLUMNS.get((row["quantity"] or "").strip())
            if column is None or not (row["element"] or "").strip():
                raise InputError(f"{path}: row {number}: needs a quantity ({', '.join(_COLUMNS)}) and an element's id")
            found[column].append(row["element"].strip())
    return Sensors(**{column: tuple(names) for column, names in found.items()})


def sensors_csv(sensors: Sensors) -> str:
    """Return the text that `read_sensors` reads."""
    rows = [f"{quantity},{name}" for quantity, column in _COLUMNS.items() for name in getattr(sensors, column)]
    return "\n".join(["quantity,element", *rows]) + "\n"


def spread_sensors(network: Network, pressures: int | None = None) -> Sensors:
    """Choose sensors as utilities place them: inflows, pumps and tank levels, and loggers far from each other.

    Loggers go, one after the other, to the junction that is farthest along the pipes from the sources and from those
    already placed (Gonzalez 1985, Theor. Comput. Sci. 38), weighed down for dead ends, where nobody digs a logger in.

    Parameters
    ----------
    network : Network
    pressures : int, optional
        How many loggers; one for every 25 junctions, between 2 and 40, if not said.
    """
    junctions = np.flatnonzero(network.node_kind == Node.JUNCTION)
    count = int(np.clip(junctions.size // 25, 2, 40)) if pressures is None else pressures
    graph = network.graph()
    fixed = np.flatnonzero(network.is_fixed)
    degree = np.bincount(np.r_[network.start, network.end], minlength=len(network.node_names))
    worth = np.where(degree > 1, 1.0, 0.6)
    worth[network.is_fixed] = 0.0
    nearest = dijkstra(graph, indices=fixed, min_only=True)
    nearest[~np.isfinite(nearest)] = 0.0
    chosen: list[int] = []
    for _ in range(min(count, junctions.size)):
        best = int(np.argmax(nearest * worth))
        chosen.append(best)
        nearest = np.minimum(nearest, dijkstra(graph, indices=best))
    source = np.isin(network.start, fixed) | np.isin(network.end, fixed)
    metered = np.flatnonzero(source | (network.link_kind == Link.PUMP))
    return Sensors(
        pressures=tuple(network.node_names[i] for i in sorted(chosen)),
        flows=tuple(network.link_names[i] for i in metered),
        levels=tuple(network.node_names[i] for i in np.flatnonzero(network.node_kind == Node.TANK)),
    )
