"""The model-based detector: a hydraulic model under its readings, leaks followed and placed."""

from leakdetect.hydraulic.detector import HydraulicDetector

__all__ = ["HydraulicDetector"]
