"""Many pipes as one short SVG path: on a grid as fine as the picture needs, along streets, in relative steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from leakdetect.network import Floats


def path(start: Floats, end: Floats, grid: float) -> str:
    """Return lines as the data of one SVG path.

    Ends are moved to a grid; what becomes a point, or is there twice, is left out. Lines that meet are drawn in one go.

    Parameters
    ----------
    start, end : ndarray, shape (N, 2)
    grid : float
        Step of the grid, in the drawing's units.
    """
    ends = np.round(np.hstack([start, end]) / grid).astype(np.int64).reshape(-1, 2)
    spots, which = np.unique(ends, axis=0, return_inverse=True)
    pairs = np.unique(np.sort(which.reshape(-1, 2), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    digits = max(0, math.ceil(-math.log10(grid)))
    points = np.asarray(spots * grid, dtype=np.float64)
    return "".join(_trail(points[trail], digits) for trail in _trails(pairs, len(points)))


def _trails(pairs: NDArray[np.int64], count: int) -> list[list[int]]:
    """Cover a graph's edges with walks, each edge once; dead ends and crossings of odd degree first."""
    free: list[set[int]] = [set() for _ in range(count)]
    for a, b in pairs.tolist():
        free[a].add(b)
        free[b].add(a)
    trails = []
    for begin in sorted(range(count), key=lambda node: len(free[node]) % 2 == 0):
        while free[begin]:
            walk = [begin]
            while free[walk[-1]]:
                here = walk[-1]
                following = min(free[here])
                free[here].remove(following)
                free[following].remove(here)
                walk.append(following)
            trails.append(walk)
    return trails


def _trail(points: Floats, digits: int) -> str:
    first, steps = points[0].tolist(), np.diff(points, axis=0).ravel().tolist()
    return f"M{_text(first, digits)}l{_text(steps, digits)}"


def _text(values: list[float], digits: int) -> str:
    return " ".join(f"{round(value, digits) + 0.0:g}" for value in values)
