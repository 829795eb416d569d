"""All readings of a site as one dataset."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError
from leakdetect.network import Network
from leakdetect.readings import times
from leakdetect.readings.sensors import Sensors
from leakdetect.readings.tables import Loader, Piece
from leakdetect.schema import SENSOR, new_readings
from leakdetect.vault import Vault

if TYPE_CHECKING:
    from leakdetect.site import Site

MAX_CELLS = 200_000_000
"""Above so many times x sensors, times are brought onto one step: loggers that each tick at their own second would
otherwise fill memory with rows of one reading each."""

_HEAD = 3600.0  # [s] step of a sensor that has said less than two things


def load(
    site: Site,
    since: np.datetime64 | None = None,
    until: np.datetime64 | None = None,
    network: Network | None = None,
) -> xr.Dataset:
    """Read all readings of a site.

    Parameters
    ----------
    site : Site
        Its ``[[readings]]`` blocks say which files and how.
    since, until : datetime64, optional
        UTC; the first and the last time wanted.
    network : Network, optional
        Each sensor's element is looked up in it.

    Returns
    -------
    Dataset
        ``reading`` over (time, sensor) as `schema` has it: SI, UTC. Sensors are named by element where that is
        unique, else ``element quantity``; a household's meter (coordinate ``personal``) by its pseudonym. No row where
        nothing was read between `since` and `until`. Attributes count ``files``, ``duplicates_identical``,
        ``duplicates_conflicting`` (of which the later row of the later file was kept), ``not_finite``,
        rows ``ahead`` of this machine's clock by more than a day (they count as none), and ``snapped`` is 1 if times
        were brought onto one step (see `MAX_CELLS`).

    Raises
    ------
    MissingFileError
        If a glob names no file.
    ReadingsError
        If a file, table or server cannot be read, time goes backwards in it, a value is no number, or there is no
        reading at all.
    MissingExtraError
        If a library is missing that only some formats need.
    InputError
        If the key of pseudonyms cannot be read.
    ElementError
        If the network has no such element or the quantity is not measured on it.
    """
    return load_with_sensors(site, since, until, network)[0]


def load_with_sensors(
    site: Site,
    since: np.datetime64 | None = None,
    until: np.datetime64 | None = None,
    network: Network | None = None,
) -> tuple[xr.Dataset, Sensors]:
    """Return what `load` does, and how the columns of files are called; errors as `load`."""
    loader = Loader(site, network, _ns(since), _ns(until), Sensors(Vault.of(site)))
    pieces = list(loader.read())
    sensors, counts = loader.sensors, loader.counts
    if not loader.any_reading:
        globs = ", ".join(block.source for block in site.readings)
        raise ReadingsError(f"{site.folder / 'site.toml'}: no reading at all in {globs}: check decimal and the files")
    known = [step for step in sensors.step if not np.isnan(step)]
    steps = [min(known, default=_HEAD) if np.isnan(step) else step for step in sensors.step]
    axis = _axis([piece.time for piece in pieces])
    if counts["ahead"] and not axis.size and since is until is None:
        raise ReadingsError(
            f"{site.folder / 'site.toml'}: all readings are ahead of this machine's clock: set it right, or their times"
        )
    if axis.size * len(steps) > MAX_CELLS:
        pieces = [Piece(_ceil(p.time, min(steps)), p.values, p.sensors) for p in pieces]
        axis = _axis([piece.time for piece in pieces])
        counts["snapped"] += 1
    values = np.full((axis.size, len(steps)), np.nan)
    while pieces:
        _fill(values, axis, pieces.pop(0), counts)
    labels = [label for _, label, _ in sensors.index]
    data = new_readings(
        axis,
        sensors.names(),
        values,
        quantity=[str(quantity) for quantity, _, _ in sensors.index],
        element=_elements(site, network, labels),
        dma=sensors.dma,
        unit=sensors.unit,
        step=steps,
    )
    data = data.assign_coords(personal=(SENSOR, np.array(sensors.personal, dtype=bool)))
    data.attrs["files"] = len(loader.named)
    for name in ("duplicates_identical", "duplicates_conflicting", "not_finite", "ahead", "snapped"):
        data.attrs[name] = counts[name]
    return data, sensors


def _ns(time: np.datetime64 | None) -> np.datetime64 | None:
    return None if time is None else time.astype("datetime64[ns]")


def _elements(site: Site, network: Network | None, labels: list[str]) -> list[str]:
    """Return each sensor's element; '' for one that is mapped to none, and for all where there is no network."""
    if network is None and site.network is None:
        return [""] * len(labels)
    without = {column for block in site.readings for column, element in block.columns.items() if not element}
    return ["" if label in without else label for label in labels]


def _axis(all_times: list[times.Times]) -> times.Times:
    if not all_times:
        return np.zeros(0, dtype="datetime64[ns]")
    unique: dict[bytes, times.Times] = {t.tobytes(): t for t in all_times}  # files often share their times
    return np.unique(np.concatenate([np.unique(t) for t in unique.values()]))


def _ceil(time: times.Times, step: float) -> times.Times:
    """Return the ends of the steps in which times fall: never earlier than the reading."""
    ns = int(step * 1e9)
    return (-(-time.astype(np.int64) // ns) * ns).astype("datetime64[ns]")


def _fill(values: NDArray[np.float64], axis: times.Times, piece: Piece, counts: Counter[str]) -> None:
    """Write a piece into the table, later rows over earlier ones, and count what they replace."""
    rows = np.searchsorted(axis, piece.time)
    order = np.argsort(rows, kind="stable")
    rows, new = rows[order], piece.values[order]
    first = np.r_[True, np.diff(rows) > 0] if rows.size else np.zeros(0, dtype=bool)
    group = np.flatnonzero(first)
    turn = np.arange(rows.size) - np.repeat(group, np.diff(np.r_[group, rows.size]))
    for n in range(int(turn.max()) + 1 if turn.size else 0):  # a time that repeats is written once a turn
        mine = turn == n
        where = np.ix_(rows[mine], piece.sensors)
        old, mine_new = values[where], new[mine]
        both = ~np.isnan(old) & ~np.isnan(mine_new)
        same = both & (old == mine_new)
        counts["duplicates_identical"] += int(same.sum())
        counts["duplicates_conflicting"] += int((both & ~same).sum())
        values[where] = np.where(np.isnan(mine_new), old, mine_new)
