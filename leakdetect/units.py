"""The only unit conversions: SI inside (m3/s, m, s), the user's units at the door.

Pressure is head of water in m at 1000 kg/m3 and 9.80665 m/s2.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import UnitError

_WATER = 9806.65  # Pa per m of head
_FOOT = 0.3048
_GALLON = 3.785411784e-3
_IMPERIAL_GALLON = 4.54609e-3

_FLOW = {
    "m3/s": 1.0,
    "m3/h": 1 / 3600,
    "m3/d": 1 / 86400,
    "L/s": 1e-3,
    "L/min": 1e-3 / 60,
    "L/h": 1e-3 / 3600,
    "ML/d": 1e3 / 86400,
    "gal/min": _GALLON / 60,
    "Mgal/d": 1e6 * _GALLON / 86400,
    "imp Mgal/d": 1e6 * _IMPERIAL_GALLON / 86400,
    "ft3/s": _FOOT**3,
    "acre-ft/d": 43560 * _FOOT**3 / 86400,
}
_HEAD = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "ft": _FOOT}
_PRESSURE = {
    **_HEAD,
    "bar": 1e5 / _WATER,
    "mbar": 1e2 / _WATER,
    "kPa": 1e3 / _WATER,
    "psi": 6894.757293168 / _WATER,
}

FACTORS: dict[str, dict[str, float]] = {
    "flow": _FLOW,
    "demand": _FLOW,
    "pressure": _PRESSURE,
    "head": _HEAD,
    "level": _PRESSURE,  # tank levels are often read by a pressure cell
}
"""Units known for each quantity and the factor to SI."""

SI = {"flow": "m3/s", "demand": "m3/s", "pressure": "m", "head": "m", "level": "m"}
"""The unit each quantity is kept in."""

DEFAULT = {"flow": "m3/h", "demand": "L/h", "pressure": "m", "head": "m", "level": "m"}
"""The unit assumed, and shown, where nothing is said."""

_ALIASES = {
    "cms": "m3/s", "cmh": "m3/h", "cmd": "m3/d", "lps": "L/s", "lpm": "L/min", "mld": "ML/d", "gpm": "gal/min",
    "mgd": "Mgal/d", "imgd": "imp Mgal/d", "cfs": "ft3/s", "afd": "acre-ft/d", "m3h": "m3/h", "m³/h": "m3/h",
    "m³/s": "m3/s", "m³/d": "m3/d", "l/s": "L/s", "l/h": "L/h", "l/min": "L/min", "mce": "m", "mh2o": "m", "kpa": "kPa",
}  # fmt: skip

Values = TypeVar("Values", float, NDArray[np.float64])


def canonical(quantity: str, unit: str) -> str:
    """Return the unit's name as used here.

    Parameters
    ----------
    quantity : str
        One of `FACTORS`.
    unit : str
        As the user or a file wrote it: any case, EPANET's names too.

    Raises
    ------
    UnitError
        If the quantity is unknown or the unit does not measure it.
    """
    known = FACTORS.get(quantity)
    if known is None:
        raise UnitError(f"unknown quantity '{quantity}': use one of {', '.join(FACTORS)}")
    text = unit.strip()
    for name in (text, _ALIASES.get(text.lower(), text)):
        if name in known:
            return name
    folded = {name.lower(): name for name in known}
    if text.lower() in folded:
        return folded[text.lower()]
    raise UnitError(f"unit '{unit}' does not measure {quantity}: use one of {', '.join(known)}")


def factor(quantity: str, unit: str) -> float:
    """Return what a value in `unit` is multiplied by to become SI."""
    return FACTORS[quantity][canonical(quantity, unit)]


def from_si(values: Values, quantity: str, unit: str) -> Values:
    """Convert from SI to the user's unit."""
    return values / factor(quantity, unit)


M3H = 3600.0
"""m3/h per m3/s: flows are shown in m3/h."""
