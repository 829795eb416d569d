"""Benchmarks over several worlds: what is pooled, how sure it is, how worlds are made, what the switches turn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from leakdetect import networks
from leakdetect.benchmark import load_registry
from leakdetect.cli import app
from leakdetect.errors import ElementError, InputError, ReadingsError
from leakdetect.evaluate.score import Awareness, Blind, EventRow, LeakRow, Score
from leakdetect.hydraulic import fit, placing, raising
from leakdetect.stages.detection import following, history, tracker

START = np.datetime64("2019-03-01", "ns")


@pytest.fixture(scope="module")
def benchmarks() -> ModuleType:
    return load_registry()


def made(setting: Any) -> list[Path]:
    """Make the worlds of a setting; return their folders."""
    worlds = load_registry().worlds
    folders = [worlds.folder_of(plan, setting) for plan in worlds.planned(setting)]
    for plan, folder in zip(worlds.planned(setting), folders, strict=True):
        worlds.make(plan, folder)
    return folders


@pytest.fixture(scope="module")
def pair(benchmarks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A setting whose folder holds two years of the village twice: clean, and with nuisances."""
    setting = benchmarks.Setting(small=True, simulate=2, keep=tmp_path_factory.mktemp("worlds"))
    assert len(made(setting)) == 2
    return setting


# -- the table ---------------------------------------------------------------------------------------------------------


def leak(kind: str, **known: Any) -> LeakRow:
    return LeakRow("p1", kind, START, **{"begun": True, "peak_m3h": 8.0, "worth": 100.0, **known})


def hit(kind: str, distance: float, delay: float | None, **known: Any) -> LeakRow:
    row = leak(kind, found_by="e", found_at=START, distance_m=distance, delay_h=delay, begun=delay is not None)
    return replace(row, **{"in_zone": True, "flow_m3h": 10.0, "true_m3h": 10.0, **known})


def event(zone: float | None) -> EventRow:
    return EventRow("e", "p1", START, "true", "p1", 0.0, "p1", 0.0, zone)


def score(rows: list[LeakRow], events: list[EventRow], *, euros: float = 0.0, false: int = 0) -> Score:
    """Return a score of these rows; what is not looked at over worlds is NaN."""
    nan, found = math.nan, [row for row in rows if row.found_by]

    def awareness(kind: str) -> Awareness:
        begun = [row for row in rows if row.begun and row.kind == kind]
        delays = [row.delay_h for row in begun if row.delay_h is not None]
        return Awareness(len(begun), len(delays), nan, sum(delay <= 24 for delay in delays))

    return Score(
        year=2019, euros=euros, maximum=sum(row.worth for row in rows), detections=len(events), leaks=len(rows),
        true_positives=len(found), false_positives=false, repeats=0, misses=len(rows) - len(found), distance_m=nan,
        abrupt=awareness("abrupt"), abrupt_large=awareness("abrupt"), incipient=awareness("incipient"), in_zone=nan,
        flow_within_25=nan, zone_length_m=nan, blind=Blind(0, nan, nan, nan), leak_table=tuple(rows),
        event_table=tuple(events),
    )  # fmt: skip


def made_up_worlds() -> list[Score]:
    """Two worlds of 4 and 1 leaks, 3 and 1 of them found; one of the first is open from the year before."""
    first = [
        hit("abrupt", 10.0, 6.0, flow_m3h=12.5),  # 25 % too much: just within
        hit("abrupt", 70.0, 30.0, peak_m3h=4.9, in_zone=False),  # too small for its delay to count, and late
        hit("incipient", 200.0, None, flow_m3h=12.6),  # ran on from the year before: its delay is not known
        leak("abrupt"),
    ]
    second = [hit("incipient", 100.0, 240.0, worth=600.0)]
    return [
        score(first, [event(400.0), event(800.0), event(None)], euros=200.0, false=5),
        score(second, [event(1500.0)], euros=300.0, false=0),
    ]


