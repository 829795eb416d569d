"""How readings drive the hydraulic model: zones whose water balance is closed, imposed flows, levels, meters.

Removing the links whose flow is measured, and those drawn shut, cuts the network into parts. A part without a
reservoir, whose tanks have a level sensor, takes in a known volume: what its customers use, what is stored and what
leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError
from leakdetect.network import Link, Network, Node
from leakdetect.schema import Quantity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


_MOSTLY = 0.7  # share of a zone's drawn demand that has meters


@dataclass(frozen=True)
class Boundary:
    """The part each sensor plays; N nodes, S sensors, Z zones, O observed channels.

    Attributes
    ----------
    zone : ndarray of int, shape (N,)
        Balanced zone of each node, -1 where there is none.
    scaled : ndarray of bool, shape (Z,)
        Zones whose customers are mostly without meters: their demand is scaled to what the zone takes in. Elsewhere
        the drawn demand stands for the few that are not metered, and all else that the zone takes in is leakage.
    zone_names : tuple of str, length Z
        Named after the sensors that close their balance.
    inflow : ndarray, shape (Z, S)
        +1 where a flow sensor counts into the zone, -1 out of it.
    storage : ndarray, shape (Z, S)
        Tank area [m2] at level sensors.
    cut : ndarray of int, shape (K, 2)
        Metered pumps taken out of the model (link, sensor): their flow is imposed.
    levels : ndarray of int, shape (H, 2)
        Tanks and their level sensors (node, sensor).
    meters : ndarray of int, shape (M, 2)
        Metered customers (node, sensor).
    pressures : ndarray of int, shape (P, 2)
        Observed (node, sensor); heads as pressures.
    is_head : ndarray of bool, shape (P,)
    flows : ndarray of int, shape (F, 2)
        Observed (link, sensor).
    """

    zone: Ints
    scaled: Mask
    zone_names: tuple[str, ...]
    inflow: Floats
    storage: Floats
    cut: Ints
    levels: Ints
    meters: Ints
    pressures: Ints
    is_head: Mask
    flows: Ints

    @property
    def channels(self) -> int:
        """Number of residual channels: pressures, flows, zone balances."""
        return len(self.pressures) + len(self.flows) + len(self.zone_names)

    def sensors(self) -> Ints:
        """Return the sensor of each pressure and flow channel."""
        sensors: Ints = np.r_[self.pressures[:, 1], self.flows[:, 1]]
        return sensors


def find_boundary(network: Network, names: Sequence[str], quantity: Sequence[str], element: Sequence[str]) -> Boundary:
    """Say what part each sensor plays.

    Parameters
    ----------
    network : Network
    names, quantity, element : sequences of str, length S
        Of the sensors.

    Raises
    ------
    ReadingsError
        If no sensor can be compared with the model.
    """
    found = _by_quantity(network, quantity, element)
    flows, levels, meters = found[Quantity.FLOW], _once(found[Quantity.LEVEL]), found[Quantity.DEMAND]
    heads = found[Quantity.HEAD]
    pressures = np.concatenate([found[Quantity.PRESSURE], heads])
    if len(pressures) + len(flows) == 0:
        raise ReadingsError("no pressure, head or flow sensor sits on the network: map at least one in site.toml")
    once = _once(flows)
    cut = np.array([pair for pair in once.tolist() if _can_cut(network, pair[0])], dtype=np.int64).reshape(-1, 2)
    zone, zone_names, inflow, storage = _zones(network, names, once, levels, len(names))
    observed = flows[~np.isin(flows[:, 0], cut[:, 0])]
    is_head = np.r_[np.zeros(len(pressures) - len(heads), bool), np.ones(len(heads), bool)]
    metered = np.zeros(len(zone), dtype=bool)
    metered[meters[:, 0]] = True
    use = network.base_demand.sum(axis=1)
    known = [use[metered & (zone == z)].sum() / max(use[zone == z].sum(), 1e-12) for z in range(len(zone_names))]
    scaled = np.array([share < _MOSTLY for share in known], dtype=bool)
    return Boundary(zone, scaled, zone_names, inflow, storage, cut, levels, meters, pressures, is_head, observed)


def _by_quantity(network: Network, quantity: Sequence[str], element: Sequence[str]) -> dict[str, Ints]:
    pairs: dict[str, list[tuple[int, int]]] = {q: [] for q in Quantity}
    for sensor, (kind, name) in enumerate(zip(quantity, element, strict=True)):
        if name:
            pairs[Quantity(kind)].append((network.link(name) if kind == Quantity.FLOW else network.node(name), sensor))
    return {q: np.array(p, dtype=np.int64).reshape(-1, 2) for q, p in pairs.items()}


def _can_cut(network: Network, link: int) -> bool:
    """Say whether a metered pump can be replaced by its flow: both of its sides must keep a source."""
    if network.link_kind[link] != Link.PUMP:
        return False
    part = network.components(without=np.append(_shut(network), link))
    sourced = set(part[network.is_fixed].tolist())
    return int(part[network.start[link]]) in sourced and int(part[network.end[link]]) in sourced


def _shut(network: Network) -> Ints:
    """Return the pipes and valves that the drawing has shut: districts end at them. Pumps come and go."""
    shut: Ints = np.flatnonzero(~network.open & (network.link_kind != Link.PUMP))
    return shut


def _once(pairs: Ints) -> Ints:
    """Return the first sensor of each element: a second one on the same pipe or tank closes no balance."""
    return pairs[np.sort(np.unique(pairs[:, 0], return_index=True)[1])]


def _zones(
    network: Network, names: Sequence[str], flows: Ints, levels: Ints, sensors: int
) -> tuple[Ints, tuple[str, ...], Floats, Floats]:
    part = network.components(without=np.r_[_shut(network), flows[:, 0]])
    zone = np.full(len(network.node_names), -1, dtype=np.int64)
    labels: list[str] = []
    inflow: list[Floats] = []
    storage: list[Floats] = []
    measured = set(levels[:, 0].tolist())
    for p in np.unique(part):
        inside = part == p
        tanks = np.flatnonzero(inside & (network.node_kind == Node.TANK))
        if (inside & (network.node_kind == Node.RESERVOIR)).any() or not set(tanks.tolist()) <= measured:
            continue
        if not (inside & (network.node_kind == Node.JUNCTION)).any():
            continue
        signs = np.zeros(sensors)
        for link, sensor in flows:
            signs[sensor] += float(inside[network.end[link]]) - float(inside[network.start[link]])
        area = np.zeros(sensors)
        for tank, sensor in levels:
            if inside[tank]:
                area[sensor] = network.tank_area[tank]
        if not signs.any():
            continue
        zone[inside] = len(labels)
        labels.append("+".join(names[int(s)] for s in np.flatnonzero(signs > 0)) or names[int(np.argmin(signs))])
        inflow.append(signs)
        storage.append(area)
    shape = (-1, sensors)
    return zone, tuple(labels), np.array(inflow).reshape(shape), np.array(storage).reshape(shape)


@dataclass(frozen=True)
class Drive:
    """What the readings impose on the model at T steps.

    Attributes
    ----------
    net : ndarray, shape (T, Z)
        What each zone takes in beyond storage [m3/s].
    metered : ndarray, shape (T, M)
        Customers' demand [m3/s]; NaN where a meter is silent.
    level : ndarray, shape (T, H)
        [m].
    imposed : ndarray, shape (T, K)
        Flow of the cut links [m3/s].
    week : ndarray, shape (T,)
        Seconds since Monday 00:00 local time.
    valid : ndarray of bool, shape (T,)
        Everything needed is there.
    """

    net: Floats
    metered: Floats
    level: Floats
    imposed: Floats
    week: Floats
    valid: Mask

    def __getitem__(self, rows: slice | Ints) -> Drive:
        return Drive(*(value[rows] for value in vars(self).values()))


def drive(boundary: Boundary, reading: Floats, last: Floats, before: Floats, step: float, week: Floats) -> Drive:
    """Return what readings impose.

    Parameters
    ----------
    boundary : Boundary
    reading : ndarray, shape (T, S)
        Step means, SI, NaN where not usable.
    last : ndarray, shape (T, S)
        Last usable reading in each step: what storage changes are made of.
    before : ndarray, shape (S,)
        `last` of the step before the first.
    step : float
        [s].
    week : ndarray, shape (T,)
        Seconds since Monday 00:00 local time.
    """
    change = np.diff(np.vstack([before, last]), axis=0) / step
    used = np.abs(boundary.inflow).sum(0) > 0
    stored = boundary.storage.sum(0) > 0
    net = np.zeros((len(reading), len(boundary.zone_names)))
    net += np.where(np.isnan(reading[:, used]), 0, reading[:, used]) @ boundary.inflow[:, used].T
    net -= np.where(np.isnan(change[:, stored]), 0, change[:, stored]) @ boundary.storage[:, stored].T
    missing_flow = np.isnan(reading[:, used]) @ (np.abs(boundary.inflow[:, used].T) > 0)
    missing_level = np.isnan(change[:, stored]) @ (boundary.storage[:, stored].T > 0)
    level, imposed = reading[:, boundary.levels[:, 1]], reading[:, boundary.cut[:, 1]]
    valid = ~(missing_flow | missing_level).any(axis=1) & ~np.isnan(level).any(axis=1) & ~np.isnan(imposed).any(axis=1)
    return Drive(net, reading[:, boundary.meters[:, 1]], level, imposed, week, valid)
