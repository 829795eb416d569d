"""Where readings come from."""

from __future__ import annotations

from leakdetect.readings.load import load
from leakdetect.readings.repairs import load_repairs

__all__ = ["load", "load_repairs"]
