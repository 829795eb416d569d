"""Fitted models of the sample networks that come with leakdetect: netCDF, with a card that says how each was made.

>>> from leakdetect import models
>>> models.card("town").network
'town'
>>> model = models.load("town")
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from leakdetect.errors import InputError
from leakdetect.files import shipped

__all__ = ["Card", "card", "folder", "load", "names", "path"]


@dataclass(frozen=True)
class Card:
    """What is known of a fitted model.

    Attributes
    ----------
    id : str
        The model is ``<id>.nc``, its card ``<id>.toml``.
    network, network_checksum : str
        Id of the sample network, and SHA-256 of its file when the model was fitted.
    detector : str
        Of `leakdetect.detectors`.
    sensors : int
        Those that come with the sample network.
    first, last : str
        First and last step of the window (ISO 8601, UTC).
    step_minutes : int
    readings : str
        Where the readings of the window came from.
    seed : int
        Of the simulated world.
    pressure_error_m, flow_error_m3h : float
        Standard deviation of reading minus expected over the two weeks that follow the window, hour by hour: the median
        sensor's.
    made_by, version, licence : str
        The command, leakdetect's version, the licence.
    checksum : str
        SHA-256 of the model.
    """

    id: str
    network: str
    network_checksum: str
    detector: str
    sensors: int
    first: str
    last: str
    step_minutes: int
    readings: str
    seed: int
    pressure_error_m: float
    flow_error_m3h: float
    made_by: str
    version: str
    licence: str
    checksum: str


def folder() -> Path:
    """Return where the fitted models are; errors as `leakdetect.files.shipped`."""
    return shipped(Path(__file__).resolve().parent, "models", "*.toml")


def names() -> list[str]:
    """Return the ids of the models there are."""
    return sorted(file.stem for file in folder().glob("*.toml"))


def path(name: str) -> Path:
    """Return a model's file, to be copied as ``model.nc`` into a site; `InputError` if there is none of that id."""
    if name not in names():
        raise InputError(f"no fitted model '{name}': there are {', '.join(names())}")
    return folder() / f"{name}.nc"


def card(name: str) -> Card:
    """Return a model's card; `InputError` if there is none of that id."""
    return Card(**tomllib.loads(path(name).with_suffix(".toml").read_text(encoding="utf-8")))


def load(name: str) -> xr.Dataset:
    """Return a fitted model.

    Raises
    ------
    InputError
        If there is none of that id, or the file is not the one its card speaks of.
    """
    file = path(name)
    if hashlib.sha256(file.read_bytes()).hexdigest() != card(name).checksum:
        raise InputError(f"{file}: is not the model of its card: install leakdetect anew")
    return xr.load_dataset(file, engine="h5netcdf")
