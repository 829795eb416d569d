"""Write an invented network as an EPANET 2.2 model file (CMH, Hazen-Williams)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.network import Floats, Ints

STEP = 300
"""Of patterns and hydraulics [s]."""


@dataclass(frozen=True)
class Drawing:
    """A network being invented; N nodes, L links; SI.

    Attributes
    ----------
    xy : ndarray, shape (N, 2)
    elevation : ndarray, shape (N,)
        Of a reservoir its head, of a tank its bottom.
    node_kind : ndarray of str, shape (N,)
        JUNCTION, RESERVOIR, TANK.
    zone, district : ndarray of int, shape (N,)
        Of pressure, and of metering: a zone's number, or that of a district in the main zone, which is 0.
    tagged : bool
        Whether the file tells each junction's district.
    demand : ndarray, shape (N, C)
        [m3/s] by category: the first of `CATEGORIES`.
    start, end : ndarray of int, shape (L,)
    link_kind : ndarray of str, shape (L,)
        PIPE, PUMP, PRV.
    inlet : ndarray of bool, shape (L,)
        Pipes with the meter of a district, named DMA_1 and on.
    arterial : ndarray of bool, shape (L,)
    length, diameter, roughness : ndarray, shape (L,)
    material : ndarray of str, shape (L,)
    setting : ndarray, shape (L,)
        Of a PRV its pressure [m], of a pump its design head [m].
    tank_diameter : ndarray, shape (N,)
    pump_flow : ndarray, shape (L,)
        Design flow [m3/s].
    """

    xy: Floats
    elevation: Floats
    node_kind: NDArray[np.object_]
    zone: Ints
    district: Ints
    tagged: bool
    demand: Floats
    start: Ints
    end: Ints
    link_kind: NDArray[np.object_]
    inlet: NDArray[np.bool_]
    arterial: NDArray[np.bool_]
    length: Floats
    diameter: Floats
    roughness: Floats
    material: NDArray[np.object_]
    setting: Floats
    tank_diameter: Floats
    pump_flow: Floats


def residential() -> Floats:
    """Return a week of homes in steps of five minutes, from Monday, mean 1."""
    hour = np.arange(0, 24, STEP / 3600)
    work = 0.22 + _bump(hour, 7.4, 1.3, 1.35) + _bump(hour, 12.7, 2.2, 0.75) + _bump(hour, 19.6, 2.4, 1.25)
    rest = 0.24 + _bump(hour, 10.2, 2.2, 1.30) + _bump(hour, 14.0, 2.5, 0.70) + _bump(hour, 19.8, 2.6, 1.15)
    week = np.concatenate([work] * 5 + [rest] * 2)
    return week / float(week.mean())


def commercial() -> Floats:
    """Return a week of shops and works in steps of five minutes, from Monday, mean 1."""
    hour = np.arange(0, 24, STEP / 3600)
    work = 0.30 + 1.5 / ((1 + np.exp(-(hour - 7.5) * 2)) * (1 + np.exp((hour - 18.0) * 1.5)))
    week = np.concatenate([work] * 5 + [0.3 + (work - 0.3) * 0.7, 0.3 + (work - 0.3) * 0.15])
    return week / float(week.mean())


def _bump(hour: Floats, centre: float, width: float, height: float) -> Floats:
    away = (hour - centre + 12) % 24 - 12
    bump: Floats = height * np.exp(-((away / width) ** 2) / 2)
    return bump


def industrial() -> Floats:
    """Return works that draw day and night."""
    return np.ones(12)


CATEGORIES = {"residential": residential, "commercial": commercial, "industrial": industrial}
"""Name of a category -> its pattern."""


def to_inp(drawing: Drawing, title: str) -> str:
    """Return the model file's text."""
    nodes, links = _names(drawing)
    kinds, flows = drawing.node_kind, 3600.0
    categories = list(CATEGORIES)[: drawing.demand.shape[1]]
    lines: list[str] = ["[TITLE]", title, ""]

    def section(name: str, columns: str, rows: Iterable[str]) -> None:
        lines.extend([f"[{name}]", f";{columns}", *rows, ""])

    where = {kind: np.flatnonzero(kinds == kind) for kind in ("JUNCTION", "RESERVOIR", "TANK")}
    pipes, pumps, valves = (np.flatnonzero(drawing.link_kind == kind) for kind in ("PIPE", "PUMP", "PRV"))
    ends = [f"{nodes[a]} {nodes[b]}" for a, b in zip(drawing.start.tolist(), drawing.end.tolist(), strict=True)]
    section("JUNCTIONS", "id elevation", (f"{nodes[i]} {drawing.elevation[i]:.2f}" for i in where["JUNCTION"]))
    section("RESERVOIRS", "id head", (f"{nodes[i]} {drawing.elevation[i]:.2f}" for i in where["RESERVOIR"]))
    section(
        "TANKS",
        "id elevation initial minimum maximum diameter minvol",
        (f"{nodes[i]} {drawing.elevation[i]:.2f} 3 0.5 4.5 {drawing.tank_diameter[i]:.1f} 0" for i in where["TANK"]),
    )
    section(
        "PIPES",
        "id node1 node2 length diameter roughness minorloss status",
        (
            f"{links[k]} {ends[k]} {drawing.length[k]:.2f} {drawing.diameter[k] * 1000:.0f} "
            f"{drawing.roughness[k]:.0f} 0 Open"
            for k in pipes
        ),
    )
    section("PUMPS", "id node1 node2 parameters", (f"{links[k]} {ends[k]} HEAD C-{links[k]}" for k in pumps))
    section(
        "VALVES",
        "id node1 node2 diameter type setting minorloss",
        (f"{links[k]} {ends[k]} {drawing.diameter[k] * 1000:.0f} PRV {drawing.setting[k]:.2f} 0" for k in valves),
    )
    tags = [f"LINK {links[k]} {drawing.material[k]}" for k in pipes]
    if drawing.tagged:
        tags += [f"NODE {nodes[i]} zone-{drawing.district[i]}" for i in where["JUNCTION"]]
    section("TAGS", "object id tag", tags)
    section(
        "DEMANDS",
        "junction demand pattern",
        (
            f"{nodes[i]} {drawing.demand[i, c] * flows:.5f} {name}"
            for i in where["JUNCTION"]
            for c, name in enumerate(categories)
            if drawing.demand[i, c] > 0
        ),
    )
    section("PATTERNS", "id multipliers", (line for name in categories for line in _pattern(name, CATEGORIES[name]())))
    section(
        "CURVES",
        "id flow head",
        (f"C-{links[k]} {drawing.pump_flow[k] * flows:.3f} {drawing.setting[k]:.2f}" for k in pumps),
    )
    controls = []
    for k in pumps:
        rising = np.flatnonzero((drawing.start == drawing.end[k]) & (drawing.link_kind == "PIPE"))[0]
        tank = nodes[drawing.end[rising]]
        controls += [
            f"LINK {links[k]} CLOSED IF NODE {tank} ABOVE 4.0",
            f"LINK {links[k]} OPEN IF NODE {tank} BELOW 2.0",
        ]
    section("CONTROLS", "pumps by the level of their tanks", controls)
    section(
        "TIMES",
        "",
        [
            "Duration 168:00",
            "Hydraulic Timestep 0:05",
            "Pattern Timestep 0:05",
            "Report Timestep 0:05",
            "Start ClockTime 0:00",
        ],
    )
    section(
        "OPTIONS",
        "",
        ["Units CMH", "Headloss H-W", "Trials 100", "Accuracy 0.001", "Unbalanced Continue 10", "Emitter Exponent 0.5"],
    )
    section("COORDINATES", "node x y", (f"{n} {x:.2f} {y:.2f}" for n, (x, y) in zip(nodes, drawing.xy, strict=True)))
    lines.append("[END]")
    return "\n".join(lines) + "\n"


def _pattern(name: str, values: Floats) -> Iterable[str]:
    for row in values.reshape(-1, 12):
        yield f"{name} " + " ".join(f"{v:.4f}" for v in row)


def _names(drawing: Drawing) -> tuple[list[str], list[str]]:
    """Name nodes and links by kind, each counted from 1."""
    of_nodes = {"JUNCTION": "n", "RESERVOIR": "R", "TANK": "T"}
    of_links = {"PIPE": "p", "INLET": "DMA_", "PUMP": "PUMP_", "PRV": "PRV_"}
    links = np.where(drawing.inlet, "INLET", drawing.link_kind)
    named = []
    for short, kinds in ((of_nodes, drawing.node_kind), (of_links, links)):
        count: dict[str, int] = {}
        names = []
        for kind in kinds:
            count[kind] = count.get(kind, 0) + 1
            names.append(f"{short[kind]}{count[kind]}")
        named.append(names)
    return named[0], named[1]
