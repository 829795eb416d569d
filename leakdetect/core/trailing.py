"""Statistics of whole past days: what a causal check with bounded memory compares a reading with.

A day is a UTC day of 86,400 s. Statistics of each day are made of that day's readings alone, so they do not depend
on where a record begins, and a reading of day D is compared with days before D only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY = 86_400_000_000_000
"""[ns]."""


@dataclass(frozen=True)
class Days:
    """The days of a series of readings; T readings, D days from the first day to the last, silent ones too.

    Attributes
    ----------
    of : ndarray of int, shape (T,)
        Each reading's day, counted from the first.
    first : ndarray of int
        Position of the first reading of each day that has any.
    number : ndarray of int
        Those days, counted from the first.
    count : int
        D.
    """

    of: Ints
    first: Ints
    number: Ints
    count: int

    @classmethod
    def split(cls, time: Ints) -> Days:
        """Return the days of increasing times [ns], shape (T,), T > 0."""
        day = time // DAY
        first = np.flatnonzero(np.r_[True, np.diff(day) > 0])
        of = day - day[0]
        return cls(of, first, of[first], int(of[-1]) + 1)

    def maximum(self, values: Floats) -> Floats:
        """Return each day's largest value, shape (D,); NaN counts as none, and is returned where there is none."""
        return self._spread(np.fmax.reduceat(values, self.first))

    def minimum(self, values: Floats) -> Floats:
        """Return each day's smallest value, as `maximum`."""
        return self._spread(np.fmin.reduceat(values, self.first))

    def quantile(self, values: Floats, q: float) -> Floats:
        """Return each day's quantile (the order statistic below it), shape (D,); NaN counts as none."""
        known = np.add.reduceat((~np.isnan(values)).astype(np.int64), self.first)
        at = np.maximum((q * (known - 1)).astype(np.int64), 0)
        days = np.split(values, self.first[1:])  # day by day: to sort all at once takes several times as long
        found = [np.sort(day, kind="stable")[k] for day, k in zip(days, at, strict=True)]  # NaN last
        return self._spread(np.array(found))

    def _spread(self, values: Floats) -> Floats:
        dense = np.full(self.count, np.nan)
        dense[self.number] = values
        return dense


def before(daily: Floats, q: float, days: int, at_least: int) -> Floats:
    """Return the quantile of the `days` days before each day.

    Parameters
    ----------
    daily : ndarray, shape (D,)
        NaN where a day has none.
    q : float
        0 is the smallest, 1 the largest; between them the order statistic above.
    days : int
        How far back.
    at_least : int
        Fewer known days than this give NaN.

    Returns
    -------
    ndarray, shape (D,)
    """
    padded = np.concatenate([np.full(days, np.nan), daily[:-1]])
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, days), axis=1)
    known = np.sum(~np.isnan(windows), axis=1)
    at = np.ceil(q * np.maximum(known - 1, 0)).astype(np.int64)
    found: Floats = np.where(known >= at_least, windows[np.arange(daily.size), at], np.nan)
    return found
