"""`fit`, `detect`, `events`, `report` and `score` of a site, as they are typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Command
from small_site import write_network

from leakdetect import cli, demo, pipeline
from leakdetect.cli.times import local, moment, window
from leakdetect.errors import InputError

UNTIL = "2025-04-18"  # the demo's burst has been found


@pytest.fixture(scope="module")
def detected(fitted_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(fitted_demo, tmp_path_factory.mktemp("run") / "town")
    pipeline.detect(folder, None, moment(UNTIL, "UTC", end=True))
    return folder


@pytest.fixture
def site(detected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(detected, tmp_path / "town")


def test_from_a_fit_to_its_score(site: Path, tmp_path: Path, run: Command) -> None:
    for name in ("model.nc", "leakdetect.db"):
        (site / name).unlink()
    code, out, err = run("fit", site, "--to", "2025-03-30")
    assert (code, out) == (0, f"{site}/model.nc\n")
    assert err == f"hydraulic model fitted; next: leakdetect detect {site}\n"
    code, out, err = run("detect", site, "--from", "2025-03-20", "--to", UNTIL, "--format", "json")
    assert code == 10
    assert err == f"{30 * 24} hours of readings taken, until 2025-04-19 00:00; {len(json.loads(out))} new events\n"
    again = run("detect", site, "--to", UNTIL, "--format", "json")
    assert again == (0, out, "no new readings, until 2025-04-19 00:00; 0 new events\n")
    truth = ["--truth", site / "truth" / "leaks.csv"]
    [row] = json.loads(run.ok("score", site, *truth, "--format", "json"))
    assert row["year"] == 2025
    assert row["true_positives"] >= 1
    (tmp_path / "events.json").write_text(out)
    network = ["--network", site / "network.inp"]
    assert json.loads(run.ok("score", tmp_path / "events.json", *truth, *network, "--format", "json")) == [row]
    assert run.ok("report", site) == f"{site}/report.html\n"
    assert demo.NAME in (site / "report.html").read_text()


def test_every_format_says_the_same(site: Path, run: Command) -> None:
    events = json.loads(run.ok("detect", site, "--to", UNTIL, "--format", "json"))
    assert isinstance(events, list)
    ids = [e["id"] for e in events]
    assert set(events[0]) == {
        "id", "status", "kind", "raised_at", "start", "start_low", "start_high", "end", "flow_m3h", "flow_low",
        "flow_high", "candidates", "zone", "evidence", "model", "data_until", "latest",
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(run.ok("detect", site, "--to", UNTIL, "--format", "csv"))))
    assert list(dict.fromkeys(row["event"] for row in rows)) == ids
    shapes = json.loads(run.ok("detect", site, "--to", UNTIL, "--format", "geojson"))
    assert [f["properties"]["event"] for f in shapes["features"] if f["properties"]["layer"] == "zone"] == ids
    table = run.ok("detect", site, "--to", UNTIL).splitlines()
    assert [line.split()[0] for line in table] == ["event", *ids]
    assert json.loads(run.ok("events", site, "list", "--format", "json")) == events
    assert run.ok("events", site) == run.ok("events", site, "list")
    assert run.ok("detect", site, "--to", "2025-03-10") == "no events\n"
    assert json.loads(run.ok("detect", site, "--to", "2025-03-10", "--format", "json")) == []


def test_the_life_of_an_event(site: Path, run: Command) -> None:
    first = json.loads(run.ok("events", site, "list", "--format", "json"))[0]
    name, pipe = first["id"], first["candidates"][0]["link"]
    assert run.ok("events", site, "confirm", name, "--why", "heard it", "--by", "ann") == f"{name}: confirmed\n"
    repair = ("repair", name, "--pipe", pipe, "--time", "2025-04-12 10:30", "--by", "bob")
    assert run.ok("events", site, *repair) == f"{name}: repaired\n"
    shown = json.loads(run.ok("events", site, "show", name, "--json"))
    assert (shown["status"], shown["end"]) == ("repaired", "2025-04-12T10:30:00Z")
    assert [(c["by"], c["status"], c["why"], c["link"]) for c in shown["changes"]] == [
        ("ann", "confirmed", "heard it", ""),
        ("bob", "repaired", "", pipe),
    ]
    text = run.ok("events", site, "show", name)
    for word in (pipe, "heard it", "2025-04-12 10:30", "m3/h", "Pipes to search, in this order", "What people said"):
        assert word in text
    assert name not in run.ok("events", site, "list", "--open")
    run.ok("detect", site, "--to", "2025-04-20")
    assert json.loads(run.ok("events", site, "show", name, "--json"))["status"] == "repaired"
    assert "dismissed" in run.ok("events", site, "dismiss", name)
    assert "no event 'nothing'" in run.refused("events", site, "show", "nothing")
    assert "no link 'p0'" in run.refused("events", site, "repair", name, "--pipe", "p0")
    assert "is not a time" in run.refused("events", site, "repair", name, "--time", "yesterday")


def test_some_of_the_events(site: Path, run: Command) -> None:
    def listed(*which: str) -> list[str]:
        return [e["id"] for e in json.loads(run.ok("events", site, "list", *which, "--format", "json"))]

    every = {e.id: e for e in pipeline.events(site)}
    first, *others = every
    pipe = every[first].candidates[0].link
    said = ("confirm", first, "--pipe", pipe, "--time", "2025-04-11 09:00", "--by", "ann")
    assert run.ok("events", site, *said) == f"{first}: confirmed\n"
    assert listed("--status", "confirmed") == [first]
    assert listed("--status", "confirmed", "--status", "open", "--status", "closed") == list(every)
    for kind in ("abrupt", "incipient"):
        assert listed("--kind", kind) == [i for i, e in every.items() if e.kind == kind]
    raised = local(every[first].raised_at, "UTC")
    later = local(every[first].raised_at + np.timedelta64(1, "m"), "UTC")
    assert listed("--since", raised) == list(every)
    assert listed("--since", later) == others
    assert listed("--since", later, "--status", "confirmed") == []
    history = json.loads(run.ok("events", site, "show", first, "--json"))["history"]
    assert [h["why"] for h in history if h["run"] is None] == [""]
    assert history[0]["why"] == "raised"
    assert history[-1]["detail"]["found"] == "2025-04-11T09:00:00Z"
    assert f"status {every[first].status}" in run.ok("events", site, "show", first)
    assert "'shut' is none of open, confirmed" in run.refused("events", site, "list", "--status", "shut")
    assert "'slow' is none of abrupt, incipient" in run.refused("events", site, "list", "--kind", "slow")


def test_what_runs_left(site: Path, run: Command) -> None:
    run.ok("detect", site, "--to", UNTIL)
    table = [line.split() for line in run.ok("runs", site).splitlines()]
    assert [row[0] for row in table] == ["run", "1", "2"]
    assert "taken" in table[1]
    assert "nothing" in table[2]
    assert run.ok("runs", site, "--last", "1").splitlines()[-1].split()[0] == "2"
    first, second = json.loads(run.ok("runs", site, "--json"))
    assert first["steps"] == 47 * 24
    assert first["raised"] == [e.id for e in pipeline.events(site)]
    assert (second["steps"], second["new"]) == (0, 0)
    far = json.loads(run.ok("runs", site, "--sensors", "--json"))
    assert {row["last"] for row in far} == {"2025-04-18T23:00:00Z"}
    assert [row["sensor"] for row in far] == [
        line.split()[0] for line in run.ok("runs", site, "--sensors").splitlines()[1:]
    ]


@contextmanager
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("TTY_COMPATIBLE", "1")
        yield


def test_bars_on_a_terminal_only(site: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _, silent, err = run("detect", site, "--to", "2025-04-19", "--format", "json")
    assert err.count("\n") == 1
    with _terminal(monkeypatch):
        _, out, err = run("detect", site, "--to", "2025-04-20", "--format", "json")
    assert "detecting" in err
    assert len(json.loads(out)) >= len(json.loads(silent))


def test_a_village_with_one_meter_and_no_model(tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    times = pd.date_range("2024-01-01", periods=120 * 96, freq="15min")
    rng = np.random.default_rng(1)
    hour = times.hour + times.minute / 60
    use = 8 + 4 * np.sin((hour - 8) * 2 * np.pi / 24) + 2 * np.sin((hour - 6) * 4 * np.pi / 24)
    flow = use * (1 + 0.05 * rng.standard_normal(times.size)) + np.where(times >= "2024-04-05 02:00", 6.0, 0.0)
    pd.DataFrame({"time": times, "inflow": flow.round(2)}).to_csv("meter.csv", index=False)
    run.ok("init", "village", "--readings", "meter.csv", "--unit", "flow=m3/h", "--timezone", "Europe/Paris")
    run.ok("check", "village")
    run.ok("fit", "village", "--to", "2024-03-15")
    [event] = json.loads(run.ok("detect", "village", "--format", "json"))
    assert "2024-04-05T00:00:00Z" <= event["raised_at"] < "2024-04-08"
    assert event["flow_low"] < 6 < event["flow_high"] + 1
    assert (event["candidates"], event["zone"]["probability"]) == ([], 1.0)
    assert [e["sensor"] for e in event["evidence"]] == ["inflow"]
    assert "district of inflow" in run.ok("events", "village")
    assert "2024" in Path(run.ok("report", "village").strip()).read_text()
    # With a drawing, the zone is all its pipes.
    write_network(tmp_path / "net.inp")
    toml = (tmp_path / "village" / "site.toml").read_text()
    drawn = toml.replace('timezone = "Eur', 'network = "../net.inp"\ntimezone = "Eur')
    (tmp_path / "village" / "site.toml").write_text(drawn + '[readings.columns]\ninflow = "P1"\n')
    (tmp_path / "village" / "leakdetect.db").unlink()
    [event] = json.loads(run.ok("detect", "village", "--format", "json"))
    assert (event["zone"]["links"], event["zone"]["length_m"]) == (["P1", "P2", "P3", "P4"], 1500)


@pytest.mark.shared
def test_ten_real_districts(shared: Path, tmp_path: Path, run: Command) -> None:
    folder = tmp_path / "ferrara"
    run.ok("init", folder, "--readings", shared / "ferrara" / "InflowData.xlsx", "--timezone", "Europe/Rome")
    run.ok("check", folder)
    run.ok("fit", folder, "--from", "2021-01-01", "--to", "2021-12-31")
    events = json.loads(run.ok("detect", folder, "--from", "2022-01-01", "--to", "2022-03-31", "--format", "json"))
    assert all("2021-12-31T23:00:00Z" <= e["raised_at"] < "2022-03-31T22:00:00Z" for e in events)
    assert run.ok("report", folder) == f"{folder}/report.html\n"


def test_times_are_local_and_a_date_is_a_whole_day() -> None:
    assert moment("2024-07-01", "Europe/Paris") == np.datetime64("2024-06-30T22:00")
    assert moment("2024-07-01 08:00", "Europe/Paris") == np.datetime64("2024-07-01T06:00")
    assert moment("2024-07-01T08:00Z", "Europe/Paris") == np.datetime64("2024-07-01T08:00")
    first, last = window("2024-07-01", "2024-07-01", "Europe/Paris")
    assert first == np.datetime64("2024-06-30T22:00")
    assert np.datetime64("2024-07-01T21:59:59") < last < np.datetime64("2024-07-01T22:00")
    assert window("2024-07-01", "2024-07-01 08:00", "UTC")[1] == np.datetime64("2024-07-01T08:00")
    assert window(None, None, "UTC") == (None, None)
    assert local(np.datetime64("2024-07-01T06:00", "ns"), "Europe/Paris") == "2024-07-01 08:00"
    assert local(None, "UTC") == ""
    with pytest.raises(InputError, match="exchange them"):
        window("2024-07-02", "2024-07-01", "UTC")
    for text in ("yesterday", "2024-13-01", "0001-01-01", ""):
        with pytest.raises(InputError, match="is not a time"):
            moment(text, "Asia/Tokyo")


def test_no_traceback_reaches_a_user(site: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no\nsuch")

    monkeypatch.setattr(pipeline, "detect", fail)
    code, out, err = run("detect", site)
    assert (code, out) == (1, "")
    assert err == "leakdetect: unexpected KeyError: 'no\\nsuch': please report it, with what --debug prints\n"
    code, _, err = run("--debug", "detect", site)
    assert code == 1
    assert "Traceback" in err
    monkeypatch.setenv("LEAKDETECT_DEBUG", "1")
    assert "Traceback" in run("detect", site)[2]


def _commands() -> list[tuple[str, ...]]:
    plain = [(c.name or c.callback.__name__,) for c in cli.app.registered_commands if c.callback]
    inner = [(c.name or c.callback.__name__) for c in cli.events.events.registered_commands if c.callback]
    return [*plain, ("events",), *(("events", "town", name) for name in inner)]


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_help_has_an_example(command: tuple[str, ...], run: Command) -> None:
    assert "Example: leakdetect " + " ".join(command[:1]) in run.ok(*command, "--help")


def test_help_lists_the_commands_as_a_user_meets_them(run: Command) -> None:
    text = run.ok("--help")
    places = [text.index(f"\n  {name} ") for name in ("demo", "init", "check", "fit", "detect", "events", "report")]
    assert places == sorted(places)


def test_help_loads_nothing_heavy() -> None:
    heavy = {"numpy", "scipy", "pandas", "xarray", "wntr", "matplotlib", "sqlalchemy", "cryptography", "numba", "dask"}
    code = "import sys; from leakdetect.cli import app; from typer.testing import CliRunner; "
    code += "r = CliRunner().invoke(app, ['detect', '--help']); print(r.exit_code, *sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert said[0] == "0"
    assert not heavy & set(said)
