"""The store on SQLite and on PostgreSQL alike: layouts, sites that share a database, what is said when it fails."""

from __future__ import annotations

import gc
import json
import multiprocessing
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgres import DATABASE, owned
from test_store import DAY, T0, event, keep, progress

from leakdetect.errors import InputError, MissingExtraError, SiteError, UnavailableError
from leakdetect.events import Status
from leakdetect.site import load_site
from leakdetect.store import Store, database, encode, layout, open_store
from leakdetect.store.database import Database

V1 = """
CREATE TABLE layout (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE events (id TEXT NOT NULL, raised_at TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX ix_events_raised_at ON events (raised_at);
CREATE TABLE changes (number INTEGER NOT NULL, event TEXT NOT NULL, at TEXT NOT NULL, "by" TEXT NOT NULL,
    status TEXT NOT NULL, why TEXT NOT NULL, link TEXT NOT NULL, repaired TEXT, PRIMARY KEY (number));
CREATE INDEX ix_changes_event ON changes (event);
CREATE TABLE progress (one INTEGER NOT NULL, model TEXT NOT NULL, begun TEXT NOT NULL, until TEXT NOT NULL,
    state BLOB NOT NULL, PRIMARY KEY (one));
INSERT INTO layout VALUES (1);
"""
"""As a database of version 1 says of itself."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with owned() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """An empty database."""
    if request.param == "sqlite":
        yield tmp_path / "leakdetect.db"
        return
    url = request.getfixturevalue("postgres")
    plain = sa.create_engine(url.replace("postgresql:", "postgresql+pg8000:"), isolation_level="AUTOCOMMIT")
    with plain.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS test WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE test"))
    plain.dispose()
    yield url.replace(f"/{DATABASE}", "/test")


def version_1(path: Path) -> None:
    """Make a database as version 1 left it, with two events, what was said of one, and progress."""
    base = sqlite3.connect(path)
    base.executescript(V1)
    for one in (event(), event("late", 2)):
        plain = one.to_dict()
        base.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (one.id, plain["raised_at"], "open", json.dumps(plain)))
    said = ("e1", "2024-05-02T00:00:00Z", "bob", "repaired", "dug up", "p7", "2024-05-01T12:00:00Z")
    base.execute("INSERT INTO changes VALUES (5, ?, ?, ?, ?, ?, ?, ?)", said)
    state = encode(progress().state)
    base.execute(
        "INSERT INTO progress VALUES (1, 'sum', ?, ?, ?)", ("2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z", state)
    )
    base.commit()
    base.close()


def test_layouts_end_where_the_code_is(place: Path | str) -> None:
    with Store(place):
        pass
    script = Config()
    script.set_main_option("script_location", str(Path(layout.__file__).with_name("migrations")))
    revisions = [r.revision for r in ScriptDirectory.from_config(script).walk_revisions()]
    assert tuple(reversed(revisions)) == layout.KNOWN
    base = Database(place)
    with base.work() as connection:
        assert compare_metadata(MigrationContext.configure(connection), layout.META) == []
    base.close()


def test_version_1_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "leakdetect.db"
    version_1(path)
    with Store(path) as store:
        assert store.events() == [event(), event("late", 2)]
        kept = store.progress()
        assert kept is not None
        assert encode(kept.state) == encode(progress().state)
        assert (kept.model, kept.begun, kept.until, kept.repairs, kept.run) == ("sum", T0, T0 + DAY, None, None)
        [said] = store.changes("e1")
        assert said == {"event": "e1", "at": "2024-05-02T00:00:00Z", "by": "bob", "status": "repaired",
                        "why": "dug up", "link": "p7", "repaired": "2024-05-01T12:00:00Z"}  # fmt: skip
        assert [r.link for r in store.repairs()] == ["p7"]
        assert keep(store, progress(until=T0 + 2 * DAY), [event(), event("late", 2), event("new", 3)]) == ("new",)
        assert store.checkpoint(T0 + 2 * DAY)[0] == T0 + DAY  # type: ignore[index]
    base = sqlite3.connect(path)
    assert base.execute("SELECT version FROM layout").fetchone() == (3,)  # for which version 1 has a word
    base.close()


def test_a_layout_that_is_carried_over_half_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "leakdetect.db"
    version_1(path)
    dump = list(sqlite3.connect(path).iterdump())

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.operations.Operations.create_index", fail)
    with pytest.raises(KeyboardInterrupt), Store(path):
        pass
    base = sqlite3.connect(path)
    assert list(base.iterdump()) == dump
    base.close()


def test_what_is_kept_comes_back(place: Path | str) -> None:
    late = event("late", 2, candidates=(), status=Status.CLOSED, end=T0 + 9 * DAY)
    with Store(place, "a") as store:
        assert keep(store, progress(), [event(), late], fresh=True) == ("e1", "late")
        store.set_status("e1", Status.CONFIRMED, by="änn", at=T0, why="ouï", link="p7", time=T0 + DAY)
        days = {"2024-05-01": {"s": "aa"}, "2024-05-02": {"s": "bb"}}
        far = {"s": {"quantity": "flow", "element": "p1", "first": "2024-05-01T00:00:00Z", "last": None}}
        grown = replace(event(), latest={"flow_m3h": 5.0, "flow_low": 4.0, "flow_high": 6.0})
        more = {"days": days, "days_from": "2024-05-02", "sensors": far, "record": {"steps": 3}}
        left = progress(until=T0 + 2 * DAY, repairs=())
        assert keep(store, left, [grown, late], checkpoints=[(T0 + DAY / 2, {"b": 1})], **more) == ()
        store.record(np.datetime64("2024-05-09"), {"outcome": "nothing new"})
    with Store(place, "a") as store:
        one, two = store.events()
        assert (one.status, one.latest["flow_m3h"], two) == (Status.CONFIRMED, 5.0, late)
        assert store.days() == days
        assert store.sensors() == far
        kept = store.progress()
        assert kept is not None
        assert kept.repairs == ()
        assert store.checkpoint(T0 + DAY)[1] == {"b": 1}  # type: ignore[index]
        assert store.checkpoint(T0 + 2 * DAY)[0] == T0 + DAY  # type: ignore[index]
        assert [(r["number"], r.get("steps"), r.get("new")) for r in store.runs()] == [
            (1, None, 2),
            (2, 3, 0),
            (3, None, None),
        ]
        raised, said, changed = store.history("e1")
        assert (raised["by"], raised["why"], raised["run"]) == ("leakdetect", "raised", 1)
        assert (said["by"], said["why"], said["run"], said["link"]) == ("änn", "ouï", None, "p7")
        assert said["detail"] == {"status": ["open", "confirmed"], "flow_m3h": 3.0, "found": "2024-05-02T00:00:00Z"}
        assert (changed["run"], changed["detail"]) == (2, {"flow_m3h": [3.0, 5.0]})
        [known] = store.known()
        assert (known.link, known.start, known.flow_m3h) == ("p7", T0, 3.0)


def test_sites_share_a_database_and_nothing_else(place: Path | str) -> None:
    with Store(place, "a") as a, Store(place, "b") as b:
        keep(a, progress(), [event()], fresh=True)
        assert (b.events(), b.progress(), b.runs()) == ([], None, [])
        keep(b, progress(), [event(), event("other", 3)], fresh=True)
        a.set_status("e1", Status.DISMISSED, by="me", at=T0)
        assert [e.status for e in b.events()] == [Status.OPEN, Status.OPEN]
        assert [e.status for e in a.events()] == [Status.DISMISSED]
        with pytest.raises(InputError, match="no event 'other'"):
            a.event("other")
        keep(b, progress(), [], fresh=True)
        assert (len(a.events()), b.events()) == (1, [])


def test_who_may_not_write_may_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder?#%20"
    folder.mkdir()
    with Store(folder / "leakdetect.db") as store:
        keep(store, progress(), [event()], fresh=True)
    monkeypatch.setattr(database.os, "access", lambda *_: False)
    with Store(folder / "leakdetect.db") as store:
        assert store.events() == [event()]
        with pytest.raises(InputError, match="make the file and its folder writable"):
            store.claim()
    assert [p.name for p in folder.iterdir()] == ["leakdetect.db"]


def test_a_site_that_moves_takes_along_what_its_file_holds(place: Path | str, tmp_path: Path) -> None:
    path = tmp_path / "outgrown.db"
    with Store(path) as old:
        keep(old, progress(), [event()], fresh=True, record={"steps": 7}, days={"2024-05-01": {"s": "a"}})
        old.set_status("e1", Status.CONFIRMED, by="me", at=T0, link="p7")
        keep(old, progress(until=T0 + 2 * DAY), [event(latest={"flow_m3h": 4.0, "flow_low": 3.0, "flow_high": 5.0})])
    with Store(place, "other") as other:
        keep(other, progress(), [event()], fresh=True)
    with Store(path) as old, Store(place, "a", path) as new:
        for ask in ("events", "repairs", "known", "days", "sensors"):
            assert getattr(new, ask)() == getattr(old, ask)(), ask
        before, after = old.progress(), new.progress()
        assert before is not None
        assert after is not None
        assert (after.until, encode(after.state)) == (before.until, encode(before.state))
        assert after.run == new.runs()[-1]["number"]
        assert [r.get("steps") for r in new.runs()] == [7, None]
        runs = {r["number"]: k for k, r in enumerate(new.runs())} | {None: None}
        assert [runs[h["run"]] for h in new.history("e1")] == [0, None, 1]
        assert new.checkpoint(T0 + 2 * DAY)[0] == T0 + DAY  # type: ignore[index]
        keep(new, progress(until=T0 + 3 * DAY), [event()])
    with Store(place, "a", path) as new:  # once
        assert new.progress().until == T0 + 3 * DAY  # type: ignore[union-attr]


def test_a_run_on_postgresql_keeps_others_of_its_site_away(postgres: str) -> None:
    with Store(postgres, "a") as one, Store(postgres, "a") as two, Store(postgres, "b") as three:
        with one.alone():
            with pytest.raises(InputError, match="another run of this site is under way"), two.alone():
                pass
            with three.alone():
                pass
        with two.alone():
            pass


def test_one_writes_at_a_time_on_postgresql(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT", 0.05)
    one, two = Database(postgres, "a"), Database(postgres, "a")
    one.open()
    says = "lock timeout: another run is writing: try again"
    with one.work(write=True), pytest.raises(InputError, match=says), two.work(write=True):
        pass
    two.close()
    one.close()


def _open(url: str) -> None:
    with Store(url, "x") as store:
        store.claim()


def test_processes_that_begin_at_once_make_one_layout(postgres: str) -> None:
    plain = sa.create_engine(postgres.replace("postgresql:", "postgresql+pg8000:"), isolation_level="AUTOCOMMIT")
    with plain.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE many"))
    plain.dispose()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_open, [postgres.replace(f"/{DATABASE}", "/many")] * 2)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", r"store\.url: 'nonsense' is no URL: write postgresql://"),
        ("mysql://a@b/c", "url is of 'mysql'"),
        ("postgresql://u:secret@127.0.0.1:1/x", r"u:\*\*\*@127.0.0.1:1/x: .*look at the server, and at url"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says), Store(url):
        pass


def test_the_driver_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'leakdetect\[postgresql\]'"):
        Store("postgresql://a@b/c")


def test_where_a_sites_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEAKDETECT_STORE", raising=False)
    toml = 'name = "town"\n[[readings]]\nglob = "x"\nquantity = "flow"\nunit = "m3/h"\n'
    (tmp_path / "site.toml").write_text(toml)
    assert open_store(load_site(tmp_path), make=False) is None
    assert open_store(load_site(tmp_path)).name == str(tmp_path / "leakdetect.db")  # type: ignore[union-attr]
    (tmp_path / "site.toml").write_text(toml + '[store]\nurl = "postgresql://me:${SECRET}@host/all"\n')
    with pytest.raises(SiteError, match=r"store\.url: the environment variable SECRET is not set: set it"):
        open_store(load_site(tmp_path))
    monkeypatch.setenv("SECRET", "a/b@c")
    store: Any = open_store(load_site(tmp_path), make=False)
    assert (store.site, store.name) == ("town", "postgresql+pg8000://me:***@host/all")
    assert store._base._engine.url.password == "a/b@c"
    monkeypatch.setenv("LEAKDETECT_STORE", f"sqlite:///{tmp_path}/all.db")
    store = open_store(load_site(tmp_path))
    assert (store.site, store.name) == ("town", f"sqlite:///{tmp_path}/all.db")
    monkeypatch.delenv("LEAKDETECT_STORE")
    monkeypatch.setenv("DIR", f"{tmp_path}/a b%20@")
    (tmp_path / "site.toml").write_text(toml + '[store]\nurl = "sqlite:///${DIR}/x.db"\n')
    assert open_store(load_site(tmp_path))._base.file == tmp_path / "a b%20@" / "x.db"  # type: ignore[union-attr]
    monkeypatch.setenv("WHOLE", f"sqlite:///{tmp_path}/whole.db")
    (tmp_path / "site.toml").write_text(toml + '[store]\nurl = "${WHOLE}"\n')
    assert open_store(load_site(tmp_path)).name == f"sqlite:///{tmp_path}/whole.db"


def test_a_connection_that_breaks_is_a_server_that_is_away(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    with Store(postgres, "broken") as store:
        with monkeypatch.context() as lost:
            lost.setattr("pg8000.legacy.Cursor.execute", broken)
            with pytest.raises(UnavailableError, match="reset by peer: look at the server"):
                store.progress()
        assert store.progress() is None  # by another connection


# pg8000 leaves the socket open where the server has closed it.
@pytest.mark.filterwarnings("ignore:.*socket.socket:pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_goes_and_comes(postgres: str) -> None:
    """What is lost with its connections is said to be away, and the place that others are kept from is taken again."""
    name = "postgresql+pg8000"
    with sa.create_engine(sa.make_url(postgres).set(drivername=name), isolation_level="AUTOCOMMIT").connect() as other:

        def end() -> None:
            other.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            )

        with Store(postgres, "town") as one, Store(postgres, "town") as two:
            with one.alone():
                end()
                with pytest.raises(UnavailableError, match="look at the server"):
                    two.progress()
                one.claim(wait=0.0)
                with pytest.raises(UnavailableError, match="another run of this site"), two.alone():
                    pass
            with two.alone(), pytest.raises(UnavailableError, match="another run of this site"), one.alone():
                pass
        other.engine.dispose()
    with pytest.raises(UnavailableError, match="Can't create a connection"), Store("postgresql://u@127.0.0.1:9/x"):
        pass
    gc.collect()
