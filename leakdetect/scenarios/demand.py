"""True demands: what the model file says, made to vary as customers do.

On top of each category's pattern: a scale for every node, the season, good and bad days, slow noise that customers of
one group share, and quick noise of the group's own. Groups keep the noise of a large town and of a village alike: a
sum over many independent customers would be unnaturally smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.tseries.holiday import Holiday
from pandas.tseries.offsets import Day, Easter
from scipy.signal import lfilter

from leakdetect.network import Floats, Network


@dataclass(frozen=True)
class DemandNoise:
    """How demands vary: standard deviations relative to the mean."""

    node: float = 0.06  # of a node's scale against the drawing
    category: float = 0.03  # of a category's
    profile: float = 0.06  # of a group's own weekly profile
    season: float = 0.11  # amplitude over the year, highest in winter as in L-Town
    day: float = 0.02  # shared by all, from day to day
    group_day: float = 0.03
    hour: float = 0.03  # shared by all, over a few hours
    group_hour: float = 0.08
    quick: float = 0.36  # of a group, from one five-minute step to the next
    groups: int = 60
    weather: float = 0.0  # of hot, dry days in summer, which only add
    holidays: float = 0.0  # share of customers who are away on public holidays, which go by Sunday's pattern


class Demands:
    """The true demand of every junction that has one, in chunks of whole steps.

    Parameters
    ----------
    network : Network
    seed : numpy SeedSequence
        The same seed gives the same demands whatever the chunk length.
    start : datetime64
        Of the world; patterns begin on a Monday.
    steps : int
    step : int
        [s].
    noise : DemandNoise

    Attributes
    ----------
    nodes : tuple of str, length M
        Junctions with a demand.
    """

    def __init__(
        self,
        network: Network,
        seed: np.random.SeedSequence,
        *,
        start: np.datetime64,
        steps: int,
        step: int,
        noise: DemandNoise,
    ) -> None:
        where = np.flatnonzero(np.any(network.base_demand != 0, axis=1))
        self.nodes = tuple(network.node_names[i] for i in where)
        self._start, self._step, self._noise = start, step, noise
        self._slow, self._quick, of_weather = seed.spawn(3)
        rng = np.random.default_rng(self._slow)
        categories = len(network.categories)
        scale = 1 + noise.category * rng.standard_normal(categories)
        scale = scale * np.exp(noise.node * rng.standard_normal((where.size, 1)))
        self._base = network.base_demand[where] * scale * 3600  # m3/h, (M, C)
        self._group = rng.integers(0, noise.groups, where.size)
        self._profiles(network, rng)
        self._slow_noise(rng, steps)
        self._calendar(np.random.default_rng(of_weather))

    def _profiles(self, network: Network, rng: np.random.Generator) -> None:
        """Each category's week in steps, and each group's departure from it."""
        step, week = self._step, 7 * 86400
        instants = np.arange(0, week, np.gcd(step, int(network.pattern_step)))
        rows = (instants // network.pattern_step).astype(int) % len(network.patterns)
        fine = network.patterns[rows]
        self._week = fine.reshape(week // step, -1, fine.shape[1]).mean(axis=1)
        self._offset = int((self._start - _monday(self._start)) / np.timedelta64(step, "s"))
        # A smooth departure: a few harmonics of the day, other for each group.
        clock = np.arange(week // step) * step / 86400 * 2 * np.pi
        waves = [f(k * clock) for k in (1, 2, 3) for f in (np.cos, np.sin)]
        weights = rng.standard_normal((len(waves), self._noise.groups)) / np.sqrt(len(waves) / 2)
        self._departure = 1 + self._noise.profile * np.stack(waves, axis=1) @ weights
        # A flat pattern beside others stands for works that draw in batches.
        flat = np.ptp(self._week, axis=0) < 0.05
        self._batch = flat & (not flat.all())

    def _slow_noise(self, rng: np.random.Generator, steps: int) -> None:
        """Factors by day and by hour over the whole run."""
        noise, groups = self._noise, self._noise.groups
        days = steps * self._step // 86400 + 9  # the last chunk may reach a week beyond the end
        day = noise.day * _memory(rng, days, 1, 0.3) + noise.group_day * _memory(rng, days, groups, 0.1)
        hours = days * 24
        hour = noise.hour * _memory(rng, hours, 1, 0.7) + noise.group_hour * _memory(rng, hours, groups, 0.6)
        self._day, self._hour = np.exp(day).astype(np.float32), np.exp(hour).astype(np.float32)
        self._runs = _batches(rng, hours, len(self.nodes)) if self._batch.any() else None

    def _calendar(self, rng: np.random.Generator) -> None:
        """Which days are public holidays, and what weather and holidays make of every day."""
        days = self._start.astype("datetime64[D]") + np.arange(len(self._day))
        self._holiday, self._of_day = np.zeros(len(days), dtype=bool), np.ones(len(days))
        if self._noise.weather:
            summer = np.clip(-np.cos(2 * np.pi * (_year_share(days) - 0.05)), 0.0, None)
            self._of_day *= 1 + self._noise.weather * summer * np.maximum(_memory(rng, len(days), 1, 0.8)[:, 0], 0.0)
        if self._noise.holidays:
            self._holiday = np.isin(days, public_holidays(days[0], days[-1]))
            self._of_day *= np.where(self._holiday, 1 - self._noise.holidays, 1.0)

    def chunk(self, first: int, count: int) -> Floats:
        """Return the demand of steps ``first .. first + count`` [m3/h], shape (count, M)."""
        at = np.arange(first, first + count)
        week = (at + self._offset) % len(self._week)
        seconds = at * self._step
        if self._holiday.any():
            day = len(self._week) // 7
            week = np.where(self._holiday[seconds // 86400], 6 * day + week % day, week)
        shared = self._departure[week] * self._day[seconds // 86400] * self._hour[seconds // 3600]
        shared *= self._season(seconds)[:, None] * self._quick_noise(at)
        if self._noise.weather or self._noise.holidays:
            shared *= self._of_day[seconds // 86400][:, None]
        smooth = np.where(self._batch, 0.0, self._week[week]) @ self._base.T
        demand: Floats = smooth * shared[:, self._group]
        if self._runs is not None:
            batch = np.where(self._batch, self._week[week], 0.0) @ self._base.T
            demand += batch * self._runs[seconds // 3600] * (0.8 + 0.2 * shared[:, self._group])
        return demand

    def _season(self, seconds: np.ndarray) -> Floats:
        share = _year_share((self._start + seconds.astype("timedelta64[s]")).astype("datetime64[s]"))
        season: Floats = 1 + self._noise.season * np.cos(2 * np.pi * (share - 0.1))
        return season

    def _quick_noise(self, at: np.ndarray) -> Floats:
        """Noise of mean 1 from step to step, drawn day by day so that chunks do not matter."""
        per_day = 86400 // self._step
        # Longer steps average what five minutes do.
        spread = self._noise.quick * min(1.0, np.sqrt(300 / self._step))
        days = range(int(at[0]) // per_day, int(at[-1]) // per_day + 1)
        key = self._quick.spawn_key
        drawn = [
            np.random.default_rng(np.random.SeedSequence(self._quick.entropy, spawn_key=(*key, day))).standard_normal(
                (per_day, self._noise.groups), dtype=np.float32
            )
            for day in days
        ]
        normal = np.concatenate(drawn)[at - days[0] * per_day]
        noise: Floats = np.exp(spread * normal - spread**2 / 2)
        return noise


def _memory(rng: np.random.Generator, count: int, width: int, keep: float) -> Floats:
    """First-order autoregression of unit variance, shape (count, width)."""
    noise = rng.standard_normal((count, width))
    noise[1:] *= np.sqrt(1 - keep**2)
    series: Floats = lfilter([1.0], [1.0, -keep], noise, axis=0)
    return series


def _batches(rng: np.random.Generator, hours: int, nodes: int) -> np.ndarray:
    """Works in batches: a low base and runs of a few hours, mean 1, shape (hours, nodes)."""
    starts = rng.random((hours, nodes)) < 0.06
    runs = lfilter([1.0], [1.0, -0.55], starts * rng.gamma(2.0, 1.0, (hours, nodes)), axis=0)
    series = 0.05 + runs * 0.95 / max(float(runs.mean()), 1e-9)
    return np.asarray(np.minimum(series, 12.0), dtype=np.float32)


def _monday(time: np.datetime64) -> np.datetime64:
    day = time.astype("datetime64[D]")
    weekday = (int(day.astype(np.int64)) + 3) % 7  # 1970-01-01 was a Thursday
    monday: np.datetime64 = day - np.timedelta64(weekday, "D")
    return monday


def _year_share(times: np.ndarray) -> Floats:
    """Return how much of its year has gone at each time, 0 to 1."""
    share: Floats = (times - times.astype("datetime64[Y]")) / np.timedelta64(365, "D")
    return share


def public_holidays(first: np.datetime64, last: np.datetime64) -> np.ndarray:
    """Return the days (datetime64[D]) from `first` to `last` that are public holidays in most of Europe."""
    days = ((1, 1), (5, 1), (11, 1), (12, 25), (12, 26))
    rules = [Holiday(f"{month}-{day}", month=month, day=day) for month, day in days]
    rules += [Holiday("Easter Monday", month=1, day=1, offset=[Easter(), Day(1)])]
    rules += [Holiday("Ascension", month=1, day=1, offset=[Easter(), Day(39)])]
    found = [rule.dates(pd.Timestamp(first), pd.Timestamp(last)).to_numpy() for rule in rules]
    return np.unique(np.concatenate(found)).astype("datetime64[D]")
