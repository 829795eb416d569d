"""What speaks for a leak beside the test: its hours, its plain height, its onset. Pure functions of levels by day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core import robust
from leakdetect.core.sequential import Change
from leakdetect.events import Kind
from leakdetect.stages.inflow.calendar import NIGHT, Floats
from leakdetect.stages.inflow.noise import RAMPS, STEPS

Days = NDArray[np.int64]

_BLOCK_DAYS = 10  # days before and after a change whose hours are compared
_FEWEST = 4  # days before a change that its hours need
_NIGHT_SHARE = 0.5  # of a rise that the night must show
_DAY_SHARE = 0.3  # of a rise that the median of the other hours must show
_BASE_DAYS = 14
_Z80 = 1.28


def before(levels: Floats, days: Days, onset: float) -> float | None:
    """Return the level in the two weeks before an onset; None where it is not known."""
    level = float(robust.location(levels[(days < onset - 1) & (days >= onset - 1 - _BASE_DAYS)]))
    return level if np.isfinite(level) else None


def like_a_leak(blocks: Floats, days: Days, onset: float, flow: float, *, abrupt: bool) -> bool:
    """Say whether the night and the rest of the day share a rise, as they do under a leak.

    A hot week lifts the day and not the night; sprinklers on a timer lift a few hours.

    Parameters
    ----------
    blocks : ndarray, shape (N, blocks)
        Blocks of hours above the pattern and beyond what is known.
    days : ndarray of int, shape (N,)
    onset : float
        Leak-day.
    flow : float
        Of the rise [m3/s].
    abrupt : bool
        Whether it has had its whole height since the onset; else it grew to it.

    Returns
    -------
    bool
        True too where the days before are not known well enough to tell.
    """
    found = _hours(blocks, days, onset)
    if found is None:
        return True
    rise, error = found
    if not abrupt:
        recent = days > max(onset, days[-1] - _BLOCK_DAYS)
        flow *= float(np.mean((days[recent] - onset) / (days[-1] - onset)))
    high = rise + _Z80 * error
    return bool(high[NIGHT] >= _NIGHT_SHARE * flow and robust.location(np.delete(high, NIGHT)) >= _DAY_SHARE * flow)


def by_hours(blocks: Floats, days: Days, onset: float) -> tuple[float, float] | None:
    """Return how much the night and the other hours have risen [m3/s]; None where that is not known.

    Parameters as `like_a_leak`.
    """
    found = _hours(blocks, days, onset)
    if found is None:
        return None
    night, day = float(found[0][NIGHT]), float(robust.location(np.delete(found[0], NIGHT)))
    return (night, day) if np.isfinite(night) and np.isfinite(day) else None


def _hours(blocks: Floats, days: Days, onset: float) -> tuple[Floats, Floats] | None:
    """Return the rise of each block of hours since an onset, and its error, shape (blocks,)."""
    earlier = blocks[(days < onset - 1) & (days >= onset - 1 - _BLOCK_DAYS)]
    later = blocks[days > max(onset, days[-1] - _BLOCK_DAYS)]
    if np.isfinite(earlier[:, NIGHT]).sum() < _FEWEST or not np.isfinite(later[:, NIGHT]).any():
        return None
    rise = robust.location(later, axis=0) - robust.location(earlier, axis=0)
    error = 1.25 * robust.scale(earlier, axis=0) * np.sqrt(1 / len(earlier) + 1 / len(later))
    return rise, error


def near_plain_rise(beyond: Floats, days: Days, onset: float, flow: float) -> float:
    """Keep the flow of a ramp near the plain difference of levels: a ramp need not have been straight."""
    base = before(beyond, days, onset + 1)
    rise = float(robust.location(beyond[-5:])) - (np.nan if base is None else base)
    if not np.isfinite(rise):
        return flow
    low, high = sorted((0.7 * rise, 1.2 * rise))
    return float(np.clip(flow, low, high))


def kind(change: Change, trust: float) -> Kind:
    """Return how a rise began: what steps and ramps, on the average of each, are worth."""
    weight = change.weights(+1, trust)
    return Kind.ABRUPT if weight[: len(STEPS)].mean() >= weight[len(STEPS) :].mean() else Kind.INCIPIENT


def onset_days(change: Change, best: int, day: int, trust: float) -> tuple[float, float, float]:
    """Return the leak-days between which a rise began with 80 %, and the likeliest: low, high, at."""
    onsets = day + 1.0 - np.concatenate([STEPS, RAMPS])
    order = np.argsort(onsets)
    share = np.cumsum(change.weights(+1, trust)[order])
    low, high = (onsets[order[min(int(np.searchsorted(share, p)), len(order) - 1)]] for p in (0.1, 0.9))
    return float(low) - 1.0, float(high) + 1.0, float(onsets[best])
