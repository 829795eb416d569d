"""What the page shows, gathered from the results: no computing beyond sums and formatting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from leakdetect import __version__
from leakdetect.events import Candidate, Event, Evidence
from leakdetect.network import Network
from leakdetect.plot import colour, window
from leakdetect.report import charts, facts, keyfigures
from leakdetect.report.language import Language
from leakdetect.report.news import headline, items
from leakdetect.report.quality import quality
from leakdetect.report.svgmap import Drawing, Map
from leakdetect.report.weighed import Explanation, channel, explanations, remarks
from leakdetect.schema import SENSOR, TIME, Flag, without_meters
from leakdetect.site import Site
from leakdetect.store import News

if TYPE_CHECKING:
    from leakdetect.kpi.gather import KeyFigures

_CHARTS = ((6, 4), (15, 2))  # sensors drawn of each event where there are so many; one where there are more
_FIRST, _WORTH = 3, 0.05  # pipes that stand in the list of leaks: beside the first, those of such probability
_MARKED = 5  # pipes with their rank on the map of each event
_SHARES = 6  # sensors named in the list of evidence
_GOOD = 0.995  # usable share from which a sensor needs no row of its own
_ROWS = 25  # sensors that are listed even if all are good


@dataclass(frozen=True)
class Pipe:
    """A row of the list of pipes to search."""

    name: str
    between: str
    length: float
    probability: float
    walked: float
    found: float


@dataclass(frozen=True)
class Chart:
    """A picture and its alternative text."""

    title: str
    uri: str
    alt: str


@dataclass(frozen=True)
class EventView:
    """An event as shown: `event` holds the newest estimate, `raised` the first."""

    number: int
    colour: str
    event: Event
    raised: Event
    new: bool
    lost: facts.Amount
    monthly: float
    dma: str
    pipes: tuple[Pipe, ...]
    first: tuple[Pipe, ...]
    more: tuple[int, float]
    evidence: tuple[Evidence, ...]
    others: tuple[int, float]
    explanations: tuple[Explanation, ...]
    remarks: tuple[str, ...]
    map: Map | None
    charts: tuple[Chart, ...]
    window: tuple[np.datetime64, np.datetime64] | None


@dataclass(frozen=True)
class _Page:
    """What all parts of a page share."""

    site: Site
    network: Network | None
    drawing: Drawing | None
    data: xr.Dataset
    now: np.datetime64
    lang: Language
    new: frozenset[str] | None
    charts: int
    hidden: frozenset[str]


def build(
    site: Site,
    network: Network | None,
    data: xr.Dataset,
    events: Sequence[Event],
    lang: Language,
    news: News | None = None,
    figures: KeyFigures | None = None,
    *,
    one_page: bool = False,
) -> dict[str, Any]:
    """Return the template's context."""
    active, over = facts.in_order(events)
    now = _now(data, events)
    meters, data = data, without_meters(data)
    drawing = Drawing(network, data) if network is not None else None
    if drawing is not None and not drawing.exists:
        drawing = None
    each = 0 if one_page else next((n for most, n in _CHARTS if len(active) <= most), 1)
    hidden = frozenset({str(name) for name in meters[SENSOR].values} - {str(name) for name in data[SENSOR].values})
    page = _Page(site, network, drawing, data, now, lang, news.raised if news else None, each, hidden)
    views = [_view(page, e, i) for i, e in enumerate(active)]
    rows = quality(meters, site.privacy.smallest_group, lang)
    price = site.costs.water_per_m3
    bad = [row for row in rows if row.usable < _GOOD] if len(rows) > _ROWS else rows
    return {
        "one_page": one_page,
        "L": lang,
        "site": site,
        "network": network,
        "version": __version__,
        "now": now,
        "start": data[TIME].values[0] if data.sizes[TIME] else None,
        "headline": headline(views, now, site.timezone, lang, news),
        "news": items(news, views, events, site.timezone, lang),
        "views": views,
        "drawing": drawing,
        "base": drawing.base() if drawing is not None else "",
        "flows": drawing is not None and any(m.kind == "flow" for m in drawing.sensors),
        "map_events": ", ".join(str(v.number) for v in views) or lang.say("map_none"),
        "overview": drawing.overview([v.event for v in views]) if drawing is not None else None,
        "inflows": () if drawing is not None else _inflows(page, [v.event for v in views]),
        "tiles": keyfigures.tiles(figures.figures, lang) if figures is not None else [],
        "figures_since": figures.since if figures is not None else now,
        "rows": rows,
        "bad_rows": bad,
        "good": _GOOD,
        "flags": [(i, f) for i, f in enumerate(Flag) if any(row.flags[i] > 0 for row in rows)],
        "all_flags": list(Flag),
        "money": lambda volume: f"{lang.estimate(volume * price)}\u00a0{site.costs.currency}",
        "price": f"{lang.number(price, 2)}\u00a0{site.costs.currency}",
        "history": [_past(e) for e in over],
    }


