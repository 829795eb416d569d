"""Switches that take one part out of the hydraulic detector, to see what the part is worth.

A switch is a context: inside it the part is out, afterwards it is back. The detector itself knows nothing of switches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from leakdetect.hydraulic import fit, placing, raising
from leakdetect.stages.detection import following, history, tracker

Switch = Callable[[], AbstractContextManager[None]]


@contextmanager
def patched(owner: Any, **values: Any) -> Iterator[None]:
    """Give a module or a class other values for names that it has, and restore them afterwards.

    Raises
    ------
    AttributeError
        If it has no such name: a switch that turns nothing would be taken for a part that is worth nothing.
    """
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _as_drawn(self: fit.Fit, leaks: object) -> None:
    """Leave the physics as the drawing has it."""


@contextmanager
def _places_as_first_said() -> Iterator[None]:
    with patched(raising, _LOOKED_AT_AGAIN=()), patched(placing, _NEIGHBOUR_M=-1.0):
        yield


SWITCHES: dict[str, Switch] = {
    "without_calibration": lambda: patched(fit.Fit, calibrate=_as_drawn),
    "steps_only": lambda: patched(tracker, _RAMP_FROM=math.inf),
    "without_rivals": lambda: patched(tracker, RIVAL_ODDS=math.inf),
    "one_round_of_fit": lambda: patched(fit, _WALK_SHARES=fit._WALK_SHARES[:2]),
    "noise_as_fitted": lambda: patched(following, _FEWEST=math.inf),
    "places_as_first_said": _places_as_first_said,
    "no_echo": lambda: patched(history, ECHO_DAYS=-math.inf),
}
"""By name; a name is part of an id, so it keeps its meaning."""
