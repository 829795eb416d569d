"""`leakdetect score`: what it prints, and what it says when it cannot."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from leakdetect.cli import app
from leakdetect.errors import LeakdetectError
from leakdetect.events import Candidate, Event, Kind, Status, Zone, dumps

INP = """[JUNCTIONS]
 n1 10 1
 n2 10 1
[RESERVOIRS]
 R 60
[PIPES]
 p1 R n1 200 100 130 0 Open
 p2 n1 n2 100 100 130 0 Open
[OPTIONS]
 Units CMH
 Headloss H-W
[COORDINATES]
 n1 0 0
 n2 1 0
 R 0 1
[END]
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A town of two pipes with one leak: 10 m3/h for the last two hours of 2019, found from p2 an hour late."""
    (tmp_path / "town.inp").write_text(INP)
    (tmp_path / "leaks.csv").write_text(
        "pipe,start,end,diameter_m,kind,peak\np1,2019-12-31 22:00,2019-12-31 23:55,0.01,abrupt,2019-12-31 22:00\n"
    )
    for year, rows in {
        2018: ["2018-01-01 00:00:00;0,00"],
        2019: [f"2019-12-31 {22 + m // 60}:{m % 60:02d}:00;10,00" for m in range(0, 120, 5)],
    }.items():
        text = "\n".join(["Timestamp;p1", *rows])
        (tmp_path / f"{year}_Leakages.csv.gz").write_bytes(gzip.compress(text.encode()))
    now = np.datetime64("2019-12-31T23:00", "ns")
    event = Event(
        id="e1",
        status=Status.OPEN,
        kind=Kind.ABRUPT,
        raised_at=now,
        start=now,
        start_low=now,
        start_high=now,
        end=None,
        flow_m3h=9.0,
        flow_low=8.0,
        flow_high=12.0,
        candidates=(Candidate("p2", 1.0),),
        zone=Zone(("p1", "p2"), 300.0, 1.0),
        evidence=(),
        model="m",
        data_until=now,
    )
    (tmp_path / "events.json").write_text(dumps([event]))
    return tmp_path


def run(world: Path, *more: str) -> str:
    arguments = ["score", str(world / "events.json"), "--truth", str(world / "leaks.csv"), *more]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_is_one_array_with_an_object_a_year(world: Path) -> None:
    rows = json.loads(run(world, "--network", str(world / "town.inp"), "--format", "json"))
    assert [row["year"] for row in rows] == [2018, 2019]
    assert rows[0]["leaks"] == 0
    assert rows[0]["distance_m"] is None
    assert rows[1]["euros"] == pytest.approx(0.80 * 10 - 500 * 150 / 300)
    assert rows[1]["maximum"] == pytest.approx(16)
    assert rows[1]["leak_table"][0]["found_by"] == "e1"
    assert (rows[1]["in_zone"], rows[1]["flow_within_25"]) == (1, 1)


def test_table_names_leaks_and_events(world: Path) -> None:
    text = run(world, "--network", str(world / "town.inp"), "--year", "2019")
    assert "1 of 1, 1.0 h, 1 in 24 h" in text
    leaks, detections = text.split("Leaks of 2019")[1].split("Detections of 2019")
    assert leaks.split("\n")[2].split()[:4] == ["p1", "abrupt", "2019-12-31", "22:00"]
    assert "true" in detections.split("\n")[2]
    assert "2018" not in text


def test_leakdb_rule_needs_no_network(world: Path) -> None:
    [row] = json.loads(run(world, "--rule", "leakdb", "--year", "2019", "--format", "json"))
    assert (row["rule"], row["steps"], row["leaks"]) == ("leakdb", 17520, 1)
    assert row["true_positive_rate"] == 2 / 4
    assert row["false_positive_rate"] == 0
    assert "early detection" in run(world, "--rule", "leakdb")


def test_a_year_without_leaks(world: Path) -> None:
    (world / "leaks.csv").write_text("pipe,start,end,diameter_m,kind,peak\n")
    for path in world.glob("*_Leakages.csv.gz"):
        path.unlink()
    [row] = json.loads(run(world, "--rule", "leakdb", "--year", "2020", "--format", "json"))
    assert (row["leaks"], row["true_positive_rate"], row["false_positive_rate"]) == (0, None, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name it with --network"),
        (["--rule", "leakdb", "--year", "2021"], "no leak flows of 2021 beside it: known are 2018, 2019"),
        (["--network", "nowhere.inp"], "no such file"),
    ],
)
def test_what_it_says_when_it_cannot(world: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(LeakdetectError, match=says):
        run(world, *arguments)
