"""What sensors see: those there are (`sight`), and one at every place where one may go (`outlook`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

from leakdetect.hydraulic.engine import only_less, rivals
from leakdetect.placement.noise import PER_DAY
from leakdetect.placement.watched import BANDS, Watched
from leakdetect.stages.expected.loads import find_tables
from leakdetect.units import M3H

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

_AT_ONCE = 128  # patterns of withdrawal that are solved for at once
_DRAWS = 96  # of customers' noise


@dataclass(frozen=True)
class Sight:
    """What the sensors there are see; C channels, N links, X rival causes.

    Attributes
    ----------
    signature : ndarray, shape (2, C, N)
        Of a leak of 1 m3/h by night and by day [m, m3/h].
    rival : ndarray, shape (2, C, X)
        Of what is not a leak.
    only_less : ndarray of bool, shape (X,)
        Rivals that explain less flow only.
    white : ndarray, shape (2, C, C)
        Covariance of a block's mean.
    walk : ndarray, shape (2 C, 2 C)
        By which levels wander in a block.
    """

    signature: Floats
    rival: Floats
    only_less: NDArray[np.bool_]
    white: Floats
    walk: Floats


def sight(watched: Watched) -> Sight:
    """Return what the sensors there are see; raises ConvergenceError where EPANET finds no state."""
    boundary = watched.boundary
    tables = find_tables(watched.model, watched.loads)
    rival, names = rivals(boundary, tables, watched.names, watched.network)
    if watched.fitted is not None:
        white, walk = watched.fitted.white, watched.fitted.walk / PER_DAY
    else:
        noise = watched.noise
        own = np.full(boundary.channels, noise.flow)
        own[: len(boundary.pressures)] = noise.pressure
        white = np.stack([watched.customers_noise(band) + np.diag(own**2) for band in range(BANDS)])
        walk = sla.block_diag(*white) * noise.walk / PER_DAY
    return Sight(tables.signature, rival, only_less(boundary, names), white, walk)


@dataclass(frozen=True)
class Outlook:
    """What a pressure sensor at each of S nodes would see of each of M leaks, in deviations of its block's mean.

    Attributes
    ----------
    nodes : ndarray of int, shape (S,)
    links : ndarray of int, shape (M,)
        Pipes with a leak in the middle.
    length : ndarray, shape (M,)
        Of pipe that each stands for [m]; adds up to that of all pipes.
    response : ndarray of float32, shape (S, 2, M)
        Of a leak of 1 m3/h, by night and by day.
    shared : ndarray of float32, shape (S, 2, F)
        Part of the noise that customers make, which sensors have in common: its covariance is shared shared'.
    """

    nodes: Ints
    links: Ints
    length: Floats
    response: Singles
    shared: Singles


def sample_leaks(lengths: Floats, pipes: Ints, most: int) -> tuple[Ints, Floats]:
    """Return pipes drawn evenly along their length, and what each stands for [m]; all of them if there are few.

    Parameters
    ----------
    lengths : ndarray, shape (L,)
        Of all links [m].
    pipes : ndarray of int, shape (n,)
    most : int
    """
    own = np.maximum(lengths[pipes], 1e-3)
    if len(pipes) <= most:
        return pipes, own
    along = np.cumsum(own)
    hit = np.searchsorted(along, (np.arange(most) + 0.5) * along[-1] / most)
    drawn, times = np.unique(hit, return_counts=True)
    return pipes[drawn], times * along[-1] / most


def outlook(watched: Watched, nodes: Ints, most_leaks: int) -> Outlook:
    """Return what a sensor at each of some nodes would see.

    One sparse factorisation for each load, one solve for each leak and each draw of the customers' noise: the work
    does not grow with the nodes that a sensor may go to.

    Parameters
    ----------
    watched : Watched
    nodes : ndarray of int, shape (S,)
    most_leaks : int
        Leaks that are looked at, at the most.
    """
    network = watched.network
    links, length = sample_leaks(network.length, np.flatnonzero(network.is_pipe & network.open), most_leaks)
    response = np.empty((len(nodes), BANDS, len(links)), dtype=np.float32)
    shared = np.empty((len(nodes), BANDS, _DRAWS + 1), dtype=np.float32)
    for band in range(BANDS):
        customers = _customers(watched, band)
        felt = _felt(watched, band, nodes, customers)
        sd = np.sqrt(watched.noise.pressure**2 + (felt**2).sum(axis=1))[:, None]
        shared[:, band] = felt / sd
        for first in range(0, len(links), _AT_ONCE):
            here = links[first : first + _AT_ONCE]
            leak = np.zeros((len(network.node_names), len(here)))
            for ends in (network.start, network.end):
                np.add.at(leak, (ends[here], np.arange(len(here))), 0.5 / M3H)
            response[:, band, first : first + _AT_ONCE] = _felt(watched, band, nodes, leak) / sd
    return Outlook(nodes, links, length, response, shared)


def _customers(watched: Watched, band: int) -> Floats:
    """Return draws of what customers do [m3/s], scaled so that the sum of their squares is the variance, (N, F)."""
    noise, demand = watched.noise, watched.unmetered(band)
    draws = np.random.default_rng(0).standard_normal((len(demand), _DRAWS)) / np.sqrt(_DRAWS)
    out: Floats = np.column_stack([noise.demand * demand[:, None] * draws, noise.zone * demand])
    return out


def _felt(watched: Watched, band: int, nodes: Ints, withdrawal: Floats) -> Floats:
    """Return the change of pressure at nodes under withdrawals (N, W) [m], shape (S, W)."""
    felt: Floats = watched.states[band][1].heads_under(watched.beside_zones(withdrawal, band))[nodes]
    return felt
