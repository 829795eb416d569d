"""An event: a suspected leak, with what is known of it and its life."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from leakdetect.errors import InputError, MissingFileError

WEIGHED = "weighed"
"""Key of `Event.latest`: what else might have caused it."""


class Status(StrEnum):
    """Where an event stands in its life."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    REPAIRED = "repaired"
    CLOSED = "closed"


class Kind(StrEnum):
    """How a leak begins."""

    ABRUPT = "abrupt"
    INCIPIENT = "incipient"


@dataclass(frozen=True)
class Candidate:
    """A link that may hold the leak."""

    link: str
    probability: float


@dataclass(frozen=True)
class Zone:
    """The smallest connected set of links that holds the wanted probability."""

    links: tuple[str, ...]
    length_m: float
    probability: float


@dataclass(frozen=True)
class Evidence:
    """How much of the evidence one sensor gave; shares add up to 1."""

    sensor: str
    share: float


@dataclass(frozen=True)
class Event:
    """A suspected leak.

    Attributes
    ----------
    id : str
        Unique in the site and the same in every run over the same readings.
    status, kind : Status, Kind
    raised_at : datetime64
        Time of the last reading that was needed to raise it. UTC, as all times here.
    start, start_low, start_high : datetime64
        When the leak began, with an 80 % interval.
    end : datetime64 or None
        When its signature ended or it was repaired.
    flow_m3h, flow_low, flow_high : float
        Leak flow at `raised_at` with an 80 % interval [m3/h].
    candidates : tuple of Candidate
        Best first: where to begin, most of what is likely lying near; then by probability. As known at `raised_at`,
        like start, flow, zone and evidence: later readings never change them.
    zone : Zone
    evidence : tuple of Evidence
        Largest share first.
    model : str
        What fitted model raised it.
    data_until : datetime64
        Last reading that `status`, `end` and `latest` rest on.
    latest : dict
        The newest estimate: flow_m3h, flow_low, flow_high, candidates, zone, as above, where one was made since. And
        ``weighed``, where the detector tells it: the leak and what else might have caused what was seen when it was
        raised, as dicts of ``cause``, ``evidence`` and ``explained`` (the share of the change that it accounts for).
    """

    id: str
    status: Status
    kind: Kind
    raised_at: np.datetime64
    start: np.datetime64
    start_low: np.datetime64
    start_high: np.datetime64
    end: np.datetime64 | None
    flow_m3h: float
    flow_low: float
    flow_high: float
    candidates: tuple[Candidate, ...]
    zone: Zone
    evidence: tuple[Evidence, ...]
    model: str
    data_until: np.datetime64
    latest: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times as ISO 8601 with Z."""
        plain = asdict(self)
        for key in _TIMES:
            plain[key] = iso(plain[key])
        plain["status"], plain["kind"] = str(self.status), str(self.kind)
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Event:
        """Read what `to_dict` wrote; `InputError` names a field that is missing or wrong."""
        try:
            values = dict(plain)
            for key in _TIMES:
                values[key] = parse_time(values[key])
            values["status"], values["kind"] = Status(values["status"]), Kind(values["kind"])
            values["candidates"] = tuple(Candidate(**c) for c in values["candidates"])
            zone = values["zone"]
            values["zone"] = Zone(tuple(zone["links"]), zone["length_m"], zone["probability"])
            values["evidence"] = tuple(Evidence(**e) for e in values["evidence"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"event {plain.get('id', '?')!r}: {error}: not an event as leakdetect writes it") from None


_TIMES = ("raised_at", "start", "start_low", "start_high", "end", "data_until")


def iso(time: np.datetime64 | None) -> str | None:
    """Return a UTC time as ``2019-01-01T00:05:00Z``."""
    return None if time is None else f"{np.datetime_as_string(time, unit='s')}Z"


def parse_time(text: str | None) -> np.datetime64 | None:
    """Read an ISO 8601 time; one without an offset is UTC. Raises ValueError."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "ns")


def dumps(events: Iterable[Event]) -> str:
    """Return one JSON array."""
    return json.dumps([e.to_dict() for e in events], indent=1, ensure_ascii=False)


def read_events(path: Path) -> list[Event]:
    """Read a JSON array of events.

    Raises
    ------
    MissingFileError, InputError
        If the file is not there or is not such an array.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file")
    try:
        rows: Sequence[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise InputError(f"{path}: expected a JSON array of events")
    if any("site" in row for row in rows):
        raise InputError(f"{path}: holds the events of several sites: run detect on one site at a time")
    return [Event.from_dict(row) for row in rows]


@dataclass(frozen=True)
class Repair:
    """A repair the utility reports: the link and when it was done (UTC)."""

    link: str
    time: np.datetime64


@dataclass(frozen=True)
class KnownLeak:
    """A leak that people found.

    Attributes
    ----------
    link : str
        Where; '' in a district without a drawing.
    start, end : datetime64
        When it ran (UTC); end is None while it does.
    flow_m3h : float
        When it was raised.
    sensors : tuple of str
        Those that told of it.
    """

    link: str
    start: np.datetime64
    end: np.datetime64 | None
    flow_m3h: float
    sensors: tuple[str, ...]
