"""Local time: leak-days that run from 04:00 to 04:00, their slots and their blocks of hours.

A leak-day ends with its night, so the quietest hours of a day are the last to be seen and the verdict on the day is
given at four in the morning. Slots are counted on the local clock: a day with a clock change has an hour twice (their
mean counts) or not at all, and the pattern of people's lives does not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect.core import robust
from leakdetect.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_STARTS = 4  # h, local
BLOCKS = (0, 2, 5, 8, 11, 14, 17, 20, 22, 24)
"""Edges of the blocks of hours, in h since 04:00: the last is the night, 02:00 to 04:00."""
NIGHT = len(BLOCKS) - 2
SUNDAY = 6
_DAY = 86400


@dataclass(frozen=True)
class Calendar:
    """The local clock of a site at a regular step.

    Attributes
    ----------
    timezone : str
        Name such as Europe/Paris.
    step : int
        s; a divisor of an hour.
    """

    timezone: str
    step: int

    def __post_init__(self) -> None:
        if self.step <= 0 or 3600 % self.step:
            raise InputError(
                f"step of {self.step / 60:g} min: the inflow detector needs a step that divides an hour "
                "(set step_minutes to 15 or 60)"
            )

    @property
    def slots(self) -> int:
        """Slots in a day."""
        return _DAY // self.step

    def place(self, time: NDArray[np.datetime64]) -> tuple[Ints, Ints]:
        """Return the leak-day (days since 1970-01-01) and the slot of each UTC time."""
        local = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(ZoneInfo(self.timezone)).tz_localize(None)
        seconds = local.to_numpy().astype("datetime64[s]").astype(np.int64) - DAY_STARTS * 3600
        day = seconds // _DAY
        return day, (seconds - day * _DAY) // self.step

    def start(self, day: float) -> np.datetime64:
        """Return the UTC time of a leak-day's 04:00, a fraction of a day later where `day` is not whole."""
        whole = int(np.floor(day))
        local = pd.Timestamp(whole * _DAY + DAY_STARTS * 3600, unit="s")
        utc = local.tz_localize(self.timezone, ambiguous=True, nonexistent="shift_forward").tz_convert("UTC")
        seconds = round((day - whole) * _DAY / self.step) * self.step
        return np.datetime64(utc.tz_localize(None), "ns") + np.timedelta64(seconds, "s")

    def table(self, day: Ints, slot: Ints, values: Floats) -> tuple[Ints, Floats]:
        """Return the days, without a gap, and their values by slot: shapes (N,), (N, slots).

        A slot that comes twice holds the mean; one that does not come is NaN.
        """
        if len(day) == 0:
            return np.empty(0, np.int64), np.empty((0, self.slots))
        days = np.arange(day[0], day[-1] + 1)
        cell = (day - day[0]) * self.slots + slot
        good = np.isfinite(values)
        size = len(days) * self.slots
        count = np.bincount(cell[good], minlength=size)
        total = np.bincount(cell[good], weights=values[good], minlength=size)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return days, mean.reshape(len(days), self.slots)

    def blocks(self, table: Floats) -> Floats:
        """Return the mean of each block of hours, NaN where less than half of it is known: shape (..., blocks)."""
        edges = [hour * 3600 // self.step for hour in BLOCKS]
        parts = []
        for a, b in pairwise(edges):
            part = table[..., a:b]
            known = np.isfinite(part)
            count = known.sum(axis=-1)
            mean = np.where(known, part, 0.0).sum(axis=-1) / np.maximum(count, 1)
            parts.append(np.where(2 * count >= b - a, mean, np.nan))
        return np.stack(parts, axis=-1)

    def spread(self, blocks: Floats) -> Floats:
        """Return, for every slot, the value of its block: shape (..., slots)."""
        edges = np.array([hour * 3600 // self.step for hour in BLOCKS])
        return np.repeat(blocks, np.diff(edges), axis=-1)


def weekday(day: Ints | int) -> Ints:
    """Return the weekday on which a leak-day begins: Monday is 0."""
    return np.asarray((np.asarray(day) + 3) % 7)


def mean_step(time: NDArray[np.datetime64]) -> int:
    """Return the step of the times in s: the median difference."""
    if len(time) < 2:
        raise InputError("fewer than two times: the step cannot be told")
    return int(robust.location(np.diff(time).astype("timedelta64[s]").astype(float)))
