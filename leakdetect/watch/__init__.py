"""Readings as they arrive: the daily run's recursion, step by step."""

from leakdetect.watch.watching import Taken, Watch, watch

__all__ = ["Taken", "Watch", "watch"]
