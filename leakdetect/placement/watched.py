"""A network as it is watched: its model at a night's and a day's load, its noise, what the detector asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.core.sensitivity import Linearised
from leakdetect.errors import ConvergenceError, InputError
from leakdetect.hydraulic.fit import LEAST_THRESHOLD
from leakdetect.hydraulic.fitted import Fitted
from leakdetect.hydraulic.steps import BLOCK_HOURS
from leakdetect.network import Network
from leakdetect.networks import Sensors
from leakdetect.placement.noise import Noise
from leakdetect.stages.expected.boundary import Boundary, find_boundary
from leakdetect.stages.expected.loads import Loads
from leakdetect.stages.expected.model import HydraulicModel, Physics, State
from leakdetect.stages.residuals import Noise as FittedNoise
from leakdetect.units import M3H

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BANDS = 2
_BLOCK = BLOCK_HOURS * 3600.0
_WEEK = 7 * 86400.0
_FINEST = 0.002  # [m] that pressures are taken to scatter by at the least, whatever a fit says


@dataclass(eq=False)
class Watched:
    """A network and its sensors at two loads; keeps EPANET open: close it, or use it in a `with`.

    Attributes
    ----------
    model : HydraulicModel
    names : list of str
        Of the channels: pressures, flows, zone balances.
    loads : Loads
        Two: the mean of the blocks of low load and of high load.
    noise : Noise
        Of places that have no sensor yet, and of all sensors without `fitted`.
    fitted : FittedNoise or None
        Of the sensors there are, where a fit knows it.
    threshold, smallest : float
        Evidence that the detector asks for; the smallest leak that it looks for [m3/h].
    """

    model: HydraulicModel
    names: list[str]
    loads: Loads
    noise: Noise
    fitted: FittedNoise | None = None
    threshold: float = LEAST_THRESHOLD
    smallest: float = 1.0

    @property
    def network(self) -> Network:
        """The drawing."""
        return self.model.network

    @property
    def boundary(self) -> Boundary:
        """The part that each sensor plays."""
        return self.model.boundary

    @property
    def demand(self) -> float:
        """What all customers draw on average [m3/h]: no leak is looked for that takes more."""
        return float(self.loads.demand.sum(axis=1).mean()) * M3H

    @cached_property
    def states(self) -> list[tuple[State, Linearised]]:
        """The steady state of each load and the network linearised there; ConvergenceError if there is none."""
        found = []
        for k in range(BANDS):
            state = self.model.state(self.loads.demand[k], self.loads.level[k], self.loads.imposed[k])
            found.append((state, self.model.linearised(state)))
        return found

    def unmetered(self, band: int) -> Floats:
        """Return what customers without a meter draw at a load [m3/s], shape (N,)."""
        return np.where(self.model.customers.metered, 0.0, np.maximum(self.loads.demand[band], 0.0))

    def beside_zones(self, withdrawal: Floats, band: int) -> Floats:
        """Return withdrawals (N, W) less what measured zones then use less elsewhere (`HydraulicModel.signatures`)."""
        out = withdrawal.copy()
        for zone, share in enumerate(self.model.giving_way(self.states[band][0])):
            if share.any():
                out -= share[:, None] * withdrawal[self.boundary.zone == zone].sum(axis=0)
        return out

    def customers_noise(self, band: int) -> Floats:
        """Return the covariance of the channels' block means by what customers do, shape (C, C).

        Each junction's demand varies on its own, and each measured zone's as a whole, as does all that is in none.
        """
        boundary, noise, demand = self.boundary, self.noise, self.unmetered(band) * M3H
        state, at = self.states[band]
        rows = self.model.rows(at)
        zones = np.arange(len(boundary.zone_names))
        every = np.vstack([rows, (boundary.zone == zones[:, None]).astype(float)])
        for zone, share in enumerate(self.model.giving_way(state)):
            if share.any():
                every[: len(rows), boundary.zone == zone] -= (rows @ share)[:, None]
        own = every * (noise.demand * demand)
        together = every @ ((boundary.zone[:, None] == np.r_[-1, zones]) * (noise.zone * demand)[:, None])
        out: Floats = own @ own.T + together @ together.T
        return out

    def close(self) -> None:
        """Close EPANET."""
        self.model.close()

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_drawn(network: Network, sensors: Sensors, noise: Noise | None = None, smallest: float = 1.0) -> Watched:
    """Watch a drawing: demand by its patterns, sources, pumps and levels as drawn, noise as stated.

    Parameters
    ----------
    network : Network
    sensors : Sensors
        Pressures, flows, levels and customers' meters that there are. Where they close a zone's water balance, the
        zone's demand is taken as scaled to its inflow.
    noise : Noise, optional
    smallest : float
        Leak that is looked for [m3/h].

    Raises
    ------
    ElementError
        If a sensor is not in the network.
    InputError
        If there is neither a pressure nor a flow sensor, or no demand is drawn.
    """
    sensors.check(network)
    listed = {"pressure": sensors.pressures, "flow": sensors.flows, "level": sensors.levels, "demand": sensors.demands}
    quantity = [q for q, elements in listed.items() for _ in elements]
    element = [e for elements in listed.values() for e in elements]
    whole = find_boundary(network, element, quantity, element)
    nothing = np.zeros((0, 2), dtype=np.int64)
    pumps = np.array([[link, sensor] for link, sensor in whole.cut.tolist()], dtype=np.int64).reshape(-1, 2)
    # Nobody says what readings would impose: metered pumps run on their curve, tanks stand as drawn.
    boundary = replace(whole, cut=nothing, levels=nothing, flows=np.concatenate([whole.flows, pumps]))
    model = HydraulicModel(network, boundary, Physics.drawn(network))
    try:
        demand = _by_band(model)
    except InputError:
        model.close()
        raise
    none = np.zeros((BANDS, 0))
    loads = Loads(demand.sum(axis=1), demand, np.zeros((BANDS, *model.customers.drawn.shape)), none, none)
    return Watched(model, _channels(boundary, element), loads, noise or Noise(), smallest=smallest)


def as_fitted(
    network: Network, names: list[str], quantity: list[str], element: list[str], model: xr.Dataset, smallest: float
) -> Watched:
    """Watch a network as a fit found it.

    Parameters
    ----------
    network : Network
    names, quantity, element : list of str
        Of the sensors.
    model : Dataset
        That the fit left.
    smallest : float
        Leak that is looked for [m3/h].

    Raises
    ------
    NotFittedError
        If the model is another network's, or of other sensors.
    ConvergenceError
        If EPANET finds no steady state.
    """
    boundary = find_boundary(network, names, quantity, element)
    channels = _channels(boundary, names)
    fitted = Fitted.from_dataset(model, network, channels)
    found, half = fitted.loads, (len(fitted.loads.centre) + 1) // 2
    loads = Loads(*(np.stack([part[:half].mean(axis=0), part[half:].mean(axis=0)]) for part in vars(found).values()))
    hydraulics = HydraulicModel(network, boundary, fitted.physics)
    watched = Watched(hydraulics, channels, loads, Noise(), fitted.noise, fitted.threshold, smallest)
    try:
        return _with_noise_like(watched, fitted.noise)
    except ConvergenceError:
        watched.close()
        raise


def _with_noise_like(watched: Watched, fitted: FittedNoise) -> Watched:
    """Give a new pressure sensor the noise of the median one there is, less what customers do there."""
    count = len(watched.boundary.pressures)
    if count:
        seen = np.diagonal(fitted.white, axis1=1, axis2=2)[:, :count]
        done = np.stack([np.diagonal(watched.customers_noise(band))[:count] for band in range(BANDS)])
        walk = np.diagonal(fitted.walk).reshape(BANDS, -1)[:, :count]
        own = float(np.sqrt(max(np.median(seen - done), _FINEST**2)))
        watched.noise = replace(watched.noise, pressure=own, walk=float(np.median(walk / seen)))
    return watched


def _by_band(model: HydraulicModel) -> Floats:
    """Return the drawn demand of blocks of six hours, the half of low load and that of high load [m3/s], (2, N)."""
    network = model.network
    span = min(len(network.patterns) * network.pattern_step, _WEEK)
    hours = np.arange(0.0, max(np.ceil(span / 86400.0), 1.0) * 86400.0, 3600.0)
    hourly = model.customers.nominal(hours)
    blocks = hourly.reshape(-1, int(_BLOCK / 3600), hourly.shape[1]).mean(axis=1)
    if not blocks.sum() > 0:
        raise InputError(f"{network.path or network.name}: draws no demand: give its junctions one")
    order = np.argsort(blocks.sum(axis=1), kind="stable")
    return np.stack([blocks[part].mean(axis=0) for part in np.array_split(order, BANDS)])


def _channels(boundary: Boundary, names: list[str]) -> list[str]:
    return [names[s] for s in boundary.sensors()] + [f"balance {zone}" for zone in boundary.zone_names]
