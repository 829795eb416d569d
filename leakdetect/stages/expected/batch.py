"""The network under its boundary as the batch solver takes it: many steady states at once."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.hydraulics import Solver, Steady
from leakdetect.epanet_state import LEAST_LEVEL, Epanet
from leakdetect.errors import ConvergenceError
from leakdetect.network import Link, Network
from leakdetect.stages.expected.boundary import Boundary
from leakdetect.steady import to_problem, to_settings

Floats = NDArray[np.float64]

_USUAL_LEVEL = 3.0  # [m] of tanks whose level is measured, for the guess


class Batch:
    """Steady states of one drawing. All begin from one guess, so that none rests on what is solved beside or before it.

    Parameters
    ----------
    network : Network
    boundary : Boundary
    epanet : Epanet
        Of the network, its cut links shut: it knows curves, speeds of pumps, heads of reservoirs and limits of tanks.
    roughness, setting : ndarray, shape (L,)
        As `Network.roughness` and `Network.setting`.
    demand : ndarray, shape (N,)
        Ordinary ones, for the guess [m3/s].

    Raises
    ------
    ValueError
        If the network has a link that batches cannot do.
    """

    def __init__(
        self, network: Network, boundary: Boundary, epanet: Epanet, roughness: Floats, setting: Floats, demand: Floats
    ) -> None:  # fmt: skip
        self._network = network
        fixed, junctions = np.flatnonzero(network.is_fixed), np.flatnonzero(~network.is_fixed)
        self._pumps = np.flatnonzero(network.link_kind == Link.PUMP)
        epanet.forget()
        epanet.set_demands(junctions, np.zeros(len(junctions)))
        tanks = boundary.levels[:, 0]
        for tank in tanks.tolist():
            epanet.set_level(tank, _USUAL_LEVEL)
        with contextlib.suppress(ConvergenceError):  # what is asked for here it knows without a balance
            epanet.solve()
        self._speed, self._heads = epanet.speeds(self._pumps), epanet.heads(fixed)
        closed = ~network.open
        closed[self._pumps] &= ~epanet.is_open(self._pumps)  # some are started by the pattern of their speed
        closed[boundary.cut[:, 0]] = True
        epanet.forget()
        self._tanks, self._bottom = np.searchsorted(fixed, tanks), network.elevation[tanks]
        self._highest = np.array([epanet.highest_level(tank) for tank in tanks.tolist()])
        self._problem = to_problem(network, epanet, roughness, self._settings(setting), closed)
        self._solver = Solver(self._problem)
        self._guess = self._solver.solve(demand, self._heads)

    def _settings(self, setting: Floats) -> Floats:
        """Return what each link follows: valves of pressure may be set anew."""
        valves = np.isin(self._network.link_kind, [Link.PRV, Link.PSV])
        out = np.where(valves, setting, self._network.setting)
        out[self._pumps] = self._speed
        return out

    def solve(self, demand: Floats, level: Floats, setting: Floats) -> Steady:
        """Find steady states.

        Parameters
        ----------
        demand : ndarray, shape (B, N)
            All that is withdrawn [m3/s].
        level : ndarray, shape (B, H)
            Of tanks [m].
        setting : ndarray, shape (L,)
            As `Network.setting`, for all of them.
        """
        heads = np.tile(self._heads, (len(demand), 1))
        heads[:, self._tanks] = self._bottom + np.clip(level, LEAST_LEVEL, self._highest)
        aims = to_settings(self._network, self._settings(setting))[self._problem.devices]
        return self._solver.solve(demand, heads, aims, self._guess)
