"""What devices let through, over a batch of states: EPANET's formulas.

An active PRV or PSV holds the head at one of its ends by a large entry in the matrix, and lets through what the balance
of that node asks for. Source: Rossman et al. (2020), EPANET 2.2 User Manual, chapter 12.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

from .devices import ACTIVE, FUNCTION, POWER, SHUT, Devices, States
from .problem import BIG, FCV, GPV, LEAST_SLOPE, PBV, PIPE, PRV, PSV, PUMP, SMALL, STIFF, TCV

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Each of these returns the conductance P [m2/s] and P times the head loss Y [m3/s] at a flow q.


@compiled
def _open(q: float, minor: float) -> tuple[float, float]:
    """Lose head with the square of flow, or hardly any."""
    if minor <= 0.0:
        return 1.0 / SMALL, q
    slope = 2.0 * minor * abs(q)
    if slope < LEAST_SLOPE:
        return 1.0 / LEAST_SLOPE, q
    return 1.0 / slope, q / 2.0


@compiled
def _function(q: float, speed: float, most: float, factor: float, exponent: float) -> tuple[float, float]:
    """Lift speed^2 most - speed^(2 - c) factor q^c."""
    slope = exponent * factor * speed ** (2.0 - exponent) * abs(q) ** (exponent - 1.0)
    if slope < LEAST_SLOPE:
        slope, exponent = LEAST_SLOPE, 1.0
    return 1.0 / slope, q / exponent - most * speed * speed / slope


@compiled
def _power(q: float, speed: float, power: float) -> tuple[float, float]:
    """Lift power / q."""
    slope = speed**3 * power / max(q * q, 1e-30)
    if slope > BIG:
        return 1.0 / BIG, q
    if slope < SMALL:
        return 1.0 / SMALL, q
    return 1.0 / slope, -q


@compiled
def _line(flow: float, first: int, last: int, x: Floats, y: Floats) -> tuple[float, float]:
    """Return the slope and the head without flow of the straight line on which a flow lies."""
    k = first + 1
    while k < last - 1 and x[k] < flow:
        k += 1
    slope = (y[k] - y[k - 1]) / (x[k] - x[k - 1])
    return slope, y[k - 1] - slope * x[k - 1]


@compiled
def _pump(q: float, speed: float, d: int, devices: Devices) -> tuple[float, float]:
    if devices.form[d] == POWER:
        return _power(q, speed, devices.most[d])
    if devices.form[d] == FUNCTION:
        return _function(q, speed, devices.most[d], devices.slope[d], devices.exponent[d])
    slope, rest = _line(abs(q) / speed, devices.first[d], devices.last[d], devices.x, devices.y)
    slope = max(-slope * speed, SMALL)
    return 1.0 / slope, q - rest * speed * speed / slope


@compiled
def _general(q: float, d: int, devices: Devices) -> tuple[float, float]:
    slope, rest = _line(abs(q), devices.first[d], devices.last[d], devices.x, devices.y)
    slope = max(slope, SMALL)
    return 1.0 / slope, (rest / slope + abs(q)) * (1.0 if q >= 0.0 else -1.0)


@compiled
def _short(b: int, d: int, devices: Devices, flow: Floats, demand: Floats) -> float:
    """Return what the held node of an active PRV or PSV is short of, the valve apart [m3/s]."""
    lacking = demand[devices.held[d], b]
    for n in range(devices.begin[d], devices.begin[d + 1]):
        lacking -= devices.sign[n] * flow[devices.near[n], b]
    return float(lacking)


@compiled
def behave(
    devices: Devices, status: States, setting: Floats, flow: Floats, demand: Floats, conductance: Floats,
    correction: Floats,
) -> None:  # fmt: skip
    """Write P and Y of devices in place of those that they would have as open pipes.

    Parameters
    ----------
    devices : Devices
    status, setting : ndarray, shape (D, W)
    flow, conductance, correction : ndarray, shape (K, W)
    demand : ndarray, shape (n, W)
    """
    for d in range(len(devices.kind)):
        k, kind = devices.link[d], devices.kind[d]
        for b in range(flow.shape[1]):
            q, aim = flow[k, b], setting[d, b]
            if status[d, b] <= SHUT:
                p, y = 1.0 / BIG, q
            elif kind == PIPE:
                p, y = conductance[k, b], correction[k, b]
            elif kind == PUMP:
                p, y = _pump(q, aim, d, devices)
            elif kind == GPV:
                p, y = _general(q, d, devices)
            elif status[d, b] == ACTIVE and kind == FCV:
                p, y = 1.0 / BIG, q - aim
            elif status[d, b] == ACTIVE:
                lacking = _short(b, d, devices, flow, demand)
                p, y = 0.0, q - lacking if kind == PRV else q + lacking
            elif kind == PBV and devices.minor[d] * q * q <= aim and aim > 0.0:
                p, y = STIFF, aim * STIFF
            elif kind == TCV and not np.isnan(aim):
                p, y = _open(q, devices.local[d] * aim)
            else:
                p, y = _open(q, devices.minor[d])
            conductance[k, b], correction[k, b] = p, y


@compiled
def hold(devices: Devices, status: States, setting: Floats, diagonal: Floats, right: Floats) -> None:
    """Hold the head at active PRVs and PSVs: a large entry on the diagonal."""
    for d in range(len(devices.kind)):
        row = devices.held[d]
        if devices.kind[d] != PRV and devices.kind[d] != PSV:
            continue
        for b in range(right.shape[1]):
            if status[d, b] == ACTIVE:
                diagonal[row, b] += STIFF
                right[row, b] += STIFF * setting[d, b]
