"""The store of one site: what runs and people may ask of it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import sqlalchemy as sa

from leakdetect.detector import State
from leakdetect.errors import InputError
from leakdetect.events import Event, KnownLeak, Repair, Status, iso, parse_time
from leakdetect.live import Alert
from leakdetect.site import Site
from leakdetect.store import outbox, words
from leakdetect.store.adopt import adopt
from leakdetect.store.database import ANEW, Database
from leakdetect.store.layout import CHANGES, CHECKPOINTS, DAYS, EVENTS, PROGRESS, RUNS, SENSORS
from leakdetect.store.outcome import Outcome, Saved, write
from leakdetect.store.sharing import shared_place
from leakdetect.store.state import Progress, decode, encode


def open_store(site: Site, *, make: bool = True) -> Store | None:
    """Return a site's store: where the environment, or else ``[store]`` in site.toml, says, or in its folder.

    Parameters
    ----------
    site : Site
    make : bool
        If not, None where the site has no file yet; a database of a URL is always there.
    """
    shared = shared_place(site)
    if shared is not None:
        return Store(*shared, site.store_path)
    return Store(site.store_path) if make or site.store_path.is_file() else None


class Store:
    """Events, progress and runs of one site; use it in a `with`.

    Parameters
    ----------
    place : path or str
        The SQLite file, made if it is not there, or a database's URL.
    site : str
        By which the site is known in a database that others share.
    outgrown : path, optional
        A file whose rows are taken over where the database knows nothing of the site yet.

    Raises
    ------
    InputError
        If it is not such a database, was made by a newer version, or cannot be reached.
    """

    def __init__(self, place: Path | str, site: str = "", outgrown: Path | None = None) -> None:
        self.site, self._outgrown = site, outgrown
        self._base = Database(place, site)
        self.name = self._base.name

    def __enter__(self) -> Store:
        try:
            self._base.open()
            self._take_over()
        except BaseException:
            self._base.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def _take_over(self) -> None:
        if self._outgrown is None or not self._outgrown.is_file() or self._known():
            return
        with Store(self._outgrown) as old, old._base.work() as source, self._base.work(write=True) as target:
            if target.execute(self._mine(PROGRESS)).first() is None:
                adopt(source, target, self.site)

    def _known(self) -> bool:
        with self._base.work() as connection:
            return connection.execute(self._mine(PROGRESS, PROGRESS.c.until)).first() is not None

    def claim(self, wait: float | None = None) -> None:
        """Raise InputError now if the store could not be written later: it is locked, or may not be written to.

        Where a lost connection gave up what `alone` had, that is taken again.

        Parameters
        ----------
        wait : float, optional
            For another process that writes [s]; not given: as long as one who writes does.
        """
        self._base.stay_alone()
        with self._base.work(write=True, wait=wait):
            pass

    def alone(self) -> Any:
        """Keep other runs away while in a `with`; see `Database.alone`."""
        return self._base.alone()

    def _mine(self, table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        return sa.select(*(columns or (table,))).where(table.c.site == self.site)

    # -- events ------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Return all events, by the time they were raised."""
        with self._base.work() as connection:
            query = self._mine(EVENTS, EVENTS.c.body).order_by(EVENTS.c.raised_at, EVENTS.c.id)
            return [self._read(body) for body in connection.execute(query).scalars()]

    def event(self, event_id: str) -> Event:
        """Return one event; InputError if there is none of that id."""
        with self._base.work() as connection:
            return self._event(connection, event_id)

    def _event(self, connection: sa.Connection, event_id: str) -> Event:
        body = connection.execute(self._mine(EVENTS, EVENTS.c.body).where(EVENTS.c.id == event_id)).scalar()
        if body is None:
            raise InputError(f"no event '{event_id}': 'leakdetect events DIR list' shows their ids")
        return self._read(body)

    def _read(self, body: str) -> Event:
        try:
            return Event.from_dict(json.loads(body))
        except ValueError as error:  # InputError is one
            raise InputError(f"{self.name}: {error}: {ANEW}") from None

    def set_status(
        self,
        event_id: str,
        status: Status,
        *,
        by: str,
        at: np.datetime64,
        why: str = "",
        link: str = "",
        time: np.datetime64 | None = None,
    ) -> Event:
        """Change an event's status on a person's word; return it.

        Parameters
        ----------
        event_id : str
        status : Status
        by, at, why
            Who says so, when (UTC) and on what ground.
        link, time
            Where and when (UTC) the leak was found, or mended: the first candidate and `at` where a repair's are not
            said.

        Raises
        ------
        InputError
            If there is no such event.
        """
        with self._base.work(write=True) as connection:
            before = self._event(connection, event_id)
            return words.say(connection, self.site, before, status, by=by, at=at, why=why, link=link, time=time)

    def changes(self, event_id: str) -> list[dict[str, str]]:
        """Return what people said of an event, oldest first."""
        keys = ("event", "at", "by", "status", "why", "link", "repaired")
        return [{key: str(row[key] or "") for key in keys} for row in self._rows(event_id) if row["run"] is None]

    def history(self, event_id: str) -> list[dict[str, Any]]:
        """Return every change of an event, oldest first, by runs and by people.

        Returns
        -------
        list of dict
            ``at`` (when it was said; of a run, the last reading that it rests on), ``by``, ``status``, ``why``,
            ``link``, ``repaired``, ``run`` (its number, None of a person) and ``detail``: what changed, from what to
            what.
        """
        return [{k: v for k, v in words.told(row).items() if k != "event"} for row in self._rows(event_id)]

    def changes_since(self, time: np.datetime64) -> list[dict[str, Any]]:
        """Return every change of any event after a time, oldest first: as `history`, and its ``event``."""
        with self._base.work() as connection:
            return [words.told(row) for row in words.changes(connection, self.site, CHANGES.c.at > iso(time))]

    def _rows(self, event_id: str) -> list[Mapping[str, Any]]:
        with self._base.work() as connection:
            return words.changes(connection, self.site, CHANGES.c.event == event_id)

    def repairs(self) -> list[Repair]:
        """Return the repairs that people said of events and did not take back, oldest first."""
        with self._base.work() as connection:
            return words.repairs(words.last_words(connection, self.site, self._read))

    def known(self) -> list[KnownLeak]:
        """Return the leaks that people found where they say, oldest first."""
        with self._base.work() as connection:
            return words.known(words.last_words(connection, self.site, self._read))

    def mark(self) -> str:
        """Return what changes with each run and each change of an event."""
        with self._base.work() as connection:
            newest = (connection.execute(self._mine(t, sa.func.max(t.c.number))).scalar() for t in (RUNS, CHANGES))
            return "-".join(str(number or 0) for number in newest)

    # -- progress ----------------------------------------------------------------------------------------------

    def progress(self) -> Progress | None:
        """Return how far the detector is, None before its first run."""
        with self._base.work() as connection:
            row = connection.execute(self._mine(PROGRESS)).one_or_none()
        if row is None:
            return None
        state = self._state(row.state)
        try:
            begun, until = parse_time(row.begun), parse_time(row.until)
            known = None if row.repairs is None else tuple(_repair(*r) for r in json.loads(row.repairs))
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.name}: progress cannot be read: {error}: {ANEW}") from error
        if begun is None or until is None:
            raise InputError(f"{self.name}: progress without times: {ANEW}")
        return Progress(row.model, begun, until, state, known, row.run)

    def _state(self, blob: bytes) -> State:
        try:
            return decode(blob)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.name}: the detector's state is not whole: {ANEW}") from error

    def checkpoint(self, before: np.datetime64) -> tuple[np.datetime64, State] | None:
        """Return the newest past state of a step before a time, and that step; None where none is kept."""
        query = self._mine(CHECKPOINTS).where(CHECKPOINTS.c.until < iso(before)).order_by(CHECKPOINTS.c.until.desc())
        with self._base.work() as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        if row is None:
            return None
        until = parse_time(row.until)
        assert until is not None
        return until, self._state(row.state)

    def redact(self, change: Callable[[State], State]) -> None:
        """Change the newest state and all past ones, in one transaction."""
        with self._base.work(write=True) as connection:
            for table in (PROGRESS, CHECKPOINTS):
                for row in connection.execute(self._mine(table, table.c.until, table.c.state)).all():
                    here = (table.c.site == self.site) & (table.c.until == row.until)
                    state = encode(change(self._state(row.state)))
                    connection.execute(table.update().where(here).values(state=state))

    def days(self) -> dict[str, dict[str, str]]:
        """Return the digests of the latest days taken: by day, by sensor."""
        with self._base.work() as connection:
            return {row.day: json.loads(row.digests) for row in connection.execute(self._mine(DAYS))}

    def sensors(self) -> dict[str, dict[str, Any]]:
        """Return how far each sensor is, by name: quantity, element, ``first`` and ``last``."""
        with self._base.work() as connection:
            rows = connection.execute(self._mine(SENSORS).order_by(SENSORS.c.name)).all()
        keys = ("quantity", "element", "first", "last")
        return {row.name: {key: row._mapping[key] for key in keys} for row in rows}

    # -- runs --------------------------------------------------------------------------------------------------

    def runs(self, last: int | None = None, since: np.datetime64 | None = None) -> list[dict[str, Any]]:
        """Return the records of runs, oldest first: ``number``, ``started`` and what `record` was given.

        Parameters
        ----------
        last : int, optional
            No more than so many, the newest.
        since : datetime64, optional
            Those that started then or later (UTC).
        """
        query = self._mine(RUNS).order_by(RUNS.c.number.desc()).limit(last)
        if since is not None:
            query = query.where(RUNS.c.started >= iso(since))
        with self._base.work() as connection:
            rows = connection.execute(query).all()
        return [{"number": row.number, "started": row.started, **json.loads(row.body)} for row in reversed(rows)]

    def record(self, started: np.datetime64, body: Mapping[str, Any]) -> None:
        """Keep the record of a run that took nothing: it failed, or there was nothing new."""
        with self._base.work(write=True) as connection:
            connection.execute(RUNS.insert().values(site=self.site, started=iso(started), body=json.dumps(dict(body))))

    # -- what people are told ----------------------------------------------------------------------------------

    def messages(self) -> list[outbox.Message]:
        """Return what was sent, or waits to be, oldest first."""
        with self._base.work() as connection:
            return outbox.listed(connection, self.site)

    def tell_quiet(self, alerts: Sequence[Alert], silent: Sequence[outbox.Quiet]) -> None:
        """Let it be told that sensors fell silent; of one silence only once."""
        with self._base.work(write=True) as connection:
            outbox.put_quiet(connection, self.site, alerts, silent)

    def next_message(self, now: np.datetime64) -> outbox.Message | None:
        """Return a message that is due (UTC); nobody else gets it within the next two minutes."""
        with self._base.work(write=True) as connection:
            return outbox.claim(connection, self.site, now)

    def settle(
        self, message: outbox.Message, now: np.datetime64, error: str | None, until: np.datetime64 | None = None
    ) -> None:
        """Note what came of a message: delivered if there is no `error`; put off if `until` is given."""
        with self._base.work(write=True) as connection:
            if until is not None:
                outbox.put_off(connection, message, until)
            elif error is None:
                outbox.delivered(connection, message, now)
            else:
                outbox.failed(connection, message, now, error)

    @contextmanager
    def saving(self, outcome: Outcome) -> Iterator[Saved]:
        """Keep a run's outcome in one transaction, which ends with the `with`: what is done in it belongs to the run.

        Raises
        ------
        UnavailableError
            If another run has written since this one read its progress.
        """
        with self._base.work(write=True) as connection:
            yield write(connection, self.site, self._read, outcome)


def _repair(link: str, time: str) -> Repair:
    when = parse_time(time)
    if when is None:
        raise ValueError("a repair without a time")
    return Repair(link, when)
