"""The figures over several worlds: what is pooled, how sure it is, what is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.evaluate import Score
from leakdetect.evaluate.battledim import LARGE
from leakdetect.evaluate.score import LeakRow
from leakdetect.events import Kind

from .registry import Estimate, Target
from .worlds import CLEAN, NUISANCE

DRAWS = 1000
_FLOW_WITHIN = 0.25

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A sum over all worlds divided by another; `part` gives a world's two."""

    part: Callable[[Score], tuple[float, float]]
    scale: float = 1.0

    def pool(self, parts: Sequence[tuple[float, float]]) -> float:
        """Return the value over some worlds' parts; NaN where there is nothing to divide by."""
        above, below = np.sum(parts, axis=0)
        return self.scale * float(above / below) if below else math.nan


@dataclass(frozen=True)
class Median:
    """The median of what all worlds have; `part` gives a world's values, None where one is not known."""

    part: Callable[[Score], Sequence[float | None]]
    scale: float = 1.0

    def pool(self, parts: Sequence[Sequence[float | None]]) -> float:
        """Return the value over some worlds' parts; NaN where there is none."""
        known = [value for part in parts for value in part if value is not None]
        return self.scale * float(np.median(known)) if known else math.nan


@dataclass(frozen=True)
class Line:
    """A line of the table; targets by kind of world."""

    id: str
    unit: str
    measure: Ratio | Median
    targets: dict[str, Target]


def estimate(measure: Ratio | Median, scores: Sequence[Score], *, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Return a measure over worlds, with the interval that drawing the worlds anew gives.

    The worlds are what is random, not the leaks: those of one world share its network, its noise and its faults. One
    world has no interval.
    """
    parts = [measure.part(score) for score in scores]
    value = measure.pool(parts)  # type: ignore[arg-type]  # its own parts
    if len(parts) < 2:
        return Estimate(value)
    random = np.random.default_rng(seed)
    chosen = random.integers(len(parts), size=(draws, len(parts)))
    drawn = np.array([measure.pool([parts[i] for i in row]) for row in chosen])
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (math.nan, math.nan)
    return Estimate(value, float(low), float(high))


def _delays(score: Score, kind: Kind, least: float = 0.0) -> list[float | None]:
    return [row.delay_h for row in score.leak_table if row.begun and row.kind == kind and row.peak_m3h >= least]


def _share(score: Score, told: Callable[[LeakRow], bool | None]) -> tuple[float, float]:
    known = [ok for ok in map(told, score.leak_table) if ok is not None]
    return float(sum(known)), float(len(known))


def _flow_told(row: LeakRow) -> bool | None:
    if row.flow_m3h is None or row.true_m3h is None:
        return None
    return abs(row.flow_m3h - row.true_m3h) <= _FLOW_WITHIN * row.true_m3h


def _wanted(sign: str, clean: float, nuisance: float, upto: float = math.inf) -> dict[str, Target]:
    return {CLEAN: Target(sign, clean, upto=upto), NUISANCE: Target(sign, nuisance, upto=upto)}


LINES = (
    Line("found", "% of the leaks", Ratio(lambda s: (s.true_positives, s.leaks), 100), _wanted(">=", 85, 75)),
    Line("false_alarms", "a year", Ratio(lambda s: (s.false_positives, 1)), _wanted("<=", 3, 3)),
    Line(
        "abrupt_in_24h", "% of those begun", Ratio(lambda s: (s.abrupt.within_24h, s.abrupt.begun), 100),
        _wanted(">=", 85, 75),
    ),
    Line("euros", "% of the maximum", Ratio(lambda s: (s.euros, s.maximum), 100), _wanted(">=", 80, 65)),
    Line("distance", "m", Median(lambda s: [row.distance_m for row in s.leak_table]), _wanted("<=", 100, 150)),
    Line("delay_abrupt_large", "h", Median(lambda s: _delays(s, Kind.ABRUPT, LARGE)), _wanted("<=", 12, 24)),
    Line("delay_incipient", "d", Median(lambda s: _delays(s, Kind.INCIPIENT), 1 / 24), _wanted("<=", 14, 21)),
    Line("in_zone", "% of the found", Ratio(lambda s: _share(s, lambda r: r.in_zone), 100), _wanted(">=", 75, 75, 90)),
    Line("flow_within_25", "% of the found", Ratio(lambda s: _share(s, _flow_told), 100), _wanted(">", 50, 50)),
    Line("zone_length", "km", Median(lambda s: [e.zone_m for e in s.event_table], 1e-3), _wanted("<=", 1, 1.5)),
)  # fmt: skip
"""Of the second year: what was raised in the first and is open counts from 1 January. Delays, distances, zone and flow
are of the leaks found; delays of those that began in the year."""

MAIN = tuple(line for line in LINES if line.id in {"found", "false_alarms", "abrupt_in_24h", "euros", "distance"})
"""What is asked of each switch."""
