"""A site whose readings stand in a database and in a folder of Parquet finds what it finds in files, run by run."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command import Command
from street import BETWEEN, DAY, FIT_DAYS, START, make_street

from leakdetect import pipeline
from leakdetect.site import load_site

_SQL = """
[[readings]]
format = "sql"
url = "sqlite:///scada.db"
table = "pressures"
quantity = "pressure"
unit = "m"
layout = "long"
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_street(tmp_path_factory.mktemp("street"))


def moved(street: Path, folder: Path) -> Path:
    """Return a copy of the site with pressures in a table, flows in a folder by month and meters in another file."""
    shutil.copytree(street, folder)
    pressures = pd.read_csv(folder / "pressures.csv").melt("time", var_name="sensor", value_name="value")
    with sqlite3.connect(folder / "scada.db") as connection:
        pressures.sample(frac=1, random_state=1).to_sql("pressures", connection, index=False)
    connection.close()
    flows = pd.read_csv(folder / "flows.csv", parse_dates=["time"])
    for week, part in flows.groupby(flows["time"].dt.isocalendar().week):
        (folder / "flows" / f"week={week}").mkdir(parents=True)
        part.to_parquet(folder / "flows" / f"week={week}" / "part.parquet", index=False)
    for name in ("pressures.csv", "flows.csv"):
        (folder / name).unlink()
    text = (folder / "site.toml").read_text(encoding="utf-8")
    before, _, meters = text.partition("[[readings]]")[2].partition('unit = "m3/h"')
    flow = '\n[[readings]]\nformat = "parquet"\nglob = "flows"\nquantity = "flow"\nunit = "m3/h"'
    assert "pressures.csv" in before
    (folder / "site.toml").write_text(text.partition("[[readings]]")[0] + _SQL + flow + meters, encoding="utf-8")
    return folder


def results(folder: Path) -> list[dict[str, Any]]:
    """Fit, run twice, and return the events."""
    pipeline.fit(folder, None, START + FIT_DAYS * DAY)
    pipeline.detect(folder, None, BETWEEN)
    pipeline.detect(folder)
    return [e.to_dict() for e in pipeline.events(folder)]


@pytest.mark.slow
def test_wherever_readings_are_the_events_are_the_same(street: Path, tmp_path: Path) -> None:
    elsewhere, files = moved(street, tmp_path / "moved"), shutil.copytree(street, tmp_path / "files")
    assert {b.format for b in load_site(elsewhere).readings} == {"sql", "parquet", "csv"}
    found, expected = results(elsewhere), results(files)
    assert any(e["status"] == "open" for e in expected)
    assert [e["id"] for e in found] == [e["id"] for e in expected]
    for one, other in zip(found, expected, strict=True):  # a table's sensors come in another order: sums are rounded so
        for name in ("kind", "raised_at", "start", "start_low", "start_high", "end", "data_until", "status"):
            assert one[name] == other[name]
        assert one["flow_m3h"] == pytest.approx(other["flow_m3h"], rel=1e-6)
        assert one["candidates"][0]["link"] == other["candidates"][0]["link"]


def test_check_names_the_table_and_the_mend(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = moved(street, tmp_path / "moved")
    path = folder / "site.toml"
    text = path.read_text(encoding="utf-8")
    run = Command(monkeypatch, capsys)
    run.ok("check", folder)
    path.write_text(text.replace('table = "pressures"', 'table = "presures"'), encoding="utf-8")
    line = run.refused("check", folder)
    assert "table 'presures' of " in line
    assert "scada.db: no such table or view; there are pressures: correct table in site.toml" in line
    path.write_text(text.replace('layout = "long"', 'layout = "long"\nvalue = "level"'), encoding="utf-8")
    assert "no column 'level': set value in site.toml to one of 'sensor', 'value'" in run.refused("check", folder)
