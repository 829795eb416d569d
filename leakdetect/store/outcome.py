"""A run's outcome, and how it is written: events with what changed, progress, checkpoints, digests, the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa

from leakdetect.errors import UnavailableError
from leakdetect.events import Event, Status, iso, parse_time
from leakdetect.live import Alert
from leakdetect.store import merging, outbox
from leakdetect.store.layout import CHANGES, CHECKPOINTS, DAYS, EVENTS, PROGRESS, RUNS, SENSORS
from leakdetect.store.state import Progress, encode, kept

_US = "leakdetect"
_RUNS_KEPT = np.timedelta64(30, "D")  # each of them; of older ones what `_thin_runs` leaves


@dataclass(frozen=True)
class Outcome:
    """What a run has found.

    Attributes
    ----------
    progress : Progress
        Its `run` is that of the progress on which the run rests.
    events : sequence of Event
        All that the detector knows.
    fresh : bool
        The detector began anew with another model. What was said of an event goes over to the one that now stands for
        it; events that the detector no longer knows go, unless a person has spoken of them.
    restarted : datetime64, optional
        First step that was taken again, because `note`. Events raised stay raised; those that the detector no longer
        knows are closed.
    note : str
    checkpoints : sequence of (datetime64, state)
        Past states and their last steps.
    days : mapping
        Digests of days taken: ``{day: {sensor: digest}}``; those before `days_from` are forgotten.
    days_from : str
    sensors : mapping of dict
        Those columns of the table ``sensors`` that are known, by name.
    started : datetime64
        When the run began (UTC), for its record.
    record : mapping
    alerts : sequence of Alert
        Whom to tell of events; what is to be said is kept with them.
    """

    progress: Progress
    events: Sequence[Event]
    fresh: bool = False
    restarted: np.datetime64 | None = None
    note: str = ""
    checkpoints: Sequence[tuple[np.datetime64, Any]] = ()
    days: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    days_from: str = ""
    sensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    started: np.datetime64 = field(default_factory=lambda: np.datetime64("now"))
    record: Mapping[str, Any] = field(default_factory=dict)
    alerts: Sequence[Alert] = ()


@dataclass(frozen=True)
class Saved:
    """What a run changed: its number, and the ids of events that it raised, or raised again."""

    run: int
    raised: tuple[str, ...]


def write(connection: sa.Connection, site: str, read: Callable[[str], Event], outcome: Outcome) -> Saved:
    """Write an outcome in the connection's transaction; see `Store.saving`."""
    row = connection.execute(sa.select(PROGRESS.c.run).where(PROGRESS.c.site == site)).one_or_none()
    if row is not None and row.run != outcome.progress.run:
        raise UnavailableError("another run of this site has written meanwhile: run detect again")
    record = RUNS.insert().values(site=site, started=iso(outcome.started), body="{}")
    number: int = connection.execute(record.returning(RUNS.c.number)).scalar_one()
    raised, now = _Events(connection, site, read, outcome, number).write()
    outbox.put_events(connection, site, outcome.alerts, now, raised, number, outcome.progress.until)
    _write_states(connection, site, outcome, number)
    _write_taken(connection, site, outcome)
    _thin_runs(connection, site, outcome.started)
    body = {**outcome.record, "new": len(raised), "raised": raised}
    connection.execute(RUNS.update().where(RUNS.c.number == number).values(body=json.dumps(body)))
    return Saved(number, tuple(raised))


