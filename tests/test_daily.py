"""The daily run: what is new, what comes late, what is told late; and nobody else at the same time."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from district_site import FIT, day, readings, write

from leakdetect import demo, pipeline
from leakdetect.errors import InputError
from leakdetect.events import Status
from leakdetect.files import alone
from leakdetect.site import load_site
from leakdetect.store import Store, encode


@pytest.fixture
def site(fitted_district: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted_district, tmp_path / "district")


def state(folder: Path) -> bytes:
    with Store(load_site(folder).store_path) as store:
        progress = store.progress()
    assert progress is not None
    return encode(progress.state)


def told(folder: Path) -> list[dict[str, Any]]:
    """Return what the detector itself holds of events."""
    with Store(load_site(folder).store_path) as store:
        progress = store.progress()
    assert progress is not None
    return [e for part in progress.state["districts"] for e in part["events"]]


def test_readings_that_come_late_count_as_if_they_had_been_there(
    site: Path, fitted_district: Path, tmp_path: Path
) -> None:
    flow = readings()
    hole = (flow.index >= str(day(84))) & (flow.index < str(day(87)))
    write(site, flow[~hole])
    for number in (84, 86, 88, 90, 93):
        pipeline.detect(site, None, day(number))
    before = pipeline.events(site)
    assert all(e.raised_at >= day(87) for e in before)  # the burst began in the hole
    write(site, flow)
    outcome = pipeline.detect(site, None, day(94))
    assert outcome.restarted == day(84)
    assert outcome.note == "readings of meter came late or were corrected"
    assert outcome.steps == 24
    other = shutil.copytree(fitted_district, tmp_path / "other")
    pipeline.detect(other, None, day(94))
    assert told(site) == told(other)
    assert state(site) == state(other)
    assert not outcome.new  # the same leak, told anew, calls nobody out twice
    after = {e.id: e for e in pipeline.events(site)}
    assert {e.id for e in before} <= set(after)  # raised stays raised
    gone = [after[e.id] for e in before if e.id not in {t["id"] for t in told(site)}]
    assert gone
    for event in gone:
        assert event.status == Status.CLOSED
        last = pipeline.history(site, event.id)[-1]
        assert last["why"].startswith("readings of meter came late or were corrected: now told as inflow-all-")
    assert pipeline.detect(site, None, day(94)).restarted is None
    assert pipeline.detect(site, None, day(95)).restarted is None


def test_a_reading_that_is_corrected_takes_back_what_it_raised(site: Path) -> None:
    wrong, right = readings(((85, 90),)), readings(())
    write(site, wrong)
    pipeline.detect(site, None, day(88))
    [event] = pipeline.events(site)
    write(site, right)
    outcome = pipeline.detect(site, None, day(89))
    assert (outcome.restarted, outcome.new) == (day(85), 0)
    [event] = pipeline.events(site)
    assert event.status == Status.CLOSED
    assert told(site) == []
    assert pipeline.history(site, event.id)[-1]["why"].endswith("came late or were corrected: no longer raised")


def test_what_is_later_than_late_days_is_left(site: Path) -> None:
    toml = (site / "site.toml").read_text()
    (site / "site.toml").write_text(toml.replace("[[readings]]", "late_days = 3\n[[readings]]"))
    pipeline.detect(site, None, day(90))
    flow = readings()
    flow[str(day(86.5))] += 1.0
    write(site, flow)
    assert pipeline.detect(site, None, day(91)).restarted is None
    flow[str(day(88.5))] += 1.0
    write(site, flow)
    assert pipeline.detect(site, None, day(92)).restarted == day(88)


@pytest.mark.parametrize("kept", [40, 10, 5])
def test_files_that_are_put_away_are_no_correction(site: Path, kept: int) -> None:
    flow = readings()
    pipeline.detect(site, None, day(95))
    write(site, flow[str(day(95.5 - kept)) :])
    outcome = pipeline.detect(site, None, day(96))
    assert (outcome.steps, outcome.restarted) == (24, None)


def test_a_late_correction_of_long_ago_goes_back_to_the_beginning(
    site: Path, fitted_district: Path, tmp_path: Path
) -> None:
    toml = (site / "site.toml").read_text()
    for folder in (site, other := shutil.copytree(fitted_district, tmp_path / "other")):
        (folder / "site.toml").write_text(toml.replace("[[readings]]", "late_days = 366\n[[readings]]"))
    pipeline.detect(site, day(FIT), day(90))
    flow = readings()
    flow[str(day(FIT + 0.5))] += 1.0
    for folder in (site, other):
        write(folder, flow)
    assert pipeline.detect(site, None, day(91)).restarted == day(FIT)
    pipeline.detect(other, day(FIT), day(91))
    assert state(site) == state(other)


def test_a_repair_that_is_told_late_counts_from_when_it_was_done(
    site: Path, fitted_district: Path, tmp_path: Path
) -> None:
    for number in range(84, 106, 3):
        pipeline.detect(site, None, day(number))
    first, *_ = pipeline.events(site)
    assert first.status == Status.CLOSED  # the detector saw that it ended
    pipeline.say(site, first.id, Status.REPAIRED, by="me", at=day(106), time=day(100), link="")
    outcome = pipeline.detect(site, None, day(106))
    assert outcome.restarted == day(100)
    assert "told late or taken back" in outcome.note
    other = shutil.copytree(fitted_district, tmp_path / "other")
    toml = (other / "site.toml").read_text()
    (other / "site.toml").write_text(f'repairs = "repairs.csv"\n{toml}')
    (other / "repairs.csv").write_text(f"link,time\nx,{day(100).astype('datetime64[m]')}\n")
    pipeline.detect(other, None, day(106))
    assert told(site) == told(other)
    assert told(site)[0]["status"] == "repaired"
    assert pipeline.detect(site, None, day(107)).restarted is None
    pipeline.say(site, first.id, Status.CONFIRMED, by="me", at=day(107), why="it was another one")
    assert pipeline.detect(site, None, day(108)).restarted == day(100)
    assert told(site)[0]["status"] == "closed"


@pytest.mark.slow
def test_the_model_based_detector_goes_back_too(fitted_demo: Path, tmp_path: Path) -> None:
    """Of the demo's site: a repair that is put into the list a week late, and readings of a logger that come late."""
    start = demo.START
    late, early = (shutil.copytree(fitted_demo, tmp_path / name) for name in ("late", "early"))
    repairs = (late / "repairs.csv").read_text()
    (late / "repairs.csv").write_text(repairs.splitlines()[0] + "\n")
    for number in (45, 48, 51, 52):
        pipeline.detect(late, None, start + number * demo.DAY)
    (late / "repairs.csv").write_text(repairs)
    outcome = pipeline.detect(late, None, start + 53 * demo.DAY)
    assert outcome.restarted is not None
    assert "told late" in outcome.note
    pipeline.detect(early, None, start + 53 * demo.DAY)
    assert state(late) == state(early)
    assert [e.id for e in pipeline.events(early)] == [e.id for e in pipeline.events(late) if e.status != "closed"]


