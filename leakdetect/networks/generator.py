"""Invent a water network: seeded, of any size, that EPANET runs without a warning.

Streets become pipes; the ground rises to one side. The lowest part lies behind pressure reducing valves, the highest
is fed by pumps through tanks; the rest hangs on the reservoirs. Diameters follow the demand downstream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra

from leakdetect.errors import InputError
from leakdetect.network import Floats, Ints
from leakdetect.networks.inp import Drawing, to_inp
from leakdetect.networks.layout import Streets, draw_streets

DIAMETERS = (
    np.array([60, 80, 100, 125, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 1000, 1200, 1400, 1600]) / 1000
)
"""Nominal diameters that can be bought [m]."""

MATERIALS = (("CI-1935", 90.0), ("CI-1955", 105.0), ("AC-1970", 120.0), ("PVC-1988", 135.0), ("PE-2008", 145.0))
"""Material with decade, from the old centre outwards, and its Hazen-Williams C."""

_LOW, _MAIN, _HIGH = 0, 1, 2
_PEAK = 2.2  # design flow over mean flow


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
        Junctions in one of those zones at most.
    """

    junctions: int
    inhabitants: int
    sources: int = 1
    rise: float = 15.0
    low: float = 0.0
    high: float = 0.0
    zone: int = 1500

    def __post_init__(self) -> None:
        if self.junctions < 20 or self.inhabitants < 1 or self.sources < 1:
            raise InputError("a network to invent needs 20 junctions or more, an inhabitant and a source")


PLANS = {
    "village": Plan(junctions=60, inhabitants=1_400),
    "town": Plan(junctions=520, inhabitants=10_000, sources=2, rise=42.0, low=0.22, high=0.12),
    "city": Plan(junctions=5_000, inhabitants=110_000, sources=3, rise=42.0, low=0.22, high=0.12),
    "metropolis": Plan(junctions=100_000, inhabitants=2_400_000, sources=40, rise=42.0, low=0.22, high=0.12),
}
"""Sizes with a name."""


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
    streets = draw_streets(plan.junctions, rng)
    across = rng.uniform(0, 2 * np.pi)
    uphill = np.array([np.cos(across), np.sin(across)])
    ground = _ground(plan, streets.xy, uphill, rng)
    drawing = _connect(plan, streets, _zones(plan, streets, uphill), ground, rng)
    drawing = _customers(plan, drawing, rng)
    drawing = _materials(drawing, rng)
    return to_inp(_size(drawing), f"Invented {title} of {plan.inhabitants} inhabitants, seed {seed}")


def _ground(plan: Plan, xy: Floats, uphill: Floats, rng: np.random.Generator) -> Floats:
    """Elevation [m] of each place: a slope with gentle waves some hundred metres long."""
    height = xy @ uphill
    height = (height - height.min()) / np.ptp(height) * plan.rise
    for _ in range(6):
        wave = rng.normal(0, 2 * np.pi / 900, 2)
        height = height + 0.03 * plan.rise * np.cos(xy @ wave + rng.uniform(0, 2 * np.pi))
    above: Floats = 40 + height
    return above


def _zones(plan: Plan, streets: Streets, uphill: Floats) -> tuple[Ints, Ints]:
    """Return each place's zone (0 is the main one) and each zone's level (`_LOW`, `_MAIN`, `_HIGH`)."""
    n = len(streets.xy)
    height, side = streets.xy @ uphill, streets.xy @ np.array([-uphill[1], uphill[0]])
    rank = np.empty(n)
    rank[np.argsort(height, kind="stable")] = (np.arange(n) + 0.5) / n
    zone, levels = np.zeros(n, dtype=np.int64), [_MAIN]
    for level, part in ((_LOW, rank < plan.low), (_HIGH, rank > 1 - plan.high)):
        members = np.flatnonzero(part)
        stripes = int(np.ceil(members.size / plan.zone))
        order = np.empty(members.size, dtype=np.int64)
        order[np.argsort(side[members], kind="stable")] = np.arange(members.size)
        zone[members] = len(levels) + order * stripes // max(members.size, 1)
        levels += [level] * stripes
    return _whole(zone, streets), np.array(levels)