class _Events:
    """Writes the events of a run."""

    def __init__(
        self, connection: sa.Connection, site: str, read: Callable[[str], Event], outcome: Outcome, run: int
    ) -> None:
        self.connection, self.site, self.outcome, self.run = connection, site, outcome, run
        query = sa.select(EVENTS.c.id, EVENTS.c.body).where(EVENTS.c.site == site)
        self.before = {row.id: read(row.body) for row in connection.execute(query)}
        said = sa.select(CHANGES).where(CHANGES.c.site == site).order_by(CHANGES.c.number)
        self.words: dict[str, Any] = {}  # the last that was said of each event by a person
        self.withdrawn: set[str] = set()
        for row in connection.execute(said):
            if row.run is None:
                self.words[row.event] = row
            elif "withdrawn" in json.loads(row.detail or "{}"):
                self.withdrawn.add(row.event)
            else:
                self.withdrawn.discard(row.event)

    def write(self) -> tuple[list[str], list[Event]]:
        outcome, before = self.outcome, self.before
        known = {e.id for e in outcome.events}
        first = set(before)
        if outcome.fresh or outcome.restarted is not None:
            lost = set(before) - known - self.withdrawn
            if outcome.restarted is not None and not outcome.fresh:
                lost = {i for i in lost if before[i].raised_at > outcome.restarted}
            heirs = merging.heirs(before, lost, outcome.events, set(self.words))
            for old, heir in heirs.items():
                self._hand_over(old, heir)
                first.add(heir)
            for old in sorted(lost):
                self._let_go(old, heirs.get(old))
        now = {e.id: merging.merged(e, before.get(e.id), e.id in self.words) for e in outcome.events if e.id in first}
        raised = [i for i, e in now.items() if self._raised_again(e)]
        now.update({i: self._said_otherwise(now[i], status=Status.OPEN) for i in raised})
        for event in (e for e in outcome.events if e.id not in first):
            back = self._dismissed_before(event, now)
            now[event.id] = event if back is None else self._said_otherwise(event, status=Status.DISMISSED)
            if back is None:
                raised.append(event.id)
                self._note(event, "raised", {"status": ["", str(event.status)]})
            else:
                self._say_as(event, back)
        for event in now.values():
            if event.id in before and (changed := merging.difference(before[event.id], event)):
                self._note(event, self._why(event, raised), changed)
            self._put(event)
        return raised, list(now.values())

    def _why(self, event: Event, raised: list[str]) -> str:
        if event.id in raised:
            return "has grown since it was dismissed"
        if event.status != self.before[event.id].status and event.end is not None:
            return "its signature has ended"
        return self.outcome.note

    def _hand_over(self, old: str, heir: str) -> None:
        """Let what was said of an event hold of the one that now tells of its leak."""
        mine = (CHANGES.c.site == self.site) & (CHANGES.c.event == old)
        if not self.outcome.fresh:
            mine &= CHANGES.c.run.is_(None)
        self.connection.execute(CHANGES.update().where(mine).values(event=heir))
        self.before[heir] = self.before[old]
        if old in self.words:
            self.words[heir] = self.words.pop(old)

    def _let_go(self, old: str, heir: str | None) -> None:
        """Take leave of an event that the detector no longer knows."""
        if self.outcome.fresh:
            if heir is not None or old not in self.words:
                for table, key in ((EVENTS, EVENTS.c.id), (CHANGES, CHANGES.c.event)):
                    self.connection.execute(table.delete().where(table.c.site == self.site, key == old))
            return
        event = self.before[old]
        status = event.status
        if old not in self.words and event.end is None:
            event = self._said_otherwise(event, status=Status.CLOSED, end=max(event.raised_at, self._until))
            self._put(event)
        now = f"now told as {heir}" if heir else "no longer raised"
        detail = {"status": [str(status), str(event.status)], "withdrawn": heir or True}
        self._note(event, f"{self.outcome.note}: {now}", detail)

    def _raised_again(self, event: Event) -> bool:
        said = self.words.get(event.id)
        if said is None or event.status != Status.DISMISSED:
            return False
        return merging.has_grown(event, self._dismissed_flow(event.id))

    def _dismissed_before(self, event: Event, now: Mapping[str, Event]) -> Event | None:
        """Return the dismissed event whose signature an event shows again, or None."""
        for name, said in self.words.items():
            old = now.get(name, self.before.get(name))
            dismissed = said.status == Status.DISMISSED and old is not None and old.status == Status.DISMISSED
            if dismissed and old is not None and merging.comes_back(event, old, self._dismissed_flow(name)):
                return old
        return None

    def _dismissed_flow(self, name: str) -> float:
        detail = json.loads(self.words[name].detail or "{}")
        return float(detail.get("flow_m3h", merging.flow(self.before[name])[0]))

    def _say_as(self, event: Event, old: Event) -> None:
        """Dismiss an event as the one that it repeats was; a person may say otherwise."""
        said = self.words[old.id]
        why = f"as {old.id}, dismissed by {said.by}" + (f": {said.why}" if said.why else "")
        detail = {"status": ["", str(Status.DISMISSED)], "flow_m3h": self._dismissed_flow(old.id)}
        values = {"status": str(Status.DISMISSED), "why": why, "detail": json.dumps(detail)}
        self._insert(event, **values, run=None)
        query = sa.select(CHANGES).where(CHANGES.c.site == self.site, CHANGES.c.event == event.id)
        self.words[event.id] = self.connection.execute(query.order_by(CHANGES.c.number.desc())).first()

    def _note(self, event: Event, why: str, detail: Mapping[str, Any]) -> None:
        self._insert(event, status=str(event.status), why=why, detail=json.dumps(dict(detail)), run=self.run)

    def _insert(self, event: Event, **values: Any) -> None:
        at = iso(max(self._until, event.data_until))
        row = CHANGES.insert().values(site=self.site, event=event.id, at=at, by=_US, link="", **values)
        self.connection.execute(row)

    @property
    def _until(self) -> np.datetime64:
        return self.outcome.progress.until

    @staticmethod
    def _said_otherwise(event: Event, *, status: Status, end: np.datetime64 | None = None) -> Event:
        plain = event.to_dict() | {"status": str(status)}
        return Event.from_dict(plain if end is None else plain | {"end": iso(end)})

    def _put(self, event: Event) -> None:
        self.connection.execute(EVENTS.delete().where(EVENTS.c.site == self.site, EVENTS.c.id == event.id))
        plain = event.to_dict()
        self.connection.execute(
            EVENTS.insert().values(
                site=self.site, id=event.id, raised_at=plain["raised_at"], status=plain["status"],
                body=json.dumps(plain, ensure_ascii=False),
            )
        )  # fmt: skip


