"""Readings of a historian: a table, a view or the site's own query of any database that SQLAlchemy knows. Read only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy as sa

from leakdetect.databases import database_url, engine_of, is_away
from leakdetect.errors import MissingExtraError, MissingFileError, ReadingsError, SiteError, UnreachableError
from leakdetect.readings import files
from leakdetect.readings.files import Chunk
from leakdetect.readings.sources import HEAD, Window
from leakdetect.readings.times import Kind, kind_of, limits

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock

CELLS = 1_000_000
"""Values of a result held as the driver gives them, which takes far more memory than an array."""

_HEAD_LONG = 10 * HEAD  # first rows of a long table: those of all its sensors
_EXTRAS = {"postgresql": "leakdetect[postgresql]"}
_ONLY_READ = {"mysql": "SET SESSION TRANSACTION READ ONLY", "mariadb": "SET SESSION TRANSACTION READ ONLY"}


class Table:
    """A table, view or query; see `sources.Source`.

    Every name is quoted by SQLAlchemy and every value is a parameter; the only SQL from outside is the site owner's
    `query`, which stands in brackets as a table would.

    Parameters
    ----------
    block : ReadingsBlock
        Of format ``sql``.
    folder : path
        Of the site, to which an SQLite file is relative.
    window : Window

    Raises
    ------
    SiteError
        If `url` is no URL or names a variable that is not set.
    MissingExtraError
        If the driver is not installed.
    MissingFileError
        If an SQLite file is not there.
    """

    windowed = True

    def __init__(self, block: ReadingsBlock, folder: Path, window: Window) -> None:
        self.block, self.window = block, window
        url = database_url(block.url, "url")
        self._where = url.render_as_string(hide_password=True)
        options: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite":
            path = folder / (url.database or "")
            self._where = str(path)
            if not path.is_file():
                raise MissingFileError(f"{path}: no such file: correct url = 'sqlite:///FILE' in site.toml")
            url = url.set(database=f"file:{path.as_posix()}", query={"mode": "ro", "uri": "true"})
        elif url.get_backend_name() == "postgresql":
            options = {"execution_options": {"postgresql_readonly": True}}
        try:
            self._engine = engine_of(url, poolclass=sa.pool.NullPool, **options)
        except ModuleNotFoundError as error:
            wanted = _EXTRAS.get(url.get_backend_name(), str(error.name))
            raise MissingExtraError(f"{self._where}: the driver is missing: run pip install '{wanted}'") from None
        except sa.exc.ArgumentError as error:
            raise SiteError(f"site.toml: url {self._where}: {error}: correct the URL") from None
        only_read = _ONLY_READ.get(self._engine.dialect.name)
        if only_read:
            sa.event.listen(self._engine, "connect", lambda connection, _: connection.cursor().execute(only_read))

    def __str__(self) -> str:
        return f"{f'table {self.block.table!r}' if self.block.table else 'the query'} of {self._where}"

    # -- what it holds -----------------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> list[str]:
        with self._work() as connection:
            if self.block.query:
                found = connection.execute(sa.select(sa.text("*")).select_from(self._query([])).limit(0))
                return list(found.keys())
            schema, _, table = self.block.table.rpartition(".")
            inspector = sa.inspect(connection)
            try:
                return [column["name"] for column in inspector.get_columns(table, schema or None)]
            except sa.exc.NoSuchTableError:
                known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
                there = f"there are {', '.join(known[:8])}" if known else "there is none that this user may read"
                raise ReadingsError(f"{self}: no such table or view; {there}: correct table in site.toml") from None

    def _query(self, names: list[str]) -> sa.FromClause:
        text = sa.text(self.block.query.strip().removesuffix(";"))
        return text.columns(*(sa.column(name) for name in names)).subquery("readings")

    @cached_property
    def _from(self) -> sa.FromClause:
        if self.block.query:
            return self._query(self._names)
        schema, _, table = self.block.table.rpartition(".")
        return sa.table(table, *(sa.column(name) for name in self._names), schema=schema or None)

    def columns(self) -> list[str]:
        """See `Source`."""
        return list(self._names)

    @cached_property
    def _kind(self) -> Kind:
        """How the time column keeps times, by the first of them."""
        time = self._clock[0]
        first = self._one(sa.select(time).where(time.is_not(None)).order_by(time).limit(1))
        if first is None:
            raise ReadingsError(f"{self}: no row has a time in column '{time.name}': set table and time in site.toml")
        kind = kind_of(first, self.block.time_format)
        if kind is None:
            shown = "what it holds" if self.block.is_personal else f"'{first}'"
            raise ReadingsError(
                f"{self}: column '{time.name}': {shown} cannot be compared with a time: make a view in which it is a "
                f"timestamp or ISO 8601 text, or set time_format = 'unix' if it counts seconds"
            )
        return kind

    @property
    def _clock(self) -> list[sa.ColumnElement[Any]]:
        block = self.block
        return [self._from.c[name] for name in ([block.time] if block.time in self._names else block.time.split("+"))]

    def _one(self, statement: sa.Select[Any]) -> Any:
        with self._work() as connection:
            return connection.execute(statement).scalar()

    def names(self, sensor: str) -> list[str]:
        """Return the sensors that the block names, else all that the column holds, sorted."""
        return [str(name).strip() for name in self._sensors(sensor)]

    def _sensors(self, sensor: str) -> list[Any]:
        """Return the sensors as the column holds them."""
        column = self._from.c[sensor]
        if self.block.sensors:
            number = isinstance(self._one(sa.select(column).where(column.is_not(None)).limit(1)), int)
            try:
                return [int(name) if number else name for name in self.block.sensors]
            except ValueError:
                raise ReadingsError(
                    f"{self}: column '{sensor}' holds numbers: correct sensors in site.toml, which names others"
                ) from None
        with self._work() as connection:
            found = sa.select(column).where(column.is_not(None)).distinct().order_by(column)
            return list(connection.execute(found).scalars())

    # -- rows --------------------------------------------------------------------------------------------------

    def chunks(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`: the rows near the window, by time."""
        time = self._clock[0]
        first, last = limits(self._kind, self.window.since, self.window.until)
        near = [] if first is None else [time >= first]
        near += [] if last is None else [time <= last]
        yield from self._rows(self._select(text, wanted).where(*near), [*text, *wanted])

    def head(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`."""
        if self.window.since is not None:
            rows = HEAD if self.block.layout == "wide" else _HEAD_LONG
            yield from self._rows(self._select(text, wanted).limit(rows), [*text, *wanted])

    def _select(self, text: list[str], wanted: list[str]) -> sa.Select[Any]:
        columns: list[sa.ColumnElement[Any]] = [self._from.c[name] for name in [*text, *wanted]]
        if self._engine.dialect.name == "postgresql" and self.block.time_format is None:
            # pg8000 takes each time apart by itself, at more cost than all the rest: pandas reads a column at once.
            clock = {column.name for column in self._clock}
            columns = [sa.cast(c, sa.Text).label(c.name) if c.name in clock else c for c in columns]
        statement = sa.select(*columns).order_by(*self._clock)
        statement = statement.where(self._clock[0].is_not(None))
        if self.block.layout == "long" and self.block.sensors:
            statement = statement.where(self._from.c[self.block.sensor].in_(self._sensors(self.block.sensor)))
        return statement

    def _rows(self, statement: sa.Select[Any], names: list[str]) -> Iterator[Chunk]:
        count = min(max(CELLS // len(names), 100), files.CHUNK)
        with self._work() as connection:
            result = connection.execution_options(stream_results=True, yield_per=count).execute(statement)
            for rows in result.partitions():
                frame = pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)
                for name in names:
                    if frame[name].dtype == object and isinstance(_first(frame[name]), Decimal):
                        frame[name] = frame[name].astype("float64")
                yield Chunk(frame, None)

    @contextmanager
    def _work(self) -> Iterator[sa.Connection]:
        """Give a connection on which nothing is ever committed."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise (UnreachableError if is_away(error) else ReadingsError)(f"{self}: {_reason(error)}") from None


def _first(column: pd.Series) -> Any:
    there = column.first_valid_index()
    return None if there is None else column[there]


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    """Return what the driver said in one line, without the statement, and the mend."""
    said = getattr(error, "orig", None) or error
    about = said.args[0] if said.args else said
    text = str(about.get("M", about) if isinstance(about, dict) else about)
    text = " ".join(text.split())
    mends = {
        "password": "set the variables that url names",
        "connect": "is the server up, and url right?",
        "permission": "give the user the right to read it",
        "no such column": "correct the columns that site.toml names",
        "does not exist": "correct what site.toml names",
    }
    return f"{text}: {next((mend for key, mend in mends.items() if key in text.lower()), 'correct it in site.toml')}"
