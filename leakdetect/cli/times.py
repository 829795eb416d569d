"""Times as they are typed: local, a date alone being a whole day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from leakdetect.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_INSTANT = timedelta(microseconds=1)


def moment(text: str, timezone: str, *, end: bool = False) -> np.datetime64:
    """Return a typed time in UTC.

    Parameters
    ----------
    text : str
        ISO 8601: ``2019-01-31``, ``2019-01-31 08:00``, ``2019-01-31T08:00Z``; local unless it says its offset.
    timezone : str
        The local one.
    end : bool
        A date alone means that day's last instant; else it is its first.

    Raises
    ------
    InputError
        If it is not a time.
    """
    import numpy as np

    try:
        when, back = _read(text.strip(), end)
        if when.tzinfo is None:
            when = when.replace(tzinfo=ZoneInfo(timezone))
        return np.datetime64(when.astimezone(UTC).replace(tzinfo=None) - back, "ns")
    except (ValueError, OverflowError):
        raise InputError(f"'{text}' is not a time: write 2019-01-31 or '2019-01-31 08:00'") from None


def _read(text: str, end: bool) -> tuple[datetime, timedelta]:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text), timedelta()
    following = day + timedelta(days=1 if end else 0)
    return datetime(following.year, following.month, following.day), _INSTANT if end else timedelta()


def window(since: str | None, until: str | None, timezone: str) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Return what ``--from`` and ``--to`` say, in UTC; raises `InputError` if they are the wrong way round."""
    first = moment(since, timezone) if since else None
    last = moment(until, timezone, end=True) if until else None
    if first is not None and last is not None and last < first:
        raise InputError(f"--from {since} is after --to {until}: exchange them")
    return first, last


def local(time: np.datetime64 | None, timezone: str) -> str:
    """Return a UTC time as ``2019-01-31 08:00`` in local time; '' where there is none."""
    import numpy as np

    if time is None or np.isnat(time):
        return ""
    when = time.astype("datetime64[us]").item().replace(tzinfo=UTC)
    return f"{when.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M}"
