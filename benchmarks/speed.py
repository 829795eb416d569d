"""How fast the hydraulics are: each figure on the sample networks and on every network that is named.

Times are of the processor, so that what else the machine does counts less; each ratio is of times taken in one run.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import numpy as np

from leakdetect import networks
from leakdetect.core.hydraulics import Solver, Steady, supplied
from leakdetect.epanet import load_network, read_wntr
from leakdetect.epanet_state import Epanet
from leakdetect.errors import ConvergenceError
from leakdetect.network import Network
from leakdetect.networks import spread_sensors
from leakdetect.stages.expected.boundary import find_boundary
from leakdetect.stages.expected.model import HydraulicModel, Physics
from leakdetect.steady import to_problem
from leakdetect.units import M3H

from .registry import Estimate, Figure, Setting, Target, benchmark

_PROBE, _MOST = 0.002, 0.5  # of the whole demand, [m3/h]: the leak that is tried at each junction
_SHORTEST = 0.3  # s that a repeated measurement lasts at least
LARGE = 10_000  # junctions from which a network is held to more


def paths(setting: Setting) -> Iterator[Path]:
    """Yield the model files to measure on."""
    names = ("village",) if setting.small else ("village", "town")
    yield from (networks.path(name) for name in names)
    yield from setting.networks


def best(call: Callable[[], object], *, least: int = 3) -> float:
    """Return the shortest time of a call [s], over a few calls: what the machine can do when it is not disturbed."""
    times: list[float] = []
    call()  # what is imported or laid out once is not what is measured
    while len(times) < least or (sum(times) < _SHORTEST and len(times) < 1000):
        start = process_time()
        call()
        times.append(process_time() - start)
    return min(times)


def larger(network: Network, value: float, least: float) -> Estimate:
    """Return a value that is to reach more where the network is large."""
    large = (~network.is_fixed).sum() >= LARGE
    return Estimate(value, target=Target(">=", least) if large else None)


@benchmark("speed", Figure("speed.load.{}", "s"))
def load(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Read a model file into arrays."""
    for path in paths(setting):
        setting.note(f"loading {path.name}")
        yield path.stem, (best(lambda path=path: load_network(path), least=1),)  # type: ignore[misc]


