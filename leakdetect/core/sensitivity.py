"""What every sensor would see of a leak anywhere: one sparse factorisation, one solve per sensor.

At a steady state the linearised equations of the global gradient algorithm (Todini & Pilati 1988; Todini & Rossman
2013) read, for changes of junction heads h and of the flows v of links that hold a setting,

    [ A' D^-1 A   B ] [dh]   [-dw]      w: withdrawal at the junctions
    [ C           E ] [dv] = [ 0 ]      C, E: what the setting fixes

with D the head-loss slopes. A row of its inverse is what one sensor feels of a withdrawal at every junction; it comes
from one solve with the transposed matrix, so the cost grows with the sensors, not with the junctions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.csgraph  # noqa: F401  (sp.csgraph)
from numpy.typing import NDArray
from scipy.sparse.linalg import SuperLU, splu

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FREE, CLOSED, HOLDS_END, HOLDS_START, HOLDS_FLOW = 0, 1, 2, 3, 4
"""How a link behaves at the state: by its head-loss slope, shut, as an active PRV, PSV or FCV."""


@dataclass(frozen=True)
class Linearised:
    """The factorised system at one steady state; N nodes, L links.

    Attributes
    ----------
    factors : SuperLU
    junctions : ndarray of int, shape (J,)
        Node indices of the unknown heads, in the system's order.
    conductance : ndarray, shape (L,)
        1/D of free links, 0 else [m2/s].
    holding : ndarray of int, shape (V,)
        Links that hold a setting, in the system's order.
    start, end : ndarray of int, shape (L,)
    nodes : int
        N.
    """

    factors: SuperLU
    junctions: Ints
    conductance: Floats
    holding: Ints
    start: Ints
    end: Ints
    nodes: int

    def of_heads(self, sensors: Ints) -> Floats:
        """Return d head(sensor) / d withdrawal(node) [s/m2], shape (len(sensors), N); 0 at fixed heads."""
        position = self._position()
        picks = np.zeros((self.factors.shape[0], len(sensors)))
        inside = position[sensors] >= 0
        picks[position[sensors[inside]], np.flatnonzero(inside)] = 1.0
        return self._rows(picks)

    def of_flows(self, links: Ints) -> Floats:
        """Return d flow(link) / d withdrawal(node) [-], shape (len(links), N)."""
        position = self._position()
        place = {int(link): len(self.junctions) + i for i, link in enumerate(self.holding)}
        picks = np.zeros((self.factors.shape[0], len(links)))
        for column, link in enumerate(links):
            if int(link) in place:
                picks[place[int(link)], column] = 1.0
                continue
            for node, sign in ((self.start[link], 1.0), (self.end[link], -1.0)):
                if position[node] >= 0:
                    picks[position[node], column] += sign * self.conductance[link]
        return self._rows(picks)

    def _position(self) -> Ints:
        position = np.full(self.nodes, -1, dtype=np.int64)
        position[self.junctions] = np.arange(len(self.junctions))
        return position

    def _rows(self, picks: Floats) -> Floats:
        rows = np.zeros((picks.shape[1], self.nodes))
        rows[:, self.junctions] = -self.factors.solve(picks, trans="T")[: len(self.junctions)].T
        return rows


def linearise(
    nodes: int, fixed: NDArray[np.bool_], start: Ints, end: Ints, slope: Floats, behaviour: Ints
) -> Linearised:
    """Factorise the system at a steady state.

    Parameters
    ----------
    nodes : int
        N.
    fixed : ndarray of bool, shape (N,)
        Nodes of given head.
    start, end : ndarray of int, shape (L,)
    slope : ndarray, shape (L,)
        d loss / d flow [s/m2], positive; of a running pump minus the slope of its curve.
    behaviour : ndarray of int, shape (L,)
        `FREE`, `CLOSED`, `HOLDS_END`, `HOLDS_START` or `HOLDS_FLOW`.

    Raises
    ------
    ValueError
        If the system is singular: a part of the network has no source.
    """
    conductance = np.where(behaviour == FREE, 1.0 / slope, 0.0)
    position = np.full(nodes, -1, dtype=np.int64)
    junctions = np.flatnonzero(~fixed)
    position[junctions] = np.arange(len(junctions))
    i, j = position[start], position[end]
    free = behaviour == FREE
    parts: list[tuple[Ints, Ints, Floats]] = []
    for a, b, sign in ((i, i, 1.0), (j, j, 1.0), (i, j, -1.0), (j, i, -1.0)):
        use = free & (a >= 0) & (b >= 0)
        parts.append((a[use], b[use], sign * conductance[use]))
    holding = np.flatnonzero(behaviour >= HOLDS_END)
    for row, link in enumerate(holding, start=len(junctions)):
        entries = []
        # Mass balance, as outflow: the held flow leaves its start node and enters its end node.
        for node, sign in ((i[link], 1.0), (j[link], -1.0)):
            if node >= 0:
                entries.append((node, row, sign))
        held = {HOLDS_END: j[link], HOLDS_START: i[link], HOLDS_FLOW: -1}[int(behaviour[link])]
        entries.append((row, held if held >= 0 else row, 1.0))
        parts.append(tuple(np.array(c) for c in zip(*entries, strict=True)))  # type: ignore[arg-type]
    size = len(junctions) + len(holding)
    rows, columns, values = (np.concatenate([np.atleast_1d(p[k]) for p in parts]) for k in range(3))
    # Parts cut off by closed links, or fed by a held flow only, would make the matrix singular: they see no leak and no
    # sensor sees theirs.
    isolated = ~_supplied(nodes, fixed, start, end, behaviour)[junctions]
    rows, columns = np.r_[rows, np.flatnonzero(isolated)], np.r_[columns, np.flatnonzero(isolated)]
    values = np.r_[values, np.full(int(isolated.sum()), 1.0)]
    matrix = sp.csc_matrix((values, (rows.astype(np.int64), columns.astype(np.int64))), shape=(size, size))
    try:
        factors = splu(matrix)
    except RuntimeError as error:
        raise ValueError(f"the linearised network is singular ({error}): is a part of it without a source?") from None
    return Linearised(factors, junctions, conductance, holding, start, end, nodes)


def _supplied(nodes: int, fixed: NDArray[np.bool_], start: Ints, end: Ints, behaviour: Ints) -> NDArray[np.bool_]:
    """Say which nodes a given or held head reaches through free links."""
    free = behaviour == FREE
    known = fixed.copy()
    known[end[behaviour == HOLDS_END]] = True
    known[start[behaviour == HOLDS_START]] = True
    graph = sp.coo_array((np.ones(int(free.sum())), (start[free], end[free])), shape=(nodes, nodes))
    labels = sp.csgraph.connected_components(graph, directed=False)[1]
    supplied: NDArray[np.bool_] = np.isin(labels, np.unique(labels[known]))
    return supplied
