"""Steady states of a network in batches, and how fast they are found."""

from __future__ import annotations

from .ordering import supplied
from .problem import Curve, Problem
from .solver import Solver, Steady

__all__ = ["Curve", "Problem", "Solver", "Steady", "supplied"]
