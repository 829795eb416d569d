"""The report as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import xarray as xr

from leakdetect.events import Event
from leakdetect.files import replace_text
from leakdetect.network import Network
from leakdetect.report.context import build
from leakdetect.report.language import language
from leakdetect.site import Site
from leakdetect.store import News

if TYPE_CHECKING:
    from leakdetect.kpi.gather import KeyFigures


def write_report(
    path: Path,
    *,
    site: Site,
    network: Network | None,
    data: xr.Dataset,
    events: Sequence[Event],
    lang: str = "en",
    news: News | None = None,
    figures: KeyFigures | None = None,
    one_page: bool = False,
) -> Path:
    """Write the report of a site: one HTML file that needs no network, for screen, phone and paper.

    Parameters
    ----------
    path : Path
        Replaced as a whole once the page is ready.
    site : Site
    network : Network or None
        Without one the inflow is drawn instead of a map.
    data : xarray.Dataset
        Readings on regular steps with ``flag, usable, expected, expected_sd, residual`` where there are any.
    events : sequence of Event
        All events of the site, whatever their status.
    lang : str
        'en' or 'fr'.
    news : News, optional
        What the last run changed; without it what was raised in the last 24 hours of readings is new.
    figures : KeyFigures, optional
        Of which the page has a box.
    one_page : bool
        Only what fits on a sheet of A4: what is new, the open leaks, the map, the key figures.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        If the language is not known or the file cannot be written.
    """
    text = render(
        site=site, network=network, data=data, events=events, lang=lang, news=news, figures=figures, one_page=one_page
    )
    return replace_text(path, text)


def render(
    *,
    site: Site,
    network: Network | None,
    data: xr.Dataset,
    events: Sequence[Event],
    lang: str = "en",
    news: News | None = None,
    figures: KeyFigures | None = None,
    one_page: bool = False,
) -> str:
    """Return the page as text; parameters as `write_report`. The same results give the same page."""
    context = build(site, network, data, events, language(lang), news, figures, one_page=one_page)
    return _environment().get_template("page.html.j2").render(context)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("leakdetect.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
