"""What runs leave behind: events, the detector's state, progress and run records. SQLite in the site folder.

A run's outcome is one transaction: a run that is killed leaves what was there before.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import sqlalchemy as sa

from leakdetect.detector import State
from leakdetect.errors import InputError, LeakdetectError
from leakdetect.events import Event, Status, iso, parse_time

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
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    def __enter__(self) -> Store:
        with self._work() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            _META.create_all(connection)
            found = connection.execute(sa.select(_LAYOUT.c.version)).scalar()
            if found is None:
                connection.execute(_LAYOUT.insert().values(version=VERSION))
            elif found != VERSION:
                raise InputError(f"{self.path}: layout {found}, this is for {VERSION}: use the version that made it")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    @contextmanager
    def _work(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DatabaseError as error:
            reason = str(error.orig).split("\n", maxsplit=1)[0]
            raise InputError(f"{self.path}: {reason}: is it a leakdetect database, and can it be written?") from error

    # -- events ------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Return all events, by the time they were raised."""
        with self._work() as connection:
            rows = connection.execute(sa.select(_EVENTS.c.body).order_by(_EVENTS.c.raised_at, _EVENTS.c.id)).scalars()
            return [Event.from_dict(json.loads(body)) for body in rows]

    def set_status(self, event_id: str, status: Status, *, by: str, at: np.datetime64, why: str = "") -> Event:
        """Change an event's status on a person's word; return it.

        Raises
        ------
        InputError
            If there is no such event.
        """
        found = [e for e in self.events() if e.id == event_id]
        if not found:
            raise InputError(f"no event '{event_id}': 'leakdetect events DIR list' shows their ids")
        plain = found[0].to_dict() | {"status": str(status)}
        if status == Status.REPAIRED and plain["end"] is None:
            plain["end"] = iso(at)
        event = Event.from_dict(plain)
        with self._work() as connection:
            _put_event(connection, event)
            connection.execute(_CHANGES.insert().values(event=event_id, at=iso(at), by=by, status=str(status), why=why))
        return event

    def changes(self, event_id: str) -> list[dict[str, str]]:
        """Return what people said of an event, oldest first."""
        query = sa.select(_CHANGES).where(_CHANGES.c.event == event_id).order_by(_CHANGES.c.number)
        with self._work() as connection:
            return [{k: str(v) for k, v in row._mapping.items() if k != "number"} for row in connection.execute(query)]

    # -- progress ----------------------------------------------------------------------------------------------

    def progress(self) -> Progress | None:
        """Return how far the detector is, None before its first run."""
        with self._work() as connection:
            row = connection.execute(sa.select(_PROGRESS)).one_or_none()
        if row is None:
            return None
        begun, until = parse_time(row.begun), parse_time(row.until)
        if begun is None or until is None:
            raise LeakdetectError(f"{self.path}: progress without times: remove the file and run detect again")
        return Progress(row.model, begun, until, decode(row.state))

    def save(self, progress: Progress, events: Sequence[Event], *, fresh: bool) -> int:
        """Keep a run's outcome in one transaction; return how many events are new.

        Parameters
        ----------
        progress : Progress
        events : sequence of Event
            All that the detector knows.
        fresh : bool
            The detector began anew: events it no longer knows go, unless a person has spoken of them.
        """
        with self._work() as connection:
            rows = connection.execute(sa.select(_EVENTS.c.id, _EVENTS.c.body)).all()
            before = {row.id: Event.from_dict(json.loads(row.body)) for row in rows}
            spoken = set(connection.execute(sa.select(_CHANGES.c.event)).scalars())
            if fresh:
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
                )  # fmt: skip
            )
        return len([e for e in events if e.id not in before])


def _merged(event: Event, before: Event | None, spoken: bool) -> Event:
    """A person's word on status outlives the detector's."""
    if before is None or not spoken or before.status not in _PEOPLE:
        return event
    plain = event.to_dict() | {"status": str(before.status)}
    if before.status == Status.REPAIRED:
        plain["end"] = before.to_dict()["end"]
    return Event.from_dict(plain)


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
