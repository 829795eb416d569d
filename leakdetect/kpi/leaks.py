"""Water that the site's own events lost in a window, and what would have been lost had they been found later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from leakdetect.events import Event, Kind, Status

_FLOWS = ("flow_m3h", "flow_low", "flow_high")
_FOUND = {Status.CONFIRMED, Status.REPAIRED}


@dataclass(frozen=True)
class Volume:
    """A volume [m3] with the 80 % interval of the leaks' flows."""

    best: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: Volume) -> Volume:
        """Return the sum; the ends too, as if all erred alike."""
        return Volume(self.best + other.best, self.low + other.low, self.high + other.high)


def lost(event: Event, since: np.datetime64, until: np.datetime64) -> Volume:
    """Return what a leak lost from `since` to `until`.

    A burst runs at its flow from the start, a growing leak rises evenly from zero until it is raised; from there the
    flow goes evenly to the newest estimate.
    """
    end = event.end if event.end is not None else event.data_until
    begin = 1.0 if event.kind == Kind.ABRUPT else 0.0
    raised = max(event.start, min(event.raised_at, end))
    knots = np.array([_hours(event.start, t) for t in (event.start, raised, max(end, raised))])
    first, last = (np.clip(_hours(event.start, t), knots[0], knots[-1]) for t in (since, until))
    at = np.unique(np.r_[knots[(knots > first) & (knots < last)], first, last])
    parts = []
    for name in _FLOWS:
        flow = float(getattr(event, name))
        newest = float(event.latest.get(name, flow))
        parts.append(float(np.trapezoid(np.interp(at, knots, [begin * flow, flow, newest]), at)))
    return Volume(*parts)


def total_lost(events: Iterable[Event], since: np.datetime64, until: np.datetime64) -> Volume:
    """Return what all leaks lost in the window, dismissed ones left out."""
    return sum((lost(e, since, until) for e in events if e.status != Status.DISMISSED), Volume())


def raised_in(events: Iterable[Event], since: np.datetime64, until: np.datetime64) -> list[Event]:
    """Return the events raised in the window."""
    return [e for e in events if since <= e.raised_at <= until]


def saved(events: Iterable[Event], awareness_days: float) -> Volume:
    """Return what was not lost because leaks were known before they would have been noticed.

    Of leaks confirmed or repaired only; each at its flow when raised, for as long as the awareness time without
    monitoring is longer than that with it. The time from knowing to mending is taken as the same in both.

    Parameters
    ----------
    events : iterable of Event
    awareness_days : float
        Time that such a leak runs before anybody notices, without monitoring [d].

    Notes
    -----
    Awareness, location and repair time: Farley and Trow 2003, ch. 3.
    """
    total = Volume()
    for event in events:
        if event.status in _FOUND:
            hours = max(24 * awareness_days - _hours(event.start, event.raised_at), 0.0)
            total += Volume(*(float(getattr(event, name)) * hours for name in _FLOWS))
    return total


def visits_in_vain(events: Iterable[Event]) -> int:
    """Return how many events were dismissed."""
    return sum(event.status == Status.DISMISSED for event in events)


def _hours(start: np.datetime64, end: np.datetime64) -> float:
    return float((end - start) / np.timedelta64(1, "s")) / 3600
