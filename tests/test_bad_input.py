"""What users get wrong, as they would type it: one line that names file, row, column or element, and the mend.

Exit code 2, no traceback, and the folder as it was before.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from command import Command
from small_site import INP, write_network, write_readings

from leakdetect import pipeline
from leakdetect.init import init_site
from leakdetect.store import database


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small site with nothing wrong, fitted and run."""
    folder = tmp_path_factory.mktemp("bad") / "site"
    write_readings(folder / "scada")
    write_network(folder.parent / "net.inp")
    globs = [str(folder / "scada" / "*.csv"), str(folder / "scada" / "*.parquet")]
    init_site(folder, folder.parent / "net.inp", globs, {"flow": "L/s", "demand": "L/h"})
    pipeline.fit(folder)
    pipeline.detect(folder)
    return folder


@pytest.fixture
def site(whole: Path, tmp_path: Path) -> Path:
    """The same before its first run."""
    folder = shutil.copytree(whole, tmp_path / "site")
    (folder / "leakdetect.db").unlink()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def lines(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")


def refused(run: Command, site: Path, *commands: str) -> str:
    """Type commands on a site; each must be refused with the same line, and leave the folder as it was."""
    before = contents(site)
    said = {run.refused(command, site) for command in commands}
    assert contents(site) == before
    [line] = said
    return line


@pytest.mark.parametrize(
    "command",
    [
        ("check", "nowhere"),
        ("fit", "nowhere"),
        ("detect", "nowhere"),
        ("events", "nowhere", "list"),
        ("report", "nowhere"),
        ("score", "nowhere", "--truth", "leaks.csv"),
        ("init", "site", "--network", "nowhere.inp", "--readings", "*.csv"),
        ("init", "site", "--readings", "nowhere*.csv"),
        ("simulate", "--network", "nowhere.inp", "--out", "world"),
    ],
    ids=" ".join,
)
def test_no_such_file(command: tuple[str, ...], run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nowhere" in run.refused(*command)
    assert not list(tmp_path.iterdir())


# -- the network -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (b"hello", "network.inp: not an EPANET input file: no [JUNCTIONS] section"),
        (os.urandom(3000), "network.inp: not an EPANET input file"),
        (b"", "network.inp: not an EPANET input file"),
        (INP.replace("P2   J1   J2", "P2   J1   J9").encode(), "undefined node, 'J9', at line"),
        (INP.replace("400   150", "4x0   150").encode(), "could not convert string to float: '4x0'"),
        (INP.replace(" P3   J2   J3   300   150   120   0   Open\n P4   J3   T1   300   150   120   0   Open", "")
         .encode(), "unconnected node J3"),
        (INP.replace("[PATTERNS]", "[PUMPS]\n U1 J2 J3 POWER 500\n U2 J3 J2 POWER 400\n\n[PATTERNS]").encode(),
         "network.inp: EPANET found no steady state: did not balance: check demands, statuses and settings"),
    ],
    ids=["text", "noise", "empty", "node", "number", "disconnected", "no balance"],
)  # fmt: skip
def test_networks_that_are_none(site: Path, run: Command, network: bytes, says: str) -> None:
    (site / "network.inp").write_bytes(network)
    line = refused(run, site, "fit")
    assert "network.inp" in line
    assert says in line
    assert says in run("check", site)[2]


@pytest.mark.shared
def test_a_published_file_that_epanet_refuses(shared: Path, site: Path, run: Command) -> None:
    model = shared / "networks" / "exnet.inp"
    line = run.refused("init", site / "new", "--network", model, "--readings", site / "scada" / "*.csv")
    assert f"{model}: cannot be read as an EPANET model" in line
    assert "am/pm" in line
    assert not (site / "new").exists()
    assert str(model) in run.refused("simulate", "--network", model, "--out", site / "world")


# -- readings ----------------------------------------------------------------------------------------------------


def test_an_unknown_element(site: Path, run: Command) -> None:
    edit(site / "scada" / "Druck_2021.csv", "J1;", "J9;")
    assert "Druck_2021.csv: column 'J9': the network has no 'J9': map it under columns" in refused(
        run, site, "fit", "detect"
    )


def test_a_sensor_on_a_pipe_that_is_not_there(site: Path, run: Command) -> None:
    edit(site / "site.toml", '"P1"', '"P999"')
    assert "flow.csv: column 'Q_P1 (L/s)': the network has no 'P999'" in refused(run, site, "fit", "detect", "check")


def test_text_in_a_column_of_numbers(site: Path, run: Command) -> None:
    lines(site / "scada" / "flow.csv", lambda rows: [*rows[:99], rows[99] + "x", *rows[100:]])
    line = refused(run, site, "fit", "detect", "check")
    assert "flow.csv: row 100, column 'Q_P1 (L/s)': '" in line
    assert "x' is not a number: correct it" in line


def test_time_goes_backwards(site: Path, run: Command) -> None:
    lines(site / "scada" / "flow.csv", lambda rows: [*rows[:50], *rows[20:]])
    assert "flow.csv: time goes backwards from 2021-01-01T12:00:00 to 2021-01-01T04:45:00" in refused(
        run, site, "fit", "detect", "check"
    )


def test_all_readings_missing(site: Path, run: Command) -> None:
    scada = site / "scada"
    lines(scada / "flow.csv", lambda rows: [rows[0], *(row.split(",")[0] + "," for row in rows[1:])])
    assert "run 'leakdetect check' to see which sensor is missing" in refused(run, site, "fit")
    lines(scada / "Druck_2021.csv", lambda rows: [rows[0], *(row.split(";")[0] + ";;" for row in rows[1:])])
    lines(scada / "meters.csv", lambda rows: [rows[0], *(row.rpartition(",")[0] + "," for row in rows[1:])])
    pd.read_parquet(scada / "tank.parquet").assign(T1=float("nan")).to_parquet(scada / "tank.parquet")
    line = refused(run, site, "fit", "detect", "check")
    assert "site.toml: no reading at all in " in line
    assert "flow.csv" in line


