"""Readings of a database are those of a file, on SQLite and on PostgreSQL; nothing is written there, no secret told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import postgres
import pytest
import sqlalchemy as sa
import xarray as xr
from pydantic import ValidationError

from leakdetect.errors import MissingExtraError, MissingFileError, ReadingsError, SiteError, UnreachableError
from leakdetect.readings import load, sql
from leakdetect.site import ReadingsBlock, Site

TIMES = pd.date_range("2024-03-30 00:00", periods=240, freq="15min", tz="UTC")  # over a change of clocks
RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"J1": RNG.uniform(40, 50, 240), 'odd name; "x"': RNG.uniform(20, 30, 240)})
FRAME.iloc[7, 0] = np.nan


def block(**values: Any) -> dict[str, Any]:
    return {"quantity": "pressure", "unit": "m", "format": "sql", "url": "sqlite:///h.db", "time": "at"} | values


def site(folder: Path, *blocks: dict[str, Any], timezone: str = "UTC") -> Site:
    return Site(name="s", folder=folder, timezone=timezone, readings=[ReadingsBlock.model_validate(b) for b in blocks])


def as_file(folder: Path) -> xr.Dataset:
    """Return the same readings from a CSV file."""
    frame = FRAME.assign(at=TIMES.strftime("%Y-%m-%dT%H:%M:%SZ"))
    frame[["at", *FRAME.columns]].to_csv(folder / "same.csv", index=False)
    return load(site(folder, {"glob": "same.csv", "quantity": "pressure", "unit": "m", "time": "at"}))


def fill(engine: sa.Engine, kind: Any, moments: list[Any]) -> None:
    """Write FRAME as a wide and as a long table, and a view of the long one; rows in no order."""
    meta = sa.MetaData()
    names = list(FRAME.columns)
    wide = sa.Table("Wide Table", meta, sa.Column("at", kind), *(sa.Column(n, sa.Float) for n in names))
    long = sa.Table("long", meta, sa.Column("at", kind), sa.Column("tag", sa.Text), sa.Column("v", sa.Numeric(30, 20)))
    meta.create_all(engine)
    rows = FRAME.astype(object).where(FRAME.notna(), None).to_dict("records")
    order = RNG.permutation(len(rows))
    with engine.begin() as connection:
        connection.execute(wide.insert(), [{"at": moments[i], **rows[i]} for i in order])
        each = [{"at": moments[i], "tag": n, "v": rows[i][n]} for i in order for n in names]
        connection.execute(long.insert(), each)
        connection.execute(sa.text("CREATE VIEW seen AS SELECT at, tag, v FROM long"))


LONG = {"layout": "long", "table": "long", "sensor": "tag", "value": "v"}
WAYS = {
    "wide": {"table": "Wide Table"},
    "long": LONG,
    "view": LONG | {"table": "seen"},
    "some": LONG | {"sensors": list(FRAME.columns)},
    "query": LONG | {"table": "", "query": "SELECT at, tag, v FROM long WHERE v > 0 OR v IS NULL;"},
}
SINCE, UNTIL = np.datetime64("2024-03-30T23:50"), np.datetime64("2024-03-31T03:00")


def same(found: xr.Dataset, expected: xr.Dataset) -> None:
    assert found["sensor"].values.tolist() == expected["sensor"].values.tolist()
    assert found["step"].values.tolist() == [900.0, 900.0]
    assert found["time"].values.tolist() == expected["time"].values.tolist()
    np.testing.assert_allclose(found["reading"].values, expected["reading"].values, rtol=1e-14)


@pytest.fixture
def historian(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "h.db") as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'h.db'}", poolclass=sa.pool.NullPool)
    fill(engine, sa.Text, TIMES.strftime("%Y-%m-%d %H:%M:%S").tolist())
    return tmp_path


@pytest.mark.parametrize("way", WAYS)
def test_sqlite_is_what_a_file_is(historian: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "CELLS", 100)  # many chunks
    before = (historian / "h.db").read_bytes()
    expected = as_file(historian)
    same(load(site(historian, block(**WAYS[way]))), expected)
    inside = load(site(historian, block(**WAYS[way])), SINCE, UNTIL)
    same(inside, expected.sel(time=slice(SINCE, UNTIL)))
    assert (historian / "h.db").read_bytes() == before


def test_only_the_window_is_fetched(historian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, Any]] = []
    sa.event.listen(sa.Engine, "before_cursor_execute", note := lambda c, k, s, p, x, m: said.append((s, p)))
    try:
        load(site(historian, block(table="Wide Table")), SINCE, UNTIL)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    rows = [s for s, _ in said if "WHERE" in s and "BETWEEN" not in s and ">=" in s]
    assert len(rows) == 1
    assert '"odd name; ""x"""' in rows[0]  # quoted, as it came
    assert not any(word in s.upper() for s, _ in said for word in ("INSERT", "UPDATE", "DELETE", "CREATE"))
    assert any("2024-03-29" in p for _, p in said)  # the day before, for whatever zone the clock may be of


