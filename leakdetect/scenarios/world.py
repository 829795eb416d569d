"""Simulate a world: a network as it truly is, with its customers, its leaks and the readings of its sensors."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leakdetect.epanet import load_network
from leakdetect.epanet_run import EpanetRun, write_variant
from leakdetect.errors import InputError
from leakdetect.network import Floats, Network
from leakdetect.networks.sensors import Sensors, spread_sensors
from leakdetect.scenarios.demand import Demands
from leakdetect.scenarios.files import Layout
from leakdetect.scenarios.leaks import Leak
from leakdetect.scenarios.operations import BAND, DRAW
from leakdetect.scenarios.scenario import Scenario
from leakdetect.scenarios.stepping import Background, Log, Progress, step_through
from leakdetect.scenarios.truth import Truth, draw_truth
from leakdetect.scenarios.write import write_world


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
    background : ndarray, shape (T,)
        Background leakage [m3/h].
    balance : ndarray, shape (T, 4)
        [m3/h] supply from reservoirs, into tanks, customers (hydrants too), leaks (background leakage too).
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
    background: Floats
    balance: Floats
    warnings: dict[str, int]
    nuisances: list[str]


def simulate(
    path: Path,
    folder: Path,
    scenario: Scenario,
    *,
    sensors: Sensors | None = None,
    layout: Layout = Layout.BATTLEDIM,
    progress: Progress | None = None,
) -> World:
    """Make a world and write it in the BattLeDIM layout.

    Writes ``<year>_SCADA_{Pressures,Flows,Levels,Demands}.csv.gz`` (or ``.parquet``, ``.nc``),
    ``<year>_Leakages.csv.gz`` and ``<year>_Fixing_Reports.txt``, ``leaks.csv``, ``nuisances.txt``, ``sensors.csv`` and
    the model file as drawn.

    Parameters
    ----------
    path : Path
        The model file.
    folder : Path
        Made if it is not there; may not hold another world.
    scenario : Scenario
    sensors : Sensors, optional
        Spread over the network if not given.
    layout : Layout
        Of the readings.
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
        nuisances = write_world(world, scenario, path, part, layout)
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
    of_events = np.random.SeedSequence(scenario.seed, spawn_key=(97,))
    truth = draw_truth(
        network, scenario, sensors, of_truth=of_truth, of_leaks=of_leaks, of_trouble=of_trouble, of_events=of_events
    )
    background = Background.of(network, scenario.background)
    demands = Demands(
        network, of_demand, start=scenario.start, steps=scenario.steps, step=scenario.step, noise=scenario.demand
    )
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as work:
        inp = Path(work) / "truth.inp"
        write_variant(
            path,
            inp,
            step=scenario.step,
            roughness=truth.roughness,
            split=truth.leak_nodes,
            closed=truth.shut,
            emitters=bool(background.nodes),
        )
        with EpanetRun(inp) as epanet:
            log = Log(epanet, network, sensors, truth, background, scenario.steps)
            step_through(epanet, log, truth, demands, scenario, background, progress)
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
        background=log.background,
        balance=log.balance,
        warnings=warnings,
        nuisances=_told(truth, scenario),
    )


def _told(truth: Truth, scenario: Scenario) -> list[str]:
    lines = [f"shut {name}" for name in truth.shut]
    if truth.reset is not None:
        stamp = str(scenario.times[truth.reset.step]).replace("T", " ")
        lines.append(f"{truth.reset.valve} {scenario.prv_reset:+.2f} m at {stamp}")
    for action in truth.actions:
        stamp = str(scenario.times[action.first]).replace("T", " ")
        hours = (action.last - action.first) * scenario.step / 3600
        much = {DRAW: f" {action.value:g} m3/h", BAND: f" x {action.value:g}"}.get(action.kind, "")
        lines.append(f"{action.kind} {action.element}{much} {stamp} +{hours:.1f}h")
    if scenario.background:
        lines.append(f"background leakage, {100 * scenario.background:g} % of the demand at 40 m")
    return lines
