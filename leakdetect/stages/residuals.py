"""Residuals over blocks of steps, and how they scatter where nothing leaks.

A block's residual scatters about a level that itself wanders (season, customers moving, loggers): white noise R about
a random walk of covariance Q a block. By night and by day the level wanders apart, since what is wrong with a model
shows with its load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BANDS = 2
"""Night and day: blocks of low and of high load."""

_UNKNOWN = 1e6  # [m2 or (m3/h)2] variance of a channel that was never heard
_CLIP_BLOCK, _CLIP_WEEK = 4.0, 2.5  # robust deviations beyond which a difference is a leak or a fault, not noise


@dataclass(frozen=True)
class Noise:
    """Scatter of block residuals; C channels.

    Attributes
    ----------
    white : ndarray, shape (2, C, C)
        Covariance R of a block's residual about its level, by band.
    walk : ndarray, shape (2 C, 2 C)
        Covariance Q by which the levels (night's channels, then day's) wander in a day.
    """

    white: Floats
    walk: Floats


def block_means(values: Floats, size: int) -> Floats:
    """Return means over blocks of `size` steps, NaN unless half of a block is there, shape (T / size, C)."""
    shaped = values.reshape(-1, size, values.shape[1])
    count = np.isfinite(shaped).sum(axis=1)
    means: Floats = np.where(count * 2 >= size, np.nansum(shaped, axis=1) / np.maximum(count, 1), np.nan)
    return means


def fit_noise(residual: Floats, band: Ints, per_day: int, floor: Floats) -> Noise:
    """Estimate both parts from differences, which leaks that come and go hardly touch.

    Parameters
    ----------
    residual : ndarray, shape (B, C)
        Block residuals of a past window, NaN where there are none.
    band : ndarray of int, shape (B,)
    per_day : int
        Blocks a day.
    floor : ndarray, shape (C,)
        Least standard deviation (resolution of the instruments).
    """
    channels = residual.shape[1]
    white = np.zeros((BANDS, channels, channels))
    weekly = []
    for b in range(BANDS):
        rows = residual[band == b]
        white[b] = _covariance(np.diff(rows, axis=0), _CLIP_BLOCK, 0.1) / 2 + np.diag(floor**2)
        weekly.append(_means(np.where((band == b)[:, None], residual, np.nan), 7 * per_day))
    steps = np.diff(np.hstack(weekly), axis=0)
    # The mean of a week of a random walk moves by (2/3) 7 days of Q to the next week's; white noise is far below.
    walk = _covariance(steps, _CLIP_WEEK, 0.3) / (7 * 2 / 3)
    floor2 = np.concatenate([floor, floor]) ** 2
    walk = walk + np.diag(floor2 * 0.01)
    # Nothing is known of a channel that was silent throughout: what it says later proves nothing.
    silent = np.flatnonzero(~np.isfinite(residual).any(axis=0))
    white[:, silent, silent] = _UNKNOWN
    return Noise(white, walk)


def _means(values: Floats, size: int) -> Floats:
    whole = values[: len(values) // size * size].reshape(-1, size, values.shape[1])
    count = np.isfinite(whole).sum(axis=1)
    means: Floats = np.where(count > 0, np.nansum(whole, axis=1) / np.maximum(count, 1), np.nan)
    return means


def _covariance(rows: Floats, clip: float, shrink: float) -> Floats:
    """Return a covariance of differences, robust by clipping, shrunk to its diagonal; gaps count as no difference."""
    scale = np.zeros(rows.shape[1])
    seen = np.isfinite(rows).any(axis=0)
    scale[seen] = 1.4826 * np.nanmedian(np.abs(rows[:, seen]), axis=0)
    clipped = np.nan_to_num(np.clip(rows, -clip * scale, clip * scale))
    count = np.isfinite(rows).astype(float)
    pairs = count.T @ count
    full = clipped.T @ clipped / np.maximum(pairs, 1)
    diagonal = np.diag(np.diag(full))
    mixed = (1 - shrink) * full + shrink * diagonal
    # Pairwise gaps can leave a matrix that is not a covariance: mend the smallest eigenvalues of its correlation.
    sd = np.sqrt(np.maximum(np.diag(mixed), 1e-18))
    values, vectors = np.linalg.eigh(mixed / np.outer(sd, sd))
    out: Floats = (vectors * np.maximum(values, 1e-3)) @ vectors.T * np.outer(sd, sd)
    return out
