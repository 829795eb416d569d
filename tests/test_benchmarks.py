"""The benchmark registry: its ids, its targets, and that each benchmark measures what it says."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from leakdetect import parallel
from leakdetect.benchmark import load_registry
from leakdetect.cli import app
from leakdetect.errors import InputError


@pytest.fixture(scope="module")
def benchmarks() -> ModuleType:
    return load_registry()


IDS = {
    "speed.load.{}",
    "speed.steady.{}",
    "speed.batch.{}",
    "speed.batch.{}.over_epanet",
    "speed.batch.{}.difference",
    "speed.batch.{}.settled",
    "speed.batch.{}.of_copy",
    "generate.{}",
    "generate.{}.growth",
    "speed.signatures.{}",
    "speed.signatures.{}.over_wntr",
    "speed.signatures.{}.over_warm_epanet",
    "speed.signatures.{}.difference",
    *(f"speed.growth.{{}}.{what}_{of}" for what in ("signatures", "batch", "scoring") for of in ("time", "memory")),
    "speed.scoring.{}",
    "speed.scoring.{}.of_product",
    "speed.scoring.{}.memory",
    "speed.scoring.{}.window_of_product",
    "speed.growth_sites.{}.fit_time",
    "speed.growth_sites.{}.fit_memory",
    "speed.growth_sites.{}.detect_time",
    "speed.growth_sites.{}.detect_memory",
    "speed.growth_sites.{}.day_more_time",
    "speed.growth_sites.{}.day_more_memory",
    "speed.start.{}",
    "speed.day_more.{}",
    "speed.day_more.{}.processor",
    "speed.day_more.{}.memory",
    "speed.years.{}",
    "speed.years.{}.processor",
    "speed.years.{}.memory",
    "speed.years.{}.fit",
    "speed.years.{}.detect",
    "speed.years.{}.day_more",
    "speed.sites.{}",
    "speed.sites.{}.over_serial",
    "speed.daily.{}",
    "speed.daily.{}.hour",
    "speed.daily.{}.sensors",
    "speed.daily.{}.memory",
    "speed.daily.{}.state",
    "speed.intake.{}",
    "speed.watch.{}",
    "speed.watch.{}.p99",
    "speed.watch.{}.memory",
    "speed.place.{}",
    "speed.place.{}.processor",
    "placement.{}.zone",
    "placement.{}.zone_over_random",
    "placement.{}.zone_over_best_random",
    "placement.{}.of_best",
    "placement.{}.found_over_said",
    "accuracy.{}.euros",
    "accuracy.{}.euros_over_blind",
    "accuracy.{}.found",
    "accuracy.{}.false_alarms",
    "accuracy.{}.distance",
    "accuracy.{}.delay_abrupt",
    "accuracy.{}.delay_incipient",
    "accuracy.{}.leak_steps_told",
    "accuracy.{}.other_steps_told",
    "accuracy.{}.early_detection",
    *(
        f"pooled.{kind}.{{}}.{what}"
        for kind in ("clean", "nuisance")
        for what in (
            "found", "false_alarms", "abrupt_in_24h", "euros", "distance", "delay_abrupt_large", "delay_incipient",
            "in_zone", "flow_within_25", "zone_length",
        )
    ),
    *(
        f"ablation.{kind}.{{}}.{what}"
        for kind in ("clean", "nuisance")
        for what in ("found", "false_alarms", "abrupt_in_24h", "euros", "distance")
    ),
    "injection.{}.false_alarms",
    "injection.{}.found",
    "injection.{}.delay",
    "injection.{}.flow_error",
}  # fmt: skip
"""Published ids: one may be added here, none may go."""


def test_ids_are_permanent_and_explained(benchmarks: ModuleType, project: Path) -> None:
    ids = [figure.id for entry in benchmarks.REGISTRY for figure in entry.figures]
    assert len(set(ids)) == len(ids)
    assert set(ids) >= IDS
    told = (project / "benchmarks" / "README.md").read_text()
    assert all(id_ in told or f"`.{id_.rpartition('.')[2]}`" in told for id_ in ids)


def test_an_id_is_taken_once(benchmarks: ModuleType) -> None:
    before = list(benchmarks.REGISTRY)
    register = benchmarks.registry.benchmark("speed", benchmarks.registry.Figure("speed.load.{}", "s"))
    with pytest.raises(ValueError, match=r"'speed\.load\.\{\}' is taken"):
        register(lambda setting: iter(()))
    assert before == benchmarks.REGISTRY


def test_targets(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = benchmarks.registry
    figures = (
        registry.Figure("made.{}.up", "x", registry.Target(">=", 2.0, small="toy")),
        registry.Figure("made.{}.down", "%", registry.Target("<=", 2.0)),
        registry.Figure("made.{}.free", "s"),
    )
    values = [("a", (3.0, 3.0, 1.0)), ("b", (1.0, math.nan, math.nan)), ("toy", (1.0, 1.0, 1.0))]
    monkeypatch.setattr(registry, "REGISTRY", [registry.Benchmark("speed", figures, lambda setting: iter(values))])
    rows = list(registry.run(registry.Setting(), "speed"))
    assert [r.ok for r in rows] == [True, False, None, False, False, None, None, True, None]
    assert [r.id for r in rows[:3]] == ["made.a.up", "made.a.down", "made.a.free"]
    assert (rows[0].target, rows[4].value, rows[6].target) == (">= 2", None, None)
    assert list(registry.run(registry.Setting(), "accuracy")) == []


def test_best_is_the_shortest_and_leaves_the_first_call_out(benchmarks: ModuleType) -> None:
    calls: list[int] = []
    seconds = benchmarks.speed.best(lambda: calls.append(1), least=5)
    assert len(calls) >= 6
    assert 0 < seconds < 0.01


@pytest.mark.slow
def test_speed_on_the_smallest() -> None:
    result = CliRunner().invoke(app, ["benchmark", "speed", "--small", "--json"], catch_exceptions=False)
    rows = {row["id"]: row for row in json.loads(result.stdout)}
    on = {
        "growth": "100-400", "start": "help", "sites": "few_districts", "daily": "district",
        "intake": "table", "watch": "district_4",
    }  # fmt: skip
    longer = ("speed.years", "speed.growth_sites")
    wanted = {id_ for id_ in IDS if id_.startswith("speed") and not id_.startswith(longer)}
    if parallel.usable_cores() < 2:
        wanted.remove("speed.sites.{}.over_serial")
    assert set(rows) == {id_.format(on.get(id_.split(".")[1], "village")) for id_ in wanted}
    assert rows["speed.daily.district.sensors"]["value"] == 1
    assert rows["speed.daily.district.memory"]["value"] > 50
    assert 1 < rows["speed.daily.district.state"]["value"] < 100
    assert set(next(iter(rows.values()))) == {"id", "value", "unit", "target", "ok", "machine", "low", "high"}
    assert all(row["value"] > 0 for id_, row in rows.items() if "growth" not in id_)
    # The factorised signatures are those that EPANET itself shows.
    assert rows["speed.signatures.village.difference"]["ok"]
    assert rows["speed.signatures.village.difference"]["value"] < 0.1
    assert rows["speed.signatures.village.over_wntr"]["value"] > 10
    # Nine tenths of the bare product are never there at once, and twice the network takes about twice the memory.
    assert rows["speed.scoring.village.memory"]["value"] < 50
    for what in ("signatures", "batch", "scoring"):
        assert 0.5 < rows[f"speed.growth.100-400.{what}_memory"]["value"] < 1.2


def test_targets_go_by_size(benchmarks: ModuleType) -> None:
    registry = benchmarks.registry
    figure = registry.Figure("made.{}.up", "x", registry.Target(">=", 3.0))
    large = registry.Estimate(5.0, target=registry.Target(">=", 8.0))
    rows = [registry._row(figure, "a", value, "here") for value in (registry.Estimate(5.0), large)]
    assert [(row.target, row.ok) for row in rows] == [(">= 3", True), (">= 8", False)]


def test_two_years_of_a_world(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fit the first year, go on from there, and a command that fails is told."""
    asked: list[tuple[str, ...]] = []
    processes = benchmarks.processes

    def run(*arguments: str) -> object:
        asked.append(arguments)
        return processes.Used(10.0 * len(asked), 1.0, 0.1 * len(asked))

    monkeypatch.setattr(processes, "run", run)
    monkeypatch.setattr(processes, "lay_out", lambda *_: None)
    monkeypatch.setattr(processes, "model_of", lambda *_: None)
    for name in ("leaks.csv", "2018_Leakages.csv.gz", "2019_Leakages.csv.gz"):
        (tmp_path / name).touch()
    ((name, values),) = processes.years(benchmarks.Setting(worlds=(tmp_path,)))
    assert name == tmp_path.name
    assert values == pytest.approx((30.0, 2.0, 0.3, 10.0, 20.0, 30.0))
    assert [(a[0], *a[2:]) for a in asked] == [
        ("fit", "--to", "2018-12-31"), ("detect", "--to", "2019-12-30"), ("detect",)
    ]  # fmt: skip
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match=r"leakdetect fit .* failed: .*site\.toml"):
        processes.run("fit", str(tmp_path))


