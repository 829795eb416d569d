"""The list of benchmarks, what one is, and how they are run."""

from __future__ import annotations

import math
import operator
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_COMPARE = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Target:
    """What a figure is to reach."""

    sign: str  # '>=' or '<='
    value: float
    small: str = ""  # a thing too small to be held to it

    def met(self, value: float) -> bool:
        """Say whether it is reached; NaN never is."""
        return bool(_COMPARE[self.sign](value, self.value))

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """A figure: `ok` is None where nothing is wanted of it."""

    id: str
    value: float | None
    unit: str
    target: str | None
    ok: bool | None
    machine: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Setting:
    """What to measure on.

    Attributes
    ----------
    small : bool
        The smallest that still shows something: seconds, for a quick look and for the tests.
    worlds : tuple of Path
        Folders in the BattLeDIM layout, for accuracy.
    networks : tuple of Path
        Model files: more for speed, and the model of worlds that bring none.
    detectors : tuple of str
        Names of `leakdetect.detectors`; all if empty.
    note : callable
        Told what is being measured.
    """

    small: bool = False
    worlds: tuple[Path, ...] = ()
    networks: tuple[Path, ...] = ()
    detectors: tuple[str, ...] = ()
    note: Callable[[str], None] = field(default=lambda text: None)


Measure = Callable[[Setting], Iterator[tuple[str, tuple[float, ...]]]]
"""Yields the name of what it measured on, and a value for each figure; NaN where there is none."""


@dataclass(frozen=True)
class Figure:
    """What is measured: the id, ``{}`` standing for what it is measured on."""

    id: str
    unit: str
    target: Target | None = None


@dataclass(frozen=True)
class Benchmark:
    """A function and the figures it measures, in its order."""

    group: str
    figures: tuple[Figure, ...]
    measure: Measure


REGISTRY: list[Benchmark] = []
"""Every benchmark, in the order they are run."""


def benchmark(group: str, *figures: Figure) -> Callable[[Measure], Measure]:
    """Register a function that yields, for each thing it measures on, its name and a value for each figure."""

    def register(measure: Measure) -> Measure:
        known = {figure.id for other in REGISTRY for figure in other.figures}
        twice = known & {figure.id for figure in figures}
        if twice:
            raise ValueError(f"benchmark id '{twice.pop()}' is taken: ids are permanent, choose a new one")
        REGISTRY.append(Benchmark(group, figures, measure))
        return measure

    return register


def run(setting: Setting, group: str | None = None) -> Iterator[Row]:
    """Run the benchmarks of a group, or all, and yield their figures as they come."""
    where = machine()
    for entry in REGISTRY:
        if group is not None and entry.group != group:
            continue
        for name, values in entry.measure(setting):
            for figure, value in zip(entry.figures, values, strict=True):
                target = figure.target if figure.target and figure.target.small != name else None
                yield Row(
                    id=figure.id.format(name),
                    value=float(value) if math.isfinite(value) else None,
                    unit=figure.unit,
                    target=str(target) if target else None,
                    ok=target.met(value) if target else None,
                    machine=where,
                )


def machine() -> str:
    """Return what the figures were taken on."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        lines = cpus.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{name}, {os.cpu_count()} CPUs, {platform.system()}, Python {version}"
