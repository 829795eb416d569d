"""What depends on the drawing only and is done once: branches cut off, unknowns ordered, fill-in found.

The flow in a branch that ends in customers is what they draw; the head there follows from the head where it begins. So
the forest of branches leaves the equations exactly (Deuerlein 2008; Elhay, Simpson & Deuerlein 2014). Nodes of two
links in series need no such care: a minimum degree ordering eliminates them first, with no fill-in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from .devices import SHUT, States
from .problem import Problem

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_GROUP = 4  # columns, as `linear` takes them


@dataclass(frozen=True)
class Forest:
    """Branches, from their tips inwards; T links.

    Attributes
    ----------
    link, tip, base : ndarray of int, shape (T,)
        Link, its outer and its inner node; a tip comes before the link at whose tip its base is.
    """

    link: Ints
    tip: Ints
    base: Ints


def find_forest(problem: Problem) -> Forest:
    """Find the branches of open pipes behind which nothing feeds."""
    start, end = problem.start.tolist(), problem.end.tolist()
    beside: list[set[int]] = [set() for _ in problem.fixed]
    for link, (i, j) in enumerate(zip(start, end, strict=True)):
        beside[i].add(link)
        beside[j].add(link)
    plain = np.ones(len(start), dtype=bool)
    plain[problem.devices] = False
    free = ~problem.fixed
    ready = [node for node in np.flatnonzero(free).tolist() if len(beside[node]) == 1]
    found: list[tuple[int, int, int]] = []
    while ready:
        tip = ready.pop()
        if len(beside[tip]) != 1:
            continue  # both ends of the last link were tips
        (link,) = beside[tip]
        if not plain[link]:
            continue
        base = start[link] + end[link] - tip
        found.append((link, tip, base))
        beside[tip].clear()
        beside[base].discard(link)
        if free[base] and len(beside[base]) == 1:
            ready.append(base)
    return Forest(*np.array(found, dtype=np.int64).reshape(-1, 3).T.copy())


@dataclass(frozen=True)
class Pattern:
    """Where the entries of the factors stand, for n unknowns in the order of elimination.

    Attributes
    ----------
    node : ndarray of int, shape (n,)
        Node of each unknown.
    group : ndarray of int
        Where each group of columns begins, and n: four at most, one after another, with the same rows below the last.
    column : ndarray of int, shape (n + 1,)
        Where each column's entries below the diagonal begin in `row`.
    row : ndarray of int, shape (nnz,)
    update : ndarray of int
        Column by column, for each pair of its entries (the upper first): the entry that their product changes.
    """

    node: Ints
    group: Ints
    column: Ints
    row: Ints
    update: Ints

    def entry(self, i: Ints, j: Ints) -> Ints:
        """Return the entry of each pair of unknowns, either way round; -1 where i or j is no unknown."""
        size = len(self.node)
        low, high = np.minimum(i, j), np.maximum(i, j)
        inside = high < size
        keys = np.repeat(np.arange(size), np.diff(self.column)) * size + self.row
        out = np.full(len(i), -1, dtype=np.int64)
        out[inside] = np.searchsorted(keys, low[inside] * size + high[inside])
        return out


def find_pattern(nodes: int, unknown: Ints, i: Ints, j: Ints) -> Pattern:
    """Order unknowns by minimum degree and find the fill-in of the factors.

    Parameters
    ----------
    nodes : int
    unknown : ndarray of int, shape (n,)
        Nodes of unknown head.
    i, j : ndarray of int
        Nodes at the ends of links.
    """
    size = len(unknown)
    place = np.full(nodes, -1, dtype=np.int64)
    place[unknown] = np.arange(size)
    a, b = place[i], place[j]
    inside = (a >= 0) & (b >= 0) & (a != b)
    a, b = a[inside], b[inside]
    ones = np.ones(len(a))
    graph = sp.coo_array((np.r_[ones, ones], (np.r_[a, b], np.r_[b, a])), shape=(size, size)).tocsr()
    degree = np.asarray(graph.sum(axis=1)).ravel()
    laplacian = (sp.diags_array(degree + 1.0) - graph).tocsc()
    options = {"SymmetricMode": True}
    position = splu(laplacian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options).perm_c
    below: list[set[int]] = [set() for _ in range(size)]
    for one, other in zip(position[a].tolist(), position[b].tolist(), strict=True):
        below[min(one, other)].add(max(one, other))
    columns: list[Ints] = []
    for k in range(size):
        entries = np.array(sorted(below[k]), dtype=np.int64)
        columns.append(entries)
        if len(entries) > 1:  # they become neighbours; the first of them passes that on to the rest
            below[int(entries[0])].update(entries[1:].tolist())
    order = _postorder(columns)
    rank = np.empty(size, dtype=np.int64)
    rank[order] = np.arange(size)
    columns, position = [np.sort(rank[columns[k]]) for k in order], rank[position]
    column = np.r_[0, np.cumsum([len(c) for c in columns])].astype(np.int64)
    row = np.concatenate([np.zeros(0, dtype=np.int64), *columns])
    keys = np.repeat(np.arange(size), np.diff(column)) * size + row
    pairs = [np.triu_indices(len(c), 1) for c in columns]
    wanted = [c[upper] * size + c[lower] for c, (upper, lower) in zip(columns, pairs, strict=True)]
    update = np.searchsorted(keys, np.concatenate([np.zeros(0, dtype=np.int64), *wanted]))
    node = np.empty(size, dtype=np.int64)
    node[position] = unknown
    return Pattern(node, _groups(columns), column, row, update.astype(np.int64))


def _postorder(columns: list[Ints]) -> Ints:
    """Return the columns in an order of the same fill-in that leaves a part of the network only when done with it.

    What is changed one after another then lies close together in memory (Liu 1990). A column's parent in the tree of
    elimination is the first that it changes.
    """
    children: list[list[int]] = [[] for _ in columns]
    open_: list[int] = []
    for k, rows in enumerate(columns):
        (children[rows[0]] if len(rows) else open_).append(k)
    backwards = []
    while open_:
        k = open_.pop()
        backwards.append(k)
        open_ += children[k]
    return np.array(backwards[::-1], dtype=np.int64)


def _groups(columns: list[Ints]) -> Ints:
    """Return where each group of columns begins, and their number."""
    begins = [0]
    for k in range(1, len(columns)):
        before = columns[k - 1]
        alike = len(before) == len(columns[k]) + 1 and before[0] == k  # then the rest of the rows are the same
        if not alike or k - begins[-1] == _GROUP:
            begins.append(k)
    return np.array([*begins, len(columns)] if columns else [0], dtype=np.int64)


def supplied(problem: Problem, status: States) -> Bools:
    """Say which nodes given heads reach through links that are not shut, shape (N,).

    The heads of the others mean nothing, in EPANET as here: they hang on what a shut link is taken to let through.

    Parameters
    ----------
    problem : Problem
    status : ndarray of int8, shape (D,)
    """
    passing = np.ones(len(problem.start), dtype=bool)
    passing[problem.devices] = status > SHUT
    ends, count = (problem.start[passing], problem.end[passing]), len(problem.fixed)
    graph = sp.coo_array((np.ones(int(passing.sum())), ends), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    reached: Bools = np.isin(labels, labels[problem.fixed])
    return reached
