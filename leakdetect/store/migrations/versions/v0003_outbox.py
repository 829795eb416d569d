"""Version 3: what people are to be told, kept until it is delivered."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outbox",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("made", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("due", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent", sa.Text),
        sa.Column("error", sa.Text, nullable=False),
        sa.UniqueConstraint("site", "alert", "key", name="uq_outbox_key"),
    )
    op.execute("UPDATE layout SET version = 3")
