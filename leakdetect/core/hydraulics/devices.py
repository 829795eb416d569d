"""What is more than an open pipe: valves, pumps, check valves and shut pipes, as arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .problem import FCV, GPV, PIPE, PRV, PSV, PUMP, Curve, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
States = NDArray[np.int8]

TOO_HIGH, SHUT, OPEN, ACTIVE = -1, 0, 1, 2
"""Status: a pump that cannot lift so high, which lets nothing through; shut; open; holding its setting."""

FUNCTION, SEGMENTS, POWER = range(3)
"""Forms of curve."""


class Devices(NamedTuple):
    """Devices of a problem, in the order of `Problem.devices`; D devices. A plain tuple: compiled loops take it.

    Attributes
    ----------
    kind : ndarray of int, shape (D,)
        Kinds of link; `PIPE` is a pipe with a check valve or a shut one.
    link : ndarray of int, shape (D,)
        Place among the links that are solved for.
    i, j : ndarray of int, shape (D,)
        Rows of the ends.
    closed : ndarray of bool, shape (D,)
        Shut for good.
    minor, local : ndarray, shape (D,)
        Loss by flow squared when open, and for each unit of minor loss [s2/m5].
    form : ndarray of int, shape (D,)
        Of curves.
    most, slope, exponent : ndarray, shape (D,)
        Of a curve that is a function: a, b, c of head = a - b flow^c. `most` is what straight lines lift at most, and
        head times flow of a pump of constant power.
    first, last : ndarray of int, shape (D,)
        Where each one's points stand in x and y.
    x, y : ndarray
        Points of straight lines [m3/s], [m].
    held : ndarray of int, shape (D,)
        Row of the node whose head is held; -1 for none.
    begin, near, sign : ndarray
        Links at each held node, the valve apart, and +1 where they flow in: `near[begin[d]:begin[d + 1]]`.
    """

    kind: Ints
    link: Ints
    i: Ints
    j: Ints
    closed: Bools
    minor: Floats
    local: Floats
    form: Ints
    most: Floats
    slope: Floats
    exponent: Floats
    first: Ints
    last: Ints
    x: Floats
    y: Floats
    held: Ints
    begin: Ints
    near: Ints
    sign: Floats


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
    kind, link = problem.kind[chosen].astype(np.int64), place[chosen]
    curves = [problem.curves.get(c) if k in (PUMP, GPV) else None for c, k in zip(chosen.tolist(), kind, strict=True)]
    form = np.array([_FORMS[c.kind] if c else FUNCTION for c in curves], dtype=np.int64)
    most, slope, exponent = np.array([_coefficients(c) for c in curves]).reshape(-1, 3).T.copy()
    points = [c if c and c.kind == "segments" else _NONE for c in curves]
    last = np.cumsum([len(c.flow) for c in points], dtype=np.int64)
    first = last - np.array([len(c.flow) for c in points], dtype=np.int64)
    held = np.where(kind == PRV, j[link], np.where(kind == PSV, i[link], -1))
    at = [np.flatnonzero((i == row) | (j == row)) for row in held.tolist()]
    near = [links[links != k] for links, k in zip(at, link.tolist(), strict=True)]
    sign = [np.where(j[links] == row, 1.0, -1.0) for links, row in zip(near, held.tolist(), strict=True)]
    return Devices(
        kind=kind,
        link=link,
        i=i[link],
        j=j[link],
        closed=problem.closed[chosen],
        minor=(problem.minor * problem.local)[chosen],
        local=problem.local[chosen],
        form=form,
        most=most,
        slope=slope,
        exponent=exponent,
        first=first,
        last=last,
        x=np.concatenate([_NONE.flow, *(c.flow for c in points)]),
        y=np.concatenate([_NONE.head, *(c.head for c in points)]),
        held=held,
        begin=np.r_[0, np.cumsum([len(links) for links in near], dtype=np.int64)],
        near=np.concatenate([np.zeros(0, dtype=np.int64), *near]),
        sign=np.concatenate([np.zeros(0), *sign]),
    )


_FORMS = {"function": FUNCTION, "segments": SEGMENTS, "power": POWER}
_NONE = Curve("segments", np.zeros(0), np.zeros(0))


def _coefficients(curve: Curve | None) -> tuple[float, float, float]:
    if curve is None:
        return 0.0, 0.0, 1.0
    flow, head = curve.flow, curve.head
    if curve.kind == "power":
        return float(flow[0] * head[0]), 0.0, 1.0
    if curve.kind == "segments":
        return float(head[0]), 0.0, 1.0
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