def test_accuracy_on_the_village() -> None:
    arguments = ["benchmark", "accuracy", "--small", "--detector", "hotelling"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    values = {line.split()[0]: line.split()[1] for line in result.stdout.splitlines() if line.startswith("accuracy.")}
    assert set(values) == {id_.format("village.2018.hotelling") for id_ in IDS if id_.startswith("accuracy")}
    assert 0 <= float(values["accuracy.village.2018.hotelling.found"]) <= 100
    assert float(values["accuracy.village.2018.hotelling.euros"]) <= 100


def test_what_it_says_when_a_world_is_none(benchmarks: ModuleType, tmp_path: Path, project: Path) -> None:
    accuracy, setting = benchmarks.accuracy, benchmarks.Setting
    with pytest.raises(InputError, match="no such folder"):
        accuracy.model_of(tmp_path / "nowhere", setting())
    with pytest.raises(InputError, match="name the world's model with --network"):
        accuracy.model_of(tmp_path, setting())
    model = project / "networks" / "village.inp"
    assert accuracy.model_of(tmp_path, setting(networks=(model,))) == model
    from leakdetect.epanet import load_network

    with pytest.raises(InputError, match="BattLeDIM's layout"):
        accuracy.read(tmp_path, load_network(model))


def test_an_installed_package_finds_the_registry(project: Path, tmp_path: Path) -> None:
    """Lay the files out as pyproject.toml lays them into the wheel, and ask from there."""
    table = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    skip = shutil.ignore_patterns("__pycache__")
    for package in table["packages"]:
        shutil.copytree(project / package, tmp_path / package, ignore=skip)
    for source, place in table["force-include"].items():
        shutil.copytree(project / source, tmp_path / place, ignore=skip)
    code = "from leakdetect.benchmark import load_registry as r; m = r(); print(m.__file__, len(m.REGISTRY))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    where, count = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert int(count) >= 4
