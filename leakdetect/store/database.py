"""One transaction at a time on SQLite or PostgreSQL, and what is said when that fails."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from leakdetect.databases import database_url, engine_of, is_away
from leakdetect.errors import InputError, MissingExtraError, UnavailableError
from leakdetect.store import migrate

_WAIT = 10.0
"""[s] that one who writes waits for another to finish."""
ANEW = "move the file away and run detect again, or put back a copy"
_WRITES, _RUNS, _MIGRATES = 7101, 7102, 7103  # PostgreSQL's advisory locks, beside the site's number
_MENDS = {
    **dict.fromkeys(("locked", "lock timeout"), "another run is writing: try again when it has finished"),
    "readonly": "make the file and its folder writable",
    "unable to open": "make the folder writable",
    "full": "make room on the disk",
    "disk i/o": "make room on the disk, and look at its health",
    "not a database": ANEW,
    "malformed": ANEW,
}


class Database:
    """A database that several sites may share.

    Parameters
    ----------
    place : path or str
        An SQLite file, made if it is not there, or a URL: ``postgresql://user@host/name``.
    site : str
        Whose rows are meant.

    Raises
    ------
    InputError
        If the URL is none, or of another kind of database.
    MissingExtraError
        If the driver of PostgreSQL is not installed.
    """

    def __init__(self, place: Path | str, site: str = "") -> None:
        url = sa.URL.create("sqlite", database=str(place)) if isinstance(place, Path) else _url(place)
        self.name = str(place) if isinstance(place, Path) else url.render_as_string(hide_password=True)
        self.file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        self._site = zlib.crc32(site.encode())
        self._looks = self.file is not None and _only_to_read(self.file)
        options: dict[str, Any] = {}
        if self.file is not None:
            options = {"connect_args": {"timeout": _WAIT}, "poolclass": sa.pool.NullPool}
            if self._looks:  # else SQLite would want to write its log beside it
                query = {"mode": "ro", "immutable": "1", "uri": "true"}
                url = sa.URL.create("sqlite", database=f"file:{quote(str(self.file))}", query=query)
        self._engine = engine_of(url, **options)
        self._alone = False
        self._place: sa.Connection | None = None  # which keeps others away; None where it was lost
        if self.file is not None:
            sa.event.listen(self._engine, "connect", _by_hand)
            sa.event.listen(self._engine, "begin", _begin)

    def open(self) -> None:
        """Bring the tables to the newest layout; errors as `work` and `migrate.is_newest`."""
        with self.work() as connection:
            newest = migrate.is_newest(connection, self.name)
        if not newest:
            with self.work(write=True) as connection:
                if self.file is None:  # sites that begin at once
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_key(_MIGRATES, 0))))
                migrate.upgrade(connection, self.name)

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    @contextmanager
    def work(self, *, write: bool = False, wait: float | None = None) -> Iterator[sa.Connection]:
        """Give one transaction; one that writes has the site's rows to itself from its beginning.

        Parameters
        ----------
        write : bool
        wait : float, optional
            For another process that writes [s], in place of ten.

        Raises
        ------
        InputError
            If the database cannot be read or written; nothing is changed then. `UnavailableError` if it cannot be
            reached, or another process held it for too long.
        """
        if write and self._looks:
            raise InputError(f"{self.name}: may not be written to: make the file and its folder writable")
        try:
            with self._engine.execution_options(write=write, wait=wait).begin() as connection:
                if write and self.file is None:
                    longest = max(round((_WAIT if wait is None else wait) * 1000), 1)  # 0 would be for ever
                    connection.execute(sa.text(f"SET LOCAL lock_timeout = {longest}"))
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_key(_WRITES, self._site))))
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._told(error) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of the site away, on other machines too; a lost connection gives the place up.

        An SQLite file has its site's folder for that.

        Raises
        ------
        UnavailableError
            If there is one, or the server cannot be reached.
        """
        if self.file is not None:
            yield
            return
        self._take_place()
        self._alone = True
        try:
            yield
        finally:
            self._alone = False
            self._leave_place()

    def stay_alone(self) -> None:
        """Take the place of `alone` again where the connection that had it was lost; errors as there."""
        if self._place is not None:
            try:
                self._place.execute(sa.select(1))
            except sa.exc.DBAPIError:
                self._leave_place()
        if self._alone and self._place is None:
            self._take_place()

    def _take_place(self) -> None:
        try:
            self._place = self._engine.execution_options(isolation_level="AUTOCOMMIT").connect()
            free = self._place.execute(sa.select(sa.func.pg_try_advisory_lock(_key(_RUNS, self._site)))).scalar()
        except sa.exc.DBAPIError as error:
            self._leave_place()
            raise self._told(error) from error
        if not free:
            self._leave_place()
            raise UnavailableError(
                f"{self.name}: another run of this site is under way: try again when it has finished"
            )

    def _leave_place(self) -> None:
        place, self._place = self._place, None
        if place is None:
            return
        with place:
            if not place.invalidated:
                with suppress(sa.exc.DBAPIError):  # lost, and the lock with it
                    place.execute(sa.select(sa.func.pg_advisory_unlock_all()))
                place.invalidate()  # closed for good: a pooled connection would keep the lock

    def _told(self, error: sa.exc.DBAPIError) -> InputError:
        return (UnavailableError if is_away(error) else InputError)(f"{self.name}: {self._reason(error)}")

    def _reason(self, error: sa.exc.DBAPIError) -> str:
        said: Any = error.orig
        if said.args and isinstance(said.args[0], dict):  # as pg8000 has it
            said = said.args[0].get("M", said)
        said = str(said).split("\n", maxsplit=1)[0]
        usual = ANEW if self.file is not None else "look at the server, and at url under [store] in site.toml"
        return f"{said}: {next((mend for key, mend in _MENDS.items() if key in said.lower()), usual)}"


def _key(what: int, site: int) -> sa.Cast[int]:
    """Return the number of an advisory lock: 64 bits."""
    return sa.cast(what << 32 | site, sa.BigInteger)


def _url(text: str) -> sa.URL:
    url = database_url(text, "store.url")
    if url.drivername == "postgresql+pg8000" and find_spec("pg8000") is None:
        raise MissingExtraError(
            "a PostgreSQL store needs pg8000, which is not installed: pip install 'leakdetect[postgresql]'"
        )
    if url.get_backend_name() not in {"postgresql", "sqlite"} or not url.database:
        raise InputError(f"the store's url is of '{url.drivername}': write postgresql://user@host/name")
    return url


def _only_to_read(path: Path) -> bool:
    logged = path.with_name(f"{path.name}-wal").exists()  # what is in there would not be seen
    return path.is_file() and not os.access(path.parent, os.W_OK) and not logged


def _by_hand(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # or sqlite3 begins a transaction late, after what it rests on was read


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    writes, wait = options.get("write", False), options.get("wait")
    if wait is not None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(wait * 1000)}").close()
    if writes:  # with a log beside the file, readers and a writer do not wait for each other
        connection.exec_driver_sql("PRAGMA journal_mode = WAL").close()  # what it answers would bar the commit
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
