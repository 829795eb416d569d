"""Times as files write them, to UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Times = NDArray[np.datetime64]

_OFFSET = re.compile(r"\d\d:?\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d(:?\d\d)?)$")
_DAY = np.timedelta64(1, "D")

MARGIN = np.timedelta64(26, "h")
"""More than any zone's offset."""
AHEAD = np.timedelta64(24, "h")
"""More than clocks and time zones that are set wrong differ by: a reading so far ahead of now is none.

One reading of next year would let all that comes until then be late.
"""


class Kind(StrEnum):
    """How a database or a Parquet file keeps times."""

    UTC = "with a time zone"
    LOCAL = "without a time zone"
    TEXT = "text, ISO 8601"
    SECONDS = "seconds since 1970"


def limits(
    kind: Kind, since: np.datetime64 | None, until: np.datetime64 | None
) -> tuple[datetime | str | float | None, datetime | str | float | None]:
    """Return what times as they are kept must lie between (both ends included) to hold a window.

    A little more where they say no time zone. Text is compared by its date, which stands first and sorts.

    Parameters
    ----------
    kind : Kind
    since, until : datetime64 or None
        UTC; None where the window is open.
    """
    if kind == Kind.SECONDS:
        return tuple(
            None if t is None else float(t.astype("datetime64[ns]").astype(np.int64)) / 1e9 for t in (since, until)
        )  # type: ignore[return-value]
    margin = np.timedelta64(0) if kind == Kind.UTC else MARGIN
    first = None if since is None else _moment(since - margin)
    last = None if until is None else _moment(until + margin) + timedelta(microseconds=1)
    if kind == Kind.TEXT:
        return first and first.date().isoformat(), last and (last.date() + timedelta(days=1)).isoformat()
    zone = UTC if kind == Kind.UTC else None
    return first and first.replace(tzinfo=zone), last and last.replace(tzinfo=zone)


def _moment(time: np.datetime64) -> datetime:
    """Return a time cut to microseconds."""
    moment: datetime = time.astype("datetime64[us]").item()
    return moment


def kind_of(value: object, time_format: str | None) -> Kind | None:
    """Return how times are kept, by one of them; None if they cannot be compared with a time as they stand."""
    if isinstance(value, datetime):
        return Kind.LOCAL if value.tzinfo is None else Kind.UTC
    if isinstance(value, date):
        return Kind.LOCAL
    if isinstance(value, str):
        return Kind.TEXT if re.match(r"\d{4}-\d\d-\d\d", value) else None
    return Kind.SECONDS if time_format == "unix" else None


def parse(written: pd.Series, time_format: str | None) -> tuple[Times, bool]:
    """Read a column of times.

    Parameters
    ----------
    written : Series
        Text, or times already (workbooks, Parquet).
    time_format : str or None
        As strftime has it, or ``unix`` for seconds since 1970; None for ISO 8601.

    Returns
    -------
    times : ndarray of datetime64[ns]
        NaT where nothing is written or it is not a time.
    utc : bool
        Whether what is written says its offset, so that `times` are UTC already.
    """
    if time_format == "unix":
        seconds = pd.to_numeric(written, errors="coerce")
        return _plain(pd.to_datetime(seconds, unit="s", errors="coerce")), True
    if isinstance(written.dtype, pd.DatetimeTZDtype):
        return _plain(written.dt.tz_convert("UTC").dt.tz_localize(None)), True
    if pd.api.types.is_datetime64_dtype(written.dtype):
        return _plain(written), False
    if pd.api.types.is_numeric_dtype(written.dtype):  # a number is no time unless time_format says so
        return np.full(len(written), np.datetime64("NaT", "ns")), False
    present = written.dropna()
    utc = bool(len(present)) and _OFFSET.search(str(present.iloc[0]).strip()) is not None
    if pd.api.types.infer_dtype(written, skipna=True) == "string":
        written = written.str.strip()
    times = pd.to_datetime(written, format=time_format or "ISO8601", errors="coerce", utc=utc)
    return _plain(times.dt.tz_localize(None) if utc else times), utc


def _plain(times: pd.Series) -> Times:
    return times.to_numpy(dtype="datetime64[ns]")


def combine(date: Times, clock: pd.Series) -> Times:
    """Return dates with the time of day of a second column, shape (T,).

    Where the second column carries a date of its own its clock counts; where those clocks pass midnight within one
    date they were written in another zone (LeakDB's are), and count from the earliest.
    """
    try:
        as_time = pd.to_timedelta(clock.astype("str").str.strip().str.replace(r"^(\d+:\d\d)$", r"\1:00", regex=True))
        offset = as_time.to_numpy(dtype="timedelta64[ns]")
    except ValueError:
        moments, _ = parse(clock, None)
        offset = moments - moments.astype("datetime64[D]")
        days = np.unique(moments[~np.isnat(moments)].astype("datetime64[D]"))
        if days.size == 2 and np.nanmax(moments) - np.nanmin(moments) < _DAY:
            offset = moments - np.nanmin(moments)
    return np.asarray(date.astype("datetime64[D]").astype("datetime64[ns]") + offset, dtype="datetime64[ns]")


def to_utc(local: Times, zone: str) -> Times:
    """Return local clock times as UTC, in the same order.

    In the hour that autumn repeats, readings are summer time until the clock goes back (or, where it holds one
    reading only, until that repeats) and winter time after. Times that spring leaves out are of a clock that was
    not put forward: an hour is added.

    Parameters
    ----------
    local : ndarray of datetime64[ns], shape (T,)
        In the order in which they were read; no NaT.
    zone : str
        IANA name.
    """
    if zone == "UTC" or not local.size:
        return local
    index = pd.DatetimeIndex(local)
    hour = pd.Timedelta(hours=1)
    repeated = index.tz_localize(zone, ambiguous="NaT", nonexistent=hour).isna()
    summer = np.ones(local.size, dtype=bool)
    where = np.flatnonzero(repeated)
    for day in np.unique(local[where].astype("datetime64[D]")):
        rows = where[local[where].astype("datetime64[D]") == day]
        clock = local[rows]
        back = np.flatnonzero(np.diff(clock) < np.timedelta64(0))
        if back.size:
            summer[rows[back[0] + 1 :]] = False
        elif rows.size > 1 and np.unique(clock).size == 1:
            summer[rows[1:]] = False
    known = index.tz_localize(zone, ambiguous=summer, nonexistent=hour)
    return known.tz_convert("UTC").tz_localize(None).to_numpy(dtype="datetime64[ns]")


def backwards(local: Times, utc: Times) -> int | None:
    """Return the first row at which time goes backwards, other than by the clock change; None if it never does."""
    zero = np.timedelta64(0)
    rows = np.flatnonzero((np.diff(local) < zero) & (np.diff(utc) < zero))
    return int(rows[0]) + 1 if rows.size else None
