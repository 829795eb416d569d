"""The network as an inline SVG drawing: shapes and labels for the template, which escapes every name.

All maps of a page share one drawing of the pipes and differ by viewBox; strokes keep their width on the screen. Of a
large network that drawing is only as fine as a screen, and each closer view has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.events import Event
from leakdetect.network import Floats, Network, Node
from leakdetect.plot import colour, drawn, drawn_links, zone_weights
from leakdetect.report.lines import path
from leakdetect.schema import SENSOR

SIZE = 1000.0
"""The longer side of the drawing, in its own units."""

_GLYPH = 0.62  # width of a character over its height, about
_LARGE = 5000  # links beyond which the shared drawing is simplified
_FINE, _COARSE = 0.1, 0.5  # grids of the shared drawing
_SEEN = 1000.0  # steps of the grid across a closer view
_MOST_NAMED = 150  # pipes of a zone, and sources, that have a title each
_SHADES = 8  # of a zone with more pipes
_PALE = 0.35  # shade of a district, in which no pipe is likelier than another
_SHAPE = 1.4  # width over height of the room for the whole map
_LABELLED = 80  # sensors beyond which they have no names on the whole map


@dataclass(frozen=True)
class Box:
    """A part of the drawing."""

    x: float
    y: float
    width: float
    height: float

    @property
    def view(self) -> str:
        """The viewBox attribute."""
        return f"{self.x:.3f} {self.y:.3f} {self.width:.3f} {self.height:.3f}"

    def holds(self, x: float, y: float) -> bool:
        """Say whether a point is inside."""
        return self.x <= x <= self.x + self.width and self.y <= y <= self.y + self.height


@dataclass(frozen=True)
class Stroke:
    """A coloured pipe of a zone."""

    path: str
    colour: str
    title: str = ""
    area: bool = False  # a whole district


@dataclass(frozen=True)
class Mark:
    """A sensor, a source or an event's number; `kind` is its CSS class."""

    x: float
    y: float
    kind: str
    title: str
    colour: str = ""
    text: str = ""


@dataclass(frozen=True)
class Label:
    """A name beside a mark."""

    x: float
    y: float
    text: str
    anchor: str
    colour: str = ""


@dataclass(frozen=True)
class Map:
    """One view of the drawing; `pipes` are its own where the shared ones are too coarse for it."""

    box: Box
    zones: tuple[Stroke, ...]
    marks: tuple[Mark, ...]
    labels: tuple[Label, ...]
    pipes: str = ""


