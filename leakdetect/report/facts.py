"""What the report says of an event: its newest estimate, and sums of water and money."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leakdetect.events import Candidate, Event, Kind, Status, Zone

HOURS_A_MONTH = 730.5
_RANKED, _FEWEST, _LIKELY = 10, 3, 0.005  # pipes listed of each event; fewer where the rest is not likely
_ACTIVE = {Status.OPEN, Status.CONFIRMED}
_NEW = np.timedelta64(24, "h")


def current(event: Event) -> Event:
    """Return the event with its newest estimate of flow, candidates and zone in place of the first."""
    latest = event.latest
    values: dict[str, Any] = {k: float(latest[k]) for k in ("flow_m3h", "flow_low", "flow_high") if k in latest}
    if latest.get("candidates"):
        values["candidates"] = tuple(c if isinstance(c, Candidate) else Candidate(**c) for c in latest["candidates"])
    if latest.get("zone"):
        zone = latest["zone"]
        values["zone"] = (
            zone if isinstance(zone, Zone) else Zone(tuple(zone["links"]), zone["length_m"], zone["probability"])
        )
    return replace(event, **values)


def ranked(event: Event) -> int:
    """Return how many of an event's candidates are worth listing."""
    likely = sum(c.probability >= _LIKELY for c in event.candidates)
    return min(max(likely, _FEWEST), _RANKED, len(event.candidates))


def is_active(event: Event) -> bool:
    """Say whether a leak may still be running."""
    return event.status in _ACTIVE


def is_new(event: Event, now: np.datetime64) -> bool:
    """Say whether it was raised in the 24 hours of readings up to `now`."""
    return bool(event.raised_at > now - _NEW)


def in_order(events: Iterable[Event]) -> tuple[list[Event], list[Event]]:
    """Return active events, newest first, and the others, last ended first."""
    events = sorted(events, key=lambda e: (e.raised_at, e.id), reverse=True)
    active = [e for e in events if is_active(e)]
    over = [e for e in events if not is_active(e)]
    return active, sorted(over, key=lambda e: e.end if e.end is not None else e.raised_at, reverse=True)


@dataclass(frozen=True)
class Amount:
    """A volume [m3] with its interval."""

    best: float
    low: float
    high: float


def lost(event: Event) -> Amount:
    """Return the water lost from the start to the end, or to the last reading [m3].

    Up to `raised_at` a burst runs at its flow and a growing leak rises evenly from zero; from there the flow goes
    evenly to the newest estimate.
    """
    newest = current(event)
    until = event.end if event.end is not None else event.data_until
    before = max(_hours(event.start, min(event.raised_at, until)), 0.0)
    after = max(_hours(event.raised_at, until), 0.0)
    shape = 1.0 if event.kind == Kind.ABRUPT else 0.5

    def volume(first: float, last: float) -> float:
        return shape * first * before + (first + last) / 2 * after

    return Amount(
        volume(event.flow_m3h, newest.flow_m3h),
        volume(event.flow_low, newest.flow_low),
        volume(event.flow_high, newest.flow_high),
    )


def mean_flow(event: Event) -> float:
    """Return the mean flow of a leak from its start to its end, or to the last reading [m3/h]; NaN if there is no time.

    Of a leak that is over the newest estimate is what was left at its end: about nothing.
    """
    hours = _hours(event.start, event.end if event.end is not None else event.data_until)
    return lost(event).best / hours if hours > 0 else float("nan")


def monthly(event: Event) -> float:
    """Return what the newest estimate of its flow loses in a month [m3]."""
    return current(event).flow_m3h * HOURS_A_MONTH


def _hours(start: np.datetime64, end: np.datetime64) -> float:
    return float((end - start) / np.timedelta64(1, "s")) / 3600
