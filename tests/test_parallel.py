"""Crews: the same results in this process, in a pool and on a Dask cluster; failures and killed processes."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import parallel_calls as calls
import pytest
from command import Command
from threadpoolctl import threadpool_info, threadpool_limits

from leakdetect import errors, parallel, pipeline
from leakdetect.cli.listing import Format
from leakdetect.cli.sites import Visit, visit
from leakdetect.errors import InputError, LeakdetectError, MissingExtraError, MissingFileError, SchedulerError
from leakdetect.init import init_site
from leakdetect.parallel import Crew, Done, Here, UnexpectedError, WorkerError, crew
from leakdetect.stages.detection import tracker


@pytest.fixture(scope="module")
def pool() -> Iterator[Crew]:
    with crew(2) as team:
        yield team


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler and two workers of one thread each; give the scheduler's address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=60,
        local_directory=tmp_path_factory.mktemp("dask"),
    ) as started:  # fmt: skip
        yield started.scheduler_address


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three fitted sites of one meter; the inflow of the first and the last has a leak at the end."""
    place = tmp_path_factory.mktemp("districts")
    times = pd.date_range("2024-01-01", periods=75 * 24, freq="h")
    made = []
    for k in range(3):
        noise = 1 + 0.05 * np.random.default_rng(k).standard_normal(times.size)
        leak = np.where(times >= "2024-03-05 02:00", 0.0 if k == 1 else 6.0, 0.0)
        flow = (8 + 4 * np.sin((times.hour - 8) * 2 * np.pi / 24)) * noise + leak
        table = place / f"meter{k}.csv"
        pd.DataFrame({"time": times, "inflow": flow.round(2)}).to_csv(table, index=False)
        init_site(place / f"d{k}", None, [str(table)], {"flow": "m3/h"})
        pipeline.fit(place / f"d{k}", None, np.datetime64("2024-02-15"))
        made.append(place / f"d{k}")
    return made


