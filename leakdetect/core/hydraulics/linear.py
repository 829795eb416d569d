"""The linear equations of a batch of states, symmetric and of one pattern: laid in, factorised as L D L', solved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

from .problem import BIG

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHUT = 1.001 / BIG  # m2/s


@compiled
def assemble(
    i: Ints, j: Ints, entry: Ints, conductance: Floats, correction: Floats, flow: Floats, demand: Floats,
    head: Floats, diagonal: Floats, below: Floats, right: Floats,
) -> None:  # fmt: skip
    """Lay in the balances of n unknown heads (Todini & Pilati 1988); W states.

    Parameters
    ----------
    i, j : ndarray of int, shape (K,)
        Row in `head` of each link's ends: unknown heads first, then the given ones.
    entry : ndarray of int, shape (K,)
        Entry below the diagonal of each link between two unknown heads.
    conductance, correction, flow : ndarray, shape (K, W)
    demand : ndarray, shape (n, W)
    head : ndarray, shape (n + F, W)
        Read where given.
    diagonal, below, right : ndarray, shape (n, W), (nnz, W), (n, W)
        Written: matrix and right-hand side.
    """
    size = len(demand)
    diagonal[:] = 0.0
    below[:] = 0.0
    right[:] = 0.0
    for k in range(len(i)):
        one, two = i[k], j[k]
        if one < size:
            _add(diagonal, one, conductance, k, 1.0)
            _add(right, one, correction, k, 1.0)
            _add(right, one, flow, k, -1.0)
        if two < size:
            _add(diagonal, two, conductance, k, 1.0)
            _add(right, two, correction, k, -1.0)
            _add(right, two, flow, k, 1.0)
        if one < size and two < size:
            _add(below, entry[k], conductance, k, -1.0)
        elif one < size:
            _add_product(right, one, conductance, k, head, two)
        elif two < size:
            _add_product(right, two, conductance, k, head, one)
    for k in range(size):
        _add(right, k, demand, k, -1.0)


@compiled
def _add(to: Floats, row: int, what: Floats, k: int, factor: float) -> None:
    for b in range(to.shape[1]):
        to[row, b] += factor * what[k, b]


@compiled
def _add_product(to: Floats, row: int, one: Floats, k: int, other: Floats, n: int) -> None:
    for b in range(to.shape[1]):
        to[row, b] += one[k, b] * other[n, b]


@compiled
def solve(
    group: Ints, column: Ints, row: Ints, update: Ints, diagonal: Floats, below: Floats, right: Floats, head: Floats
) -> None:
    """Factorise and solve; the matrix and the right-hand side are overwritten.

    Parameters
    ----------
    group, column, row, update : ndarray of int
        Of `ordering.Pattern`.
    diagonal, below, right : ndarray, shape (n, W), (nnz, W), (n, W)
    head : ndarray, shape (n + F, W)
        The first n rows are written.
    """
    _eliminate(group, column, row, update, diagonal, below, right)
    _substitute(column, row, diagonal, below, right, head)


@compiled
def _eliminate(
    group: Ints, column: Ints, row: Ints, update: Ints, diagonal: Floats, below: Floats, right: Floats
) -> None:
    """Leave 1 / D in the diagonal, L below it and L^-1 right on the right.

    Columns of a group have the same rows below it, so what they change there is changed by all of them at once: in
    large networks the time goes into fetching those entries (Ng & Peyton 1993, supernodes).
    """
    pivot, share, place = np.empty((4, right.shape[1])), np.empty((4, right.shape[1])), 0
    for g in range(len(group) - 1):
        begin, end = group[g], group[g + 1]
        place = _within(begin, end, place, column, row, update, diagonal, below, right, pivot, share[0])
        if end > begin + 1:
            place = _beyond(begin, end, place, column, update, below, pivot, share)


@compiled
def _within(
    begin: int, end: int, place: int, column: Ints, row: Ints, update: Ints, diagonal: Floats, below: Floats,
    right: Floats, pivot: Floats, factor: Floats,
) -> int:  # fmt: skip
    """Eliminate a group's columns but for what they change below it; return where those changes stand in `update`."""
    width = right.shape[1]
    for k in range(begin, end):
        first, last = column[k], column[k + 1]
        for b in range(width):
            pivot[k - begin, b] = diagonal[k, b]
            diagonal[k, b] = 1.0 / diagonal[k, b]
        for a in range(first, last):
            other = row[a]
            for b in range(width):
                factor[b] = below[a, b] * diagonal[k, b]
            for b in range(width):
                diagonal[other, b] -= below[a, b] * factor[b]
            for b in range(width):
                right[other, b] -= right[k, b] * factor[b]
            if other < end or end == begin + 1:  # one alone is done with at once
                for c in range(a + 1, last):
                    changed = update[place + c - a - 1]
                    for b in range(width):
                        below[changed, b] -= below[c, b] * factor[b]
            for b in range(width):
                below[a, b] = factor[b]
            if k < end - 1 or other < end or end == begin + 1:
                place += last - a - 1
    return place


