"""The losses that no care avoids, by which real losses are divided for the infrastructure leakage index."""

from __future__ import annotations

from leakdetect.errors import InputError

_DAY = 86400.0

SMALLEST = 3000
"""Least connections + 20 per km of mains for which the formula holds (Lambert 2009, Water Loss 2009, Cape Town)."""
LOWEST_PRESSURE = 25.0
"""[m], as above: below it, losses do not follow pressure linearly."""


def uarl(mains: float, connections: float, service: float, pressure: float) -> float:
    """Return the unavoidable annual real losses as a flow [m3/s].

    ``(18 Lm + 0.8 Nc + 25 Lp) P`` in L/d, lengths in km.

    Parameters
    ----------
    mains : float
        Length of mains [m].
    connections : float
        Number of service connections.
    service : float
        Length of all private pipes from the edge of the street to customers' meters [m].
    pressure : float
        Mean, when the system is under pressure [m].

    Raises
    ------
    InputError
        If one is negative, or all pipes or the pressure are 0.

    Notes
    -----
    Lambert, Brown, Takizawa and Weimer 1999, AQUA 48(6), 227-237.
    """
    per_metre = 18 * mains / 1000 + 0.8 * connections + 25 * service / 1000
    if min(mains, connections, service) < 0 or per_metre <= 0 or pressure <= 0:
        raise InputError("unavoidable losses need mains, connections and a pressure above 0")
    return per_metre * pressure / 1000 / _DAY


def too_small(mains: float, connections: float) -> bool:
    """Say whether a network is too small for the index to mean much: mains in m (see `SMALLEST`)."""
    return connections + 20 * mains / 1000 < SMALLEST
