"""What to invent: sizes with a name, and any other."""

from __future__ import annotations

from dataclasses import dataclass

from leakdetect.errors import InputError


@dataclass(frozen=True)
class Plan:
    """What to invent.

    Attributes
    ----------
    junctions, inhabitants : int
    sources : int
    rise : float
        [m] of ground from one side to the other.
    low, high : float
        Share of the junctions behind PRVs, and on pumped tanks.
    zone : int
        Junctions in one of those zones, and in a district, at most but for scraps of others.
    districts : int
        Metered ones in the rest, at their neighbours' pressure. With any, the file tags junctions with their zone.
    hills : float
        [m] by which the ground departs from the slope, at most.
    uneven : bool
        Streets closer in the centre than at the rim, and pipes of all lengths.
    hydrants : float
        Share of the streets whose pipe feeds hydrants: 150 mm or more, 100 mm in the others. 0 is 80 mm or more, and
        100 mm in arterial streets.
    works : float
        Share of the demand that is drawn day and night.
    """

    junctions: int
    inhabitants: int
    sources: int = 1
    rise: float = 15.0
    low: float = 0.0
    high: float = 0.0
    zone: int = 1500
    districts: int = 0
    hills: float = 0.0
    uneven: bool = False
    hydrants: float = 0.0
    works: float = 0.0

    def __post_init__(self) -> None:
        if self.junctions < 20 or self.inhabitants < 1 or self.sources < 1:
            raise InputError("a network to invent needs 20 junctions or more, an inhabitant and a source")


PLANS = {
    "village": Plan(junctions=60, inhabitants=1_400),
    "town": Plan(junctions=520, inhabitants=10_000, sources=2, rise=42.0, low=0.22, high=0.12),
    "city": Plan(
        junctions=5_000, inhabitants=100_000, sources=3, rise=42.0, low=0.42, high=0.15, zone=350, districts=3,
        hills=8.0, uneven=True, hydrants=0.35, works=0.06,
    ),
    "metropolis": Plan(
        junctions=100_000, inhabitants=2_400_000, sources=40, rise=42.0, low=0.40, high=0.15, zone=2_000, districts=12,
        hills=8.0, uneven=True, hydrants=0.35, works=0.06,
    ),
}  # fmt: skip
"""Sizes with a name."""