class Drawing:
    """A network laid out in drawing units, y downwards."""

    def __init__(self, network: Network, data: xr.Dataset) -> None:
        """Lay out; `exists` is False where the model has no coordinates."""
        self.network = network
        self._known = known = drawn(network)
        self._on_map = drawn_links(network)
        self.exists = bool(self._on_map.any())
        if not self.exists:
            return
        xy = network.xy[known]
        low, high = xy.min(axis=0), xy.max(axis=0)
        extent = max(float((high - low).max()), 1e-9)
        self._low, self._top, self._scale = float(low[0]), float(high[1]), SIZE / extent
        width, height = ((high - low) * self._scale).tolist()
        margin = SIZE * 0.03
        self.box = Box(-margin, -margin, width + 2 * margin, max(height, SIZE * 0.1) + 2 * margin)
        ends = self._place(network.xy)
        drawn_length = np.linalg.norm((ends[network.end] - ends[network.start])[self._on_map], axis=1)
        self._street = float(np.median(drawn_length))
        self._large = int(self._on_map.sum()) > _LARGE
        self.sensors = self._sensors(data)
        self.sources = self._sources()

    def base(self) -> str:
        """Return all links as one path."""
        return path(*self._lines(self._on_map), _COARSE if self._large else _FINE)

    def _lines(self, links: NDArray[np.bool_] | NDArray[np.int64]) -> tuple[Floats, Floats]:
        network = self.network
        return self._place(network.xy[network.start[links]]), self._place(network.xy[network.end[links]])

    def _near(self, box: Box) -> str:
        """Return the links that reach into a view, as fine as it shows them; '' where the shared drawing will do."""
        grid = 10.0 ** np.floor(np.log10(max(box.width, box.height) / _SEEN))
        if not self._large or grid >= _FINE:
            return ""
        a, b = self._lines(self._on_map)
        low, high = np.minimum(a, b), np.maximum(a, b)
        inside = (high[:, 0] >= box.x) & (low[:, 0] <= box.x + box.width)
        inside &= (high[:, 1] >= box.y) & (low[:, 1] <= box.y + box.height)
        return path(a[inside], b[inside], float(grid))

    def overview(self, events: Sequence[Event], pixels: float = 680.0) -> Map:
        """Return the whole network with every event; names are set for the narrowest sheet that shows them all."""
        zones = [stroke for number, event in enumerate(events) for stroke in self._zone(event, number)]
        zones.sort(key=lambda stroke: not stroke.area)
        numbers: list[Mark] = []
        for number, event in enumerate(events):
            link = event.candidates[0].link if event.candidates else self._middle(event.zone.links)
            spot = self._spot(link)
            if spot is not None:
                numbers.append(Mark(*spot, "event", link, colour(number), str(number + 1)))
        labels = _Labels(self.box, max(self.box.width, self.box.height * _SHAPE) / pixels, 12.0)
        for mark in numbers:
            labels.block(mark.x, mark.y, 12)
        for mark in (*self.sensors, *self.sources):
            labels.block(mark.x, mark.y, 5)
        for mark in (*self.sources, *(self.sensors if len(self.sensors) <= _LABELLED else ())):
            labels.add(mark.x, mark.y, mark.title)
        return Map(self.box, tuple(zones), (*self.sources, *self.sensors, *numbers), tuple(labels.placed))

    def closeup(self, event: Event, number: int, first: int = 5, pixels: float = 380.0) -> Map | None:
        """Return the zone of one event with its first pipes ranked and named; None if none of them is drawn."""
        best = [c.link for c in event.candidates[:first]]
        corners = [end for name in {*event.zone.links, *best[:3]} if (end := self._ends(name)) is not None]
        if not corners:
            return None
        box = self._around(np.concatenate(corners))
        labels = _Labels(box, box.width / pixels, 12.0)
        spots = [(rank, name, spot) for rank, name in enumerate(best, 1) if (spot := self._spot(name)) is not None]
        ranks = [Mark(*spot, "rank", name, colour(number), str(rank)) for rank, name, spot in spots]
        near = [m for m in (*self.sensors, *self.sources) if box.holds(m.x, m.y)]
        for mark in ranks:
            labels.block(mark.x, mark.y, 9)
        for mark in near:
            labels.block(mark.x, mark.y, 5)
        for mark in ranks:
            labels.add(mark.x, mark.y, mark.title, gap=11, shade=colour(number))
        for mark in near:
            labels.add(mark.x, mark.y, mark.title)
        ranks.reverse()  # the first on top
        return Map(box, tuple(self._zone(event, number)), (*near, *ranks), tuple(labels.placed), self._near(box))

    def _place(self, xy: Floats) -> Floats:
        return np.stack([(xy[:, 0] - self._low) * self._scale, (self._top - xy[:, 1]) * self._scale], axis=1)

    def _spot(self, link: str) -> tuple[float, float] | None:
        """Return the centre of a link."""
        ends = self._ends(link)
        return None if ends is None else _point(ends.mean(axis=0))

    def _node_spot(self, node: str) -> tuple[float, float] | None:
        if not self.network.has_node(node) or not self._known[self.network.node(node)]:
            return None
        return _point(self._place(self.network.xy[[self.network.node(node)]])[0])

    def _ends(self, link: str) -> Floats | None:
        if not self.network.has_link(link) or not self._on_map[self.network.link(link)]:
            return None
        j = self.network.link(link)
        return self._place(self.network.xy[[self.network.start[j], self.network.end[j]]])

    def _middle(self, links: Sequence[str]) -> str:
        """Return the link nearest to the middle of these as drawn; '' if none is."""
        spots = {name: np.array(spot) for name in links if (spot := self._spot(name)) is not None}
        if not spots:
            return ""
        middle = np.mean(list(spots.values()), axis=0)
        return min(spots, key=lambda name: float(np.linalg.norm(spots[name] - middle)))

    def _zone(self, event: Event, number: int) -> list[Stroke]:
        """Return the zone's pipes, each by name; of a large zone those of a shade together."""
        area = not event.candidates
        weights = dict.fromkeys(event.zone.links, _PALE) if area else zone_weights(event)
        known = [name for name in sorted(weights, key=lambda n: weights[n]) if self._ends(name) is not None]
        if len(known) <= _MOST_NAMED:
            shades = [(weights[name], [name], name) for name in known]
        else:
            steps = {name: round(weights[name] * _SHADES) / _SHADES for name in known}
            shades = [(w, [name for name in known if steps[name] == w], "") for w in sorted(set(steps.values()))]
        grid = 10.0 ** np.floor(np.log10(max(self._street, _FINE) / 20))
        if self._large and len(known) > _MOST_NAMED:
            grid = _COARSE
        grid = min(float(grid), _COARSE)
        strokes = []
        for weight, names, title in shades:
            links = np.array([self.network.link(name) for name in names], dtype=np.int64)
            strokes.append(Stroke(path(*self._lines(links), grid), _tint(colour(number), weight), title, area))
        return strokes

    def _sensors(self, data: xr.Dataset) -> list[Mark]:
        marks = []
        for name, element, quantity in zip(
            data[SENSOR].values, data["element"].values, data["quantity"].values, strict=True
        ):
            # A node and a link may bear the same name: flows are of links, all else is of nodes.
            spot = self._spot(str(element)) if quantity == "flow" else self._node_spot(str(element))
            if spot is not None:
                marks.append(Mark(*spot, "flow" if quantity == "flow" else "pressure", str(name)))
        return marks

    def _sources(self) -> list[Mark]:
        names = [self.network.node_names[i] for i in np.flatnonzero(self.network.node_kind != Node.JUNCTION)]
        return [Mark(*spot, "source", name) for name in names if (spot := self._node_spot(name)) is not None]

    def _around(self, corners: Floats) -> Box:
        """Return a 4:3 view around these points, not so close that the neighbourhood is lost."""
        low, high = corners.min(axis=0), corners.max(axis=0)
        middle, span = (low + high) / 2, (high - low) * 1.5
        width = max(float(span[0]), float(span[1]) * 4 / 3, 8 * self._street)
        x, y = (middle - np.array([width, width * 0.75]) / 2).tolist()
        return Box(x, y, width, width * 0.75)


