"""Step EPANET through a world, and keep what its sensors and its books need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from leakdetect.epanet_run import EpanetRun
from leakdetect.network import Floats, Network, Node
from leakdetect.networks.sensors import Sensors
from leakdetect.scenarios.demand import Demands
from leakdetect.scenarios.leaks import emitter_coefficient
from leakdetect.scenarios.operations import BAND, DRAW, SHUT, Action
from leakdetect.scenarios.scenario import Scenario
from leakdetect.scenarios.truth import Truth

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""

_USUAL = 40.0  # m of pressure, at which background leakage is told
_SAME, _TURNS = 1e-3, 8  # of holes that widen: relative change of their area from one solution to the next


@dataclass(frozen=True)
class Background:
    """Leakage from every joint: emitters at junctions.

    Attributes
    ----------
    nodes : tuple of str, length J
    coefficient : ndarray, shape (J,)
        Of q = C p^0.5 [m3/h per m^0.5].
    """

    nodes: tuple[str, ...]
    coefficient: Floats

    @classmethod
    def of(cls, network: Network, share: float) -> Background:
        """Spread `share` of the mean demand over the junctions, by the pipes that end there."""
        if not share:
            return cls((), np.zeros(0))
        pipes = np.flatnonzero(network.is_pipe)
        half = np.zeros(len(network.node_names))
        for ends in (network.start[pipes], network.end[pipes]):
            np.add.at(half, ends, network.length[pipes] / 2)
        where = np.flatnonzero((network.node_kind == Node.JUNCTION) & (half > 0))
        total = share * float((network.base_demand * network.patterns.mean(axis=0)).sum()) * 3600
        coefficient = total / np.sqrt(_USUAL) * half[where] / half[where].sum()
        return cls(tuple(network.node_names[i] for i in where), coefficient)


class Log:
    """What is kept of every step: arrays as those of `leakdetect.scenarios.World`."""

    def __init__(
        self, epanet: EpanetRun, network: Network, sensors: Sensors, truth: Truth, background: Background, steps: int
    ) -> None:
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
        self._joints, self._coefficient = [epanet.node(name) for name in background.nodes], background.coefficient
        self._at = {name: i for i, name in enumerate(background.nodes)}
        self.pressures = np.empty((steps, len(self._pressures)))
        self.levels = np.empty((steps, len(self._levels)))
        self.flows = np.empty((steps, len(self._flows)))
        self.demands = np.zeros((steps, len(self._meters)))
        self.leak_flow = np.empty((steps, len(self.leaks)))
        self.leak_pressure = np.empty((steps, len(self.leaks)))
        self.background = np.zeros(steps)
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
        self.background[row] = self._seeping().sum()
        supply, stored = -sum(epanet.outflows(self._sources)), sum(epanet.outflows(self._tanks))
        self.balance[row] = (supply, stored, demand, self.leak_flow[row].sum() + self.background[row])

    def delivered(self, nodes: Sequence[str], indices: Sequence[int]) -> Floats:
        """Return what each of these junctions got at the present instant, without what seeps away there [m3/h]."""
        got = np.array(self._epanet.outflows(indices))
        if self._joints:
            got -= self._seeping()[[self._at[name] for name in nodes]]
        return got

    def _seeping(self) -> Floats:
        """Return the background leakage of each joint [m3/h]."""
        pressure = np.array(self._epanet.pressures(self._joints))
        seeping: Floats = self._coefficient * np.sign(pressure) * np.sqrt(np.abs(pressure))
        return seeping


def step_through(
    epanet: EpanetRun, log: Log, truth: Truth, demands: Demands, scenario: Scenario, background: Background,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Step EPANET through the world."""
    steps, step, reset = scenario.steps, scenario.step, truth.reset
    chunk = 86400 // step * (7 if len(demands.nodes) < 5000 else 1)
    holes = _Holes(epanet, log, truth, scenario)
    drawn = _drawn(truth.actions, demands.nodes, steps)
    customers = [epanet.node(name) for name in demands.nodes] if scenario.short else []
    epanet.own_demands(demands.nodes)
    if scenario.short:
        epanet.limit_demands(scenario.required)
    for name, coefficient in zip(background.nodes, background.coefficient.tolist(), strict=True):
        epanet.set_emitter(epanet.node(name), coefficient)
    bands = {a.element: epanet.level_controls(epanet.link(a.element)) for a in truth.actions if a.kind == BAND}
    epanet.begin(steps * step)
    row, time = 0, 0
    while row < steps:
        if time == row * step:  # else a control acts between two steps
            if row % chunk == 0:
                wanted = demands.chunk(row, chunk)
                log.meter(row, demands.nodes, wanted)
                demand = wanted + drawn[row : row + chunk].toarray() if drawn is not None else wanted
                epanet.set_demands(demand)
                if progress:
                    progress(row, steps)
            holes.change(row)
            if reset is not None and row == reset.step:
                epanet.set_setting(epanet.link(reset.valve), reset.setting)
            _act(epanet, truth.actions, bands, row)
            time = holes.solve(row)
            total = float(demand[row % chunk].sum())
            if scenario.short:
                got = log.delivered(demands.nodes, customers)
                ratio = got / np.maximum(demand[row % chunk], 1e-9)
                log.meter(row, demands.nodes, (wanted[row % chunk] * ratio)[None])
                total = float(got.sum())
            log.keep(row, holes.coefficient[row] > 0, total)
            row += 1
        else:
            time = epanet.solve()
        time += epanet.advance()
    if progress:
        progress(steps, steps)


