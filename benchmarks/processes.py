"""How long a command takes, whole process: start-up, the daily run, two years of a named world."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from leakdetect import networks
from leakdetect.evaluate import years_of
from leakdetect.init import init_site
from leakdetect.networks import spread_sensors
from leakdetect.scenarios import Scenario, simulate

from .accuracy import TABLES, model_of
from .registry import Figure, Setting, Target, benchmark

_DAY = np.timedelta64(1, "D")
START = np.datetime64("2018-01-01")
_STARTS = 5
_MAIN = "from leakdetect.cli import main; main()"


@benchmark("speed", Figure("speed.start.{}", "s", Target("<=", 0.3)))
def start(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Take the shortest of five starts of the command line that says what it can do."""
    setting.note("starting up")
    yield "help", (min(run("--help").seconds for _ in range(_STARTS)),)


@benchmark(
    "speed",
    Figure("speed.day_more.{}", "s", Target("<=", 3.0)),
    Figure("speed.day_more.{}.processor", "s"),
    Figure("speed.day_more.{}.memory", "GB"),
)
def day_more(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """`detect` on one day more than the last run knew, on a site made of a sample network."""
    name, days, fitted, step = ("village", 24, 20, 3600) if setting.small else ("town", 70, 56, 300)
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as folder:
        setting.note(f"simulating {name}")
        network, world, site = networks.load(name), Path(folder) / "world", Path(folder) / "site"
        sensors = spread_sensors(network, 6) if name == "village" else networks.sensors(name)
        simulate(
            networks.path(name), world, Scenario(seed=1, days=days, step=step, leaks_per_year=(4,)), sensors=sensors
        )
        lay_out(site, world, networks.path(name))
        setting.note(f"one day more of {name}")
        run("fit", str(site), "--to", str(START + fitted * _DAY))
        run("detect", str(site), "--to", str(START + (days - 2) * _DAY))
        used = run("detect", str(site))
        yield name, (used.seconds, used.processor, used.memory)


@benchmark(
    "speed",
    Figure("speed.years.{}", "s", Target("<=", 120.0)),
    Figure("speed.years.{}.processor", "s"),
    Figure("speed.years.{}.memory", "GB", Target("<=", 1.5)),
    Figure("speed.years.{}.fit", "s"),
    Figure("speed.years.{}.detect", "s"),
    Figure("speed.years.{}.day_more", "s", Target("<=", 3.0)),
)
def years(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Fit the first year of a named world, go over all but its last day, then over that; the memory is the most."""
    for world in setting.worlds:
        known = years_of(world / "leaks.csv")
        if len(known) < 2:
            continue
        with tempfile.TemporaryDirectory(prefix="leakdetect-") as folder:
            site = Path(folder) / "site"
            lay_out(site, world, model_of(world, setting))
            setting.note(f"fitting {world.name}")
            fit = run("fit", str(site), "--to", f"{known[0]}-12-31")
            setting.note(f"detecting on {world.name}")
            detect = run("detect", str(site), "--to", f"{known[-1]}-12-30")
            day = run("detect", str(site))
        memory = max(used.memory for used in (fit, detect, day))
        whole = fit.seconds + detect.seconds, fit.processor + detect.processor
        yield world.name, (*whole, memory, fit.seconds, detect.seconds, day.seconds)


def lay_out(site: Path, world: Path, model: Path) -> None:
    """Make a site of a world in BattLeDIM's layout, as `leakdetect init` does."""
    present = [name for name in TABLES if any(world.glob(f"*_SCADA_{name}.csv*"))]
    repairs = sorted(world.glob("*_Fixing_Reports.txt"))
    init_site(
        site,
        model,
        [str(world.resolve() / f"*_SCADA_{name}.csv*") for name in present],
        {"flow": TABLES["Flows"], "demand": TABLES["Demands"]},
        repairs[0] if repairs else None,
    )


@dataclass(frozen=True)
class Used:
    """What a process used: time by the clock and of the processor [s], the most memory it held [GB]."""

    seconds: float
    processor: float
    memory: float


def run(*arguments: str) -> Used:
    """Run a command of leakdetect in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    begin = perf_counter()
    process = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-c", _MAIN, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"leakdetect {' '.join(arguments)} failed: {said.strip()}")
    size = used.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    return Used(perf_counter() - begin, used.ru_utime + used.ru_stime, size)
