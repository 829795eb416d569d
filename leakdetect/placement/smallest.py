"""The smallest leak that the sensors there are would find within some days, pipe by pipe.

A window's evidence for a leak of flow q with signature s is q^2 s' W s in the mean, its root scatters by 1. The leak is
raised where the root reaches that of what the detector asks for; where a sensor's fault, a valve or the customers do
not explain it as well; and where the flow is one that is looked for. So the flow that does all of it in nine cases
of ten follows for every window, from the same covariance as the detector's (`core.window.spread`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.filter import update
from leakdetect.placement.noise import PER_DAY, SURE, needed, windows
from leakdetect.placement.sight import Sight, sight
from leakdetect.placement.watched import Watched

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAYS = (1.0, 7.0, 30.0)
"""A day, a week, a month."""

_SETTLED = 120  # blocks after which a filter knows the levels as well as it ever will
_WIDE = 10.0  # deviations of a block's mean: what is known of the levels at first


@dataclass(frozen=True)
class Smallest:
    """Smallest leaks; D times, M pipes.

    Attributes
    ----------
    days : tuple of float, length D
    links : ndarray of int, shape (M,)
    flow : ndarray, shape (D, M)
        [m3/h]; inf where no leak of the network's size is found.
    zone : tuple of str, length M
        Of each pipe: the measured zone in whose water balance it is, '' for none.
    """

    days: tuple[float, ...]
    links: Ints
    flow: Floats
    zone: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """Of a zone.

    Attributes
    ----------
    zone : str
        '' for pipes outside of measured zones.
    length_m : float
        Of its pipes.
    median, most : tuple of float, length D
        Flow that is found on half of the length, and on nine tenths [m3/h].
    """

    zone: str
    length_m: float
    median: tuple[float, ...]
    most: tuple[float, ...]


def smallest(watched: Watched, days: tuple[float, ...] = DAYS) -> Smallest:
    """Return the smallest leak on every open pipe that is raised within some days, nine times in ten.

    Parameters
    ----------
    watched : Watched
    days : tuple of float

    Raises
    ------
    InputError
        If a time is shorter than any window of the detector.
    ConvergenceError
        If EPANET finds no steady state.
    """
    network = watched.network
    links = np.flatnonzero(network.is_pipe & network.open)
    seen = sight(watched)
    known = known_levels(seen)
    ask = needed(int(network.is_pipe.sum()), watched.threshold)
    by_window: dict[int, Floats] = {}
    flow = np.full((len(days), len(links)), np.inf)
    for d, within in enumerate(days):
        for blocks in windows(within):
            if blocks not in by_window:
                by_window[blocks] = _in_window(seen, known, links, blocks, ask, watched.smallest)
            flow[d] = np.minimum(flow[d], by_window[blocks])
    flow[flow > watched.demand] = np.inf
    zone = watched.boundary.zone[network.start[links]]
    names = tuple(watched.boundary.zone_names[z] if z >= 0 else "" for z in zone.tolist())
    return Smallest(tuple(days), links, flow, names)


def by_zone(found: Smallest, length: Floats) -> list[Row]:
    """Return a row for each zone and, last, one for all (named 'all'); `length` is that of all links (L,) [m]."""
    own = length[found.links]
    zones = sorted(set(found.zone))
    parts = [(zone, np.array([z == zone for z in found.zone])) for zone in zones]
    if len(zones) > 1:
        parts.append(("all", np.ones(len(own), dtype=bool)))
    return [
        Row(
            zone,
            float(own[inside].sum()),
            *(tuple(_quantile(flow[inside], own[inside], share) for flow in found.flow) for share in (0.5, 0.9)),
        )
        for zone, inside in parts
    ]


def _quantile(values: Floats, weight: Floats, share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    place = int(np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)))
    return float(values[order][place])


def known_levels(seen: Sight) -> Floats:
    """Return the covariance of the levels as the detector's filter knows them after long, shape (2 C, 2 C)."""
    channels = seen.white.shape[1]
    scale = np.sqrt(np.diagonal(seen.white, axis1=1, axis2=2)).ravel()
    cov = np.diag((_WIDE * scale) ** 2)
    none = np.zeros(2 * channels)
    for block in range(_SETTLED):
        band = block // (PER_DAY // 2) % 2
        matrix = np.zeros((channels, 2 * channels))
        matrix[:, band * channels : (band + 1) * channels] = np.eye(channels)
        cov = update(none, cov + seen.walk, np.zeros(channels), matrix, seen.white[band])[1]
    return cov


def _in_window(
    seen: Sight, known: Floats, links: Ints, blocks: int, ask: tuple[float, float], least: float
) -> Floats:  # fmt: skip
    """Return the smallest flow of a leak at each link that a window of so many blocks shows [m3/h], shape (M,)."""
    bands, channels, _ = seen.signature.shape
    whole = blocks - 1  # the leak began somewhere in the first
    each = np.array([whole - whole // 2, whole // 2])[:bands]
    if each[1] == 0:  # of one whole block, at night or by day, take the worse
        ways: list[list[int]] = [[0], [1]]
        counts = np.ones(bands)
    else:
        ways, counts = [[0, 1]], each.astype(float)
    worst = np.zeros(len(links))
    for bands_seen in ways:
        rows = np.concatenate([np.arange(b * channels, (b + 1) * channels) for b in bands_seen])
        cov = (known + seen.walk * blocks / 3.0)[np.ix_(rows, rows)]
        for i, b in enumerate(bands_seen):
            part = slice(i * channels, (i + 1) * channels)
            cov[part, part] += seen.white[b] / counts[b]
        whitener = np.linalg.inv(np.linalg.cholesky(cov))
        leak = whitener @ np.concatenate([seen.signature[b][:, links] for b in bands_seen])
        rival = whitener @ np.concatenate([seen.rival[b] for b in bands_seen])
        worst = np.maximum(worst, _flow(leak, rival, seen.only_less, ask, least))
    return worst


def _flow(leak: Floats, rival: Floats, only_less: NDArray[np.bool_], ask: tuple[float, float], least: float) -> Floats:
    """Return the flow at which white leaks (m, M) pass all tests against white rivals (m, X) [m3/h], shape (M,)."""
    own = (leak**2).sum(axis=0)
    length = np.sqrt(np.maximum((rival**2).sum(axis=0), 1e-300))
    along = (rival / length).T @ leak
    along[only_less] = np.minimum(along[only_less], 0.0)
    beside = np.maximum(own - (along**2).max(axis=0, initial=0.0), 0.0)
    with np.errstate(divide="ignore"):
        raised = (np.sqrt(ask[0]) + SURE) / np.sqrt(own)
        unlike = np.where(ask[1] > 0, (np.sqrt(ask[1]) + SURE) / np.sqrt(beside), 0.0)
        looked_for = least + SURE / np.sqrt(own)
    flow: Floats = np.maximum(np.maximum(raised, unlike), looked_for)
    return flow
