"""What many sites cost: side by side on two cores, and one site's day."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from leakdetect import networks, pipeline
from leakdetect.benchmark import call
from leakdetect.epanet import load_network
from leakdetect.init import init_site
from leakdetect.networks import Sensors, read_sensors, spread_sensors
from leakdetect.parallel import Crew, Done, Here, crew, usable_cores
from leakdetect.scenarios import Scenario, SensorError, simulate
from leakdetect.schema import TIME
from leakdetect.site import Site, load_site
from leakdetect.store import Store, encode

from .injection import made_up
from .registry import Figure, Setting, Target, benchmark
from .speed import best

_START = np.datetime64("2021-01-04", "ns")
_DAY = np.timedelta64(1, "D")
_HOUR = np.timedelta64(1, "h")
_INSTANT = np.timedelta64(1, "ns")
_WORKERS = 2
_FIT, _RUN, _TIMED = 28, 7, 3
"""Days: to fit on, that an earlier run took, and then one by one."""
_STEP = 900  # [s] between readings
_SENSORS, _LONG = 100, 4  # of the table that is read: so many at every minute, for so many days


@benchmark(
    "speed",
    Figure("speed.sites.{}", "s"),
    Figure("speed.sites.{}.over_serial", "times", Target(">=", 1.7, small="few_districts")),
)
def sites(setting: Setting) -> Iterator[tuple[str, tuple[float | None, ...]]]:
    """First runs of sites of one meter: on two workers, and how many times as long this process takes by itself.

    The workers have started and have imported what they need: that is done once, however many sites there are.
    Nothing is said of the ratio where there are fewer cores than workers.
    """
    name, count, days = ("few_districts", 4, 60) if setting.small else ("districts", 16, 365)
    setting.note(f"{count} sites side by side")
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as place, crew(_WORKERS) as team:
        made = _district(Path(place) / "district", days)
        pipeline.fit(made, None, _until(_FIT))
        _runs(Here(), made, 1)  # what is imported or laid out once is not what is measured
        started: set[int] = set()
        while len(started) < _WORKERS:
            started |= {pid for _, pid in _runs(team, made, _WORKERS)[1]}
        alone, together = math.inf, math.inf
        for _ in range(1 if setting.small else 3):  # the shortest: what the machine can do when it is not disturbed
            alone = min(alone, _runs(Here(), made, count)[0])
            together = min(together, _runs(team, made, count)[0])
    yield name, (together, alone / together if usable_cores() >= _WORKERS else None)


def _runs(team: Crew, made: Path, count: int) -> tuple[float, list[tuple[int, int]]]:
    """Return how long the first runs at copies of a site take [s], and what they say."""
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as place:
        folders = [shutil.copytree(made, Path(place) / str(k)) for k in range(count)]
        begin = perf_counter()
        said = [done.result() for done in _map(team, "run_of", [{"folder": folder} for folder in folders])]
        return perf_counter() - begin, said


def run_of(folder: Path) -> tuple[int, int]:
    """Run a site; return how many steps it took, and the process that did it."""
    import os

    return pipeline.detect(folder).steps, os.getpid()


@benchmark(
    "speed",
    Figure("speed.daily.{}", "core s"),
    Figure("speed.daily.{}.hour", "core s"),
    Figure("speed.daily.{}.sensors", "sensors"),
    Figure("speed.daily.{}.memory", "MB"),
    Figure("speed.daily.{}.state", "kB"),
)
def daily(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """What the daily run costs at a site of one meter and on networks, with readings every quarter of an hour.

    What a core works, not what it waits; ``hour`` is that of a run after an hour. ``memory`` is the most of a process
    that did nothing else, ``state`` what the detector keeps between runs.
    """
    named = [networks.path(name) for name in (() if setting.small else ("village", "town"))]
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as place:
        for model in (None, *named, *setting.networks):
            name = model.stem if model else "district"
            setting.note(f"daily runs of {name}")
            days, folder = _FIT + _RUN + _TIMED + 1, Path(place) / name
            sensors = _measured(model, setting) if model else None
            made = _modelled(folder, model, days, sensors) if model and sensors else _district(folder, days)
            pipeline.fit(made, None, _until(_FIT))
            first = pipeline.detect(made, _START + _FIT * _DAY, _until(_FIT + _RUN))
            assert first.steps == _RUN * 24
            shutil.copytree(made, again := made.with_name(f"{name}-again"))
            last = _FIT + _RUN + _TIMED
            took = [_worked(made, _until(day), 24) for day in range(last - _TIMED + 1, last + 1)]
            hours = [_worked(made, _until(last) + hour * _HOUR, 1) for hour in range(1, _TIMED + 1)]
            asked = [{"folder": site, "until": _until(days)} for site in (made, again)]
            with crew(_WORKERS) as team:
                memory = max(done.result() for done in _map(team, "memory_of", asked))
            with Store(load_site(made).store_path) as store:
                progress = store.progress()
            assert progress is not None
            yield (
                name,
                (
                    min(took),
                    min(hours),
                    float(len(sensors) if sensors else 1),
                    memory,
                    len(encode(progress.state)) / 1e3,
                ),
            )


def memory_of(folder: Path, until: np.datetime64) -> float:
    """Run a site; return the most memory that this process has had [MB]."""
    pipeline.detect(folder, None, until)
    told = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM:")) / 1e3


@benchmark("speed", Figure("speed.intake.{}", "readings/s"))
def intake(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Read a table of sensors at every minute, judge the readings and lay them on the site's step."""
    setting.note("taking readings in")
    random = np.random.default_rng(0)
    days = 1 if setting.small else _LONG
    minutes = pd.date_range("2021-01-04", periods=days * 1440, freq="min")
    values = 40 + np.cumsum(random.normal(0, 0.1, (len(minutes), _SENSORS)), axis=0)
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as place:
        frame = pd.DataFrame(values.round(2), index=minutes, columns=[f"s{k}" for k in range(_SENSORS)])
        frame.to_csv(Path(place) / "table.csv", index_label="time")
        block: dict[str, Any] = {"glob": "table.csv", "quantity": "pressure", "unit": "m"}
        site = Site(name="table", readings=[block], folder=Path(place))
        assert pipeline.steps_of(site, None).sizes[TIME] == days * 24
        yield "table", (values.size / best(lambda: pipeline.steps_of(site, None)),)


