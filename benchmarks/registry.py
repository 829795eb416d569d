"""The list of benchmarks, what one is, and how they are run."""

from __future__ import annotations

import math
import operator
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakdetect.benchmark import call
from leakdetect.parallel import Crew, Here

if TYPE_CHECKING:
    from leakdetect.events import Event

_COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le}


@dataclass(frozen=True)
class Target:
    """What a figure is to reach."""

    sign: str  # '>=', '>' or '<='
    value: float
    small: str = ""  # a thing too small to be held to it
    upto: float = math.inf  # where there is a too much as well

    def met(self, value: float) -> bool:
        """Say whether it is reached; NaN never is."""
        return bool(_COMPARE[self.sign](value, self.value) and value <= self.upto)

    def __str__(self) -> str:
        return f"{self.value:g}-{self.upto:g}" if math.isfinite(self.upto) else f"{self.sign} {self.value:g}"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval, NaN where there is none, and its target where that goes by size."""

    value: float
    low: float = math.nan
    high: float = math.nan
    target: Target | None = None


@dataclass(frozen=True)
class Row:
    """A figure: `ok` is None where nothing is wanted of it, `low` and `high` where no interval is known."""

    id: str
    value: float | None
    unit: str
    target: str | None
    ok: bool | None
    machine: str
    low: float | None = None
    high: float | None = None

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
        Names of `leakdetect.detectors`; if empty, all on single worlds and the hydraulic one over worlds.
    every : bool
        Over worlds, every detector that names pipes.
    simulate : int or None
        How many two-year worlds to make on each network; None makes two where no worlds are named.
    sensors : Path or None
        Where the first network is measured; spread over it if None.
    seed : int
        Of the first of these worlds; the next has the next.
    keep : Path or None
        Where worlds are made, and found again by a later run; None for a folder that goes with the run.
    ablation : bool
        Run the hydraulic detector with each of its switches turned, too.
    readings : Path or None
        A table of inflows, or a site folder, for leaks to be added to; made up if None.
    note : callable
        Told what is being measured.
    events : dict
        What detectors have raised in this run, by world and detector: several benchmarks ask for the same.
    crew : Crew
        Who takes the worlds: this process one after the other, or several side by side.
    """

    small: bool = False
    worlds: tuple[Path, ...] = ()
    networks: tuple[Path, ...] = ()
    detectors: tuple[str, ...] = ()
    every: bool = False
    simulate: int | None = None
    sensors: Path | None = None
    seed: int = 1
    keep: Path | None = None
    ablation: bool = False
    readings: Path | None = None
    note: Callable[[str], None] = field(default=lambda text: None)
    events: dict[tuple[Path, str], list[Event]] = field(default_factory=dict, compare=False)
    crew: Crew = field(default_factory=Here, compare=False)

    def known(self, world: Path) -> dict[str, Any]:
        """Return what is known of a world, for who takes it: its folder, models it may have, events raised on it."""
        here = world.resolve()
        events = {key: raised for key, raised in self.events.items() if key[0] == here}
        return {"world": here, "models": [path.resolve() for path in self.networks], "events": events}

    def over(self, what: str, module: str, function: str, asked: Sequence[dict[str, Any]]) -> list[Any]:
        """Let the crew call a function of a benchmark module on each of several worlds; return what it says, in order.

        Parameters
        ----------
        what : str
            That is being done, for the user.
        module, function : str
        asked : sequence of dict
            The function's keywords, of each world; see `leakdetect.benchmark.call`.
        """
        said: list[Any] = [None] * len(asked)
        self.note(f"{what}: 0 of {len(asked)} worlds")
        for count, done in enumerate(self.crew.map(partial(call, module, function), asked), 1):
            said[done.index] = done.result()
            self.note(f"{what}: {count} of {len(asked)} worlds")
        return said


Measure = Callable[[Setting], Iterator[tuple[str, tuple[float | Estimate | None, ...]]]]
"""Yields the name of what it measured on, and a value for each figure; NaN where there is none, None where the figure
is not one of this thing."""


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


def run(setting: Setting, group: str | None = None, only: str = "") -> Iterator[Row]:
    """Run the benchmarks of a group, or all, and yield their figures as they come; `only` those whose ids begin so."""
    where = machine()
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as folder:
        setting = replace(setting, keep=setting.keep or Path(folder))
        for entry in REGISTRY:
            wanted = any(_may_begin(figure, only) for figure in entry.figures)
            if not wanted or (group is not None and entry.group != group):
                continue
            for name, values in entry.measure(setting):
                for figure, value in zip(entry.figures, values, strict=True):
                    if value is not None and figure.id.format(name).startswith(only):
                        yield _row(figure, name, value if isinstance(value, Estimate) else Estimate(value), where)


def _may_begin(figure: Figure, only: str) -> bool:
    """Say whether an id of a figure may begin so, whatever it is measured on."""
    before = figure.id.partition("{}")[0]
    return before.startswith(only) or only.startswith(before)


def _row(figure: Figure, name: str, found: Estimate, where: str) -> Row:
    target = found.target or figure.target
    target = target if target and target.small != name else None
    value, low, high = (float(v) if math.isfinite(v) else None for v in (found.value, found.low, found.high))
    return Row(
        id=figure.id.format(name),
        value=value,
        unit=figure.unit,
        target=str(target) if target else None,
        ok=target.met(found.value) if target else None,
        machine=where,
        low=low,
        high=high,
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
