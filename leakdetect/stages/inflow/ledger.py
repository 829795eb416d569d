"""What is known to have changed a district's level: leaks, and shifts that are no leak.

The test looks for what the level shows *beyond* these. A leak that was raised is held at its flow, so that it is
neither found twice nor learnt as season; a fall of the level ends the leak that it fits.
An entry is a plain dict (it lives in the detector's state), with times in leak-days.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from leakdetect.stages.inflow.calendar import Floats, Ints

_RETURN = 30  # days in which a rise to the old level undoes a shift
_SLACK = 1.6  # a return may overshoot by so much


class Entry(TypedDict):
    """A known change of the level."""

    event: str  # id of the event, '' for a shift that is no leak
    onset: float  # leak-day, with its fraction
    full: float  # leak-day from which it has its whole height: the onset for an abrupt one
    end: float | None  # leak-day, None while it lasts
    flow: float  # m3/s, negative for a shift downwards
    made: int  # leak-day on which it was written down
    first: float  # flow then
    base: float | None  # level before it, where that is known [m3/s]


def entry(
    flow: float, onset: float, made: int, *, full: float | None = None, event: str = "", base: float | None = None
) -> Entry:
    """Return a change that lasts; one that has its whole height at its onset where `full` is not given."""
    return Entry(
        event=event,
        onset=onset,
        full=onset if full is None else full,
        end=None,
        flow=flow,
        made=made,
        first=flow,
        base=base,
    )


def shape(change: Entry, days: Ints) -> Floats:
    """Return how much of its height a change has on each leak-day, 0 to 1."""
    if change["full"] > change["onset"]:
        grown = np.clip((days + 0.5 - change["onset"]) / (change["full"] - change["onset"]), 0.0, 1.0)
    else:
        grown = np.clip(days + 1.0 - change["onset"], 0.0, 1.0)
    return np.asarray(grown if change["end"] is None else grown * np.clip(change["end"] - days, 0.0, 1.0))


def total(entries: list[Entry], days: Ints, *, leaks: bool = True, shifts: bool = True) -> Floats:
    """Return the flow of all entries on each leak-day [m3/s]."""
    flow = np.zeros(len(days))
    for change in entries:
        if leaks if change["event"] else shifts:
            flow += change["flow"] * shape(change, days)
    return flow


def running(entries: list[Entry]) -> list[Entry]:
    """Return the leaks that have not ended, oldest first."""
    return [e for e in entries if e["event"] and e["end"] is None]


def flows(entries: list[Entry]) -> dict[str, float]:
    """Return the flow of each leak, its growth included, by event id [m3/s]."""
    flow: dict[str, float] = {}
    for change in entries:
        if change["event"]:
            flow[change["event"]] = flow.get(change["event"], 0.0) + change["flow"]
    return flow


def fitting(entries: list[Entry], drop: float, before: float) -> str | None:
    """Return the id of the running leak that a fall of the level by `drop` fits best, or None.

    One whose flow is more than twice the fall has not ended. Compared on a logarithmic scale: half is as far as double.
    """
    flow = flows([e for e in running(entries) if e["onset"] < before])
    able = [event for event, q in flow.items() if 0.5 * q <= drop]
    return min(able, key=lambda event: abs(np.log(drop / max(flow[event], 1e-12)))) if able else None


def dip(entries: list[Entry], rise: float, onset: float) -> Entry | None:
    """Return the recent shift downwards of which a rise is no more than the end: a meter or a valve, or None."""
    for change in entries:
        recent = change["end"] is None and onset - change["onset"] <= _RETURN
        if not change["event"] and recent and 0 < rise <= -_SLACK * change["flow"]:
            return change
    return None


def settled(entries: list[Entry], oldest: int) -> list[Entry]:
    """Return the entries that still make a difference to days from `oldest` on.

    A leak that ended before adds nothing; a shift that was complete before is part of the level.
    """
    return [
        e
        for e in entries
        if not (e["end"] is not None and e["end"] < oldest) and (e["event"] or max(e["onset"], e["full"]) + 1 >= oldest)
    ]
