"""Which readings can be used, and their means over regular steps. Readings are never edited.

Every check is causal with bounded memory: a flag at time t depends on readings in (t - 14 days, t] only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.core import masks
from leakdetect.core.trailing import DAY, Days
from leakdetect.errors import ReadingsError
from leakdetect.schema import COORDINATES, SENSOR, TIME, Flag, Quantity
from leakdetect.units import factor

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

CONTEXT = np.timedelta64(14, "D")
"""How much of the past `flag` needs before the first reading that matters."""

_SMALLEST_SPIKE = {Quantity.PRESSURE: 0.5, Quantity.HEAD: 0.5, Quantity.LEVEL: 0.2, Quantity.FLOW: 3e-4}  # [m], [m3/s]
_LIMITS = {  # what no network holds, SI
    Quantity.PRESSURE: (-10.4, 1000.0),  # absolute vacuum
    Quantity.HEAD: (-500.0, 10_000.0),
    Quantity.LEVEL: (-1.0, 200.0),
    Quantity.FLOW: (-50.0, 50.0),
    Quantity.DEMAND: (-5.0, 5.0),
}
_ERROR_CODES = (-999.0, -9999.0, -99999.0, -32768.0, 65535.0, 99999.0, 999999.0)  # in the user's unit
_USUAL_PRESSURE = 10.0  # [m] above which a reading of zero is a fault of the logger
_DRIFT_UP, _DRIFT_DOWN = 1.0, 6.0  # [m] in 12 days


def missing(data: xr.Dataset) -> Mask:
    """Return where a reading was due, by the sensor's own step, and is not there."""
    time, mask = _time(data), _empty(data)
    for s, value in _columns(data):
        mask[:, s] = masks.missing(time, ~np.isnan(value), float(data["step"].values[s]))
    return mask


def stuck(data: xr.Dataset) -> Mask:
    """Return where a value has stood still for longer than its own past explains."""

    def one(time: Ints, value: NDArray[np.float64], step: float, quantity: Quantity, _: str) -> Mask:
        return masks.stuck(time, value, step, zero_is_normal=quantity == Quantity.DEMAND)

    return _each(data, one)


def spike(data: xr.Dataset) -> Mask:
    """Return single leaps out of the recent range; customers' meters leap by nature and are not judged."""

    def one(time: Ints, value: NDArray[np.float64], step: float, quantity: Quantity, _: str) -> Mask:
        if quantity not in _SMALLEST_SPIKE:
            return np.zeros(time.size, dtype=bool)
        return masks.spike(time, value, step, _SMALLEST_SPIKE[quantity], switches=quantity == Quantity.FLOW)

    return _each(data, one)


def out_of_range(data: xr.Dataset) -> Mask:
    """Return what no network holds, the error codes of loggers, and zeros where there is pressure."""

    def one(time: Ints, value: NDArray[np.float64], _: float, quantity: Quantity, unit: str) -> Mask:
        low, high = _LIMITS[quantity]
        codes = np.array(_ERROR_CODES) * factor(quantity, unit)
        nearest = np.abs(value[:, None] - codes) <= 1e-9 * np.abs(codes)
        mask = (value < low) | (value > high) | nearest.any(axis=1)
        if quantity == Quantity.PRESSURE:
            mask |= masks.dropped_to_zero(time, value, _USUAL_PRESSURE)
        return np.asarray(mask)

    return _each(data, one)


def drift(data: xr.Dataset) -> Mask:
    """Return pressures that leave the pattern of all others gradually."""
    mask = _empty(data)
    which = np.flatnonzero(np.isin(data["quantity"].values, [Quantity.PRESSURE, Quantity.HEAD]))
    if which.size < 5 or not data.sizes[TIME]:
        return mask
    days = Days.split(_time(data))
    values = data["reading"].values
    middle = np.stack([days.quantile(np.ascontiguousarray(values[:, s]), 0.5) for s in which], axis=1)
    mask[:, which] = masks.lone_drift(middle, _DRIFT_UP, _DRIFT_DOWN)[days.of]
    return mask


