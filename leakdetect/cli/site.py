"""Commands for the site folder: `init` and `check`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Folder

if TYPE_CHECKING:
    from leakdetect.checks import Report


class Format(StrEnum):
    """How a check is printed."""

    TABLE = "table"
    JSON = "json"


@app.command(epilog="Example: leakdetect init town --network town.inp --readings 'scada/*.csv' --unit flow=m3/h")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The site folder; made if it is not there.")],
    readings: Annotated[list[str], typer.Option(help="Files of readings, as a quoted glob; may be given again.")],
    *,
    network: Annotated[Path | None, typer.Option(help="EPANET model (.inp); without one, districts only.")] = None,
    unit: Annotated[
        list[str] | None, typer.Option(help="QUANTITY=UNIT, such as flow=m3/h; may be given again.")
    ] = None,
    repairs: Annotated[Path | None, typer.Option(help="Repairs done: a link and a time a row.")] = None,
    timezone: Annotated[str, typer.Option(help="Time zone of the files, such as Europe/Paris.")] = "UTC",
    force: Annotated[bool, typer.Option("--force", help="Write over a site that is there.")] = False,
) -> None:
    """Write site.toml, guessing format, units, quantities and sensors, and say what was guessed."""
    from leakdetect.errors import UnitError
    from leakdetect.init import init_site

    units = {}
    for text in unit or []:
        quantity, sign, name = text.partition("=")
        if not sign:
            raise UnitError(f"--unit {text}: expected QUANTITY=UNIT, such as flow=m3/h")
        units[quantity.strip().lower()] = name
    for line in init_site(folder, network, readings, units, repairs, timezone=timezone, force=force):
        typer.echo(line)
    typer.echo(f"written: {folder / 'site.toml'}; next: leakdetect check {folder}")


@app.command(epilog="Example: leakdetect check town")
def check(
    folder: Folder,
    *,
    format_: Annotated[Format, typer.Option("--format", help="A table, or one JSON object.")] = Format.TABLE,
) -> None:
    """Say what is wrong with the network and the readings, where, and how bad; exit code 2 if they cannot be used."""
    import json

    from rich.console import Console

    from leakdetect.checks import Severity, check_site
    from leakdetect.errors import SiteError
    from leakdetect.site import load_site

    site = load_site(folder)
    with Console(stderr=True).status("reading the network and the readings"):
        report = check_site(site)
    if format_ is Format.JSON:
        typer.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(report)
    if not report.usable:
        worst = next((f for f in report.findings if f.severity == Severity.ERROR), None)
        raise SiteError(worst.what if worst else f"{folder}: no sensor has readings")


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Console()
    if not out.is_terminal:  # a file or a pipe has no width to fit into
        out = Console(width=200)
    if report.findings:
        findings = Table("how bad", "where", "what", title="Findings", title_justify="left")
        for finding in report.findings:
            colour = {"error": "bold red", "warning": "yellow"}.get(finding.severity, "")
            findings.add_row(Text(finding.severity, style=colour), Text(finding.where), Text(finding.what))
        out.print(findings)
    if report.sensors:
        sensors = Table(title="Sensors", title_justify="left")
        for name in ("sensor", "quantity", "element", "step", "readings", "usable", "lowest", "middle", "highest"):
            sensors.add_column(name, justify="left" if name in {"sensor", "quantity", "element"} else "right")
        sensors.add_column("unit")
        sensors.add_column("flags")
        for s in report.sensors:
            numbers = [f"{v:g}" if v is not None else "" for v in (s.lowest, s.middle, s.highest)]
            flags = ", ".join(f"{count} {name}" for name, count in s.flags.items())
            cells = [
                s.sensor,
                s.quantity,
                s.element,
                f"{s.step_s / 60:g} min",
                str(s.readings),
                f"{s.usable_share:.1%}",
            ]
            sensors.add_row(*(Text(cell) for cell in [*cells, *numbers, s.unit, flags]))
        out.print(sensors)