def test_windows_that_hold_nothing(site: Path, run: Command) -> None:
    before = contents(site)
    for window, says in (
        (["--from", "2031-01-01"], "no complete step of readings between --from and --to: widen them"),
        (["--to", "2021-01-05"], "a fit needs 14 days of readings, there are 5.0"),
        (["--from", "2021-01-05", "--to", "2021-01-02"], "--from 2021-01-05 is after --to 2021-01-02"),
        (["--to", "31/01/2021"], "'31/01/2021' is not a time: write 2019-01-31"),
    ):
        assert says in run.refused("fit", site, *window)
    assert contents(site) == before


# -- site.toml ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("L/s", "furlong", "readings.1: unit 'furlong' does not measure flow: use one of m3/s"),
        ("name = ", "name = = ", "not valid TOML: Invalid value (at line 3"),
        ('name = "', 'naem = "', "name: must be given"),
        ('timezone = "UTC"', 'timezone = "Mars"', "timezone: unknown time zone 'Mars': use a name such as"),
        ('quantity = "level"', 'quantity = "depth"', "quantity"),
        ("network.inp", "other.inp", "other.inp: no such file"),
        ("flow.csv", "none.csv", "none.csv: no file matches: correct the glob"),
        ('time = "Zeit"', 'time = "Uhr"', "no time column 'Uhr': set time"),
    ],
)
def test_what_is_wrong_in_site_toml(site: Path, run: Command, old: str, new: str, says: str) -> None:
    edit(site / "site.toml", old, new)
    assert says in refused(run, site, "fit", "detect")


def test_a_site_toml_that_is_no_text(site: Path, run: Command) -> None:
    (site / "site.toml").write_bytes(b"\xff\xfe\x00" * 50)
    assert "site.toml: not valid TOML" in refused(run, site, "check", "fit", "detect", "events", "report")


# -- what runs left ----------------------------------------------------------------------------------------------


def test_before_the_first_run(site: Path, run: Command) -> None:
    for command in ("report", "events"):
        assert f"no run yet: run 'leakdetect detect {site}' first" in refused(run, site, command)
    (site / "model.nc").unlink()
    assert f"model.nc: no fitted model yet: run 'leakdetect fit {site}' first" in refused(run, site, "detect")


def test_a_database_that_is_none(site: Path, run: Command) -> None:
    (site / "leakdetect.db").write_bytes(os.urandom(5000))
    line = refused(run, site, "detect", "events", "report")
    assert "leakdetect.db: file is not a database: move the file away and run detect again" in line


def test_a_database_cut_short(whole: Path, site: Path, run: Command) -> None:
    (site / "leakdetect.db").write_bytes((whole / "leakdetect.db").read_bytes()[:20_000])
    assert "leakdetect.db: " in refused(run, site, "detect")


def test_a_database_that_is_locked(whole: Path, tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT", 0.05)
    site = shutil.copytree(whole, tmp_path / "site")
    other = sqlite3.connect(site / "leakdetect.db", isolation_level=None)
    other.execute("begin exclusive")
    try:
        line = refused(run, site, "detect")
        assert run.ok("events", site) == run.ok("events", whole)  # reading goes on
    finally:
        other.close()
    assert "leakdetect.db: database is locked: another run is writing: try again when it has finished" in line


def test_a_model_of_another_network(site: Path, fitted_demo: Path, run: Command) -> None:
    shutil.copy(fitted_demo / "model.nc", site)
    assert "model.nc: the model was fitted with other links: run 'leakdetect fit' again" in refused(run, site, "detect")


@pytest.mark.parametrize("kind", ["noise", "cut", "another netCDF"])
def test_a_model_that_is_none(site: Path, run: Command, kind: str) -> None:
    path = site / "model.nc"
    if kind == "another netCDF":
        path.unlink()
        xr.Dataset({"a": 1}).to_netcdf(path, engine="h5netcdf")
    else:
        path.write_bytes(os.urandom(5000) if kind == "noise" else path.read_bytes()[:20_000])
    line = refused(run, site, "detect")
    assert "model.nc: " in line
    assert f"make it again with 'leakdetect fit {site}'" in line


def test_series_that_are_none(whole: Path, tmp_path: Path, run: Command) -> None:
    site = shutil.copytree(whole, tmp_path / "site")
    path = next((site / "series").iterdir())
    path.write_bytes(b"x")
    assert f"{path.name}: cannot be read" in refused(run, site, "report")


@pytest.mark.parametrize("command", [("fit",), ("detect",), ("report",), ("init", "--readings", "x.csv", "--force")])
def test_a_folder_that_may_not_be_written_to(site: Path, command: tuple[str, ...]) -> None:
    if command[0] == "report":
        pipeline.detect(site)
    if command[0] == "init":
        shutil.copy(site / "scada" / "flow.csv", site.parent / "x.csv")
    name, *more = command
    code = f"import sys; from leakdetect.cli import main; sys.argv = {['leakdetect', name, str(site), *more]}; main()"
    call = [sys.executable, "-c", code]
    if os.geteuid() == 0:  # root may write anywhere unless it gives that up
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("as root, without setpriv")
        call = [setpriv, "--bounding-set=-dac_override,-dac_read_search", *call]
    before = contents(site)
    site.chmod(0o555)
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=site.parent)
    finally:
        site.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"leakdetect: {site}")
    assert done.stderr.count("\n") == 1
    assert "ermission denied" in done.stderr or "make the folder writable" in done.stderr
    assert contents(site) == before
