"""Steps to blocks: what each block shows beyond the model, with whatever leaks are assumed in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from leakdetect.hydraulic.fitted import Fitted
from leakdetect.network import Network
from leakdetect.stages.calibration import hour_row
from leakdetect.stages.detection.history import Leak
from leakdetect.stages.detection.windows import Picture
from leakdetect.stages.expected.boundary import Boundary, Drive
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.expected.loads import Tables, effects, find_tables, leaky_signatures, total_load
from leakdetect.stages.expected.model import HydraulicModel
from leakdetect.units import M3H

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DEMAND, _SETTING = "demand of ", "setting of "
_MOVED_FLOW, _MOVED_SHARE = 1.0, 0.15  # [m3/h], share by which a flow must move before its signature is taken anew
FLOW_GRID = 0.15
"""Step of the logarithm of flows at which whole effects are computed."""
_SECANT_STATES = 2  # load states at which whole effects are computed; those between are interpolated


def observe(boundary: Boundary, reading: Floats, given: Drive, balance: Floats) -> Floats:
    """Return what the channels read [m, m3/h], shape (T, C): pressures, flows, then what each zone's balance leaves."""
    sensors = boundary.sensors()
    scale = np.r_[np.ones(len(boundary.pressures)), np.full(len(boundary.flows), M3H)]
    use = given.net.copy()
    metered = np.nan_to_num(given.metered)
    for column, (node, _) in enumerate(boundary.meters):
        zone = boundary.zone[node]
        if zone >= 0:
            use[:, zone] -= metered[:, column]
    left = np.where(given.valid[:, None], use * M3H - balance[hour_row(given.week)], np.nan)
    return np.hstack([reading[:, sensors] * scale, left])


def rivals(boundary: Boundary, tables: Tables, names: list[str], network: Network) -> tuple[Floats, tuple[str, ...]]:
    """Return what is not a leak: table (K, C, X) of one unit of each, and names for people."""
    loads, channels, _ = tables.signature.shape
    first_balance = len(boundary.pressures) + len(boundary.flows)
    unit = np.eye(channels)
    labels = []
    for c in range(channels):
        if c < len(boundary.pressures):
            labels.append(f"sensor {names[c]}")
        elif c < first_balance:
            sensor = boundary.flows[c - len(boundary.pressures), 1]
            unit[first_balance:, c] = boundary.inflow[:, sensor]
            labels.append(f"sensor {names[c]}")
        else:
            labels.append(_DEMAND + boundary.zone_names[c - first_balance])
    labels += [_SETTING + network.link_names[v] for v in tables.valves]
    every = np.concatenate([np.broadcast_to(unit, (loads, channels, channels)), tables.valve], axis=2)
    keep = np.abs(every).max(axis=(0, 1)) > 1e-9
    return every[:, :, keep], tuple(label for label, k in zip(labels, keep, strict=True) if k)


