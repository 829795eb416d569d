"""All readings of a site as one dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import ElementError, ReadingsError
from leakdetect.network import Network, Node
from leakdetect.readings import files, times
from leakdetect.readings.sources import HEAD, Source, Window, sources
from leakdetect.readings.spool import Spool
from leakdetect.readings.values import numbers
from leakdetect.schema import SENSOR, Quantity, new_readings
from leakdetect.units import canonical, factor
from leakdetect.vault import Vault

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock
    from leakdetect.site import Site

MAX_CELLS = 200_000_000
"""Above so many times x sensors, times are brought onto one step: loggers that each tick at their own second would
otherwise fill memory with rows of one reading each."""

_HEAD = 3600.0  # [s] step of a sensor that has said less than two things


@dataclass
class Sensors:
    """The sensors of a site in the order in which its files name them.

    A household's meter goes by its pseudonym from here on.
    """

    vault: Vault
    index: dict[tuple[Quantity, str], int] = field(default_factory=dict)
    dma: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    personal: list[bool] = field(default_factory=list)
    pseudonym: list[str] = field(default_factory=list)
    columns: dict[tuple[Quantity, str], int] = field(default_factory=dict)
    factor: list[float] = field(default_factory=list)

    def add(self, block: ReadingsBlock, column: str) -> int:
        """Return the number of the sensor that a block's column is."""
        key = (block.quantity, block.columns.get(column) or column)
        if key not in self.index:
            self.index[key] = len(self.index)
            self.dma.append(block.dmas.get(column, block.dma))
            self.unit.append(canonical(block.quantity, block.unit))
            self.step.append(np.nan)
            self.personal.append(block.is_personal)
            self.pseudonym.append(self.vault.pseudonym(column) if block.is_personal else "")
            self.factor.append(factor(block.quantity, block.unit))
        self.columns[block.quantity, column] = self.index[key]
        return self.index[key]

    def names(self) -> list[str]:
        """Return one name a sensor: its element, and its quantity too where the element has several; a meter's own."""
        count = Counter(label for _, label in self.index)
        return [
            hidden or (label if count[label] == 1 else f"{label} {quantity}")
            for (quantity, label), hidden in zip(self.index, self.pseudonym, strict=True)
        ]

    def learn_step(self, sensor: int, when: times.Times) -> None:
        """Take a sensor's own step [s] from its first readings, unless it is known."""
        if np.isnan(self.step[sensor]) and when.size > 1:
            apart = np.diff(np.sort(when[:HEAD])).astype("timedelta64[ns]").astype(float) / 1e9
            apart = apart[apart > 0]
            if apart.size:
                self.step[sensor] = _round_step(float(np.median(apart)))


def _round_step(seconds: float) -> float:
    """Return whole minutes where a logger's ticks are within 2 % of them."""
    minutes = round(seconds / 60) * 60.0
    return minutes if minutes and abs(seconds - minutes) <= 0.02 * minutes else max(round(seconds, 3), 1e-3)


@dataclass(frozen=True)
class _Piece:
    time: times.Times  # UTC, as in the file
    values: NDArray[np.float64]  # (T, k), SI
    sensors: list[int]


