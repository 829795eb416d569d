"""The tables, as the newest migration leaves them. Times are ISO 8601 text in UTC, bodies are JSON."""

from __future__ import annotations

import sqlalchemy as sa

HEAD = "0003"
"""The newest layout: a revision in `migrations`."""
KNOWN = ("0001", "0002", HEAD)

META = sa.MetaData()


def _site() -> sa.Column[str]:
    return sa.Column("site", sa.Text, primary_key=True)


LAYOUT = sa.Table("layout", META, sa.Column("version", sa.Integer, primary_key=True))
"""For versions of leakdetect from before there were migrations: they refuse any number but 1."""

EVENTS = sa.Table(
    "events",
    META,
    _site(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("raised_at", sa.Text, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
CHANGES = sa.Table(
    "changes",
    META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("site", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False, index=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("link", sa.Text, nullable=False),  # of a leak that was found or mended
    sa.Column("repaired", sa.Text),  # when it was done, UTC
    sa.Column("run", sa.Integer),  # that changed it; none where a person did
    sa.Column("detail", sa.Text),  # what changed: {"flow_m3h": [from, to], ...}
)
PROGRESS = sa.Table(
    "progress",
    META,
    _site(),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("begun", sa.Text, nullable=False),
    sa.Column("until", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("repairs", sa.Text),  # that the state rests on: [[link, time], ...]; none is known of version 1
    sa.Column("run", sa.Integer),  # that left it
)
CHECKPOINTS = sa.Table(
    "checkpoints",
    META,
    _site(),
    sa.Column("until", sa.Text, primary_key=True),
    sa.Column("state", sa.LargeBinary, nullable=False),
)
DAYS = sa.Table(
    "days",
    META,
    _site(),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("digests", sa.Text, nullable=False),  # {sensor: digest of its judged steps}
)
SENSORS = sa.Table(
    "sensors",
    META,
    _site(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("quantity", sa.Text, nullable=False),
    sa.Column("element", sa.Text, nullable=False),
    sa.Column("first", sa.Text),  # reading ever seen
    sa.Column("last", sa.Text),  # step with a usable reading
)
RUNS = sa.Table(
    "runs",
    META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("site", sa.Text, nullable=False, index=True),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
OUTBOX = sa.Table(
    "outbox",
    META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("site", sa.Text, nullable=False),
    sa.Column("alert", sa.Text, nullable=False),  # name of the block in site.toml
    sa.Column("key", sa.Text, nullable=False),  # what it tells of, once
    sa.Column("made", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("due", sa.Text, nullable=False),  # next attempt
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("sent", sa.Text),
    sa.Column("error", sa.Text, nullable=False),
    sa.UniqueConstraint("site", "alert", "key", name="uq_outbox_key"),
)
