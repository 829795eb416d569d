"""Pieces of readings from a site's tables, wide or long, and what is wrong with a table that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError
from leakdetect.network import Network
from leakdetect.readings import files, times
from leakdetect.readings.sensors import Sensors, check_element
from leakdetect.readings.sources import Source, Window, sources
from leakdetect.readings.spool import Spool
from leakdetect.readings.values import numbers
from leakdetect.schema import Quantity
from leakdetect.units import factor

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock
    from leakdetect.site import Site


@dataclass(frozen=True)
class Piece:
    """Readings of some sensors, which are known by number.

    Attributes
    ----------
    time : ndarray of datetime64[ns], shape (T,)
        UTC, as in the file.
    values : ndarray, shape (T, k)
        SI.
    sensors : list of int, length k
    """

    time: times.Times
    values: NDArray[np.float64]
    sensors: list[int]


@dataclass
class Loader:
    """Reads a site's tables, and the journal of what was received.

    Attributes
    ----------
    site : Site
    network : Network or None
        Each sensor's element is looked up in it.
    since, until : datetime64 or None
        UTC; the first and the last time wanted.
    sensors : Sensors
        Grows as it reads.
    counts : Counter
        Of readings that are not finite, and of rows that are ``ahead`` of now (see `times.AHEAD`) and count as none.
    named : set of str
        What was read.
    any_reading : bool
        Whether there is any, or may be at another time.
    """

    site: Site
    network: Network | None
    since: np.datetime64 | None
    until: np.datetime64 | None
    sensors: Sensors
    counts: Counter[str] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)
    any_reading: bool = False

    def __post_init__(self) -> None:
        self._ahead = np.datetime64("now", "ns") + times.AHEAD
        self._last = self._ahead if self.until is None else min(self.until, self._ahead)

    def read(self) -> Iterator[Piece]:
        """Yield the readings; errors as `load`."""
        for block in self.site.readings:
            seen: set[str] = set()
            window = Window(self.since, self._last)
            for source in sources(block, self.site.folder, window):
                self.named.add(str(source))
                self.any_reading = self.any_reading or source.windowed
                yield from (self._long if _is_long(block) else self._wide)(source, block, seen)
            unused = [name for name in (*block.columns, *block.dmas) if name not in seen]
            if unused:
                what = f"'{unused[0]}'" if not block.is_personal else self._hidden(unused[0])
                raise ReadingsError(f"{source}: no column {what}: correct columns or dmas in site.toml")
        yield from self._received()

    def _received(self) -> Iterator[Piece]:
        """Yield what was received one by one; it counts more than files, and what came later more."""
        self.any_reading = self.any_reading or self.site.spool_path.is_dir()
        parts = []
        for batch in Spool(self.site.spool_path, self.sensors.vault).read(self.since, self._last):
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
                yield Piece(when, value[mine, None], [sensor])

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
            check_element(self.network, block.quantity, label, where, hide=block.is_personal and label == column)
        return self.sensors.add(block, column)

    def _wide(self, source: Source, block: ReadingsBlock, seen: set[str]) -> Iterator[Piece]:
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
        yield Piece(when[inside], np.concatenate(kept_values)[inside], sensors)

    def _long(self, source: Source, block: ReadingsBlock, seen: set[str]) -> Iterator[Piece]:
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
            yield Piece(when[inside], values[mine][inside, None], [int(who[mine[0]])])

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
        self.counts["ahead"] += int((local > self._ahead + times.MARGIN).sum())
        near = local <= self._last + times.MARGIN
        if self.since is not None:
            near &= local >= self.since - times.MARGIN
        return np.asarray(near)

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
        self.counts["ahead"] += int((when > self._ahead).sum())
        inside = when <= self._last
        if self.since is not None:
            inside &= when >= self.since
        return when, np.asarray(inside)


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