class _Holes:
    """The leaks' holes, which open, grow, widen with pressure and are mended."""

    def __init__(self, epanet: EpanetRun, log: Log, truth: Truth, scenario: Scenario) -> None:
        times = scenario.times
        areas = [leak.area(times) for leak in truth.leaks]
        self.coefficient = emitter_coefficient(np.stack(areas, axis=1)) if areas else np.zeros((scenario.steps, 0))
        self._epanet, self._leaks, self._stretch = epanet, log.leaks, scenario.stretch
        self._changed = np.vstack([self.coefficient[:1] > 0, np.diff(self.coefficient, axis=0) != 0])
        self._wide = np.ones(self.coefficient.shape[1])  # how much wider than without pressure

    def change(self, row: int) -> None:
        """Open, widen and mend what is due."""
        for k in np.flatnonzero(self._changed[row]):
            self._epanet.set_emitter(self._leaks[k], float(self.coefficient[row, k] * self._wide[k]))

    def solve(self, row: int) -> int:
        """Solve the present instant, over again until holes are as wide as their pressure makes them."""
        time = self._epanet.solve()
        running = np.flatnonzero(self.coefficient[row])
        if not self._stretch or not running.size:
            return time
        for _ in range(_TURNS):
            pressure = np.array(self._epanet.pressures([self._leaks[k] for k in running]))
            wide = 1 + self._stretch * np.maximum(pressure, 0.0)
            off = np.abs(wide / self._wide[running] - 1)
            if off.max() < _SAME:
                break
            self._wide[running] = wide
            for k in running:
                self._epanet.set_emitter(self._leaks[k], float(self.coefficient[row, k] * self._wide[k]))
            time = self._epanet.solve()
        return time


def _drawn(actions: Sequence[Action], nodes: Sequence[str], steps: int) -> sp.csr_array | None:
    """Return what hydrants draw [m3/h], shape (steps and a week, nodes)."""
    rows, columns, flows = [], [], []
    for action in actions:
        if action.kind == DRAW:
            rows.append(np.arange(action.first, action.last))
            columns.append(np.full(len(rows[-1]), nodes.index(action.element)))
            flows.append(np.full(len(rows[-1]), action.value))
    if not rows:
        return None
    shape = (steps + 7 * 1440, len(nodes))  # the last chunk may reach a week beyond the end
    return sp.csr_array((np.concatenate(flows), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def _act(epanet: EpanetRun, actions: Sequence[Action], bands: dict[str, list[tuple[int, float]]], row: int) -> None:
    """Do what begins at this step, and undo what ends."""
    for action in actions:
        if row not in {action.first, action.last}:
            continue
        begins = row == action.first
        if action.kind == SHUT:
            epanet.set_open(epanet.link(action.element), not begins)
        elif action.kind == BAND:
            controls = bands[action.element]
            middle = float(np.mean([level for _, level in controls])) if controls else 0.0
            for index, level in controls:
                epanet.set_control_level(index, middle + (level - middle) * (action.value if begins else 1.0))
