"""When valves and pumps open, shut or begin to hold their setting, over a batch of states: EPANET's rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

from .devices import ACTIVE, OPEN, POWER, SHUT, TOO_HIGH, Devices, States
from .problem import FCV, FLOW_TOLERANCE, HEAD_TOLERANCE, PIPE, PRV, PSV, PUMP

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_H, _Q = HEAD_TOLERANCE, FLOW_TOLERANCE
_STALLED, _LIFT = 1e-7, 30.0  # m3/s below which a pump of constant power has stalled; m to restart it

# Each of these returns the status that follows another at flow q and heads h1, h2 of the ends; aim is a head or flow,
# and least the head lost in the open valve.


@compiled
def _prv(now: int, q: float, h1: float, h2: float, aim: float, least: float) -> int:
    if now == SHUT:
        if h1 >= aim + _H and h2 < aim - _H:
            return ACTIVE
        return OPEN if h1 < aim - _H and h1 > h2 + _H else SHUT
    if q < -_Q:
        return SHUT
    if now == ACTIVE:
        return OPEN if h1 - least < aim - _H else ACTIVE
    return ACTIVE if h2 >= aim + _H else OPEN


@compiled
def _psv(now: int, q: float, h1: float, h2: float, aim: float, least: float) -> int:
    if now == SHUT:
        if h1 <= h2 + _H:
            return SHUT
        if h2 > aim + _H:
            return OPEN
        return ACTIVE if h1 >= aim + _H else SHUT
    if q < -_Q:
        return SHUT
    if now == ACTIVE:
        return OPEN if h2 + least > aim + _H else ACTIVE
    return ACTIVE if h1 < aim - _H else OPEN


@compiled
def _fcv(now: int, q: float, h1: float, h2: float, aim: float) -> int:
    if h1 - h2 < -_H or q < -_Q:
        return OPEN
    return ACTIVE if q >= aim else now


@compiled
def _check(now: int, q: float, h1: float, h2: float) -> int:
    if h1 - h2 < -_H or q < -_Q:
        return SHUT
    return OPEN if h1 - h2 > _H else now


@compiled
def reconsider(
    devices: Devices, status: States, setting: Floats, flow: Floats, correction: Floats, head: Floats, others: Bools,
    changed: Bools,
) -> None:  # fmt: skip
    """Let devices change their status, and keep pumps of constant power from running backwards.

    Parameters
    ----------
    devices : Devices
    status, setting : ndarray, shape (D, W)
        Status may change.
    flow, correction : ndarray, shape (K, W)
        Flow of pumps of constant power may change.
    head : ndarray, shape (n + F, W)
    others : ndarray of bool, shape (W,)
        Whether check valves, pumps and FCVs may change, too: they are asked less often.
    changed : ndarray of bool, shape (W,)
        Written: whether any status did.
    """
    for b in range(flow.shape[1]):
        changed[b] = False
    for d in range(len(devices.kind)):
        kind, k = devices.kind[d], devices.link[d]
        for b in range(flow.shape[1]):
            if kind == PUMP and devices.form[d] == POWER and flow[k, b] < 0.0:
                flow[k, b] = abs(correction[k, b]) / 2.0  # half of what it was
            now, aim, q = status[d, b], setting[d, b], flow[k, b]
            h1, h2 = head[devices.i[d], b], head[devices.j[d], b]
            then = now
            if devices.closed[d]:
                continue
            if kind == PUMP and devices.form[d] == POWER and others[b] and now == OPEN and q < _STALLED:
                # Without flow its curve is too steep to leave: a way out for the water may have opened since.
                flow[k, b] = devices.most[d] * aim**3 / _LIFT
                changed[b] = True
            if kind == PRV and not np.isnan(aim):
                then = _prv(now, q, h1, h2, aim, devices.minor[d] * q * q)
            elif kind == PSV and not np.isnan(aim):
                then = _psv(now, q, h1, h2, aim, devices.minor[d] * q * q)
            elif others[b] and kind == FCV and not np.isnan(aim):
                then = _fcv(now, q, h1, h2, aim)
            elif others[b] and kind == PIPE:
                then = _check(now, q, h1, h2)
            elif others[b] and kind == PUMP and aim > 0.0 and devices.form[d] != POWER:
                then = TOO_HIGH if h2 - h1 > devices.most[d] * aim * aim + _H else OPEN
            if then != now:
                status[d, b] = then
                changed[b] = True
