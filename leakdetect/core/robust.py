"""Robust location, scale and covariance: estimates that a leak in the window does not bend.

All ignore NaN. A scale is in the units of its values and estimates the standard deviation where they are normal.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def quantile(values: ArrayLike, q: float, axis: int | None = None) -> Floats:
    """Return the quantile along `axis` without NaN; NaN where there is no value at all (without a warning)."""
    x = np.asarray(values, dtype=float)
    x = x.ravel() if axis is None else np.moveaxis(x, axis, -1)
    ordered = np.sort(x, axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(axis=-1)
    if ordered.shape[-1] == 0:
        return np.full(ordered.shape[:-1], np.nan)
    place = q * np.maximum(count - 1, 0)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    a = np.take_along_axis(ordered, low[..., None], -1)[..., 0]
    b = np.take_along_axis(ordered, high[..., None], -1)[..., 0]
    return np.asarray(a + (b - a) * (place - low))


def location(values: ArrayLike, axis: int | None = None) -> Floats:
    """Return the median along `axis` without NaN."""
    return quantile(values, 0.5, axis)


def scale(values: ArrayLike, axis: int | None = None, *, centre: float | None = None, part: float = 0.5) -> Floats:
    """Return a robust standard deviation.

    Parameters
    ----------
    values : array_like
    axis : int, optional
    centre : float, optional
        What deviations are taken from; the median where nothing is said.
    part : float
        Share of the deviations that must be clean: 0.5 is the median absolute deviation; smaller stands more leaks
        and is noisier.
    """
    x = np.asarray(values, dtype=float)
    if centre is not None:
        middle: Floats | float = centre
    else:
        middle = location(x, axis) if axis is None else np.expand_dims(location(x, axis), axis)
    to_sd = 1.0 / NormalDist().inv_cdf((1.0 + part) / 2.0)
    return np.asarray(to_sd * quantile(np.abs(x - middle), part, axis))


def covariance(values: ArrayLike, *, clip: float = 3.0, shrink: float = 0.1) -> Floats:
    """Return a covariance that outlying rows cannot bend: robust scales, correlation of winsorised values.

    Parameters
    ----------
    values : array_like, shape (n, p)
        Rows with a NaN are left out.
    clip : float
        Where standardised values are cut.
    shrink : float
        Share of the correlation that is given up towards independence, so that the result can be inverted.

    Raises
    ------
    ValueError
        If fewer than three rows are whole.
    """
    x = np.asarray(values, dtype=float)
    x = x[np.isfinite(x).all(axis=1)]
    if len(x) < 3:
        raise ValueError("fewer than three whole rows: no covariance can be told")
    sd = scale(x, axis=0)
    floor = 1e-6 * max(float(sd.max()), np.finfo(float).tiny)
    sd = np.maximum(sd, floor)
    standard = np.clip((x - location(x, axis=0)) / sd, -clip, clip)
    standard -= standard.mean(axis=0)
    product = standard.T @ standard
    size = np.sqrt(np.maximum(np.diag(product), np.finfo(float).tiny))
    correlation = product / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    correlation = (1.0 - shrink) * correlation + shrink * np.eye(len(sd))
    return np.asarray(correlation * np.outer(sd, sd))


def without_spikes(values: ArrayLike, jump: ArrayLike) -> Floats:
    """Return a series without lone outlying values; a step stays.

    A value that stands out from both its neighbours on the same side by more than `jump` becomes NaN. Of the newest
    value nobody knows yet whether it is a spike or the first after a step: it is cut to within `jump` of the two before
    it.

    Parameters
    ----------
    values : array_like, shape (n,)
    jump : array_like, shape (n,) or scalar
        Difference between neighbours that is out of the ordinary.
    """
    x = np.array(values, dtype=float)
    limit = np.broadcast_to(np.asarray(jump, dtype=float), x.shape)
    if len(x) < 3:
        return x
    left, middle, right = x[:-2], x[1:-1], x[2:]
    with np.errstate(invalid="ignore"):
        above = np.minimum(middle - left, middle - right) > limit[1:-1]
        below = np.minimum(left - middle, right - middle) > limit[1:-1]
    before = x[-3:-1][np.isfinite(x[-3:-1])]
    x[1:-1][above | below] = np.nan
    if len(before) and np.isfinite(x[-1]):
        x[-1] = np.clip(x[-1], before.min() - limit[-1], before.max() + limit[-1])
    return x