def only_less(boundary: Boundary, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Say which rivals explain a loss of flow only: demand of zones whose customers have meters, shape (X,)."""
    metered = {_DEMAND + zone for zone, scaled in zip(boundary.zone_names, boundary.scaled, strict=True) if not scaled}
    return np.array([name in metered for name in names], dtype=bool)


class Engine:
    """The model under its readings, block by block.

    Parameters
    ----------
    network, boundary, fitted : see their classes
    names : list of str
        Of the observed channels (pressures, flows).
    per_block : int
        Steps in a block.
    """

    def __init__(
        self, network: Network, boundary: Boundary, fitted: Fitted, names: list[str], per_block: int, per_day: int
    ) -> None:  # fmt: skip
        self.network, self.boundary, self.fitted, self.per_block = network, boundary, fitted, per_block
        self.model = HydraulicModel(network, boundary, fitted.physics)
        self.candidates = np.flatnonzero(network.is_pipe)
        inside = boundary.zone[:, None] == np.arange(len(boundary.zone_names))
        self._inside = (inside[network.start].astype(float) + inside[network.end]) / 2
        self.largest = float(fitted.loads.demand.sum(axis=1).max()) * M3H  # no leak takes more than all that is used
        self._learnt: dict[int, float] = {}
        self._whole: dict[tuple[int, int, tuple[int, ...]], Floats] = {}
        tables = find_tables(self.model, fitted.loads)
        valves = {_SETTING + network.link_names[v]: int(v) for v in tables.valves}
        rival, rival_names = rivals(boundary, tables, names, network)
        self.picture = Picture(
            self._of_candidates(tables.signature), rival, rival_names,
            np.array([valves.get(name, -1) for name in rival_names], dtype=np.int64),
            only_less(boundary, rival_names),
            fitted.noise.white,
            fitted.noise.walk / per_day, per_day,
            np.r_[np.ones(len(names) - len(boundary.zone_names)), np.zeros(len(boundary.zone_names))],
        )  # fmt: skip

    def close(self) -> None:
        """Close EPANET."""
        self.model.close()

    def expected(self, given: Drive, leaks: Leaks | None = None, tick: Callable[[int], None] | None = None) -> Floats:
        """Return what pressures and flows should show, corrected, shape (T, P + F)."""
        raw = self.model.run(given, leaks, tick)
        return raw + self.fitted.correction.of(raw, given.week)

    def residual(self, reading: Floats, given: Drive, running: list[Leak], flow: Floats) -> Floats:
        """Return the channels' residual with leaks assumed, shape (T, C).

        Parameters
        ----------
        reading : ndarray, shape (T, S)
        given : Drive
        running : list of Leak
            Assumed in the model, length R.
        flow : ndarray, shape (T, R)
            [m3/h].
        """
        leaks = Leaks(self.places(running), np.clip(flow, 0.0, self.largest) / M3H)
        rest = observe(self.boundary, reading, given, self.fitted.balance)
        expected = self.expected(given, leaks)
        count = expected.shape[1]
        rest[:, :count] -= expected
        rest[:, count:] -= leaks.flow @ self._inside[leaks.links] * M3H if len(leaks.links) else 0.0
        return rest

    def explained(self, given: Drive, running: list[Leak], flow: Floats) -> Floats:
        """Return what assumed leaks do to the channels, to first order, shape (T, C)."""
        weights = self.fitted.loads.weights(total_load(given))
        out = np.zeros((len(weights), self.picture.channels))
        for k, leak in enumerate(running):
            out += self.picture.at(weights, leak) * flow[:, [k]]
        return out

    def set_valves(self, changes: list[tuple[int, int, float]], block: int) -> None:
        """Set the valves as they were found to be in a block."""
        setting = self.fitted.physics.setting.copy()
        for since, valve, change in changes:
            if since <= block:
                setting[valve] += change
        self.model.set_settings(setting)

    def _of_candidates(self, signature: Floats) -> Floats:
        """Return the candidates' columns, laid out as the tests of windows read them."""
        return np.ascontiguousarray(signature[:, :, self.candidates])

    def places(self, leaks: list[Leak]) -> Ints:
        """Return the links where leaks are believed to be."""
        return self.candidates[np.array([leak.link for leak in leaks], dtype=np.int64)]

    def _known(self, leaks: list[Leak]) -> Leaks:
        return Leaks(self.places(leaks), np.array([[self._newest(leak) for leak in leaks]]) / M3H)

    def _newest(self, leak: Leak) -> float:
        """Return a leak's newest flow within what the model can hold [m3/h]."""
        return min(max(leak.flow[-1], 0.0), self.largest) if leak.flow else 0.0

    def sharpen(self, leaks: list[Leak]) -> None:
        """Take each leak's own signature at its flow, where that has moved since it was last taken."""
        every = np.arange(len(self.fitted.loads.centre))
        for leak in leaks:
            flow = self._newest(leak)
            if abs(flow - leak.tangent_at) <= max(_MOVED_FLOW, _MOVED_SHARE * flow):
                continue
            known = self._known(leaks)
            more = np.array([max(_MOVED_FLOW, 0.1 * flow)])
            at = effects(self.model, self.fitted.loads, known, self.places([leak]), more, every)
            leak.tangent, leak.tangent_at = at[:, :, 0], flow

    def relearn(self, leaks: list[Leak]) -> None:
        """Linearise the network anew with the leaks now known."""
        known = self._known(leaks)
        self._learnt = {leak.id: self._newest(leak) for leak in leaks}
        self._whole.clear()
        self.picture.signature = self._of_candidates(leaky_signatures(self.model, self.fitted.loads, known))

    def whole_effects(self, columns: Ints, flow: Floats, leaks: list[Leak]) -> tuple[Floats, Floats]:
        """Return candidates' signatures by the whole effect of a leak, (K, C, n), and the flows they hold at (n,).

        Beside `leaks`, at the flows with which the network was last linearised. Flows (n,) [m3/h] are moved to a grid,
        so that what was computed once serves until the network is linearised anew.
        """
        count = len(self.fitted.loads.centre)
        some = np.unique(np.linspace(2, count - 3, _SECANT_STATES).round().astype(np.int64))
        step = np.round(np.log(np.maximum(flow, 0.1)) / FLOW_GRID).astype(np.int64)
        at: Floats = np.exp(step * FLOW_GRID)
        known = Leaks(self.places(leaks), np.array([[self._learnt.get(k.id, 0.0) for k in leaks]]) / M3H)
        beside = tuple(sorted(k.id for k in leaks if self._learnt.get(k.id, 0.0) > 0))
        keys = [(c, s, beside) for c, s in zip(columns.tolist(), step.tolist(), strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self._whole]
        if new:
            found = effects(self.model, self.fitted.loads, known, self.candidates[columns[new]], at[new], some)
            self._whole.update({keys[i]: found[:, :, k] for k, i in enumerate(new)})
        between = np.stack([np.interp(np.arange(count), some, unit) for unit in np.eye(len(some))], axis=1)
        return np.tensordot(between, np.stack([self._whole[key] for key in keys], axis=2), axes=1), at

    def weights(self, given: Drive) -> Floats:
        """Return the load weights of each block, shape (B, K)."""
        steps = self.fitted.loads.weights(total_load(given))
        blocks: Floats = steps.reshape(-1, self.per_block, steps.shape[1]).mean(axis=1)
        return blocks


def band_of(weights: Floats) -> Ints:
    """Return 0 for blocks of low load, 1 of high, shape (B,)."""
    place = weights @ np.arange(weights.shape[1])
    bands: Ints = (place >= (weights.shape[1] - 1) / 2).astype(np.int64)
    return bands
