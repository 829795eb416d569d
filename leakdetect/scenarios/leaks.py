"""Leaks that are put into a world: which pipe, when, how large a hole, whether it is found and mended.

The hole is an orifice in mid-pipe, Q = Cd A sqrt(2 g p), Cd = 0.75; an incipient hole's diameter grows evenly from
nothing to its peak (the leak model of Vrachimis et al. 2022, J. Water Resour. Plann. Manage. 148(12)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakdetect.errors import InputError
from leakdetect.events import Kind
from leakdetect.network import Floats, Network, Node

DISCHARGE = 0.75
"""Cd of a hole in a pipe wall."""
GRAVITY = 9.81

DAY = np.timedelta64(86400, "s")


@dataclass(frozen=True)
class Leak:
    """A leak of a world.

    Attributes
    ----------
    pipe : str
    start, peak : datetime64
        When it begins and when its hole is fully grown; the same for an abrupt one. UTC.
    end : datetime64 or None
        When it was repaired; None where it runs on.
    diameter : float
        Of the hole when fully grown [m].
    """

    pipe: str
    start: np.datetime64
    peak: np.datetime64
    end: np.datetime64 | None
    diameter: float

    @property
    def kind(self) -> Kind:
        """Abrupt, or incipient where it grows."""
        return Kind.ABRUPT if self.peak <= self.start else Kind.INCIPIENT

    def area(self, times: np.ndarray) -> Floats:
        """Return the area of the hole [m2] at `times` (datetime64), shape as `times`; 0 when it is not there."""
        since = (times - self.start) / np.timedelta64(1, "s")
        growing = max(float((self.peak - self.start) / np.timedelta64(1, "s")), 0.0)
        share = np.clip(since / growing, 0.0, 1.0) if growing else np.ones(times.shape)
        running = since >= 0
        if self.end is not None:
            running &= times < self.end
        area: Floats = np.where(running, np.pi * (self.diameter * share) ** 2 / 4, 0.0)
        return area


def orifice_flow(area: Floats, pressure: Floats) -> Floats:
    """Return the leak flow [m3/s] through a hole of `area` [m2] at `pressure` [m]; 0 where there is no pressure."""
    flow: Floats = DISCHARGE * area * np.sqrt(2 * GRAVITY * np.maximum(pressure, 0.0))
    return flow


def emitter_coefficient(area: Floats) -> Floats:
    """Return C of EPANET's emitter q = C p^0.5, in m3/h per m^0.5, for a hole of `area` [m2]."""
    coefficient: Floats = 3600 * DISCHARGE * area * np.sqrt(2 * GRAVITY)
    return coefficient


def can_leak(network: Network, without: Sequence[str] = ()) -> np.ndarray:
    """Return the indices of the links that may get a leak: open pipes longer than 5 m, but for those named."""
    metered = np.isin(np.array(network.link_names, dtype=object), list(without))
    return np.flatnonzero(network.is_pipe & network.open & (network.length > 5.0) & ~metered)


