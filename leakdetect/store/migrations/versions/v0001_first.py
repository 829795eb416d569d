"""Version 1: events, what people said of them, progress."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make the tables."""
    layout = op.create_table("layout", sa.Column("version", sa.Integer, primary_key=True))
    op.bulk_insert(layout, [{"version": 1}])
    op.create_table(
        "events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("raised_at", sa.Text, nullable=False, index=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("event", sa.Text, nullable=False, index=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("link", sa.Text, nullable=False),
        sa.Column("repaired", sa.Text),
    )
    op.create_table(
        "progress",
        sa.Column("one", sa.Integer, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("begun", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )
