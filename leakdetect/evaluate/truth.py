"""The leaks that were really there, in the published BattLeDIM layout.

``leaks.csv`` holds the schedule; ``<year>_Leakages.csv[.gz]`` beside it hold the flows.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect.errors import ElementError, InputError, MissingFileError
from leakdetect.events import Kind
from leakdetect.network import Floats, Network

Times = NDArray[np.datetime64]

COLUMNS = ("pipe", "start", "end", "diameter_m", "kind", "peak")
_DRY = 2  # steps that a new leak may take to its first drop: without any it has no column
_YEAR = re.compile(r"(\d{4})_Leakages\.csv(\.gz)?")
_HOUR = np.timedelta64(1, "h") / np.timedelta64(1, "ns")


@dataclass(frozen=True, eq=False)
class Leak:
    """A leak that was really there.

    Attributes
    ----------
    pipe : str
    start, end : datetime64[ns]
        First and last reading at which it runs. UTC.
    diameter_m : float
        Of the orifice [m].
    kind : Kind
    peak : datetime64[ns]
        When it was fully grown; `start` of an abrupt one.
    time : ndarray of datetime64[ns], shape (T,)
        Of `flow`, between `start` and `end`.
    flow : ndarray of float, shape (T,)
        Leak flow [m3/h]; each value holds until the next.
    """

    pipe: str
    start: np.datetime64
    end: np.datetime64
    diameter_m: float
    kind: Kind
    peak: np.datetime64
    time: Times
    flow: Floats

    @cached_property
    def _lost(self) -> tuple[Floats, Floats]:
        """Time [ns] and the volume lost until then [m3]; the last value holds as long as the one before it."""
        at = self.time.astype("datetime64[ns]").astype(np.float64)
        step = np.diff(at)
        edges = np.append(at, at[-1] + (step[-1] if step.size else _HOUR)) if at.size else np.zeros(1)
        return edges, np.r_[0.0, np.cumsum(self.flow * np.diff(edges) / _HOUR)]

    def lost(self, since: Times, until: np.datetime64) -> Floats:
        """Return the volume lost between `since` and `until` [m3], shape as `since`."""
        edges, volume = self._lost
        to, start = _ns(until), _ns(since)
        lost: Floats = np.interp(to, edges, volume) - np.interp(np.minimum(start, to), edges, volume)
        return lost

    def flow_at(self, time: np.datetime64) -> float:
        """Return the leak flow at a time [m3/h]; 0 outside its life."""
        row = int(np.searchsorted(self.time, time, side="right")) - 1
        return float(self.flow[row]) if row >= 0 and self.start <= time <= self.end else 0.0

    def largest(self, since: np.datetime64, until: np.datetime64) -> float:
        """Return the largest flow within ``[since, until)`` [m3/h]."""
        return float(self.flow[(self.time >= since) & (self.time < until)].max(initial=0.0))


def _ns(time: Times | np.datetime64) -> Floats:
    return np.asarray(time, dtype="datetime64[ns]").astype(np.float64)


def read_truth(path: Path, network: Network | None = None, timezone: str = "UTC") -> list[Leak]:
    """Read the leak schedule and, beside it, the leak flows of every year.

    Parameters
    ----------
    path : Path
        ``leaks.csv`` with columns ``pipe,start,end,diameter_m,kind,peak``. The flows [m3/h] are read from
        ``<year>_Leakages.csv.gz`` (or ``.csv``) in the same folder: ``;`` between columns, decimal comma, time first.
    network : Network, optional
        Where given, every leaking pipe must be one of its links.
    timezone : str
        Of the times in these files.

    Returns
    -------
    list of Leak
        By start.

    Raises
    ------
    MissingFileError, InputError, ElementError
        One line that names the file and the row or column.
    """
    leaks = _schedule(path, network, timezone)
    if leaks:
        flows = _flows(path.parent, timezone)
        leaks = [_with_flow(path, leak, flows) for leak in leaks]
    return sorted(leaks, key=lambda leak: (leak.start, leak.pipe))


def years_of(path: Path) -> list[int]:
    """Return the years for which leak flows lie beside the schedule at `path`."""
    names = (_YEAR.fullmatch(p.name) for p in path.parent.iterdir()) if path.parent.is_dir() else ()
    return sorted({int(name[1]) for name in names if name})


def _schedule(path: Path, network: Network | None, timezone: str) -> list[Leak]:
    """Return the leaks as scheduled, without flows."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: name the leaks.csv that holds the true leaks")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise InputError(f"{path}: no column '{missing[0]}': expected {','.join(COLUMNS)}")
    leaks = [_leak(f"{path}: row {number}", row, timezone) for number, row in enumerate(rows, 2)]
    for number, leak in enumerate(leaks, 2):
        if network is not None and not network.has_link(leak.pipe):
            raise ElementError(f"{path}: row {number}: network {network.name} has no link '{leak.pipe}'")
    return leaks


def _leak(where: str, row: dict[str, str | None], timezone: str) -> Leak:
    text = {column: (row[column] or "").strip() for column in COLUMNS}
    start, end, peak = (_time(where, column, text[column], timezone) for column in ("start", "end", "peak"))
    if text["kind"] not in set(Kind):
        raise InputError(f"{where}: column 'kind': '{text['kind']}' is neither {' nor '.join(Kind)}")
    try:
        diameter = float(text["diameter_m"])
    except ValueError:
        raise InputError(f"{where}: column 'diameter_m': '{text['diameter_m']}' is not a number") from None
    if end < start:
        raise InputError(f"{where}: the leak ends at {text['end']}, before it starts at {text['start']}")
    return Leak(
        text["pipe"], start, end, diameter, Kind(text["kind"]), peak, np.empty(0, "datetime64[ns]"), np.empty(0)
    )


def _time(where: str, column: str, text: str, timezone: str) -> np.datetime64:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where}: column '{column}': '{text}' is not a time such as 2019-01-13 18:50") from None
    time: np.datetime64 = _utc(pd.DatetimeIndex([moment]), timezone)[0]
    return time


def _utc(index: pd.DatetimeIndex, timezone: str) -> Times:
    if index.tz is None:
        # Of the hour that comes twice in autumn the first is meant; the hour that spring skips moves on.
        twice = np.ones(len(index), dtype=bool)
        index = index.tz_localize(timezone, ambiguous=twice, nonexistent="shift_forward")
    times: Times = index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
    return times


def _flows(folder: Path, timezone: str) -> pd.DataFrame:
    """Return the flows of all years [m3/h], time (UTC) by pipe; NaN in years in which a leak has no column."""
    paths = sorted([*folder.glob("*_Leakages.csv.gz"), *folder.glob("*_Leakages.csv")])
    if not paths:
        raise MissingFileError(f"{folder}: no <year>_Leakages.csv.gz beside the leak schedule: it holds the leak flows")
    years = []
    for path in paths:
        try:
            table = pd.read_csv(path, sep=";", decimal=",", index_col=0)
            table.index = pd.DatetimeIndex(_utc(pd.DatetimeIndex(pd.to_datetime(table.index)), timezone))
            years.append(table.astype("float64"))
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{path}: not a table of leak flows (';' and decimal comma): {error}") from None
    flows = pd.concat(years).sort_index()
    return flows[~flows.index.duplicated()]


def _with_flow(path: Path, leak: Leak, flows: pd.DataFrame) -> Leak:
    time = flows.index.to_numpy().astype("datetime64[ns]")
    runs = (time >= leak.start) & (time <= leak.end)
    if leak.pipe in flows:
        flow = flows[leak.pipe].to_numpy(dtype="float64")
        runs &= ~np.isnan(flow)
    elif runs.sum() > _DRY:
        raise InputError(f"{path}: the leak on '{leak.pipe}' has no column in *_Leakages.csv.gz beside it")
    else:
        flow = np.zeros(len(time))
    return replace(leak, time=time[runs], flow=flow[runs])
