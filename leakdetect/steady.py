"""A drawn network as the batch solver of `core.hydraulics` wants it, in EPANET's own rounding of units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.hydraulics import Curve, Problem
from leakdetect.core.hydraulics.problem import CUBIC_FOOT, FOOT
from leakdetect.epanet_state import Epanet
from leakdetect.network import Link, Network
from leakdetect.units import factor

Floats = NDArray[np.float64]

# What EPANET takes for 1 ft3/s in each flow unit: rounded, which shows in heads.
_CFS = {
    "ft3/s": 1.0, "gal/min": 448.831, "Mgal/d": 0.64632, "imp Mgal/d": 0.5382, "acre-ft/d": 1.9837, "L/s": 28.317,
    "L/min": 1699.0, "ML/d": 2.4466, "m3/h": 101.94, "m3/d": 2446.6,
}  # fmt: skip
_VISCOSITY = 1.1e-5  # ft2/s
_FASTEST = 1.0  # ft/s: EPANET's first guess
_HORSEPOWER = 8.814  # ft4/s: head times flow of one


def to_settings(network: Network, setting: Floats) -> Floats:
    """Return settings as the solver takes them, from those that `Network.setting` would have: heads for pressures."""
    out = setting.copy()
    for kind, held in ((Link.PRV, network.end), (Link.PSV, network.start)):
        valves = network.link_kind == kind
        out[valves] += network.elevation[held[valves]]
    return out


def to_problem(
    network: Network, epanet: Epanet, roughness: Floats | None = None, setting: Floats | None = None,
    closed: NDArray[np.bool_] | None = None,
) -> Problem:  # fmt: skip
    """Return the problem of a network.

    Parameters
    ----------
    network : Network
    epanet : Epanet
        Of the same network: it knows the curves.
    roughness, setting : ndarray, shape (L,), optional
        In place of the drawn ones, in the same measure.
    closed : ndarray of bool, shape (L,), optional
        Links that are shut, in place of those that the drawing has shut.
    """
    rough = network.roughness if roughness is None else roughness
    pipe = network.is_pipe
    unit = factor("flow", network.flow_unit) * _CFS.get(network.flow_unit, 1.0 / CUBIC_FOOT)  # EPANET's ft3 [m3]
    diameter = np.where(np.isfinite(network.diameter), network.diameter, 1.0) / FOOT
    exponent, resistance = _resistance(network.headloss, network.length / FOOT, diameter, np.where(pipe, rough, 1.0))
    darcy = network.headloss == "D-W"
    guess = np.pi / 4 * diameter**2 * _FASTEST * unit
    curves = {}
    for link in np.flatnonzero(np.isin(network.link_kind, [Link.PUMP, Link.GPV])).tolist():
        drawn = epanet.curve(link)
        if drawn is None:
            continue
        if drawn.kind == "power":
            curves[link] = Curve("power", np.array([unit]), np.array([_HORSEPOWER * epanet.power(link) * FOOT]))
            guess[link] = unit
        else:
            curves[link] = Curve(drawn.kind, drawn.flow, drawn.head)
            if network.link_kind[link] == Link.PUMP:
                guess[link] = drawn.flow[len(drawn.flow) // 2]
    return Problem(
        fixed=network.is_fixed,
        start=network.start,
        end=network.end,
        kind=network.link_kind,
        closed=~network.open if closed is None else closed,
        check=network.check_valve,
        resistance=np.where(pipe, resistance * FOOT / unit**exponent, 0.0),
        minor=network.minor_loss,
        local=0.02517 / diameter**4 * FOOT / unit**2,
        exponent=exponent,
        setting=to_settings(network, network.setting if setting is None else setting),
        guess=guess,
        curves=curves,
        rough=np.where(pipe, rough / FOOT / diameter, 1.0) if darcy else None,
        creep=_VISCOSITY * epanet.viscosity * diameter * unit if darcy else None,
    )


def _resistance(formula: str, length: Floats, diameter: Floats, rough: Floats) -> tuple[float, Floats]:
    """Return the exponent of flow and the resistance, in ft and ft3/s."""
    if formula == "H-W":
        return 1.852, 4.727 * length / rough**1.852 / diameter**4.871
    area = np.pi / 4 * diameter**2
    if formula == "D-W":
        return 2.0, length / 2.0 / 32.2 / diameter / area**2
    return 2.0, (rough / 1.49 / area) ** 2 * (diameter / 4) ** -1.333 * length
