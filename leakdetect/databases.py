"""The URLs of databases: secrets filled in, the driver where none is named."""

from __future__ import annotations

import sqlalchemy as sa

from leakdetect.errors import SiteError
from leakdetect.secrets import filled, is_name

_DRIVERS = {"postgresql": "postgresql+pg8000"}
_PARTS = ("username", "password", "host", "database")


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
