"""Masks over one sensor's readings: true where a reading should not be used.

All are causal with bounded memory: the mask at time t depends on readings in (t - 14 days, t] only. Times are
increasing integers [ns]; `value` holds no NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.trailing import DAY, Days, Floats, Ints, before

Mask = NDArray[np.bool_]

_HOUR = DAY // 24
PAST = 12
"""Days that a reading is compared with."""
LEAD = 10
"""Readings that a spike is compared with at once, and those that they are compared with."""
_ENOUGH = 3  # of which so many must hold readings
_RUN_MAX = 13 * DAY  # a run's age is not counted further
_MACHINE = 0.02  # a flow that varies by less than this share of itself is a pump's: to switch is its nature


def missing(time: Ints, present: Mask, step: float) -> Mask:
    """Return where a reading was due and is not there, shape (T,).

    Parameters
    ----------
    time : ndarray of int, shape (T,)
        The record's times, those of other sensors too.
    present : ndarray of bool, shape (T,)
        Where this sensor has a reading.
    step : float
        [s] between this sensor's own readings.
    """
    last = np.maximum.accumulate(np.where(present, np.arange(time.size), -1))
    since = time - np.where(last < 0, time[:1], time[last])
    due: Mask = ~present & (since >= 0.999e9 * step)
    return due


def stuck(time: Ints, value: Floats, step: float, *, zero_is_normal: bool, begin: int = 0) -> Mask:
    """Return where a value has stood still for longer than this sensor's recent past explains, shape (T,).

    The past is the 12 days before the run began, so that a long run does not become normal. A sensor that stands
    still for half a day in every fifth day (a held pressure, a parked pump) is never called stuck; one that has stood
    still since 12 days is, unless at zero, as nothing is left to compare with.

    Parameters
    ----------
    time, value : ndarray, shape (T,)
    step : float
        [s].
    zero_is_normal : bool
        Never flag a run of zeros (customers on holiday).
    begin : int
        Readings before this one are not judged.
    """
    mask = np.zeros(time.size, dtype=bool)
    broken = np.r_[True, (np.diff(value) != 0) | (np.diff(time) > DAY)]
    start = np.maximum.accumulate(np.where(broken, np.arange(time.size), 0))
    age = np.minimum(time - time[start], _RUN_MAX)
    shortest = max(6 * _HOUR, int(12e9 * step))
    at = begin + np.flatnonzero(age[begin:] > shortest)
    if not at.size:
        return mask
    days = Days.split(time)
    in_day = np.maximum(start, np.repeat(days.first, np.diff(np.r_[days.first, time.size])))
    longest = days.maximum((time - time[in_day]).astype(float))
    machine = _machine(days, value, np.r_[np.nan, np.abs(np.diff(value))])
    lowest = np.where(machine == 1, 0.0, days.minimum(np.abs(value)))
    began = days.of[start[at]]
    length = np.minimum(days.of[at] - began, PAST)
    usual, floor = np.full(at.size, np.nan), np.full(at.size, np.nan)
    for n in np.unique(length[length < PAST]):  # a run n days old leaves 12 - n days before it to look at
        mine = length == n
        window = PAST - int(n)
        enough = min(_ENOUGH, window)
        usual[mine] = before(longest, 0.8, window, enough)[began[mine]]
        floor[mine] = before(lowest, 0.0, window, enough)[began[mine]]
    unknown = np.isnan(usual)
    long = np.where(unknown, length == PAST, (age[at] > 4 * usual) & (usual < 12 * _HOUR))
    at_zero = (value[at] == 0) & (zero_is_normal | unknown | (floor == 0))
    mask[at] = long & ~at_zero
    return mask


def _machine(days: Days, value: Floats, change: Floats) -> Floats:
    """Return 1 for days on which a value hardly varies but when it leaps, 0 for others, NaN for silent ones; (D,)."""
    size = days.quantile(np.abs(value), 0.5)
    return np.where(np.isnan(size), np.nan, days.quantile(change, 0.95) < _MACHINE * size)


def spike(
    time: Ints,
    value: Floats,
    step: float,
    smallest: float,
    *,
    switches: bool,
    past: Floats | None = None,
    since: int | None = None,
) -> tuple[Mask, Floats]:
    """Return where a value leaps away from the few before it and out of the recent range.

    A Hampel test on the trailing median of five, so that a step that stays (a burst) loses two readings at most. The
    threshold is what the sensor does of itself in the 12 days before: its usual deviations, and the largest leaps
    that stayed (a pump switching).

    Parameters
    ----------
    time, value : ndarray, shape (T,)
    step : float
        [s]; readings further back than six steps are not compared with.
    smallest : float
        No smaller leap is a spike; in the unit of `value`.
    switches : bool
        Whether it may be a pump's, whose leaps are no spikes however rare.
    past : ndarray, shape (12, 5), optional
        Of the 12 days before `since`, as returned; of earlier readings only the last ten (`LEAD`) are then needed.
    since : int, optional
        First day [since 1970] to look at; that of the first reading if not given. Earlier readings are not judged.

    Returns
    -------
    mask : ndarray of bool, shape (T,)
    daily : ndarray, shape (12 + D, 5)
        Of `past` and of the D days from `since` to the last reading: how far a reading usually leaps, the largest leap
        that stayed, lowest and highest trailing median, whether it is a machine's.
    """
    past = np.full((PAST, 5), np.nan) if past is None else past
    since = int(time[0] // DAY) if since is None else since
    lead = int(np.searchsorted(time, since * DAY))
    if time.size == lead:
        return np.zeros(lead, dtype=bool), past
    recent = np.full((time.size, 5), np.nan)
    recent[:, 0] = value
    for k in range(1, 5):
        near = time[k:] - time[:-k] <= 6e9 * step
        recent[k:, k] = np.where(near, value[:-k], np.nan)
    recent.sort(axis=1)
    known = np.sum(~np.isnan(recent), axis=1)
    middle = np.where(known == 5, recent[:, 2], np.where(known == 4, (recent[:, 1] + recent[:, 2]) / 2, np.nan))
    off = np.abs(value - middle)
    stayed = np.full(time.size, np.nan)
    stayed[5:] = np.abs(middle[5:] - middle[:-5])
    stayed[5:][time[5:] - time[:-5] > 12e9 * step] = np.nan
    change = np.r_[np.nan, np.abs(np.diff(value))]
    value, middle, off, stayed, change = (of[lead:] for of in (value, middle, off, stayed, change))
    days = Days.split(time[lead:])
    own = (days.quantile(off, 0.95), days.maximum(stayed), days.minimum(middle), days.maximum(middle))
    silent = np.full((int(time[lead] // DAY) - since, len(own) + 1), np.nan)
    before_own = np.concatenate([past, silent])
    daily = np.concatenate([before_own, np.stack([*own, _machine(days, value, change)], axis=1)])
    usual, leap, low, high, by_machine = (
        before(column, q, PAST, _ENOUGH)[len(before_own) + days.of]
        for column, q in zip(daily.T, (0.5, 0.8, 0.0, 1.0, 0.5), strict=True)
    )
    threshold = np.maximum(np.maximum(6 * usual, 1.5 * leap), smallest)
    outside = np.maximum(value - high, low - value) > 0.25 * threshold
    found = (off > threshold) & outside & ~(switches & (by_machine == 1))
    return np.r_[np.zeros(lead, dtype=bool), found], daily


def dropped_to_zero(time: Ints, value: Floats, usual: float, begin: int = 0) -> Mask:
    """Return where a value is not above 0 although its median of the 12 days before is above `usual`, shape (T,).

    Readings before `begin` are not judged.
    """
    at_zero: Mask = value <= 0
    at_zero[:begin] = False
    if at_zero.any():
        days = Days.split(time)
        middle = before(days.quantile(value, 0.5), 0.5, PAST, _ENOUGH)[days.of]
        at_zero &= middle > usual
    return at_zero


def lone_drift(daily: Floats, up: float, down: float) -> Mask:
    """Return the days on which one sensor has for 12 days been leaving what all others do, shape (D, S).

    Hard to tell from a leak, hence cautious: at least five sensors, gradual, in one direction, four times as far as
    any other sensor, and far: a leak lowers pressure, so a rise is told sooner than a fall.

    Parameters
    ----------
    daily : ndarray, shape (D, S)
        Each day's median.
    up, down : float
        Smallest drift over the 12 days, in the unit of `daily`.
    """
    mask = np.zeros(daily.shape, dtype=bool)
    if daily.shape[0] <= PAST or daily.shape[1] < 5:
        return mask
    past = np.lib.stride_tricks.sliding_window_view(daily[:-1], PAST, axis=0)  # (D - 12, S, 12)
    whole = np.asarray(~np.isnan(past).any(axis=2))
    enough = whole.sum(axis=1) >= 5
    past = np.where(whole[:, :, None], past, np.nan)[enough]
    away = past - np.nanmedian(past, axis=1, keepdims=True)
    total = np.median(away[:, :, -3:], axis=2) - np.median(away[:, :, :3], axis=2)
    size = np.nan_to_num(np.abs(total))
    runner_up = np.sort(size, axis=1)[:, -2, None]
    days = np.diff(away, axis=2)
    gradual = np.abs(days).max(axis=2, initial=0) <= 0.4 * size
    one_way = (days * np.sign(total)[:, :, None] > 0).mean(axis=2) >= 0.8
    far = (total > up) | (total < -down)
    mask[PAST:][enough] = far & gradual & one_way & (size > 4 * runner_up)
    return mask


def clock_shift(hourly: Floats, group: Mask) -> Mask:
    """Return the days before which a sensor's daily pattern came an hour early or late against the others', (D, S).

    A sensor is judged by its correlation with the group's median pattern of the same day: close without a shift eight
    to twelve days back, and on both of the last two days far closer with one. A holiday or the town's own clock
    change moves the group too. When the shift is older than that it has become the sensor's pattern.

    Parameters
    ----------
    hourly : ndarray, shape (D, 24, S)
        Hourly means; NaN where there is none.
    group : ndarray of bool, shape (S,)
        Sensors that make the common pattern.
    """
    mask = np.zeros((hourly.shape[0], hourly.shape[2]), dtype=bool)
    if hourly.shape[0] <= PAST or group.sum() < 5:
        return mask
    shape = hourly - hourly.mean(axis=1, keepdims=True)
    size = np.sqrt(np.mean(shape**2, axis=1, keepdims=True))
    shape = np.where(size > 0, shape / np.where(size > 0, size, 1), np.nan)
    known = (~np.isnan(shape[:, 0, group])).sum(axis=1) >= 5
    common = np.zeros(shape.shape[:2])
    common[known] = np.nanmedian(shape[known][:, :, group], axis=2)
    common /= np.maximum(np.sqrt(np.mean(common**2, axis=1, keepdims=True)), 1e-12)
    alike = {lag: np.mean(shape * np.roll(common, lag, axis=1)[:, :, None], axis=1) for lag in (-1, 0, 1)}
    usual = np.lib.stride_tricks.sliding_window_view(alike[0], 5, axis=0)[: hourly.shape[0] - PAST]  # (D - 12, S, 5)
    sign = np.sign(usual[:, :, 0])  # flow rises when pressure falls
    steady = (usual * sign[:, :, None] > 0.9).all(axis=2)
    for lag in (-1, 1):
        both = steady.copy()
        for back in (1, 2):
            day = slice(PAST - back, hourly.shape[0] - back)
            moved, as_is = alike[lag][day] * sign, alike[0][day] * sign
            both &= (moved > 0.9) & (1 - moved < 0.4 * (1 - as_is))
        mask[PAST:] |= both
    return mask
