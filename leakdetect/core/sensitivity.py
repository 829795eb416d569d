"""What every sensor would see of a leak anywhere: one sparse factorisation, one solve per sensor.

At a steady state the linearised equations of the global gradient algorithm (Todini & Pilati 1988; Todini & Rossman
2013) read, for changes of the free heads h and of the flows v of links that hold a head,

    [ G   U ] [dh]   [-dw ]      w: withdrawal at free nodes
    [ A   M ] [dv] = [-dw']      w': withdrawal at the nodes whose head is held

with G = A21 D^-1 A12 over the free nodes, D the head-loss slopes. A held head is no unknown: the balance of its node
gives the flow of the link that holds it, which the node on that link's other side feels as a withdrawal. G is symmetric
and has the drawing's pattern whatever is open, shut or active, so that order of elimination and fill-in are found once
(`Plan`). A row of the inverse is what one sensor feels of a withdrawal anywhere; it comes from one solve, so the cost
grows with the sensors, not with the junctions. The sensors go through the factors side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.csgraph  # noqa: F401  (sp.csgraph)
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled
from leakdetect.core.hydraulics.ordering import Pattern, find_pattern

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FREE, CLOSED, HOLDS_END, HOLDS_START, HOLDS_FLOW = 0, 1, 2, 3, 4
"""How a link behaves at the state: by its head-loss slope, shut, as an active PRV, PSV or FCV."""

_SINGULAR = 1e12  # condition of the equations between valves, which have no unit
_SIDE_BY_SIDE = 16  # right-hand sides that go through the factors at once: a few vectors, and rows that stay in cache


@dataclass(frozen=True)
class Plan:
    """What the drawing alone says; N nodes, L links.

    Attributes
    ----------
    fixed : ndarray of bool, shape (N,)
        Nodes of given head.
    start, end : ndarray of int, shape (L,)
    pattern : Pattern
        Of the unknown heads.
    row : ndarray of int, shape (N,)
        Place of each node among the unknowns in the order of elimination, -1 for fixed ones.
    entry : ndarray of int, shape (L,)
        Entry of the factors that each link between two unknowns stands in, -1 for others.
    """

    fixed: Bools
    start: Ints
    end: Ints
    pattern: Pattern
    row: Ints
    entry: Ints

    @classmethod
    def of(cls, fixed: Bools, start: Ints, end: Ints) -> Plan:
        """Find order and fill-in for a drawing."""
        pattern = find_pattern(len(fixed), np.flatnonzero(~fixed), start, end)
        row = np.full(len(fixed), -1, dtype=np.int64)
        row[pattern.node] = np.arange(len(pattern.node))
        inside = (row[start] >= 0) & (row[end] >= 0) & (start != end)
        entry = np.full(len(start), -1, dtype=np.int64)
        entry[inside] = pattern.entry(row[start[inside]], row[end[inside]])
        return cls(fixed, start, end, pattern, row, entry)


@dataclass(frozen=True)
class Linearised:
    """The factorised system at one steady state; N nodes, L links, n unknown heads.

    Attributes
    ----------
    plan : Plan
    diagonal, below : ndarray, shape (n,), (nnz,)
        1 / D and L of G = L D L'.
    free : ndarray of bool, shape (n,)
        Unknowns that are neither held nor without a source, in the order of elimination.
    conductance : ndarray, shape (L,)
        1/slope of free links, 0 else [m2/s].
    holding : ndarray of int, shape (V,)
        Links that hold a head.
    held : ndarray of int, shape (V,)
        Row of the node whose head each of them holds.
    feels : sparse array, shape (V, n)
        U' over the free unknowns.
    reach : ndarray, shape (n, V)
        G^-1 A'.
    coupling : ndarray, shape (V, V)
        M - A G^-1 U.
    """

    plan: Plan
    diagonal: Floats
    below: Floats
    free: Bools
    conductance: Floats
    holding: Ints
    held: Ints
    feels: sp.csr_array
    reach: Floats
    coupling: Floats

    def of_heads(self, sensors: Ints) -> Floats:
        """Return d head(sensor) / d withdrawal(node) [s/m2], shape (len(sensors), N); 0 at fixed heads."""
        picks = np.zeros((len(self.free), len(sensors)))
        row = self.plan.row[sensors]
        inside = row >= 0
        picks[row[inside], np.flatnonzero(inside)] = 1.0
        return self._rows(picks, np.zeros((len(self.holding), len(sensors))))

    def of_flows(self, links: Ints) -> Floats:
        """Return d flow(link) / d withdrawal(node) [-], shape (len(links), N)."""
        picks, valves = np.zeros((len(self.free), len(links))), np.zeros((len(self.holding), len(links)))
        place = {link: v for v, link in enumerate(self.holding.tolist())}
        for column, link in enumerate(links.tolist()):
            if link in place:
                valves[place[link], column] = 1.0
                continue
            for node, sign in ((self.plan.start[link], 1.0), (self.plan.end[link], -1.0)):
                if self.plan.row[node] >= 0:
                    picks[self.plan.row[node], column] += sign * self.conductance[link]
        return self._rows(picks, valves)

    def heads_under(self, withdrawal: Floats) -> Floats:
        """Return the change of every head under W patterns of small withdrawals (N, W), shape (N, W); 0 at fixed heads.

        A column of the inverse where `of_heads` has rows: the cost grows with the patterns, not with the sensors.
        """
        pattern = self.plan.pattern
        right = withdrawal[pattern.node]
        taken = -right[self.held]
        right[~self.free] = 0.0
        if len(self.holding):
            right += self.feels.T @ np.linalg.solve(self.coupling, taken + self.reach.T @ right)
        _solve(pattern.column, pattern.row, self.diagonal, self.below, right)
        out = np.zeros_like(withdrawal)
        out[pattern.node[self.free]] = -right[self.free]
        return out

    def _rows(self, picks: Floats, valves: Floats) -> Floats:
        """Return d (picks' h + valves' v) / d withdrawal(node), for picks (n, W), valves (V, W): shape (W, N)."""
        picks[~self.free] = 0.0
        pattern = self.plan.pattern
        _solve(pattern.column, pattern.row, self.diagonal, self.below, picks)
        out = np.zeros((picks.shape[1], len(self.plan.fixed)))
        if len(self.holding):
            through = np.linalg.solve(self.coupling.T, self.feels @ picks - valves)
            picks += self.reach @ through
            out[:, pattern.node[self.held]] = through.T
        _lay_out(pattern.node, self.free, picks, out)
        return out


def linearise(plan: Plan, slope: Floats, behaviour: Ints) -> Linearised:
    """Factorise the system at a steady state.

    Parameters
    ----------
    plan : Plan
        Of the drawing.
    slope : ndarray, shape (L,)
        d loss / d flow [s/m2], positive; of a running pump minus the slope of its curve.
    behaviour : ndarray of int, shape (L,)
        `FREE`, `CLOSED`, `HOLDS_END`, `HOLDS_START` or `HOLDS_FLOW`.

    Raises
    ------
    ValueError
        If two links hold the head of one node, or links that hold heads leave the flow round a ring open.
    """
    conductance = np.where(behaviour == FREE, 1.0 / slope, 0.0)
    node = np.where(behaviour == HOLDS_END, plan.end, plan.start)
    holding = np.flatnonzero(((behaviour == HOLDS_END) | (behaviour == HOLDS_START)) & ~plan.fixed[node])
    held = plan.row[node[holding]]
    if len(np.unique(held)) < len(held):
        raise ValueError("two valves hold the pressure of one node: shut one of them")
    # Parts cut off by closed links, or fed by a held flow only, have no head of their own: no sensor sees their leaks.
    free = _supplied(plan, behaviour)[plan.pattern.node]
    free[held] = False
    i, j = plan.row[plan.start], plan.row[plan.end]
    diagonal, below = np.zeros(len(free)), np.zeros(len(plan.pattern.row))
    _assemble(i, j, plan.entry, conductance, free, diagonal, below)
    _factorise(plan.pattern.column, plan.pattern.row, plan.pattern.update, diagonal, below)
    reach, ends = _beside(held, i, j, conductance, free), _ends(i[holding], j[holding], len(free))
    _solve(plan.pattern.column, plan.pattern.row, diagonal, below, reach)
    feels = sp.csr_array(ends.multiply(free))
    coupling = ends[:, held].toarray().T - (feels @ reach).T
    if len(held) and not np.linalg.cond(coupling, 1) < _SINGULAR:
        raise ValueError("the linearised network is singular: do valves in a ring hold what none of them feeds?")
    return Linearised(plan, diagonal, below, free, conductance, holding, held, feels, reach, coupling)


def _beside(held: Ints, i: Ints, j: Ints, conductance: Floats, free: Bools) -> Floats:
    """Return A', which takes heads of free nodes to outflows of held ones, shape (n, V)."""
    out = np.zeros((len(free), len(held)))
    for v, row in enumerate(held.tolist()):
        for here, other in ((i, j), (j, i)):
            near = np.flatnonzero((here == row) & (other >= 0))
            np.subtract.at(out[:, v], other[near], conductance[near])
    out[~free] = 0.0
    return out


