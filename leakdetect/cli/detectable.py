"""`leakdetect detectable`: the smallest leak that the sensors there are would find."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Language
from leakdetect.cli.watched import DemandNoise, Drawing, InLanguage, Listed, SensorNoise, SiteFolder, save, watch

if TYPE_CHECKING:
    from leakdetect.placement import Smallest, Watched


class Format(StrEnum):
    """How the smallest leaks are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    GEOJSON = "geojson"


@app.command(epilog="Example: leakdetect detectable village --plot smallest.png")
def detectable(
    folder: SiteFolder = None,
    *,
    network: Drawing = None,
    sensors: Listed = None,
    days: Annotated[str, typer.Option(help="Times within which a leak is to be found.")] = "1,7,30",
    noise: SensorNoise = None,
    demand_noise: DemandNoise = None,
    plot: Annotated[Path | None, typer.Option(help="Picture of the maps (.png).")] = None,
    lang: InLanguage = Language.EN,
    format_: Annotated[
        Format, typer.Option("--format", help="table: by zone; the others: pipe by pipe.")
    ] = Format.TABLE,
) -> None:
    """Say how small a leak the sensors there are would find within a day, a week, a month, zone by zone or as a map."""
    from leakdetect import placement
    from leakdetect.cli.console import log

    times = _times(days)
    watched, _ = watch(folder, network, sensors, noise, demand_noise)
    with watched:
        found = placement.smallest(watched, times)
        if plot is not None:
            from leakdetect.report.placement import WORDS, smallest_figure

            save(smallest_figure(watched.network, found, WORDS[lang]), plot)
            log(str(plot))
        _tell_smallest(watched, found, format_, _crs(folder))


def _tell_smallest(watched: Watched, found: Smallest, form: Format, crs: str | None) -> None:
    import json

    from leakdetect.cli.console import table
    from leakdetect.placement import by_zone
    from leakdetect.report import geojson
    from leakdetect.report import table as csv
    from leakdetect.report.placement import smallest_features

    if form is Format.TABLE:
        names = [f"{d:g} d" for d in found.days]
        header = ("zone", "pipes m", *(f"half, {n}" for n in names), *(f"most, {n}" for n in names))
        rows = [
            [row.zone or "unmeasured", f"{row.length_m:,.0f}", *map(_flow, row.median), *map(_flow, row.most)]
            for row in by_zone(found, watched.network.length)
        ]
        table("smallest leak found nine times in ten on half and on nine tenths of the pipes [m3/h]", header, rows,
              right=header[1:])  # fmt: skip
        return
    features = smallest_features(watched.network, found)
    if form is Format.GEOJSON:
        typer.echo(geojson.text(features, crs))
        return
    plain = [feature["properties"] for feature in features]
    if form is Format.JSON:
        typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        typer.echo(csv.text(plain, list(plain[0])), nl=False)


def _flow(value: float) -> str:
    return f"{value:.1f}" if value < float("inf") else "none"


def _times(text: str) -> tuple[float, ...]:
    from leakdetect.errors import InputError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--days {text}: write days with commas between them, as 1,7,30") from None


def _crs(folder: Path | None) -> str | None:
    from leakdetect.site import load_site

    return load_site(folder).crs if folder is not None else None
