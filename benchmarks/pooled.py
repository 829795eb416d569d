"""How good over several worlds, clean ones and those with nuisances apart, and what each part of the detector adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from leakdetect.epanet import load_network
from leakdetect.evaluate import Score, read_truth, score_battledim, years_of
from leakdetect.events import Event
from leakdetect.network import Network
from leakdetect.site import Site

from .ablation import SWITCHES
from .accuracy import detect, known_events, model_of, read
from .registry import Estimate, Figure, Setting, benchmark
from .table import LINES, MAIN, Line, estimate
from .worlds import KINDS, Plan, folder_of, kind_of, make, planned

DEFAULT, LOCATING = ("hydraulic",), ("hydraulic", "night", "pairs", "hotelling")
"""Detectors measured; those that name pipes, so that they can be scored."""
_AS_IT_IS = "as_it_is"


@dataclass(frozen=True)
class Job:
    """A detector as it is, or as a switch leaves it."""

    name: str
    detector: str
    switch: str | None = None

    def events(self, setting: Setting, world: Path, data: xr.Dataset, site: Site, network: Network) -> list[Event]:
        """Return what it raises on a world."""
        if self.switch is None:
            return known_events(setting, world, self.detector, data, site, network)
        with SWITCHES[self.switch]():
            return detect(self.detector, data, site, network)


def scores_of(setting: Setting, jobs: Sequence[Job]) -> dict[tuple[str, str], list[Score]]:
    """Score jobs on the last year of every world of two years or more, by the job's name and the world's kind.

    A job that names no pipe on a world has no score there.
    """
    worlds: list[tuple[Path, Plan | None]] = [(world, None) for world in setting.worlds]
    worlds += [(folder_of(plan, setting), plan) for plan in planned(setting)]
    asked = [
        {
            "plan": vars(plan) if plan else None,
            "jobs": [vars(job) for job in jobs],
            **setting.known(world),
        }
        for world, plan in worlds
    ]
    what = ", ".join(job.name for job in jobs)
    out: dict[tuple[str, str], list[Score]] = {(job.name, kind): [] for job in jobs for kind in KINDS}
    for kind, scores, events in setting.over(what, "pooled", "scores_on", asked):
        setting.events.update(events)
        for name, score in scores.items():
            out[name, kind].append(score)
    return out


def scores_on(
    world: Path,
    models: list[Path],
    events: dict[tuple[Path, str], list[Event]],
    plan: dict[str, Any] | None,
    jobs: list[dict[str, Any]],
) -> tuple[str, dict[str, Score], dict[tuple[Path, str], list[Event]]]:
    """Return the kind of a world, the scores of jobs on it by name, and what is known of events then.

    Parameters
    ----------
    world : Path
        Its folder.
    models : list of Path
        The model, if it brings none.
    events : dict
        That are known already, by world and detector.
    plan : dict, optional
        Of `Plan`, to make it.
    jobs : list of dict
        Each of `Job`.
    """
    if plan is not None:
        make(Plan(**plan), world)
    setting = Setting(networks=tuple(models), events=events)
    network = load_network(model_of(world, setting))  # says what is wrong with a folder before years are counted
    years, scores = years_of(world / "leaks.csv"), {}
    if len(years) > 1:
        leaks = read_truth(world / "leaks.csv", network)
        data, site = read(world, network)
        for job in (Job(**asked) for asked in jobs):
            found = job.events(setting, world, data, site, network)
            if all(event.candidates for event in found):
                scores[job.name] = score_battledim(network, found, leaks, years[-1])
    return kind_of(world), scores, events


def _figures(prefix: str, lines: Sequence[Line], *, judged: bool) -> list[Figure]:
    return [
        Figure(f"{prefix}.{kind}.{{}}.{line.id}", line.unit, line.targets[kind] if judged else None)
        for kind in KINDS
        for line in lines
    ]


def _rows(
    lines: Sequence[Line], jobs: Sequence[Job], scores: dict[tuple[str, str], list[Score]]
) -> Iterator[tuple[str, tuple[Estimate | None, ...]]]:
    for job in jobs:
        found = [
            estimate(line.measure, scores[job.name, kind]) if scores[job.name, kind] else None
            for kind in KINDS
            for line in lines
        ]
        yield job.name, tuple(found)


@benchmark("accuracy", *_figures("pooled", LINES, judged=True))
def pooled(setting: Setting) -> Iterator[tuple[str, tuple[Estimate | None, ...]]]:
    """Score detectors over worlds: fitted on the first year, run over both, scored on the second."""
    names = setting.detectors or (LOCATING if setting.every else DEFAULT)
    jobs = [Job(name, name) for name in names]
    yield from _rows(LINES, jobs, scores_of(setting, jobs))


@benchmark("accuracy", *_figures("ablation", MAIN, judged=False))
def ablation(setting: Setting) -> Iterator[tuple[str, tuple[Estimate | None, ...]]]:
    """Score the hydraulic detector over the same worlds with each of its switches turned."""
    if not setting.ablation:
        return
    jobs = [Job(_AS_IT_IS, "hydraulic"), *(Job(switch, "hydraulic", switch) for switch in SWITCHES)]
    yield from _rows(MAIN, jobs, scores_of(setting, jobs))
