"""From a finding to an event as plain JSON values, as it stays in the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakdetect.events import WEIGHED, Event, Evidence, Kind, Repair, Status, Zone, iso, parse_time
from leakdetect.stages.inflow.calendar import Calendar
from leakdetect.units import M3H

_Z80 = 1.2816  # of a normal distribution: 80 % lie within


@dataclass(frozen=True)
class Setting:
    """What a district is told from outside."""

    name: str
    model: str
    calendar: Calendar
    smallest: float  # m3/s
    repairs: tuple[Repair, ...]
    zone: Zone
    sensors: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """A rise of the level that is to be raised; flow in m3/s."""

    kind: Kind
    start: np.datetime64
    start_low: np.datetime64
    start_high: np.datetime64
    flow: float
    flow_sd: float
    by_hours: tuple[float, float] | None = None  # rise of the night and of the other hours


def text(time: np.datetime64) -> str:
    """Return a time as the state keeps it."""
    return iso(time) or ""


def moment(time: str) -> np.datetime64:
    """Read what `text` wrote."""
    parsed = parse_time(time)
    assert parsed is not None
    return parsed


def event(setting: Setting, finding: Finding, raised_at: np.datetime64) -> dict[str, Any]:
    """Return a new event; its id rests on district, onset and the time it was raised."""
    start, raised = (
        np.datetime_as_string(t, unit="m").replace("-", "").replace(":", "") for t in (finding.start, raised_at)
    )
    flow = _flow(finding.flow, finding.flow_sd)
    return Event(
        id=f"inflow-{setting.name or 'all'}-{start}-{raised}",
        status=Status.OPEN,
        kind=finding.kind,
        raised_at=raised_at,
        start=min(finding.start, raised_at),
        start_low=min(finding.start_low, raised_at),
        start_high=min(finding.start_high, raised_at),
        end=None,
        flow_m3h=flow["flow_m3h"],
        flow_low=flow["flow_low"],
        flow_high=flow["flow_high"],
        candidates=(),
        zone=setting.zone,
        evidence=tuple(Evidence(s, 1.0 / len(setting.sensors)) for s in setting.sensors),
        model=setting.model,
        data_until=raised_at,
        latest=_weighed(finding),
    ).to_dict()


def _weighed(finding: Finding) -> dict[str, Any]:
    """Return what speaks against use by day, which rises when people are awake."""
    if finding.by_hours is None:
        return {}
    night, day = (round(rise * M3H, 2) for rise in finding.by_hours)
    return {WEIGHED: [{"cause": "use by day", "night_m3h": night, "day_m3h": day}]}


def latest(setting: Setting, flow: float, sd: float, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the newest estimate of an event; what was weighed when it was raised stays as `before` has it."""
    zone = {
        "links": list(setting.zone.links),
        "length_m": setting.zone.length_m,
        "probability": setting.zone.probability,
    }
    kept = {key: value for key, value in before.items() if key == WEIGHED}
    return {**kept, **_flow(flow, sd), "candidates": [], "zone": zone}


def _flow(flow: float, sd: float) -> dict[str, float]:
    return {
        "flow_m3h": flow * M3H,
        "flow_low": max(0.0, flow - _Z80 * sd) * M3H,
        "flow_high": (flow + _Z80 * sd) * M3H,
    }
