"""Join the zones of an invented town by valves, pumps, tanks and meters, and bring in the water."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from leakdetect.network import Floats, Ints
from leakdetect.networks.inp import Drawing
from leakdetect.networks.layout import Streets
from leakdetect.networks.plan import Plan
from leakdetect.networks.zones import HIGH, LOW, METERED


def join_zones(
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
        wide = [p for p in pairs if streets.arterial[p[2]]] or pairs
        outside, inside, _ = wide[len(wide) // 2]
        if level[k] == LOW:
            b.add_prv(int(outside), int(inside), k)
        elif level[k] == HIGH:
            b.add_tower(int(outside), int(inside), k)
        else:
            b.add_inlet(int(outside), int(inside))
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
    return b.drawing(level)


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

    def add_inlet(self, outside: int, inside: int) -> None:
        """Outside -> a metered pipe -> inside."""
        self._links.append((outside, inside, "INLET"))

    def add_source(self, site: int, distance: float) -> None:
        """Reservoir -> main -> site."""
        way = self._streets.xy[site] - self._centre
        way = way / max(float(np.hypot(*way)), 1.0)
        source = self._node(self._streets.xy[site] + way * distance, float(self._ground[site]), 0)
        self._fixed.append((source, "RESERVOIR"))
        self._links.append((source, site, "PIPE"))

    def drawing(self, level: Ints) -> Drawing:
        streets, keep = self._streets, self._keep
        xy = np.vstack([streets.xy, *self._xy])
        n, links = len(xy), len(self._links)
        start = np.r_[streets.start[keep], [a for a, _, _ in self._links]].astype(np.int64)
        end = np.r_[streets.end[keep], [b for _, b, _ in self._links]].astype(np.int64)
        kind = np.array(["PIPE"] * int(keep.sum()) + [k for _, _, k in self._links], dtype=object)
        inlet = kind == "INLET"
        kind[inlet] = "PIPE"
        node_kind = np.full(n, "JUNCTION", dtype=object)
        for node, what in self._fixed:
            node_kind[node] = what
        district = np.r_[self._zone, self._zones].astype(np.int64)
        length = np.where(kind == "PIPE", np.maximum(np.hypot(*(xy[start] - xy[end]).T) * 1.05, 5.0), 0.0)
        blank = np.full(len(start), np.nan)
        return Drawing(
            xy=xy,
            elevation=np.r_[self._ground, self._height],
            node_kind=node_kind,
            zone=np.where(level[district] == METERED, 0, district),
            district=district,
            tagged=bool((level == METERED).any()),
            demand=np.zeros((n, 2)),
            start=start,
            end=end,
            link_kind=kind,
            inlet=inlet,
            arterial=np.r_[streets.arterial[keep], np.ones(links, dtype=bool)],
            length=length,
            diameter=blank.copy(),
            roughness=blank.copy(),
            material=np.full(len(start), "", dtype=object),
            setting=blank.copy(),
            tank_diameter=np.full(n, np.nan),
            pump_flow=blank.copy(),
        )
