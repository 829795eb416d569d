"""Labelled scenarios: simulated worlds whose leaks are known, to build on and to measure by."""

from leakdetect.scenarios.demand import DemandNoise
from leakdetect.scenarios.leaks import Leak
from leakdetect.scenarios.measure import SensorError, Trouble
from leakdetect.scenarios.scenario import Scenario
from leakdetect.scenarios.world import World, simulate

__all__ = ["DemandNoise", "Leak", "Scenario", "SensorError", "Trouble", "World", "simulate"]
