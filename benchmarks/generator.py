"""How the time to invent a network grows with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from leakdetect.networks.generator import PLANS, generate

from .registry import Figure, Setting, Target, benchmark
from .speed import best


@benchmark("speed", Figure("generate.{}", "s"), Figure("generate.{}.growth", "times", Target("<=", 2.6)))
def generation(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Invent a network of the metropolis' kind, and one of twice the size: the time of the first, and their ratio."""
    if setting.small:
        return
    setting.note("inventing a network")
    size, times = 25_000, []
    for junctions in (size, 2 * size):
        plan = replace(PLANS["metropolis"], junctions=junctions, sources=junctions // 2500, zone=junctions // 50)
        times.append(best(lambda plan=plan: generate(plan, 1), least=1))  # type: ignore[misc]
    yield str(size), (times[0], times[1] / times[0])
