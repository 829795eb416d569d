"""How a network looks, in numbers: to compare invented ones with those of real towns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakdetect.epanet_state import Epanet
from leakdetect.network import Floats, Network, Node

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of pipes in `Shape`."""


@dataclass(frozen=True)
class Shape:
    """What can be seen of a drawing.

    Attributes
    ----------
    degree : float
        Links at a junction, mean.
    dead_ends, crossings : float
        Share of the junctions with one link, and with four or more.
    meshedness : float
        Loops over the most that a planar graph of as many nodes can have (Buhl et al. 2006, Eur. Phys. J. B 49).
    length, diameter : ndarray, shape (5,)
        [m], of pipes: `QUANTILES`, by number, and by length of pipe.
    """

    degree: float
    dead_ends: float
    crossings: float
    meshedness: float
    length: Floats
    diameter: Floats


def shape(network: Network) -> Shape:
    """Return how a network looks."""
    nodes, links, pipe = len(network.node_names), len(network.link_names), network.is_pipe
    degree = np.bincount(np.r_[network.start, network.end], minlength=nodes)[network.node_kind == Node.JUNCTION]
    loops = links - nodes + int(network.components().max()) + 1
    length, diameter = network.length[pipe], network.diameter[pipe]
    order = np.argsort(diameter, kind="stable")
    share = np.cumsum(length[order]) / length.sum()
    return Shape(
        degree=float(degree.mean()),
        dead_ends=float((degree == 1).mean()),
        crossings=float((degree >= 4).mean()),
        meshedness=loops / (2 * nodes - 5),
        length=np.quantile(length, QUANTILES),
        diameter=diameter[order][np.searchsorted(share, QUANTILES)],
    )


def usual_pressures(network: Network) -> Floats:
    """Return the pressure of every junction at its mean demand [m]; errors as `leakdetect.epanet.Epanet`."""
    junctions = np.flatnonzero(network.node_kind == Node.JUNCTION)
    demand = (network.base_demand * network.patterns.mean(axis=0)).sum(axis=1)
    with Epanet(network) as epanet:
        epanet.set_demands(junctions, demand[junctions])
        epanet.solve()
        return epanet.heads(junctions) - network.elevation[junctions]
