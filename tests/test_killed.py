"""A daily run that is killed, or whose disk is full, at any time: nothing is lost and nothing doubled."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from district_site import day
from killed_calls import FIRST
from postgres import owned

from leakdetect import pipeline
from leakdetect.errors import UnavailableError
from leakdetect.netcdf import load_series
from leakdetect.site import load_site
from leakdetect.store import encode, open_store

LAST = 101  # a burst runs from day 85 to 100
FILES = {"site.toml", "model.nc", "readings", "series"}
_MAIN = "from leakdetect.cli import main; main()"


def left(folder: Path) -> dict[str, Any]:
    """Return all that runs have left, but for when and how often they ran."""
    site = load_site(folder)
    store = open_store(site, make=False)
    assert store is not None
    with store:
        progress, events = store.progress(), store.events()
        assert progress is not None
        past, before = [], progress.until
        while (found := store.checkpoint(before)) is not None:
            before = found[0]
            past.append((before, encode(found[1])))
        history = [[{**h, "run": h["run"] is None} for h in store.history(e.id)] for e in events]
        state = (progress.model, progress.begun, progress.until, encode(progress.state))
        return {"events": events, "history": history, "state": state, "past": past, "days": store.days(),
                "sensors": store.sensors(), "series": repr(load_series(site).to_dict())}  # fmt: skip


@pytest.fixture(scope="module")
def wanted(fitted_district: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What runs leave that nothing happens to."""
    folder = shutil.copytree(fitted_district, tmp_path_factory.mktemp("undisturbed") / "district")
    for number in range(FIRST, LAST + 1):
        pipeline.detect(folder, None, day(number))
    return left(folder)


@contextmanager
def forking(folder: Path, other: Path) -> Iterator[Any]:
    """Give a function that runs to a day and is killed after a share of a run's time; it returns the status."""
    call = [sys.executable, Path(__file__).with_name("killed_calls.py"), folder, other]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(last: int, share: float | str = "") -> int:
            process.stdin.write(f"{last} {share}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return int(process.stdout.readline())  # type: ignore[union-attr]

        yield run


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 50), ("postgresql", 4)])
def test_killed_at_any_moment(
    fitted_district: Path,
    wanted: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    kills: int,
) -> None:
    monkeypatch.delenv("LEAKDETECT_STORE", raising=False)
    site = shutil.copytree(fitted_district, tmp_path / "district")
    with owned() if kind == "postgresql" else _nothing() as url:
        if url:
            text = (site / "site.toml").read_text()
            (site / "site.toml").write_text(f'{text}[store]\nurl = "{url}"\n')
        random = np.random.default_rng(0)
        with forking(site, shutil.copytree(fitted_district, tmp_path / "other")) as run:
            for last in np.linspace(FIRST, LAST, kills, dtype=int):
                assert run(last, random.uniform(0.02, 1.6)) == signal.SIGKILL
            assert run(LAST) == 0
        found = left(site)
        for key, value in wanted.items():
            assert found[key] == value, key
        assert {p.name for p in site.iterdir()} == FILES | (set() if url else {"leakdetect.db"})


@contextmanager
def _nothing() -> Iterator[str]:
    yield ""


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """Give a folder on a disk of its own; skip where none may be mounted."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        with warnings.catch_warnings():  # it is to be seen, and to fail nothing
            warnings.simplefilter("always")
            warnings.warn("NOT TESTED ON A FULL DISK: nothing may be mounted here", stacklevel=2)
        pytest.skip("NOT TESTED ON A FULL DISK: nothing may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk(fitted_district: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2000) as disk:
        site = shutil.copytree(fitted_district, disk / "district")
        other = shutil.copytree(fitted_district, tmp_path / "other")
        for folder in (site, other):
            pipeline.detect(folder, None, day(80))
        before = left(site)
        room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        for spare in (0, 60_000):
            (disk / "other").write_bytes(b"x" * max(room - spare, 0))
            call = [sys.executable, "-c", _MAIN, "detect", str(site), "--to", "2024-04-05"]
            done = subprocess.run(call, capture_output=True, text=True, check=False)
            (disk / "other").unlink()
            assert done.returncode == 2, (spare, done.stderr)
            assert done.stderr.startswith(f"leakdetect: {site}"), done.stderr
            assert "disk" in done.stderr or "No space left" in done.stderr
            found = left(site)
            assert {**found, "series": ""} == {**before, "series": ""}
        for folder in (site, other):
            pipeline.detect(folder, None, day(95))
        assert left(site) == left(other)


@pytest.mark.parametrize("most", [4_096, 60_000])
def test_files_that_may_not_grow(fitted_district: Path, tmp_path: Path, most: int) -> None:
    """As with a quota: what has no room is said, and the next run goes on as if nothing had been."""
    site = shutil.copytree(fitted_district, tmp_path / "district")
    pipeline.detect(site, None, day(80))
    before = left(site)
    call = [sys.executable, "-c", _MAIN, "detect", str(site), "--to", "2024-04-05"]
    done = subprocess.run(
        call, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    found = left(site)
    assert {**found, "series": ""} == {**before, "series": ""}


def test_a_store_that_is_locked(fitted_district: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakdetect.store.database._WAIT", 0.05)
    site, other = (shutil.copytree(fitted_district, tmp_path / name) for name in ("district", "other"))
    for folder in (site, other):
        pipeline.detect(folder, None, day(80))
    before = left(site)
    with closing(sqlite3.connect(site / "leakdetect.db", isolation_level=None)) as holder:
        holder.execute("begin immediate")
        with pytest.raises(UnavailableError, match="locked: another run is writing: try again when it has finished"):
            pipeline.detect(site, None, day(95))
    assert left(site) == before
    for folder in (site, other):
        pipeline.detect(folder, None, day(95))
    assert left(site) == left(other)