def test_no_row_in_the_window_is_no_error(historian: Path) -> None:
    later = np.datetime64("2025-01-01")
    data = load(site(historian, block(**LONG)), later)
    assert data.sizes == {"time": 0, "sensor": 2}
    assert data["step"].values.tolist() == [900.0, 900.0]  # learnt from the first rows all the same


def test_local_clocks_and_seconds(tmp_path: Path) -> None:
    local = TIMES.tz_convert("Europe/Paris").tz_localize(None)
    with sqlite3.connect(tmp_path / "h.db") as connection:
        for table, kind, moments in (
            ("local", "TEXT", local.strftime("%Y-%m-%dT%H:%M").tolist()),
            ("unix", "INTEGER", [round(t.timestamp()) for t in TIMES]),
        ):
            connection.execute(f'CREATE TABLE {table} (at {kind}, "J1" REAL)')
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", list(zip(moments, FRAME["J1"], strict=True)))
    connection.close()
    expected = as_file(tmp_path).isel(sensor=[0]).sel(time=slice(SINCE, UNTIL))
    paris = load(site(tmp_path, block(table="local"), timezone="Europe/Paris"), SINCE, UNTIL)
    seconds = load(site(tmp_path, block(table="unix", time_format="unix")), SINCE, UNTIL)
    for data in (paris, seconds):
        assert data["time"].values.tolist() == expected["time"].values.tolist()
        np.testing.assert_array_equal(data["reading"].values, expected["reading"].values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"table": "nowhere"}, r"table 'nowhere' of .*h.db: no such table or view; there are Wide Table, long, seen"),
        ({"table": "Wide Table", "time": "when"}, r"no time column 'when'.*the columns are 'at', 'J1'"),
        (LONG | {"sensor": "who"}, r"no column 'who': set sensor in site.toml to one of 'tag', 'v'"),
        (LONG | {"columns": {"J9": "J9"}}, r"no column 'J9': correct columns"),
        ({"table": "Wide Table", "time": "J1"}, r"column 'J1': '.*' cannot be compared with a time: make a view"),
        ({"table": "Wide Table", "columns": {}, "time": "J1", "time_format": "unix"}, r"row of 4.*column 'at': '2024-"),
        ({"query": "SELECT absent FROM long"}, r"the query of .*no such column: absent: correct the columns"),
        ({"query": "SELECT 1; DROP TABLE long"}, r"the query of .*correct it in site.toml"),
        ({"url": "sqlite:///none.db", "table": "long"}, r"none.db: no such file"),
        ({"url": "nosuch://h/d", "table": "long"}, r"url nosuch://h/d"),
        ({"url": "${NO_SUCH_NAME}", "table": "long"}, r"url: the environment variable NO_SUCH_NAME is not set"),
        ({"url": "mssql+pyodbc://h/d", "table": "long"}, r"the driver is missing: run pip install 'pyodbc'"),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(historian: Path, values: dict[str, Any], says: str) -> None:
    errors = (ReadingsError, SiteError, MissingFileError, MissingExtraError)
    with pytest.raises(errors, match=says) as caught:
        load(site(historian, block(**values)))
    assert "\n" not in str(caught.value)
    assert not (historian / "none.db").exists()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"table": "t", "query": "SELECT 1"}, "one of the two"),
        ({}, "one of the two"),
        ({"table": "t", "url": ""}, "url: must be given"),
        ({"table": "t", "glob": "*.csv"}, "glob: is not for format = 'sql'"),
        ({"table": "t", "url": "postgresql://me:hunter2@h/d"}, "a password stands here"),
        ({"table": "t", "url": "postgresql://h/d?user=me&password=hunter2"}, "a password stands here"),
        ({"table": "t", "url": "postgresql://me:hunter/2@h/d"}, "a password stands here"),
        ({"table": "t", "sensors": ["a"]}, "layout = 'long'"),
    ],
)
def test_keys_that_do_not_fit(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ReadingsBlock.model_validate(block(**values))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pytest.importorskip("pg8000")
    with postgres.server() as address:
        engine = sa.create_engine(sa.make_url(address).set(username=postgres.USER, password=postgres.PASSWORD))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA local_time"))
        fill(engine, sa.DateTime(timezone=True), [t.to_pydatetime() for t in TIMES])
        local = engine.connect().execution_options(schema_translate_map={None: "local_time"})
        with local, local.begin():
            table = sa.Table("wide", sa.MetaData(), sa.Column("at", sa.DateTime), sa.Column("J1", sa.REAL))
            table.create(local)
            paris = TIMES.tz_convert("Europe/Paris").tz_localize(None)
            rows = [{"at": t.to_pydatetime(), "J1": k} for k, t in enumerate(paris)]
            local.execute(table.insert(), rows)
        engine.dispose()
        yield address.replace("postgresql+pg8000://", "postgresql://${PG_USER}:${PG_PASSWORD}@")


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_USER", postgres.USER)
    monkeypatch.setenv("PG_PASSWORD", postgres.PASSWORD)


@pytest.mark.usefixtures("_secrets")
@pytest.mark.parametrize("way", WAYS)
def test_postgresql_is_what_a_file_is(tmp_path: Path, url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "CELLS", 100)
    expected = as_file(tmp_path)
    same(load(site(tmp_path, block(url=url, **WAYS[way]))), expected)
    inside = load(site(tmp_path, block(url=url, **WAYS[way])), SINCE, UNTIL)
    same(inside, expected.sel(time=slice(SINCE, UNTIL)))


@pytest.mark.usefixtures("_secrets")
def test_postgresql_without_a_zone_in_a_schema(tmp_path: Path, url: str) -> None:
    one = site(tmp_path, block(url=url, table="local_time.wide"), timezone="Europe/Paris")
    data = load(one, SINCE, UNTIL)
    inside = (TIMES.tz_localize(None) >= pd.Timestamp(SINCE)) & (TIMES.tz_localize(None) <= pd.Timestamp(UNTIL))
    assert data["reading"].values[:, 0].tolist() == np.flatnonzero(inside).tolist()
    assert data["time"].values.tolist() == TIMES[inside].tz_localize(None).to_numpy("datetime64[ns]").tolist()


@pytest.mark.usefixtures("_secrets")
def test_postgresql_is_only_read(tmp_path: Path, url: str) -> None:
    writing = "WITH w AS (DELETE FROM long RETURNING at, tag, v) SELECT at, tag, v FROM w"
    for query in (
        writing,
        "SELECT at, tag, v, nextval('x') FROM long",
        "SELECT now() AS at, set_config('a.b', 'c', false)",
    ):
        with pytest.raises(ReadingsError):
            load(site(tmp_path, block(url=url, **LONG | {"table": "", "query": query})))
    table = sql.Table(ReadingsBlock.model_validate(block(url=url, **LONG)), tmp_path, sql.Window())
    with pytest.raises(ReadingsError, match="read-only transaction"), table._work() as connection:
        connection.execute(sa.text("DELETE FROM long"))


def test_postgresql_tells_no_secret(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_USER", postgres.USER)
    monkeypatch.setenv("PG_PASSWORD", "hunter2-is-wrong")
    with pytest.raises(ReadingsError, match=r"password authentication failed.*set the variables") as caught:
        load(site(tmp_path, block(url=url, **LONG)))
    assert "hunter2" not in str(caught.value)
    dead = "postgresql://${PG_USER}:${PG_PASSWORD}@127.0.0.1:9/none"
    with pytest.raises(UnreachableError, match=r"127.0.0.1:9/none.*is the server up") as caught:
        load(site(tmp_path, block(url=dead, **LONG)))
    assert "hunter2" not in str(caught.value)
