"""What customers draw: the drawn demand, brought to what meters and the zones' water balances say."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from leakdetect.network import Network
from leakdetect.stages.expected.boundary import Boundary, Drive

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST_REST = 0.02  # share of the nominal demand that unmetered customers use at the least


@dataclass(frozen=True)
class Leaks:
    """Known leaks over T steps: half of each at either end of its link.

    Attributes
    ----------
    links : ndarray of int, shape (K,)
    flow : ndarray, shape (T, K)
        [m3/s].
    """

    links: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    flow: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def __getitem__(self, rows: slice | Ints) -> Leaks:
        return Leaks(self.links, self.flow[rows]) if len(self.links) else self

    def at_nodes(self, network: Network) -> Floats:
        """Return what is lost at each node [m3/s], shape (T, N); no leaks have no T and give (1, N)."""
        out = np.zeros((len(self.flow) if len(self.links) else 1, len(network.node_names)))
        for ends in (network.start, network.end):
            for column, node in enumerate(ends[self.links].tolist()):
                out[:, node] += self.flow[:, column] / 2
        return out


class Customers:
    """Customers of a network under its readings. A step's demand rests on that step only, to the last digit.

    Parameters
    ----------
    network : Network
    boundary : Boundary
    category : ndarray, shape (N, C)
        Factor on the drawn demand.
    """

    def __init__(self, network: Network, boundary: Boundary, category: Floats) -> None:
        self.network, self.boundary = network, boundary
        self.drawn: Floats = network.base_demand * category
        """By category, without pattern [m3/s], shape (N, C)."""
        self.metered = np.zeros(len(network.node_names), dtype=bool)
        self.metered[boundary.meters[:, 0]] = True
        self._scaled = [(int(z), np.flatnonzero(boundary.zone == z)) for z in np.flatnonzero(boundary.scaled)]

    def pattern(self, week: Floats) -> Floats:
        """Return each category's factor at T moments of the week [s], shape (T, C)."""
        patterns = self.network.patterns
        factors: Floats = patterns[(week // self.network.pattern_step).astype(np.int64) % len(patterns)]
        return factors

    def nominal(self, week: Floats) -> Floats:
        """Return the drawn demand at T moments of the week [m3/s], shape (T, N)."""
        out = np.zeros((len(week), len(self.drawn)))
        for factor, drawn in zip(self.pattern(week).T, self.drawn.T, strict=True):
            out += factor[:, None] * drawn
        return out

    def demand(self, given: Drive, leaks: Leaks) -> Floats:
        """Return what is withdrawn at each node, leaks and imposed flows apart [m3/s], shape (T, N)."""
        demand = self.nominal(given.week)
        fixed = np.zeros(demand.shape, dtype=bool)
        nodes, known = self.boundary.meters[:, 0].tolist(), ~np.isnan(given.metered)
        for column, node in enumerate(nodes):
            fixed[:, node] |= known[:, column]
        demand[fixed] = 0.0
        for column, node in enumerate(nodes):
            demand[:, node] += np.where(known[:, column], given.metered[:, column], 0.0)
        leak = leaks.at_nodes(self.network)
        for zone, inside in self._scaled:
            here, metered = np.take(demand, inside, axis=1), np.take(fixed, inside, axis=1)
            nominal = np.where(metered, 0.0, here).sum(axis=1)
            left = given.net[:, zone] - np.where(metered, here, 0.0).sum(axis=1) - _sum(leak, inside)
            share = _share(left, nominal, nominal > 0)
            demand[:, inside] = np.where(metered, here, here * share[:, None])
        return demand

    def make_room(self, demand: Floats, lost: Floats) -> Floats:
        """Return demand with leaks added, unmetered customers of balanced zones giving way.

        What a zone takes in is measured: with a leak in it, its customers use that much less.

        Parameters
        ----------
        demand, lost : ndarray, shape (T, N)
            Without leaks, and what those take at each node [m3/s].
        """
        out = demand.copy()
        for _, inside in self._scaled:
            rest = inside[~self.metered[inside]]
            use, leak = _sum(out, rest), _sum(lost, inside)
            out[:, rest] *= _share(use - leak, use, (use > 0) & (leak > 0))[:, None]
        out += lost
        return out


def _sum(values: Floats, nodes: Ints) -> Floats:
    """Return the sum over some nodes: `take` keeps each row together, so that its sum rests on it alone."""
    total: Floats = np.take(values, nodes, axis=1).sum(axis=1)
    return total


def _share(left: Floats, use: Floats, scaled: NDArray[np.bool_]) -> Floats:
    """Return the factor that turns what is used into what is left for it; 1 where it is not scaled."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = np.where(scaled, np.maximum(left / use, _LEAST_REST), 1.0)
    return share