@compiled
def _beyond(
    begin: int, end: int, place: int, column: Ints, update: Ints, below: Floats, pivot: Floats, share: Floats
) -> int:
    """Change what stands below a group's columns by all of them; return where the next group's changes stand."""
    width, count = below.shape[1], column[end] - column[end - 1]
    for a in range(count):
        for k in range(begin, end):
            own = column[k + 1] - count + a
            for b in range(width):
                share[k - begin, b] = below[own, b] * pivot[k - begin, b]
        for c in range(a + 1, count):
            changed = update[place]
            place += 1
            if end - begin == 4:
                one, two = column[begin + 1] - count + c, column[begin + 2] - count + c
                three, four = column[begin + 3] - count + c, column[end] - count + c
                for b in range(width):
                    below[changed, b] -= (
                        below[one, b] * share[0, b] + below[two, b] * share[1, b]
                        + below[three, b] * share[2, b] + below[four, b] * share[3, b]
                    )  # fmt: skip
            else:
                for k in range(begin, end):
                    own = column[k + 1] - count + c
                    for b in range(width):
                        below[changed, b] -= below[own, b] * share[k - begin, b]
    return place


@compiled
def _substitute(column: Ints, row: Ints, diagonal: Floats, below: Floats, right: Floats, head: Floats) -> None:
    size, width = right.shape
    known = np.empty(width)
    for k in range(size - 1, -1, -1):
        for b in range(width):
            known[b] = right[k, b] * diagonal[k, b]
        for a in range(column[k], column[k + 1]):
            other = row[a]
            for b in range(width):
                known[b] -= below[a, b] * head[other, b]
        for b in range(width):
            head[k, b] = known[b]


@compiled
def renew(i: Ints, j: Ints, conductance: Floats, correction: Floats, head: Floats, flow: Floats, error: Floats) -> None:
    """Give links the flows that go with the new heads.

    Parameters
    ----------
    i, j : ndarray of int, shape (K,)
    conductance, correction : ndarray, shape (K, W)
    head : ndarray, shape (n + F, W)
    flow : ndarray, shape (K, W)
        Changed.
    error : ndarray, shape (W,)
        Written: how much head may be out of balance yet, summed over links [m]: what is left where a loss that goes
        with about the square of flow was taken along its tangent. Shut links, whose curve is a straight line, do not
        count; those without a conductance, whose flow the balance gives, do by its relative change. NaN where there
        is no solution.
    """
    count, width = flow.shape
    for b in range(width):
        error[b] = 0.0
    for k in range(count):
        one, two = i[k], j[k]
        for b in range(width):
            change = correction[k, b] - conductance[k, b] * (head[one, b] - head[two, b])
            flow[k, b] -= change
            size = abs(flow[k, b]) + abs(change) + 1e-12
            p = conductance[k, b]
            if p == 0.0:
                error[b] += abs(change) / (size + 1e-4)
            elif not p <= _SHUT:  # NaN counts
                error[b] += change * change / (p * size)
