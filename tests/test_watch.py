"""Readings as they arrive: the same events as all at once, whatever their order, and nothing lost or doubled."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command import Command
from district_site import FIT, day, readings, write
from hypothesis import given, settings
from hypothesis import strategies as st

from leakdetect import pipeline
from leakdetect.errors import InputError, UnavailableError
from leakdetect.files import alone, replace_text
from leakdetect.live import Topic
from leakdetect.netcdf import load_series, series_until
from leakdetect.readings import Sensors, load, load_with_sensors
from leakdetect.readings.spool import Batch, Spool
from leakdetect.schema import TIME
from leakdetect.site import load_site
from leakdetect.store import encode, open_store
from leakdetect.vault import Vault
from leakdetect.watch import Watch
from leakdetect.watch import watch as watching
from leakdetect.watch.messages import Decoder, Raw, RefusedError, from_lines, from_message
from leakdetect.watch.recent import Recent
from leakdetect.watch.sources import Arrival, Dropped, Lines

_MAIN = "from leakdetect.cli import main; main()"
LAST = 90
SHORT = day(FIT + 4)


def raws(first: np.datetime64, last: np.datetime64) -> list[Raw]:
    """Return what the meter says in [first, last)."""
    flow = readings()
    chosen = flow[(flow.index >= str(first)) & (flow.index < str(last))]
    return [Raw(f"{at.isoformat()}Z", "meter", float(value)) for at, value in chosen.items()]


def lines(rows: Sequence[Raw]) -> bytes:
    return b"".join(json.dumps(row._asdict()).encode() + b"\n" for row in rows)


def cut(folder: Path, last: np.datetime64) -> Path:
    """Leave the file of readings up to a day only."""
    flow = readings()
    write(folder, flow[flow.index < str(last)])
    return folder


@pytest.fixture
def site(fitted_district: Path, tmp_path: Path) -> Path:
    return cut(shutil.copytree(fitted_district, tmp_path / "district"), day(FIT))


def kept(folder: Path) -> tuple[Any, ...]:
    """Return what runs have left that must be the same, however many there were."""
    store = open_store(load_site(folder), make=False)
    assert store is not None
    with store:
        progress = store.progress()
        assert progress is not None
        state = encode(progress.state)
        return store.events(), progress.begun, progress.until, state, store.days(), store.sensors()


def at_once(fitted: Path, folder: Path, last: np.datetime64) -> tuple[Any, ...]:
    """Return what one run leaves that finds all readings in a file."""
    cut(shutil.copytree(fitted, folder), last)
    pipeline.detect(folder)
    return kept(folder)


def feed(watched: Watch, rows: Sequence[Raw], sizes: Sequence[int]) -> None:
    """Give readings in pieces of these sizes, again and again; then all is over."""
    place, turn = 0, 0
    while place < len(rows):
        size = sizes[turn % len(sizes)]
        watched.receive(list(rows[place : place + size]))
        watched.advance()
        place, turn = place + size, turn + 1
    watched.advance(final=True)


def test_a_stream_is_a_batch(site: Path, fitted_district: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with watching(site, told.append) as watched:
        feed(watched, raws(day(FIT), day(LAST)), (1, 5, 30))
    wanted = at_once(fitted_district, tmp_path / "other", day(LAST))
    assert wanted[0], "a burst began on day 85"
    assert kept(site) == wanted
    assert told == []
    assert pipeline.detect(site).steps == 0  # what was received is read as files are
    with open_store(load_site(site)) as store:  # type: ignore[union-attr]
        assert len(store.runs()) > 30


@pytest.fixture(scope="module")
def wanted_short(fitted_district: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    return at_once(fitted_district, tmp_path_factory.mktemp("short") / "district", SHORT)


@given(st.data())
@settings(max_examples=3)
def test_disorder_doubles_and_lateness_change_nothing(
    fitted_district: Path, wanted_short: tuple[Any, ...], data: st.DataObject
) -> None:
    """Readings out of order, twice, and, once, so late that the detector must go back."""
    rows = raws(day(FIT), SHORT)
    moves = data.draw(st.lists(st.integers(0, 6), min_size=len(rows), max_size=len(rows)))
    again = data.draw(st.lists(st.sampled_from(rows), max_size=20))
    late = data.draw(st.integers(0, len(rows) - 30))
    order = sorted(range(len(rows)), key=lambda i: i + moves[i] + (25 if i == late else 0))
    given_rows = [rows[i] for i in order]
    for row in again:
        given_rows.insert(data.draw(st.integers(0, len(given_rows))), row)
    with tempfile.TemporaryDirectory() as place:
        folder = cut(shutil.copytree(fitted_district, Path(place) / "district"), day(FIT))
        toml = (folder / "site.toml").read_text()
        (folder / "site.toml").write_text(f"{toml}[stream]\nwait_seconds = 21600\n")
        with watching(folder, lambda _: None) as watched:
            feed(watched, given_rows, data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=5)))
        assert kept(folder) == wanted_short


def test_a_step_waits_for_what_is_due_and_no_longer_than_it_may() -> None:
    """Two sensors of five minutes, steps of an hour."""
    start, minute = np.datetime64("2024-01-01", "ns"), 60 * 10**9
    begin = int(start.astype(np.int64))
    data = xr_two()
    recent = Recent(data)
    live = np.array([True, True])
    hour = np.timedelta64(1, "h")

    def until(wait_minutes: int) -> float:
        return float((recent.complete(start, hour, wait_minutes * minute, live) - start) / hour)

    times = begin + np.arange(12) * 5 * minute
    recent.add(times, np.zeros(12, dtype=np.int64), np.ones(12))
    assert until(30) == 0  # the other has said nothing yet
    assert until(0) == 1
    recent.add(times[:11], np.ones(11, dtype=np.int64), np.ones(11))
    assert until(30) == 0
    recent.add(times[11:], np.ones(1, dtype=np.int64), np.ones(1))
    assert until(30) == 1  # all that is due is there
    recent.add(begin + np.arange(12, 30) * 5 * minute, np.zeros(18, dtype=np.int64), np.ones(18))
    assert until(30) == 2  # half an hour after it
    assert until(31) == 1
    assert recent.add(times[:1], np.zeros(1, dtype=np.int64), np.ones(1)) is None  # known already
    assert recent.add(times[:1], np.zeros(1, dtype=np.int64), np.full(1, 2.0)) == begin
    assert recent.quiet(np.full(2, 60 * minute)).tolist() == [False, True]


def xr_two() -> Any:
    from leakdetect.schema import SENSOR, new_readings

    data = new_readings(
        np.zeros(0, dtype="datetime64[ns]"), ["a", "b"], np.zeros((0, 2)), quantity=["flow", "flow"],
        element=["", ""], dma=["", ""], unit=["m3/h", "m3/h"], step=[300.0, 300.0],
    )  # fmt: skip
    return data.assign_coords(personal=(SENSOR, np.zeros(2, dtype=bool)))


@pytest.mark.slow
def test_killed_at_any_moment_loses_and_doubles_nothing(site: Path, fitted_district: Path, tmp_path: Path) -> None:
    """Also where files may not grow any more, and where another process holds the store."""
    rows = raws(day(FIT), day(LAST))
    source = tmp_path / "drop"
    source.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(rows)), 96)):
        (source / f"{number:03d}.jsonl").write_bytes(lines([rows[i] for i in part]))
    random = np.random.default_rng(0)
    call = [sys.executable, Path(__file__).with_name("killed_watches.py"), site, source]
    call.append(shutil.copytree(site, tmp_path / "warm"))
    statuses = list[int]()
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for number in range(51):
            full = number in {0, 3, 6}
            share = 0 if full or number == 50 else random.uniform(0.05, 2.5)
            most = 40_000 * full
            with locked(site) if number % 10 == 7 else nullcontext():
                process.stdin.write(f"{share} {most}\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
                statuses.append(int(process.stdout.readline()))  # type: ignore[union-attr]
    assert statuses == [2 << 8 if n in {0, 3, 6} else signal.SIGKILL for n in range(50)] + [0]
    assert not any(source.glob("*.jsonl"))
    pipeline.detect(site)  # what it had received and not yet taken, since it was not to wait for the end
    wanted = at_once(fitted_district, tmp_path / "other", day(LAST))
    assert kept(site) == wanted
    assert len(load(load_site(site))[TIME]) == LAST * 24
    xr.testing.assert_identical(load_series(load_site(site)), load_series(load_site(tmp_path / "other")))


@contextmanager
def locked(folder: Path) -> Iterator[sqlite3.Connection]:
    """Hold a site's store as another process would that writes."""
    with closing(sqlite3.connect(folder / "leakdetect.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        yield other


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakdetect.store.database._WAIT", 0.02)
    monkeypatch.setattr("leakdetect.watch.patience.AGAIN", 0.02)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_locked_is_waited_for(site: Path, fitted_district: Path, tmp_path: Path) -> None:
    """What arrives is kept meanwhile, and it is said once; what is to be told is told once."""
    alert = '[[alerts]]\nname = "a"\ncommand = ["false"]\n'
    (site / "site.toml").write_text((site / "site.toml").read_text() + alert)
    told, rows, given_back = list[str](), raws(day(FIT), day(88)), list[int]()

    class Feed:
        """Lets another process take the store while it gives readings, and leave it when that was said."""

        place = 0

        def take(self, _wait: float) -> Arrival | None:
            if self.place == 24 * 14:
                self.holder = locked(site)
                self.holder.__enter__()
            if told and self.place >= len(rows) and not given_back:
                self.holder.__exit__(None, None, None)
                given_back.append(self.place)
            part, self.place = rows[self.place : self.place + 6], self.place + 6
            return Arrival(part) if part or not given_back else None

        def close(self) -> None:
            pass

    with watching(site, told.append) as watched:
        raised = [event for taken in watched.follow(Feed(), lambda: False) for event in taken.raised]
    assert given_back
    assert ["database is locked" in line and "readings are kept meanwhile" in line for line in told] == [True]
    assert len(raised) == 1
    assert kept(site) == at_once(fitted_district, tmp_path / "other", day(88))
    with open_store(load_site(site)) as store:  # type: ignore[union-attr]
        assert [m.body["kind"] for m in store.messages()] == ["raised"]


class Said:
    """Gives what it is told to; calls what it is given in between."""

    def __init__(self, *parts: list[Raw] | Callable[[], object]) -> None:
        self.parts = list(parts)

    def take(self, _wait: float) -> Arrival | None:
        if not self.parts:
            return None
        part = self.parts.pop(0)
        if isinstance(part, list):
            return Arrival(part)
        part()
        return Arrival(())

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("what", ["site.toml", "repairs.csv"])
def test_a_file_that_is_being_edited_does_not_end_the_watch(site: Path, what: str) -> None:
    told = list[str]()
    if what == "repairs.csv":
        toml = (site / "site.toml").read_text()
        (site / "site.toml").write_text(f'repairs = "repairs.csv"\n{toml}')
        (site / what).write_text("link,time\n")
    good = (site / what).read_text()
    rows = raws(day(FIT), day(FIT + 2))
    with watching(site, told.append) as watched:
        watched.advance()

        def mend() -> None:
            assert len(told) == 1
            (site / what).write_text(good)

        source = Said(rows[:24], lambda: (site / what).write_text(f"{good}link,nonsense\n"), rows[24:], mend)
        list(watched.follow(source, lambda: False))
    assert what in told[0]
    assert "readings are kept meanwhile" in told[0]
    assert kept(site)[2] == day(FIT + 2) - np.timedelta64(1, "h")


def test_who_holds_up_the_store_does_not_hold_up_readings(site: Path) -> None:
    """After the first attempt it is only asked whether the store is free."""
    pipeline.detect(site)
    with open_store(load_site(site)) as store, locked(site):  # type: ignore[union-attr]
        seen = list[float]()
        with pytest.MonkeyPatch.context() as patch:
            real = sqlite3.connect

            def connect(*args: Any, **more: Any) -> sqlite3.Connection:
                connection = real(*args, **more)
                connection.set_trace_callback(lambda sql: seen.append(sql) if "busy" in sql else None)
                return connection

            patch.setattr(sqlite3.dbapi2, "connect", connect)
            with pytest.raises(UnavailableError, match="is locked"):
                store.claim(wait=0.0)
        assert seen == ["PRAGMA busy_timeout = 0"]


@pytest.mark.usefixtures("impatient")
def test_a_sensor_that_fell_silent_while_nobody_watched_is_told(site: Path) -> None:
    toml = (site / "site.toml").read_text()
    block = '[[readings]]\nglob = "other.csv"\nquantity = "flow"\nunit = "m3/h"\n'
    (site / "site.toml").write_text(f'{toml}{block}[[alerts]]\nname = "a"\ncommand = ["false"]\n')
    hours = pd.date_range(pd.Timestamp(day(FIT - 2)), periods=24, freq="1h")
    pd.DataFrame({"time": hours, "other": 1.0}).to_csv(site / "other.csv", index=False)
    pipeline.detect(site)
    told = list[str]()
    for _ in range(2):
        with watching(site, told.append) as watched:
            watched.advance()
    assert [line.split()[0] for line in told] == ["other", "other"]
    with open_store(load_site(site)) as store:  # type: ignore[union-attr]
        assert [m.body["sensor"] for m in store.messages()] == ["other"]  # of one silence once


@pytest.mark.usefixtures("impatient")
def test_a_watch_begins_when_another_run_has_ended(site: Path) -> None:
    told, other = list[str](), ExitStack()
    other.enter_context(alone(site))

    def tell(line: str) -> None:
        told.append(line)
        other.close()

    with watching(site, tell):
        assert len(told) == 1
    assert "another run is under way" in told[0]


@pytest.mark.usefixtures("impatient")
def test_a_watch_begins_when_the_store_is_free(site: Path) -> None:
    pipeline.detect(site)
    told: list[str] = []
    with locked(site) as other:

        def tell(line: str) -> None:
            told.append(line)
            other.execute("rollback")

        with watching(site, tell):
            assert len(told) == 1
        other.execute("begin immediate")
        with pytest.raises(UnavailableError, match="database is locked"), watching(site, print, lambda: True):
            pass


def test_series_of_a_run_that_went_back_outlive_the_watch(site: Path, fitted_district: Path, tmp_path: Path) -> None:
    """A process that is killed does not write what it has put off; the next run finds that, and makes it again."""
    rows = raws(day(FIT), SHORT)
    late = rows[30:34]
    with watching(site, lambda _: None) as watched:
        watched.advance()
        watched.receive([row for row in rows if row not in late])
        watched.advance()
        watched.receive(late)
        watched.advance(final=True)
        copy = shutil.copytree(site, tmp_path / "copy")
        watched.receive(raws(SHORT, SHORT + np.timedelta64(1, "D")))
        watched.advance()
        killed = shutil.copytree(site, tmp_path / "killed")
    at_once(fitted_district, tmp_path / "other", SHORT)
    wanted = load_series(load_site(tmp_path / "other"))
    xr.testing.assert_identical(load_series(load_site(copy)), wanted)
    assert series_until(load_site(killed)) < kept(killed)[2]  # put off, and lost
    pipeline.detect(killed)
    pipeline.detect(site)
    xr.testing.assert_identical(load_series(load_site(killed)), load_series(load_site(site)))


def test_the_command_takes_lines(site: Path) -> None:
    given_lines = lines(raws(day(FIT), day(88))) + b'nonsense\n{"time": "x", "sensor": "meter", "value": 1}\n'
    given_lines += b'{"time": "2024-03-29T00:00:00Z", "sensor": "secret-id", "value": 1}\n'
    call = [sys.executable, "-c", _MAIN, "watch", str(site), "--stdin", "--json"]
    done = subprocess.run(call, input=given_lines, capture_output=True, check=False)
    assert done.returncode == 10, done.stderr
    [event] = map(json.loads, done.stdout.splitlines())
    assert event["raised_at"].startswith("2024-03-26")
    said = done.stderr.decode()
    assert "a line that is not" in said
    assert "a time that is not ISO 8601" in said
    assert "a sensor that site.toml does not know" in said
    assert "secret-id" not in said


def test_a_folder(site: Path, tmp_path: Path) -> None:
    drop, told = tmp_path / "drop", list[str]()
    drop.mkdir()
    table = pd.DataFrame(raws(day(FIT), day(FIT + 1)))
    table.to_csv(drop / "a.csv", index=False)
    table.to_parquet(drop / "b.parquet")
    (drop / "c.csv").write_text("when,value\n1,2\n")
    (drop / "d.csv.part").write_text("time,sensor")
    source = Dropped(drop, told.append, told.append)
    for name in ("a.csv", "b.parquet"):
        while not (arrival := source.take(0.2)) or not arrival.raw:
            pass
        assert [r.value for r in arrival.raw] == table["value"].tolist()
        assert (drop / name).exists()
        arrival.kept()
        assert (drop / "taken" / name).exists()
    while not told:
        source.take(0.2)
    assert "no column 'time'" in (drop / "refused" / "c.csv.why").read_text()
    assert (drop / "d.csv.part").exists()
    table.head(3).to_csv(drop / "a.csv", index=False)  # another of the same name
    while not (arrival := source.take(0.2)) or not arrival.raw:
        pass
    arrival.kept()
    assert [len(pd.read_csv(drop / "taken" / name)) for name in ("a.csv", "a-2.csv")] == [len(table), 3]


def test_a_line_without_end_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakdetect.watch.sources._LONGEST", 100)
    there, end = os.pipe()
    told, row = list[str](), Raw(1, "meter", 2.0)
    os.write(end, 101 * b"x")
    source = Lines(there, told.append)
    assert source.take(0.0) == Arrival([])
    os.write(end, b"x\n" + lines([row]))
    os.close(end)
    arrival = source.take(0.0)
    assert arrival is not None
    assert list(arrival.raw) == [row]
    assert told == ["a line without end", 'a line that is not {"time": ..., "sensor": ..., "value": ...}']
    os.close(there)


def test_files_that_may_not_be_read_or_go_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakdetect.watch.sources._SETTLED", 0.0)
    told, real = list[str](), Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == "a.jsonl":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        path.unlink()
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    (tmp_path / "a.jsonl").touch()
    source = Dropped(tmp_path, told.append, told.append)
    assert source.take(0.0) == Arrival(())
    assert "Permission denied" in (tmp_path / "refused" / "a.jsonl.why").read_text()
    (tmp_path / "b.jsonl").touch()
    assert source.take(0.0) == Arrival(())
    assert len(told) == 1
    assert sorted(p.name for p in tmp_path.rglob("b*")) == []


def test_what_is_put_in_place_is_on_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else power that fails leaves the name of a model, and no model."""
    seen, real = list[str](), os.fsync

    def sync(place: int) -> None:
        seen.append(os.pread(place, 99, 0).decode())
        assert not (tmp_path / "a").exists()
        real(place)

    monkeypatch.setattr(os, "fsync", sync)
    replace_text(tmp_path / "a", "whole")
    assert seen == ["whole"]


# -- the journal -------------------------------------------------------------------------------------------------


def batch(count: int, start: int = 0, name: str = "m1") -> Batch:
    time_ = (start + np.arange(count)) * 10**9
    return Batch(
        (("flow", "f"), ("demand", name)), time_, (np.arange(count) % 2).astype(np.int32), np.arange(count) / 7
    )


def spooled(spool: Spool) -> list[tuple[str, int, float]]:
    return sorted(rows_of(spool.read()))


def rows_of(batches: Iterable[Batch]) -> Iterator[tuple[str, int, float]]:
    for b in batches:
        for t, s, v in zip(b.time, b.sensor, b.value, strict=True):
            yield b.sensors[s][0], int(t), float(v)


def test_the_journal_gives_back_what_it_took_and_shows_no_meter(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "stream", Vault(tmp_path / "key"))
    first, second = batch(10), batch(6, 10)
    for one in (first, second):
        spool.append(one, np.array([False, True]))
    spool.close()
    wanted = sorted(rows_of([first, second]))
    assert spooled(spool) == wanted
    [plain] = (tmp_path / "stream").glob("readings-*")
    [meters] = (tmp_path / "stream").glob("meters-*")
    assert b"m1" not in meters.read_bytes() + plain.read_bytes()
    assert first.value[1:2].tobytes() not in meters.read_bytes() + plain.read_bytes()
    assert first.value[2:3].tobytes() in plain.read_bytes()


@given(st.integers(1, 400))
@settings(max_examples=20)
def test_a_record_that_is_not_whole_is_not_read(lost: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        spool = Spool(Path(place) / "stream", Vault(Path(place) / "key"))
        spool.append(batch(10), np.array([False, False]))
        whole = spooled(spool)
        spool.append(batch(50, 100), np.array([False, False]))
        spool.close()
        [path] = (Path(place) / "stream").iterdir()
        path.write_bytes(path.read_bytes()[:-lost])
        assert spooled(spool) == whole
        later = Spool(Path(place) / "stream", Vault(Path(place) / "key"))
        later.append(batch(3, 200), np.array([False, False]))
        later.close()
        assert len(spooled(later)) == len(whole) + 3


def test_zeros_that_a_power_failure_left_are_not_read(tmp_path: Path) -> None:
    """Room had been given to the file, and nothing was written there yet."""
    spool = Spool(tmp_path / "stream", Vault(tmp_path / "key"))
    spool.append(batch(10), np.array([False, False]))
    whole = spooled(spool)
    spool.close()
    [path] = (tmp_path / "stream").iterdir()
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert spooled(spool) == whole


def test_a_full_disk_leaves_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, sync = Spool(tmp_path / "stream", Vault(tmp_path / "key")), os.fdatasync

    def full(place: int) -> None:
        os.ftruncate(place, os.fstat(place).st_size - 7)
        raise OSError(errno.ENOSPC, "No space left on device")

    spool.append(batch(10), np.array([False, False]))
    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(InputError, match=r"readings-000001\.log: cannot be written: No space left .*: make room"):
        spool.append(batch(10, 50), np.array([False, False]))
    monkeypatch.setattr(os, "fdatasync", sync)
    spool.append(batch(10, 100), np.array([False, False]))
    spool.close()
    assert sorted(time_ for _, time_, _ in spooled(spool)) == [*batch(10).time, *batch(10, 100).time]


def test_a_damaged_journal_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "stream", Vault(tmp_path / "key"))
    for start in (0, 100):
        spool.append(batch(10, start), np.array([False, False]))
    spool.close()
    [path] = (tmp_path / "stream").iterdir()
    bytes_ = bytearray(path.read_bytes())
    bytes_[40] ^= 1
    path.write_bytes(bytes_)
    with pytest.raises(ValueError, match=r"readings-000001_1970-01-01_1970-01-01\.log: damaged at byte"):
        list(spool.read())


# -- messages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "topic", "payload", "found"),
    [
        ({}, "x/y", {"time": "t", "sensor": "s", "value": 1.5}, [("t", "s", 1.5)]),
        ({}, "x/y", [{"time": 1, "sensor": "s", "value": 2}] * 2, [(1, "s", 2)] * 2),
        ({"sensor": "{2}", "time": "ts", "value": "v"}, "x/n1", {"ts": 5, "v": 3.0}, [(5, "n1", 3.0)]),
        (
            {"format": "sparkplug", "sensor": "{4}/{name}"}, "spBv1.0/g/DDATA/edge",
            {"timestamp": 7, "metrics": [{"name": "p", "value": 1}, {"name": "q", "value": 2, "timestamp": 8}]},
            [(7, "edge/p", 1), (8, "edge/q", 2)],
        ),
        ({}, "x", {"sensor": "s"}, None),
        ({"sensor": "{3}"}, "x/y", {"time": 1, "value": 2}, None),
        ({"format": "sparkplug"}, "x", [1], None),
    ],
)  # fmt: skip
def test_messages(rule: dict[str, str], topic: str, payload: Any, found: Any) -> None:
    told = Topic.model_validate({"topic": "x/#", **rule})
    if found is None:
        with pytest.raises(RefusedError, match=r"not as site\.toml says"):
            list(from_message(topic, json.dumps(payload).encode(), told))
    else:
        assert list(from_message(topic, json.dumps(payload).encode(), told)) == found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"time": 1711929600, "sensor": ["meter"], "value": 1}', "a sensor that site.toml does not know"),
        ('{"time": 1711929600, "sensor": "meter", "value": 1' + 400 * "0" + "}", "a number that is too large"),
        ('{"time": "0001-01-01T00:00+14:00", "sensor": "meter", "value": 1}', "a time that is not ISO 8601"),
        ('{"time": "1830-01-01", "sensor": "meter", "value": 1}', "a time before 1970"),
        ('{"time": "3000-01-01", "sensor": "meter", "value": 1}', "more than a day ahead"),
        ('{"time": 9999999999999, "sensor": "meter", "value": 1}', "more than a day ahead"),
        (100_000 * "[", "a line that is not"),
    ],
)
def test_nothing_that_is_said_ends_the_watch(line: str, why: str, xr_sensors: Sensors) -> None:
    told: list[str] = []
    decoder, good = Decoder(xr_sensors, told.append), b'{"time": 1711929600, "sensor": "meter", "value": 1}'
    found = decoder.batch(from_lines([line.encode(), good], decoder.refuse))
    assert found.time.tolist() == [1_711_929_600 * 10**9]
    [said] = told
    assert why in said


def test_a_message_of_brackets_is_refused() -> None:
    with pytest.raises(RefusedError):
        list(from_message("x", 100_000 * b"[", Topic(topic="x")))


@pytest.fixture
def xr_sensors(fitted_district: Path) -> Sensors:
    return load_with_sensors(load_site(fitted_district))[1]


def test_times_and_names(site: Path) -> None:
    told: list[str] = []
    with watching(site, told.append) as watched:
        moment = 1_711_929_600  # 2024-04-01
        raw = [Raw(moment, "meter", 3.6), Raw(moment * 1000 + 250, "meter flow", 7.2)]
        raw += [Raw("2024-04-01T02:00+02:00", "meter", 1)]
        found = watched.decoder.batch([*raw, Raw(True, "meter", 1.0), Raw(moment, "meter", "1"), Raw(moment, "x", 1.0)])
    assert found.time.tolist() == [moment * 10**9, moment * 10**9 + 250_000_000, moment * 10**9]
    np.testing.assert_allclose(found.value, np.array([3.6, 7.2, 1.0]) / 3600)
    assert len(told) == 3
    assert from_lines([b"{}", b" ", lines(raw[:1])], told.append) == raw[:1]


def test_what_is_refused(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(monkeypatch, capsys)
    assert "Give one of" in command.refused("watch", site)
    assert "Give one of" in command.refused("watch", site, "--stdin", "--folder", site)
    assert "the site's own folder" in command.refused("watch", site, "--folder", site)
    assert "no such folder" in command.refused("watch", site, "--folder", site / "none")
    assert "where is the broker?" in command.refused("watch", site, "--mqtt", "http://x")
    assert "Port out of range" in command.refused("watch", site, "--mqtt", "mqtt://127.0.0.1:99999")
    (site / "site.toml").write_text((site / "site.toml").read_text() + '[stream.mqtt]\npassword = "pass"\n')
    assert "a secret stands here" in command.refused("watch", site, "--stdin")


def tables(world: Path, last: str) -> dict[str, pd.DataFrame]:
    """Return what the first days of a world say, as it is written, by quantity."""
    found = {}
    for quantity in ("pressure", "flow", "level", "demand"):
        table = pd.read_csv(world / f"2018_SCADA_{quantity.title()}s.csv.gz", sep=";", dtype=str, nrows=13_000)
        found[quantity] = table[table["Timestamp"] < last]
    return found


def drop(folder: Path, found: dict[str, pd.DataFrame], last: str) -> None:
    (folder / "readings").mkdir(parents=True, exist_ok=True)
    for quantity, table in found.items():
        table[table["Timestamp"] < last].to_csv(folder / "readings" / f"{quantity}s.csv", sep=";", index=False)


@pytest.mark.shared
@pytest.mark.slow
def test_a_month_of_l_town(shared: Path, tmp_path: Path) -> None:
    """Fitted on two weeks; then 379,000 readings in pieces of more than a day, against one run over files."""
    first, last = "2018-01-15", "2018-02-14"
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    found = tables(shared / "ltown-b", last)
    drop(whole, found, last)
    shutil.copy(shared / "battledim" / "L-TOWN.inp", whole / "network.inp")
    units = {"pressure": "m", "flow": "m3/h", "level": "m", "demand": "L/h"}
    block = '[[readings]]\nglob = "readings/{0}s.csv"\nquantity = "{0}"\nunit = "{1}"\ndelimiter = ";"\ndecimal = ","\n'
    text = 'name = "l-town"\nnetwork = "network.inp"\n'
    text += "".join(f'{block.format(*pair)}time = "Timestamp"\n' for pair in units.items())
    (whole / "site.toml").write_text(text)
    pipeline.fit(whole, None, np.datetime64(f"{first}T00:00:00", "ns") - np.timedelta64(1, "s"))
    shutil.copytree(whole, parted)
    drop(parted, found, first)
    pipeline.detect(whole)
    with watching(parted, lambda _: None) as watched:
        watched.advance()
        raw = [
            Raw(row["Timestamp"].replace(" ", "T"), f"{name} {quantity}", float(row[name].replace(",", ".")))
            for quantity, table in found.items()
            for row in table[table["Timestamp"] >= first].to_dict("records")
            for name in table.columns[1:]
            if isinstance(row[name], str)
        ]
        raw.sort(key=lambda one: one.time)
        for place in range(0, len(raw), 20_000):
            watched.receive(raw[place : place + 20_000])
            watched.advance()
        watched.advance(final=True)
    assert len(raw) > 300_000
    events, *rest = kept(whole)
    assert events
    assert kept(parted)[0] == events
    assert kept(parted)[1:3] == tuple(rest[:2])
    assert kept(parted)[4] == rest[3]  # digests of what was taken


def test_meters_that_arrive_are_sealed_and_have_an_end(site: Path) -> None:
    """And a sensor that falls silent is told once; a household's is not."""
    from leakdetect import privacy
    from leakdetect.store import Store

    toml = (site / "site.toml").read_text()
    block = '[[readings]]\nglob = "meters.csv"\nquantity = "demand"\nunit = "L/h"\n'
    (site / "site.toml").write_text(f'{toml}{block}[[alerts]]\nname = "a"\ncommand = ["false"]\n')
    hours = pd.date_range(pd.Timestamp(day(FIT)) - pd.Timedelta(days=1), periods=24, freq="1h")
    pd.DataFrame({"time": hours, "id-4711": 100.0}).to_csv(site / "meters.csv", index=False)
    told: list[str] = []
    rows = raws(day(FIT), day(FIT + 1))
    with watching(site, told.append) as watched:
        watched.advance()
        watched.receive([Raw(row.time, "id-4711", 77.25) for row in rows])
        watched.receive(rows[:12])
        watched.advance()
        watched.advance()
        assert [line.split(" has been")[0] for line in told] == ["meter"]
        watched.receive([*rows[12:], *raws(day(FIT + 1), day(FIT + 2))])
        watched.advance()
        assert any("speaks again" in line for line in told)
    assert "id-4711" not in "".join(told)
    assert any(line.startswith("meter-") for line in told)
    with Store(load_site(site).store_path) as store:
        assert [m.body["sensor"] for m in store.messages()] == ["meter"]
    for path in site.rglob("*"):
        if path.is_file() and path.name != "meters.csv":
            assert b"id-4711" not in path.read_bytes(), path
    data = load(load_site(site))
    hidden = data["reading"].values[:, data["personal"].values]
    assert np.isclose(hidden, 77.25 / 3.6e6).sum() == 24
    [holding] = [h for h in privacy.held(load_site(site)).holdings if h.kind == privacy.Kind.STREAM]
    assert (holding.meters, holding.since) == (1, str(day(FIT))[:10])
    assert privacy.enforce(load_site(site), day(FIT + 729)) == []
    assert holding in privacy.enforce(load_site(site), day(FIT + 800))
    assert not (site / holding.where).exists()


def test_runs_keep_to_what_site_toml_says_of_meters(site: Path) -> None:
    """Only where it says so: `detect` each time, `watch` once a day; files of others stay."""
    toml = (site / "site.toml").read_text()
    block = '[[readings]]\nglob = "meters.csv"\nquantity = "demand"\nunit = "L/h"\n'
    (site / "site.toml").write_text(toml + block)
    (site / "meters.csv").write_text(f"time,id-1\n{day(FIT - 1)},100\n{day(FIT - 0.5)},100\n")
    with watching(site, lambda _: None) as watched:
        watched.receive([Raw(row.time, "id-1", 77.25) for row in raws(day(FIT), day(FIT + 1))])
        watched.advance(final=True)
    [path] = (site / "stream").glob("meters-*.log")
    assert path.name == f"meters-000001_{str(day(FIT))[:10]}_{str(day(FIT))[:10]}.log"
    pipeline.detect(site)
    assert path.exists()  # 730 days is what nobody has said
    (site / "site.toml").write_text(f"{toml}{block}[privacy]\nkeep_days = 99999\n")
    pipeline.detect(site)
    assert path.exists()
    copy = shutil.copytree(site, site.with_name("copy"))
    for folder in (site, copy):
        (folder / "site.toml").write_text(f"{toml}{block}[privacy]\nkeep_days = 60\n")
    pipeline.detect(site)
    with watching(copy, lambda _: None) as watched:
        watched.advance()
    for folder in (site, copy):
        assert not list((folder / "stream").glob("meters-*.log"))
        assert (folder / "meters.csv").exists()
        [record] = [run for run in pipeline.runs(folder) if run["outcome"] == "removed"]
        assert record["removed"] == [f"stream/{path.name}"]
        assert "kept for 60 days" in record["note"]
