"""Which readings can be used, and their means over regular steps. Readings are never edited.

Every check is causal with bounded memory: a flag at time t depends on readings in (t - 14 days, t] only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

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
Floats = NDArray[np.float64]

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


class Past:
    """What a stream knows of the days before today, so that it need not look at them anew for every reading."""

    def __init__(self) -> None:
        self._spikes: dict[int, tuple[int, Floats]] = {}

    def forget(self, since: int) -> None:
        """Reckon with a reading [ns] that has changed."""
        self._spikes = {s: (day, table) for s, (day, table) in self._spikes.items() if day * DAY <= since}

    def spikes(self, sensor: int, today: int) -> tuple[int, Floats] | None:
        """Return what `masks.spike` wants to know of a sensor, and the day before which it is known."""
        known = self._spikes.get(sensor)
        return known if known is not None and known[0] <= today else None

    def keep_spikes(self, sensor: int, today: int, since: int, daily: Floats) -> None:
        """Take what `masks.spike` returned of the days from 12 before `since` on."""
        until = masks.PAST + today - since
        table = np.full((masks.PAST, daily.shape[1]), np.nan)
        known = daily[until - masks.PAST : until]
        table[: len(known)] = known
        self._spikes[sensor] = (today, table)


def missing(data: xr.Dataset, begin: int = 0) -> Mask:
    """Return where a reading was due, by the sensor's own step, and is not there.

    Rows before `begin` are there to be compared with, here and in every other check; nothing is said of them.
    """
    time, mask = _time(data), _empty(data)
    steps = data["step"].values
    for s, value in _columns(data):
        mask[:, s] = masks.missing(time, ~np.isnan(value), float(steps[s]))
    return mask


def stuck(data: xr.Dataset, begin: int = 0) -> Mask:
    """Return where a value has stood still for longer than its own past explains."""
    mask = _empty(data)
    for one in _sensors(data, begin):
        still = one.quantity == Quantity.DEMAND
        mask[one.rows, one.number] = masks.stuck(one.time, one.value, one.step, zero_is_normal=still, begin=one.begin)
    return mask


def spike(data: xr.Dataset, begin: int = 0, past: Past | None = None) -> Mask:
    """Return single leaps out of the recent range; customers' meters leap by nature and are not judged.

    `past` saves looking at the days before that of row `begin`, and is brought up to that day.
    """
    mask = _empty(data)
    past = Past() if past is None else past
    today = int(_time(data)[begin] // DAY) if begin < data.sizes[TIME] else 0
    for one in _sensors(data, begin):
        if one.quantity not in _SMALLEST_SPIKE:
            continue
        smallest, switches = _SMALLEST_SPIKE[one.quantity], one.quantity == Quantity.FLOW
        since, known = past.spikes(one.number, today) or (int(one.time[0] // DAY), None)
        cut = slice(max(int(np.searchsorted(one.time, since * DAY)) - masks.LEAD, 0), None)
        mask[one.rows[cut], one.number], daily = masks.spike(
            one.time[cut], one.value[cut], one.step, smallest, switches=switches, past=known, since=since
        )
        past.keep_spikes(one.number, today, since, daily)
    return mask


def out_of_range(data: xr.Dataset, begin: int = 0) -> Mask:
    """Return what no network holds, the error codes of loggers, and zeros where there is pressure."""
    mask = _empty(data)
    for one in _sensors(data, begin):
        low, high = _LIMITS[one.quantity]
        codes = np.array(_ERROR_CODES) * factor(one.quantity, one.unit)
        now = one.value[one.begin :]
        nearest = np.abs(now[:, None] - codes) <= 1e-9 * np.abs(codes)
        mask[one.rows[one.begin :], one.number] = (now < low) | (now > high) | nearest.any(axis=1)
        if one.quantity == Quantity.PRESSURE:
            mask[one.rows, one.number] |= masks.dropped_to_zero(one.time, one.value, _USUAL_PRESSURE, one.begin)
    return mask


def drift(data: xr.Dataset, begin: int = 0) -> Mask:
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


def clock(data: xr.Dataset, begin: int = 0) -> Mask:
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


CHECKS: dict[Flag, Callable[[xr.Dataset, int], Mask]] = {
    Flag.MISSING: missing,
    Flag.STUCK: stuck,
    Flag.SPIKE: spike,
    Flag.RANGE: out_of_range,
    Flag.DRIFT: drift,
    Flag.CLOCK: clock,
}
"""Every check, by the flag it sets."""


def flag(data: xr.Dataset, since: np.datetime64 | None = None, past: Past | None = None) -> xr.Dataset:
    """Return the dataset with ``flag`` and ``usable``.

    Parameters
    ----------
    data : Dataset
        ``reading`` over (time, sensor). What matters must be preceded by `CONTEXT` for flags that do not depend on
        where the record begins.
    since : datetime64, optional
        Readings before it are not judged; their flags mean nothing.
    past : Past, optional
        What earlier calls have learnt of the days before, if the readings of these have not changed.

    Returns
    -------
    Dataset
        The same with ``flag`` (bits of `Flag`) and ``usable`` (a reading is there and has no flag).
    """
    begin = 0 if since is None else int(np.searchsorted(data[TIME].values, since))
    bits = np.zeros(data["reading"].shape, dtype=np.uint8)
    for name, check in CHECKS.items():
        found = check(data, begin) if name != Flag.SPIKE else spike(data, begin, past)
        bits[found] |= np.uint8(name)
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


def _columns(data: xr.Dataset) -> Iterator[tuple[int, Floats]]:
    values = data["reading"].values
    for s in range(values.shape[1]):
        yield s, np.ascontiguousarray(values[:, s])


class _Sensor(NamedTuple):
    """One sensor's readings: the record's rows that hold any, from the `begin`th of which they are judged."""

    number: int
    quantity: Quantity
    unit: str
    step: float
    rows: Ints
    time: Ints
    value: Floats
    begin: int


def _sensors(data: xr.Dataset, begin: int) -> Iterator[_Sensor]:
    """Yield the sensors that have readings."""
    time, steps = _time(data), data["step"].values.astype(float)
    quantities, units = data["quantity"].values, data["unit"].values
    for s, value in _columns(data):
        rows = np.flatnonzero(~np.isnan(value))
        if rows.size:
            first = int(np.searchsorted(rows, begin))
            about = Quantity(quantities[s]), str(units[s]), float(steps[s])
            yield _Sensor(s, *about, rows, time[rows], value[rows], first)
