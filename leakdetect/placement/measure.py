"""What a set of sensors is worth, with the noise that they have in common: leaks found, length of the zone.

Beside the objective that is maximised, which has a guarantee, these are the figures that a user lives with; they have
none, since evidence from sensors whose noise is correlated does not simply add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from leakdetect.hydraulic.raising import ALIKE
from leakdetect.placement.noise import needed
from leakdetect.placement.sight import Outlook

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAKS = 300  # whose zone is measured, at the most


@dataclass(frozen=True)
class Worth:
    """Of a set of sensors.

    Attributes
    ----------
    found : float
        Share of leaks, by length of pipe, that the detector would raise.
    zone_m : float
        Mean length of the zone that holds what is wanted [m]; all pipes where nothing is seen.
    """

    found: float
    zone_m: float


def worth(view: Outlook, rows: Ints, *, links: int, threshold: float, share: float = 0.8) -> Worth:
    """Measure a set of sensors.

    Parameters
    ----------
    view : Outlook
        Its responses in deviations of what a window shows of the leaks in question.
    rows : ndarray of int
        The sensors, of the outlook's nodes.
    links : int
        Among which the detector chooses.
    threshold : float
        Evidence that it asks for beyond the price of choosing.
    share : float
        Of the probability that the zone holds.
    """
    total = float(view.length.sum())
    if not len(rows):
        return Worth(0.0, total)
    white, precision = _whitened(view, rows)
    own = (white**2).sum(axis=0)
    # A fault of one sensor explains of the evidence what its own column has in common with the leak.
    fault = (white_faults(white, precision) ** 2).max(axis=0)
    ask, beyond = needed(links, threshold)
    chance = np.minimum(
        ndtr(np.sqrt(own) - np.sqrt(ask)), ndtr(np.sqrt(np.maximum(own - fault, 0.0)) - np.sqrt(beyond))
    )
    some = np.unique(np.linspace(0, len(own) - 1, min(_LEAKS, len(own))).round().astype(np.int64))
    product = white[:, some].T @ white
    seen = np.maximum(own, 1e-300)
    # What an alternative leaves unexplained at the flow that suits it best; none flows backwards.
    apart = own[some, None] - np.maximum(product, 0.0) ** 2 / seen
    log = -ALIKE / 2 * np.maximum(apart, 0.0) + np.log(view.length)
    belief = np.exp(log - log.max(axis=1, keepdims=True))
    belief /= belief.sum(axis=1, keepdims=True)
    order = np.argsort(-belief, axis=1, kind="stable")
    held = np.cumsum(np.take_along_axis(belief, order, axis=1), axis=1)
    before = held - np.take_along_axis(belief, order, axis=1)
    part = np.clip((share - before) / np.maximum(held - before, 1e-300), 0.0, 1.0)  # of the last pipe only a part
    length = (part * view.length[order]).sum(axis=1)
    weight = view.length[some] / view.length[some].sum()
    return Worth(float(chance @ view.length / total), float(length @ weight))


def _whitened(view: Outlook, rows: Ints) -> tuple[Floats, list[Floats]]:
    """Return what the sensors see of each leak made white, (2 n, M), and what makes each band white, (n, n) each."""
    white, whitener = [], []
    for band in range(view.response.shape[1]):
        shared = view.shared[rows, band].astype(float)
        cov = shared @ shared.T
        np.fill_diagonal(cov, 1.0)  # responses are in deviations of all of a sensor's noise
        inverse = np.linalg.inv(np.linalg.cholesky(cov))
        whitener.append(inverse)
        white.append(inverse @ view.response[rows, band].astype(float))
    return np.vstack(white), whitener


def white_faults(white: Floats, whitener: list[Floats]) -> Floats:
    """Return the part of each white leak (2 n, M) along a fault of each sensor, shape (n, M)."""
    fault = np.vstack(whitener)
    unit = fault / np.sqrt((fault**2).sum(axis=0))
    along: Floats = unit.T @ white
    return along