def _point(xy: Floats) -> tuple[float, float]:
    x, y = np.round(xy, 3).tolist()
    return x, y


class _Labels:
    """Names beside their marks, each where it covers nothing yet; one that fits nowhere is left to its title."""

    def __init__(self, box: Box, pixel: float, height: float) -> None:
        self.box, self.pixel, self.height = box, pixel, height
        self.placed: list[Label] = []
        self._taken: list[tuple[float, float, float, float]] = []

    def block(self, x: float, y: float, radius: float) -> None:
        r = radius * self.pixel
        self._taken.append((x - r, y - r, x + r, y + r))

    def add(self, x: float, y: float, text: str, *, gap: float = 7, shade: str = "") -> None:
        h, g = self.height * self.pixel, gap * self.pixel
        w = len(text) * h * _GLYPH
        for anchor, left, base in (
            ("start", x + g, y + h * 0.35),
            ("end", x - g - w, y + h * 0.35),
            ("middle", x - w / 2, y - g),
            ("middle", x - w / 2, y + g + h * 0.75),
        ):
            area = (left, base - h * 0.8, left + w, base + h * 0.15)
            inside = self.box.holds(area[0], area[1]) and self.box.holds(area[2], area[3])
            if inside and not any(_overlap(area, other) for other in self._taken):
                at = {"start": left, "end": left + w, "middle": left + w / 2}[anchor]
                self.placed.append(Label(round(at, 3), round(base, 3), text, anchor, shade))
                self._taken.append(area)
                return


def _tint(shade: str, weight: float) -> str:
    """Mix a colour with white: unlike opacity, strokes that overlap at a node do not show."""
    parts = [int(shade[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - (255 - part) * weight):02x}" for part in parts)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
