"""The life of an event as it is typed: `events`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leakdetect.cli import app
from leakdetect.cli.listing import Format
from leakdetect.cli.options import Folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from leakdetect.events import Event
    from leakdetect.site import Site

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
def _events(context: typer.Context, folder: Folder) -> None:
    context.obj = folder
    if context.invoked_subcommand is None:
        list_(context)


@events.command("list", epilog="Example: leakdetect events town list --open")
def list_(
    context: typer.Context,
    *,
    only_open: Annotated[bool, typer.Option("--open", help="Only those open or confirmed.")] = False,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only open, confirmed, dismissed, repaired or closed; may be repeated.", show_default=False),
    ] = None,
    kind: Annotated[str, typer.Option(help="Only abrupt or incipient.", show_default=False)] = "",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those raised since; local time.", show_default=False)
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="As detect has it.")] = Format.TABLE,
) -> None:
    """Print the events of the site, all or some."""
    from leakdetect import pipeline
    from leakdetect.cli.listing import listing, show
    from leakdetect.cli.times import moment
    from leakdetect.events import Kind, Status
    from leakdetect.site import load_site

    folder: Path = context.obj
    site = load_site(folder)
    wanted = {_one_of(Status, text) for text in status or ()} or set(Status)
    if only_open:
        wanted &= {Status.OPEN, Status.CONFIRMED}
    kinds = {_one_of(Kind, kind)} if kind else set(Kind)
    first = moment(since, site.timezone) if since else None
    found = [
        e
        for e in pipeline.events(folder)
        if e.status in wanted and e.kind in kinds and (first is None or e.raised_at >= first)
    ]
    show([listing(site, found, format_)], format_)


def _one_of(kinds: Any, text: str) -> Any:
    from leakdetect.errors import InputError

    if text not in list(kinds):
        raise InputError(f"'{text}' is none of {', '.join(kinds)}: write one of these")
    return kinds(text)


@events.command(epilog="Example: leakdetect events town show 2019-01-15T2300-p461")
def show(
    context: typer.Context,
    event_id: _Id,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with its history.")] = False,
) -> None:
    """Print all that is known of an event: pipes, sensors, what people said of it and what runs changed."""
    import json

    from leakdetect import pipeline
    from leakdetect.site import load_site

    folder: Path = context.obj
    event, said = pipeline.event(folder, event_id), pipeline.changes(folder, event_id)
    history = pipeline.history(folder, event_id)
    if as_json:
        typer.echo(json.dumps(event.to_dict() | {"changes": said, "history": history}, indent=1, ensure_ascii=False))
    else:
        _show(load_site(folder), event, said, history)


@events.command(epilog="Example: leakdetect events town confirm 2019-01-15T2300-p461 --pipe p461 --why 'heard it'")
def confirm(
    context: typer.Context,
    event_id: _Id,
    *,
    pipe: Annotated[str, typer.Option(help="Where the leak was found; the next fit learns from it.")] = "",
    time: Annotated[str | None, typer.Option(metavar="TIME", help="When it was found, local time.")] = None,
    why: _Why = "",
    by: _By = "",
) -> None:
    """Say that a leak was found there."""
    _say(context, event_id, "confirmed", why, by, pipe=pipe, time=time)


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
    pipe: Annotated[str, typer.Option(help="Where the leak was; the next fit learns from it.")] = "",
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it was mended, local time; now if not given.")
    ] = None,
    why: _Why = "",
    by: _By = "",
) -> None:
    """Say that the leak was mended; later runs know of it, and go back to that time if it is past."""
    _say(context, event_id, "repaired", why, by, pipe=pipe, time=time)


def _say(
    context: typer.Context, event_id: str, status: str, why: str, by: str, *, pipe: str = "", time: str | None = None
) -> None:
    import os

    import numpy as np

    from leakdetect import pipeline
    from leakdetect.cli.times import moment
    from leakdetect.events import Status
    from leakdetect.site import load_site

    folder: Path = context.obj
    now = np.datetime64("now")
    when = moment(time, load_site(folder).timezone, end=True) if time else None
    who = by or os.environ.get("USER") or os.environ.get("USERNAME") or "someone"
    event = pipeline.say(folder, event_id, Status(status), by=who, at=now, why=why, link=pipe, time=when)
    typer.echo(f"{event.id}: {event.status}")


def _show(site: Site, event: Event, said: Sequence[dict[str, str]], history: Sequence[dict[str, Any]]) -> None:
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
        table("\nPipes to search, in this order", ["rank", "pipe", "probability"], pipes, right=("rank", "probability"))
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
    runs = [[when(parse_time(h["at"])), _told(h["detail"]), h["why"]] for h in history if h["run"] is not None]
    if runs:
        table("\nWhat runs changed, by the last reading they rest on", ["when", "what", "why"], runs)


def _told(detail: dict[str, Any]) -> str:
    """Return what changed in a line: a zone by the number of its pipes."""
    parts = []
    for key, value in detail.items():
        if isinstance(value, list) and len(value) == 2:
            old, new = (f"{len(v)} pipes" if isinstance(v, list) else f"{v}" for v in value)
            parts.append(f"{key} {old} to {new}" if old else f"{key} {new}")
    return ", ".join(parts)
