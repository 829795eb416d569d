"""Every detector by name; a class is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from leakdetect.detector import Detector
from leakdetect.errors import InputError

DETECTORS = {
    "night": "leakdetect.baselines.night:MinimumNightFlow",
    "pairs": "leakdetect.baselines.pairs:PairwiseRegression",
    "hotelling": "leakdetect.baselines.hotelling:Hotelling",
}
"""Name and where its class is: ``module:class``."""


def detector_class(name: str) -> type[Detector]:
    """Return a detector's class; `InputError` where there is none of that name."""
    place = DETECTORS.get(name)
    if place is None:
        raise InputError(f"no detector '{name}': use one of {', '.join(DETECTORS)}")
    module, _, wanted = place.partition(":")
    found: type[Detector] = getattr(import_module(module), wanted)
    return found
