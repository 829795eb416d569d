"""The command `benchmark`: accuracy and speed, against their targets."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.console import log, table


class Group(StrEnum):
    """What is measured."""

    ACCURACY = "accuracy"
    SPEED = "speed"


@app.command(
    epilog="Example: leakdetect benchmark speed --small, or "
    "leakdetect benchmark accuracy --only pooled --network town.inp --simulate 10 --keep worlds"
)
def benchmark(
    group: Annotated[Group | None, typer.Argument(help="accuracy or speed; both if not given.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of figures.")] = False,
    small: Annotated[bool, typer.Option(help="The smallest networks and worlds: seconds instead of minutes.")] = False,
    worlds: Annotated[
        list[Path] | None, typer.Option(help="For accuracy: a folder in BattLeDIM's layout; may be repeated.")
    ] = None,
    network: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also measure speed on this model; the model of worlds that bring none and of those that are "
            "simulated; may be repeated."
        ),
    ] = None,
    sensors: Annotated[
        Path | None,
        typer.Option(
            help="Sensors of the simulated worlds: CSV with the columns quantity,element.", show_default=False
        ),
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Two-year worlds to make on each network, every second with nuisances.",
            show_default="2 where no world or network is named, on the sample networks",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first simulated world; the next has the next.")] = 1,
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder for simulated worlds; those it holds already are used.", show_default=False),
    ] = None,
    detector: Annotated[list[str] | None, typer.Option(help="Only this detector; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Over worlds, the baselines beside the hydraulic one.")] = False,
    ablation: Annotated[bool, typer.Option(help="Also turn each switch of the hydraulic detector.")] = False,
    readings: Annotated[
        Path | None,
        typer.Option(help="A table of inflows or a site folder, for leaks to be added to.", show_default="made up"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worlds that are taken side by side.", show_default="as many as there are cores"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, whose workers take the worlds; with --keep."),
    ] = None,
    only: Annotated[
        str, typer.Option(help="Only figures whose id begins so, such as pooled.", show_default=False)
    ] = "",
) -> None:
    """Measure accuracy and speed, against their targets; exit code 1 if a target is missed."""
    from rich.console import Console

    from leakdetect.benchmark import load_registry
    from leakdetect.errors import InputError
    from leakdetect.parallel import crew, usable_cores

    if scheduler and keep is None:
        raise InputError("--scheduler: name a folder for simulated worlds that every worker reaches, with --keep")
    registry = load_registry()
    console = Console(stderr=True)
    with console.status("") as status, crew(workers or usable_cores(), scheduler, log) as team:
        setting = registry.Setting(
            small=small,
            worlds=tuple(worlds or ()),
            networks=tuple(network or ()),
            detectors=tuple(detector or ()),
            every=every,
            simulate=simulate,
            sensors=sensors,
            seed=seed,
            keep=keep,
            ablation=ablation,
            readings=readings,
            note=status.update,
            crew=team,
        )
        rows = list(registry.run(setting, group, only))
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows], indent=1, ensure_ascii=False))
    else:
        shown = [
            [
                r.id, _significant(r.value), _interval(r.low, r.high), r.unit, r.target or "",
                {None: "", True: "ok", False: "missed"}[r.ok],
            ]
            for r in rows
        ]  # fmt: skip
        table(registry.machine(), ["benchmark", "value", "95 %", "unit", "target", ""], shown)
    if any(row.ok is False for row in rows):
        raise typer.Exit(1)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_significant(low)} to {_significant(high)}"


def _significant(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
