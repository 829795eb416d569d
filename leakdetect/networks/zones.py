"""Cut an invented town into zones: the low part, the high part, metered districts between; the rest is the main one."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from leakdetect.errors import InputError
from leakdetect.network import Floats, Ints
from leakdetect.networks.layout import Streets
from leakdetect.networks.plan import Plan

LOW, MAIN, HIGH, METERED = 0, 1, 2, 3
"""How a zone is fed: through a PRV, by the sources, by a pump and a tank, through a meter."""

_CLEAR = 0.75  # of the way from a district's centre to the next zone: the main zone runs all round
_LEAST = 20  # junctions of a district


def cut_zones(plan: Plan, streets: Streets, uphill: Floats) -> tuple[Ints, Ints]:
    """Return each place's zone (0 is the main one), shape (N,), and how each zone is fed.

    Raises
    ------
    InputError
        If there is no room for the districts.
    """
    n = len(streets.xy)
    height, side = streets.xy @ uphill, streets.xy @ np.array([-uphill[1], uphill[0]])
    rank = np.empty(n)
    rank[np.argsort(height, kind="stable")] = (np.arange(n) + 0.5) / n
    zone, levels = np.zeros(n, dtype=np.int64), [MAIN]
    for level, part in ((LOW, rank < plan.low), (HIGH, rank > 1 - plan.high)):
        members = np.flatnonzero(part)
        stripes = int(np.ceil(members.size / plan.zone))
        order = np.empty(members.size, dtype=np.int64)
        order[np.argsort(side[members], kind="stable")] = np.arange(members.size)
        zone[members] = len(levels) + order * stripes // max(members.size, 1)
        levels += [level] * stripes
    for _ in range(plan.districts):
        members = _district(zone, streets.xy, plan.zone)
        if members.size < _LEAST:
            raise InputError(f"no room for {plan.districts} districts: ask for fewer, or for smaller zones")
        zone[members] = len(levels)
        levels.append(METERED)
    return _joined(_whole(zone, streets), np.array(levels), streets)


def _joined(zone: Ints, levels: Ints, streets: Streets) -> tuple[Ints, Ints]:
    """Give zones that no street joins to the main one to the neighbour they have most streets with."""
    while True:
        pair = np.stack([zone[streets.start], zone[streets.end]])
        joined = np.isin(np.arange(len(levels)), pair[:, (pair == 0).any(axis=0)])
        alone = np.flatnonzero(~joined & (np.bincount(zone, minlength=len(levels)) > 0))
        if not alone.size:
            kept, zone = np.unique(zone, return_inverse=True)
            return zone, levels[kept]
        beside = pair[:, (pair == alone[0]).any(axis=0)]
        zone = np.where(zone == alone[0], np.bincount(beside[beside != alone[0]]).argmax(), zone)


def _district(zone: Ints, xy: Floats, most: int) -> Ints:
    """Return the places around the one of the main zone that lies farthest from every other zone."""
    free, taken = np.flatnonzero(zone == 0), np.flatnonzero(zone)
    off = np.hypot(*(xy[free] - xy.mean(axis=0)).T)
    clear = KDTree(xy[taken]).query(xy[free])[0] if taken.size else off.max() - off
    centre = int(np.argmax(clear))
    away = np.hypot(*(xy[free] - xy[free[centre]]).T)
    near = np.argsort(away, kind="stable")[:most]
    members: Ints = free[near[away[near] < _CLEAR * clear[centre]]]
    return members


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
