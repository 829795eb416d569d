"""Several sites in one database; every change of an event; runs, sensors, checkpoints, digests of days.

The one site of a database of version 1 is called ''.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Make the tables anew with a column for the site, and carry over what they hold."""
    op.create_table(
        "events_2",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("raised_at", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "changes_2",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("link", sa.Text, nullable=False),
        sa.Column("repaired", sa.Text),
        sa.Column("run", sa.Integer),
        sa.Column("detail", sa.Text),
    )
    op.create_table(
        "progress_2",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("begun", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("repairs", sa.Text),
        sa.Column("run", sa.Integer),
    )
    op.execute("INSERT INTO events_2 SELECT '', id, raised_at, status, body FROM events")
    op.execute(
        "INSERT INTO changes_2 (number, site, event, at, by, status, why, link, repaired) "
        "SELECT number, '', event, at, by, status, why, link, repaired FROM changes"
    )
    op.execute(
        "INSERT INTO progress_2 (site, model, begun, until, state) SELECT '', model, begun, until, state FROM progress"
    )
    for name in ("events", "changes", "progress"):
        op.drop_table(name)
        op.rename_table(f"{name}_2", name)
    op.create_index("ix_events_raised_at", "events", ["raised_at"])
    op.create_index("ix_changes_event", "changes", ["event"])
    op.create_table(
        "checkpoints",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("until", sa.Text, primary_key=True),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "days",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("digests", sa.Text, nullable=False),
    )
    op.create_table(
        "sensors",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("quantity", sa.Text, nullable=False),
        sa.Column("element", sa.Text, nullable=False),
        sa.Column("first", sa.Text),
        sa.Column("last", sa.Text),
    )
    op.create_table(
        "runs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("site", sa.Text, nullable=False, index=True),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.execute("UPDATE layout SET version = 2")
