"""Noise that places have in common, taken off what they show as places are taken one after the other.

Responses are in deviations of each place's noise, of which a part is shared: its covariance is F F' between places.
Once a place is read, what it shows foretells a part of what the others would. What is left of their responses and of
their noise (a step of Gaussian elimination) makes evidence add up exactly, in the order in which places are taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled
from leakdetect.core.submodular import Objective

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Conditioned:
    """An objective of places whose noise is in part shared; no longer submodular, so that no bound follows.

    Parameters
    ----------
    inner : Objective
        Reads `response`.
    response : ndarray of float32, shape (S, K, M)
        Is changed in place.
    shared : ndarray of float32, shape (S, K, F)
        Shared part of the noise of each place, of which the whole has variance 1; K kinds are independent.
    """

    def __init__(self, inner: Objective, response: Singles, shared: Singles) -> None:
        self._inner, self._response = inner, response
        self._shared: Floats = shared.astype(float)
        self._own = 1.0 - (self._shared**2).sum(axis=2)

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add; see `Objective`."""
        return self._inner.gains(places)

    def add(self, place: int) -> None:
        """Take a place into the set, and what it foretells off the others."""
        self._inner.add(place)
        for kind in range(self._response.shape[1]):
            shared, own = self._shared[:, kind], self._own[:, kind]
            common = shared[place].copy()
            length = float(common @ common)
            with_it = shared @ common
            before, alone = np.sqrt(own + (shared**2).sum(axis=1)), float(own[place]) + length
            if length > 0:
                part = (1 - np.sqrt(max(1 - length / alone, 0.0))) / length
                shared -= np.outer(with_it * part, common)
            after = np.sqrt(np.maximum(own + (shared**2).sum(axis=1), 1e-12))
            foretold = with_it / np.sqrt(alone) / after
            taken = self._response[place, kind].copy()
            foretold[place], after[place], shared[place] = 0.0, np.inf, 0.0  # nothing new comes from it
            _take_off(self._response, kind, (before / after).astype(np.float32), foretold.astype(np.float32), taken)


@compiled
def _take_off(response: Singles, kind: int, factor: Singles, foretold: Singles, taken: Singles) -> None:
    for i in range(response.shape[0]):
        f, t = factor[i], foretold[i]
        for j in range(response.shape[2]):
            response[i, kind, j] = f * response[i, kind, j] - t * taken[j]
