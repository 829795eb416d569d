"""The expected inflow of a district: its weekly pattern on the local clock above a slowly moving level.

``inflow(day, slot) = level(day) + pattern(weekday, slot) + noise``

A leak lifts every hour of the day alike; a change in demand follows the habits of the day. The level of a day is the
generalised least squares estimate of what is common to all its hours, given how blocks of hours have varied together
(from one day, one week and four weeks to the next). Quiet and steady hours get the weight, as a rule the night's, and
where a hot day lifts the evening more than the night the weights take that apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from leakdetect.core import robust
from leakdetect.errors import ReadingsError
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.stages.inflow.calendar import NIGHT, SUNDAY, Calendar, Floats, Ints, weekday

FEWEST_DAYS = 21
_LAGS = (1, 7, 28)  # days between which blocks of hours are compared
_CLASS = np.array([0, 0, 0, 0, 0, 1, 2])  # workday, Saturday, Sunday: where there are few weeks
_FEW_WEEKS = 6
_ROUNDS = 3
_HOLIDAY = 0.4  # a day is taken for a Sunday where the misfit falls to this share
_ODD = 0.05  # share of days that may be out of the ordinary
_LEARN = 0.15  # share of a week's new shape that the pattern takes on


def net_inflow(data: xr.Dataset) -> tuple[list[str], Floats, Ints]:
    """Return the net inflow of each district: the sum of its flow sensors.

    Flow is positive from a link's start node to its end node; a meter that measures outflow is named against its
    direction in the readings.

    Parameters
    ----------
    data : xarray.Dataset
        With ``reading`` and, where quality has been checked, ``usable``.

    Returns
    -------
    names : list of str
        Districts in order of first mention.
    inflow : ndarray, shape (T, D)
        m3/s; NaN where one of the district's sensors has no usable reading.
    district : ndarray of int, shape (S,)
        Which district each sensor belongs to; -1 for one that is no flow sensor.

    Raises
    ------
    ReadingsError
        If there is no flow sensor.
    """
    flow = data["quantity"].values == str(Quantity.FLOW)
    if not flow.any():
        raise ReadingsError("no flow sensor among the readings: the inflow detector needs one for each district")
    value = data["reading"].transpose(TIME, SENSOR).values
    if "usable" in data:
        value = np.where(data["usable"].transpose(TIME, SENSOR).values, value, np.nan)
    names: list[str] = list(dict.fromkeys(str(d) for d in data["dma"].values[flow]))
    district = np.array(
        [names.index(str(d)) if f else -1 for d, f in zip(data["dma"].values, flow, strict=True)], dtype=np.int64
    )
    return names, np.stack([value[:, district == k].sum(axis=1) for k in range(len(names))], axis=1), district


@dataclass(frozen=True)
class Demand:
    """The weekly pattern of a district and how a day's level is read off it.

    Attributes
    ----------
    pattern : ndarray, shape (7, slots)
        m3/s above the level, by weekday from Monday.
    covariance : ndarray, shape (blocks, blocks)
        Of blocks of hours, from day to day and month to month [(m3/s)^2].
    odd : float
        Misfit to its weekday's pattern beyond which a day is out of the ordinary.
    """

    pattern: Floats
    covariance: Floats
    odd: float = np.inf

    def level(self, calendar: Calendar, day: int, row: Floats) -> tuple[float, int]:
        """Return the level of one leak-day and the weekday whose pattern it kept.

        A public holiday is lived like a Sunday: a day that a Sunday's pattern explains far better is taken for one.

        Parameters
        ----------
        calendar : Calendar
        day : int
        row : ndarray, shape (slots,)

        Returns
        -------
        level : float
            m3/s; NaN where the night or half of the day is missing.
        weekday : int
        """
        blocks = calendar.blocks(row)
        own = int(weekday(day))
        if not np.isfinite(blocks[NIGHT]) or 2 * np.isfinite(blocks).sum() < len(blocks):
            return float("nan"), own
        level, misfit = self._estimate(blocks - calendar.blocks(self.pattern[own]))
        if own != SUNDAY:
            other, other_misfit = self._estimate(blocks - calendar.blocks(self.pattern[SUNDAY]))
            if misfit > self.odd and other_misfit < _HOLIDAY * misfit:
                return other, SUNDAY
        return level, own

    def misfit(self, calendar: Calendar, day: int, row: Floats) -> float:
        """Return how far a day's shape is from its weekday's pattern, NaN where hours are missing."""
        rest = calendar.blocks(row) - calendar.blocks(self.pattern[int(weekday(day))])
        return self._estimate(rest)[1] if np.isfinite(rest).all() else float("nan")

    def _estimate(self, rest: Floats) -> tuple[float, float]:
        use = np.isfinite(rest)
        inverse = np.linalg.inv(self.covariance[np.ix_(use, use)])
        weight = inverse.sum(axis=0)
        level = float(weight @ rest[use] / weight.sum())
        away = rest[use] - level
        return level, float(away @ inverse @ away)

    def learn(self, calendar: Calendar, row: Floats, level: float, kept: int, sd: Floats, offset: float) -> Demand:
        """Return the demand with the pattern of one weekday moved a little towards a day.

        What lifts all hours of all days alike, as a leak does, stays out of the pattern.

        Parameters
        ----------
        calendar : Calendar
        row : ndarray, shape (slots,)
            Net inflow of the day.
        level : float
            Of the day.
        kept : int
            The weekday whose pattern it kept.
        sd : ndarray, shape (slots,)
            A day that is further away than twice this counts as no further.
        offset : float
            How much the day lies above the week that ends with it [m3/s].
        """
        away = np.clip(row - level - self.pattern[kept], -2 * sd, 2 * sd)
        away = np.where(np.isfinite(away), away, 0.0)
        common, _ = self._estimate(calendar.blocks(away))
        pattern = self.pattern - _LEARN * offset / 7
        pattern[kept] += _LEARN * (away - common + offset)
        return replace(self, pattern=pattern)


def fit_demand(calendar: Calendar, days: Ints, table: Floats, name: str) -> Demand:
    """Fit the weekly pattern and the covariance of blocks; leaks, gaps and steps in the window may be there.

    Parameters
    ----------
    calendar : Calendar
    days : ndarray of int, shape (N,)
    table : ndarray, shape (N, slots)
        Net inflow [m3/s].
    name : str
        Of the district, for messages.

    Raises
    ------
    ReadingsError
        If fewer than `FEWEST_DAYS` days are whole.
    """
    blocks = calendar.blocks(table)
    whole = np.isfinite(blocks).all(axis=1)
    if whole.sum() < FEWEST_DAYS:
        raise ReadingsError(
            f"district '{name}': {int(whole.sum())} whole days of inflow to fit on, {FEWEST_DAYS} are needed: "
            "give a longer window"
        )
    week = weekday(days)
    level = _smooth(blocks[:, NIGHT])
    spread = np.maximum(robust.scale(blocks - level[:, None], axis=0), 1e-9)
    demand = Demand(np.zeros((7, calendar.slots)), np.diag(spread**2))
    for _ in range(_ROUNDS):
        pattern = _weekly(table - level[:, None], week)
        rest = blocks - calendar.blocks(pattern)[week]
        total = np.zeros((blocks.shape[1], blocks.shape[1]))
        for lag in _LAGS:
            change = rest[lag:] - rest[:-lag]
            if np.isfinite(change).all(axis=1).sum() >= 2 * FEWEST_DAYS // 3:
                total += robust.covariance(change)
        demand = Demand(pattern, total)
        level = _smooth(np.array([demand.level(calendar, int(d), r)[0] for d, r in zip(days, table, strict=True)]))
    misfits = [demand.misfit(calendar, int(d), r) for d, r in zip(days, table, strict=True)]
    return replace(demand, odd=float(robust.quantile(misfits, 1.0 - _ODD)))


def _weekly(above: Floats, week: Ints) -> Floats:
    """Return the median by weekday and slot; kinds of day share theirs where there are few weeks."""
    pattern = np.stack([robust.location(above[week == d], axis=0) for d in range(7)])
    pooled = np.stack([robust.location(above[_CLASS[week] == c], axis=0) for c in range(3)])[_CLASS]
    count = np.stack([np.isfinite(above[week == d]).sum(axis=0) for d in range(7)])
    pattern = np.where(count >= _FEW_WEEKS, pattern, pooled)
    every = robust.location(above, axis=0)
    pattern = np.where(np.isfinite(pattern), pattern, every)
    return np.where(np.isfinite(pattern), pattern, 0.0)


def _smooth(level: Floats, half: int = 3) -> Floats:
    """Return the running median over a week, for fitting only: it looks both ways."""
    padded = np.concatenate([np.full(half, np.nan), level, np.full(half, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return robust.location(windows, axis=1)
