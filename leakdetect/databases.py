"""The URLs of databases: secrets filled in, the driver where none is named."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from leakdetect.errors import SiteError
from leakdetect.secrets import filled, is_name

_DRIVERS = {"postgresql": "postgresql+pg8000"}
_PARTS = ("username", "password", "host", "database")
_CODES = ("08", "57P", "53300")
"""SQLSTATE of a lost connection, of a server that stops or begins, of one with too many clients."""
_AWAY = (
    "can't create a connection", "can't connect", "could not connect", "connection refused", "connection is closed",
    "closed the connection", "communication error", "gone away", "lost connection", "network error", "timed out",
    "timeout", "is locked",
)  # fmt: skip


def is_away(error: sa.exc.SQLAlchemyError) -> bool:
    """Say whether a database is not there, or held by another process: what was asked may be asked again."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    said = error.orig.args[0] if error.orig is not None and error.orig.args else ""
    known = said if isinstance(said, dict) else {}  # as pg8000 has what a server says
    code = str(known.get("C") or getattr(error.orig, "sqlstate", None) or "")
    text = str(known.get("M", error.orig)).lower()
    return error.connection_invalidated or code.startswith(_CODES) or any(word in text for word in _AWAY)


def database_url(written: str, key: str) -> sa.URL:
    """Return a URL with what ``${NAME}`` stands for: filled in after it was taken apart, so that it may be any text.

    Parameters
    ----------
    written : str
        A URL, or one ``${NAME}`` that holds a whole one.
    key : str
        Where it stands in site.toml, for the error.

    Raises
    ------
    SiteError
        If it is no URL, or names a variable that is not set.
    """
    written = written.strip()
    whole = is_name(written)
    text = filled(written, key) if whole else written
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        what = f"what {written} holds" if whole else f"'{written}'"
        raise SiteError(
            f"site.toml: {key}: {what} is no URL: write postgresql://${{USER}}:${{PASSWORD}}@host/database"
        ) from None
    if not whole:
        parts = {name: getattr(url, name) for name in _PARTS}
        url = url.set(**{name: filled(part, key) for name, part in parts.items() if isinstance(part, str)})  # type: ignore[arg-type]
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def engine_of(url: sa.URL, **options: Any) -> sa.Engine:
    """Return SQLAlchemy's engine, for which a connection that breaks is an error of the database like any other.

    pg8000 lets the socket's own error through where the server has gone while it is being asked.
    """
    engine = sa.create_engine(url, **options)

    @sa.event.listens_for(engine, "handle_error")
    def told(context: sa.engine.ExceptionContext) -> None:
        broken = context.original_exception
        if isinstance(broken, ConnectionError):
            context.is_disconnect = True
            raise sa.exc.OperationalError(
                context.statement, None, ConnectionError(str(broken)), connection_invalidated=True
            )

    return engine
