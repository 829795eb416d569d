"""Calls that tests of crews make, in a module that other processes can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from leakdetect.cli.sites import Report, Visit, visit
from leakdetect.errors import MissingFileError


def squared(number: int) -> int:
    return number**2


def patient(asked: tuple[Path, Path | None]) -> str:
    """Write a file, but wait for another first: whoever made the call that writes that one is at work meanwhile."""
    written, awaited = asked
    while awaited is not None and not awaited.exists():
        time.sleep(0.01)
    written.touch()
    return written.name


def troubled(number: int) -> int:
    if number == 1:
        raise MissingFileError("x.csv: no such file: name another")
    if number == 2:
        Path("/nowhere/at/all").read_text()
    if number == 3:
        raise _OddError(1, 2)
    return number


class _OddError(Exception):
    """Of a library that did not think of other processes: what is sent of it cannot be read again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def threads(_: object) -> set[int]:
    """Say how many threads each library of linear algebra may use."""
    from threadpoolctl import threadpool_info

    return {one["num_threads"] for one in threadpool_info()}


def process(_: object) -> int:
    return os.getpid()


def deadly(asked: tuple[Path, int]) -> str:
    """Kill the process that does it, the first few times: each leaves a line in a file."""
    flag, times = asked
    done = len(flag.read_text().splitlines()) if flag.is_file() else 0
    if done < times:
        flag.write_text("x\n" * (done + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return flag.name


def visit_and_die(asked: tuple[Visit, Path | None, bool]) -> Report:
    """Visit a site; the first time, die before or after what is new was taken and kept."""
    what, flag, after = asked
    first = flag is not None and not flag.exists()
    if first and not after:
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    report = visit(what)
    if first:
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return report


def switched(name: str) -> Any:
    """Return what a switch of the ablation makes of a value, and what it is afterwards, in this process."""
    from leakdetect.benchmark import load_registry
    from leakdetect.stages.detection import tracker

    with load_registry().ablation.SWITCHES[name]():
        inside = tracker._RAMP_FROM
    return inside, tracker._RAMP_FROM
