"""Sample networks that come with leakdetect: model file, sensors, licence and checksum of each.

>>> from leakdetect import networks
>>> network = networks.load("village")
>>> networks.sensors("village").pressures
('n14', 'n21')
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from leakdetect.epanet import load_network
from leakdetect.errors import InputError, MissingFileError
from leakdetect.network import Network
from leakdetect.networks.sensors import Sensors, read_sensors, sensors_csv, spread_sensors

__all__ = [
    "Entry",
    "Sensors",
    "catalogue",
    "folder",
    "load",
    "path",
    "read_sensors",
    "sensors",
    "sensors_csv",
    "spread_sensors",
]

CATALOGUE = "catalogue.csv"


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue.

    Attributes
    ----------
    id : str
        The model file is ``<id>.inp``, its sensors ``<id>_sensors.csv``.
    junctions, pipes, sensors : int
    source, licence : str
    checksum : str
        SHA-256 of the model file, hexadecimal.
    """

    id: str
    junctions: int
    pipes: int
    sensors: int
    source: str
    licence: str
    checksum: str


def folder() -> Path:
    """Return where the sample networks are: inside the installed package, or beside it in a source tree."""
    here = Path(__file__).resolve().parent
    for place in (here / "data", here.parents[1] / "networks"):
        if (place / CATALOGUE).is_file():
            return place
    raise MissingFileError(f"{here / 'data' / CATALOGUE}: no such file: install leakdetect anew")


def catalogue() -> list[Entry]:
    """Return what there is."""
    with (folder() / CATALOGUE).open(newline="", encoding="utf-8") as file:
        return [
            Entry(
                id=row["id"],
                junctions=int(row["junctions"]),
                pipes=int(row["pipes"]),
                sensors=int(row["sensors"]),
                source=row["source"],
                licence=row["licence"],
                checksum=row["checksum"],
            )
            for row in csv.DictReader(file)
        ]


def path(name: str) -> Path:
    """Return the model file of a sample network; `InputError` if there is none of that id."""
    known = [entry.id for entry in catalogue()]
    if name not in known:
        raise InputError(f"no sample network '{name}': there are {', '.join(known)}")
    return folder() / f"{name}.inp"


def load(name: str) -> Network:
    """Return a sample network; `InputError` if there is none of that id."""
    return load_network(path(name))


def sensors(name: str) -> Sensors:
    """Return where a sample network is measured; `InputError` if there is none of that id."""
    return read_sensors(path(name).with_name(f"{name}_sensors.csv"))
