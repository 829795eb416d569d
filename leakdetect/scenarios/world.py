"""Simulate a world: a network as it truly is, with its customers, its leaks and the readings of its sensors."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leakdetect.epanet import load_network
from leakdetect.epanet_run import EpanetRun, write_variant
from leakdetect.errors import InputError
from leakdetect.network import Floats, Network, Node
from leakdetect.networks.sensors import Sensors, sensors_csv, spread_sensors
from leakdetect.scenarios.demand import Demands
from leakdetect.scenarios.files import write_bytes, write_leaks, write_repairs, write_table, year_of
from leakdetect.scenarios.leaks import Leak, emitter_coefficient
from leakdetect.scenarios.measure import DECIMALS, Readings, add_errors, add_faults, add_outages
from leakdetect.scenarios.scenario import Scenario
from leakdetect.scenarios.truth import Truth, draw_truth

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


@dataclass(frozen=True)
class World:
    """The truth of a simulated world, before sensors and rounding.

    Attributes
    ----------
    network : Network
        As drawn.
    leaks : list of Leak
    times : ndarray of datetime64, shape (T,)
    pressures, flows, levels : ndarray, shape (T, sensors)
        [m], [m3/h], [m].
    demands : ndarray, shape (T, meters)
        [m3/h].
    leak_flow, leak_pressure : ndarray, shape (T, leaks)
        [m3/h], [m].
    balance : ndarray, shape (T, 4)
        [m3/h] supply from reservoirs, into tanks, customers, leaks.
    warnings : dict
        EPANET's, by what they say, with how often.
    nuisances : list of str
        Everything that is neither leak nor repair.
    """

    network: Network
    sensors: Sensors
    leaks: list[Leak]
    times: np.ndarray
    pressures: Floats
    flows: Floats
    levels: Floats
    demands: Floats
    leak_flow: Floats
    leak_pressure: Floats
    balance: Floats
    warnings: dict[str, int]
    nuisances: list[str]


def simulate(
    path: Path,
    folder: Path,
    scenario: Scenario,
    *,
    sensors: Sensors | None = None,
    progress: Progress | None = None,
) -> World:
    """Make a world and write it in the BattLeDIM layout.

    Writes ``<year>_SCADA_{Pressures,Flows,Levels,Demands}.csv.gz``, ``<year>_Leakages.csv.gz`` and
    ``<year>_Fixing_Reports.txt``, ``leaks.csv``, ``nuisances.txt``, ``sensors.csv`` and the model file as drawn.

    Parameters
    ----------
    path : Path
        The model file.
    folder : Path
        Made if it is not there; may not hold another world.
    scenario : Scenario
    sensors : Sensors, optional
        Spread over the network if not given.
    progress : callable, optional

    Returns
    -------
    World

    Raises
    ------
    InputError
        If the folder is in use, or an element is not in the network.
    NetworkError, ConvergenceError
        If EPANET refuses the network.
    """
    network = load_network(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder: name a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    world = run(path, network, scenario, sensors=sensors, progress=progress)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        part = Path(work) / "world"
        part.mkdir()
        nuisances = _write(world, scenario, path, part)
        if folder.exists():
            folder.rmdir()
        part.replace(folder)
    return replace(world, nuisances=nuisances)


def run(
    path: Path,
    network: Network,
    scenario: Scenario,
    *,
    sensors: Sensors | None = None,
    progress: Progress | None = None,
) -> World:
    """Make a world in memory; as `simulate`, without files."""
    sensors = sensors or spread_sensors(network)
    sensors.check(network)
    of_truth, of_leaks, of_demand, of_trouble = np.random.SeedSequence(scenario.seed).spawn(4)
    truth = draw_truth(network, scenario, sensors, of_truth=of_truth, of_leaks=of_leaks, of_trouble=of_trouble)
    demands = Demands(
        network, of_demand, start=scenario.start, steps=scenario.steps, step=scenario.step, noise=scenario.demand
    )
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as work:
        inp = Path(work) / "truth.inp"
        write_variant(
            path, inp, step=scenario.step, roughness=truth.roughness, split=truth.leak_nodes, closed=truth.shut
        )
        with EpanetRun(inp) as epanet:
            log = _Log(epanet, network, sensors, truth, scenario.steps)
            _run(epanet, log, truth, demands, scenario, progress)
            warnings = dict(epanet.warnings)
    return World(
        network=network,
        sensors=sensors,
        leaks=truth.leaks,
        times=scenario.times,
        pressures=log.pressures,
        flows=log.flows,
        levels=log.levels,
        demands=log.demands,
        leak_flow=log.leak_flow,
        leak_pressure=log.leak_pressure,
        balance=log.balance,
        warnings=warnings,
        nuisances=_told(truth, scenario),
    )


class _Log:
    """What is kept of every step."""

    def __init__(self, epanet: EpanetRun, network: Network, sensors: Sensors, truth: Truth, steps: int) -> None:
        self._epanet = epanet
        self._pressures = [epanet.node(name) for name in sensors.pressures]
        self._levels = [epanet.node(name) for name in sensors.levels]
        self._flows = [epanet.link(name) for name in sensors.flows]
        self._meters = sensors.demands
        self.leaks = [epanet.node(name) for name in truth.leak_nodes.values()]
        self._sources, self._tanks = (
            [epanet.node(network.node_names[i]) for i in np.flatnonzero(network.node_kind == kind)]
            for kind in (Node.RESERVOIR, Node.TANK)
        )
        self.pressures = np.empty((steps, len(self._pressures)))
        self.levels = np.empty((steps, len(self._levels)))
        self.flows = np.empty((steps, len(self._flows)))
        self.demands = np.zeros((steps, len(self._meters)))
        self.leak_flow = np.empty((steps, len(self.leaks)))
        self.leak_pressure = np.empty((steps, len(self.leaks)))
        self.balance = np.empty((steps, 4))

    def meter(self, row: int, nodes: tuple[str, ...], demand: Floats) -> None:
        """Keep a chunk of demands from `row` on; a meter where nobody draws stays at 0."""
        index = {name: i for i, name in enumerate(nodes)}
        rest = len(self.demands) - row
        for column, name in enumerate(self._meters):
            if name in index:
                self.demands[row : row + len(demand), column] = demand[:rest, index[name]]

    def keep(self, row: int, leaking: np.ndarray, demand: float) -> None:
        """Keep the present instant, with the total demand laid in."""
        epanet = self._epanet
        self.pressures[row] = epanet.pressures(self._pressures)
        self.flows[row] = epanet.flows(self._flows)
        self.levels[row] = epanet.pressures(self._levels)
        # EPANET goes on telling the last flow of an emitter that was set to 0.
        self.leak_flow[row] = np.where(leaking, epanet.outflows(self.leaks), 0.0)
        self.leak_pressure[row] = epanet.pressures(self.leaks)
        supply, stored = -sum(epanet.outflows(self._sources)), sum(epanet.outflows(self._tanks))
        self.balance[row] = (supply, stored, demand, self.leak_flow[row].sum())


def _run(
    epanet: EpanetRun, log: _Log, truth: Truth, demands: Demands, scenario: Scenario, progress: Progress | None
) -> None:
    """Step EPANET through the world."""
    steps, step, reset = scenario.steps, scenario.step, truth.reset
    chunk = 86400 // step * (7 if len(demands.nodes) < 5000 else 1)
    times = scenario.times
    areas = [leak.area(times) for leak in truth.leaks]
    coefficient = emitter_coefficient(np.stack(areas, axis=1)) if areas else np.zeros((steps, 0))
    changed = np.vstack([coefficient[:1] > 0, np.diff(coefficient, axis=0) != 0])
    epanet.own_demands(demands.nodes)
    epanet.begin(steps * step)
    row, time = 0, 0
    while row < steps:
        if time == row * step:  # else a control acts between two steps
            if row % chunk == 0:
                demand = demands.chunk(row, chunk)
                epanet.set_demands(demand)
                log.meter(row, demands.nodes, demand)
                if progress:
                    progress(row, steps)
            for k in np.flatnonzero(changed[row]):
                epanet.set_emitter(log.leaks[k], float(coefficient[row, k]))
            if reset is not None and row == reset.step:
                epanet.set_setting(epanet.link(reset.valve), reset.setting)
            time = epanet.solve()
            log.keep(row, coefficient[row] > 0, float(demand[row % chunk].sum()))
            row += 1
        else:
            time = epanet.solve()
        time += epanet.advance()
    if progress:
        progress(steps, steps)


def _told(truth: Truth, scenario: Scenario) -> list[str]:
    lines = [f"shut {name}" for name in truth.shut]
    if truth.reset is not None:
        stamp = str(scenario.times[truth.reset.step]).replace("T", " ")
        lines.append(f"{truth.reset.valve} {scenario.prv_reset:+.2f} m at {stamp}")
    return lines


def _write(world: World, scenario: Scenario, path: Path, folder: Path) -> list[str]:
    """Write every file, and return the nuisances."""
    sensors, times = world.sensors, world.times
    rng = np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(99,)))
    hour = 3600 // scenario.step
    per_hour = (
        world.demands.reshape(scenario.steps // hour, hour, -1 if world.demands.size else 0).mean(axis=1) * 1000
    )  # m3/h to L/h
    tables = {
        "Pressures": (times, Readings("pressure", sensors.pressures, world.pressures.copy())),
        "Flows": (times, Readings("flow", sensors.flows, world.flows.copy())),
        "Levels": (times, Readings("level", sensors.levels, world.levels.copy())),
        "Demands": (times[::hour], Readings("demand", sensors.demands, per_hour)),
    }
    nuisances = list(world.nuisances)
    for name, (_, readings) in tables.items():
        if name != "Demands":
            add_errors(readings, scenario.error, rng)
    pressures, flows = tables["Pressures"][1], tables["Flows"][1]
    if pressures.sensors:
        nuisances += add_faults(pressures, scenario.trouble, rng, times=times, step=scenario.step)
    nuisances += add_outages([pressures, flows], scenario.trouble, rng, times=times, step=scenario.step)
    first, last = year_of(times[0]), year_of(times[-1])
    for year in range(first, last + 1):
        for name, (clock, readings) in tables.items():
            if readings.sensors:
                of = _in_year(clock, year)
                write_table(
                    folder / f"{year}_SCADA_{name}.csv.gz",
                    clock[of],
                    readings.sensors,
                    readings.values[of],
                    DECIMALS[readings.quantity],
                )
        of = _in_year(times, year)
        known = [k for k, leak in enumerate(world.leaks) if world.leak_flow[of, k].any()]
        write_table(
            folder / f"{year}_Leakages.csv.gz",
            times[of],
            [world.leaks[k].pipe for k in known],
            world.leak_flow[of][:, known],
            2,
        )
        if year == first or scenario.all_repairs:
            write_repairs(folder / f"{year}_Fixing_Reports.txt", world.leaks, year)
    write_leaks(folder / "leaks.csv", world.leaks, times[-1])
    write_bytes(folder / "nuisances.txt", "".join(f"{line}\n" for line in nuisances).encode())
    write_bytes(folder / "sensors.csv", sensors_csv(sensors).encode())
    shutil.copyfile(path, folder / path.name)
    return nuisances


def _in_year(times: np.ndarray, year: int) -> slice:
    low, high = np.searchsorted(times, [np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01")])
    return slice(int(low), int(high))
