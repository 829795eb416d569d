"""Where readings come from."""

from __future__ import annotations

from leakdetect.readings.load import Sensors, load, load_with_sensors
from leakdetect.readings.repairs import load_repairs

__all__ = ["Sensors", "load", "load_repairs", "load_with_sensors"]
