"""`detect` of several sites at once: side by side, each on its own, printed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from leakdetect.cli import debugging, explained
from leakdetect.cli.console import log, progress
from leakdetect.cli.listing import NEW, Format, Listing, listing, show, summary
from leakdetect.cli.times import window
from leakdetect.errors import InputError, LeakdetectError, UnavailableError
from leakdetect.parallel import Done, crew, usable_cores

if TYPE_CHECKING:
    from leakdetect.site import Site


@dataclass(frozen=True)
class Visit:
    """A site that is to be looked at, and how; see `detect`."""

    folder: Path
    since: str | None
    until: str | None
    form: Format


@dataclass(frozen=True)
class Report:
    """What came of a visit: what to print, a line for the log, and how many events are new."""

    listing: Listing
    summary: str
    new: int


def visit(asked: Visit) -> Report:
    """Take what is new at one site, as `detect` does; errors as `pipeline.detect`."""
    from leakdetect import pipeline
    from leakdetect.site import load_site

    site = load_site(asked.folder)
    outcome = pipeline.detect(asked.folder, *window(asked.since, asked.until, site.timezone))
    if site.alerts:
        from leakdetect.alerts import deliver

        with suppress(UnavailableError):
            deliver(site)  # what fails waits, and `alerts` lists it
    return Report(listing(site, outcome.events, asked.form), summary(site, outcome), outcome.new)


def detect_sites(
    folders: Sequence[Path],
    since: str | None,
    until: str | None,
    form: Format,
    *,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Take what is new at each site and print all their events, in the order of the sites.

    What fails at a site is said in a line; the others go on. The exit code tells of that before it tells of new
    events.

    Raises
    ------
    LeakdetectError
        Where nothing can be done at any site.
    """
    window(since, until, "UTC")  # what is no time is said once, not by every site
    _all_apart(folders)
    if form is Format.GEOJSON:
        _one_crs(folders)
    # A worker on another machine, or in another folder, knows whole paths only.
    visits = [Visit(folder.resolve() if scheduler else folder, since, until, form) for folder in folders]
    found: dict[int, Done[Report]] = {}
    with progress() as tell, crew(min(workers or usable_cores(), len(folders)), scheduler, log) as team:
        for done in team.map(visit, visits):
            found[done.index] = done
            if done.trace and debugging():
                log(done.trace)
            log(_line(str(folders[done.index]), done))
            tell(f"{len(found)} of {len(folders)} sites", len(found) / len(folders))
    well = {i: done.result() for i, done in sorted(found.items()) if done.error is None}
    names = [str(folders[i]) for i in well] if len(folders) > 1 else None
    show([report.listing for report in well.values()], form, names)
    failed = len(folders) - len(well)
    if len(folders) > 1:
        new = sum(report.new for report in well.values())
        log(f"{len(folders)} sites, {failed} failed; {new} new events")
    if failed:
        codes = [explained(done.error)[1] for done in found.values() if done.error is not None]
        raise typer.Exit(2 if 2 in codes else 1)
    if any(report.new for report in well.values()):
        raise typer.Exit(NEW)


def _line(name: str, done: Done[Report]) -> str:
    if done.error is None:
        return f"{name}: {done.result().summary}"
    text, _ = explained(done.error)
    text = " ".join(text.split())
    return f"leakdetect: {text}" if text.startswith(name) else f"leakdetect: {name}: {text}"


def _all_apart(folders: Sequence[Path]) -> None:
    from leakdetect.store import check_apart

    known: set[Path] = set()
    for folder in folders:
        if folder.resolve() in known:
            raise InputError(f"{folder}: named twice: name each site once")
        known.add(folder.resolve())
    check_apart(_readable(folders))


def _readable(folders: Sequence[Path]) -> Iterator[tuple[Path, Site]]:
    """Give the sites whose site.toml can be read; the others will say so themselves."""
    from leakdetect.site import load_site

    for folder in folders:
        with suppress(LeakdetectError):
            yield folder, load_site(folder)


def _one_crs(folders: Sequence[Path]) -> None:
    """Raise InputError if sites are drawn in several coordinate systems: a GeoJSON file has one."""
    known: dict[str | None, Path] = {}
    for folder, site in _readable(folders):
        known.setdefault(site.crs, folder)
    if len(known) > 1:
        (a, first), (b, second) = list(known.items())[:2]
        raise InputError(
            f"{second}: crs is {b or 'not given'}, that of {first} is {a or 'not given'}: GeoJSON has one: ask for "
            "these sites one at a time"
        )
