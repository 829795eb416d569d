"""Switches that take one part out of the hydraulic detector, to see what the part is worth.

A switch is a context: inside it the part is out, afterwards it is back. The detector itself knows nothing of switches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from leakdetect.hydraulic.fit import Fit
from leakdetect.stages.detection import tracker

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


def _as_drawn(self: Fit, leaks: object) -> None:
    """Leave the physics as the drawing has it."""


SWITCHES: dict[str, Switch] = {
    "without_calibration": lambda: patched(Fit, calibrate=_as_drawn),
    "steps_only": lambda: patched(tracker, _RAMP_FROM=math.inf),
    "without_rivals": lambda: patched(tracker, _RIVAL_ODDS=math.inf),
}
"""By name; a name is part of an id, so it keeps its meaning."""
