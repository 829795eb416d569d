"""Key figures: `kpi`."""

from __future__ import annotations

from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Folder, Language, Since, Until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakdetect.kpi.figures import Figure
    from leakdetect.kpi.gather import KeyFigures


class Format(StrEnum):
    """How figures are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command(epilog="Example: leakdetect kpi town --from 2018-01-01 --to 2018-12-31 --out opendata")
def kpi(
    folder: Folder,
    *,
    since: Since = None,
    until: Until = None,
    format_: Annotated[Format, typer.Option("--format", help="A table, one JSON array, or CSV.")] = Format.TABLE,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write open data there too: CSV files with their schema.")
    ] = None,
    language: Annotated[Language, typer.Option("--language", "--lang", help="Of the table.")] = Language.EN,
) -> None:
    """Print key figures: night flow, water balance, ILI, the SISPEA indicators, cost and CO2 of lost water.

    What cannot be computed is named with the key of site.toml that is missing.
    """
    from leakdetect.cli.console import log
    from leakdetect.cli.times import window
    from leakdetect.kpi.export import to_csv, to_json, write_package
    from leakdetect.kpi.gather import key_figures
    from leakdetect.site import load_site

    found = key_figures(folder, *window(since, until, load_site(folder).timezone))
    written = write_package(found, out) if out is not None else []
    if format_ is Format.JSON:
        typer.echo(to_json(found))
    elif format_ is Format.CSV:
        typer.echo(to_csv(found), nl=False)
    else:
        _show(found, language)
    for path in written:
        log(f"written: {path}")


def _show(found: KeyFigures, code: str) -> None:
    from leakdetect.cli.times import local
    from leakdetect.kpi import words

    since, until = (local(time, found.site.timezone) for time in (found.since, found.until))
    typer.echo(words.say(words.TEXTS, "period", code).format(site=found.site.name, since=since, until=until))
    districts = [list(of) for _, of in groupby(found.figures, key=lambda f: f.district)]
    for figures in districts:
        if len(districts) > 1:
            key = "district" if figures[0].district else "whole"
            typer.echo("\n" + words.say(words.TEXTS, key, code).format(name=figures[0].district))
        _table(figures, code)
        _missing(figures, code)


def _table(figures: Sequence[Figure], code: str) -> None:
    from leakdetect.cli.console import table
    from leakdetect.kpi import words
    from leakdetect.kpi.figures import GROUPS, VERDICTS
    from leakdetect.report.language import language

    first = {name: group for group, name in GROUPS.items()}
    write = language(code)
    rows: list[list[str]] = []
    footnotes: list[str] = []
    heading = ""
    for f in figures:
        heading = first.get(f.name, heading)
        if f.value is None:
            continue
        if heading:
            rows += [[""] * 5] if rows else []
            rows.append([words.say(words.GROUPS, heading, code), "", "", "", ""])
            heading = ""
        value, low, high = (None if v is None else write.figure(v) for v in (f.value, f.low, f.high))
        if f.name == "eu_in_scope":
            value = words.say(words.TEXTS, "yes" if f.value else "no", code)
        said = [words.say(words.NOTES, note, code) for note in f.notes if note in VERDICTS]
        below = [note for note in f.notes if note not in VERDICTS]
        footnotes += [note for note in below if note not in footnotes]
        marks = "".join(f"[{i}]" for i in sorted(footnotes.index(note) + 1 for note in below))
        notes = ", ".join(said) + (" " if said and marks else "") + marks
        between = "" if low is None or high is None else f"{low} – {high}"
        rows.append(
            [f"  {words.say(words.LABELS, f.name, code)}", value or "", words.unit(f.unit, code), between, notes]
        )
    header = [words.say(words.TEXTS, key, code) for key in ("figure", "value", "unit", "interval", "remark")]
    table("", header, rows, right=(header[1],))
    for i, note in enumerate(footnotes, 1):
        typer.echo(f"[{i}] {words.say(words.NOTES, note, code)}")


def _missing(figures: Sequence[Figure], code: str) -> None:
    """Print what is missing, and what would come of each."""
    from leakdetect.cli.console import table
    from leakdetect.kpi import words

    wanted: dict[str, list[str]] = {}
    for f in figures:
        for key in f.missing:
            wanted.setdefault(key, []).append(words.say(words.LABELS, f.name, code))
    if wanted:
        typer.echo()
        rows = [[words.say(words.MISSING, key, code), "; ".join(names)] for key, names in wanted.items()]
        table("", [words.say(words.TEXTS, key, code) for key in ("missing", "wanted")], rows)
