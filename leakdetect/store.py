"""What runs leave behind: events, the detector's state, progress and run records. SQLite in the site folder.

A run's outcome is one transaction: a run that is killed leaves what was there before.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import sqlalchemy as sa

from leakdetect.detector import State
from leakdetect.errors import InputError
from leakdetect.events import Event, Repair, Status, iso, parse_time

VERSION = 1
"""Of the tables' layout."""

_META = sa.MetaData()
_LAYOUT = sa.Table("layout", _META, sa.Column("version", sa.Integer, primary_key=True))
_EVENTS = sa.Table(
    "events",
    _META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("raised_at", sa.Text, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
_CHANGES = sa.Table(
    "changes",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("event", sa.Text, nullable=False, index=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("link", sa.Text, nullable=False),  # of a repair
    sa.Column("repaired", sa.Text),  # when it was done, UTC
)
_PROGRESS = sa.Table(
    "progress",
    _META,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("begun", sa.Text, nullable=False),
    sa.Column("until", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)
_PEOPLE = {Status.CONFIRMED, Status.DISMISSED, Status.REPAIRED}
_SAME_LEAK = np.timedelta64(30, "D")
_OVER = {Status.CLOSED, Status.REPAIRED}
_ANEW = "move the file away and run detect again, or put back a copy"
_WAIT = 10.0
"""[s] that a run waits for another to finish writing."""


@dataclass(frozen=True)
class Progress:
    """How far the detector is.

    Attributes
    ----------
    model : str
        Checksum of the fitted model that the state belongs to.
    begun, until : datetime64
        First and last step taken.
    state : dict
        The detector's.
    """

    model: str
    begun: np.datetime64
    until: np.datetime64
    state: State


class Store:
    """Events and progress of one site; use it in a `with`.

    Parameters
    ----------
    path : path
        The SQLite file; made if it is not there.

    Raises
    ------
    InputError
        If the file is not such a database, or was made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": _WAIT})
        sa.event.listen(self._engine, "connect", _by_hand)
        sa.event.listen(self._engine, "begin", _begin)

    def __enter__(self) -> Store:
        with self._work() as connection:
            there = sa.inspect(connection).has_table(_LAYOUT.name)
        if not there:
            with self._work(write=True) as connection:
                _META.create_all(connection)
                if connection.execute(sa.select(_LAYOUT.c.version)).scalar() is None:
                    connection.execute(_LAYOUT.insert().values(version=VERSION))
        with self._work() as connection:
            found = connection.execute(sa.select(_LAYOUT.c.version)).scalar()
        if found != VERSION:
            raise InputError(f"{self.path}: layout {found}, this is for {VERSION}: use the version that made it")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    @contextmanager
    def _work(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """Give one transaction; one that writes has the file to itself from its beginning."""
        try:
            with self._engine.execution_options(write=write).begin() as connection:
                yield connection
        except sa.exc.DatabaseError as error:
            raise InputError(f"{self.path}: {_reason(error)}") from error

    def claim(self) -> None:
        """Raise InputError now if the file could not be written later: it is locked, or may not be written to."""
        with self._work(write=True):
            pass

    # -- events ------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Return all events, by the time they were raised."""
        with self._work() as connection:
            rows = connection.execute(sa.select(_EVENTS.c.body).order_by(_EVENTS.c.raised_at, _EVENTS.c.id)).scalars()
            return [self._read(body) for body in rows]

    def event(self, event_id: str) -> Event:
        """Return one event; InputError if there is none of that id."""
        with self._work() as connection:
            return self._event(connection, event_id)

    def _event(self, connection: sa.Connection, event_id: str) -> Event:
        body = connection.execute(sa.select(_EVENTS.c.body).where(_EVENTS.c.id == event_id)).scalar()
        if body is None:
            raise InputError(f"no event '{event_id}': 'leakdetect events {self.path.parent} list' shows their ids")
        return self._read(body)

    def _read(self, body: str) -> Event:
        try:
            return Event.from_dict(json.loads(body))
        except ValueError as error:  # InputError is one
            raise InputError(f"{self.path}: {error}: {_ANEW}") from None

    def set_status(
        self,
        event_id: str,
        status: Status,
        *,
        by: str,
        at: np.datetime64,
        why: str = "",
        link: str = "",
        repaired: np.datetime64 | None = None,
    ) -> Event:
        """Change an event's status on a person's word; return it.

        Parameters
        ----------
        event_id : str
        status : Status
        by, at, why
            Who says so, when (UTC) and on what ground.
        link, repaired
            Of a repair: where and when (UTC) it was done; the first candidate and `at` where it is not said.

        Raises
        ------
        InputError
            If there is no such event.
        """
        with self._work(write=True) as connection:
            plain = self._event(connection, event_id).to_dict() | {"status": str(status)}
            done = None
            if status == Status.REPAIRED:
                done = iso(at if repaired is None else repaired)
                plain["end"] = done
            event = Event.from_dict(plain)
            _put_event(connection, event)
            connection.execute(
                _CHANGES.insert().values(
                    event=event_id, at=iso(at), by=by, status=str(status), why=why, link=link, repaired=done
                )
            )
        return event

    def changes(self, event_id: str) -> list[dict[str, str]]:
        """Return what people said of an event, oldest first."""
        query = sa.select(_CHANGES).where(_CHANGES.c.event == event_id).order_by(_CHANGES.c.number)
        with self._work() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return [{k: str(v or "") for k, v in row.items() if k != "number"} for row in rows]

    def repairs(self) -> list[Repair]:
        """Return the repairs that people said of events and did not take back, oldest first."""
        said = sa.select(_CHANGES, _EVENTS.c.body).join(_EVENTS, _EVENTS.c.id == _CHANGES.c.event)
        with self._work() as connection:
            rows = connection.execute(said.order_by(_CHANGES.c.number)).all()
        last = {row.event: row for row in rows}
        found = []
        for row in last.values():
            time = parse_time(row.repaired)
            if time is not None:
                first = self._read(row.body).candidates[:1]
                found.append(Repair(row.link or "".join(c.link for c in first), time))
        return sorted(found, key=lambda r: (r.time, r.link))

    # -- progress ----------------------------------------------------------------------------------------------

    def progress(self) -> Progress | None:
        """Return how far the detector is, None before its first run."""
        with self._work() as connection:
            row = connection.execute(sa.select(_PROGRESS)).one_or_none()
        if row is None:
            return None
        try:
            begun, until = parse_time(row.begun), parse_time(row.until)
            state = decode(row.state)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.path}: the detector's state is not whole: {_ANEW}") from error
        if begun is None or until is None:
            raise InputError(f"{self.path}: progress without times: {_ANEW}")
        return Progress(row.model, begun, until, state)

    def save(self, progress: Progress, events: Sequence[Event], *, fresh: bool) -> int:
        """Keep a run's outcome in one transaction; return how many events are new.

        Parameters
        ----------
        progress : Progress
        events : sequence of Event
            All that the detector knows.
        fresh : bool
            The detector began anew. What was said of an event goes over to the one that now stands for it; events that
            the detector no longer knows go, unless a person has spoken of them.
        """
        with self._work(write=True) as connection:
            rows = connection.execute(sa.select(_EVENTS.c.id, _EVENTS.c.body)).all()
            before = {row.id: self._read(row.body) for row in rows}
            spoken = set(connection.execute(sa.select(_CHANGES.c.event)).scalars())
            if fresh:
                for old, heir in _heirs(before, events, spoken).items():
                    spoken = {heir if i == old else i for i in spoken}
                    before[heir] = before.pop(old)
                    connection.execute(_CHANGES.update().where(_CHANGES.c.event == old).values(event=heir))
                    connection.execute(_EVENTS.delete().where(_EVENTS.c.id == old))
                gone = [i for i in before if i not in spoken and i not in {e.id for e in events}]
                connection.execute(_EVENTS.delete().where(_EVENTS.c.id.in_(gone)))
            for event in events:
                _put_event(connection, _merged(event, before.get(event.id), event.id in spoken))
            connection.execute(_PROGRESS.delete())
            connection.execute(
                _PROGRESS.insert().values(
                    one=1,
                    model=progress.model,
                    begun=iso(progress.begun),
                    until=iso(progress.until),
                    state=encode(progress.state),
                )
            )
        return len([e for e in events if e.id not in before])


def _heirs(before: Mapping[str, Event], events: Sequence[Event], spoken: Set[str]) -> dict[str, str]:
    """Return, by the id of an event that is gone, the id of the new one that tells of the same leak.

    Their zones (or, of districts, their sensors) meet, and their beginnings lie within a month of each other; of
    several the one that began nearest. Those that a person has spoken of come first.
    """
    known = {e.id for e in events}
    free = {e.id: e for e in events if e.id not in before}
    heirs = {}
    lost = (e for i, e in before.items() if i not in known)
    for old in sorted(lost, key=lambda e: (e.id not in spoken, e.raised_at, e.id)):
        alike = [new for new in free.values() if _where(old) & _where(new) and abs(new.start - old.start) <= _SAME_LEAK]
        if alike:
            heir = min(alike, key=lambda new: (abs(new.start - old.start), new.id))
            heirs[old.id] = free.pop(heir.id).id
    return heirs


def _where(event: Event) -> set[str]:
    return set(event.zone.links if event.candidates else (e.sensor for e in event.evidence))


def _merged(event: Event, before: Event | None, spoken: bool) -> Event:
    """Return an event with a person's word on its status, but where a confirmed leak has ended."""
    if before is None or not spoken or before.status not in _PEOPLE:
        return event
    if before.status == Status.CONFIRMED and event.status in _OVER:
        return event
    plain = event.to_dict() | {"status": str(before.status)}
    if before.status == Status.REPAIRED:
        plain["end"] = before.to_dict()["end"]
    return Event.from_dict(plain)


def _by_hand(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # or sqlite3 begins a transaction late, after what it rests on was read


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _reason(error: sa.exc.DatabaseError) -> str:
    said = str(error.orig).split("\n", maxsplit=1)[0]
    mends = {
        "locked": "another run is writing: try again when it has finished",
        "readonly": "make the file and its folder writable",
        "unable to open": "make the folder writable",
        "not a database": _ANEW,
        "malformed": _ANEW,
    }
    return f"{said}: {next((mend for key, mend in mends.items() if key in said), _ANEW)}"


def _put_event(connection: sa.Connection, event: Event) -> None:
    connection.execute(_EVENTS.delete().where(_EVENTS.c.id == event.id))
    plain = event.to_dict()
    connection.execute(
        _EVENTS.insert().values(
            id=event.id,
            raised_at=plain["raised_at"],
            status=plain["status"],
            body=json.dumps(plain, ensure_ascii=False),
        )
    )


def encode(state: State) -> bytes:
    """Return a state (nested dicts and lists of arrays and JSON values) as one compressed npz; no pickle."""
    arrays: dict[str, np.ndarray] = {}

    def strip(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[f"a{len(arrays)}"] = value
            return {"__array__": f"a{len(arrays) - 1}"}
        if isinstance(value, dict):
            return {str(k): strip(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [strip(v) for v in value]
        return value.item() if isinstance(value, np.generic) else value

    text = json.dumps(strip(state))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, json=np.frombuffer(text.encode(), dtype=np.uint8), allow_pickle=False, **arrays)
    return buffer.getvalue()


def decode(blob: bytes) -> State:
    """Read what `encode` wrote."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return arrays[value["__array__"]] if "__array__" in value else {k: fill(v) for k, v in value.items()}
        return [fill(v) for v in value] if isinstance(value, list) else value

    state: State = fill(json.loads(arrays["json"].tobytes()))
    return state
