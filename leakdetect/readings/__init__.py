"""Where readings come from."""

from __future__ import annotations

from leakdetect.readings.load import load, load_with_sensors
from leakdetect.readings.repairs import load_repairs
from leakdetect.readings.sensors import Sensors

__all__ = ["Sensors", "load", "load_repairs", "load_with_sensors"]
