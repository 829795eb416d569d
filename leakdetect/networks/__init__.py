"""Sample networks: model file, sensors, licence and checksum of each.

>>> from leakdetect import networks
>>> network = networks.load("village")
>>> networks.sensors("village").pressures
('n14', 'n21')
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from leakdetect.epanet import library_path, load_network
from leakdetect.errors import InputError
from leakdetect.files import shipped
from leakdetect.network import Network
from leakdetect.networks.cache import cached
from leakdetect.networks.sensors import Sensors, read_sensors, sensors_csv, spread_sensors

__all__ = [
    "Entry",
    "Kept",
    "Sensors",
    "catalogue",
    "entry",
    "folder",
    "is_sample",
    "load",
    "path",
    "read_sensors",
    "sensors",
    "sensors_csv",
    "sensors_path",
    "spread_sensors",
]

CATALOGUE = "catalogue.csv"


class Kept(StrEnum):
    """Where a model file is."""

    HERE = "here"  # beside the catalogue
    MADE = "made"  # invented when it is first asked for, then in the user's cache
    WNTR = "wntr"  # one of the library networks of WNTR


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue.

    Attributes
    ----------
    id : str
        Its sensors are in ``<id>_sensors.csv``.
    kept : Kept
    junctions, pipes, sensors : int
    source, licence : str
    checksum : str
        SHA-256 of the model file, hexadecimal.
    """

    id: str
    kept: Kept
    junctions: int
    pipes: int
    sensors: int
    source: str
    licence: str
    checksum: str


def folder() -> Path:
    """Return where the catalogue is; errors as `leakdetect.files.shipped`."""
    return shipped(Path(__file__).resolve().parent, "networks", CATALOGUE)


def catalogue() -> list[Entry]:
    """Return what there is."""
    with (folder() / CATALOGUE).open(newline="", encoding="utf-8") as file:
        return [
            Entry(
                id=row["id"],
                kept=Kept(row["kept"]),
                junctions=int(row["junctions"]),
                pipes=int(row["pipes"]),
                sensors=int(row["sensors"]),
                source=row["source"],
                licence=row["licence"],
                checksum=row["checksum"],
            )
            for row in csv.DictReader(file)
        ]


def is_sample(name: str) -> bool:
    """Return whether a sample network has that id."""
    return name in {each.id for each in catalogue()}


def entry(name: str) -> Entry:
    """Return a row of the catalogue; `InputError` if there is none of that id."""
    known = {each.id: each for each in catalogue()}
    if name not in known:
        raise InputError(f"no sample network '{name}': there are {', '.join(known)}; or name an .inp file")
    return known[name]


def path(name: str) -> Path:
    """Return the model file of a sample network, which is made if need be; of a path to a model file, itself.

    Raises
    ------
    InputError
        If there is neither such a sample nor such a file, or it has to be made and cannot be kept.
    """
    if name.lower().endswith(".inp") or (not is_sample(name) and Path(name).is_file()):
        return Path(name)
    found = entry(name)
    if found.kept is Kept.WNTR:
        return library_path(name)
    return folder() / f"{name}.inp" if found.kept is Kept.HERE else cached(name, found.checksum)


def load(name: str) -> Network:
    """Return a sample network, or a model file's; errors as `path` and `leakdetect.epanet.load_network`."""
    return load_network(path(name))


def sensors(name: str) -> Sensors:
    """Return where a sample network is measured; `InputError` if there is none of that id."""
    return read_sensors(sensors_path(name))


def sensors_path(name: str) -> Path:
    """Return the list of a sample network's sensors, as a file; `InputError` if there is none of that id."""
    return folder() / f"{entry(name).id}_sensors.csv"
