"""The daily run: `fit`, `detect`, and what runs left a record of, `runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.listing import NEW, Format
from leakdetect.cli.options import Folder, Since, Until


@app.command(epilog="Example: leakdetect fit town --from 2018-01-01 --to 2018-12-31")
def fit(folder: Folder, *, since: Since = None, until: Until = None) -> None:
    """Calibrate the model and fit the leak-free picture on a past window; writes DIR/model.nc.

    The window may hold leaks. Two weeks are the least; a year sees all seasons.
    """
    from leakdetect import pipeline
    from leakdetect.cli.console import log, progress
    from leakdetect.cli.times import window
    from leakdetect.site import load_site

    site = load_site(folder)
    first, last = window(since, until, site.timezone)
    with progress() as tell:
        model = pipeline.fit(folder, first, last, tell)
    log(f"{model.attrs['detector']} model fitted; next: leakdetect detect {folder}")
    typer.echo(folder / site.model_path.name)


@app.command(epilog="Example: leakdetect detect town --to 2019-01-31 --format json > events.json")
def detect(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="The site folder, or several.")],
    *,
    since: Since = None,
    until: Until = None,
    format_: Annotated[
        Format, typer.Option("--format", help="A table, one JSON array, or events for a spreadsheet or a GIS.")
    ] = Format.TABLE,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Sites that are looked at side by side.", show_default="as many as there are cores"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, whose workers do it instead: tcp://host:8786."),
    ] = None,
) -> None:
    """Take the readings that are new since the last run; print the events open between --from and --to.

    On the first run --from says where to begin. Nothing happens twice: run it as often as you like.
    Readings that come late or are corrected within the site's late_days are taken again, from there on.
    Of several sites each is looked at on its own; what is printed says of every event whose it is.

    Exit code: 0 nothing new was raised, 10 new events, 2 input that you can mend, 1 an error of ours.
    """
    from leakdetect import pipeline
    from leakdetect.cli.console import log, progress
    from leakdetect.cli.listing import listing, show, summary
    from leakdetect.cli.sites import detect_sites
    from leakdetect.cli.times import window
    from leakdetect.site import load_site

    if len(folders) > 1 or scheduler:
        detect_sites(folders, since, until, format_, workers=workers, scheduler=scheduler)
        return
    [folder] = folders
    site = load_site(folder)
    first, last = window(since, until, site.timezone)
    with progress() as tell:
        outcome = pipeline.detect(folder, first, last, tell)
    show([listing(site, outcome.events, format_)], format_)
    if site.alerts:
        from leakdetect.alerts import deliver
        from leakdetect.errors import UnavailableError

        try:
            for line in deliver(site).failed:
                log(f"not delivered, tried again later: {line}")
        except UnavailableError as error:  # what is kept is kept, and what is new is new
            log(f"alerts wait: {error}")
    log(summary(site, outcome))
    if outcome.new:
        raise typer.Exit(NEW)


@app.command(epilog="Example: leakdetect runs town --last 7")
def runs(
    folder: Folder,
    *,
    last: Annotated[int, typer.Option(min=1, help="Only the newest so many.")] = 20,
    sensors: Annotated[bool, typer.Option("--sensors", help="How far each sensor is, instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All that is kept of them, as one JSON array.")] = False,
) -> None:
    """Print what runs took, how good it was, and how long that took."""
    import json

    from leakdetect import pipeline
    from leakdetect.cli.console import table
    from leakdetect.cli.times import local
    from leakdetect.events import parse_time
    from leakdetect.site import load_site

    zone = load_site(folder).timezone

    def when(text: str | None) -> str:
        return local(parse_time(text), zone)

    if sensors:
        far = [{"sensor": name, **row} for name, row in pipeline.sensors(folder).items()]
        if as_json:
            typer.echo(json.dumps(far, indent=1, ensure_ascii=False))
            return
        rows = [[r["sensor"], r["quantity"], when(r["first"]), when(r["last"])] for r in far]
        table("", ["sensor", "quantity", "first reading", "last usable"], rows)
        return
    found = pipeline.runs(folder, last)
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    rows = [
        [
            str(r["number"]), when(r["started"]), r["outcome"], str(r.get("steps", "")), when(r.get("until")),
            str(r.get("new", "")), f"{r['quality']['usable']:.0%}" if "quality" in r else "",
            f"{sum(r.get('seconds', {}).values()):.1f}", r.get("error") or r.get("note") or "",
        ]
        for r in found
    ]  # fmt: skip
    numbers = ("run", "steps", "new", "usable", "s")
    table("", ["run", "started", "outcome", "steps", "until", "new", "usable", "s", ""], rows, right=numbers)
