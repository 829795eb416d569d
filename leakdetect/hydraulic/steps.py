"""Readings over steps as arrays, and the calendar of steps and blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

BLOCK_HOURS = 6
BLOCK = np.timedelta64(BLOCK_HOURS, "h")
_MONDAY = np.datetime64("1970-01-05T00:00:00", "ns")
_WEEK_S = 7 * 86400.0


@dataclass(frozen=True)
class Steps:
    """Readings on a regular step; T steps, S sensors.

    Attributes
    ----------
    time : ndarray of datetime64[ns], shape (T,)
        Start of each step, UTC, without holes.
    reading, last : ndarray, shape (T, S)
        Mean and last usable reading of each step, SI; NaN where there is none.
    ready : ndarray of datetime64[ns], shape (T,)
        Time of the last reading in each step: when it was known.
    """

    time: Times
    reading: Floats
    last: Floats
    ready: Times

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, rows: slice) -> Steps:
        return Steps(self.time[rows], self.reading[rows], self.last[rows], self.ready[rows])

    def then(self, more: Steps, step: np.timedelta64) -> Steps:
        """Return these steps and later ones, holes between them filled with nothing."""
        if not len(self):
            return more
        hole = int((more.time[0] - self.time[-1]) / step) - 1 if len(more) else 0
        gap = _nothing(self.time[-1] + step * np.arange(1, hole + 1), step, self.reading.shape[1])
        parts = (self, gap, more)
        return Steps(
            *(np.concatenate([getattr(p, name) for p in parts]) for name in ("time", "reading", "last", "ready"))
        )

    def to_plain(self) -> dict[str, Any]:
        """Return arrays only."""
        return {
            "time": self.time.astype("datetime64[ns]").astype(np.int64),
            "reading": self.reading,
            "last": self.last,
            "ready": self.ready.astype("datetime64[ns]").astype(np.int64),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Steps:
        """Read what `to_plain` wrote."""
        return cls(
            plain["time"].astype("datetime64[ns]"), plain["reading"], plain["last"],
            plain["ready"].astype("datetime64[ns]"),
        )  # fmt: skip


def _nothing(time: Times, step: np.timedelta64, sensors: int) -> Steps:
    empty = np.full((len(time), sensors), np.nan)
    return Steps(time, empty, empty, time + step)


def step_of(data: xr.Dataset) -> np.timedelta64:
    """Return the step of a block dataset; raises ReadingsError if there is only one row."""
    if "step_seconds" in data.attrs:
        return seconds(int(data.attrs["step_seconds"]))
    if data.sizes["time"] < 2:
        raise ReadingsError("at least two steps of readings are needed")
    return seconds(int(np.diff(data["time"].values).min() / np.timedelta64(1, "s")))


def seconds(count: int) -> np.timedelta64:
    """Return a length of time in the resolution that all times have."""
    return np.timedelta64(count * 1_000_000_000, "ns")


def from_dataset(data: xr.Dataset, step: np.timedelta64) -> Steps:
    """Return the steps of a dataset (``reading, usable``, levels' ``last``, coordinate ``last_reading``)."""
    time = data["time"].values.astype("datetime64[ns]")
    usable = data["usable"].values
    reading = np.where(usable, data["reading"].values, np.nan)
    last = np.where(usable, data["last"].values, np.nan)
    ready = data["last_reading"].values.astype("datetime64[ns]")
    ready = np.where(np.isnat(ready), time, ready)  # nothing was said in that step
    if not len(time):
        return Steps(time, reading, last, ready)
    place = ((time - time[0]) / step).astype(np.int64)
    full = _nothing(time[0] + step * np.arange(place[-1] + 1), step, reading.shape[1])
    every, finals, known = full.reading.copy(), full.last.copy(), full.ready.copy()
    every[place], finals[place], known[place] = reading, last, ready
    return Steps(full.time, every, finals, known)


def week_seconds(time: Times, timezone: str) -> Floats:
    """Return seconds since Monday 00:00 local time, shape (T,)."""
    if timezone == "UTC":
        local = time
    else:
        local = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(timezone).tz_localize(None).to_numpy()
    seconds: Floats = ((local - _MONDAY) / np.timedelta64(1, "s")) % _WEEK_S
    return seconds


def block_of(time: np.datetime64) -> int:
    """Return the number of the block that holds a time, counted from 1970."""
    return int((time - np.datetime64(0, "ns")) // BLOCK)


def block_start(block: int) -> np.datetime64:
    """Return the time at which a block begins."""
    return np.datetime64(0, "ns") + BLOCK * block
