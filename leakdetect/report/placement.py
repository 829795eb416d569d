"""Where sensors should go and what those there are would find: pictures, and pipes for a GIS. Nothing here computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakdetect.network import Network
from leakdetect.placement import Aim, Placement, Smallest
from leakdetect.plot import INK, MUTED, PALETTE, PIPE, drawn, drawn_links
from leakdetect.report.geojson import Feature, Lines, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY = 40  # sensors beyond which places are not numbered


@dataclass(frozen=True)
class Words:
    """What is written in the pictures."""

    sensors: str = "new sensors"
    spent: str = "cost"
    zone: str = "expected zone [m]"
    found: str = "leaks found [%]"
    objective: str = "the objective"
    measured: str = "measured, with the noise in common"
    given: str = "there already"
    chosen: str = "chosen"
    smallest: str = "smallest leak found within {} [m³/h]"
    within: tuple[str, str] = ("{} day", "{} days")
    nothing: str = "nothing is found"
    decimal: str = "."


ENGLISH = Words()
FRENCH = Words(
    sensors="nouveaux capteurs", spent="coût", zone="zone attendue [m]", found="fuites trouvées [%]",
    objective="l’objectif", measured="mesuré, avec le bruit commun", given="déjà en place", chosen="choisi",
    smallest="plus petite fuite trouvée en {} [m³/h]", within=("{} jour", "{} jours"), nothing="rien n’est trouvé",
    decimal=",",
)  # fmt: skip
WORDS = {"en": ENGLISH, "fr": FRENCH}


def placement_figure(network: Network, placed: Placement, words: Words = ENGLISH) -> Figure:
    """Draw what each next sensor buys, beside the map of the places chosen."""
    figure = _figure(11.0, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    gains(placed, left, words)
    places(network, placed, right, words)
    return figure


def gains(placed: Placement, ax: Axes, words: Words = ENGLISH) -> Axes:
    """Draw the objective over the sensors, or over what they cost, and beside it what was measured."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    zone = placed.wish.aim == Aim.ZONE
    cost = [step.spent for step in placed.steps]
    priced = len({step.cost for step in placed.steps[1:]}) > 1
    across = cost if priced else list(range(len(placed.steps)))
    scale = 1.0 if zone else 100.0
    ax.plot(across, [scale * s.value for s in placed.steps], color=PALETTE[0], marker="o", ms=3, label=words.objective)
    known = [(x, s.worth) for x, s in zip(across, placed.steps, strict=True) if s.worth is not None]
    shown = [(w.zone_m if zone else 100.0 * w.found) for _, w in known]
    ax.plot([x for x, _ in known], shown, color=PALETTE[1], marker="s", ms=3, ls="--", label=words.measured)
    if zone:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 104)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _=None: f"{v:g}".replace(".", words.decimal)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=not priced))
    ax.set_xlabel(words.spent if priced else words.sensors)
    ax.set_ylabel(words.zone if zone else words.found)
    ax.legend(fontsize=8, frameon=False)
    ax.grid(axis="y", color="#E4E8EE", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def places(network: Network, placed: Placement, ax: Axes, words: Words = ENGLISH) -> Axes:
    """Draw the network with the sensors there are, and those chosen, numbered in their order."""
    _pipes(network, ax)
    on_map = drawn(network)
    spots = [n for n in (network.node(name) for name in placed.given) if on_map[n]]
    if spots:
        ax.scatter(network.xy[spots, 0], network.xy[spots, 1], s=22, color=INK, marker="s", zorder=3, label=words.given)
    chosen = [network.node(name) for name in placed.nodes]
    seen = [n for n in chosen if on_map[n]]
    ax.scatter(network.xy[seen, 0], network.xy[seen, 1], s=34, color=PALETTE[0], zorder=4, label=words.chosen)
    if len(chosen) <= _MANY:
        for number, node in enumerate(chosen, 1):
            if on_map[node]:
                ax.annotate(str(number), network.xy[node], (4, 3), textcoords="offset points", size=8, color=INK)
    ax.legend(fontsize=8, frameon=False, loc="best")
    return ax


def smallest_figure(network: Network, found: Smallest, words: Words = ENGLISH) -> Figure:
    """Draw a map for each time, pipes coloured by the smallest leak that is found within it, on one scale."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator

    figure = _figure(4.2 * len(found.days) + 0.9, 4.4)
    axes = figure.subplots(1, len(found.days), squeeze=False)[0]
    known = found.flow[np.isfinite(found.flow)]
    low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 10.0)
    norm = LogNorm(low, max(high, 2 * low))
    on_map = drawn_links(network)[found.links]
    lines = np.stack([network.xy[network.start], network.xy[network.end]], axis=1)[found.links]
    drawing = None
    for ax, days, flow in zip(axes, found.days, found.flow, strict=True):
        unseen = on_map & ~np.isfinite(flow)
        if unseen.any():
            style: dict[str, Any] = {"colors": MUTED, "linestyles": "dotted", "linewidths": 1.2, "label": words.nothing}
            ax.add_collection(LineCollection(list(lines[unseen]), **style))
            ax.legend(fontsize=8, frameon=False, loc="lower left")
        seen = on_map & np.isfinite(flow)
        drawing = LineCollection(list(lines[seen]), array=flow[seen], cmap="viridis_r", norm=norm, linewidths=1.8)
        ax.add_collection(drawing)
        time = words.within[days != 1].format(f"{days:g}".replace(".", words.decimal))
        ax.set_title(words.smallest.format(time), fontsize=9, color=INK)
        _bare(ax)
    if drawing is not None:
        bar = figure.colorbar(drawing, ax=list(axes), shrink=0.8)
        plain = FuncFormatter(lambda v, _=None: f"{v:g}".replace(".", words.decimal))
        bar.ax.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        bar.ax.yaxis.set_major_formatter(plain)
        bar.ax.minorticks_off()
    return figure


def smallest_features(network: Network, found: Smallest) -> list[Feature]:
    """Return each pipe as a GeoJSON feature with the smallest leak found within each time (null: nothing is)."""
    lines = Lines(network)
    features: list[Feature] = []
    for column, link in enumerate(found.links.tolist()):
        name = network.link_names[link]
        line = lines.of(name)
        values = {"link": name, "zone": found.zone[column], "length_m": float(network.length[link])}
        values |= {key: finite(flow) for key, flow in zip(columns(found.days), found.flow[:, column], strict=True)}
        geometry = {"type": "LineString", "coordinates": line} if line else None
        features.append({"type": "Feature", "geometry": geometry, "properties": values})
    return features


def columns(days: Sequence[float]) -> list[str]:
    """Return what the smallest leak within each time is called in files: ``m3h_in_7_days``."""
    return [f"m3h_in_{d:g}_day{'s' if d != 1 else ''}" for d in days]


def _pipes(network: Network, ax: Axes) -> None:
    from matplotlib.collections import LineCollection

    segments = np.stack([network.xy[network.start], network.xy[network.end]], axis=1)[drawn_links(network)]
    ax.add_collection(LineCollection(list(segments), colors=PIPE, linewidths=0.6, zorder=1))
    _bare(ax)


def _bare(ax: Axes) -> None:
    ax.autoscale_view()
    ax.set_aspect("equal")
    ax.set_axis_off()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
