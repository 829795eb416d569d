"""`init` and `check` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command
from small_site import write_network, write_readings

from leakdetect.site import load_site


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_init_then_check(tmp_path: Path, run: Command) -> None:
    write_readings(tmp_path / "scada")
    write_network(tmp_path / "town.inp")
    first = ["init", "site", "--network", "town.inp", "--readings", "scada/*.csv", "--readings", "scada/*.parquet"]
    code, out, err = run(*first, "--unit", "flow=L/s", "--unit", "demand=L/h", "--timezone", "Europe/Paris")
    assert (code, err) == (0, "")
    assert "1 x flow in L/s" in out
    site = load_site(tmp_path / "site")
    assert site.timezone == "Europe/Paris"
    assert {str(block.quantity) for block in site.readings} == {"pressure", "flow", "level", "demand"}
    code, _, err = run(*first)
    assert code == 2
    assert err.startswith("leakdetect: site/site.toml: is there already")
    assert err.count("\n") == 1
    code, out, err = run("check", "site")
    assert (code, err) == (0, "")
    assert "Sensors" in out
    code, out, err = run("check", "site", "--format", "json")
    report = json.loads(out)
    assert report["usable"] is True
    assert {sensor["sensor"] for sensor in report["sensors"]} == {"J1", "J3", "P1", "T1", "1 meter"}
    (tmp_path / "scada" / "flow.csv").write_text("time,Q_P1 (L/s)\n01/01/2021 00:00,x\n", encoding="utf-8")
    code, _, err = run("check", "site")
    assert code == 2
    assert err.count("\n") == 1
    assert "flow.csv: row 2, column 'Q_P1 (L/s)': 'x' is not a number" in err


def test_what_is_wrong_is_one_line(tmp_path: Path, run: Command) -> None:
    write_readings(tmp_path)
    for arguments in (
        ["check", "nowhere"],
        ["init", "s", "--readings", "none*"],
        ["init", "s", "--readings", "flow.csv", "--unit", "flow"],
        ["init", "s", "--readings", "flow.csv", "--network", "none.inp"],
    ):
        code, _, err = run(*arguments)
        assert code == 2, arguments
        assert err.startswith("leakdetect: ")
        assert err.count("\n") == 1
        assert not (tmp_path / "s").exists()
