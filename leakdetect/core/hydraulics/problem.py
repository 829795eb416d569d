"""What a steady state is asked of: the network as arrays, SI, nothing of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PIPE, PUMP, PRV, PSV, PBV, FCV, TCV, GPV = range(8)
"""Kinds of link."""

FOOT, CUBIC_FOOT = 0.3048, 0.028316846592
GRADIENT = FOOT / CUBIC_FOOT  # s/m2 in a ft per ft3/s
BIG, SMALL = 1e8 * GRADIENT, 1e-6 * GRADIENT  # s/m2: EPANET's slopes of a shut link and of one that holds nothing back
STIFF = 1e8 / GRADIENT  # m2/s: of what holds a head, whatever the flow
LEAST_SLOPE = 1e-7 * GRADIENT  # s/m2: EPANET's RQTOL
HEAD_TOLERANCE = 0.0005 * FOOT  # m: EPANET's Htol
FLOW_TOLERANCE = 0.0001 * CUBIC_FOOT  # m3/s: EPANET's Qtol


@dataclass(frozen=True)
class Curve:
    """Head gained by a pump, or lost in a general purpose valve, against flow.

    Attributes
    ----------
    kind : {'function', 'segments', 'power'}
        head = a - b flow^c through one point (then 4/3 of its head without flow, none at twice its flow) or three;
        straight lines between points, the outer ones going on; or a pump of constant power, through one point.
    flow, head : ndarray
        The points [m3/s], [m].
    """

    kind: str
    flow: Floats
    head: Floats


@dataclass(frozen=True)
class Problem:
    """A network whose steady states are wanted; N nodes, L links.

    Attributes
    ----------
    fixed : ndarray of bool, shape (N,)
        Nodes of given head.
    start, end : ndarray of int, shape (L,)
    kind : ndarray of int, shape (L,)
    closed : ndarray of bool, shape (L,)
        Shut for good.
    check : ndarray of bool, shape (L,)
        Pipes with a check valve.
    resistance : ndarray, shape (L,)
        Of pipes: loss = resistance |q|^(exponent - 1) q; with D-W times the friction factor.
    minor, local : ndarray, shape (L,)
        Minor loss coefficient [-], and head loss for each unit of it [s2/m5]: loss = local minor |q| q.
    exponent : float
        1.852 (H-W) or 2 (C-M, D-W).
    setting : ndarray, shape (L,)
        Head held by PRV, PSV [m], drop in a PBV [m], flow through a FCV [m3/s], minor loss of a TCV [-], relative speed
        of a pump; NaN where the link follows none and is just open.
    curves : mapping of int to Curve
        Of pumps and GPVs.
    guess : ndarray, shape (L,)
        Flow to begin with, not 0 [m3/s].
    rough, creep : ndarray, shape (L,), optional
        D-W only: roughness by diameter [-], and flow at which Re pi/4 is 1 [m3/s].
    """

    fixed: Bools
    start: Ints
    end: Ints
    kind: Ints
    closed: Bools
    check: Bools
    resistance: Floats
    minor: Floats
    local: Floats
    exponent: float
    setting: Floats
    guess: Floats
    curves: Mapping[int, Curve] = field(default_factory=dict)
    rough: Floats | None = None
    creep: Floats | None = None

    def __post_init__(self) -> None:
        links = len(self.start)
        for name in (
            "end",
            "kind",
            "closed",
            "check",
            "resistance",
            "minor",
            "local",
            "setting",
            "guess",
            "rough",
            "creep",
        ):
            value = getattr(self, name)
            if value is not None and value.shape != (links,):
                raise ValueError(f"{name} has shape {value.shape}: give one value for each of the {links} links")
        for link in np.flatnonzero(np.isin(self.kind, [PUMP, GPV]) & ~self.closed).tolist():
            if link not in self.curves:
                raise ValueError(f"link {link} is a pump or a general purpose valve without a curve: give one")
            if link in self.curves and self.curves[link].kind == "segments" and len(self.curves[link].flow) < 2:
                raise ValueError(f"the curve of link {link} has one point, which makes no line: give two or more")
        for kind, side, word in ((PRV, self.end, "below"), (PSV, self.start, "above")):
            for link in np.flatnonzero((self.kind == kind) & self.fixed[side]).tolist():
                raise ValueError(f"link {link} would hold the given head {word} it: put a pipe between them")
        if not self.fixed.any():
            raise ValueError("no node has a given head: name at least one reservoir or tank")

    @property
    def devices(self) -> Ints:
        """Links that are more than an open pipe, shape (D,): their settings may differ from state to state."""
        found: Ints = np.flatnonzero((self.kind != PIPE) | self.check | self.closed)
        return found
