"""The daily run: `fit`, `detect`, and the life of an event, `events`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.listing import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from leakdetect.events import Event
    from leakdetect.site import Site


_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The site folder.")]
_From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Local time: 2019-01-31, or '2019-01-31 08:00'.")
]
_To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Local time; a date alone includes that day.")]


@app.command(epilog="Example: leakdetect fit town --from 2018-01-01 --to 2018-12-31")
def fit(folder: _Folder, *, since: _From = None, until: _To = None) -> None:
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
    since: _From = None,
    until: _To = None,
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
    Of several sites each is looked at on its own; what is printed says of every event whose it is.
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
    log(summary(site, outcome))


# -- events ------------------------------------------------------------------------------------------------------

events = typer.Typer(
    help="The life of an event: list, show, confirm, dismiss, repair.",
    epilog="Example: leakdetect events town repair 2019-01-15T2300-p461 --pipe p461 --time '2019-01-17 11:40'",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(events, name="events")

_Id = Annotated[str, typer.Argument(metavar="EVENT", help="Its id, as list shows it.")]
_Why = Annotated[str, typer.Option(help="On what ground.")]
_By = Annotated[str, typer.Option(help="Who says so; you, if not given.", show_default=False)]


@events.callback()
def _events(context: typer.Context, folder: _Folder) -> None:
    context.obj = folder
    if context.invoked_subcommand is None:
        list_(context)


@events.command("list", epilog="Example: leakdetect events town list --open")
def list_(
    context: typer.Context,
    *,
    only_open: Annotated[bool, typer.Option("--open", help="Only those open or confirmed.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="As detect has it.")] = Format.TABLE,
) -> None:
    """Print all events of the site."""
    from leakdetect import pipeline
    from leakdetect.cli.listing import listing, show
    from leakdetect.events import Status
    from leakdetect.site import load_site

    folder: Path = context.obj
    found = pipeline.events(folder)
    if only_open:
        found = [e for e in found if e.status in {Status.OPEN, Status.CONFIRMED}]
    show([listing(load_site(folder), found, format_)], format_)


@events.command(epilog="Example: leakdetect events town show 2019-01-15T2300-p461")
def show(
    context: typer.Context,
    event_id: _Id,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with what people said.")] = False,
) -> None:
    """Print all that is known of an event: pipes, sensors, and what people said of it."""
    import json

    from leakdetect import pipeline
    from leakdetect.site import load_site

    folder: Path = context.obj
    event, said = pipeline.event(folder, event_id), pipeline.changes(folder, event_id)
    if as_json:
        typer.echo(json.dumps(event.to_dict() | {"changes": said}, indent=1, ensure_ascii=False))
    else:
        _show(load_site(folder), event, said)


@events.command(epilog="Example: leakdetect events town confirm 2019-01-15T2300-p461 --why 'heard at the hydrant'")
def confirm(context: typer.Context, event_id: _Id, *, why: _Why = "", by: _By = "") -> None:
    """Say that a leak was found there."""
    _say(context, event_id, "confirmed", why, by)


@events.command(epilog="Example: leakdetect events town dismiss 2019-01-15T2300-p461 --why 'flushing of mains'")
def dismiss(context: typer.Context, event_id: _Id, *, why: _Why = "", by: _By = "") -> None:
    """Say that it was no leak."""
    _say(context, event_id, "dismissed", why, by)


@events.command(
    epilog="Example: leakdetect events town repair 2019-01-15T2300-p461 --pipe p461 --time '2019-01-17 11:40'"
)
def repair(
    context: typer.Context,
    event_id: _Id,
    *,
    pipe: Annotated[str, typer.Option(help="Where the leak was found.")] = "",
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it was mended, local time; now if not given.")
    ] = None,
    why: _Why = "",
    by: _By = "",
) -> None:
    """Say that the leak was mended; later runs know of it."""
    _say(context, event_id, "repaired", why, by, pipe=pipe, time=time)


def _say(
    context: typer.Context, event_id: str, status: str, why: str, by: str, *, pipe: str = "", time: str | None = None
) -> None:
    import os
    from datetime import UTC, datetime

    import numpy as np

    from leakdetect import pipeline
    from leakdetect.cli.times import moment
    from leakdetect.events import Status
    from leakdetect.site import load_site

    folder: Path = context.obj
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "s").astype("datetime64[ns]")
    when = moment(time, load_site(folder).timezone, end=True) if time else None
    who = by or os.environ.get("USER") or os.environ.get("USERNAME") or "someone"
    event = pipeline.say(folder, event_id, Status(status), by=who, at=now, why=why, link=pipe, time=when)
    typer.echo(f"{event.id}: {event.status}")


def _show(site: Site, event: Event, said: Sequence[dict[str, str]]) -> None:
    from leakdetect.cli.console import table
    from leakdetect.cli.times import local
    from leakdetect.events import parse_time
    from leakdetect.report.facts import current, lost

    def when(time: np.datetime64 | None) -> str:
        return local(time, site.timezone)

    now, volume = current(event), lost(event)
    rows = [
        ["status", str(event.status)],
        ["kind", str(event.kind)],
        ["raised", when(event.raised_at)],
        ["began", f"{when(event.start)} ({when(event.start_low)} to {when(event.start_high)})"],
        ["ended", when(event.end)],
        ["flow when raised", f"{event.flow_m3h:.1f} m3/h ({event.flow_low:.1f} to {event.flow_high:.1f})"],
        ["newest flow", f"{now.flow_m3h:.1f} m3/h ({now.flow_low:.1f} to {now.flow_high:.1f})"],
        ["lost", f"{volume.best:.0f} m3 ({volume.low:.0f} to {volume.high:.0f})"],
        ["zone", f"{len(now.zone.links)} pipes, {now.zone.length_m:.0f} m, {now.zone.probability:.0%}"],
        ["sensors", ", ".join(f"{e.sensor} {e.share:.0%}" for e in event.evidence[:8])],
        ["model", event.model],
    ]
    table(event.id, ["", ""], rows)
    if now.candidates:
        pipes = [[str(i), c.link, f"{c.probability:.1%}"] for i, c in enumerate(now.candidates[:20], 1)]
        table("\nPipes, most likely first", ["rank", "pipe", "probability"], pipes, right=("rank", "probability"))
    if said:
        rows = [
            [
                when(parse_time(s["at"])),
                s["by"],
                s["status"],
                s["link"],
                when(parse_time(s["repaired"] or None)),
                s["why"],
            ]
            for s in said
        ]
        table("\nWhat people said", ["when", "who", "what", "pipe", "mended", "why"], rows)