@dataclass
class _Loader:
    site: Site
    network: Network | None
    since: np.datetime64 | None
    until: np.datetime64 | None
    sensors: Sensors
    counts: Counter[str] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)
    any_reading: bool = False

    def read(self) -> Iterator[_Piece]:
        for block in self.site.readings:
            seen: set[str] = set()
            window = Window(self.since, self.until)
            for source in sources(block, self.site.folder, window):
                self.named.add(str(source))
                self.any_reading = self.any_reading or source.windowed
                yield from (self._long if _is_long(block) else self._wide)(source, block, seen)
            unused = [name for name in (*block.columns, *block.dmas) if name not in seen]
            if unused:
                what = f"'{unused[0]}'" if not block.is_personal else self._hidden(unused[0])
                raise ReadingsError(f"{source}: no column {what}: correct columns or dmas in site.toml")
        yield from self._received()

    def _received(self) -> Iterator[_Piece]:
        """Yield what was received one by one; it counts more than files, and what came later more."""
        self.any_reading = self.any_reading or self.site.spool_path.is_dir()
        parts = []
        for batch in Spool(self.site.spool_path, self.sensors.vault).read(self.since, self.until):
            number = np.array([self._of_column(*sensor) for sensor in batch.sensors])
            parts.append((batch.time, number[batch.sensor], batch.value))
        if not parts:
            return
        time, who, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((time, who))  # stable: of one time the later counts
        for mine in np.split(order, np.flatnonzero(np.diff(who[order])) + 1):
            sensor, when = int(who[mine[0]]), time[mine].astype("datetime64[ns]")
            if sensor >= 0:
                self.sensors.learn_step(sensor, when)
                yield _Piece(when, value[mine, None], [sensor])

    def _of_column(self, quantity: str, column: str) -> int:
        """Return the number of a sensor that was received; -1 where site.toml no longer knows of it."""
        known = self.sensors.columns.get((Quantity(quantity), column))
        if known is None:
            blocks = [b for b in self.site.readings if b.quantity == quantity and not files.ignored(column, b)]
            named = [b for b in blocks if column in b.columns]
            known = self.sensors.add((named or blocks)[0], column) if blocks else -1
        return known

    def _hidden(self, name: str, column: int | None = None) -> str:
        """Return what stands in an error for a household's meter: never its id."""
        place = "" if column is None else f"column {column} of the file, "
        return f"of a meter ({place}pseudonym {self.sensors.vault.pseudonym(name)})"

    def _columns(self, source: Source, block: ReadingsBlock) -> tuple[list[str], list[str]]:
        """Return the names of the time column (or two) and of the others."""
        names = source.columns()
        parts = [block.time] if block.time in names else block.time.split("+")
        for part in parts:
            if part not in names:
                what = f"no time column '{part}': set time, or delimiter; the columns are {_some(names, block)}"
                raise ReadingsError(f"{source}: {what}")
        return parts, [name for name in names if name not in parts]

    def _sensor(self, source: Source, block: ReadingsBlock, column: str) -> int:
        label = block.columns.get(column, column)
        if self.network is not None and label:
            where = f"{source}: column '{column}'"
            if block.is_personal:
                where = f"{source}: column {self._hidden(column)}"
            _check_element(self.network, block.quantity, label, where, hide=block.is_personal and label == column)
        return self.sensors.add(block, column)

    def _wide(self, source: Source, block: ReadingsBlock, seen: set[str]) -> Iterator[_Piece]:
        clock, others = self._columns(source, block)
        seen.update(others)
        wanted = [name for name in others if not files.ignored(name, block)]
        if not wanted:
            raise ReadingsError(f"{source}: no column of readings is left: shorten ignore in site.toml")
        sensors = [self._sensor(source, block, name) for name in wanted]
        kept_time, kept_values, rows = [], [], 0
        utc = False
        for chunk in source.head(clock, wanted) if self._unlearnt(sensors) else ():
            when = self._when(chunk, clock, block, source)
            for name, sensor in zip(wanted, sensors, strict=True):
                self.sensors.learn_step(sensor, when[chunk.frame[name].notna().to_numpy() & ~np.isnat(when)])
        for chunk in source.chunks(clock, wanted):
            values = np.column_stack([self._numbers(chunk, name, block, source) for name in wanted])
            filled = np.asarray(~np.isnan(values).all(axis=1))
            local, there, utc = self._times(chunk, clock, block, source, filled)
            local, values = local[there], values[there]
            rows += len(local)
            for k, sensor in enumerate(sensors):
                self.sensors.learn_step(sensor, local[~np.isnan(values[:, k])])
            near = self._near(local)
            kept_time.append(local[near])
            kept_values.append(values[near])
        if not rows and not source.windowed:
            raise ReadingsError(f"{source}: no row of readings: remove the file or send it again")
        if not kept_time:
            return
        local = np.concatenate(kept_time)
        when, inside = self._utc(local, utc, block, source)
        yield _Piece(when[inside], np.concatenate(kept_values)[inside], sensors)

    def _long(self, source: Source, block: ReadingsBlock, seen: set[str]) -> Iterator[_Piece]:
        clock, others = self._columns(source, block)
        for key, name in (("sensor", block.sensor), ("value", block.value)):
            if name not in others:
                some = _some(others, block)
                raise ReadingsError(f"{source}: no column '{name}': set {key} in site.toml to one of {some}")
        kept: list[tuple[times.Times, NDArray[np.int64], NDArray[np.float64]]] = []
        utc, rows = False, 0
        text = [*clock, block.sensor]
        known = source.names(block.sensor)
        seen.update(known)
        number_of = {n: self._sensor(source, block, n) for n in known if not files.ignored(n, block)}
        for chunk in source.head(text, [block.value]) if self._unlearnt(number_of.values()) else ():
            when = self._when(chunk, clock, block, source)
            said = chunk.frame[block.sensor].astype("str").str.strip()
            said = said.where(chunk.frame[block.value].notna().to_numpy() & ~np.isnat(when))
            for name, sensor in number_of.items():
                self.sensors.learn_step(sensor, when[(said == name).to_numpy()])
        for chunk in source.chunks(text, [block.value]):
            values = self._numbers(chunk, block.value, block, source)
            local, there, utc = self._times(chunk, clock, block, source, ~np.isnan(values))
            written = chunk.frame[block.sensor].astype("str").str.strip()
            there &= chunk.frame[block.sensor].notna().to_numpy()
            codes, names = pd.factorize(written[there])
            seen.update(names)
            number = np.array(
                [-1 if files.ignored(name, block) else self._sensor(source, block, name) for name in names],
                dtype=np.int64,
            )
            local, values, who = local[there], values[there], number[codes]
            rows += len(local)
            for sensor in number[number >= 0]:
                self.sensors.learn_step(sensor, local[(who == sensor) & ~np.isnan(values)])
            near = self._near(local) & (who >= 0)
            kept.append((local[near], who[near], values[near]))
        if not rows and not source.windowed:
            raise ReadingsError(f"{source}: no row of readings: remove the file or send it again")
        if not kept:
            return
        local, who, values = (np.concatenate(part) for part in zip(*kept, strict=True))
        order = np.argsort(who, kind="stable")
        bounds = np.flatnonzero(np.diff(who[order])) + 1
        for mine in np.split(order, bounds) if order.size else []:
            when, inside = self._utc(local[mine], utc, block, source)
            yield _Piece(when[inside], values[mine][inside, None], [int(who[mine[0]])])

    def _numbers(self, chunk: files.Chunk, name: str, block: ReadingsBlock, source: Source) -> NDArray[np.float64]:
        values, bad = numbers(chunk.frame[name], block.decimal)
        if bad is not None:
            what = f"column '{name}': '{chunk.frame[name].iloc[bad]}'"
            if block.is_personal:  # neither the meter's id nor what it said
                of = "" if _is_long(block) else f" {self._hidden(name, source.columns().index(name) + 1)}"
                what = f"the value{of}"
            raise ReadingsError(
                f"{_row(source, chunk, bad, block)}, {what} is not a number: correct it, or set decimal, or list the "
                f"column under ignore"
            )
        infinite = np.isinf(values)
        self.counts["not_finite"] += int(infinite.sum())
        values = np.where(infinite, np.nan, values)
        self.any_reading = self.any_reading or not np.isnan(values).all()
        return values * factor(block.quantity, block.unit)

    def _unlearnt(self, sensors: Iterable[int]) -> bool:
        return any(np.isnan(self.sensors.step[sensor]) for sensor in sensors)

    def _when(self, chunk: files.Chunk, clock: list[str], block: ReadingsBlock, source: Source) -> times.Times:
        """Return the times of some first rows, as written, from which steps are learnt."""
        return self._times(chunk, clock, block, source, np.zeros(len(chunk.frame), dtype=bool))[0]

    def _times(
        self, chunk: files.Chunk, clock: list[str], block: ReadingsBlock, source: Source, filled: NDArray[np.bool_]
    ) -> tuple[times.Times, NDArray[np.bool_], bool]:
        """Return times, which rows have one (blank rows have none), and whether they are UTC already."""
        local, utc = times.parse(chunk.frame[clock[0]], block.time_format)
        if len(clock) > 1:
            local = times.combine(local, chunk.frame[clock[1]])
        there = ~np.isnat(local)
        written = chunk.frame[clock[0]].notna().to_numpy()
        bad = np.flatnonzero(~there & (written | filled))
        if bad.size:
            what = "'" + " ".join(str(chunk.frame[c].iloc[bad[0]]) for c in clock) + "'"
            raise ReadingsError(
                f"{_row(source, chunk, int(bad[0]), block)}, column '{'+'.join(clock)}': "
                f"{'what stands there' if block.is_personal else what} is not a time: correct it, "
                f"or set time_format (such as '%d/%m/%Y %H:%M')"
            )
        if block.format == "xlsx":  # a spreadsheet keeps times as fractions of a day
            local = (local + np.timedelta64(500, "ms")).astype("datetime64[s]").astype("datetime64[ns]")
        return local, there, utc

    def _near(self, local: times.Times) -> NDArray[np.bool_]:
        near = np.ones(local.size, dtype=bool)
        if self.since is not None:
            near &= local >= self.since - times.MARGIN
        if self.until is not None:
            near &= local <= self.until + times.MARGIN
        return near

    def _utc(
        self, local: times.Times, utc: bool, block: ReadingsBlock, source: Source
    ) -> tuple[times.Times, NDArray[np.bool_]]:
        """Return UTC times and which of them are wanted."""
        when = local if utc else times.to_utc(local, block.timezone or self.site.timezone)
        row = times.backwards(local, when)
        if row is not None:
            raise ReadingsError(
                f"{source}: time goes backwards from {local[row - 1].astype('datetime64[s]')} to "
                f"{local[row].astype('datetime64[s]')}: sort the file by time, or set timezone if it is a "
                f"clock change"
            )
        inside = np.ones(when.size, dtype=bool)
        if self.since is not None:
            inside &= when >= self.since
        if self.until is not None:
            inside &= when <= self.until
        return when, inside


