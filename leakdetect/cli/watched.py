"""What `place` and `detectable` share: which network is asked about, how noisy it is, where a picture goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli.options import Language

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leakdetect.networks import Sensors
    from leakdetect.placement import Watched

SiteFolder = Annotated[Path | None, typer.Argument(metavar="DIR", help="A site folder; or name a --network.")]
Drawing = Annotated[
    str | None, typer.Option(help="An EPANET .inp file, or a sample network.", show_default=False)
]  # fmt: skip
Listed = Annotated[
    Path | None,
    typer.Option(help="CSV quantity,element of what is measured; with --network. Without: sources, pumps, tanks."),
]
SensorNoise = Annotated[
    float | None, typer.Option(help="Of a pressure sensor's mean over six hours, m.", show_default="as fitted, or 0.01")
]
DemandNoise = Annotated[
    float | None, typer.Option(help="Of each junction's demand, as a share of it.", show_default="0.2")
]  # fmt: skip
InLanguage = Annotated[Language, typer.Option(help="Language of the picture.")]


def watch(
    folder: Path | None, network: str | None, listed: Path | None, noise: float | None, demand: float | None
) -> tuple[Watched, Sensors]:  # fmt: skip
    """Return the network that is asked about, and its sensors."""
    from dataclasses import replace

    from leakdetect import networks, placement
    from leakdetect.errors import InputError

    if (folder is None) == (network is None):
        raise InputError("name a site folder or a --network: one of both")
    said = {"pressure": noise, "demand": demand}
    stated = replace(placement.Noise(), **{key: value for key, value in said.items() if value is not None})
    if folder is not None:
        if listed is not None:
            raise InputError("--sensors: a site folder says itself what is measured: leave it out")
        watched, there = placement.of_site(folder, stated)
        watched.noise = replace(watched.noise, **{k: v for k, v in said.items() if v is not None})
        return watched, there
    assert network is not None
    drawing = networks.load(network)
    there = networks.read_sensors(listed) if listed is not None else placement.usual_meters(drawing)
    return placement.as_drawn(drawing, there, stated), there


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, as a whole; errors as `files.replacing`."""
    from leakdetect.files import replacing

    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=150)