def test_two_runs_at_once_are_refused_and_a_dead_one_holds_nothing(site: Path) -> None:
    code = "import sys, time; from pathlib import Path; from leakdetect.files import alone\n"
    code += "with alone(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, str(site)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    with other.stdout:
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(InputError, match=r"district: another run is under way here: try again"):
            pipeline.detect(site)
        assert not (site / "leakdetect.db").exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert pipeline.detect(site, None, day(FIT)).steps
    with alone(site), pytest.raises(InputError, match="another run"):
        pipeline.detect(site)


def test_where_folders_cannot_be_locked_a_file_is(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk of another machine."""
    real = fcntl.flock

    def flock(place: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(place).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(place, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone(site), pytest.raises(InputError, match="another run"), alone(site):
        pass
    with alone(site):
        assert (site / ".lock").is_file()


def test_every_run_leaves_a_record(site: Path) -> None:
    flow = readings()
    flow[str(day(80)) : str(day(80.5))] = np.nan
    write(site, flow)
    pipeline.detect(site, day(FIT), day(88))
    pipeline.detect(site, None, day(88))
    (site / "readings" / "inflow.csv").write_text("time,meter\n2024-01-01,x\n")
    with pytest.raises(InputError):
        pipeline.detect(site, None, day(99))
    first, second, third = pipeline.runs(site)
    assert (first["outcome"], first["steps"], first["new"]) == ("taken", 18 * 24 + 1, 1)
    assert first["raised"] == [e.id for e in pipeline.events(site)]
    assert first["quality"]["flags"]["missing"] == 13
    assert first["quality"]["usable"] == round(1 - 13 / (18 * 24 + 1), 4)
    assert set(first["seconds"]) >= {"read", "detect"}
    assert first["versions"]["leakdetect"]
    assert (second["outcome"], second["steps"], second["new"]) == ("nothing new", 0, 0)
    assert third["outcome"] == "failed"
    assert "'x' is not a number" in third["error"]
    far = pipeline.sensors(site)["meter"]
    assert (far["first"], far["last"]) == ("2024-02-26T00:00:00Z", "2024-03-29T00:00:00Z")


def test_a_run_that_lost_its_place_writes_nothing(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a connection broke, and another machine took over."""
    pipeline.detect(site, None, day(80))
    copy = shutil.copytree(site, site.with_name("copy"))
    pipeline.detect(copy, None, day(90))
    real = pipeline.take

    def overtaken(*given: Any) -> Any:
        store = given[1]
        known = store.progress()
        monkeypatch.setattr(store, "progress", lambda: known)
        shutil.copy(copy / "leakdetect.db", site / "leakdetect.db")
        return real(*given)

    monkeypatch.setattr(pipeline, "take", overtaken)
    with pytest.raises(InputError, match="another run of this site has written meanwhile"):
        pipeline.detect(site, None, day(85))
    assert pipeline.events(site) == pipeline.events(copy)