def _whole(zone: Ints, streets: Streets) -> Ints:
    """Give scraps of a zone that its own streets do not reach to a neighbour, until every zone hangs together."""
    zone, n = zone.copy(), len(zone)
    while True:
        inner = zone[streets.start] == zone[streets.end]
        links = sp.csr_array((np.ones(inner.sum()), (streets.start[inner], streets.end[inner])), shape=(n, n))
        piece = connected_components(links, directed=False)[1]
        size = np.bincount(piece)
        owner = zone[np.unique(piece, return_index=True)[1]]
        largest = np.zeros(len(size), dtype=bool)
        order = np.lexsort((-size, owner))
        largest[order[np.unique(owner[order], return_index=True)[1]]] = True
        scrap = ~largest[piece]
        if not scrap.any():
            return zone
        for a, b in ((streets.start, streets.end), (streets.end, streets.start)):
            moves = ~inner & scrap[a] & ~scrap[b]
            if moves.any():
                new = owner.copy()
                new[piece[a[moves]]] = zone[b[moves]]
                zone = np.where(scrap, new[piece], zone)
                break


def _connect(
    plan: Plan, streets: Streets, zones: tuple[Ints, Ints], ground: Floats, rng: np.random.Generator
) -> Drawing:
    """Cut the streets between zones and join the zones by valves, pumps and tanks; bring in the sources."""
    zone, level = zones
    inner = zone[streets.start] == zone[streets.end]
    b = _Builder(streets, ground, zone, inner)
    for k in range(1, len(level)):
        gate = np.flatnonzero((zone[streets.start] == 0) & (zone[streets.end] == k))
        back = np.flatnonzero((zone[streets.end] == 0) & (zone[streets.start] == k))
        pairs = [(streets.start[i], streets.end[i], i) for i in gate] + [
            (streets.end[i], streets.start[i], i) for i in back
        ]
        if not pairs:
            raise InputError(f"no street joins zone {k} to the town: use another seed")
        wide = [p for p in pairs if streets.arterial[p[2]]] or pairs
        outside, inside, _ = wide[len(wide) // 2]
        if level[k] == _LOW:
            b.add_prv(int(outside), int(inside), k)
        else:
            b.add_tower(int(outside), int(inside), k)
    graph = sp.csr_array(
        (streets.length[inner], (streets.start[inner], streets.end[inner])), shape=(len(zone), len(zone))
    )
    reach = np.hypot(*(streets.xy - streets.xy.mean(axis=0)).T)
    on_main = np.zeros(len(zone), dtype=bool)
    on_main[np.r_[streets.start[streets.arterial & inner], streets.end[streets.arterial & inner]]] = True
    pool = (zone == 0) & (on_main if (on_main & (zone == 0)).any() else True)
    at = int(np.argmax(np.where(pool, reach, -1.0)))
    sites: list[int] = []
    nearest = np.full(len(zone), np.inf)
    for _ in range(plan.sources):
        sites.append(at)
        nearest = np.minimum(nearest, dijkstra(graph, directed=False, indices=at))
        at = int(np.argmax(np.where(pool & np.isfinite(nearest), nearest, -1.0)))
    for site in sites:
        b.add_source(site, float(rng.uniform(250, 500)))
    return b.drawing()


class _Builder:
    """Collects what is added to the streets."""

    def __init__(self, streets: Streets, ground: Floats, zone: Ints, keep: NDArray[np.bool_]) -> None:
        self._streets, self._ground, self._zone = streets, ground, zone
        self._keep = keep
        self._xy: list[Floats] = []
        self._height: list[float] = []
        self._zones: list[int] = []
        self._links: list[tuple[int, int, str]] = []
        self._centre = streets.xy.mean(axis=0)
        self._fixed: list[tuple[int, str]] = []

    def _node(self, xy: Floats, height: float, zone: int) -> int:
        self._xy.append(xy)
        self._height.append(height)
        self._zones.append(zone)
        return len(self._streets.xy) + len(self._xy) - 1

    def add_prv(self, outside: int, inside: int, zone: int) -> None:
        """Outside -> PRV -> a chamber -> inside."""
        xy = self._streets.xy
        chamber = self._node((xy[outside] + xy[inside]) / 2, (self._ground[outside] + self._ground[inside]) / 2, zone)
        self._links += [(outside, chamber, "PRV"), (chamber, inside, "PIPE")]

    def add_tower(self, outside: int, inside: int, zone: int) -> None:
        """Outside -> pump -> rising main -> tank -> inside."""
        xy = self._streets.xy
        station = self._node(xy[outside] * 0.8 + xy[inside] * 0.2, float(self._ground[outside]), zone)
        tank = self._node(xy[inside] + np.array([30.0, 25.0]), float(self._ground[inside]), zone)
        self._fixed.append((tank, "TANK"))
        self._links += [(outside, station, "PUMP"), (station, tank, "PIPE"), (tank, inside, "PIPE")]

    def add_source(self, site: int, distance: float) -> None:
        """Reservoir -> main -> site."""
        way = self._streets.xy[site] - self._centre
        way = way / max(float(np.hypot(*way)), 1.0)
        source = self._node(self._streets.xy[site] + way * distance, float(self._ground[site]), 0)
        self._fixed.append((source, "RESERVOIR"))
        self._links.append((source, site, "PIPE"))

    def drawing(self) -> Drawing:
        streets, keep = self._streets, self._keep
        xy = np.vstack([streets.xy, *self._xy])
        n, links = len(xy), len(self._links)
        start = np.r_[streets.start[keep], [a for a, _, _ in self._links]].astype(np.int64)
        end = np.r_[streets.end[keep], [b for _, b, _ in self._links]].astype(np.int64)
        kind = np.array(["PIPE"] * int(keep.sum()) + [k for _, _, k in self._links], dtype=object)
        node_kind = np.full(n, "JUNCTION", dtype=object)
        for node, what in self._fixed:
            node_kind[node] = what
        length = np.where(kind == "PIPE", np.maximum(np.hypot(*(xy[start] - xy[end]).T) * 1.05, 5.0), 0.0)
        blank = np.full(len(start), np.nan)
        return Drawing(
            xy=xy,
            elevation=np.r_[self._ground, self._height],
            node_kind=node_kind,
            zone=np.r_[self._zone, self._zones].astype(np.int64),
            demand=np.zeros((n, 2)),
            start=start,
            end=end,
            link_kind=kind,
            arterial=np.r_[streets.arterial[keep], np.ones(links, dtype=bool)],
            length=length,
            diameter=blank.copy(),
            roughness=blank.copy(),
            material=np.full(len(start), "", dtype=object),
            setting=blank.copy(),
            tank_diameter=np.full(n, np.nan),
            pump_flow=blank.copy(),
        )


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
    demand = np.stack([total * 0.87 * homes / homes.sum(), total * 0.13 * shops / max(shops.sum(), 1e-9)], axis=1)
    return replace(drawing, demand=demand)


def _materials(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Old pipes in the centre, new ones at the rim, and streets renewed here and there."""
    middle = (drawing.xy[drawing.start] + drawing.xy[drawing.end]) / 2
    reach = np.hypot(*(middle - drawing.xy.mean(axis=0)).T)
    age = reach / np.quantile(reach, 0.95) * len(MATERIALS) + rng.normal(0, 0.7, len(reach))
    group = np.clip(age.astype(int), 0, len(MATERIALS) - 1)
    names = np.array([name for name, _ in MATERIALS], dtype=object)
    return replace(drawing, material=names[group], roughness=np.array([c for _, c in MATERIALS])[group])


def _size(drawing: Drawing) -> Drawing:
    """Choose diameters, source heads, valve settings, pumps and tanks."""
    n = len(drawing.xy)
    roots = np.flatnonzero(drawing.node_kind == "RESERVOIR")
    weight = np.maximum(drawing.length, 1.0) * np.where(drawing.arterial, 0.6, 1.0)
    graph = sp.csr_array((weight, (drawing.start, drawing.end)), shape=(n, n))
    far, parent, _ = dijkstra(graph, directed=False, indices=roots, min_only=True, return_predecessors=True)
    order = np.argsort(far, kind="stable")
    below = drawing.demand.sum(axis=1)
    for i in order[::-1]:
        if parent[i] >= 0:
            below[parent[i]] += below[i]
    # The link that feeds each node: of the two ends of a tree link the farther one is fed.
    feeds = np.where(
        parent[drawing.end] == drawing.start,
        drawing.end,
        np.where(parent[drawing.start] == drawing.end, drawing.start, -1),
    )
    mean = np.where(feeds >= 0, below[feeds], 0.0)
    steady = np.isin(drawing.end, np.flatnonzero(drawing.node_kind == "TANK"))
    flow = np.where(steady, 1.5, _PEAK) * mean
    # Long mains are laid for smaller losses than a street's pipe.
    slope = np.where(mean > 20 / 3600, 0.0022, 0.004)
    wanted = (10.67 * (flow / drawing.roughness) ** 1.852 / slope) ** (1 / 4.871)
    smallest = np.where(drawing.arterial, 0.100, 0.080)
    size = np.abs(np.log(np.maximum(wanted, smallest))[:, None] - np.log(DIAMETERS)[None, :]).argmin(axis=1)
    diameter = DIAMETERS[size]
    loss = np.where(
        drawing.link_kind == "PIPE", 10.67 * (flow / drawing.roughness) ** 1.852 / diameter**4.871 * drawing.length, 0.0
    )
    into = np.zeros(n)
    into[feeds[feeds >= 0]] = loss[feeds >= 0]
    drop = np.zeros(n)  # from the head of each node's own zone at the design flow
    head = np.isin(np.arange(n), np.r_[roots, drawing.end[drawing.link_kind == "PRV"]]) | (drawing.node_kind == "TANK")
    for i in order:
        if parent[i] >= 0 and not head[i]:
            drop[i] = drop[parent[i]] + into[i]
    return _heads(replace(drawing, diameter=diameter), drop, mean, loss)


def _heads(drawing: Drawing, drop: Floats, mean: Floats, loss: Floats) -> Drawing:
    """Set every zone's head so that its worst junction keeps its pressure at the design flow."""
    elevation, setting = drawing.elevation.copy(), drawing.setting.copy()
    tank_diameter, pump_flow = drawing.tank_diameter.copy(), drawing.pump_flow.copy()
    junction = drawing.node_kind == "JUNCTION"
    # A pump station stands in its zone but upstream of its tank.
    station = np.isin(np.arange(len(junction)), drawing.end[drawing.link_kind == "PUMP"])
    need = np.where(junction & ~station, elevation + drop, -np.inf)
    top = float(need[drawing.zone == 0].max()) + 28
    elevation[drawing.node_kind == "RESERVOIR"] = round(top, 1)
    for link in np.flatnonzero(drawing.link_kind == "PRV"):
        chamber = drawing.end[link]
        setting[link] = round(float(need[drawing.zone == drawing.zone[chamber]].max()) + 28 - elevation[chamber], 1)
    for pump in np.flatnonzero(drawing.link_kind == "PUMP"):
        suction, station_at = drawing.start[pump], drawing.end[pump]
        rising = int(np.flatnonzero((drawing.start == station_at) & (drawing.link_kind == "PIPE"))[0])
        tank = drawing.end[rising]
        wish = float(need[drawing.zone == drawing.zone[tank]].max()) + 25
        # A pump with little to lift runs off its curve when the town draws little.
        elevation[tank] = round(max(wish, top - drop[suction] + 12), 1)
        # Half a day's use between the levels at which the pump starts and stops.
        tank_diameter[tank] = round(float(np.sqrt(mean[pump] * 43200 / 2.0 * 4 / np.pi)), 1)
        pump_flow[pump] = mean[pump] * 1.8
        setting[pump] = elevation[tank] + 4 + loss[rising] * 1.5 - (top - drop[suction]) + 2
    fields: dict[str, Any] = {"elevation": elevation, "setting": setting}
    return replace(drawing, **fields, tank_diameter=tank_diameter, pump_flow=pump_flow)
