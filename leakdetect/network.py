"""The network as arrays: what the model file draws, in SI, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra

from leakdetect.errors import ElementError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Node(IntEnum):
    """Kinds of node."""

    JUNCTION = 0
    RESERVOIR = 1
    TANK = 2


class Link(IntEnum):
    """Kinds of link."""

    PIPE = 0
    PUMP = 1
    PRV = 2
    PSV = 3
    PBV = 4
    FCV = 5
    TCV = 6
    GPV = 7


@dataclass(frozen=True, eq=False)
class Network:
    """A water distribution network; N nodes, L links, C demand categories, P pattern steps.

    Attributes
    ----------
    name : str
    node_names, link_names : tuple of str
        Ids as in the model file, in its order (EPANET's: junctions, reservoirs, tanks; pipes, pumps, valves).
    node_kind, link_kind : ndarray of int, shape (N,), (L,)
        `Node`, `Link`.
    elevation : ndarray, shape (N,)
        [m]; a tank's bottom. A reservoir's is its head.
    xy : ndarray, shape (N, 2)
        Coordinates as drawn; NaN where the file has none.
    base_demand : ndarray, shape (N, C)
        [m3/s], by category.
    categories : tuple of str, length C
        Name of the pattern (or category) of each column of `base_demand`.
    patterns : ndarray, shape (P, C)
        Multipliers of each category over the pattern's period.
    pattern_step : float
        [s] between rows of `patterns`.
    start, end : ndarray of int, shape (L,)
        Node indices.
    length, diameter, roughness, minor_loss : ndarray, shape (L,)
        [m], [m], as the formula has it (H-W: -, D-W: m), [-].
    open : ndarray of bool, shape (L,)
        False where the drawing has the link closed.
    check_valve : ndarray of bool, shape (L,)
    setting : ndarray, shape (L,)
        Of valves: [m] of pressure (PRV, PSV, PBV), [m3/s] (FCV), [-] (TCV); of pumps: speed; NaN for pipes,
        GPVs and valves that the file fixes open or closed.
    tank_area : ndarray, shape (N,)
        [m2]; NaN except for tanks.
    headloss : str
        'H-W', 'D-W' or 'C-M'.
    flow_unit : str
        The file's flow unit, a name of `units`.
    path : Path or None
        The model file.
    """

    name: str
    node_names: tuple[str, ...]
    node_kind: Ints
    elevation: Floats
    xy: Floats
    base_demand: Floats
    categories: tuple[str, ...]
    patterns: Floats
    pattern_step: float
    link_names: tuple[str, ...]
    link_kind: Ints
    start: Ints
    end: Ints
    length: Floats
    diameter: Floats
    roughness: Floats
    minor_loss: Floats
    open: NDArray[np.bool_]
    check_valve: NDArray[np.bool_]
    setting: Floats
    tank_area: Floats
    headloss: str = "H-W"
    flow_unit: str = "m3/h"
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @cached_property
    def _node_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.node_names)}

    @cached_property
    def _link_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.link_names)}

    def node(self, name: str) -> int:
        """Return a node's index; `ElementError` if there is none of that name."""
        return _find(self._node_index, name, "node", self.name)

    def link(self, name: str) -> int:
        """Return a link's index; `ElementError` if there is none of that name."""
        return _find(self._link_index, name, "link", self.name)

    def has_node(self, name: str) -> bool:
        """Say whether there is such a node."""
        return name in self._node_index

    def has_link(self, name: str) -> bool:
        """Say whether there is such a link."""
        return name in self._link_index

    @property
    def is_pipe(self) -> NDArray[np.bool_]:
        """Which links are pipes: the places where leaks are looked for."""
        pipe: NDArray[np.bool_] = self.link_kind == Link.PIPE
        return pipe

    @property
    def is_fixed(self) -> NDArray[np.bool_]:
        """Which nodes have a given head (reservoirs and tanks)."""
        fixed: NDArray[np.bool_] = self.node_kind != Node.JUNCTION
        return fixed

    def graph(self, without: Ints | None = None) -> sp.csr_array:
        """Return the symmetric node graph, weights = link length [m] (the shortest of parallel links).

        Parameters
        ----------
        without : ndarray of int, optional
            Links to leave out.
        """
        keep = np.ones(len(self.link_names), dtype=bool)
        if without is not None:
            keep[without] = False
        # A length of zero (valves, pumps) would mean "no edge" to scipy's graph routines.
        weight = np.maximum(self.length[keep], 1e-6)
        low = np.minimum(self.start[keep], self.end[keep])
        high = np.maximum(self.start[keep], self.end[keep])
        order = np.argsort(weight, kind="stable")
        pairs = np.stack([low[order], high[order]])
        _, first = np.unique(pairs, axis=1, return_index=True)
        low, high, weight = pairs[0, first], pairs[1, first], weight[order][first]
        n = len(self.node_names)
        return sp.csr_array((np.r_[weight, weight], (np.r_[low, high], np.r_[high, low])), shape=(n, n))

    def components(self, without: Ints | None = None) -> Ints:
        """Return each node's connected component, numbered from 0, shape (N,)."""
        labels: Ints = connected_components(self.graph(without), directed=False)[1].astype(np.int64)
        return labels

    @cached_property
    def _full_graph(self) -> sp.csr_array:
        return self.graph()

    def distances(self, link: int, within: float = np.inf) -> Floats:
        """Return the distance along the network from one link's centre to every link's centre [m], shape (L,).

        The smallest end-to-end distance plus half of both lengths; 0 to itself; inf where there is no way, or
        where the ends are more than `within` [m] apart
        (the BattLeDIM rule: Vrachimis et al. 2022, J. Water Resour. Plann. Manage. 148(12)).
        """
        ends = [int(self.start[link]), int(self.end[link])]
        to_node = dijkstra(self._full_graph, indices=ends, min_only=True, limit=within)
        along: Floats = np.minimum(to_node[self.start], to_node[self.end]) + (self.length + self.length[link]) / 2
        along[link] = 0.0
        return along

    def link_xy(self) -> Floats:
        """Return the centre of each link as drawn, shape (L, 2)."""
        return (self.xy[self.start] + self.xy[self.end]) / 2


def _find(index: dict[str, int], name: str, kind: str, where: str) -> int:
    try:
        return index[name]
    except KeyError:
        near = [n for n in index if n.lower() == name.lower()][:1]
        hint = f": did you mean '{near[0]}'?" if near else ""
        raise ElementError(f"network {where} has no {kind} '{name}'{hint}") from None