def clock(data: xr.Dataset) -> Mask:
    """Return sensors whose daily pattern has moved by an hour while the others' has not."""
    mask = _empty(data)
    which = np.flatnonzero(np.isin(data["quantity"].values, [Quantity.PRESSURE, Quantity.HEAD, Quantity.FLOW]))
    if not data.sizes[TIME]:
        return mask
    hour = _time(data) // (DAY // 24)
    first = np.flatnonzero(np.r_[True, np.diff(hour) > 0])
    value = data["reading"].values[:, which]
    known = np.add.reduceat(~np.isnan(value), first, axis=0, dtype=np.int64)
    total = np.add.reduceat(np.nan_to_num(value), first, axis=0)
    start = hour[0] // 24
    days = int(hour[-1] // 24 - start) + 1
    hourly = np.full((days * 24, which.size), np.nan)
    hourly[hour[first] - start * 24] = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    table = hourly.reshape(days, 24, which.size)
    mask[:, which] = masks.clock_shift(table, data["quantity"].values[which] != Quantity.FLOW)[hour // 24 - start]
    return mask


CHECKS: dict[Flag, Callable[[xr.Dataset], Mask]] = {
    Flag.MISSING: missing,
    Flag.STUCK: stuck,
    Flag.SPIKE: spike,
    Flag.RANGE: out_of_range,
    Flag.DRIFT: drift,
    Flag.CLOCK: clock,
}
"""Every check, by the flag it sets."""


def flag(data: xr.Dataset) -> xr.Dataset:
    """Return the dataset with ``flag`` and ``usable``.

    Parameters
    ----------
    data : Dataset
        ``reading`` over (time, sensor). What matters must be preceded by `CONTEXT` for flags that do not depend on
        where the record begins.

    Returns
    -------
    Dataset
        The same with ``flag`` (bits of `Flag`) and ``usable`` (a reading is there and has no flag).
    """
    bits = np.zeros(data["reading"].shape, dtype=np.uint8)
    for name, check in CHECKS.items():
        bits[check(data)] |= np.uint8(name)
    usable = (bits == 0) & ~np.isnan(data["reading"].values)
    return data.assign(flag=((TIME, SENSOR), bits), usable=((TIME, SENSOR), usable))


def to_steps(data: xr.Dataset, step: float) -> xr.Dataset:
    """Return means of usable readings over [t, t + step), labelled by t.

    Parameters
    ----------
    data : Dataset
        ``reading, flag, usable``.
    step : float
        [s]; steps are counted from 1970, so they do not depend on where the record begins.

    Returns
    -------
    Dataset
        ``reading, flag, usable, last`` over complete steps, none left out: those from whose first to whose last
        reading, by the finest sensor step, the record reaches. A mean is NaN, and not usable, unless half of the
        readings due in the step are usable; `flag` then holds all flags in it. A sensor of a longer step keeps its
        value in the step where it falls. Coordinate ``last_reading`` (time) is the time of the last reading in each
        step; NaT if there is none.

    Raises
    ------
    ReadingsError
        If `data` has not been through `flag`.
    """
    if "usable" not in data:
        raise ReadingsError("readings have no flags yet: call quality.flag before quality.to_steps")
    width = round(step * 1e9)
    time = _time(data)
    finest = int(min(data["step"].values, default=step) * 1e9)
    if time.size:
        begin = -(-(time[0] - min(finest, width) + 1) // width)
        end = (time[-1] + min(finest, width)) // width
    else:
        begin = end = 0
    blocks = np.arange(begin, max(end, begin))
    rows = np.flatnonzero((time >= begin * width) & (time < end * width))
    shape = (blocks.size, data.sizes[SENSOR])
    total, used, bits = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.uint8)
    final = np.full(shape, np.nan)
    last = np.full(blocks.size, np.datetime64("NaT", "ns"))
    if rows.size:
        inside = slice(rows[0], rows[-1] + 1)
        usable = data["usable"].values[inside]
        reading = data["reading"].values[inside]
        block = time[inside] // width - begin
        first = np.flatnonzero(np.r_[True, np.diff(block) > 0])
        at = block[first]
        total[at] = np.add.reduceat(np.where(usable, reading, 0.0), first, axis=0)
        used[at] = np.add.reduceat(usable, first, axis=0, dtype=np.int64)
        bits[at] = np.bitwise_or.reduceat(data["flag"].values[inside], first, axis=0)
        spoken = np.where(~np.isnan(reading).all(axis=1), time[inside], np.iinfo(np.int64).min)
        last[at] = np.maximum.reduceat(spoken, first).astype("datetime64[ns]")  # the smallest integer is NaT
        row = np.where(usable, np.arange(len(block))[:, None], -1)
        newest = np.maximum.reduceat(row, first, axis=0)
        final[at] = np.where(newest >= 0, np.take_along_axis(reading, np.maximum(newest, 0), axis=0), np.nan)
    due = np.maximum(np.round(step / data["step"].values), 1)
    good = used >= np.maximum(due / 2, 1)
    return xr.Dataset(
        {
            "reading": ((TIME, SENSOR), np.where(good, total / np.maximum(used, 1), np.nan), data["reading"].attrs),
            "flag": ((TIME, SENSOR), np.where(good, 0, bits).astype(np.uint8)),
            "usable": ((TIME, SENSOR), good),
            "last": ((TIME, SENSOR), np.where(good, final, np.nan)),
        },
        coords={
            TIME: (blocks * width).astype("datetime64[ns]"),
            **{name: data[name] for name in (SENSOR, *COORDINATES) if name in data.coords},
            "last_reading": (TIME, last),
        },
        attrs=data.attrs,
    )


def _time(data: xr.Dataset) -> Ints:
    return data[TIME].values.astype("datetime64[ns]").astype(np.int64)


def _empty(data: xr.Dataset) -> Mask:
    return np.zeros(data["reading"].shape, dtype=bool)


def _columns(data: xr.Dataset) -> Iterator[tuple[int, NDArray[np.float64]]]:
    values = data["reading"].values
    for s in range(values.shape[1]):
        yield s, np.ascontiguousarray(values[:, s])


def _each(data: xr.Dataset, check: Callable[[Ints, NDArray[np.float64], float, Quantity, str], Mask]) -> Mask:
    """Return the mask of a check that looks at one sensor's own readings at a time."""
    time, mask = _time(data), _empty(data)
    for s, value in _columns(data):
        rows = np.flatnonzero(~np.isnan(value))
        if rows.size:
            about = (float(data["step"].values[s]), Quantity(data["quantity"].values[s]), str(data["unit"].values[s]))
            mask[rows, s] = check(time[rows], value[rows], *about)
    return mask