def _map(team: Crew, function: str, asked: list[dict[str, Any]]) -> Iterator[Done[Any]]:
    return team.map(partial(call, "sites", function), asked)


def _until(days: int) -> np.datetime64:
    return _START + days * _DAY - _INSTANT


def _worked(folder: Path, until: np.datetime64, steps: int) -> float:
    """Run a site and return how long a core worked on it [s]."""
    with threadpool_limits(1):
        begin = process_time()
        outcome = pipeline.detect(folder, None, until)
        took = process_time() - begin
    assert outcome.steps == steps
    return took


def _district(folder: Path, days: int) -> Path:
    """Make a site of one meter, which people use as `made_up` has it, without leaks."""
    folder.mkdir(parents=True)
    hourly = 3600 * made_up(days)["reading"].values[:, 0]
    quarters = np.repeat(hourly, 4) * (1 + 0.02 * np.random.default_rng(1).standard_normal(4 * len(hourly)))
    time = pd.date_range("2021-01-04", periods=len(quarters), freq="15min")
    table = folder / "readings.csv"
    pd.DataFrame({"time": time, "inflow (m3/h)": quarters.round(2)}).to_csv(table, index=False)
    init_site(folder, None, [str(table)])
    return folder


def _measured(model: Path, setting: Setting) -> Sensors:
    """Return the sensors of a network: as named, or as a world of it would have them."""
    if setting.sensors is not None and [model] == list(setting.networks):
        return read_sensors(setting.sensors)
    return networks.sensors("town") if model == networks.path("town") else spread_sensors(load_network(model))


def _modelled(folder: Path, model: Path, days: int, sensors: Sensors) -> Path:
    """Make a site of a network without leaks."""
    scenario = Scenario(seed=1, start=_START, days=days, step=_STEP, leaks_per_year=(0,), error=SensorError(noise=0.02))
    world = folder.with_name(f"{folder.name}-world")
    simulate(model, world, scenario, sensors=sensors)
    init_site(folder, next(world.glob("*.inp")), [f"{world}/*_SCADA_*.csv.gz"], {"flow": "m3/h", "demand": "L/h"})
    return folder