def test_figures_by_hand(benchmarks: ModuleType) -> None:
    table = benchmarks.table
    values = {line.id: table.estimate(line.measure, made_up_worlds()).value for line in table.LINES}
    assert values == pytest.approx(
        {
            "found": 100 * 4 / 5,  # of all leaks, not the mean of 75 % and 100 %
            "false_alarms": 5 / 2,
            "abrupt_in_24h": 100 * 1 / 3,
            "euros": 100 * 500 / 1000,
            "distance": 85.0,  # of 10, 70, 100, 200
            "delay_abrupt_large": 6.0,
            "delay_incipient": 10.0,  # days
            "in_zone": 100 * 3 / 4,
            "flow_within_25": 100 * 3 / 4,
            "zone_length": 0.8,  # of 400, 800, 1500 m
        }
    )


def test_nothing_found_is_no_figure_and_meets_nothing(benchmarks: ModuleType) -> None:
    table = benchmarks.table
    none = score([leak("abrupt")], [], false=1)
    values = {line.id: table.estimate(line.measure, [none, none]) for line in table.LINES}
    assert (values["found"].value, values["false_alarms"].value, values["abrupt_in_24h"].value) == (0, 1, 0)
    for line in table.LINES:
        if line.id in {"distance", "delay_abrupt_large", "delay_incipient", "in_zone", "flow_within_25", "zone_length"}:
            assert math.isnan(values[line.id].value)
            assert math.isnan(values[line.id].low)
            assert not line.targets["clean"].met(values[line.id].value)


def test_targets(benchmarks: ModuleType) -> None:
    """As published: clean, and with nuisances."""
    told = {line.id: (str(line.targets["clean"]), str(line.targets["nuisance"])) for line in benchmarks.table.LINES}
    assert told == {
        "found": (">= 85", ">= 75"),
        "false_alarms": ("<= 3", "<= 3"),
        "abrupt_in_24h": (">= 85", ">= 75"),
        "euros": (">= 80", ">= 65"),
        "distance": ("<= 100", "<= 150"),
        "delay_abrupt_large": ("<= 12", "<= 24"),
        "delay_incipient": ("<= 14", "<= 21"),
        "in_zone": ("75-90", "75-90"),
        "flow_within_25": ("> 50", "> 50"),
        "zone_length": ("<= 1", "<= 1.5"),
    }
    zone = next(line.targets["clean"] for line in benchmarks.table.LINES if line.id == "in_zone")
    assert [zone.met(value) for value in (74.9, 75, 90, 90.1)] == [False, True, True, False]
    flow = next(line.targets["clean"] for line in benchmarks.table.LINES if line.id == "flow_within_25")
    assert [flow.met(value) for value in (50.0, 50.1)] == [False, True]


def test_interval_of_a_mean_is_that_of_theory(benchmarks: ModuleType) -> None:
    """The mean of n worlds is known to 1.96 s / sqrt(n)."""
    table = benchmarks.table
    false = np.random.default_rng(3).poisson(9, 60)
    worlds = [score([leak("abrupt")], [], false=int(count)) for count in false]
    measure = next(line.measure for line in table.LINES if line.id == "false_alarms")
    found = table.estimate(measure, worlds)
    half = 1.96 * false.std() / math.sqrt(len(false))
    assert found.value == pytest.approx(false.mean())
    assert (found.low, found.high) == pytest.approx((false.mean() - half, false.mean() + half), abs=0.15 * half)
    assert table.estimate(measure, worlds) == found
    assert table.estimate(measure, worlds, seed=1) != found


def test_interval_of_a_median_and_of_few_worlds(benchmarks: ModuleType) -> None:
    table = benchmarks.table
    measure = next(line.measure for line in table.LINES if line.id == "distance")
    first, second = made_up_worlds()
    one = table.estimate(measure, [first])
    assert one.value == 70
    assert math.isnan(one.low)
    same = table.estimate(measure, [first] * 5)
    assert (same.low, same.value, same.high) == (70, 70, 70)
    both = table.estimate(measure, [first, second])
    assert (both.low, both.high) == (70, 100)  # either world alone


