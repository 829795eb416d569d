"""Leak detection without a hydraulic model: from the inflow of each district alone."""

from __future__ import annotations

from leakdetect.stages.inflow.detector import InflowDetector

__all__ = ["InflowDetector"]
