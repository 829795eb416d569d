"""`leakdetect place`: where sensors should go, and what each next one buys."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Language
from leakdetect.cli.watched import DemandNoise, Drawing, InLanguage, Listed, SensorNoise, SiteFolder, save, watch

if TYPE_CHECKING:
    from leakdetect.placement import Board, Placement, Watched

_SHARE, _LEAST, _MOST = 0.03, 0.5, 10.0  # of the demand, [m3/h]: the leak that is asked about where nothing is said


class Aim(StrEnum):
    """What is wanted of the sensors."""

    ZONE = "zone"
    FOUND = "found"


class Format(StrEnum):
    """How the sensors chosen are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command(epilog="Example: leakdetect place --network town --count 5 --plot places.png")
def place(
    folder: SiteFolder = None,
    *,
    network: Drawing = None,
    sensors: Listed = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many new pressure sensors.", show_default=False)] = None,
    budget: Annotated[
        float | None, typer.Option(help="What they may cost together, instead of --count.", show_default=False)
    ] = None,
    costs: Annotated[Path | None, typer.Option(help="CSV node,cost; nodes that are not in it cost 1.")] = None,
    allowed: Annotated[Path | None, typer.Option(help="CSV node: where they may go; everywhere if not given.")] = None,
    forbidden: Annotated[Path | None, typer.Option(help="CSV node: where they may not go.")] = None,
    objective: Annotated[
        Aim, typer.Option(help="zone: short zones to walk; found: many leaks found in time.")
    ] = Aim.ZONE,
    leak: Annotated[
        float | None, typer.Option(help="Flow of the leaks, m3/h.", show_default="3 % of the demand, 0.5 to 10")
    ] = None,
    within: Annotated[float, typer.Option(help="Days within which they are to be found.")] = 7.0,
    joint: Annotated[
        bool, typer.Option(help="Choose with the noise in common; without it 63 % are sure beforehand.")
    ] = True,
    noise: SensorNoise = None,
    demand_noise: DemandNoise = None,
    against: Annotated[
        Path | None, typer.Option(help="CSV node: other places, measured by the same objective.")
    ] = None,
    random: Annotated[int, typer.Option(min=0, max=10_000, help="Draws of as many random places, measured too.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Picture of the curve and the places (.png).")] = None,
    lang: InLanguage = Language.EN,
    format_: Annotated[Format, typer.Option("--format", help="Of what is printed.")] = Format.TABLE,
) -> None:
    """Say where to put pressure sensors, what each next one buys, and how near that is to the best there is."""
    from leakdetect import placement
    from leakdetect.cli.console import log

    watched, there = watch(folder, network, sensors, noise, demand_noise)
    with watched:
        wish = placement.Wish(placement.Aim(objective), _usual_leak(watched.demand) if leak is None else leak, within)
        placed = placement.place(
            watched, wish, count=count, budget=budget, given=there.pressures,
            allowed=placement.read_nodes(allowed) if allowed else None,
            forbidden=placement.read_nodes(forbidden) if forbidden else (),
            cost=placement.read_costs(costs) if costs else None, joint=joint,
        )  # fmt: skip
        beside = _beside(watched, placed, placement.read_nodes(against) if against else [], random, allowed, forbidden)
        if plot is not None:
            from leakdetect.report.placement import WORDS, placement_figure

            save(placement_figure(watched.network, placed, WORDS[lang]), plot)
            log(str(plot))
        log(
            f"leaks of {wish.leak:g} m3/h within {wish.days:g} days; noise of a sensor {watched.noise.pressure:.3g} m, "
            f"of customers {100 * watched.noise.demand:g} %; {placed.leaks} leaks, {placed.places} places"
        )
        _tell(placed, beside, format_)


def _usual_leak(demand: float) -> float:
    return round(min(max(_SHARE * demand, _LEAST), _MOST), 2)


