"""Choose what an invented network is built of: diameters by the demand downstream, heads by the worst junction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from leakdetect.network import Floats
from leakdetect.networks.inp import Drawing

DIAMETERS = (
    np.array([60, 80, 100, 125, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 1000, 1200, 1400, 1600]) / 1000
)
"""Nominal diameters that can be bought [m]."""

_PEAK = 2.2  # design flow over mean flow


def choose_sizes(drawing: Drawing, smallest: Floats) -> Drawing:
    """Choose diameters, not below `smallest` [m], shape (L,); source heads, valve settings, pumps and tanks."""
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