@pytest.fixture
def sites(fitted: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copies of them in the working directory, by name."""
    monkeypatch.chdir(tmp_path)
    return [str(shutil.copytree(site, Path(site.name))) for site in fitted]


# -- crews -------------------------------------------------------------------------------------------------------------


def test_a_pool_yields_as_calls_finish_in_other_processes(pool: Crew, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    came = [(done.index, done.value) for done in pool.map(calls.patient, [(first, second), (second, None)])]
    assert came == [(1, "second"), (0, "first")]
    assert [(done.index, done.value) for done in Here().map(calls.squared, [1, 2, 3])] == [(0, 1), (1, 4), (2, 9)]
    assert os.getpid() not in {done.value for done in pool.map(calls.process, range(4))}
    assert list(pool.map(calls.squared, [])) == []
    assert [done.value for done in pool.map(calls.process, [0])] == [os.getpid()]  # one thing is not worth a process


def test_a_failure_is_that_calls_alone(pool: Crew) -> None:
    for team in (Here(), pool):
        came = {done.index: done for done in team.map(calls.troubled, range(5))}
        assert [came[i].value for i in range(5)] == [0, None, None, None, 4]
        with pytest.raises(MissingFileError, match=r"^x\.csv: no such file: name another$"):
            came[1].result()
        assert isinstance(came[2].error, FileNotFoundError)
        assert came[2].error.filename == "/nowhere/at/all"
        with pytest.raises(UnexpectedError, match="_OddError: 1 and 2") as raised:
            came[3].result()
        assert "in troubled" in raised.value.__notes__[0]


def test_every_error_survives_the_way() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, LeakdetectError)]
    assert len(kinds) > 10
    for kind in kinds:
        there = pickle.loads(pickle.dumps(Done(0, error=kind("a 'b' c"))))
        assert (type(there.error), str(there.error)) == (kind, "a 'b' c")


def test_each_call_has_one_thread(pool: Crew) -> None:
    import scipy.linalg  # noqa: F401

    with threadpool_limits(2):
        assert {one["num_threads"] for one in threadpool_info()} == {2}
        assert [done.value for done in Here().map(calls.threads, [0])] == [{1}]
        assert {one["num_threads"] for one in threadpool_info()} == {2}
    assert all(done.value == {1} for done in pool.map(calls.threads, range(4)))


def test_a_switch_turns_in_the_process_that_works(pool: Crew) -> None:
    before = tracker._RAMP_FROM
    assert before != np.inf
    assert [done.value for done in pool.map(calls.switched, ["steps_only"] * 3)] == [(np.inf, before)] * 3


def test_a_worker_of_another_version_is_refused() -> None:
    done = parallel._one(calls.squared, 0, 3, "0.0.0")
    with pytest.raises(InputError, match=r"has leakdetect .*, not 0\.0\.0: install the same"):
        done.result()


def test_a_pool_survives_killed_processes(tmp_path: Path) -> None:
    asked = [(tmp_path / f"call{k}", times) for k, times in enumerate((0, 1, 0, 99, 0, 0))]
    with crew(2) as team:
        came = {done.index: done for done in team.map(calls.deadly, asked)}
        assert [came[i].value for i in range(6)] == ["call0", "call1", "call2", None, "call4", "call5"]
        with pytest.raises(WorkerError, match="killed each time"):
            came[3].result()
        assert [done.value for done in team.map(calls.squared, [2, 2])] == [4, 4]  # and goes on


def test_a_cluster_survives_a_killed_worker(cluster: str, tmp_path: Path) -> None:
    asked = [(tmp_path / f"call{k}", int(k == 1)) for k in range(4)]
    with crew(scheduler=cluster) as team:
        came = {done.index: done.value for done in team.map(calls.deadly, asked)}
        failed = {done.index: done.error for done in team.map(calls.troubled, range(4))}
    assert came == {0: "call0", 1: "call1", 2: "call2", 3: "call3"}
    assert (tmp_path / "call1").exists()
    assert [type(failed[i]) for i in range(4)] == [type(None), MissingFileError, FileNotFoundError, UnexpectedError]


@pytest.mark.slow
def test_what_kills_every_worker_of_a_cluster_is_given_up(cluster: str, tmp_path: Path) -> None:
    with crew(scheduler=cluster) as team:
        came = {done.index: done for done in team.map(calls.deadly, [(tmp_path / "a", 0), (tmp_path / "b", 99)])}
    assert came[0].value == "a"
    with pytest.raises(WorkerError, match="all killed"):
        came[1].result()


def test_a_scheduler_that_is_not_there(
    sites: list[str], run: Command, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    with pytest.raises(SchedulerError, match="'nowhere' is no address of a Dask scheduler"), crew(scheduler="nowhere"):
        pass
    monkeypatch.setattr(parallel, "_ANSWER", 0.3)
    address = f"tcp://127.0.0.1:{unused_port}"
    assert f"{address}: no Dask scheduler answers" in run.refused("detect", *sites, "--scheduler", address)
    monkeypatch.setattr(parallel, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError), crew(scheduler=address):
        pass
    assert "pip install 'leakdetect[dask]'" in run.refused("detect", *sites, "--scheduler", address)
    assert "with --keep" in run.refused("benchmark", "accuracy", "--scheduler", address)
    assert not any(Path(site, "leakdetect.db").exists() for site in sites)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# -- detect, of several sites ------------------------------------------------------------------------------------------


def test_several_sites_say_what_each_says_alone(sites: list[str], run: Command) -> None:
    code, out, err = run("detect", *sites, "--workers", "2", "--format", "json")
    assert code == 10
    assert err.splitlines()[-1] == "3 sites, 0 failed; 2 new events"
    assert {line.partition(":")[0] for line in err.splitlines()[:-1]} == set(sites)
    states = {site: _kept(site) for site in sites}
    events = json.loads(out)
    assert [event.pop("site") for event in events] == ["d0", "d2"]
    assert events == [e for site in sites for e in json.loads(run.ok("events", site, "list", "--format", "json"))]
    assert "several sites" in run.refused("score", _written(out), "--truth", "leaks.csv", "--rule", "leakdb")
    for site in sites:
        Path(site, "leakdetect.db").unlink()
    assert run("detect", *sites, "--workers", "1", "--format", "json")[:2] == (10, out)
    assert {site: _kept(site) for site in sites} == states
    one, ids = ("--workers", "1"), [event["id"] for event in events]
    table = run.ok("detect", *sites, *one).splitlines()
    assert [line.split()[:2] for line in table] == [["site", "event"], ["d0", ids[0]], ["d2", ids[1]]]
    rows = run.ok("detect", *sites, *one, "--format", "csv").splitlines()
    assert [line.split(",")[:2] for line in rows] == [["site", "event"], ["d0", ids[0]], ["d2", ids[1]]]
    shapes = json.loads(run.ok("detect", *sites, *one, "--format", "geojson"))["features"]
    assert [(s["properties"]["site"], s["properties"]["event"]) for s in shapes] == list(
        zip(("d0", "d2"), ids, strict=True)
    )
    assert run.ok("detect", *sites, *one, "--to", "2024-02-20") == "no events\n"


def _kept(site: str) -> Any:
    """Return what a run has left, to the last digit."""
    from leakdetect.site import load_site
    from leakdetect.store import Store, encode

    with Store(load_site(Path(site)).store_path) as store:
        progress = store.progress()
        assert progress is not None
        series = repr(pipeline.results(Path(site))[2].to_dict())  # as text, in which NaN is itself
        return progress.until, encode(progress.state), store.events(), series


def _written(text: str) -> Path:
    path = Path("events.json")
    path.write_text(text)
    return path


def test_a_site_that_fails_stops_no_other(sites: list[str], run: Command) -> None:
    Path("d0", "model.nc").unlink()
    Path("d1", "site.toml").write_text("name = 3")
    code, out, err = run("detect", *sites, "nowhere", "--format", "json")
    assert code == 2
    assert [event["site"] for event in json.loads(out)] == ["d2"]
    said = sorted(line for line in err.splitlines() if line.startswith("leakdetect: "))
    assert [line.split(":")[1].split("/")[0].strip() for line in said] == ["d0", "d1", "nowhere"]
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "4 sites, 3 failed; 1 new events"


def test_an_error_of_ours_at_a_site(sites: list[str], run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pipeline.detect

    def fail(folder: Path, *rest: Any) -> pipeline.Outcome:
        return real(folder, *rest) if folder.name == "d2" else {}["no such"]  # type: ignore[return-value]

    monkeypatch.setattr(pipeline, "detect", fail)
    code, out, err = run("detect", *sites, "--workers", "1", "--format", "json")
    assert (code, len(json.loads(out))) == (1, 1)
    assert "leakdetect: d0: unexpected KeyError: 'no such': please report it, with what --debug prints\n" in err
    assert "Traceback" not in err
    assert "in fail" in run("--debug", "detect", *sites, "--workers", "1")[2]


def test_what_is_refused_before_any_site_is_touched(sites: list[str], run: Command) -> None:
    assert "is not a time" in run.refused("detect", *sites, "--to", "yesterday")
    assert "d0/../d0: named twice" in run.refused("detect", "d0", "d0/../d0")
    text = Path("d1", "site.toml").read_text()
    Path("d1", "site.toml").write_text(text.replace("\ntimezone", '\ncrs = "EPSG:2154"\ntimezone', 1))
    assert "d1: crs is EPSG:2154, that of d0 is not given" in run.refused("detect", *sites, "--format", "geojson")
    shared = '\n[store]\nurl = "sqlite:///shared.db"\nsite = "{}"\n'
    for site, name in zip(sites, ("a", "b", "a"), strict=True):
        with Path(site, "site.toml").open("a") as file:
            file.write(shared.format(name))
    said = run.refused("detect", *sites)
    assert "d2/site.toml: 'a' in the database that it shares, as d0 is: give each its own site under [store]" in said
    assert not Path("shared.db").exists()
    assert not any(Path(site, "leakdetect.db").exists() for site in sites)


@pytest.mark.slow
def test_a_cluster_whose_workers_are_killed_says_what_one_process_says(
    cluster: str, sites: list[str], run: Command, tmp_path: Path
) -> None:
    """One worker dies before a site's events are kept, another just after: each site is still taken once."""
    visits = [Visit(Path(site).resolve(), None, None, Format.JSON) for site in sites]
    asked = [(one, tmp_path / f"died{k}" if k else None, k == 2) for k, one in enumerate(visits)]
    with crew(scheduler=cluster) as team:
        came = {done.index: done.result() for done in team.map(calls.visit_and_die, asked)}
    assert (tmp_path / "died1").exists()
    assert (tmp_path / "died2").exists()
    there = {site: _kept(site) for site in sites}
    printed = run.ok("detect", *sites, "--scheduler", cluster, "--format", "json")
    for site in sites:
        Path(site, "leakdetect.db").unlink()
    alone = [visit(one) for one in visits]
    assert [came[k].listing for k in range(3)] == [report.listing for report in alone]
    assert came[2].new == 0  # the process that raised it died before it could say so
    assert {site: _kept(site) for site in sites} == there
    assert run.ok("detect", *sites, "--workers", "1", "--format", "json") == printed
    one = [done.result() for done in Here().map(visit, [replace(visits[0], form=Format.TABLE)])]
    assert one[0].summary.startswith("no new readings")
