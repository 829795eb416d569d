"""Events as `detect` and `events list` print them: of one site, or of several, each row with its site then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from leakdetect.daily import Outcome
    from leakdetect.events import Event
    from leakdetect.network import Network
    from leakdetect.site import Site

NEW = 10
"""Exit code of `detect` where it raised something."""

_HEADER = ("event", "status", "kind", "since", "until", "m3/h", "begin with", "pipes in zone", "zone m")
_NUMBERS = ("m3/h", "pipes in zone", "zone m")


class Format(StrEnum):
    """How events are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    GEOJSON = "geojson"


@dataclass(frozen=True)
class Listing:
    """What there is to print of one site, in one format, as plain values: it may come from another process.

    Attributes
    ----------
    rows : list of dict
        By column; of GeoJSON, the features.
    crs : str or None
        Coordinate system of the features.
    """

    rows: list[dict[str, Any]]
    crs: str | None = None


def listing(site: Site, found: Sequence[Event], form: Format) -> Listing:
    """Lay out a site's events; errors as `load_network` where the format shows pipes."""
    if form is Format.TABLE:
        return Listing(_cells(site, found))
    if form is Format.JSON:
        return Listing([event.to_dict() for event in found])
    from leakdetect.report import geojson, table

    network = _network(site)
    if form is Format.CSV:
        return Listing(table.rows(network, found))
    return Listing(geojson.features(network, found), site.crs)


def summary(site: Site, outcome: Outcome) -> str:
    """Say in a line what a run took and raised."""
    import numpy as np

    from leakdetect.cli.times import local

    hours = outcome.steps * site.step_minutes / 60
    until = None if outcome.until is None else outcome.until + np.timedelta64(site.step_minutes, "m")
    taken = f"{hours:g} hours of readings taken" if outcome.steps else "no new readings"
    said = f"{taken}, until {local(until, site.timezone)}; {outcome.new} new events"
    if outcome.restarted is not None:
        said += f"; taken again from {local(outcome.restarted, site.timezone)}: {outcome.note}"
    return said


def show(listings: Sequence[Listing], form: Format, sites: Sequence[str] | None = None) -> None:
    """Print on stdout what sites have to show; `sites` names them, and goes into every row."""
    rows = [row for one in listings for row in one.rows]
    if sites is not None:
        named = [(name, row) for name, one in zip(sites, listings, strict=True) for row in one.rows]
        if form is Format.GEOJSON:
            rows = [row | {"properties": {"site": name, **row["properties"]}} for name, row in named]
        else:
            rows = [{"site": name, **row} for name, row in named]
    columns = ("site",) if sites is not None else ()
    if form is Format.TABLE:
        _table((*columns, *_HEADER), rows)
        return
    if form is Format.JSON:
        import json

        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from leakdetect.report import geojson, table

    crs = next((one.crs for one in listings if one.crs is not None), None)
    text = table.text(rows, (*columns, *table.COLUMNS)) if form is Format.CSV else geojson.text(rows, crs)
    typer.echo(text, nl=not text.endswith("\n"))


def _network(site: Site) -> Network | None:
    from leakdetect.epanet import load_network

    return load_network(site.path(site.network)) if site.network else None


def _cells(site: Site, found: Sequence[Event]) -> list[dict[str, Any]]:
    from leakdetect.cli.times import local
    from leakdetect.report.facts import current

    rows = []
    for e in map(current, found):
        places = [f"{c.link} {c.probability:.0%}" for c in e.candidates[:3]]
        district = "district of " + ", ".join(v.sensor for v in e.evidence)
        cells = (
            e.id, str(e.status), str(e.kind), local(e.start, site.timezone), local(e.end, site.timezone),
            f"{e.flow_m3h:.1f} ({e.flow_low:.1f}-{e.flow_high:.1f})", ", ".join(places) or district,
            f"{len(e.zone.links)}", f"{e.zone.length_m:.0f}",
        )  # fmt: skip
        rows.append(dict(zip(_HEADER, cells, strict=True)))
    return rows


def _table(header: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    from leakdetect.cli.console import table

    if not rows:
        typer.echo("no events")
        return
    table("", header, [[row[name] for name in header] for row in rows], right=_NUMBERS)