def _ends(i: Ints, j: Ints, size: int) -> sp.csr_array:
    """Return +1 in the row where a link begins, -1 where it ends, shape (V, n)."""
    links = np.arange(len(i))
    rows, columns, values = np.r_[links, links], np.r_[i, j], np.r_[np.ones(len(i)), -np.ones(len(i))]
    use = columns >= 0
    return sp.csr_array((values[use], (rows[use], columns[use])), shape=(len(i), size))


def _supplied(plan: Plan, behaviour: Ints) -> Bools:
    """Say which nodes a given or held head reaches through free links."""
    free = behaviour == FREE
    known = plan.fixed.copy()
    known[plan.end[behaviour == HOLDS_END]] = True
    known[plan.start[behaviour == HOLDS_START]] = True
    nodes = len(plan.fixed)
    graph = sp.coo_array((np.ones(int(free.sum())), (plan.start[free], plan.end[free])), shape=(nodes, nodes))
    labels = sp.csgraph.connected_components(graph, directed=False)[1]
    supplied: Bools = np.isin(labels, np.unique(labels[known]))
    return supplied


@compiled
def _assemble(i: Ints, j: Ints, entry: Ints, conductance: Floats, free: Bools, diagonal: Floats, below: Floats) -> None:
    """Lay in G; rows of heads that are not free become those of the identity."""
    for k in range(len(free)):
        diagonal[k] = 0.0 if free[k] else 1.0
    for link in range(len(i)):
        p, a, b = conductance[link], i[link], j[link]
        one, two = a >= 0 and free[a], b >= 0 and free[b]
        if one:
            diagonal[a] += p
        if two:
            diagonal[b] += p
        if one and two and a != b:
            below[entry[link]] -= p
        elif one and a == b:
            diagonal[a] -= 2.0 * p


