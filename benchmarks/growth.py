"""How time and memory grow with the network: the exponent of a power law over invented networks of five sizes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from leakdetect.core.hydraulics import Solver
from leakdetect.core.scoring import greatest
from leakdetect.epanet import load_network
from leakdetect.epanet_state import Epanet
from leakdetect.networks import spread_sensors
from leakdetect.networks.generator import Plan, generate
from leakdetect.scenarios import Scenario, simulate
from leakdetect.steady import to_problem

from .processes import START, lay_out, run
from .registry import Figure, Setting, Target, benchmark
from .speed import best, model_of

SIZES, SMALL = (800, 3_000, 12_000, 50_000, 100_000), (100, 200, 400)
"""Junctions."""

SITES = (800, 3_000, 12_000)
"""Junctions of networks that are made sites."""

_WEEKS, _FITTED = 8, 6
_SENSORS, _STATES, _HOURS = 33, 32, 512


def _span(sizes: tuple[int, ...]) -> str:
    """Name networks of several sizes."""
    return f"{sizes[0]}-{sizes[-1]}"


# Where networks are tiny, what a call costs is most of it: no target then.
@benchmark(
    "speed",
    *(
        Figure(f"speed.growth.{{}}.{what}_{of}", "exponent", Target("<=", 1.2, small=_span(SMALL)))
        for what in ("signatures", "batch", "scoring")
        for of in ("time", "memory")
    ),
)
def growth(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Signatures at 33 sensors from a steady state, a batch of 32 states, the best link for each of 512 times.

    What is done once for a drawing (reading it, order of elimination) is left out.
    """
    sizes = SMALL if setting.small else SIZES
    measured = []
    with TemporaryDirectory(prefix="leakdetect-") as folder:
        for size in sizes:
            setting.note(f"a network of {size} junctions")
            measured.append(_kernels(_invented(Path(folder), size)))
    yield _span(sizes), _slopes(sizes, measured)


@benchmark(
    "speed",
    *(
        Figure(f"speed.growth_sites.{{}}.{what}_{of}", "exponent", Target("<=", 1.2))
        for what in ("fit", "detect", "day_more")
        for of in ("time", "memory")
    ),
)
def growth_of_sites(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Commands on eight weeks of hours of 33 sensors: fit on six weeks, detect on eight, detect on one day more."""
    if setting.small:  # a fit and two runs for each size: minutes, not seconds
        return
    measured = []
    for size in SITES:
        with TemporaryDirectory(prefix="leakdetect-") as folder:
            setting.note(f"a site of {size} junctions")
            measured.append(_commands(Path(folder), size))
    yield _span(SITES), _slopes(SITES, measured)


def _commands(folder: Path, junctions: int) -> list[tuple[float, float]]:
    """Return time of the processor [s] and memory [GB] of the three."""
    model, world, site = _invented(folder, junctions), folder / "world", folder / "site"
    sensors = spread_sensors(load_network(model), _SENSORS)
    simulate(model, world, Scenario(seed=1, days=7 * _WEEKS, step=3600, leaks_per_year=(4,)), sensors=sensors)
    lay_out(site, world, model)
    last = np.timedelta64(7 * _WEEKS - 2, "D")
    calls = (("fit", str(START + 7 * _FITTED)), ("detect", str(START + last)), ("detect", str(START + last + 1)))
    used = [run(command, str(site), "--to", until) for command, until in calls]
    return [(u.processor, u.memory) for u in used]


def _slopes(sizes: tuple[int, ...], measured: list[list[tuple[float, float]]]) -> tuple[float, ...]:
    """Return the exponents, one after another."""
    values = np.log(np.array(measured).reshape(len(sizes), -1))
    return tuple(np.polyfit(np.log(sizes), values, 1)[0].tolist())


def _invented(folder: Path, junctions: int) -> Path:
    path = folder / f"{junctions}.inp"
    plan = Plan(junctions, 22 * junctions, sources=max(1, junctions // 2500), rise=42.0, low=0.22, high=0.12)
    path.write_text(generate(plan, 1), encoding="ascii")
    return path


def _kernels(path: Path) -> list[tuple[float, float]]:
    """Return time [s] and memory [bytes] of the three."""
    network = load_network(path)
    free = np.flatnonzero(~network.is_fixed)
    random = np.random.default_rng(0)
    names = tuple(network.node_names[i] for i in free[np.linspace(0, len(free) - 1, _SENSORS).astype(np.int64)])
    nothing = np.zeros(0)
    with model_of(network, names) as model:
        demand = model.customers.nominal(np.zeros(1))[0]
        state = model.state(demand, nothing, nothing)
        every = _cost(lambda: model.signatures(state, model.rows(model.linearised(state))))
        signature = model.signatures(state, model.rows(model.linearised(state)))
    with Epanet(network) as epanet:
        solver = Solver(to_problem(network, epanet))
    given = state.head[network.is_fixed]
    guess = solver.solve(demand, given)
    draws = demand * random.uniform(0.8, 1.2, (_STATES, 1))
    batch = _cost(lambda: solver.solve(draws, given, guess=guess))
    rest = random.normal(size=(_HOURS, _SENSORS))
    return [every, batch, _cost(lambda: greatest(rest, np.eye(_SENSORS), signature))]


def _cost(call: Callable[[], object]) -> tuple[float, float]:
    seconds = best(call)
    tracemalloc.start()
    call()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, float(held)
