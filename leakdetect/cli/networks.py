"""`leakdetect networks`: the sample networks, where their files are, copies of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leakdetect.cli import app

_Id = Annotated[str, typer.Argument(metavar="ID", help="Of the catalogue, such as town or Net3.")]

group = typer.Typer(
    help="The sample networks; without a command, list them.", rich_markup_mode=None, invoke_without_command=True
)
app.add_typer(group, name="networks", epilog="Example: leakdetect networks copy city mycity")


@group.callback()
def _list(context: typer.Context) -> None:
    from leakdetect.cli.console import table
    from leakdetect.networks import catalogue

    if context.invoked_subcommand is None:
        numbers = ("junctions", "pipes", "sensors")
        header = ("id", *numbers, "kept", "licence", "source")
        rows = [[getattr(entry, name) for name in header] for entry in catalogue()]
        table("", header, [[f"{v:,}" if isinstance(v, int) else v for v in row] for row in rows], right=numbers)


@group.command(epilog="Example: leakdetect networks path Net3")
def path(name: _Id) -> None:
    """Print where the model file is; it is made if need be."""
    from leakdetect import networks

    typer.echo(networks.path(networks.entry(name).id))


@group.command(epilog="Example: leakdetect networks copy city mycity")
def copy(
    name: _Id, folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")]
) -> None:  # fmt: skip
    """Copy the model file and the list of its sensors."""
    from leakdetect import networks
    from leakdetect.errors import InputError
    from leakdetect.files import replacing

    known = networks.entry(name).id
    source = networks.path(known)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is not a folder: name another")
    folder.mkdir(parents=True, exist_ok=True)
    content = {f"{known}.inp": source.read_bytes(), f"{known}_sensors.csv": networks.sensors_path(known).read_bytes()}
    for file, data in content.items():
        with replacing(folder / file) as part:
            part.write_bytes(data)
        typer.echo(folder / file)
