"""How QGIS draws the layers of a GeoPackage: the styles that it reads from the table ``layer_styles``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from leakdetect.network import Link
from leakdetect.plot import INK, PALETTE, PIPE
from leakdetect.schema import Quantity

VERSION = "3.22.0"  # of the style's format; later ones read it
_CLASSES = ((0.0, 0.05, 0.3), (0.05, 0.15, 0.8), (0.15, 0.4, 1.6), (0.4, 1.0, 2.6))  # probability, width [mm]
_STATUS = (("open", PALETTE[0]), ("confirmed", PALETTE[2]), ("repaired", PALETTE[3]), ("closed", "#56647A"),
           ("dismissed", "#A9B3C1"))  # fmt: skip


def candidates() -> str:
    """Return the style of candidate pipes: wider and labelled with their rank where more probable."""
    root, renderer = _root("graduatedSymbol", "probability")
    renderer.set("graduatedMethod", "GraduatedColor")
    ranges = SubElement(renderer, "ranges")
    for number, (low, high, _) in enumerate(_CLASSES):
        label = f"{low:.0%} – {high:.0%}"
        values = {"lower": f"{low:f}", "upper": f"{high:f}", "symbol": str(number), "label": label, "render": "true"}
        SubElement(ranges, "range", values)
    symbols = [(_shade(number), width) for number, (_, _, width) in enumerate(_CLASSES)]
    _symbols(renderer, symbols)
    _label(root, "rank")
    return _text(root)


def zones() -> str:
    """Return the style of zones: one colour for each status."""
    return _categories("status", [status for status, _ in _STATUS], [(colour, 1.2) for _, colour in _STATUS])


def network() -> str:
    """Return the style of the network: pipes thin and grey, pumps and valves in ink."""
    kinds = [kind.name.lower() for kind in Link]
    return _categories("kind", kinds, [(PIPE, 0.3) if kind == "pipe" else (INK, 0.9) for kind in kinds])


def sensors() -> str:
    """Return the style of sensors: squares for flow, circles for the others, with their names."""
    kinds = [str(quantity) for quantity in Quantity if quantity is not Quantity.DEMAND]
    root, renderer = _sorted("quantity", kinds)
    parent = SubElement(renderer, "symbols")
    for number, kind in enumerate(kinds):
        shape = "square" if kind == Quantity.FLOW else "circle"
        values = {"name": shape, "color": _rgb(INK), "outline_style": "no", "size": "2.2", "size_unit": "MM"}
        _symbol(parent, number, "marker", "SimpleMarker", values)
    _label(root, "sensor")
    return _text(root)


def _categories(column: str, kinds: Sequence[str], looks: Sequence[tuple[str, float]]) -> str:
    root, renderer = _sorted(column, kinds)
    _symbols(renderer, looks)
    return _text(root)


def _sorted(column: str, kinds: Sequence[str]) -> tuple[Element, Element]:
    root, renderer = _root("categorizedSymbol", column)
    categories = SubElement(renderer, "categories")
    for number, kind in enumerate(kinds):
        SubElement(categories, "category", {"value": kind, "symbol": str(number), "label": kind, "render": "true"})
    return root, renderer


def _root(kind: str, column: str) -> tuple[Element, Element]:
    root = Element("qgis", {"version": VERSION, "styleCategories": "Symbology|Labeling", "labelsEnabled": "0"})
    return root, SubElement(root, "renderer-v2", {"type": kind, "attr": column, "symbollevels": "0"})


def _symbols(renderer: Element, looks: Sequence[tuple[str, float]]) -> None:
    parent = SubElement(renderer, "symbols")
    for number, (colour, width) in enumerate(looks):
        values = {
            "line_color": _rgb(colour), "line_width": f"{width:g}", "line_width_unit": "MM", "line_style": "solid",
            "capstyle": "round", "joinstyle": "round",
        }  # fmt: skip
        _symbol(parent, number, "line", "SimpleLine", values)


def _symbol(parent: Element, number: int, kind: str, layer_class: str, values: Mapping[str, str]) -> None:
    symbol = SubElement(parent, "symbol", {"type": kind, "name": str(number), "alpha": "1"})
    layer = SubElement(symbol, "layer", {"class": layer_class, "enabled": "1", "pass": "0", "locked": "0"})
    options = SubElement(layer, "Option", {"type": "Map"})
    for name, value in values.items():
        SubElement(options, "Option", {"name": name, "value": value, "type": "QString"})


def _rgb(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"{red},{green},{blue},255"


def _label(root: Element, column: str) -> None:
    root.set("labelsEnabled", "1")
    labeling = SubElement(root, "labeling", {"type": "simple"})
    settings = SubElement(labeling, "settings")
    style = {"fieldName": column, "fontSize": "8", "textColor": "23,32,42,255", "isExpression": "0"}
    text = SubElement(settings, "text-style", style)
    SubElement(text, "text-buffer", {"bufferDraw": "1", "bufferSize": "1", "bufferColor": "255,255,255,255"})


def _shade(number: int) -> str:
    """Return the first event colour mixed with white, less of it for likelier classes."""
    keep = 0.4 + 0.6 * number / (len(_CLASSES) - 1)
    parts = (int(PALETTE[0][i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * keep):02X}" for part in parts)


def _text(root: Element) -> str:
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + tostring(root, encoding="unicode")
