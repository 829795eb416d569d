"""Valves, pumps, check valves and shut pipes, over a batch of states: what they do and when they change their mind.

The rules are EPANET's. An active PRV or PSV holds the head at one of its ends by a large entry in the matrix, and lets
through what the balance of that node asks for. Source: Rossman et al. (2020), EPANET 2.2 User Manual, chapter 12.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .problem import (
    BIG, FCV, FLOW_TOLERANCE, GPV, HEAD_TOLERANCE, LEAST_SLOPE, PBV, PIPE, PRV, PSV, PUMP, SMALL, STIFF, TCV, Curve, Problem,
)  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
States = NDArray[np.int8]

SHUT, OPEN, ACTIVE, TOO_HIGH = 0, 1, 2, 3
"""Status: shut; open; holding its setting; a pump that cannot lift so high."""

_FUNCTION, _SEGMENTS, _POWER = range(3)


@dataclass(frozen=True)
class Devices:
    """Devices of a problem as arrays; D devices.

    Attributes
    ----------
    kind : ndarray of int, shape (D,)
        Kinds of link; `PIPE` is a pipe with a check valve or a shut one.
    link : ndarray of int, shape (D,)
        Place among the links that are solved for.
    minor, local : ndarray, shape (D,)
        Loss by flow squared when open, and for each unit of minor loss [s2/m5].
    form, coefficient, first, last, x, y : ndarray
        Curves: form (D,), coefficients a, b, c (D, 3), where each one's segments stand among x and y.
    held : ndarray of int, shape (D,)
        Row of the node whose head is held; -1 for none.
    near_first, near_link, near_sign : ndarray
        Links at each held node, the valve apart: those of a device from near_first[d] to near_first[d + 1].
    """

    kind: Ints
    link: Ints
    minor: Floats
    local: Floats
    form: Ints
    coefficient: Floats
    first: Ints
    last: Ints
    x: Floats
    y: Floats
    held: Ints
    near_first: Ints
    near_link: Ints
    near_sign: Floats

    def __len__(self) -> int:
        return len(self.kind)

    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """Return all, in order."""
        return tuple(getattr(self, f.name) for f in fields(self))


def lay_out(problem: Problem, place: Ints, i: Ints, j: Ints) -> Devices:
    """Return the devices of a problem.

    Parameters
    ----------
    problem : Problem
    place : ndarray of int, shape (L,)
        Place of each link among those that are solved for.
    i, j : ndarray of int, shape (K,)
        Rows of the ends of those.
    """
    chosen = problem.devices
    count = len(chosen)
    kind, link = problem.kind[chosen], place[chosen]
    form, coefficient = np.zeros(count, dtype=np.int64), np.zeros((count, 3))
    first, last = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    x, y = [np.zeros(0)], [np.zeros(0)]
    for d, name in enumerate(chosen.tolist()):
        if kind[d] not in (PUMP, GPV) or problem.closed[name]:
            continue
        curve = problem.curves[name]
        first[d] = sum(map(len, x))
        form[d] = {"function": _FUNCTION, "segments": _SEGMENTS, "power": _POWER}[curve.kind]
        coefficient[d] = _coefficients(curve)
        if curve.kind == "segments":
            x.append(curve.flow)
            y.append(curve.head)
        last[d] = sum(map(len, x))
    held = np.where(kind == PRV, j[link], np.where(kind == PSV, i[link], -1))
    near = [np.flatnonzero(((i == row) | (j == row)) & (np.arange(len(i)) != k)) for row, k in zip(held, link)]  # noqa: B905
    sign = [np.where(j[n] == row, 1.0, -1.0) for row, n in zip(held, near, strict=True)]
    none = np.zeros(0)
    return Devices(
        kind, link, (problem.minor * problem.local)[chosen], problem.local[chosen], form, coefficient, first, last,
        np.concatenate(x), np.concatenate(y), held,
        np.r_[0, np.cumsum([len(n) for n in near])].astype(np.int64),
        np.concatenate([none, *near]).astype(np.int64), np.concatenate([none, *sign]),
    )  # fmt: skip


def _coefficients(curve: Curve) -> tuple[float, float, float]:
    """Return a, b, c of head = a - b flow^c; of straight lines the most they lift; of constant power head times flow."""
    flow, head = curve.flow, curve.head
    if curve.kind == "power":
        return float(flow[0] * head[0]), 0.0, 0.0
    if curve.kind == "segments":
        return float(head[0]), 0.0, 0.0
    if len(flow) == 1:
        flow, head = np.array([0.0, flow[0], 2 * flow[0]]), np.array([4 / 3 * head[0], head[0], 0.0])
    c = np.log((head[0] - head[2]) / (head[0] - head[1])) / np.log(flow[2] / flow[1])
    return float(head[0]), float((head[0] - head[1]) / flow[1] ** c), float(c)


def first_status(problem: Problem, setting: Floats, like: States | None = None) -> States:
    """Return what each device does to begin with, shape (B, D) for settings of that shape.

    Parameters
    ----------
    like : ndarray of int8, shape (D,), optional
        What the devices did in a state that may be near; else what follows a setting holds it, and the rest is open.
    """
    chosen = problem.devices
    kind = problem.kind[chosen]
    follows = np.isin(kind, [PRV, PSV, FCV]) & np.isfinite(setting)
    shut = problem.closed[chosen] | ((kind == PUMP) & (setting == 0))
    begin = np.where(follows, ACTIVE, OPEN)
    if like is not None:
        begin = np.where(follows | np.isin(kind, [PIPE, PUMP]), like, begin)
    return np.where(shut, SHUT, begin).astype(np.int8)


@compiled
def behave(
    kind: Ints, link: Ints, minor: Floats, local: Floats, form: Ints, coefficient: Floats, first: Ints, last: Ints,
    x: Floats, y: Floats, held: Ints, near_first: Ints, near_link: Ints, near_sign: Floats,
    status: States, setting: Floats, flow: Floats, demand: Floats, conductance: Floats, correction: Floats,
) -> None:  # fmt: skip
    """Write P and Y of devices, shape (K, W); status and setting are of shape (D, W)."""
    for d in range(len(kind)):
        k = link[d]
        for b in range(flow.shape[1]):
            q, s, aim = flow[k, b], status[d, b], setting[d, b]
            if s == SHUT or s == TOO_HIGH:
                conductance[k, b], correction[k, b] = 1.0 / BIG, q
                continue
            if kind[d] == PIPE:
                continue  # an open check valve is a pipe
            size = abs(q)
            if kind[d] == PUMP and form[d] == _POWER:
                slope = aim * aim * aim * coefficient[d, 0] / max(size * size, 1e-30)
                if slope > BIG:
                    conductance[k, b], correction[k, b] = 1.0 / BIG, q
                elif slope < SMALL:
                    conductance[k, b], correction[k, b] = 1.0 / SMALL, q
                else:
                    conductance[k, b], correction[k, b] = 1.0 / slope, -q
                continue
            if kind[d] == PUMP and form[d] == _FUNCTION:
                a, r, n = coefficient[d]
                r *= aim ** (2.0 - n)
                slope = n * r * size ** (n - 1.0)
                if slope < LEAST_SLOPE:
                    slope, n = LEAST_SLOPE, 1.0
                conductance[k, b], correction[k, b] = 1.0 / slope, -a * aim * aim / slope + q / n
                continue
            if kind[d] == PUMP or kind[d] == GPV:
                speed = aim if kind[d] == PUMP else 1.0
                at = size / speed
                c = first[d] + 1
                while c < last[d] - 1 and x[c] < at:
                    c += 1
                slope = (y[c] - y[c - 1]) / (x[c] - x[c - 1])
                rest = y[c - 1] - slope * x[c - 1]
                if kind[d] == PUMP:
                    slope = max(-slope * speed, 1e-12)
                    conductance[k, b], correction[k, b] = 1.0 / slope, -rest * speed * speed / slope + q
                else:
                    slope = max(slope, SMALL)
                    sign = 1.0 if q >= 0 else -1.0
                    conductance[k, b], correction[k, b] = 1.0 / slope, (rest / slope + size) * sign
                continue
            if s == ACTIVE and kind[d] == FCV:
                conductance[k, b], correction[k, b] = 1.0 / BIG, q - aim
                continue
            if s == ACTIVE:
                through = 0.0
                for n in range(near_first[d], near_first[d + 1]):
                    through -= near_sign[n] * flow[near_link[n], b]
                through += demand[held[d], b]
                conductance[k, b] = 0.0
                correction[k, b] = q - through if kind[d] == PRV else q + through
                continue
            m = minor[d]
            if kind[d] == TCV and aim == aim:  # not NaN
                m = local[d] * aim
            if kind[d] == PBV and aim > 0.0 and m * q * q <= aim:
                conductance[k, b], correction[k, b] = STIFF, aim * STIFF
            elif m > 0.0:
                slope = 2.0 * m * size
                linear = slope < LEAST_SLOPE
                slope = LEAST_SLOPE if linear else slope
                conductance[k, b], correction[k, b] = 1.0 / slope, q if linear else q / 2.0
            else:
                conductance[k, b], correction[k, b] = 1.0 / SMALL, q


@compiled
def hold(held: Ints, status: States, setting: Floats, diagonal: Floats, right: Floats) -> None:
    """Hold the head at active PRVs and PSVs: a large entry on the diagonal."""
    for d in range(len(held)):
        row = held[d]
        if row < 0:
            continue
        for b in range(right.shape[1]):
            if status[d, b] == ACTIVE:
                diagonal[row, b] += STIFF
                right[row, b] += STIFF * setting[d, b]


@compiled
def reconsider(
    kind: Ints, link: Ints, minor: Floats, form: Ints, coefficient: Floats, closed: NDArray[np.bool_], i: Ints, j: Ints,
    status: States, setting: Floats, flow: Floats, correction: Floats, head: Floats, others: NDArray[np.bool_],
    changed: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Let devices change their status.

    Parameters
    ----------
    others : ndarray of bool, shape (W,)
        Whether check valves, pumps and FCVs may, too: EPANET asks them less often.
    changed : ndarray of bool, shape (W,)
        Written: whether any did.
    """
    ht, qt = HEAD_TOLERANCE, FLOW_TOLERANCE
    for b in range(flow.shape[1]):
        changed[b] = False
    for d in range(len(kind)):
        if closed[d]:
            continue
        k = link[d]
        one, two = i[k], j[k]
        for b in range(flow.shape[1]):
            if kind[d] == PUMP and form[d] == _POWER and flow[k, b] < 0.0:
                flow[k, b] = abs(correction[k, b]) / 2.0  # half of what it was: such a pump never runs backwards
            before, aim, q = status[d, b], setting[d, b], flow[k, b]
            h1, h2 = head[one, b], head[two, b]
            after = before
            if kind[d] == PRV and aim == aim:
                least = minor[d] * q * q
                if before != SHUT and q < -qt:
                    after = SHUT
                elif before == ACTIVE:
                    after = OPEN if h1 - least < aim - ht else ACTIVE
                elif before == OPEN:
                    after = ACTIVE if h2 >= aim + ht else OPEN
                elif h1 >= aim + ht and h2 < aim - ht:
                    after = ACTIVE
                elif h1 < aim - ht and h1 > h2 + ht:
                    after = OPEN
            elif kind[d] == PSV and aim == aim:
                least = minor[d] * q * q
                if before != SHUT and q < -qt:
                    after = SHUT
                elif before == ACTIVE:
                    after = OPEN if h2 + least > aim + ht else ACTIVE
                elif before == OPEN:
                    after = ACTIVE if h1 < aim - ht else OPEN
                elif h2 > aim + ht and h1 > h2 + ht:
                    after = OPEN
                elif h1 >= aim + ht and h1 > h2 + ht:
                    after = ACTIVE
            elif others[b] and kind[d] == FCV and aim == aim:
                if h1 - h2 < -ht or q < -qt:
                    after = OPEN
                elif before == OPEN and q >= aim:
                    after = ACTIVE
            elif others[b] and kind[d] == PUMP and aim > 0.0:
                most = coefficient[d, 0] * aim * aim
                after = TOO_HIGH if form[d] != _POWER and h2 - h1 > most + ht else OPEN
            elif others[b] and kind[d] == PIPE:
                if h1 - h2 < -ht or q < -qt:
                    after = SHUT
                elif h1 - h2 > ht:
                    after = OPEN
            if after != before:
                status[d, b] = after
                changed[b] = True