# -- worlds ------------------------------------------------------------------------------------------------------------


def test_plans(benchmarks: ModuleType, tmp_path: Path) -> None:
    worlds, setting = benchmarks.worlds, benchmarks.Setting
    plans = worlds.planned(setting(simulate=4, seed=10))
    assert [(p.model.stem, p.kind, p.scenario.seed) for p in plans[3:6]] == [
        ("village", "nuisance", 13), ("town", "clean", 10), ("town", "nuisance", 11),
    ]  # fmt: skip
    assert worlds.planned(setting(simulate=2, seed=10))[:2] == plans[:2]  # more of them do not change the first
    assert len({p.name for p in plans}) == 8
    dirty = plans[5].scenario
    assert (dirty.error.noise, dirty.error.offset, dirty.error.meter, dirty.error.missing) == (0.03, 0.3, 0.02, 0.005)
    assert (dirty.shut, dirty.prv_reset, dirty.days) == (1, -0.6, 730)
    assert plans[3].scenario.prv_reset == 0  # the village has no such valve
    village = networks.path("village")
    given = worlds.planned(setting(simulate=1, networks=(village,)))
    assert [p.model for p in given] == [village]
    listed = tmp_path / "sensors.csv"
    listed.write_text("quantity,element\npressure,n14\nflow,p67\n")
    measured = worlds.planned(setting(simulate=1, networks=(village,), sensors=listed))
    assert measured[0].sensors.pressures == ("n14",)
    assert measured[0].name != given[0].name


def test_how_many_where_nothing_is_said(benchmarks: ModuleType, tmp_path: Path) -> None:
    worlds, setting = benchmarks.worlds, benchmarks.Setting
    assert [p.kind for p in worlds.planned(setting())] == ["clean", "nuisance"] * 2
    for other in (setting(small=True), setting(worlds=(tmp_path,)), setting(networks=(networks.path("village"),))):
        assert worlds.planned(other) == []
    with pytest.raises(InputError, match="sensors of which network"):
        worlds.planned(setting(simulate=1, sensors=tmp_path / "sensors.csv"))


