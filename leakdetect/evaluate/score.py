"""What a scoring says: the figures of a year, and a row for each leak and each detection that explain them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leakdetect.events import Event, iso


@dataclass(frozen=True)
class Detection:
    """What is scored: a pipe, a time (UTC) and, where there is one, the event it comes from."""

    pipe: str
    time: np.datetime64
    event: Event | None = None


@dataclass(frozen=True)
class LeakRow:
    """A leak that ran in the year and what became of it; None where it was not found or not known."""

    pipe: str
    kind: str
    start: np.datetime64
    begun: bool  # in this year
    peak_m3h: float  # in this year
    worth: float  # EUR, found on the spot at once
    found_by: str | None = None
    found_at: np.datetime64 | None = None
    euros: float = 0.0
    distance_m: float | None = None
    delay_h: float | None = None  # None for a leak open from the year before
    in_zone: bool | None = None
    flow_m3h: float | None = None  # as the event says
    true_m3h: float | None = None  # at the time it was raised


@dataclass(frozen=True)
class EventRow:
    """A detection and what it earned; `nearest` is the closest leak running then, found already or not."""

    id: str
    pipe: str
    time: np.datetime64
    outcome: str  # true, repeat or false
    leak: str | None
    euros: float
    nearest: str | None
    nearest_m: float | None
    zone_m: float | None


@dataclass(frozen=True)
class Awareness:
    """Of the leaks that began in the year: how many were found, and how soon."""

    begun: int
    found: int
    median_h: float  # NaN where none was found
    within_24h: int


@dataclass(frozen=True)
class Blind:
    """The same number of alarms at the same times on pipes drawn at random: means over the draws."""

    draws: int
    euros: float
    found: float
    false: float


@dataclass(frozen=True)
class Score:
    """The figures of one year; medians and shares are NaN where there is nothing to take them of."""

    year: int
    euros: float
    maximum: float
    detections: int
    leaks: int
    true_positives: int
    false_positives: int
    repeats: int
    misses: int
    distance_m: float  # median of the true ones, along the pipes
    abrupt: Awareness
    abrupt_large: Awareness
    incipient: Awareness
    in_zone: float  # share of the found leaks whose pipe is in the event's zone
    flow_within_25: float  # share of the found leaks whose flow is told within 25 %
    zone_length_m: float  # median over all events
    blind: Blind
    leak_table: tuple[LeakRow, ...]
    event_table: tuple[EventRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: NaN becomes None, times ISO 8601 with Z."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.datetime64):
        return iso(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
