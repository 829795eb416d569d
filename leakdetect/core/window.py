"""What a window of blocks shows beyond a frozen reference: loops over blocks, leaks and channels, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@compiled
def fit_shape(
    observed: Floats, band: Ints, weights: Floats, shape: Floats, reference: Floats, moved: Bools, which: Ints,
    effect: Floats, ran: Bools, held: Floats, followed: Floats, frozen: Floats, value: Floats, load: Floats,
    level: Floats, square: Floats, basis: Floats,
) -> None:  # fmt: skip
    """Fit a shape to what is left of each channel in each of two bands, by least squares.

    Parameters
    ----------
    observed : ndarray, shape (n, C)
        NaN where there is none.
    band : ndarray of int, shape (n,)
        0 or 1.
    weights : ndarray, shape (n, K)
        Of load states.
    shape : ndarray, shape (n,)
    reference : ndarray, shape (2 C,)
        Levels that are taken off.
    moved : ndarray of bool, shape (C,)
        Channels that are not looked at.
    which : ndarray of int, shape (R,)
        Leaks that are taken off, of L.
    effect : ndarray, shape (n, L, C)
        Of a unit of their flow.
    ran : ndarray of bool, shape (n, L)
    held, followed : ndarray, shape (n, L)
        Flow that `observed` is without already, and as it was followed.
    frozen : ndarray, shape (R,)
        Flow as it was foreseen; NaN for leaks that are taken as followed.
    value : ndarray, shape (2 C,)
        Written: size of the shape; NaN where less than half of it was seen.
    load : ndarray, shape (2, K)
        Written: mean of `weights`, by the square of the shape; 0 in a band without blocks.
    level, square : ndarray, shape (2,)
        Written: what a unit of a level adds to `value`, and the sum of squares of the shape.
    basis : ndarray, shape (2 C, R)
        Written: what a unit of each leak adds to `value`.
    """
    count, channels = observed.shape
    total, rest = np.zeros(2 * channels), np.empty(channels)
    value[:], load[:], level[:], square[:], basis[:] = 0.0, 0.0, 0.0, 0.0, 0.0
    by_leak = np.zeros((len(which), 2 * channels))
    for t in range(count):
        w = shape[t]
        if w == 0.0:
            continue
        b = band[t]
        first = b * channels
        square[b] += w * w
        level[b] += w
        for k in range(weights.shape[1]):
            load[b, k] += w * w * weights[t, k]
        for c in range(channels):
            rest[c] = observed[t, c] - reference[first + c]
        for r in range(len(which)):
            k = which[r]
            now = followed[t, k] if np.isnan(frozen[r]) else frozen[r]
            taken = (now if ran[t, k] else 0.0) - held[t, k]
            share = w if ran[t, k] else 0.0
            for c in range(channels):
                rest[c] -= effect[t, k, c] * taken
                by_leak[r, first + c] += share * effect[t, k, c]
        for c in range(channels):
            good = np.isfinite(rest[c])
            total[first + c] += w * w if good else 0.0
            value[first + c] += w * rest[c] if good else 0.0
    for b in range(2):
        if square[b] > 0:
            level[b] /= square[b]
            for k in range(load.shape[1]):
                load[b, k] /= square[b]
        for c in range(channels):
            i = b * channels + c
            enough = square[b] > 0 and total[i] > square[b] / 2 and not moved[c]
            value[i] = value[i] / total[i] if enough else np.nan
            for r in range(len(which)):
                basis[i, r] = by_leak[r, i] / square[b] if square[b] > 0 else 0.0


@compiled
def spread(
    white: Floats, scatter: Floats, square: Floats, level: Floats, levels: Floats, walk: Floats, wandered: float,
    basis: Floats, cross: Floats, own: Floats, rough: Floats, cov: Floats,
) -> None:  # fmt: skip
    """Write the covariance of what `fit_shape` finds where nothing has changed.

    Parameters
    ----------
    white : ndarray, shape (2, C, C)
        Noise of a block in each band.
    scatter : ndarray, shape (2, C)
        Factor on its deviation.
    square, level, basis : ndarray, shape (2,), (2,), (2 C, R)
        As `fit_shape` has them.
    levels : ndarray, shape (>= 2 C, >= 2 C)
        Covariance of the levels, at the upper left.
    walk : ndarray, shape (2 C, 2 C)
        By which they wander in a block.
    wandered : float
        Blocks.
    cross, own : ndarray, shape (2 C, R), (R, R)
        Covariance of the leaks' flows with the levels, and their own.
    rough : ndarray, shape (2 C,)
        Variance of what is wrong with the leaks' effects.
    cov : ndarray, shape (2 C, 2 C)
        Written. 1 on the diagonal of a band without blocks.
    """
    channels, leaks = white.shape[1], basis.shape[1]
    half = np.empty((2 * channels, leaks))  # cov = noise + D P D + half basis' + basis half'
    for i in range(2 * channels):
        for r in range(leaks):
            sum_ = level[i // channels] * cross[i, r]
            for q in range(leaks):
                sum_ += 0.5 * basis[i, q] * own[q, r]
            half[i, r] = sum_
    for i in range(2 * channels):
        a = i // channels
        for j in range(i + 1):
            b = j // channels
            sum_ = level[a] * level[b] * (levels[i, j] + walk[i, j] * wandered)
            for r in range(leaks):
                sum_ += half[i, r] * basis[j, r] + basis[i, r] * half[j, r]
            if a == b and square[a] > 0:
                m, n = i - a * channels, j - a * channels
                sum_ += white[a, m, n] * (scatter[a, m] * scatter[a, n]) / square[a]
            if i == j:
                sum_ += rough[i] if square[a] > 0 else 1.0
            cov[i, j] = sum_
            cov[j, i] = sum_
