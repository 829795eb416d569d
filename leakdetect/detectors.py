"""Every detector by name; a class is imported when it is asked for.

A detector's constructor takes by keyword what it needs of: `network`, `timezone`, `settings`, `repairs`, `zones`.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from leakdetect.detector import Detector
from leakdetect.errors import InputError

DETECTORS = {
    "hydraulic": "leakdetect.hydraulic:HydraulicDetector",
    "inflow": "leakdetect.stages.inflow.detector:InflowDetector",
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


def build(name: str, **known: Any) -> Detector:
    """Return a detector, given what its constructor asks for.

    Parameters
    ----------
    name : str
        One of `DETECTORS`.
    **known
        All that is known of the site (see above); what the detector does not ask for is left out.
    """
    wanted = detector_class(name)
    return wanted(**{key: value for key, value in known.items() if key in inspect.signature(wanted).parameters})
