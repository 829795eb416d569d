"""Labelled scenarios: simulated worlds whose leaks are known, to build on and to measure by."""

from leakdetect.scenarios.demand import DemandNoise
from leakdetect.scenarios.files import Layout
from leakdetect.scenarios.leaks import Leak
from leakdetect.scenarios.measure import SensorError, Trouble
from leakdetect.scenarios.operations import Operations
from leakdetect.scenarios.scenario import Scenario
from leakdetect.scenarios.world import World, simulate

__all__ = ["DemandNoise", "Layout", "Leak", "Operations", "Scenario", "SensorError", "Trouble", "World", "simulate"]
