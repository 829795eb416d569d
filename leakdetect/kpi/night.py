"""Minimum night flow, what customers use at night, and what that says of real losses."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect.errors import InputError

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

NIGHT = (2, 4)
"""Local hours between which the night flow is looked for."""
NIGHT_USE = 0.6
"""Legitimate night use [L/h per inhabitant]: 6 % flush 10 L in the hour (McKenzie 1999, WRC report TT 109/99)."""
N1 = (0.5, 1.0, 1.5)
"""Leakage exponent where nothing is known: least, taken, most (Lambert 2001, IWA Conf. System Approach to Leakage)."""

_HOUR = 3600


@dataclass(frozen=True)
class Nights:
    """The days of a record, one after the other; D days.

    Attributes
    ----------
    day : ndarray of datetime64[D], shape (D,)
        Local dates.
    whole : ndarray of bool, shape (D,)
        At most an hour of the day is not known: 92 of 96 quarter hours.
    lowest : ndarray, shape (D,)
        Minimum night flow [m3/s]; NaN where the day is not whole or no hour of the night is.
    mean : ndarray, shape (D,)
        Mean flow of the day [m3/s]; NaN where it is not whole.
    """

    day: Times
    whole: NDArray[np.bool_]
    lowest: Floats
    mean: Floats


def nights(time: Times, flow: Floats, step: int, timezone: str) -> Nights:
    """Return the minimum night flow of every local day: the least mean over a whole hour between 02 and 04 h.

    The night is what passes between both clock times: one hour when clocks go forward at 02 h, three when they go back.

    Parameters
    ----------
    time : ndarray of datetime64, shape (T,)
        UTC, at every step; the beginnings of steps.
    flow : ndarray, shape (T,)
        Means over the steps [m3/s]; NaN where not known.
    step : int
        [s]; a divisor of an hour.
    timezone : str
        Name such as Europe/Paris.

    Raises
    ------
    InputError
        If the step does not divide an hour, or steps are missing from `time`.
    """
    if step <= 0 or _HOUR % step:
        raise InputError(f"step of {step / 60:g} min: night flow needs a step that divides an hour, such as 15 min")
    if (np.diff(time) != np.timedelta64(step, "s")).any():
        raise InputError(f"times are not {step / 60:g} min apart throughout: bring them onto steps first")
    if not time.size:
        none = np.empty(0)
        return Nights(np.empty(0, "datetime64[D]"), np.empty(0, bool), none, none)
    local = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(ZoneInfo(timezone))
    first, last = local[0].date(), local[-1].date()
    day = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    begin = np.searchsorted(time, _clock(day, 0, timezone))
    length = np.diff(_clock(np.append(day, day[-1] + 1), 0, timezone)) / np.timedelta64(step, "s")
    end = np.searchsorted(time, _clock(day + 1, 0, timezone))
    dusk = np.searchsorted(time, _clock(day, NIGHT[0], timezone))
    dawn = np.searchsorted(time + np.timedelta64(step, "s"), _clock(day, NIGHT[1], timezone), side="right")
    hour = _HOUR // step
    known = np.isfinite(flow)
    count = np.concatenate([[0], np.cumsum(known)])
    total = np.concatenate([[0.0], np.cumsum(np.where(known, flow, 0.0))])
    used = count[end] - count[begin]
    whole = used >= length - hour
    mean = np.where(whole, (total[end] - total[begin]) / np.maximum(used, 1), np.nan)
    lowest = np.full(day.size, np.nan)
    for i in np.flatnonzero(whole):
        hours = [flow[k : k + hour].mean() for k in range(dusk[i], dawn[i] - hour + 1)]
        lowest[i] = min((h for h in hours if np.isfinite(h)), default=np.nan)
    return Nights(day, whole, lowest, mean)


def _clock(day: Times, hour: int, timezone: str) -> Times:
    """Return the UTC time of a clock time of local days, shape (D,): the first where it comes twice."""
    stamp = pd.DatetimeIndex(day.astype("datetime64[ns]") + np.timedelta64(hour, "h"))
    twice = np.ones(day.size, dtype=bool)
    utc = stamp.tz_localize(ZoneInfo(timezone), ambiguous=twice, nonexistent="shift_forward").tz_convert("UTC")
    return utc.tz_localize(None).to_numpy().astype("datetime64[ns]")


def night_use(inhabitants: float, per_inhabitant: float = NIGHT_USE, known: float = 0.0) -> float:
    """Return the legitimate night use [m3/s].

    Parameters
    ----------
    inhabitants : float
    per_inhabitant : float
        [L/h].
    known : float
        What large users draw at night [m3/s].

    Notes
    -----
    The assessed use of households and the measured use of others add up: Farley and Trow 2003, Losses in Water
    Distribution Networks, ch. 5.
    """
    return inhabitants * per_inhabitant / 1000 / _HOUR + known


def pressure_profile(time: Times, pressure: Floats, timezone: str) -> tuple[Floats, float]:
    """Return the mean pressure of every local hour, and of the night [m].

    Parameters
    ----------
    time : ndarray of datetime64, shape (T,)
        UTC.
    pressure : ndarray, shape (T, S)
        [m]; NaN where not known.
    timezone : str

    Returns
    -------
    profile : ndarray, shape (24,)
        Over the sensors that are known at every hour of the day; NaN if there is none.
    night : float
    """
    hour = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(ZoneInfo(timezone)).hour.to_numpy()
    known = np.isfinite(pressure)
    of = [hour == h for h in range(24)]
    count = np.stack([known[at].sum(axis=0) for at in of])
    total = np.stack([np.where(known[at], pressure[at], 0.0).sum(axis=0) for at in of])
    heard = (count > 0).all(axis=0)
    if not heard.any():
        return np.full(24, np.nan), float("nan")
    profile: Floats = (total[:, heard] / count[:, heard]).mean(axis=1)
    return profile, float(profile[slice(*NIGHT)].mean())


def night_day_factor(profile: Floats, night: float, n1: float) -> float:
    """Return by what an hour's leakage at night is multiplied for the day's [h/d]: the sum of (P / P_night)^N1.

    Parameters
    ----------
    profile : ndarray, shape (24,)
        Pressure at the average zone point by hour [m].
    night : float
        At the hours of the night flow [m].
    n1 : float
        Leakage exponent.

    Raises
    ------
    InputError
        If a pressure is not above zero.

    Notes
    -----
    FAVAD: May 1994, Pressure dependent leakage, World Water and Environmental Engineering; Lambert 2001.
    """
    if not (night > 0 and (profile > 0).all()):
        raise InputError("a pressure is not above 0 m: the night-day factor needs the pressure of every hour")
    return float(24 * ((profile / night) ** n1).mean())


def real_losses(lowest: float, use: float, factor: float) -> float:
    """Return real losses [m3/d] from the minimum night flow and the night use [m3/s] and the night-day factor [h/d].

    Source: Farley and Trow 2003, Losses in Water Distribution Networks, ch. 5.
    """
    return (lowest - use) * _HOUR * factor
