"""Pictures of results on matplotlib axes: the network with its suspected leaks, and sensors' series.

Every function draws on the axes it is given or on a figure of its own, and returns the axes; pyplot and its global
state are not used, and matplotlib loads with the first picture. Nothing here computes a result: values are converted
to the sensor's unit, and long windows are drawn as daily means so that they can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import ElementError
from leakdetect.events import Event
from leakdetect.network import Floats, Network
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.units import from_si

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALETTE = ("#C94F00", "#0068A8", "#A03C92", "#117733", "#7A5C00", "#332288")
"""One colour per event, then again: told apart by colour-blind readers, at least 4.5:1 against white."""

INK, MUTED, BAND, PIPE = "#17202A", "#56647A", "#D5DCE6", "#8793A3"
"""What is measured, what is expected, its band, and pipes."""

DAILY_AFTER = np.timedelta64(62, "D")
"""Windows longer than this are drawn as daily means."""

_BEFORE, _AFTER = np.timedelta64(10, "D"), np.timedelta64(7, "D")


@dataclass(frozen=True)
class Words:
    """What is written in a picture."""

    measured: str = "measured"
    expected: str = "expected, ± 2 standard errors"
    residual: str = "measured − expected"
    onset: str = "began (80% interval)"
    raised: str = "raised"
    daily: str = "daily means"
    decimal: str = "."
    months: tuple[str, ...] = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


ENGLISH = Words()


def colour(number: int) -> str:
    """Return the colour of the event at this place in a list of events."""
    return PALETTE[number % len(PALETTE)]


def drawn(network: Network) -> NDArray[np.bool_]:
    """Say which nodes have a place in the drawing, shape (N,).

    A node without coordinates reads as NaN, or as (0, 0) where the reader fills them in: several nodes on the very
    origin are taken as not drawn.
    """
    known: NDArray[np.bool_] = np.asarray(np.isfinite(network.xy).all(axis=1))
    origin = known & np.asarray((network.xy == 0.0).all(axis=1))
    if np.count_nonzero(origin) > 1:
        known &= ~origin
    return known


def drawn_links(network: Network) -> NDArray[np.bool_]:
    """Say which links have both ends in the drawing, shape (L,)."""
    node = drawn(network)
    both: NDArray[np.bool_] = node[network.start] & node[network.end]
    return both


def link_place(network: Network, name: str) -> Floats | None:
    """Return where the centre of a link is drawn, shape (2,); None if nowhere."""
    if not network.has_link(name):
        return None
    j = network.link(name)
    return network.link_xy()[j] if drawn_links(network)[j] else None


def sensor_place(network: Network, element: str, quantity: str) -> Floats | None:
    """Return where a sensor is drawn, shape (2,); None if nowhere.

    A node and a link may bear the same name: flows are of links, all else is of nodes.
    """
    if quantity == Quantity.FLOW:
        return link_place(network, element)
    if not network.has_node(element) or not drawn(network)[network.node(element)]:
        return None
    spot: Floats = network.xy[network.node(element)]
    return spot


def map(network: Network, events: Sequence[Event], ax: Axes | None = None) -> Axes:
    """Draw the network, each event's zone (darker where more probable) and its first pipe.

    Parameters
    ----------
    network : Network
    events : sequence of Event
        One colour each, numbered from 1 in this order.
    ax : Axes, optional
        Where to draw; a new figure without it.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    ax = ax if ax is not None else _axes(7.2, 5.0)
    on_map = drawn_links(network)
    segments = np.stack([network.xy[network.start], network.xy[network.end]], axis=1)
    ax.add_collection(LineCollection(list(segments[on_map]), colors=PIPE, linewidths=0.6, zorder=1))
    for number, event in enumerate(events):
        shade = colour(number)
        weight = zone_weights(event)
        links = [(network.link(name), w) for name, w in weight.items() if network.has_link(name)]
        links = [(j, w) for j, w in links if on_map[j]]
        ax.add_collection(
            LineCollection(
                [segments[j] for j, _ in links], colors=[to_rgba(shade, w) for _, w in links], linewidths=3, zorder=2
            )
        )
        spot = link_place(network, event.candidates[0].link) if event.candidates else None
        if spot is not None:
            style = {"boxstyle": "circle,pad=0.25", "facecolor": shade, "edgecolor": "white"}
            ax.annotate(
                str(number + 1),
                (spot[0], spot[1]),
                color="white",
                weight="bold",
                ha="center",
                va="center",
                bbox=style,
                zorder=4,
            )
    ax.autoscale_view()
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def zone_weights(event: Event, floor: float = 0.35) -> dict[str, float]:
    """Return for each link of the zone how strongly to draw it: `floor` to 1, in proportion to its probability."""
    probability = {c.link: c.probability for c in event.candidates}
    top = max([probability.get(link, 0.0) for link in event.zone.links], default=0.0)
    return {
        link: floor + (1 - floor) * (probability.get(link, 0.0) / top if top > 0 else 1.0) for link in event.zone.links
    }


