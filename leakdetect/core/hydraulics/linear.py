"""The linear equations of a batch of states with one pattern: laid in, factorised L D L', solved; symmetric, positive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
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
    size, width = demand.shape
    for k in range(size):
        for b in range(width):
            diagonal[k, b] = 0.0
            right[k, b] = -demand[k, b]
    for k in range(len(below)):
        for b in range(width):
            below[k, b] = 0.0
    for k in range(len(i)):
        one, two = i[k], j[k]
        if one < size:
            for b in range(width):
                diagonal[one, b] += conductance[k, b]
            for b in range(width):
                right[one, b] += correction[k, b] - flow[k, b]
        if two < size:
            for b in range(width):
                diagonal[two, b] += conductance[k, b]
            for b in range(width):
                right[two, b] -= correction[k, b] - flow[k, b]
        if one < size and two < size:
            place = entry[k]
            for b in range(width):
                below[place, b] -= conductance[k, b]
        elif one < size:
            for b in range(width):
                right[one, b] += conductance[k, b] * head[two, b]
        elif two < size:
            for b in range(width):
                right[two, b] += conductance[k, b] * head[one, b]


@compiled
def solve(
    column: Ints, row: Ints, update: Ints, diagonal: Floats, below: Floats, right: Floats, head: Floats
) -> None:
    """Factorise and solve; the matrix and the right-hand side are overwritten.

    Parameters
    ----------
    column, row, update : ndarray of int
        Of `ordering.Pattern`.
    diagonal, below, right : ndarray, shape (n, W), (nnz, W), (n, W)
    head : ndarray, shape (n + F, W)
        The first n rows are written.
    """
    size, width = right.shape
    factor = np.empty(width)
    place = 0
    for k in range(size):
        first, last = column[k], column[k + 1]
        for b in range(width):
            diagonal[k, b] = 1.0 / diagonal[k, b]
        for a in range(first, last):
            other = row[a]
            for b in range(width):
                factor[b] = below[a, b] * diagonal[k, b]
            for b in range(width):
                diagonal[other, b] -= below[a, b] * factor[b]
            for b in range(width):
                right[other, b] -= right[k, b] * factor[b]
            for c in range(a + 1, last):
                changed = update[place]
                place += 1
                for b in range(width):
                    below[changed, b] -= below[c, b] * factor[b]
            for b in range(width):
                below[a, b] = factor[b]
    for k in range(size - 1, -1, -1):
        for b in range(width):
            factor[b] = right[k, b] * diagonal[k, b]
        for a in range(column[k], column[k + 1]):
            other = row[a]
            for b in range(width):
                factor[b] -= below[a, b] * head[other, b]
        for b in range(width):
            head[k, b] = factor[b]


@compiled
def renew(
    i: Ints, j: Ints, conductance: Floats, correction: Floats, head: Floats, flow: Floats, error: Floats
) -> None:
    """Give links the flows that go with the new heads.

    Parameters
    ----------
    i, j : ndarray of int, shape (K,)
    conductance, correction : ndarray, shape (K, W)
    head : ndarray, shape (n + F, W)
    flow : ndarray, shape (K, W)
        Changed.
    error : ndarray, shape (W,)
        Written: how much head is about to be out of balance yet, summed over links [m]: what is left when a loss that
        goes with about the square of flow is taken along its tangent. Shut links, which have a straight line for a
        curve, do not count; those without a conductance, whose flow the balance gives, do by its relative change. NaN where there is no solution.
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
            if p > _SHUT:
                error[b] += change * change / (p * size)
            elif p == 0.0:
                error[b] += abs(change) / (size + 1e-4)
