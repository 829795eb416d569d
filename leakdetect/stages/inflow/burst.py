"""The look at every step for a burst that cannot wait for the night.

What counts is what all but 30 % of the last six, or twelve, hours exceed: a pool filled, a hydrant test or a fire flow
of an hour or two does not move it. It is told from two things, the residual in its standard deviations and the residual
as a share of what is expected, both against the higher of the day's own pattern and Sunday's, for it may be a holiday.
"""

from __future__ import annotations

import numpy as np

from leakdetect.core import robust
from leakdetect.stages.inflow.calendar import Floats

WINDOWS = (6, 12)
"""Hours looked back."""
MEMORY = 36
"""Hours remembered, to place the onset."""
LOW = 0.3
"""Quantile of the window that must be high."""
SHARE = 0.3
"""Of the expected inflow that a burst must exceed: by day people may well use so much more, and the night tells."""


def memory(step: int) -> int:
    """Return how many steps must be remembered."""
    return MEMORY * 3600 // step


def scores(standard: Floats, step: int, hours: int) -> Floats:
    """Return the low quantile of the last `hours` of standardised residuals at every step.

    Parameters
    ----------
    standard : ndarray, shape (T,)
        Residual over its standard deviation; NaN counts as low.
    step : int
        s.
    hours : int

    Returns
    -------
    ndarray, shape (T,)
        -inf where the window does not fill or too much of it is missing.
    """
    n = hours * 3600 // step
    filled = np.concatenate([np.full(n - 1, -np.inf), np.where(np.isfinite(standard), standard, -np.inf)])
    windows = np.lib.stride_tricks.sliding_window_view(filled, n)
    place = int(LOW * n)
    return np.asarray(np.partition(windows, place, axis=1)[:, place])


def onset(rest: Floats, sd: Floats, flow: float, independent: int) -> tuple[int, int, int]:
    """Return the most likely first step of an abrupt leak, and an 80 % interval.

    Parameters
    ----------
    rest : ndarray, shape (N,)
        Residual against the level before the leak; NaN has no say.
    sd : ndarray, shape (N,)
    flow : float
        Of the leak.
    independent : int
        Steps after which residuals have forgotten each other.
    """
    gain = np.where(np.isfinite(rest), (2 * flow * rest - flow**2) / sd**2, 0.0)
    gain = np.clip(gain, -9.0, 9.0)  # one wild step must not place the onset
    after = np.cumsum(gain[::-1])[::-1] / independent
    likely = np.exp(0.5 * (after - after.max()))
    share = np.cumsum(likely) / likely.sum()
    low, high = np.searchsorted(share, [0.1, 0.9])
    return int(np.argmax(after)), int(low), int(min(high, len(rest) - 1))


def height(rest: Floats) -> tuple[float, float]:
    """Return the flow that a window of residuals shows and its standard deviation [m3/s]."""
    known = rest[np.isfinite(rest)]
    return float(robust.location(known)), float(robust.scale(known))