def series(
    data: xr.Dataset,
    sensor: str,
    event: Event | None = None,
    ax: Axes | None = None,
    *,
    timezone: str = "UTC",
    words: Words = ENGLISH,
    shade: str = PALETTE[0],
) -> Axes:
    """Draw what a sensor measured and what was expected, with its band, in the sensor's unit.

    Parameters
    ----------
    data : xarray.Dataset
        ``reading`` and, where there are any, ``usable, expected, expected_sd`` (see `schema`).
    sensor : str
    event : Event, optional
        Draw the time around it only, with its onset interval and when it was raised.
    ax : Axes, optional
        Where to draw; a new figure without it.
    timezone : str
        Of the times shown.
    words : Words
    shade : str
        The event's colour.

    Raises
    ------
    ElementError
        If there is no such sensor.
    """
    alone, ax = ax is None, ax if ax is not None else _axes(6.4, 2.8)
    frame, daily = _frame(data, sensor, event, timezone)
    if "expected" in frame:
        if "expected_sd" in frame:
            low, high = (frame["expected"] + k * frame["expected_sd"] for k in (-2, 2))
            ax.fill_between(frame.index, low, high, color=BAND, linewidth=0, zorder=1)
        ax.plot(frame.index, frame["expected"], color=MUTED, linewidth=0.9, label=words.expected, zorder=2)
    ax.plot(frame.index, frame["reading"], color=INK, linewidth=0.9, label=words.measured, zorder=3)
    _finish(ax, event, timezone, words, shade)
    ax.set_ylabel(_unit(data, sensor))
    if daily:
        ax.set_title(words.daily, loc="right", size=7, color=MUTED, pad=2)
    if alone:
        _legend(ax)
    return ax


def residual(
    data: xr.Dataset,
    sensor: str,
    event: Event | None = None,
    ax: Axes | None = None,
    *,
    timezone: str = "UTC",
    words: Words = ENGLISH,
    shade: str = PALETTE[0],
) -> Axes:
    """Draw a sensor's residual over the band in which it should lie; parameters as `series`."""
    alone, ax = ax is None, ax if ax is not None else _axes(6.4, 1.8)
    frame, _ = _frame(data, sensor, event, timezone)
    if "residual" in frame:
        if "expected_sd" in frame:
            ax.fill_between(
                frame.index, -2 * frame["expected_sd"], 2 * frame["expected_sd"], color=BAND, linewidth=0, zorder=1
            )
        ax.plot(frame.index, frame["residual"], color=shade, linewidth=0.9, label=words.residual, zorder=3)
    ax.axhline(0.0, color=MUTED, linewidth=0.7, zorder=2)
    _finish(ax, event, timezone, words, shade)
    ax.set_ylabel(_unit(data, sensor))
    if alone:
        _legend(ax)
    return ax


def inflow(
    data: xr.Dataset,
    sensor: str,
    events: Sequence[Event] = (),
    ax: Axes | None = None,
    *,
    timezone: str = "UTC",
    words: Words = ENGLISH,
) -> Axes:
    """Draw a flow over all of `data` and each event's time as a bar above; parameters as `series`."""
    ax = series(data, sensor, None, ax if ax is not None else _axes(7.2, 3.0), timezone=timezone, words=words)
    last = data[TIME].values[-1] if data.sizes[TIME] else None
    ax.set_xlabel(ax.get_title(loc="right"), size=8, color=MUTED)  # what stands above makes room for the bars
    ax.set_title("", loc="right")
    across = ax.get_xaxis_transform()
    lanes: list[float] = []  # where each row of bars is taken up to
    for number, event in enumerate(events):
        end = event.end if event.end is not None else last
        if end is None or end < event.start:
            continue
        left, right = _day_numbers([event.start, end], timezone)
        lane = next((i for i, until in enumerate(lanes) if until <= left), len(lanes))
        lanes[lane : lane + 1] = [right]
        height, shade = 1.05 + 0.08 * lane, colour(number)
        ax.axvline(left, color=shade, linewidth=1, zorder=2)
        ax.plot([left, right], [height, height], transform=across, color=shade, linewidth=5, clip_on=False)
        name: dict[str, Any] = {"color": shade, "weight": "bold", "fontsize": 8, "ha": "right", "va": "center"}
        ax.annotate(str(number + 1), (left, height), (-4, 0), across, "offset points", annotation_clip=False, **name)
    return ax


