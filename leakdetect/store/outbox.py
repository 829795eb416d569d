"""What people are to be told, written with what it tells of, kept until it is delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from leakdetect.events import Event, Status, iso
from leakdetect.live import Alert
from leakdetect.store import merging
from leakdetect.store.layout import OUTBOX

_OLD = np.timedelta64(7, "D")  # after its end an event is no news
_FIRST, _LONGEST = 60, 6 * 3600  # [s] between attempts
_LEASE = np.timedelta64(120, "s")  # in which nobody else attempts


@dataclass(frozen=True)
class Quiet:
    """A sensor that has said nothing since `last` (UTC), or speaks again."""

    sensor: str
    last: np.datetime64
    silent: bool = True


@dataclass(frozen=True)
class Message:
    """What one alert is to say.

    Attributes
    ----------
    number : int
    alert : str
        Name of the ``[[alerts]]`` block.
    key : str
        What it tells of: the same is never told twice.
    body : dict
        ``kind`` (raised, worse, silent, test), and the ``event`` or ``sensor``.
    made, due : str
        Since when it waits, when it is attempted next (UTC).
    attempts : int
    sent : str or None
    error : str
        Why the last attempt failed.
    """

    number: int
    alert: str
    key: str
    body: dict[str, Any]
    made: str
    due: str
    attempts: int
    sent: str | None
    error: str


def put(connection: sa.Connection, site: str, alert: str, key: str, body: Mapping[str, Any]) -> None:
    """Add a message, unless that was told, or waits, already."""
    mine = (OUTBOX.c.site == site) & (OUTBOX.c.alert == alert) & (OUTBOX.c.key == key)
    if connection.execute(sa.select(OUTBOX.c.number).where(mine)).first() is None:
        now = iso(np.datetime64("now"))
        values = {
            "made": now,
            "due": now,
            "attempts": 0,
            "error": "",
            "body": json.dumps(dict(body), ensure_ascii=False),
        }
        connection.execute(OUTBOX.insert().values(site=site, alert=alert, key=key, **values))


def put_events(
    connection: sa.Connection, site: str, alerts: Sequence[Alert], events: Sequence[Event], raised: Sequence[str],
    run: int, until: np.datetime64,
) -> None:  # fmt: skip
    """Add what is to be said of events after a run: of those raised, and of those told before that have grown.

    Parameters
    ----------
    connection : Connection
    site : str
    alerts : sequence of Alert
    events : sequence of Event
        As they are kept.
    raised : sequence of str
        Ids of those that the run raised, or raised again.
    run : int
    until : datetime64
        Last step taken.
    """
    for alert in alerts:
        query = sa.select(OUTBOX.c.body).where(OUTBOX.c.site == site, OUTBOX.c.alert == alert.name)
        told: dict[str, float] = {}
        for body in map(json.loads, connection.execute(query.order_by(OUTBOX.c.number)).scalars()):
            if "event" in body:
                told[body["event"]["id"]] = body["flow_m3h"]
        for event in events:
            flow, low = merging.flow(event)
            about = {"event": event.to_dict(), "flow_m3h": flow}
            if event.id in raised:
                if event.end is None or until - event.end < _OLD:
                    again = f":{run}" if event.id in told else ""
                    put(connection, site, alert.name, f"raised:{event.id}{again}", {"kind": "raised", **about})
            elif event.id in told and event.end is None and event.status in {Status.OPEN, Status.CONFIRMED}:
                before = told[event.id]
                if flow >= alert.worse * before and low > before:
                    put(
                        connection,
                        site,
                        alert.name,
                        f"worse:{event.id}:{run}",
                        {"kind": "worse", "before_m3h": before, **about},
                    )


def put_quiet(connection: sa.Connection, site: str, alerts: Sequence[Alert], silent: Sequence[Quiet]) -> None:
    """Add that sensors fell silent."""
    for alert in (a for a in alerts if a.sensors):
        for one in silent:
            last = iso(one.last)
            body = {"kind": "silent", "sensor": one.sensor, "last": last}
            put(connection, site, alert.name, f"silent:{one.sensor}:{last}", body)


def listed(connection: sa.Connection, site: str) -> list[Message]:
    """Return all messages, oldest first."""
    query = sa.select(OUTBOX).where(OUTBOX.c.site == site).order_by(OUTBOX.c.number)
    return [_message(row) for row in connection.execute(query)]


def claim(connection: sa.Connection, site: str, now: np.datetime64) -> Message | None:
    """Return the oldest message that is due, and let nobody else attempt it for a while; None where none is."""
    waits = (OUTBOX.c.site == site) & OUTBOX.c.sent.is_(None) & (OUTBOX.c.due <= iso(now))
    row = connection.execute(
        sa.select(OUTBOX).where(waits).order_by(OUTBOX.c.due, OUTBOX.c.number).limit(1)
    ).one_or_none()
    if row is None:
        return None
    connection.execute(OUTBOX.update().where(OUTBOX.c.number == row.number).values(due=iso(now + _LEASE)))
    return _message(row)


def delivered(connection: sa.Connection, message: Message, now: np.datetime64) -> None:
    """Note that a message has arrived."""
    here = OUTBOX.c.number == message.number
    connection.execute(OUTBOX.update().where(here).values(sent=iso(now), error="", attempts=message.attempts + 1))


def failed(connection: sa.Connection, message: Message, now: np.datetime64, why: str) -> None:
    """Note that an attempt failed: the next one is in a minute, then in two, in four, ... in six hours."""
    wait = np.timedelta64(min(_FIRST << min(message.attempts, 12), _LONGEST), "s")
    values = {"due": iso(now + wait), "attempts": message.attempts + 1, "error": why}
    connection.execute(OUTBOX.update().where(OUTBOX.c.number == message.number).values(**values))


def put_off(connection: sa.Connection, message: Message, until: np.datetime64) -> None:
    """Let a message wait, as in quiet hours."""
    connection.execute(OUTBOX.update().where(OUTBOX.c.number == message.number).values(due=iso(until)))


def _message(row: Any) -> Message:
    return Message(
        row.number, row.alert, row.key, json.loads(row.body), row.made, row.due, row.attempts, row.sent, row.error
    )
