"""Conductance and flow correction of pipes, over a batch of states: EPANET's formulas and its line for standing water.

Of every link the global gradient algorithm wants its conductance P = 1 / (d loss / d flow) and Y = P loss, at the flow
it has so far. Source: Rossman et al. (2020), EPANET 2.2 User Manual, chapter 12.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

from .elementary import exp2, log2
from .problem import LEAST_SLOPE, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LAMINAR, _TURBULENT = 500 * np.pi, 1000 * np.pi  # Re pi/4 at Re 2000 and 4000
_SWAMEE = 5.74 * (np.pi / 4) ** 0.9
_LOG = -2 / np.log(10) * np.log(2)  # -2 log10 x = _LOG log2 x
_SLOPE = -3.6 / np.log(10)


class Friction:
    """Pipes of a problem; others of its links get numbers of no meaning.

    Parameters
    ----------
    problem : Problem
    links : ndarray of int, shape (K,)
        Which of its links.
    """

    def __init__(self, problem: Problem, links: Ints) -> None:
        self._exponent = problem.exponent
        self._resistance = problem.resistance[links]
        self._minor = (problem.minor * problem.local)[links]
        self._rough: Floats | None = None
        if problem.rough is not None and problem.creep is not None:
            self._rough, self._creep = problem.rough[links], problem.creep[links]
            self._between = _dunlop(self._rough)

    def __call__(self, flow: Floats, conductance: Floats, correction: Floats) -> None:
        """Write P [m2/s] and Y [m3/s], all of shape (K, W)."""
        if self._rough is not None:
            relative = np.abs(flow) / self._creep[:, None]  # Re pi/4
            logarithm, swamee = np.empty_like(flow), np.empty_like(flow)
            log2(relative.ravel(), logarithm.ravel())
            exp2(logarithm.ravel(), -0.9, swamee.ravel())
            inner = self._rough[:, None] / 3.7 + _SWAMEE * swamee
            log2(inner.ravel(), logarithm.ravel())
            _darcy(
                flow, relative, swamee, inner, logarithm, self._resistance, self._minor, self._creep, self._between,
                conductance, correction,
            )  # fmt: skip
            return
        power = correction  # is overwritten element by element
        if self._exponent == 2:
            np.abs(flow, out=power)
        else:
            log2(flow.ravel(), power.ravel())
            exp2(power.ravel(), self._exponent - 1, power.ravel())
        _powers(flow, power, self._resistance, self._minor, self._exponent, conductance, correction)


@compiled
def _powers(
    flow: Floats, power: Floats, resistance: Floats, minor: Floats, exponent: float, conductance: Floats,
    correction: Floats,
) -> None:  # fmt: skip
    """Take loss = r |q|^(n-1) q + m |q| q, `power` being |q|^(n-1)."""
    count, width = flow.shape
    for k in range(count):
        r, m = resistance[k], minor[k]
        for b in range(width):
            size = abs(flow[k, b])
            steep = exponent * r * power[k, b]
            slope = steep if steep >= LEAST_SLOPE else LEAST_SLOPE / exponent
            loss = (steep / exponent if steep >= LEAST_SLOPE else slope) + m * size  # by unit of flow
            p = 1.0 / (slope + 2.0 * m * size)
            conductance[k, b] = p
            correction[k, b] = loss * flow[k, b] * p


def _dunlop(rough: Floats) -> Floats:
    """Return the coefficients of Dunlop's cubic between laminar and turbulent flow, shape (K, 4)."""
    inner = rough / 3.7 + 5.74 / 4000**0.9
    y = -2 / np.log(10) * np.log(inner)
    fa = y**-2
    fb = fa * (2 - 3.6 / np.log(10) * (5.74 / 4000**0.9) / (inner * y))
    return np.stack(
        [7 * fa - fb, 0.128 - 17 * fa + 2.5 * fb, -0.128 + 13 * fa - 2 * fb, 0.032 - 3 * fa + 0.5 * fb], axis=1
    )


@compiled
def _darcy(
    flow: Floats, relative: Floats, swamee: Floats, inner: Floats, logarithm: Floats, resistance: Floats,
    minor: Floats, creep: Floats, between: Floats, conductance: Floats, correction: Floats,
) -> None:  # fmt: skip
    """Take Darcy-Weisbach: laminar below Re 2000, Swamee-Jain above 4000, Dunlop's cubic between."""
    count, width = flow.shape
    for k in range(count):
        r, m, s = resistance[k], minor[k], creep[k]
        laminar = 16.0 * np.pi * s * r
        x1, x2, x3, x4 = between[k]
        for b in range(width):
            size, w = abs(flow[k, b]), relative[k, b]
            if w <= _LAMINAR:
                loss, slope = laminar + m * size, laminar + 2.0 * m * size
            else:
                if w >= _TURBULENT:
                    y = _LOG * logarithm[k, b]
                    f = 1.0 / (y * y)
                    rise = _SLOPE * f * _SWAMEE * swamee[k, b] / (inner[k, b] * y * size)
                else:
                    t = w / _LAMINAR
                    f = x1 + t * (x2 + t * (x3 + t * x4))
                    rise = (x2 + t * (2.0 * x3 + t * 3.0 * x4)) / (s * _LAMINAR)
                loss = (f * r + m) * size
                slope = 2.0 * loss + rise * r * size * size
            conductance[k, b] = 1.0 / slope
            correction[k, b] = loss * flow[k, b] / slope