def draw_leaks(
    network: Network,
    rng: np.random.Generator,
    *,
    counts: Sequence[int],
    start: np.datetime64,
    days: int,
    step: int,
    size: float = 1.0,
    without: Sequence[str] = (),
) -> list[Leak]:
    """Draw leaks at random, each on its own pipe.

    Two thirds are large: seen by the crew and repaired after 10 to 60 days. One third are small and never found.
    About half grow over days to weeks.

    Parameters
    ----------
    network : Network
    rng : numpy Generator
    counts : sequence of int
        How many begin in each year (the days split evenly over the counts).
    start : datetime64
    days : int
    step : int
        [s]; times are whole steps.
    size : float
        Factor on hole diameters: 1 for a town of 180 m3/h, 9 to 22 mm.
    without : sequence of str
        Links that get none, such as the metered ones.

    Raises
    ------
    InputError
        If there are more leaks than pipes.
    """
    pipes = can_leak(network, without)
    total = int(sum(counts))
    if total > pipes.size:
        raise InputError(
            f"{total} leaks are more than the {pipes.size} pipes of {network.name} that can leak: ask for fewer"
        )
    # Longer pipes leak more often.
    chosen = rng.choice(pipes, pipes.size, replace=False, p=network.length[pipes] / network.length[pipes].sum())
    room = _Room(network)
    taken = 0
    span = days / max(len(counts), 1)
    begins = np.concatenate(
        [(year + np.sort(rng.uniform(0.02, 0.96, count))) * span for year, count in enumerate(counts)] or [np.empty(0)]
    )
    last = days - 0.01
    leaks = []
    for begin in begins:
        large = rng.random() < 0.63
        incipient = rng.random() < (0.5 if large else 0.6)
        life = float(rng.uniform(10, 60)) * min(1.0, span / 180)
        if large:
            diameter = float(rng.uniform(0.0129, 0.0225))
            growth = life * float(rng.uniform(0.35, 0.95)) if incipient else 0.0
            end = begin + life if begin + life < last else None
        else:
            diameter = float(rng.uniform(0.009, 0.0126))
            growth = float(rng.uniform(18, 80)) * min(1.0, span / 180) if incipient else 0.0
            end = None
        diameter = round(diameter * size, 6)
        while taken < chosen.size and not room.take(int(chosen[taken]), diameter, begin, end):
            taken += 1
        if taken == chosen.size:
            raise InputError(f"{total} leaks are more than the pumps of {network.name} can feed: ask for fewer")
        leaks.append(
            Leak(
                pipe=network.link_names[chosen[taken]],
                start=_instant(start, begin, step),
                peak=_instant(start, begin + growth, step),
                end=None if end is None else _instant(start, end, step),
                diameter=diameter,
            )
        )
        taken += 1
    return leaks


def draw_bursts(
    network: Network,
    rng: np.random.Generator,
    *,
    count: int,
    start: np.datetime64,
    days: int,
    step: int,
    without: Sequence[str] = (),
) -> list[Leak]:
    """Draw pipes that break: a hole of a quarter to a half of the pipe's width, mended within two days.

    Parameters as `draw_leaks`; errors too.
    """
    pipes = can_leak(network, without)
    if count > pipes.size:
        raise InputError(
            f"{count} bursts are more than the {pipes.size} pipes of {network.name} that are left: ask for fewer"
        )
    chosen = rng.choice(pipes, count, replace=False, p=network.length[pipes] / network.length[pipes].sum())
    bursts = []
    for pipe, begin in zip(chosen.tolist(), np.sort(rng.uniform(0.02, 0.96, count)) * days, strict=True):
        moment = _instant(start, begin, step)
        bursts.append(
            Leak(
                pipe=network.link_names[pipe],
                start=moment,
                peak=moment,
                end=_instant(start, begin + float(rng.uniform(0.2, 2.0)), step),
                diameter=round(float(rng.uniform(0.25, 0.5) * network.diameter[pipe]), 6),
            )
        )
    return bursts


class _Room:
    """How much leakage a zone fed by a tank bears: more would empty the tank, and the utility would know."""

    def __init__(self, network: Network) -> None:
        part = network.components(np.flatnonzero(~network.is_pipe))
        self._part = part[network.start]
        fed_by_tank = np.setdiff1d(part[network.node_kind == Node.TANK], part[network.node_kind == Node.RESERVOIR])
        demand = np.bincount(part, weights=network.base_demand.sum(axis=1))
        self._limit = {int(p): 0.6 * float(demand[p]) for p in fed_by_tank}
        self._known: dict[int, list[tuple[float, float, float]]] = {p: [] for p in self._limit}

    def take(self, pipe: int, diameter: float, begin: float, end: float | None) -> bool:
        """Say whether there is room for the leak on this pipe from day `begin` to `end`, and if so count it."""
        part = int(self._part[pipe])
        if part not in self._limit:
            return True
        flow = float(orifice_flow(np.array(np.pi * diameter**2 / 4), np.array(40.0)))
        until = np.inf if end is None else end
        beside = sum(q for q, first, last in self._known[part] if first < until and begin < last)
        if beside + flow > self._limit[part]:
            return False
        self._known[part].append((flow, begin, until))
        return True


def _instant(start: np.datetime64, days: float, step: int) -> np.datetime64:
    return start + np.timedelta64(round(days * 86400 / step) * step, "s")