def window(event: Event, first: np.datetime64, last: np.datetime64) -> tuple[np.datetime64, np.datetime64]:
    """Return the time to show of an event: from before its earliest onset to after its end or its raising."""
    until = max(event.raised_at, event.end) if event.end is not None else max(event.raised_at, event.data_until)
    low = max(first, min(event.start_low, event.start) - _BEFORE)
    return low, max(low, min(last, until + _AFTER))


def _axes(width: float, height: float) -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Axes = figure.subplots()
    return axes


def _legend(ax: Axes) -> None:
    """Say below the curves which is which: within, it would hide some of them."""
    figure = ax.get_figure(root=True)
    if figure is not None:
        figure.legend(loc="outside lower left", ncols=4, fontsize=7, frameon=False)


def _frame(data: xr.Dataset, sensor: str, event: Event | None, timezone: str) -> tuple[pd.DataFrame, bool]:
    """Return what is known of a sensor by local time, in its unit, and whether these are daily means."""
    names = list(data[SENSOR].values)
    if sensor not in names:
        raise ElementError(f"no sensor '{sensor}' in the readings: {len(names)} sensors are there")
    one = data.isel({SENSOR: names.index(sensor)})
    if event is not None and data.sizes[TIME]:
        low, high = window(event, data[TIME].values[0], data[TIME].values[-1])
        one = one.sel({TIME: slice(low, high)})
    quantity, unit = str(one["quantity"].item()), str(one["unit"].item())
    known = [name for name in ("reading", "expected", "expected_sd", "residual") if name in one]
    frame = pd.DataFrame({name: from_si(one[name].values, quantity, unit) for name in known})
    if "usable" in one:
        frame["reading"] = frame["reading"].where(one["usable"].values)
    times = one[TIME].values
    frame.index = _local(times, timezone)
    if times.size > 1 and times[-1] - times[0] > DAILY_AFTER:
        days = frame.resample("D")
        whole = 2 * days.size() >= np.timedelta64(1, "D") / (times[1] - times[0])
        return days.mean()[whole], True  # a day of which the night alone is known has another mean
    return frame, False


def _local(times: Sequence[np.datetime64] | NDArray[np.datetime64], timezone: str) -> pd.DatetimeIndex:
    """Return UTC times as wall-clock times without a zone: matplotlib draws what it is given."""
    return pd.DatetimeIndex(np.asarray(times)).tz_localize("UTC").tz_convert(timezone).tz_localize(None)


def _day_numbers(times: Sequence[np.datetime64], timezone: str) -> list[float]:
    """Return UTC times as matplotlib's numbers of wall-clock days."""
    from matplotlib.dates import date2num

    return [float(day) for day in date2num(_local(times, timezone).to_numpy())]


def _unit(data: xr.Dataset, sensor: str) -> str:
    unit = str(data["unit"].values[list(data[SENSOR].values).index(sensor)])
    return unit.replace("m3", "m³").replace("ft3", "ft³")


def _finish(ax: Axes, event: Event | None, timezone: str, words: Words, shade: str) -> None:
    """Mark the event and make axes quiet: light grid, few ticks, dates and decimals as the reader writes them."""
    from matplotlib.dates import AutoDateLocator, num2date
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if event is not None:
        low, high, raised = _day_numbers([event.start_low, event.start_high, event.raised_at], timezone)
        ax.axvspan(low, high, color=shade, alpha=0.25, linewidth=0, label=words.onset, zorder=1.5)
        ax.axvline(raised, color=shade, linewidth=1.2, linestyle=(0, (4, 2)), label=words.raised, zorder=2)

    def tell(value: float, _: int | None = None) -> str:
        time = num2date(value)
        left, right = ax.get_xlim()
        if right - left < 2.5:
            return f"{time:%H:%M}"
        month = words.months[time.month - 1]
        return f"{month} {time.year}" if right - left > 300 else f"{time.day} {month}"

    def plain(value: float, _: int | None = None) -> str:
        return f"{value:g}".replace("-", "−").replace(".", words.decimal)

    ax.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(tell))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(FuncFormatter(plain))
    ax.margins(x=0.01)
    ax.grid(axis="y", color="#E4E8EE", linewidth=0.6, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#A9B3C1")
    ax.tick_params(color="#A9B3C1", labelcolor=MUTED, labelsize=8, length=3)
    ax.yaxis.label.set(color=MUTED, size=8)