def test_a_world_is_made_once_and_the_same_again(
    benchmarks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = benchmarks.worlds
    monkeypatch.setattr(worlds, "DAYS", 20)
    here, there = (benchmarks.Setting(small=True, simulate=2, keep=tmp_path / name) for name in ("here", "there"))
    first, second = made(here), made(there)
    for a, b in zip(first, second, strict=True):
        files = sorted(path.name for path in a.iterdir())
        assert "leaks.csv" in files
        assert all((a / name).read_bytes() == (b / name).read_bytes() for name in files)
    assert [worlds.kind_of(world) for world in first] == ["clean", "nuisance"]
    simulated: list[Path] = []
    monkeypatch.setattr(worlds, "simulate", lambda model, folder, *_, **__: simulated.append(folder))
    assert made(here) == first
    assert simulated == []
    made(replace(here, seed=2))  # other seeds are other worlds
    assert len(simulated) == 2


def test_kind_of_a_world_given(benchmarks: ModuleType, tmp_path: Path) -> None:
    told = tmp_path / "nuisances.txt"
    assert benchmarks.worlds.kind_of(tmp_path) == "clean"
    told.write_text("\n")
    assert benchmarks.worlds.kind_of(tmp_path) == "clean"
    told.write_text("stuck n1\n")
    assert benchmarks.worlds.kind_of(tmp_path) == "nuisance"


# -- running -----------------------------------------------------------------------------------------------------------


def test_pooled_on_two_villages(pair: Any) -> None:
    """What is printed is what scoring each world by itself gives: here one world a kind."""
    arguments = ["benchmark", "accuracy", "--small", "--simulate", "2", "--keep", str(pair.keep), "--only", "pooled"]
    arguments += ["--workers", "2"]
    result = CliRunner().invoke(app, [*arguments, "--detector", "hotelling", "--json"], catch_exceptions=False)
    rows = {row["id"]: row for row in json.loads(result.stdout)}
    benchmarks = load_registry()
    assert list(rows) == [f"pooled.{k}.hotelling.{m.id}" for k in ("clean", "nuisance") for m in benchmarks.table.LINES]
    assert result.exit_code == (1 if any(row["ok"] is False for row in rows.values()) else 0)
    accuracy = benchmarks.accuracy
    for world in made(pair):
        network = networks.load("village")
        events = accuracy.detect("hotelling", *accuracy.read(world, network), network)
        leaks = accuracy.read_truth(world / "leaks.csv", network)
        alone = accuracy.score_battledim(network, events, leaks, 2019)
        name = f"pooled.{benchmarks.worlds.kind_of(world)}.hotelling"
        assert rows[f"{name}.false_alarms"]["value"] == alone.false_positives
        assert rows[f"{name}.euros"]["value"] == pytest.approx(100 * alone.euros / alone.maximum)
        assert rows[f"{name}.found"]["value"] == pytest.approx(100 * alone.true_positives / alone.leaks)
        assert rows[f"{name}.found"]["low"] is None  # of one world nothing is known of how worlds differ


def test_worlds_given_count_too(benchmarks: ModuleType, pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds by their nuisances.txt; an event that names no pipe leaves a detector without a score."""
    given = replace(pair, simulate=0, worlds=tuple(made(pair)), detectors=("night",))
    monkeypatch.setattr(benchmarks.accuracy, "detect", lambda *_: [])
    ((name, values),) = benchmarks.pooled.pooled(replace(given, events={}))
    assert name == "night"
    assert [value.value for value in (values[0], values[1], values[10], values[11])] == [0, 0, 0, 0]
    ((_, values),) = benchmarks.pooled.pooled(replace(given, events={}, worlds=given.worlds[:1]))
    assert values[10:] == (None,) * 10
    nowhere = type("Nowhere", (), {"candidates": ()})()
    monkeypatch.setattr(benchmarks.accuracy, "detect", lambda *_: [nowhere])
    ((_, values),) = benchmarks.pooled.pooled(replace(given, events={}))
    assert values == (None,) * 20


# -- switches ----------------------------------------------------------------------------------------------------------


NAMES = {
    "without_calibration": {(fit.Fit, "calibrate")},
    "steps_only": {(tracker, "_RAMP_FROM")},
    "without_rivals": {(tracker, "RIVAL_ODDS")},
    "one_round_of_fit": {(fit, "_WALK_SHARES")},
    "noise_as_fitted": {(following, "_FEWEST")},
    "places_as_first_said": {(raising, "_LOOKED_AT_AGAIN"), (placing, "_NEIGHBOUR_M")},
    "no_echo": {(history, "ECHO_DAYS")},
}
BEFORE = {(owner, name): getattr(owner, name) for names in NAMES.values() for owner, name in names}


def turned() -> set[tuple[Any, str]]:
    """Say which names have other values than they had."""
    return {(owner, name) for (owner, name), value in BEFORE.items() if getattr(owner, name) is not value}


def test_each_switch_turns_its_part_and_turns_it_back(benchmarks: ModuleType) -> None:
    seen = {}
    for name, switch in benchmarks.ablation.SWITCHES.items():
        with switch():
            seen[name] = turned()
        assert turned() == set()
    assert seen == NAMES


def test_a_patch_is_undone_after_an_error_and_knows_its_names(benchmarks: ModuleType) -> None:
    patched, before = benchmarks.ablation.patched, tracker._RAMP_FROM
    stop = ElementError("stop")

    def fail() -> None:
        assert tracker._RAMP_FROM == 7.0
        raise stop

    with pytest.raises(ElementError, match="stop"), patched(tracker, _RAMP_FROM=7.0):
        fail()
    assert before == tracker._RAMP_FROM
    with pytest.raises(AttributeError, match="_NO_SUCH"), patched(tracker, _RAMP_FROM=7.0, _NO_SUCH=1):
        pass
    assert before == tracker._RAMP_FROM


def test_ablation_runs_every_switch_on_every_world(
    benchmarks: ModuleType, pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def detect(*_: Any) -> list[Any]:
        seen.append(turned())
        return []

    monkeypatch.setattr(benchmarks.pooled, "detect", detect)
    monkeypatch.setattr(benchmarks.accuracy, "detect", detect)
    assert list(benchmarks.pooled.ablation(pair)) == []  # only when asked for
    rows = dict(benchmarks.pooled.ablation(replace(pair, ablation=True, events={})))
    assert list(rows) == ["as_it_is", *benchmarks.ablation.SWITCHES]
    assert seen == 2 * [set(), *NAMES.values()]  # two worlds
    assert all(len(values) == 2 * len(benchmarks.table.MAIN) and None not in values for values in rows.values())


FOUND = ("found", "delay", "flow_error")

# -- inflows -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inflow_rows(benchmarks: ModuleType) -> dict[str, float | None]:
    return {row.id: row.value for row in benchmarks.run(benchmarks.Setting(small=True), "accuracy", "injection")}


def test_injection_into_made_up_inflows(inflow_rows: dict[str, float | None]) -> None:
    kinds = [f"injection.made_up.{kind}.20.{what}" for kind in ("abrupt", "incipient") for what in FOUND]
    assert list(inflow_rows) == ["injection.made_up.false_alarms", *kinds]
    assert inflow_rows["injection.made_up.abrupt.20.found"] == 100  # a fifth more, all at once, in a quiet inflow
    assert inflow_rows["injection.made_up.abrupt.20.delay"] < inflow_rows["injection.made_up.incipient.20.delay"]  # type: ignore[operator]


def test_injection_into_a_table(benchmarks: ModuleType, inflow_rows: dict[str, float | None], tmp_path: Path) -> None:
    """The made-up inflows written down and read again give the same figures."""
    data = benchmarks.injection.made_up(300)
    frame = (3600 * data["reading"]).to_pandas()
    frame.columns = ["DMA A (m3/h)", "DMA B (m3/h)"]
    frame.to_csv(tmp_path / "town.csv", index_label="time")
    setting = benchmarks.Setting(small=True, readings=tmp_path / "town.csv")
    rows = {row.id.replace("town", "made_up"): row.value for row in benchmarks.run(setting, None, "injection")}
    assert rows == pytest.approx(inflow_rows, rel=1e-6)


def test_injection_needs_long_inflows(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    short = benchmarks.injection.made_up(200)
    monkeypatch.setattr(benchmarks.injection, "made_up", lambda _: short)
    with pytest.raises(ReadingsError, match="240 or more are needed"):
        list(benchmarks.injection.injection(benchmarks.Setting(small=True)))
    assert list(benchmarks.injection.injection(benchmarks.Setting(detectors=("night",)))) == []


# -- registry ----------------------------------------------------------------------------------------------------------


def test_only_some_ids_and_no_value_no_row(benchmarks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = benchmarks.registry
    asked = []

    def measure(name: str) -> Any:
        def values(_: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
            asked.append(name)
            yield "x", (registry.Estimate(2.0, 1.0, 4.0), None)

        return values

    entries = [
        registry.Benchmark("speed", (registry.Figure(f"{name}.{{}}.a", "s"), registry.Figure(f"{name}.{{}}.b", "s")),
                           measure(name))
        for name in ("one", "two")
    ]  # fmt: skip
    monkeypatch.setattr(registry, "REGISTRY", entries)
    (row,) = registry.run(registry.Setting(), None, "two.x")
    assert (row.id, row.value, row.low, row.high) == ("two.x.a", 2.0, 1.0, 4.0)
    assert asked == ["two"]
    assert list(registry.run(registry.Setting(), None, "two.y")) == []
    assert [row.id for row in registry.run(registry.Setting())] == ["one.x.a", "two.x.a"]
