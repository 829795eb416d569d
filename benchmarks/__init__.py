"""Benchmarks of accuracy and speed: one registry, permanent ids.

An id names what is measured and on what, and never changes its meaning, so that a figure of today can be laid beside
one of years ago. What measures something else gets a new id.
"""

from __future__ import annotations

from . import (
    ablation,
    accuracy,
    generator,
    growth,
    injection,
    placement,
    pooled,
    processes,
    scoring,
    sites,
    speed,
    streaming,
    table,
    worlds,
)
from .registry import REGISTRY, Benchmark, Row, Setting, machine, run

__all__ = [
    "REGISTRY",
    "Benchmark",
    "Row",
    "Setting",
    "ablation",
    "accuracy",
    "generator",
    "growth",
    "injection",
    "machine",
    "placement",
    "pooled",
    "processes",
    "run",
    "scoring",
    "sites",
    "speed",
    "streaming",
    "table",
    "worlds",
]
