"""The whole of a service and its districts: what each takes in, and which part of the network it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError
from leakdetect.network import Network, Node
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.stages.expected.boundary import Boundary, find_boundary

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_REST = 0.01
"""Share of the drawn demand that may be fed unseen."""


@dataclass(frozen=True)
class Part:
    """A service or a district over T steps.

    Attributes
    ----------
    name : str
        '' for the whole.
    inflow : ndarray, shape (T,)
        What it takes in beyond what its tanks store [m3/s]; NaN where not known.
    nodes : ndarray of bool, shape (N,), or None
        Its nodes; None where nothing says which they are.
    sensors : ndarray of bool, shape (S,)
        The pressure sensors that lie in it.
    """

    name: str
    inflow: Floats
    nodes: Mask | None
    sensors: Mask

    def mains(self, network: Network) -> float | None:
        """Return the length of its pipes [m], pipes to its neighbours with half of theirs."""
        if self.nodes is None:
            return None
        share = (self.nodes[network.start].astype(float) + self.nodes[network.end]) / 2
        return float((share * network.length)[network.is_pipe].sum())


def parts(data: xr.Dataset, network: Network | None) -> list[Part]:
    """Return the whole first, then the districts where the site names several.

    With a network whose water balance the sensors close, inflow is what its meters let in less what tanks store; a
    district is the zones that its meters feed. Else the flow sensors of a district that the site names add up, and
    the districts to the whole: flow is positive into the district.

    Parameters
    ----------
    data : Dataset
        Steps, as `pipeline.steps_of` returns them.
    network : Network or None

    Raises
    ------
    ReadingsError
        If there is no flow sensor, or the meters let part of the demand in unseen.
    """
    quantity, district = data["quantity"].values, data["dma"].values
    flow = quantity == Quantity.FLOW
    if not flow.any():
        raise ReadingsError("no flow sensor among the readings: key figures need the inflow; add it under readings")
    pressure = quantity == Quantity.PRESSURE
    names = [str(name) for name in dict.fromkeys(district[flow]) if name]
    boundary = None
    if network is not None and (data["element"].values[flow] != "").any():
        boundary = find_boundary(
            network, data[SENSOR].values.tolist(), quantity.tolist(), data["element"].values.tolist()
        )
    if network is None or boundary is None or (names and _unseen(network, boundary).any()):
        return _summed(data, names, flow, pressure)
    _check_whole(network, boundary)
    whole = np.ones(len(boundary.zone_names), dtype=bool)
    found = [Part("", _balance(data, boundary, whole), np.ones(len(network.node_names), dtype=bool), pressure)]
    if len(names) > 1:
        feeds = [set(district[row > 0].tolist()) for row in boundary.inflow]
        for name in names:
            zones = np.array([feed == {name} for feed in feeds], dtype=bool)
            sensors = pressure & (district == name)
            if zones.any():
                nodes = np.isin(boundary.zone, np.flatnonzero(zones))
                found.append(Part(name, _balance(data, boundary, zones), nodes, sensors))
            else:
                found.append(Part(name, _sum(data, flow & (district == name)), None, sensors))
    return found


def _summed(data: xr.Dataset, names: list[str], flow: Mask, pressure: Mask) -> list[Part]:
    district = data["dma"].values
    nameless = flow & (district == "")
    whole = Part("", _sum(data, nameless if nameless.any() else flow), None, pressure)
    if len(names) + int(nameless.any()) < 2:
        return [whole]
    of = (district == name for name in names)
    return [whole, *(Part(n, _sum(data, flow & at), None, pressure & at) for n, at in zip(names, of, strict=True))]


def _readings(data: xr.Dataset, name: str) -> Floats:
    values: Floats = np.where(data["usable"].values, data[name].transpose(TIME, SENSOR).values, np.nan)
    return values


def _sum(data: xr.Dataset, which: Mask) -> Floats:
    total: Floats = _readings(data, "reading")[:, which].sum(axis=1)
    return total


def _balance(data: xr.Dataset, boundary: Boundary, zones: Mask) -> Floats:
    """Return what zones take in together beyond what their tanks store, shape (T,); NaN where a sensor is silent."""
    signs, areas = boundary.inflow[zones].sum(axis=0), boundary.storage[zones].sum(axis=0)
    net: Floats = _readings(data, "reading")[:, signs != 0] @ signs[signs != 0]
    if areas.any():
        level = _readings(data, "last")[:, areas > 0]
        change = np.diff(level, axis=0, prepend=np.nan) / float(data.attrs["step_seconds"])
        net = net - change @ areas[areas > 0]
    return net


def _unseen(network: Network, boundary: Boundary) -> Mask:
    """Return the nodes with demand that no balance holds; none where they make up next to nothing."""
    drawn = np.where(network.node_kind == Node.JUNCTION, network.base_demand.sum(axis=1), 0.0)
    outside: Mask = (boundary.zone < 0) & (drawn > 0)
    return outside if drawn[outside].sum() > _REST * drawn.sum() else np.zeros_like(outside)


def _check_whole(network: Network, boundary: Boundary) -> None:
    unseen = _unseen(network, boundary)
    if unseen.any() or not boundary.zone_names:
        some = f", such as that at '{network.node_names[int(np.argmax(unseen))]}'" if unseen.any() else ""
        raise ReadingsError(
            f"part of the demand{some} is fed past the flow sensors or from a tank without a level sensor: key "
            "figures need every inflow: add the missing sensor to site.toml, or name the districts that flows feed"
        )
