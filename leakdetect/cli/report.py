"""Commands that show: `report`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Folder, Language

if TYPE_CHECKING:
    import xarray as xr

    from leakdetect.kpi.gather import KeyFigures


class Format(StrEnum):
    """What is written; the value is the file's suffix too."""

    HTML = "html"
    GEOJSON = "geojson"
    GPKG = "gpkg"
    CSV = "csv"


@app.command(epilog="Example: leakdetect report village -o report.html --lang fr")
def report(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; DIR/report.FORMAT if not given.")
    ] = None,
    *,
    lang: Annotated[Language, typer.Option(help="Language of the page.")] = Language.EN,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format", help="html page, or events for a GIS or a spreadsheet; by the file's suffix if not given."
        ),
    ] = None,
    one_page: Annotated[bool, typer.Option("--one-page", help="Only what fits on a sheet of A4.")] = False,
    kpi: Annotated[
        bool, typer.Option("--kpi", help="With a box of key figures of the last year: 'leakdetect kpi' has them all.")
    ] = False,
) -> None:
    """Write what was found as one self-contained page, or export it; prints the file's name."""
    from leakdetect import pipeline
    from leakdetect.files import replace_text
    from leakdetect.report import geojson, geopackage, table, write_report

    form = format_ or _by_suffix(output)
    path = output or folder / f"report.{form}"
    site, network, data, events = pipeline.results(folder)
    if form == Format.HTML:
        write_report(
            path, site=site, network=network, data=data, events=events, lang=lang, news=pipeline.news(folder),
            figures=_figures(folder, data) if kpi else None, one_page=one_page,
        )  # fmt: skip
    elif form == Format.GPKG:
        geopackage.write(path, network, events, site.crs, data)
    else:
        text = geojson.dumps(network, events, site.crs) if form == Format.GEOJSON else table.dumps(network, events)
        replace_text(path, text)
    typer.echo(path)


def _figures(folder: Path, data: xr.Dataset) -> KeyFigures:
    """Return the key figures of the year that ends with the last reading."""
    import numpy as np

    from leakdetect.kpi.gather import key_figures
    from leakdetect.schema import TIME

    last = data[TIME].values[-1]
    return key_figures(folder, last - np.timedelta64(365, "D"), last)


def _by_suffix(output: Path | None) -> Format:
    """Return the format that a file's suffix names; the page for any other."""
    suffix = output.suffix.lower().lstrip(".") if output is not None else ""
    return Format(suffix) if suffix in set(Format) else Format.HTML
