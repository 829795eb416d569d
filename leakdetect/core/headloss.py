"""Head loss of pipes and its slope, and the slopes of curves of pumps and valves, as EPANET 2.2 has them.

h = loss(q) is odd in q; q in m3/s, h in m. Sources: Rossman et al. (2020), EPANET 2.2 User Manual, chapter 12.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

GRAVITY = 9.81456  # m/s2: EPANET's 32.2 ft/s2
VISCOSITY = 1.022e-6  # m2/s: EPANET's 1.1e-5 ft2/s
_MANNING = (4 / (1.49 * np.pi)) ** 2 * 4**1.333 * 0.3048 ** (5.333 - 6)  # EPANET's 1.49, in SI
_CREEP = 1e-9  # m3/s
SLOPE_FLOOR = 1e-7 * 0.3048 / 0.028316846592  # s/m2: EPANET's RQTOL, keeps standing water solvable


def loss(
    flow: ArrayLike, length: ArrayLike, diameter: ArrayLike, roughness: ArrayLike, minor: ArrayLike, formula: str,
    viscosity: float = 1.0,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return head loss and its slope with flow.

    Parameters
    ----------
    flow : array_like
        [m3/s], of any sign.
    length, diameter : array_like
        [m].
    roughness : array_like
        H-W: C [-]; D-W: epsilon [m]; C-M: n [-].
    minor : array_like
        Minor loss coefficient [-].
    formula : {'H-W', 'D-W', 'C-M'}
    viscosity : float
        Relative to `VISCOSITY` (D-W).

    Returns
    -------
    loss : ndarray
        [m], same sign as `flow`.
    slope : ndarray
        d loss / d flow [s/m2], at least `SLOPE_FLOOR`.
    """
    q = np.asarray(flow, dtype=float)
    size = np.abs(q)
    d = np.asarray(diameter, dtype=float)
    rough = np.asarray(roughness, dtype=float)
    long = np.asarray(length, dtype=float)
    local = 8 * np.asarray(minor, dtype=float) / (np.pi**2 * GRAVITY * d**4)  # h = local q|q|
    if formula == "H-W":
        resistance = 10.667 * long / (rough**1.852 * d**4.871)
        head, slope = resistance * size**1.852, 1.852 * resistance * size**0.852
    elif formula == "C-M":
        resistance = _MANNING * rough**2 * long / d**5.333
        head, slope = resistance * size**2, 2 * resistance * size
    elif formula == "D-W":
        size = np.maximum(size, _CREEP)  # laminar: the slope is the same however little flows
        factor, factor_slope = _darcy(size, d, rough, viscosity)
        resistance = 8 * long / (np.pi**2 * GRAVITY * d**5)
        head = resistance * factor * size**2
        slope = resistance * (2 * factor * size + factor_slope * size**2)
    else:
        raise ValueError(f"unknown head-loss formula '{formula}': use H-W, D-W or C-M")
    head = head + local * size**2
    slope = np.maximum(slope + 2 * local * size, SLOPE_FLOOR)
    return np.sign(q) * head, slope


def _darcy(flow: Floats, diameter: Floats, roughness: Floats, viscosity: float) -> tuple[Floats, Floats]:
    """Return Darcy's friction factor and its slope with flow.

    Laminar below Re 2000; Swamee-Jain above 4000; Dunlop's cubic between, whose slope is taken by difference.
    """
    reynolds_per_flow = 4 / (np.pi * diameter * VISCOSITY * viscosity)

    def factor(q: Floats) -> Floats:
        re = np.maximum(q * reynolds_per_flow, 1e-9)
        rel = roughness / diameter
        rough = np.maximum(re, 2000.0)
        turbulent = 0.25 / np.log10(rel / 3.7 + 5.74 / rough**0.9) ** 2
        y3 = -0.86859 * np.log(rel / 3.7 + 5.74 / 4000**0.9)
        fa = y3**-2
        fb = fa * (2 - 0.00514215 / ((rel / 3.7 + 5.74 / 4000**0.9) * y3))
        r = rough / 2000
        x1, x2 = 7 * fa - fb, 0.128 - 17 * fa + 2.5 * fb
        x3, x4 = -0.128 + 13 * fa - 2 * fb, r * (0.032 - 3 * fa + 0.5 * fb)
        between = x1 + r * (x2 + r * (x3 + x4))
        return np.where(re < 2000, 64 / re, np.where(re > 4000, turbulent, between))

    step = np.maximum(flow * 1e-5, 1e-12)
    low, high = np.maximum(flow - step, 1e-15), flow + step
    return factor(np.maximum(flow, 1e-15)), (factor(high) - factor(low)) / (high - low)


def segment_slope(flow: float, x: Floats, y: Floats) -> float:
    """Return the slope of straight lines between points at a flow, the outer ones going on [s/m2]."""
    place = int(np.clip(np.searchsorted(x, flow), 1, len(x) - 1))
    return float((y[place] - y[place - 1]) / (x[place] - x[place - 1]))


def pump_slope(flow: float, speed: float, x: Floats, y: Floats) -> float:
    """Return by how much less a pump lifts with more flow, d head / d flow [s/m2], positive.

    Parameters
    ----------
    flow : float
        [m3/s], positive.
    speed : float
        Relative to that of the curve; head goes with its square, flow with itself.
    x, y : ndarray, shape (1,) or (3,)
        Points of the curve [m3/s], [m], with a flow of 0 first; one point stands for three: 4/3 of its head at no flow,
        none at twice its flow. The curve is head = a - b flow^c through them.
    """
    if len(x) == 1:
        x, y = np.array([0.0, x[0], 2 * x[0]]), np.array([4 / 3 * y[0], y[0], 0.0])
    c = np.log((y[0] - y[2]) / (y[0] - y[1])) / np.log(x[2] / x[1])
    b = (y[0] - y[1]) / x[1] ** c
    return float(c * b * flow ** (c - 1) * speed ** (2 - c))
