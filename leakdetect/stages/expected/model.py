"""What the network would show: steady states of the calibrated model under what the readings impose."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.headloss import loss, pump_slope, segment_slope
from leakdetect.core.sensitivity import CLOSED, FREE, HOLDS_END, HOLDS_FLOW, HOLDS_START, Linearised, Plan, linearise
from leakdetect.epanet_state import Epanet
from leakdetect.errors import ConvergenceError
from leakdetect.network import Link, Network
from leakdetect.stages.expected.batch import Batch
from leakdetect.stages.expected.boundary import Boundary, Drive
from leakdetect.stages.expected.customers import Customers, Leaks
from leakdetect.units import M3H

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST_SLOPE = 1e-5  # [s/m2] of links that hold no head back
_VALUES = 2_000_000  # of nodes and links that are solved for at once, at the most: what memory holds with ease
_HOLDING = {Link.PRV: HOLDS_END, Link.PSV: HOLDS_START, Link.FCV: HOLDS_FLOW}


@dataclass(frozen=True)
class Physics:
    """What calibration changes in the drawing.

    Attributes
    ----------
    roughness : ndarray, shape (L,)
        Of pipes, in the model's own measure.
    setting : ndarray, shape (L,)
        Of valves and pumps, as `Network.setting`.
    category : ndarray, shape (N, C)
        Factor on the base demand of each node and category.
    """

    roughness: Floats
    setting: Floats
    category: Floats

    @classmethod
    def drawn(cls, network: Network) -> Physics:
        """Return what the drawing says."""
        return cls(network.roughness.copy(), network.setting.copy(), np.ones_like(network.base_demand))


@dataclass(frozen=True)
class State:
    """One steady state: heads (N,), flows (L,), demand (N,), open links (L,), speed of pumps (L,; 1 for others)."""

    head: Floats
    flow: Floats
    demand: Floats
    is_open: NDArray[np.bool_]
    speed: Floats


class HydraulicModel:
    """The network under its readings. Keeps EPANET open: close it, or use it in a `with`."""

    def __init__(self, network: Network, boundary: Boundary, physics: Physics) -> None:
        self.network, self.boundary = network, boundary
        self._epanet = Epanet(network)
        self._junctions = np.flatnonzero(~network.is_fixed)
        holding = np.isin(network.link_kind, list(_HOLDING)) & np.isfinite(network.setting)
        self._valves = np.flatnonzero(holding)
        curves = ((link, self._epanet.curve(link)) for link in range(len(network.link_names)))
        self._curves = {link: curve for link, curve in curves if curve is not None}
        for link, _ in boundary.cut:
            self._epanet.set_open(int(link), False)
        self.set_physics(physics)

    def set_physics(self, physics: Physics) -> None:
        """Change roughness, settings and demand shares."""
        pipes = np.flatnonzero(self.network.is_pipe)
        self._epanet.set_roughness(pipes, physics.roughness[pipes])
        self.physics = physics
        self.customers = Customers(self.network, self.boundary, physics.category)
        self.__dict__.pop("_batch", None)
        self.set_settings(physics.setting)

    def set_settings(self, setting: Floats) -> None:
        """Set what PRVs and PSVs hold [m], shape (L,), NaN for those fixed open or closed; `physics` keeps its own."""
        self._setting = setting
        for valve in np.flatnonzero(np.isin(self.network.link_kind, [Link.PRV, Link.PSV]) & np.isfinite(setting)):
            self._epanet.set_pressure_setting(int(valve), float(setting[valve]))

    def close(self) -> None:
        """Close EPANET."""
        self._epanet.close()

    def __enter__(self) -> HydraulicModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _with_imposed(self, demand: Floats, imposed: Floats) -> Floats:
        """Return demand (T, N) with the flow of cut links (T, K) taken where they begin and given where they end."""
        total = demand.copy()
        for column, link in enumerate(self.boundary.cut[:, 0].tolist()):
            total[:, self.network.start[link]] += imposed[:, column]
            total[:, self.network.end[link]] -= imposed[:, column]
        return total

    def solve(self, demand: Floats, level: Floats, imposed: Floats) -> None:
        """Find one steady state by EPANET, from the one before.

        Parameters
        ----------
        demand : ndarray, shape (N,)
            All that is withdrawn, leaks included, imposed flows apart [m3/s].
        level : ndarray, shape (H,)
            Of the tanks [m].
        imposed : ndarray, shape (K,)
            Flow of the cut links [m3/s].

        Raises
        ------
        ConvergenceError
        """
        total = self._with_imposed(demand[None], imposed[None])[0]
        self._epanet.set_demands(self._junctions, total[self._junctions])
        for (tank, _), metres in zip(self.boundary.levels.tolist(), level.tolist(), strict=True):
            self._epanet.set_level(tank, metres)
        self._epanet.solve()

    def observe(self) -> Floats:
        """Return pressures [m] (or heads) and flows [m3/h] at the sensors, at EPANET's last steady state."""
        nodes, links = self.boundary.pressures[:, 0], self.boundary.flows[:, 0]
        shown: Floats = self._sensed(self._epanet.heads(nodes)[None], self._epanet.flows(links)[None])[0]
        return shown

    def _sensed(self, head: Floats, flow: Floats) -> Floats:
        """Return what the sensors show of heads (T, P) and flows (T, F) [m, m3/h], shape (T, P + F)."""
        elevation = self.network.elevation[self.boundary.pressures[:, 0]]
        shown: Floats = np.hstack([np.where(self.boundary.is_head, head, head - elevation), flow * M3H])
        return shown

    @cached_property
    def _batch(self) -> Batch | None:
        """The batch solver for the present physics; None for a network that it cannot do."""
        usual = self.customers.drawn @ self.network.patterns.mean(axis=0)
        rough, setting = self.physics.roughness, self.physics.setting
        try:
            return Batch(self.network, self.boundary, self._epanet, rough, setting, usual)
        except ValueError:
            return None

    def pieces(self, rows: int) -> list[slice]:
        """Return slices of rows, each of which fits in memory."""
        most = max(_VALUES // (len(self.network.node_names) + len(self.network.link_names)), 1)
        return [slice(first, min(first + most, rows)) for first in range(0, rows, most)]

    def shown(self, demand: Floats, level: Floats, imposed: Floats) -> Floats:
        """Return what the sensors show at T steady states [m, m3/h], each on its own, shape (T, P + F).

        Found in a batch; those that do not settle there by EPANET, from scratch; NaN where it finds none either.

        Parameters
        ----------
        demand, level, imposed : ndarray, shape (T, N), (T, H), (T, K)
            As of `solve`.
        """
        batch = self._batch
        if batch is None:
            out = np.full((len(demand), len(self.boundary.pressures) + len(self.boundary.flows)), np.nan)
            left = np.arange(len(demand))
        else:
            found = batch.solve(self._with_imposed(demand, imposed), level, self._setting)
            out = self._sensed(found.head[:, self.boundary.pressures[:, 0]], found.flow[:, self.boundary.flows[:, 0]])
            left = np.flatnonzero(~found.converged)
        for row in left.tolist():
            self._epanet.forget()
            with contextlib.suppress(ConvergenceError):  # one odd step (a metering error) is a gap, not the end
                self.solve(demand[row], level[row], imposed[row])
                out[row] = self.observe()
        return out

    def run(self, given: Drive, leaks: Leaks | None = None, tick: Callable[[int], None] | None = None) -> Floats:
        """Return what the sensors would show [m, m3/h], shape (T, P + F); NaN where a step cannot be computed.

        `tick` is told how many steps were done since it was told before.
        """
        leaks = leaks or Leaks()
        out = np.full((len(given.valid), len(self.boundary.pressures) + len(self.boundary.flows)), np.nan)
        rows = np.flatnonzero(given.valid)
        for piece in self.pieces(len(rows)):
            chosen = rows[piece]
            here, lost = given[chosen], leaks[chosen]
            demand = self.customers.demand(here, lost) + lost.at_nodes(self.network)
            out[chosen] = self.shown(demand, here.level, here.imposed)
            if tick:
                tick(len(chosen))
        return out

    def state(self, demand: Floats, level: Floats, imposed: Floats) -> State:
        """Return the whole steady state, from scratch; parameters and errors as `solve`."""
        self._epanet.forget()
        self.solve(demand, level, imposed)
        nodes, links = np.arange(len(self.network.node_names)), np.arange(len(self.network.link_names))
        pumps = np.flatnonzero(self.network.link_kind == Link.PUMP)
        speed = np.ones(len(links))
        speed[pumps] = np.maximum(self._epanet.speeds(pumps), 1e-6)
        return State(self._epanet.heads(nodes), self._epanet.flows(links), demand, self._epanet.is_open(links), speed)

    def behaviour(self, state: State) -> Ints:
        """Say how each link behaves at a state (codes of `core.sensitivity`).

        A PRV or PSV is active where the pressure it holds is there; an FCV where its flow is.
        """
        network = self.network
        out = np.where(state.is_open, FREE, CLOSED)
        for valve in self._valves:
            if not state.is_open[valve]:
                continue
            kind, setting = Link(network.link_kind[valve]), self._setting[valve]
            if kind == Link.FCV:
                holds = abs(state.flow[valve] - setting) < 1e-6 + 1e-3 * abs(setting)
            else:
                node = network.end[valve] if kind == Link.PRV else network.start[valve]
                holds = abs(state.head[node] - network.elevation[node] - setting) < 0.01
            out[valve] = _HOLDING[kind] if holds else FREE
        return out

    def slopes(self, state: State) -> tuple[Floats, Floats]:
        """Return head loss [m] and its slope with flow [s/m2] of every link at a state, each shape (L,)."""
        network = self.network
        with np.errstate(invalid="ignore", divide="ignore"):
            head, slope = loss(
                state.flow, network.length, network.diameter, self.physics.roughness, network.minor_loss,
                network.headloss, self._epanet.viscosity,
            )  # fmt: skip
        pipe = network.is_pipe
        drop = state.head[network.start] - state.head[network.end]
        flow = np.maximum(np.abs(state.flow), 1e-9)
        other = 2 * np.abs(drop) / flow  # an open valve loses head with the square of its flow
        other[self._breaking(state)] = 0.0
        for link, curve in self._curves.items():
            if curve.kind == "power":
                other[link] = abs(drop[link]) / flow[link]
            elif curve.kind == "function":
                other[link] = pump_slope(flow[link], state.speed[link], curve.flow, curve.head)
            else:
                speed = state.speed[link]
                other[link] = speed * abs(segment_slope(flow[link] / speed, curve.flow, curve.head))
        return np.where(pipe, head, drop), np.where(pipe, slope, np.maximum(other, _LEAST_SLOPE))

    def _breaking(self, state: State) -> NDArray[np.bool_]:
        """Say which PBVs take off their setting, whatever the flow."""
        network = self.network
        drop, setting = state.head[network.start] - state.head[network.end], self.network.setting
        with np.errstate(invalid="ignore"):
            breaking: NDArray[np.bool_] = (network.link_kind == Link.PBV) & (np.abs(drop - setting) < 1e-3)
        return breaking

    @cached_property
    def _plan(self) -> Plan:
        return Plan.of(self.network.is_fixed, self.network.start, self.network.end)

    def linearised(self, state: State) -> Linearised:
        """Factorise the linearised network at a state."""
        return linearise(self._plan, self.slopes(state)[1], self.behaviour(state))

    def rows(self, at: Linearised) -> Floats:
        """Return what the sensors feel of 1 m3/h withdrawn at each node [m, m3/h], shape (P + F, N)."""
        return np.vstack([at.of_heads(self.boundary.pressures[:, 0]) / M3H, at.of_flows(self.boundary.flows[:, 0])])

    def giving_way(self, state: State) -> Floats:
        """Return the share of each node in what a measured zone uses less when a leak runs in it, shape (Z, N).

        A row adds up to 1, and is 0 where demand is not scaled to the inflow.
        """
        out = np.zeros((len(self.boundary.zone_names), len(state.demand)))
        for zone in np.flatnonzero(self.boundary.scaled).tolist():
            weight = np.where((self.boundary.zone == zone) & ~self.customers.metered, state.demand, 0.0)
            if weight.sum() > 0:
                out[zone] = weight / weight.sum()
        return out

    def signatures(self, state: State, rows: Floats) -> Floats:
        """Return what every channel shows of a leak of 1 m3/h in the middle of each link, shape (P + F + Z, L).

        Where a zone's inflow is measured, its demand was scaled to it, so the leak stands for demand that the model
        put elsewhere: the demand-weighted mean of the rows is taken off. The last Z channels are the zones' balances,
        which feel the leak itself.
        """
        network, boundary = self.network, self.boundary
        relative = rows.copy()
        balance = np.zeros((len(boundary.zone_names), len(network.node_names)))
        for zone, share in enumerate(self.giving_way(state)):
            inside = boundary.zone == zone
            if share.any():
                relative[:, inside] -= (rows @ share)[:, None]
            balance[zone, inside] = 1.0
        every = np.vstack([relative, balance])
        middle: Floats = (every[:, network.start] + every[:, network.end]) / 2
        return middle
