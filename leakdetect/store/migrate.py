"""Brings a database to the newest layout, in one transaction."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from leakdetect.errors import InputError
from leakdetect.store.layout import HEAD, KNOWN, LAYOUT

_FIRST = 1  # the layout from before alembic kept its number


def is_newest(connection: sa.Connection, name: str) -> bool:
    """Say whether a database has the newest layout; InputError if it has one that is not known here."""
    found = _revision(connection)
    if found is not None and found not in KNOWN:
        raise InputError(f"{name}: layout {found}, this is for {HEAD}: use the version of leakdetect that made it")
    return found == HEAD


def upgrade(connection: sa.Connection, name: str) -> None:
    """Make the tables, or carry them over from an older layout; errors as `is_newest`."""
    if is_newest(connection, name):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    if _revision(connection) is None and sa.inspect(connection).has_table(LAYOUT.name):
        old = connection.execute(sa.select(LAYOUT.c.version)).scalar()
        if old != _FIRST:
            raise InputError(f"{name}: layout {old}, this is for {HEAD}: use the version of leakdetect that made it")
        command.stamp(config, KNOWN[0])
    command.upgrade(config, HEAD)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found
