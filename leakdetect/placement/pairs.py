"""Which leaks may be confused with which: all pairs, or a sample that stands for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from leakdetect.placement.sight import Outlook

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEAR = 0.5  # share of a leak's alternatives that are those it is hardest to tell from


def pairs_of(view: Outlook, most: int) -> tuple[Ints, Ints, Floats]:
    """Return pairs of leaks that may be confused, by the first leak, and the length that each stands for [m].

    All of them, or for each leak those that it is hardest to tell from, whichever the sensors, and as many drawn from
    the rest. The weights are such that without a sensor a leak may be anywhere: they add up to the length of all pipes,
    but for the mean length of the pipe itself.

    Parameters
    ----------
    view : Outlook
    most : int
        Pairs.

    Returns
    -------
    begin, second, weight : ndarray, shape (M + 1,), (P,), (P,)
        As `Separation` takes them.
    """
    count, length = len(view.links), view.length
    part = length / length.sum()
    if count * (count - 1) // 2 <= most:
        first, second = np.triu_indices(count, 1)
        begin = np.r_[0, np.cumsum(np.arange(count - 1, -1, -1))]
        return begin, second, 2 * part[first] * length[second]
    each = max(most // count, 2)
    near = max(round(_NEAR * each), 1)
    random = np.random.default_rng(0)
    flat = view.response.reshape(-1, count).T
    # Distances in a few random directions stand for those in all (Johnson, Lindenstrauss 1984).
    tree = cKDTree(flat @ random.standard_normal((flat.shape[1], 8)).astype(np.float32))
    close = tree.query(tree.data, k=near + 1)[1]
    second, weight = np.empty((count, each), dtype=np.int64), np.empty((count, each))
    for a in range(count):
        alike = close[a][close[a] != a][:near]
        rest = np.setdiff1d(np.arange(count), np.r_[alike, a])
        drawn = random.choice(rest, each - near, replace=len(rest) < each - near)
        second[a] = np.r_[alike, drawn]
        weight[a] = part[a] * np.r_[length[alike], length[drawn] * length[rest].sum() / length[drawn].sum()]
    return each * np.arange(count + 1), second.ravel(), weight.ravel()