def _some(names: list[str], block: ReadingsBlock) -> str:
    """Return some columns' names, or how many there are where they may be meters' ids."""
    if block.is_personal and not _is_long(block):
        return f"{len(names)}"
    return ", ".join(f"'{name}'" for name in names[:5])


def _row(source: Source, chunk: files.Chunk, place: int, block: ReadingsBlock) -> str:
    """Return the name of a row: its number in a file, its time where rows have no number."""
    if chunk.first_row is not None:
        return f"{source}: row {chunk.first_row + place}"
    clock = [block.time] if block.time in chunk.frame else block.time.split("+")
    return f"{source}: row of {' '.join(str(chunk.frame[name].iloc[place]) for name in clock)}"


def _is_long(block: ReadingsBlock) -> bool:
    return block.layout == "long" or block.format == "opcua"


def _check_element(network: Network, quantity: Quantity, element: str, where: str, *, hide: bool) -> None:
    """Raise `ElementError` unless the network has the element and `quantity` is measured on its kind.

    `where` names the column; `hide` the element too, where a meter's id stands for it.
    """
    mend = "map it under columns, or list it under ignore, in site.toml"
    node, link = network.has_node(element), network.has_link(element)
    if hide and not (node or link):
        raise ElementError(f"{where}: the network has no element of its name: {mend}")
    if not (node or link):
        folded = {name.lower(): name for name in (*network.node_names, *network.link_names)}
        near = folded.get(element.lower())
        raise ElementError(f"{where}: the network has no '{element}'{f', but {near!r}' if near else ''}: {mend}")
    if quantity == Quantity.FLOW and not link:
        raise ElementError(f"{where}: '{element}' is a node, and flow is measured on a link: {mend}")
    if quantity != Quantity.FLOW and not node:
        raise ElementError(f"{where}: '{element}' is a link, and {quantity} is measured at a node: {mend}")
    if quantity == Quantity.LEVEL and network.node_kind[network.node(element)] != Node.TANK:
        raise ElementError(f"{where}: '{element}' is not a tank, and level is of a tank: {mend}")


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
        ``duplicates_conflicting`` (of which the later row of the later file was kept), ``not_finite``, and ``snapped``
        is 1 if times were brought onto one step (see `MAX_CELLS`).

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
    loader = _Loader(site, network, _ns(since), _ns(until), Sensors(Vault.of(site)))
    pieces = list(loader.read())
    sensors, counts = loader.sensors, loader.counts
    if not loader.any_reading:
        globs = ", ".join(block.source for block in site.readings)
        raise ReadingsError(f"{site.folder / 'site.toml'}: no reading at all in {globs}: check decimal and the files")
    known = [step for step in sensors.step if not np.isnan(step)]
    steps = [min(known, default=_HEAD) if np.isnan(step) else step for step in sensors.step]
    axis = _axis([piece.time for piece in pieces])
    if axis.size * len(steps) > MAX_CELLS:
        pieces = [_Piece(_ceil(p.time, min(steps)), p.values, p.sensors) for p in pieces]
        axis = _axis([piece.time for piece in pieces])
        counts["snapped"] += 1
    values = np.full((axis.size, len(steps)), np.nan)
    while pieces:
        _fill(values, axis, pieces.pop(0), counts)
    labels = [label for _, label in sensors.index]
    data = new_readings(
        axis,
        sensors.names(),
        values,
        quantity=[str(quantity) for quantity, _ in sensors.index],
        element=_elements(site, network, labels),
        dma=sensors.dma,
        unit=sensors.unit,
        step=steps,
    )
    data = data.assign_coords(personal=(SENSOR, np.array(sensors.personal, dtype=bool)))
    data.attrs["files"] = len(loader.named)
    for name in ("duplicates_identical", "duplicates_conflicting", "not_finite", "snapped"):
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


def _fill(values: NDArray[np.float64], axis: times.Times, piece: _Piece, counts: Counter[str]) -> None:
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