def _thin_runs(connection: sa.Connection, site: str, now: np.datetime64) -> None:
    """Let go of runs that changed nothing, but for the last of each day: `watch` leaves some hundreds a day."""
    old = (RUNS.c.site == site) & (RUNS.c.started < str(now.astype("datetime64[D]") - _RUNS_KEPT))
    last = (
        sa.select(sa.func.max(RUNS.c.number)).where(old).group_by(sa.func.substr(RUNS.c.started, 1, len("2019-01-31")))
    )
    told = sa.select(CHANGES.c.run).where(CHANGES.c.site == site, CHANGES.c.run.is_not(None))
    connection.execute(RUNS.delete().where(old, RUNS.c.number.not_in(last), RUNS.c.number.not_in(told)))


def _write_states(connection: sa.Connection, site: str, outcome: Outcome, run: int) -> None:
    progress = outcome.progress
    mine = CHECKPOINTS.c.site == site
    if outcome.fresh:
        connection.execute(CHECKPOINTS.delete().where(mine))
    elif outcome.restarted is not None:
        connection.execute(CHECKPOINTS.delete().where(mine, CHECKPOINTS.c.until >= iso(outcome.restarted)))
    else:  # the state that the run began from is the last of its day, if the day is over
        last = sa.select(PROGRESS.c.site, PROGRESS.c.until, PROGRESS.c.state).where(PROGRESS.c.site == site)
        last = last.where(PROGRESS.c.until < str(progress.until.astype("datetime64[D]")))
        connection.execute(
            CHECKPOINTS.delete().where(mine, CHECKPOINTS.c.until.in_(last.with_only_columns(PROGRESS.c.until)))
        )
        connection.execute(CHECKPOINTS.insert().from_select(["site", "until", "state"], last))
    for until, state in outcome.checkpoints:
        connection.execute(CHECKPOINTS.insert().values(site=site, until=iso(until), state=encode(state)))
    there = {
        text: parse_time(text) for text in connection.execute(sa.select(CHECKPOINTS.c.until).where(mine)).scalars()
    }
    worth = kept([time for time in there.values() if time is not None], progress.until)
    gone = [text for text, time in there.items() if time not in worth]
    connection.execute(CHECKPOINTS.delete().where(mine, CHECKPOINTS.c.until.in_(gone)))
    repairs = None if progress.repairs is None else json.dumps([[r.link, iso(r.time)] for r in progress.repairs])
    connection.execute(PROGRESS.delete().where(PROGRESS.c.site == site))
    connection.execute(
        PROGRESS.insert().values(
            site=site, model=progress.model, begun=iso(progress.begun), until=iso(progress.until),
            state=encode(progress.state), repairs=repairs, run=run,
        )
    )  # fmt: skip


def _write_taken(connection: sa.Connection, site: str, outcome: Outcome) -> None:
    gone = DAYS.c.day.in_(list(outcome.days)) | (DAYS.c.day < outcome.days_from)
    connection.execute(DAYS.delete().where(DAYS.c.site == site, sa.true() if outcome.fresh else gone))
    for day, digests in outcome.days.items():
        connection.execute(DAYS.insert().values(site=site, day=day, digests=json.dumps(dict(digests))))
    connection.execute(SENSORS.delete().where(SENSORS.c.site == site, SENSORS.c.name.in_(list(outcome.sensors))))
    for name, columns in outcome.sensors.items():
        connection.execute(SENSORS.insert().values(site=site, name=name, **columns))
