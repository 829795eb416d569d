"""Scenarios of LeakDB, from its folders to a score. A folder of its layout is made from a world of our own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_results import BURST
from typer.testing import CliRunner

from leakdetect import networks
from leakdetect.cli import app
from leakdetect.errors import InputError, MissingFileError
from leakdetect.evaluate import alarms, read_labels
from leakdetect.events import Status
from leakdetect.networks import Sensors
from leakdetect.scenarios import Leak, Scenario
from leakdetect.scenarios.leakdb import import_leakdb
from leakdetect.scenarios.world import run

START = np.datetime64("2017-01-01T00:00:00")
DAYS = 40


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in LeakDB's layout: half-hours of the village, with a leak in its last days."""
    village = networks.load("village")
    sensors = Sensors(("n7", "n14", "n21", "n33", "n45"), ("p67", "p3"), (), ("n14",))
    first = START + np.timedelta64(30, "D")
    leak = Leak("p40", first, first, None, 0.009)
    world = run(
        networks.path("village"), village, Scenario(start=START, days=DAYS, step=1800, leaks=[leak]), sensors=sensors
    )
    folder = tmp_path_factory.mktemp("leakdb") / "Scenario-7"
    tables = {"Pressures": world.pressures, "Flows": world.flows, "Demands": world.demands}
    for (table, values), names in zip(tables.items(), (sensors.pressures, sensors.flows, sensors.demands), strict=True):
        (folder / table).mkdir(parents=True)
        for column, name in enumerate(names):
            file = folder / table / f"{'Link' if table == 'Flows' else 'Node'}_{name}.csv"
            pd.DataFrame({"Value": values[:, column]}).rename_axis("Index").to_csv(file)
    stamps = [str(t).replace("T", " ") for t in world.times]
    pd.DataFrame({"Timestamp": stamps}).rename_axis("Index").to_csv(folder / "Timestamps.csv")
    pd.DataFrame({"Label": world.leak_flow[:, 0] > 0}).astype(float).rename_axis("Index").to_csv(folder / "Labels.csv")
    shutil.copy(networks.path("village"), folder)
    return folder


def command(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code in ({0, 10} if words[0] == "detect" else {0})  # 10: new events
    return done.stdout


def test_from_the_folder_to_the_score(scenario: Path, tmp_path: Path) -> None:
    world, site = tmp_path / "world", tmp_path / "site"
    assert "6 sensors" in command("leakdb", str(scenario), "--out", str(world))
    command(
        "init", str(site), "--network", str(world / "village.inp"), "--readings", str(world / "*_SCADA_*"),
        "--unit", "flow=m3/h",
    )  # fmt: skip
    command("fit", str(site), "--to", "2017-01-24")
    command("detect", str(site))
    (told,) = json.loads(
        command("score", str(site), "--truth", str(world / "Labels.csv"), "--rule", "leakdb", "--format", "json")
    )
    assert (told["steps"], told["leaks"]) == (DAYS * 48, 1)
    assert told["true_positive_rate"] > 0.5
    assert told["false_positive_rate"] < 0.05
    assert told["early_detection"] > 0
    assert "early detection" in command("score", str(site), "--truth", str(world / "Labels.csv"), "--rule", "leakdb")


def test_readings_come_as_they_were(scenario: Path, tmp_path: Path) -> None:
    chosen = import_leakdb(scenario, tmp_path / "w", sensors=Sensors(("n7",), ("p3",), (), ("n14",)))
    assert len(chosen) == 3
    for table, name, scale in (("Pressures", "n7", 1), ("Flows", "p3", 1), ("Demands", "n14", 1000)):
        read = pd.read_csv(
            tmp_path / "w" / f"2017_SCADA_{table}.csv.gz", sep=";", decimal=",", index_col=0, parse_dates=True
        )
        raw = pd.read_csv(scenario / table / f"{'Link' if table == 'Flows' else 'Node'}_{name}.csv")["Value"]
        assert read[name].to_numpy() == pytest.approx(scale * raw.to_numpy(), abs=6e-4)
        assert read.index[0] == pd.Timestamp(START)
    times, labels = read_labels(tmp_path / "w" / "Labels.csv")
    assert times[np.argmax(labels)] == START + np.timedelta64(30, "D")
    assert labels.sum() == 10 * 48


def test_alarms_are_the_steps_at_which_an_event_is_open() -> None:
    times = BURST.raised_at + np.arange(-3, 4) * np.timedelta64(1, "h")
    still = replace(BURST, end=None, status=Status.OPEN)
    assert alarms([still], times).tolist() == [False] * 3 + [True] * 4
    ended = replace(still, end=times[4], status=Status.CLOSED)
    assert alarms([ended], times).tolist() == [False] * 3 + [True] * 2 + [False] * 2
    assert not alarms([replace(still, status=Status.DISMISSED)], times).any()


def test_what_is_amiss_is_named(scenario: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder: name a scenario"):
        import_leakdb(tmp_path / "none", tmp_path / "w")
    folder = tmp_path / "copy"
    shutil.copytree(scenario, folder)
    (folder / "Pressures" / "Node_n7.csv").write_text("Index,Value\n0,1.0\n")
    with pytest.raises(InputError, match=r"Node_n7.csv: 1 rows of numbers, but Timestamps.csv has 1920"):
        import_leakdb(folder, tmp_path / "w")
    (folder / "Labels.csv").unlink()
    with pytest.raises(MissingFileError, match=r"Labels.csv: no such file"):
        import_leakdb(folder, tmp_path / "w")
    (folder / "Timestamps.csv").write_text("Index,Timestamp\n0,soon\n")
    with pytest.raises(InputError, match=r"Timestamps.csv: not a list of times"):
        import_leakdb(folder, tmp_path / "w")
    shutil.copy(networks.path("town"), folder)
    with pytest.raises(InputError, match="2 model files"):
        import_leakdb(folder, tmp_path / "w")
    assert not (tmp_path / "w").exists()
    path = tmp_path / "Labels.csv"
    for text, reason in (
        ("Index,Label\n1,0\n", "no column 'Timestamp'"),
        ("Timestamp,Label\n2017-01-01 00:00,2\n", "row 2: a label is 0 or 1"),
        ("Timestamp,Label\n2017-01-01 00:00,1\n2017-01-01 00:30,1\n2017-01-01 02:30,1\n", "not evenly spaced"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=reason):
            read_labels(path)


@pytest.mark.shared
@pytest.mark.slow
def test_the_flat_scenario_without_a_leak_raises_none(shared: Path, tmp_path: Path) -> None:
    """Hanoi 1: a year in one table, no model file beside it; all that is raised in it is false."""
    site, table = str(tmp_path / "site"), shared / "leakdb" / "leakdb_hanoi_scenario1.csv.gz"
    command("init", site, "--readings", str(table), "--unit", "demand=m3/h", "--unit", "flow=m3/h")
    command("fit", site, "--to", "2017-03-01")
    command("detect", site)
    times = pd.date_range("2017-01-01", periods=17520, freq="30min")
    pd.DataFrame({"Timestamp": times, "Label": 0}).to_csv(tmp_path / "Labels.csv", index=False)
    (told,) = json.loads(
        command("score", site, "--truth", str(tmp_path / "Labels.csv"), "--rule", "leakdb", "--format", "json")
    )
    assert (told["steps"], told["leaks"], told["false_positive_rate"]) == (17520, 0, 0.0)
