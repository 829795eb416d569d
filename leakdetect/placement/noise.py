"""How readings scatter where nothing leaks, and how much evidence the detector asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import InputError
from leakdetect.hydraulic.fit import LEAST_THRESHOLD
from leakdetect.hydraulic.steps import BLOCK_HOURS
from leakdetect.stages.detection.tracker import RIVAL_ODDS, WINDOWS

Floats = NDArray[np.float64]

PER_DAY = 24 // BLOCK_HOURS

SURE = 1.2816
"""Deviations by which the root of the evidence must be beyond what is needed, to be so nine times in ten."""


@dataclass(frozen=True)
class Noise:
    """What a block's mean (six hours) scatters by, where no fitted model says it.

    Attributes
    ----------
    pressure, flow : float
        Of a sensor beyond what customers do [m], [m3/h].
    demand : float
        Of a junction's demand, each on its own, as a share of it.
    zone : float
        Of the demand of all, as a share of it: a measured zone's pressures do not feel it, its balance does.
    walk : float
        Variance by which levels wander in a day, as a share of a block's.
    """

    pressure: float = 0.01
    flow: float = 0.1
    demand: float = 0.2
    zone: float = 0.03
    walk: float = 0.02

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = name in {"pressure", "flow", "walk"}
            if not (value > 0 if least else value >= 0) or not np.isfinite(value):
                raise InputError(f"noise: {name} is {value:g}: give a number {'above 0' if least else 'of 0 or more'}")


def windows(days: float) -> list[int]:
    """Return the lengths [blocks] of the windows that end so that an event can be raised within so many days.

    A new leak waits one block for its place, and the block in which it began is no whole one.
    """
    most = round(days * PER_DAY) - 1
    return [n for n in (round(w * PER_DAY) for w in WINDOWS) if 2 <= n <= most]


def variance(days: float, walk: float) -> float:
    """Return the variance of what a window shows, as a multiple of a block's: the best window within so many days.

    A window of n blocks has (n - 1) / 2 whole ones in each of the bands night and day; the level it is compared with
    is known as well as a filter can know it, and wanders on (as `core.window.spread` has it).

    Parameters
    ----------
    days : float
    walk : float
        As in `Noise`.

    Raises
    ------
    InputError
        If no window is as short.
    """
    each = 2 * walk / PER_DAY  # by which the level wanders from one block of a band to the next
    level = (np.sqrt(each**2 + 4 * each) - each) / 2  # what is left unknown of it, after many
    every = [2 / (n - 1) + level + walk / PER_DAY * n / 3 for n in windows(days)]
    if not every:
        raise InputError(f"within {days:g} days: no leak is raised in less than 0.75 days: give more")
    return float(min(every))


def needed(links: int, threshold: float = LEAST_THRESHOLD) -> tuple[float, float]:
    """Return the evidence that a leak needs, and the evidence by which it must beat a sensor's fault.

    As `stages.detection.tracker` has it: the threshold and the price of choosing among `links`; a fault has the odds
    of one in `RIVAL_ODDS` beforehand.
    """
    price = 2 * np.log(max(links, 1))
    return float(threshold + price), float(max(price - 2 * np.log(RIVAL_ODDS), 0.0))
