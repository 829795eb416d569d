"""`leakdetect leakdb`: a scenario of LeakDB as a world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leakdetect.cli import app


@app.command(epilog="Example: leakdetect leakdb Hanoi_CMH/Scenario-5 --out hanoi5")
def leakdb(
    scenario: Annotated[Path, typer.Argument(metavar="DIR", help="With Pressures, Flows, Labels.csv, Timestamps.csv.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    network: Annotated[
        Path | None, typer.Option(help="EPANET model.", show_default="the one in the folder")
    ] = None,
    sensors: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns quantity,element.", show_default="pressure everywhere and what flows in"
        ),
    ] = None,
) -> None:  # fmt: skip
    """Bring a scenario of LeakDB into files that init reads, and its labels into what score --rule leakdb reads."""
    from leakdetect.networks import read_sensors
    from leakdetect.scenarios.leakdb import import_leakdb

    chosen = import_leakdb(scenario, out, network=network, sensors=None if sensors is None else read_sensors(sensors))
    typer.echo(
        f"{out}: {len(chosen)} sensors; next: leakdetect init SITE --network {out}/*.inp "
        f"--readings '{out}/*_SCADA_*' --unit flow=m3/h"
    )
