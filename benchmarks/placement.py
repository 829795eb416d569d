"""Placing sensors: how long it takes, what it is worth beside random places, whether the smallest leak said is true."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from leakdetect import models, networks, pipeline, placement
from leakdetect.detectors import build
from leakdetect.epanet import load_network
from leakdetect.init import init_site
from leakdetect.models import make
from leakdetect.scenarios import Scenario, simulate
from leakdetect.scenarios.leaks import DISCHARGE, GRAVITY, Leak
from leakdetect.site import Detection
from leakdetect.units import M3H

from .processes import run
from .registry import Estimate, Figure, Setting, Target, benchmark
from .speed import paths

_SENSORS, _DRAWS = 100, 50
_DAY = np.timedelta64(1, "D")
_BEGAN = make.START + np.timedelta64(49 * 24 + 9, "h")  # a week after the window of the fit
_FACTORS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # of the flow said, that are tried
_LEAST = 0.05  # [m3/h] so that it is noise that hides a leak, not what is looked for


@benchmark("speed", Figure("speed.place.{}", "s", Target("<=", 60.0)), Figure("speed.place.{}.processor", "s"))
def place(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Place 100 sensors (a tenth of the junctions where those are fewer), the whole process."""
    for path in paths(setting):
        count = min(_SENSORS, int((~load_network(path).is_fixed).sum()) // 10)
        setting.note(f"placing {count} sensors on {path.name}")
        used = run("place", "--network", str(path), "--count", str(count))
        yield path.stem, (used.seconds, used.processor)


@benchmark(
    "accuracy",
    Figure("placement.{}.zone", "m"),
    Figure("placement.{}.zone_over_random", "times", Target("<=", 1.0)),
    Figure("placement.{}.zone_over_best_random", "times", Target("<=", 1.0)),
    Figure("placement.{}.of_best", "%", Target(">=", 63.0)),
)
def worth(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The expected zone with as many sensors as L-Town has for its size, and of that of 50 random choices."""
    for path in paths(setting):
        setting.note(f"places on {path.name}")
        network = load_network(path)
        usable = placement.places_of(network)
        count = max(len(usable) // 24, 2)
        wish = placement.Wish()
        random = np.random.default_rng(0)
        with placement.as_drawn(network, placement.usual_meters(network)) as watched:
            placed = placement.place(watched, wish, count=count)
            board = placement.Board(watched, usable, wish)
            mine = board.value(np.array([network.node(n) for n in placed.nodes]))
            drawn = [board.value(random.choice(usable, count, replace=False)) for _ in range(_DRAWS)]
        yield path.stem, (mine, mine / float(np.mean(drawn)), mine / min(drawn), 100 * placed.of_best)


@benchmark("accuracy", Figure("placement.{}.found_over_said", "times", Target("<=", 2.0)))
def smallest(setting: Setting) -> Iterator[tuple[str, tuple[Estimate]]]:
    """The smallest leak that the detector finds within a week in a simulated world, of that which was said.

    The median over pipes, and the least and the greatest.
    """
    for name, pipes in (("village", 1),) if setting.small else (("village", 8), ("town", 6)):
        setting.note(f"smallest leaks of {name}")
        found = [agreement(name, k / (pipes + 1), 7.0) for k in range(1, pipes + 1)]
        yield name, (Estimate(float(np.median(found)), min(found), max(found)),)


def agreement(name: str, where: float, days: float) -> float:
    """Return the least factor on the flow said at a pipe with which the detector finds a leak there in time.

    Parameters
    ----------
    name : str
        Of a fitted model that comes with leakdetect.
    where : float
        Of all pipes, in their order: 0 to 1.
    days : float
    """
    pipe, flow, pressure = said(name, where, days)
    return next((f for f in _FACTORS if is_found(name, pipe, f * flow, pressure, days)), np.inf)


def said(name: str, where: float, days: float) -> tuple[str, float, float]:
    """Return a pipe, the smallest leak that is said to be found there [m3/h], and the pressure there [m]."""
    network, sensors = networks.load(name), networks.sensors(name)
    listed = {"pressure": sensors.pressures, "flow": sensors.flows, "level": sensors.levels, "demand": sensors.demands}
    element = [e for names in listed.values() for e in names]
    quantity = [q for q, names in listed.items() for _ in names]
    with placement.as_fitted(network, element, quantity, element, models.load(name), _LEAST) as watched:
        found = placement.smallest(watched, (days,))
        head = np.mean([state.head for state, _ in watched.states], axis=0)
    column = round(where * (len(found.links) - 1))
    link = found.links[column]
    ends = [network.start[link], network.end[link]]
    return network.link_names[link], float(found.flow[0, column]), float((head - network.elevation)[ends].mean())


def is_found(name: str, pipe: str, flow: float, pressure: float, days: float) -> bool:
    """Say whether a leak that begins a week after the fit is raised within so many days."""
    hole = float(np.sqrt(4 * flow / M3H / (DISCHARGE * np.sqrt(2 * GRAVITY * pressure)) / np.pi))
    network = networks.load(name)
    last = int((_BEGAN - make.START) / _DAY + days) + 2
    world = Scenario(
        seed=make.SEED, start=make.START, days=last, step=make.STEP, error=make.ERROR,
        leaks=(Leak(pipe, _BEGAN, _BEGAN, None, hole),),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as work:
        folder = Path(work)
        simulate(networks.path(name), folder / "world", world, sensors=networks.sensors(name))
        readings = [str(path) for path in sorted((folder / "world").glob("*_SCADA_*.csv.gz"))]
        init_site(folder / "site", networks.path(name), readings, {"flow": "m3/h"})
        site, _ = pipeline.open_site(folder / "site")
        data = pipeline.steps_of(site, network, make.START + make.FIT_DAYS * _DAY)
    detector = build(
        make.DETECTOR, network=network, timezone=site.timezone, settings=Detection(smallest_leak_m3h=_LEAST), repairs=()
    )  # fmt: skip
    model = models.load(name)
    events = detector.update(model, detector.begin(model), data)[1]
    return any(np.timedelta64(0) <= event.raised_at - _BEGAN <= days * _DAY for event in events)
