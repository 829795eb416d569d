"""`leakdetect simulate` and `leakdetect demo`: worlds whose leaks are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app


class Layout(StrEnum):
    """How readings are written."""

    BATTLEDIM = "battledim"
    PARQUET = "parquet"
    NETCDF = "netcdf"


if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from leakdetect.demo import Row
    from leakdetect.events import Event
    from leakdetect.networks import Sensors
    from leakdetect.scenarios import Scenario, World

_Names = Annotated[str, typer.Option(help="Elements instead of a list, comma between them.", show_default=False)]


@app.command(epilog="Example: leakdetect simulate --network town --out world --seed 1 --years 2 --noise 0.03 --trouble")
def simulate(
    *,
    network: Annotated[str, typer.Option(help="An EPANET .inp file, or a sample network (see leakdetect networks).")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    sensors: Annotated[
        Path | None, typer.Option(help="CSV with the columns quantity,element (pressure, flow, level, demand).")
    ] = None,
    pressures: _Names = "",
    flows: _Names = "",
    levels: _Names = "",
    demands: _Names = "",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 1,
    start: Annotated[str, typer.Option(help="First day, UTC.")] = "2018-01-01",
    years: Annotated[int, typer.Option(min=1, max=20, help="Calendar years.")] = 2,
    days: Annotated[int | None, typer.Option(min=1, help="Days instead of years.", show_default=False)] = None,
    step: Annotated[int, typer.Option(min=1, max=60, help="Minutes between readings.")] = 5,
    leaks: Annotated[
        str, typer.Option(help="How many begin in each year: 12,18 (default: by length).", show_default=False)
    ] = "",
    leak_size: Annotated[
        float | None, typer.Option(min=0.05, max=5, help="Factor on 9-22 mm holes.", show_default="by demand")
    ] = None,
    roughness: Annotated[float, typer.Option(min=0, max=0.5, help="Error of the drawing's roughness.")] = 0.10,
    noise: Annotated[float, typer.Option(min=0, help="Of pressure and level readings, m.")] = 0.0,
    offset: Annotated[float, typer.Option(min=0, help="Of a pressure logger's height, m.")] = 0.0,
    meter_error: Annotated[float, typer.Option(min=0, max=0.2, help="Of a flow meter, relative.")] = 0.0,
    missing: Annotated[float, typer.Option(min=0, max=0.9, help="Share of readings lost.")] = 0.0,
    trouble: Annotated[bool, typer.Option(help="Stuck, drifting, spiking, dead loggers; outages.")] = False,
    prv_reset: Annotated[float, typer.Option(help="Set one PRV anew by so many m; 0: none.")] = 0.0,
    shut: Annotated[int, typer.Option(min=0, help="Pipes that are shut and nobody knows.")] = 0,
    all_repairs: Annotated[bool, typer.Option(help="Repair lists of all years, not the first only.")] = False,
    bursts: Annotated[
        int, typer.Option(min=0, help="Pipes that break in a year; customers then get less where pressure is short.")
    ] = 0,
    pressure_driven: Annotated[bool, typer.Option(help="Customers get less below 15 m of pressure.")] = False,
    background: Annotated[
        float, typer.Option(min=0, max=0.9, help="Background leakage at 40 m, as a share of the demand.")
    ] = 0.0,
    stretch: Annotated[
        float, typer.Option(min=0, max=1, help="By which holes widen for each m of pressure (FAVAD).")
    ] = 0.0,
    operations: Annotated[
        bool, typer.Option(help="Pipes shut for days, hydrant tests, a fire, as in a usual year.")
    ] = False,
    pump_changes: Annotated[
        int, typer.Option(min=0, help="Weeks a year in which a pump runs between other levels.")
    ] = 0,
    weather: Annotated[
        float, typer.Option(min=0, max=1, help="Demand of a usual hot, dry day in summer, relative.")
    ] = 0.0,
    holidays: Annotated[
        float, typer.Option(min=0, max=1, help="Share of customers who are away on public holidays.")
    ] = 0.0,
    clocks: Annotated[int, typer.Option(min=0, help="Loggers a year whose clock is wrong for weeks.")] = 0,
    format_: Annotated[
        Layout, typer.Option("--format", help="Of the readings; the truth is always in BattLeDIM's.")
    ] = Layout.BATTLEDIM,
    worlds: Annotated[
        int, typer.Option(min=1, help="How many, of this seed and the next ones, each in a folder seed-N.")
    ] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many at a time.")] = 1,
) -> None:
    """Make a labelled scenario in the BattLeDIM layout: readings, repairs, and the truth."""
    from leakdetect import scenarios
    from leakdetect.errors import InputError
    from leakdetect.scenarios import DemandNoise, Operations, Scenario, SensorError, Trouble
    from leakdetect.scenarios import simulate as make
    from leakdetect.scenarios.many import simulate_many
    from leakdetect.scenarios.scenario import whole_years

    first = _day(start)
    path, measured = _network(
        network, sensors, {"pressures": pressures, "flows": flows, "levels": levels, "demands": demands}
    )
    if 60 % step:
        raise InputError(f"--step {step}: use a divisor of an hour")
    scenario = Scenario(
        seed=seed,
        start=first,
        days=whole_years(first, years) if days is None else days,
        step=step * 60,
        leaks_per_year=_counts(leaks) if leaks else None,
        leak_size=leak_size,
        roughness=roughness,
        error=SensorError(noise=noise, offset=offset, meter=meter_error, meter_noise=meter_error / 2, missing=missing),
        trouble=replace(Trouble.usual() if trouble else Trouble(), clock=clocks),
        prv_reset=prv_reset,
        shut=shut,
        all_repairs=all_repairs,
        demand=DemandNoise(weather=weather, holidays=holidays),
        bursts=bursts,
        pressure_driven=pressure_driven,
        background=background,
        stretch=stretch,
        operations=replace(Operations.usual() if operations else Operations(), pumps=pump_changes),
    )
    layout = scenarios.Layout(format_)
    if worlds > 1:
        each = [replace(scenario, seed=seed + k) for k in range(worlds)]
        for folder, world in simulate_many(path, out, each, sensors=measured, layout=layout, jobs=jobs):
            _tell(folder, scenario, world)
        return
    with _bar("simulating") as progress:
        world = make(path, out, scenario, sensors=measured, layout=layout, progress=progress)
    _tell(out, scenario, world)


def _tell(out: Path, scenario: Scenario, world: World) -> None:
    for what, times in world.warnings.items():
        typer.echo(f"EPANET: {what} at {times} of {scenario.steps} steps", err=True)
    typer.echo(
        f"{out}: {scenario.days} days, {len(world.sensors)} sensors, {len(world.leaks)} leaks, "
        f"{len(world.nuisances)} nuisances"
    )


@app.command(epilog="Example: leakdetect demo --out demo")
def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder to make; an earlier demo there is replaced.")] = Path(
        "leakdetect-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another town, other leaks.")] = 1,
) -> None:
    """Invent a small town with two leaks, fit, detect, write the report; say what was found of what was put in."""
    from leakdetect import demo as town
    from leakdetect import pipeline
    from leakdetect.cli.console import log, progress
    from leakdetect.report import write_report

    with progress() as tell:
        tell("inventing a town", 0.0)
        town.make_site(out, seed)
        pipeline.fit(out, None, town.fit_until(), tell)
        pipeline.detect(out, None, None, tell)
        tell("writing the report", 0.0)
        site, network, series, events = pipeline.results(out)
        path = out / "report.html"
        write_report(path, site=site, network=network, data=series, events=events)
    assert network is not None  # make_site drew it
    _print_demo(*town.compare(network, town.truth(out), events))
    typer.echo(f"\nreport: {path}")
    log(f"look at what it did: leakdetect events {out} list; leakdetect score {out} --truth {out / 'truth/leaks.csv'}")


def _print_demo(rows: Sequence[Row], rest: Sequence[Event]) -> None:
    import numpy as np

    from leakdetect.cli.console import table
    from leakdetect.cli.times import local

    shown = []
    for row in rows:
        put_in = [row.pipe, local(row.start, "UTC"), f"{row.flow_m3h:.1f}"]
        if row.event is None:
            shown.append([*put_in, "not found", "", "", "", "", ""])
            continue
        hours = (row.event.raised_at - row.start) / np.timedelta64(1, "h")
        zone = row.event.zone
        shown.append(
            [
                *put_in, row.found_pipe or "", f"{row.distance_m:.0f}", "yes" if row.pipe in zone.links else "no",
                f"{zone.length_m:.0f}", f"{row.event.flow_m3h:.1f}", f"{hours:.0f}",
            ]
        )  # fmt: skip
    header = ["leak in", "since", "m3/h then", "found in", "m away", "in zone", "zone m", "m3/h found", "hours after"]
    table("", header, shown, right=("m3/h then", "m away", "zone m", "m3/h found", "hours after"))
    found = sum(row.event is not None for row in rows)
    typer.echo(f"\n{found} of {len(rows)} leaks found, {len(rest)} false alarms or repeats")


def _network(network: str, listed: Path | None, given: dict[str, str]) -> tuple[Path, Sensors | None]:
    """Return the model file and its sensors: given, listed, those of the sample, or None to spread them."""
    from leakdetect import networks

    path = networks.path(network)
    names = {key: tuple(n.strip() for n in text.split(",") if n.strip()) for key, text in given.items()}
    if any(names.values()):
        return path, networks.Sensors(**names)
    if listed is not None:
        return path, networks.read_sensors(listed)
    return path, networks.sensors(network) if networks.is_sample(network) else None


def _day(text: str) -> np.datetime64:
    import numpy as np

    from leakdetect.errors import InputError

    try:
        day: np.datetime64 = np.datetime64(text, "D").astype("datetime64[s]")
    except ValueError:
        raise InputError(f"--start {text}: write a day as 2018-01-01") from None
    return day


def _counts(text: str) -> list[int]:
    from leakdetect.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise InputError(f"--leaks {text}: write how many begin in each year, as 12,18")
    return [int(part) for part in parts]


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:  # older versions of rich end a progress that is off with an empty line
        yield lambda _done, _total: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