@benchmark("speed", Figure("speed.steady.{}", "ms"))
def steady(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Lay in new demands, find the steady state and read it at the sensors."""
    random = np.random.default_rng(0)
    for path in paths(setting):
        setting.note(f"steady states of {path.name}")
        network = load_network(path)
        with model_of(network) as model:
            demand = model.customers.nominal(np.zeros(1))[0]

            def step(model: HydraulicModel = model, demand: np.ndarray = demand) -> None:
                model.solve(demand * random.uniform(0.9, 1.1), np.zeros(0), np.zeros(0))
                model.observe()

            yield path.stem, (1000 * best(step),)


@benchmark(
    "speed",
    Figure("speed.batch.{}", "ms"),
    Figure("speed.batch.{}.over_epanet", "times", Target(">=", 3.0, small="village")),  # 8 if large
    Figure("speed.batch.{}.difference", "mm", Target("<=", 1.0)),
    Figure("speed.batch.{}.settled", "%", Target(">=", 99.0)),
    Figure("speed.batch.{}.of_copy", "%"),
)
def batch(setting: Setting) -> Iterator[tuple[str, tuple[float | Estimate, ...]]]:
    """A steady state of a batch, of all heads and flows: its time, and how many times as long EPANET takes.

    EPANET is kept open and goes from state to state: demands are laid in, the state is found, a few heads are read.
    ``difference`` is the largest of the heads that both found, ``settled`` the share of states that the batch found,
    ``of_copy`` how long numpy takes to copy what each trial goes through, of the time it takes.
    """
    random = np.random.default_rng(0)
    for path in paths(setting):
        setting.note(f"steady states of {path.name} in a batch")
        network = load_network(path)
        drawn = (network.base_demand * network.patterns[0]).sum(axis=1)
        rows = 64 if setting.small else 256
        demand = drawn * random.uniform(0.5, 1.5, (rows, 1)) * random.uniform(0.8, 1.2, (rows, len(drawn)))
        few = demand[: 8 if setting.small else 32]
        with Epanet(network, accuracy=1e-5) as epanet:
            problem = to_problem(network, epanet)
            stepped, heads = _stepped(epanet, few)
        given = heads[0, network.is_fixed]
        solver = Solver(problem)
        fast = best(lambda solver=solver, demand=demand, given=given: _batch(solver, demand, given)) / rows  # type: ignore[misc]
        found = _batch(solver, demand, given)
        apart = [
            np.abs(found.head[row] - heads[row])[supplied(problem, found.status[row])].max()
            for row in np.flatnonzero(found.converged[: len(few)] & np.isfinite(heads[:, 0]))
        ]
        over = larger(network, stepped / fast, 8.0)
        room = np.ones(solver.nbytes // 8)
        other = np.empty_like(room)
        copied = best(lambda room=room, other=other: np.copyto(other, room)) * found.trials.sum() / solver.width  # type: ignore[misc]
        settled = 100 * float(found.converged.mean())
        yield path.stem, (1000 * fast, over, 1000 * max(apart), settled, 100 * copied / (fast * rows))


def _batch(solver: Solver, demand: np.ndarray, given: np.ndarray) -> Steady:
    return solver.solve(demand, given, guess=solver.solve(demand.mean(axis=0), given))


def _stepped(epanet: Epanet, demand: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the time of a state that EPANET finds [s], and the heads (B, N), NaN where it finds none."""
    network = epanet.network
    junctions, nodes = np.flatnonzero(~network.is_fixed), np.arange(len(network.node_names))
    heads, times = np.full(demand.shape, np.nan), []
    for row in range(len(demand)):
        start = process_time()
        epanet.set_demands(junctions, demand[row, junctions])
        try:
            epanet.solve()
        except ConvergenceError:
            continue
        epanet.heads(junctions[:20])
        times.append(process_time() - start)
        heads[row] = epanet.heads(nodes)
    return float(np.mean(times)), heads


@benchmark(
    "speed",
    Figure("speed.signatures.{}", "s"),
    Figure("speed.signatures.{}.over_wntr", "times", Target(">=", 100.0, small="village")),  # 50,000 if large
    Figure("speed.signatures.{}.over_warm_epanet", "times", Target(">=", 10.0, small="village")),  # 3,000 if large
    Figure("speed.signatures.{}.difference", "%", Target("<=", 1.0)),
)
def signatures(setting: Setting) -> Iterator[tuple[str, tuple[float | Estimate, ...]]]:
    """What every sensor feels of a leak at every junction: by one factorisation, and by a run for each junction.

    ``over_wntr`` against a WNTR run a junction, ``over_warm_epanet`` against a run a junction of EPANET kept open:
    timed on a sample of junctions and scaled up. ``difference`` is that of the pressures over 200 junctions, factorised
    against run.
    """
    for path in paths(setting):
        setting.note(f"leak signatures of {path.name}")
        network = load_network(path)
        with model_of(network) as model:
            demand = model.customers.nominal(np.zeros(1))[0]
            fast = best(lambda model=model, demand=demand: factorised(model, demand))  # type: ignore[misc]
            rows, _ = factorised(model, demand)
            sensors = model.boundary.pressures[:, 0]
        junctions = np.flatnonzero(~network.is_fixed)
        random = np.random.default_rng(0)
        sample = random.choice(junctions, min(len(junctions), 10 if setting.small else 200), replace=False)
        probe = min(_PROBE * float(demand.sum()), _MOST / M3H)  # more is no small change in a dead end
        warm = _warm(network, demand, sensors, sample[:40], probe)
        cold = _wntr(path, [network.node_names[i] for i in sample[: 2 if setting.small else 5]], probe)
        felt = _felt(network, demand, sensors, sample, probe)
        apart = float(np.linalg.norm(rows[:, sample] - felt) / np.linalg.norm(felt))
        each = len(junctions) / fast
        yield (
            path.stem,
            (fast, larger(network, cold * each, 50_000.0), larger(network, warm * each, 3_000.0), 100 * apart),
        )


def factorised(model: HydraulicModel, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the sensors feel of each node [m per m3/h] and the signatures of all links, from a state anew."""
    nothing = np.zeros(0)
    state = model.state(demand, nothing, nothing)
    rows = model.rows(model.linearised(state))
    return rows, model.signatures(state, rows)


def model_of(network: Network, names: tuple[str, ...] = ()) -> HydraulicModel:
    """Return the model as drawn, seen by loggers; spread over the network if none are named."""
    names = names or spread_sensors(network).pressures
    boundary = find_boundary(network, names, ["pressure"] * len(names), names)
    return HydraulicModel(network, boundary, Physics.drawn(network))


def _warm(network: Network, demand: np.ndarray, sensors: np.ndarray, sample: np.ndarray, probe: float) -> float:
    """Return the time of a run with a leak, EPANET being kept open [s]."""
    junctions = np.flatnonzero(~network.is_fixed)
    with Epanet(network) as epanet:
        epanet.set_demands(junctions, demand[junctions])
        start = process_time()
        for node in sample:
            _heads_with(epanet, demand, int(node), probe, sensors)
        return (process_time() - start) / len(sample)


def _felt(network: Network, demand: np.ndarray, sensors: np.ndarray, sample: np.ndarray, probe: float) -> np.ndarray:
    """Return what the sensors feel of a leak at each node, by finite differences, (sensors, sample) [m per m3/h]."""
    felt = np.empty((len(sensors), len(sample)))
    junctions = np.flatnonzero(~network.is_fixed)
    with Epanet(network, accuracy=1e-5) as epanet:  # finer than usual: what one leak changes is little
        epanet.set_demands(junctions, demand[junctions])
        for column, node in enumerate(sample):  # from either side: the curvature drops out
            more, less = (_heads_with(epanet, demand, int(node), sign * probe, sensors) for sign in (1, -1))
            felt[:, column] = (more - less) / (2 * probe * M3H)
    return felt


def _heads_with(epanet: Epanet, demand: np.ndarray, node: int, probe: float, sensors: np.ndarray) -> np.ndarray:
    """Return the heads at the sensors with a leak at a node, and take it out again."""
    here = np.array([node])
    epanet.set_demands(here, demand[here] + probe)
    epanet.solve()
    heads = epanet.heads(sensors)
    epanet.set_demands(here, demand[here])
    return heads


def _wntr(path: Path, junctions: list[str], probe: float) -> float:
    """Return the time of a WNTR run with a leak at a junction [s]."""
    import wntr

    model = read_wntr(path)
    model.options.time.duration = 0
    times = []
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in junctions:
            start = process_time()
            junction = model.get_node(name)
            junction.add_demand(probe, None)
            wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(Path(folder) / "run"))
            del junction.demand_timeseries_list[-1]
            times.append(process_time() - start)
    return min(times)
