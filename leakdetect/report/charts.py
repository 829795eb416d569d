"""Charts of the page: matplotlib drawings as SVG images inside it, so that no name of theirs meets another's."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from leakdetect import plot
from leakdetect.events import Event
from leakdetect.report.language import Language

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "leakdetect", "path.simplify": True}
# Text stays text; the page's fonts stand first so that the picture looks like its page.
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def sensor(data: xr.Dataset, name: str, event: Event, lang: Language, *, timezone: str, shade: str) -> str:
    """Return a chart of measured and expected over the residual, around an event, as a data URI."""
    figure = _figure(4.3, 2.7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    plot.series(data, name, event, above, timezone=timezone, words=lang.plot, shade=shade)
    plot.residual(data, name, event, below, timezone=timezone, words=lang.plot, shade=shade)
    figure.align_ylabels()
    return _uri(figure)


def inflow(data: xr.Dataset, name: str, events: Sequence[Event], lang: Language, *, timezone: str) -> str:
    """Return a chart of an inflow with the events' times, as a data URI."""
    figure = _figure(6.6, 2.7)
    plot.inflow(data, name, events, figure.subplots(), timezone=timezone, words=lang.plot)
    return _uri(figure)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _uri(figure: Figure) -> str:
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context(_SVG):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue().replace("'DejaVu Sans', 'Bitstream Vera Sans'", f"{_FONT}, 'DejaVu Sans'")
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