def _beside(
    watched: Watched, placed: Placement, other: Sequence[str], draws: int, allowed: Path | None, forbidden: Path | None
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure other places by the same objective: those named, and random ones where sensors may go."""
    import numpy as np

    from leakdetect import placement

    if not other and not draws:
        return []
    network = watched.network
    usable = placement.places_of(
        network,
        placement.read_nodes(allowed) if allowed else None,
        placement.read_nodes(forbidden) if forbidden else (),
    )
    there = np.array([network.node(n) for n in placed.given], dtype=np.int64)
    named = np.array([network.node(n) for n in other], dtype=np.int64)
    chosen = np.array([network.node(n) for n in placed.nodes], dtype=np.int64)
    board = placement.Board(watched, np.unique(np.r_[usable, there, named]), placed.wish)
    found = [_measured(board, "chosen", [np.r_[there, chosen]])]
    if len(named):
        found.append(_measured(board, "against", [np.r_[there, named]]))
    if draws:
        generator = np.random.default_rng(0)
        free = np.setdiff1d(usable, there)
        sets = [np.r_[there, generator.choice(free, min(len(chosen), len(free)), replace=False)] for _ in range(draws)]
        found.append(_measured(board, f"mean of {draws} random", sets))
        best = (np.argmin if placed.wish.aim == placement.Aim.ZONE else np.argmax)([board.value(s) for s in sets])
        found.append(_measured(board, f"best of {draws} random", [sets[int(best)]]))
    return found


def _measured(board: Board, name: str, sets: Sequence[Any]) -> dict[str, Any]:
    import numpy as np

    worth = [board.worth(s) for s in sets]
    return {
        "places": name,
        "sensors": len(sets[0]),
        "objective": float(np.mean([board.value(s) for s in sets])),
        "found": float(np.mean([w.found for w in worth])),
        "zone_m": float(np.mean([w.zone_m for w in worth])),
    }


def _tell(placed: Placement, beside: list[dict[str, Any]], form: Format) -> None:
    import json

    from leakdetect.cli.console import table

    aim = placed.wish.aim
    steps: list[dict[str, Any]] = [
        {
            "sensor": number, "node": step.node, "cost": step.cost, "spent": step.spent, "objective": step.value,
            "found": step.worth.found if step.worth else None, "zone_m": step.worth.zone_m if step.worth else None,
        }
        for number, step in enumerate(placed.steps)
    ]  # fmt: skip
    if form is Format.JSON:
        whole = {
            "aim": str(aim), "leak_m3h": placed.wish.leak, "days": placed.wish.days, "given": placed.given,
            "of_best": placed.of_best, "beforehand": placed.beforehand, "leaks": placed.leaks, "places": placed.places,
            "steps": steps, "beside": beside,
        }  # fmt: skip
        typer.echo(json.dumps(whole, indent=1, ensure_ascii=False))
        return
    if form is Format.CSV:
        from leakdetect.report import table as csv

        typer.echo(csv.text(steps, list(steps[0])), nl=False)
        return
    objective = "expected zone m" if aim == "zone" else "found %, at most"
    header = ("sensor", "node", "cost", "spent", objective, "found %", "zone m")
    rows = [
        [
            str(s["sensor"]), s["node"] or "those there are", _plain(s["cost"]), _plain(s["spent"]),
            _value(s["objective"], aim), _share(s["found"]), _whole(s["zone_m"]),
        ]
        for s in steps
    ]  # fmt: skip
    table("", header, rows, right=("sensor", *header[2:]))
    typer.echo(
        f"\nat least {100 * placed.of_best:.1f} % of what the best choice of the same cost would gain in the objective"
        + (f" (of every such problem at least {100 * placed.beforehand:.0f} %)" if placed.beforehand else "")
    )
    if beside:
        typer.echo()
        across = ("places", "sensors", objective, "found %", "zone m")
        rows = [
            [b["places"], str(b["sensors"]), _value(b["objective"], aim), _share(b["found"]), _whole(b["zone_m"])]
            for b in beside
        ]
        table("", across, rows, right=across[1:])


def _plain(value: float) -> str:
    return f"{value:g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _value(value: float, aim: str) -> str:
    return _whole(value) if aim == "zone" else _share(value)
