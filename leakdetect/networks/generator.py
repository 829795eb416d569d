"""Invent a water network: seeded, of any size, that EPANET runs without a warning.

Streets become pipes; the ground rises to one side. The lowest part lies behind pressure reducing valves, the highest
is fed by pumps through tanks; the rest hangs on the reservoirs. Diameters follow the demand downstream.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leakdetect.errors import InputError
from leakdetect.network import Floats
from leakdetect.networks.inp import Drawing, to_inp
from leakdetect.networks.joining import join_zones
from leakdetect.networks.layout import draw_streets
from leakdetect.networks.plan import PLANS, Plan
from leakdetect.networks.sizing import choose_sizes
from leakdetect.networks.zones import cut_zones

__all__ = ["MATERIALS", "PLANS", "Plan", "generate"]

MATERIALS = (("CI-1935", 90.0), ("CI-1955", 105.0), ("AC-1970", 120.0), ("PVC-1988", 135.0), ("PE-2008", 145.0))
"""Material with decade, from the old centre outwards, and its Hazen-Williams C."""


def generate(kind: str | Plan, seed: int) -> str:
    """Invent a network and return its EPANET 2.2 model file.

    Parameters
    ----------
    kind : str or Plan
        One of `PLANS`, or a plan.
    seed : int
        The same kind and seed give the same text.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    if isinstance(kind, str):
        if kind not in PLANS:
            raise InputError(f"unknown kind of network '{kind}': use one of {', '.join(PLANS)}")
        plan, title = PLANS[kind], kind
    else:
        plan, title = kind, f"{kind.junctions} junctions"
    rng = np.random.default_rng(seed)
    streets = draw_streets(plan.junctions, rng, uneven=plan.uneven)
    across = rng.uniform(0, 2 * np.pi)
    uphill = np.array([np.cos(across), np.sin(across)])
    ground = _ground(plan, streets.xy, uphill, rng)
    drawing = join_zones(plan, streets, cut_zones(plan, streets, uphill), ground, rng)
    drawing = _customers(plan, drawing, rng)
    drawing = _materials(drawing, rng)
    drawing = choose_sizes(drawing, _smallest(plan, drawing, rng))
    return to_inp(drawing, f"Invented {title} of {plan.inhabitants} inhabitants, seed {seed}")


def _ground(plan: Plan, xy: Floats, uphill: Floats, rng: np.random.Generator) -> Floats:
    """Elevation [m] of each place: a slope with gentle waves some hundred metres long, and hills."""
    height = xy @ uphill
    height = (height - height.min()) / np.ptp(height) * plan.rise
    for _ in range(6):
        wave = rng.normal(0, 2 * np.pi / 900, 2)
        height = height + 0.03 * plan.rise * np.cos(xy @ wave + rng.uniform(0, 2 * np.pi))
    if plan.hills:
        wide = np.ptp(xy, axis=0).mean()
        for _ in range(5):
            wave = rng.normal(0, 2 * np.pi / (0.5 * wide), 2)
            height = height + plan.hills / 5 * np.cos(xy @ wave + rng.uniform(0, 2 * np.pi))
    above: Floats = 40 + height
    return above


def _customers(plan: Plan, drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Spread demand over the junctions by the length of street they serve; some are shops and works."""
    total = plan.inhabitants * 0.150 / 86400  # m3/s, 150 L a head and day
    served = np.zeros(len(drawing.xy))
    house = drawing.link_kind == "PIPE"
    np.add.at(served, drawing.start[house], drawing.length[house] / 2)
    np.add.at(served, drawing.end[house], drawing.length[house] / 2)
    original = np.arange(len(served)) < plan.junctions
    served = np.where(original & (drawing.node_kind == "JUNCTION"), served, 0.0)
    homes = served * rng.gamma(4.0, 0.25, len(served)) * (rng.random(len(served)) > 0.08)
    shops = served * rng.gamma(1.0, 1.0, len(served)) * (rng.random(len(served)) < 0.15)
    demand = [total * 0.87 * homes / homes.sum(), total * 0.13 * shops / max(shops.sum(), 1e-9)]
    if plan.works:
        works = served * rng.gamma(1.0, 1.0, len(served)) * (rng.random(len(served)) < 0.01)
        demand = [(1 - plan.works) * d for d in demand] + [total * plan.works * works / works.sum()]
    return replace(drawing, demand=np.stack(demand, axis=1))


def _materials(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Old pipes in the centre, new ones at the rim, and streets renewed here and there."""
    middle = (drawing.xy[drawing.start] + drawing.xy[drawing.end]) / 2
    reach = np.hypot(*(middle - drawing.xy.mean(axis=0)).T)
    age = reach / np.quantile(reach, 0.95) * len(MATERIALS) + rng.normal(0, 0.7, len(reach))
    group = np.clip(age.astype(int), 0, len(MATERIALS) - 1)
    names = np.array([name for name, _ in MATERIALS], dtype=object)
    return replace(drawing, material=names[group], roughness=np.array([c for _, c in MATERIALS])[group])


def _smallest(plan: Plan, drawing: Drawing, rng: np.random.Generator) -> Floats:
    """Return the least diameter of each link [m]: hydrants ask for more than the houses do."""
    smallest = np.where(drawing.arterial, 0.100, 0.080)
    if plan.hydrants:
        hydrants = drawing.arterial | (rng.random(len(smallest)) < plan.hydrants)
        smallest = np.where(hydrants, 0.150, 0.100)
    return smallest
