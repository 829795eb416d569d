"""What readings cost as they arrive: how many a second, how long until they are judged and kept, how much memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect import pipeline
from leakdetect.watch import Taken, Watch, watch
from leakdetect.watch.messages import from_lines

from .registry import Figure, Setting, Target, benchmark

_STEP, _FIT_DAYS = 300, 28  # [s] between readings; days to fit on
_START = np.datetime64("2021-01-04", "s")
_SENSORS, _READINGS, _PIECE = 100, 10_000_000, 10_000  # at once
_PACE = 50_000  # readings a second
_SMALL = (4, 40_000, 400)


@benchmark(
    "speed",
    Figure("speed.watch.{}", "readings/s", Target(">=", 50_000, small="district_4")),
    Figure("speed.watch.{}.p99", "s", Target("<=", 1.0)),
    Figure("speed.watch.{}.memory", "% of that after a third", Target("<=", 110, small="district_4")),
)
def streaming(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """JSON lines into a watched site of flow meters: how many a second it can take; and what 50,000 a second wait.

    A piece of lines waits from when it is there until all is kept that follows from it: on the disk, in the store,
    alerts with it. The 99th percentile is over the pieces.
    """
    sensors, count, piece = _SMALL if setting.small else (_SENSORS, _READINGS, _PIECE)
    name = f"district_{sensors}"
    setting.note(f"{count} readings of {sensors} sensors as they arrive")
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as place:
        folder = _site(Path(place), sensors)
        with watch(folder, lambda _: None) as watched:
            watched.advance()
            seconds, times, memory = _feed(watched, sensors, count, piece)
    third = memory[len(memory) // 3]
    yield name, (count / seconds, float(np.quantile(times, 0.99)), 100 * max(memory[len(memory) // 3 :]) / third)


def _flow(sensors: int, first: int, steps: int) -> NDArray[np.float64]:
    """Return what the meters of a district say [m3/h], shape (steps, sensors)."""
    hour = ((first + np.arange(steps)) * _STEP / 3600) % 24
    use = 20 + 10 * np.sin((hour - 8) * np.pi / 12) + 4 * np.sin((hour - 6) * np.pi / 6)
    random = np.random.default_rng(first)
    return (use[:, None] * random.normal(1.0, 0.05, (steps, sensors))).round(3)


def _site(folder: Path, sensors: int) -> Path:
    """Make a site of one district, fitted."""
    steps = _FIT_DAYS * 86400 // _STEP
    table = pd.DataFrame(_flow(sensors, 0, steps), columns=[f"f{k}" for k in range(sensors)])
    table.insert(0, "time", _START + np.arange(steps) * _STEP)
    table.to_csv(folder / "inflow.csv", index=False)
    block = '[[readings]]\nglob = "inflow.csv"\nquantity = "flow"\nunit = "m3/h"\n'
    (folder / "site.toml").write_text(f'name = "district"\n{block}', encoding="utf-8")
    pipeline.fit(folder)
    return folder


def _feed(watched: Watch, sensors: int, count: int, piece: int) -> tuple[float, list[float], list[int]]:
    """Return the time worked [s], how long each piece of lines waited [s], the process's memory after each [bytes]."""
    rows, step, delays, memory = piece // sensors, _FIT_DAYS * 86400 // _STEP, list[float](), list[int]()
    clock, worked, waiting = 0.0, 0.0, list[float]()  # the time to write the lines does not count

    def timed(call: Callable[[], Taken | None]) -> None:
        nonlocal clock, worked
        start = perf_counter()
        taken = call()
        spent = perf_counter() - start
        clock, worked = clock + spent, worked + spent
        if taken is not None:
            delays.extend(clock - since for since in waiting)
            waiting.clear()

    def receive(lines: list[bytes]) -> None:
        watched.receive(from_lines(lines, lambda _: None))

    for number in range(count // piece):
        lines = _lines(sensors, step, rows)
        here = number * piece / _PACE
        if clock < here and waiting:
            timed(watched.advance)
        clock = max(clock, here)
        waiting.append(here)
        timed(partial(receive, lines))
        busy = clock >= here + piece / _PACE
        timed(partial(watched.advance, busy=busy))
        memory.append(_resident())
        step += rows
    return worked, delays, memory


def _lines(sensors: int, step: int, rows: int) -> list[bytes]:
    stamps = _START + (step + np.arange(rows)) * _STEP
    return [
        f'{{"time": "{stamp}Z", "sensor": "f{k}", "value": {value}}}'.encode()
        for stamp, row in zip(stamps, _flow(sensors, step, rows).tolist(), strict=True)
        for k, value in enumerate(row)
    ]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
