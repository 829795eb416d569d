"""The history of events: what people say of them and what runs change, in one transaction of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from leakdetect.events import Event, KnownLeak, Repair, Status, iso, parse_time
from leakdetect.store import merging
from leakdetect.store.layout import CHANGES, EVENTS

Word = tuple[Any, Event]
"""The row of a change, and the event that it is of."""


def say(
    connection: sa.Connection, site: str, before: Event, status: Status, *, by: str, at: np.datetime64, why: str,
    link: str, time: np.datetime64 | None,
) -> Event:  # fmt: skip
    """Change an event's status on a person's word; return it as it is now. See `Store.set_status`."""
    plain = before.to_dict() | {"status": str(status)}
    done = None
    if status == Status.REPAIRED:
        done = iso(at if time is None else time)
        plain["end"] = done
    elif before.status == Status.REPAIRED:
        plain["end"] = None  # it was not mended: the next run tells whether it still runs
    detail: dict[str, Any] = {"status": [str(before.status), str(status)], "flow_m3h": merging.flow(before)[0]}
    if status == Status.CONFIRMED and time is not None:
        detail["found"] = iso(time)
    connection.execute(
        EVENTS.update()
        .where(EVENTS.c.site == site, EVENTS.c.id == before.id)
        .values(status=plain["status"], body=json.dumps(plain, ensure_ascii=False))
    )
    connection.execute(
        CHANGES.insert().values(
            site=site, event=before.id, at=iso(at), by=by, status=str(status), why=why, link=link, repaired=done,
            detail=json.dumps(detail),
        )
    )  # fmt: skip
    return Event.from_dict(plain)


def changes(connection: sa.Connection, site: str, which: sa.ColumnElement[bool]) -> list[Mapping[str, Any]]:
    """Return the rows of a site's changes for which a condition holds, oldest first."""
    query = sa.select(CHANGES).where(CHANGES.c.site == site, which).order_by(CHANGES.c.number)
    return [dict(row._mapping) for row in connection.execute(query)]


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a change as plain values."""
    plain = {key: value for key, value in row.items() if key not in {"number", "site", "detail"}}
    return plain | {"detail": json.loads(row["detail"] or "{}")}


def last_words(connection: sa.Connection, site: str, read: Callable[[str], Event]) -> list[Word]:
    """Return the last thing that a person said of each event, and the event, which `read` reads."""
    both = sa.and_(EVENTS.c.site == CHANGES.c.site, EVENTS.c.id == CHANGES.c.event)
    mine = CHANGES.c.run.is_(None) & (CHANGES.c.site == site)
    rows = connection.execute(
        sa.select(CHANGES, EVENTS.c.body).join(EVENTS, both).where(mine).order_by(CHANGES.c.number)
    ).all()
    last = {row.event: row for row in rows}
    return [(row, read(row.body)) for row in last.values()]


def repairs(words: Iterable[Word]) -> list[Repair]:
    """Return the repairs that were told and not taken back, oldest first."""
    found = []
    for row, event in words:
        time = parse_time(row.repaired)
        if time is not None:
            found.append(Repair(row.link or "".join(c.link for c in event.candidates[:1]), time))
    return sorted(found, key=lambda r: (r.time, r.link))


def known(words: Iterable[Word]) -> list[KnownLeak]:
    """Return the leaks that people found where they say, oldest first."""
    found = [
        KnownLeak(row.link, event.start, event.end, event.flow_m3h, tuple(e.sensor for e in event.evidence))
        for row, event in words
        if row.status in {Status.CONFIRMED, Status.REPAIRED} and (row.link or not event.candidates)
    ]
    return sorted(found, key=lambda k: (k.start, k.link))