@compiled
def _factorise(column: Ints, row: Ints, update: Ints, diagonal: Floats, below: Floats) -> None:
    """Leave 1 / D in the diagonal and L below it."""
    place = 0
    for k in range(len(diagonal)):
        diagonal[k] = 1.0 / diagonal[k]
        for a in range(column[k], column[k + 1]):
            factor = below[a] * diagonal[k]
            diagonal[row[a]] -= below[a] * factor
            for c in range(a + 1, column[k + 1]):
                below[update[place]] -= below[c] * factor
                place += 1
            below[a] = factor


@compiled
def _solve(column: Ints, row: Ints, diagonal: Floats, below: Floats, right: Floats) -> None:
    """Solve in place for right-hand sides (n, W), some at a time."""
    size, width = right.shape
    for first in range(0, width, _SIDE_BY_SIDE):
        last = min(first + _SIDE_BY_SIDE, width)
        for k in range(size):
            for a in range(column[k], column[k + 1]):
                factor, other = below[a], row[a]
                for b in range(first, last):
                    right[other, b] -= factor * right[k, b]
        for k in range(size - 1, -1, -1):
            for b in range(first, last):
                right[k, b] *= diagonal[k]
            for a in range(column[k], column[k + 1]):
                factor, other = below[a], row[a]
                for b in range(first, last):
                    right[k, b] -= factor * right[other, b]


@compiled
def _lay_out(node: Ints, free: Bools, values: Floats, out: Floats) -> None:
    """Give free nodes their columns: out[:, node] = -values.T."""
    for k in range(len(node)):
        if free[k]:
            for b in range(values.shape[1]):
                out[b, node[k]] = -values[k, b]
