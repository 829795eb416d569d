"""What becomes of events when a run ends: people's words, leaks told anew, dismissed signatures that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from leakdetect.events import Event, Status

PEOPLE = {Status.CONFIRMED, Status.DISMISSED, Status.REPAIRED}
_OVER = {Status.CLOSED, Status.REPAIRED}
_SAME_LEAK = np.timedelta64(30, "D")
_BACK = np.timedelta64(3, "D")  # after it ended, in which a dismissed signature is still the same
_MOVED = np.timedelta64(1, "D")  # by which beginning, and time told, of a leak may differ that is only placed anew
_GROWN = 1.5  # times the flow that was dismissed


def heirs(before: Mapping[str, Event], lost: Set[str], events: Sequence[Event], spoken: Set[str]) -> dict[str, str]:
    """Return, by the id of an event that is gone, the id of the new one that tells of the same leak.

    Their zones (or, of districts, their sensors) meet, and their beginnings lie within a month of each other; of
    several the one that began nearest. Those that a person has spoken of come first.
    """
    free = {e.id: e for e in events if e.id not in before}
    found = {}
    for old in sorted((before[i] for i in lost), key=lambda e: (e.id not in spoken, e.raised_at, e.id)):
        alike = [new for new in free.values() if _where(old) & _where(new) and abs(new.start - old.start) <= _SAME_LEAK]
        if alike:
            heir = min(alike, key=lambda new: (abs(new.start - old.start), new.id))
            found[old.id] = free.pop(heir.id).id
    return found


def _where(event: Event) -> set[str]:
    return set(event.zone.links if event.candidates else (e.sensor for e in event.evidence))


def merged(event: Event, before: Event | None, spoken: bool) -> Event:
    """Return an event with a person's word on its status, but where a confirmed leak has ended."""
    if before is None or not spoken or before.status not in PEOPLE:
        return event
    if before.status == Status.CONFIRMED and event.status in _OVER:
        return event
    plain = event.to_dict() | {"status": str(before.status)}
    if before.status == Status.REPAIRED:
        plain["end"] = before.to_dict()["end"]
    return Event.from_dict(plain)


def flow(event: Event) -> tuple[float, float]:
    """Return the newest flow and its lower bound [m3/h]."""
    latest = event.latest
    return float(latest.get("flow_m3h", event.flow_m3h)), float(latest.get("flow_low", event.flow_low))


def has_grown(event: Event, dismissed: float) -> bool:
    """Say whether a leak has clearly more than the flow at which it was dismissed [m3/h]."""
    now, low = flow(event)
    return event.end is None and now > _GROWN * dismissed and low > dismissed


def comes_back(new: Event, old: Event, dismissed: float) -> bool:
    """Say whether a new event tells of no more than a dismissed one whose signature has just ended.

    It was placed anew, or has gone and come again at the same place within days. While the old one runs its flow is
    accounted for: what is raised beside it is more.

    Parameters
    ----------
    new, old : Event
    dismissed : float
        Flow of the old one when that was said [m3/h].
    """
    if old.end is None or new.flow_m3h > _GROWN * dismissed:
        return False
    placed_anew = abs(new.start - old.start) <= _MOVED and abs(new.raised_at - old.end) <= _MOVED
    again = bool(_where(new) & _where(old)) and old.end - _MOVED <= new.start <= old.end + _BACK
    return bool(placed_anew or again)


def difference(old: Event, new: Event) -> dict[str, Any]:
    """Return what is told otherwise: ``{name: [from, to]}`` of status, flow [m3/h], first pipe, zone."""
    a, b = _told(old), _told(new)
    return {key: [a[key], b[key]] for key in a if a[key] != b[key]}


def _told(event: Event) -> dict[str, Any]:
    candidates = event.latest.get("candidates") or [vars(c) for c in event.candidates]
    zone = event.latest["zone"]["links"] if "zone" in event.latest else event.zone.links
    return {
        "status": str(event.status),
        "flow_m3h": round(flow(event)[0], 1),
        "pipe": candidates[0]["link"] if candidates else "",
        "zone": sorted(zone),
    }