def _view(page: _Page, raised: Event, number: int) -> EventView:
    data, drawing, lang = page.data, page.drawing, page.lang
    event = facts.current(raised)
    known = {str(name): str(dma) for name, dma in zip(data[SENSOR].values, data["dma"].values, strict=True)}
    named = [e for e in event.evidence if e.sensor not in page.hidden]
    seen = [e for e in named if e.sensor in known]
    times = data[TIME].values
    shown = window(event, times[0], times[-1]) if times.size else None
    ranked = facts.ranked(event)
    rest = event.candidates[ranked:]
    pipes = _pipes(event.candidates[:ranked], page.network)
    unnamed = [*named[_SHARES:], *(e for e in event.evidence if e.sensor in page.hidden)]
    return EventView(
        number=number + 1,
        colour=colour(number),
        event=event,
        raised=raised,
        new=facts.is_new(raised, page.now) if page.new is None else raised.id in page.new,
        lost=facts.lost(raised),
        monthly=facts.monthly(raised),
        dma=known[seen[0].sensor] if seen else "",
        pipes=pipes,
        first=pipes[:1] + tuple(p for p in pipes[1:_FIRST] if p.probability >= _WORTH),
        more=(len(rest), sum(c.probability for c in rest)),
        evidence=tuple(replace(e, sensor=channel(e.sensor, lang)) for e in named[:_SHARES]),
        others=(len(unnamed), sum(e.share for e in unnamed)),
        explanations=explanations(raised, lang),
        remarks=remarks(raised, lang),
        map=drawing.closeup(event, number, min(ranked, _MARKED)) if drawing is not None else None,
        charts=tuple(_chart(page, e, event, number, shown) for e in seen[: page.charts] if shown),
        window=shown,
    )


def _pipes(candidates: Sequence[Candidate], network: Network | None) -> tuple[Pipe, ...]:
    rows: list[Pipe] = []
    walked = found = 0.0
    for candidate in candidates:
        length, between = float("nan"), ""
        if network is not None and network.has_link(candidate.link):
            j = network.link(candidate.link)
            length = float(network.length[j])
            between = f"{network.node_names[network.start[j]]} – {network.node_names[network.end[j]]}"
        walked += length
        found += candidate.probability
        rows.append(Pipe(candidate.link, between, length, candidate.probability, walked, found))
    return tuple(rows)


def _chart(
    page: _Page, evidence: Evidence, event: Event, number: int, shown: tuple[np.datetime64, np.datetime64]
) -> Chart:
    data, lang, timezone = page.data, page.lang, page.site.timezone
    quantity = str(data["quantity"].values[list(data[SENSOR].values).index(evidence.sensor)])
    share = lang.percent(evidence.share)
    alt = lang.say(
        "series_alt",
        sensor=evidence.sensor,
        share=share,
        quantity=lang.say(f"{quantity}_q"),
        start=lang.date(shown[0], timezone),
        end=lang.date(shown[1], timezone),
        low=lang.time(event.start_low, timezone),
        high=lang.time(event.start_high, timezone),
        raised=lang.time(event.raised_at, timezone),
    )
    title = f"{evidence.sensor} · {lang.say(f'{quantity}_q')} · {share}"
    return Chart(title, charts.sensor(data, evidence.sensor, event, lang, timezone=timezone, shade=colour(number)), alt)


def _inflows(page: _Page, events: Sequence[Event]) -> tuple[Chart, ...]:
    data, lang = page.data, page.lang
    names = [str(n) for n, q in zip(data[SENSOR].values, data["quantity"].values, strict=True) if q == "flow"]
    if not data.sizes[TIME]:
        return ()
    return tuple(
        Chart(
            name,
            charts.inflow(data, name, events, lang, timezone=page.site.timezone),
            lang.say("inflow_alt", sensor=name),
        )
        for name in names
    )


def _past(event: Event) -> dict[str, Any]:
    return {"event": facts.current(event), "lost": facts.lost(event), "mean": facts.mean_flow(event)}


def _now(data: xr.Dataset, events: Sequence[Event]) -> np.datetime64:
    """Return the time of the last reading."""
    last = [data[TIME].values[-1]] if data.sizes[TIME] else []
    known: list[np.datetime64] = [*last, *(e.data_until for e in events)]
    return max(known, default=np.datetime64("NaT", "ns"))
