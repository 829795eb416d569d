"""The one vocabulary of the dataset that carries everything: read by code, checks and docs.

Dims ``(time, sensor)``; time is UTC (datetime64[ns], no zone), increasing. The dataset only grows::

    reading -> flag, usable -> expected, expected_sd -> residual -> score
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum

import numpy as np
import xarray as xr

from leakdetect.errors import ReadingsError
from leakdetect.units import SI

TIME, SENSOR = "time", "sensor"


class Quantity(StrEnum):
    """What a sensor measures."""

    FLOW = "flow"  # through a link, positive from its start node to its end node
    PRESSURE = "pressure"  # at a node
    HEAD = "head"  # at a node: elevation + pressure
    LEVEL = "level"  # of a tank, above its bottom
    DEMAND = "demand"  # of a customer at a node (a meter)


class Flag(IntFlag):
    """Why a reading is not used. 0 is good; several may hold at once."""

    MISSING = 1
    STUCK = 2
    SPIKE = 4
    RANGE = 8
    DRIFT = 16
    CLOCK = 32


@dataclass(frozen=True)
class Variable:
    """A row of the vocabulary."""

    name: str
    dtype: str
    made_by: str
    meaning: str


VARIABLES = {
    v.name: v
    for v in (
        Variable("reading", "float64", "readings", "what the sensor said, SI, NaN where it said nothing"),
        Variable("flag", "uint8", "stages.quality", "bits of `Flag`"),
        Variable("usable", "bool", "stages.quality", "no flag holds"),
        Variable("last", "float64", "stages.quality", "last usable reading of a step, SI: what storage changes by"),
        Variable("expected", "float64", "stages.expected", "what the leak-free network would show, SI"),
        Variable("expected_sd", "float64", "stages.expected", "its standard error, SI"),
        Variable("residual", "float64", "stages.residuals", "reading minus expected, SI; NaN where not usable"),
        Variable("score", "float64", "stages.detection", "higher is more leak-like; dimensionless"),
    )
}

COORDINATES = {
    "quantity": "one of `Quantity`",
    "element": "id of the node or link in the network; '' without a network",
    "dma": "district the sensor belongs to; '' for the whole",
    "unit": "the user's unit, for showing; values are SI",
    "step": "s between this sensor's own readings; sensors of different steps share the time axis",
    "personal": "whether it is a household's meter, which goes by its pseudonym; of what `readings` loads only",
}


def new_readings(
    time: np.ndarray,
    sensors: list[str],
    values: np.ndarray,
    *,
    quantity: list[str],
    element: list[str],
    dma: list[str],
    unit: list[str],
    step: list[float],
) -> xr.Dataset:
    """Return a dataset that holds readings only.

    Parameters
    ----------
    time : ndarray of datetime64[ns], shape (T,)
        UTC, strictly increasing.
    sensors : list of str, length S
        Unique names.
    values : ndarray of float, shape (T, S)
        SI; NaN where there is no reading.
    quantity, element, dma, unit, step : list, length S
        See `COORDINATES`.

    Raises
    ------
    ReadingsError
        If times do not increase or sensors repeat.
    """
    data = xr.Dataset(
        {"reading": ((TIME, SENSOR), np.asarray(values, dtype="float64"))},
        coords={
            TIME: np.asarray(time, dtype="datetime64[ns]"),
            SENSOR: np.asarray(sensors, dtype=object),
            "quantity": (SENSOR, np.asarray([str(q) for q in quantity], dtype=object)),
            "element": (SENSOR, np.asarray(element, dtype=object)),
            "dma": (SENSOR, np.asarray(dma, dtype=object)),
            "unit": (SENSOR, np.asarray(unit, dtype=object)),
            "step": (SENSOR, np.asarray(step, dtype="float64")),
        },
    )
    data["reading"].attrs["units"] = "SI (m3/s for flow and demand, m for the rest)"
    check(data)
    return data


def without_meters(data: xr.Dataset) -> xr.Dataset:
    """Return the readings without customers' meters, which are nobody's business one by one."""
    return data.isel({SENSOR: np.flatnonzero(data["quantity"].values != Quantity.DEMAND)})


def joined(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return datasets of the same sensors, each of which goes on where the one before stopped, as one."""
    return xr.concat(parts, TIME, data_vars="minimal", coords="minimal", compat="override", join="override")


def check(data: xr.Dataset) -> None:
    """Raise `ReadingsError` unless `data` keeps the vocabulary."""
    time = data[TIME].values
    if time.size > 1 and not (np.diff(time) > np.timedelta64(0)).all():
        row = int(np.argmin(np.diff(time) > np.timedelta64(0))) + 1
        raise ReadingsError(f"time goes backwards or repeats at {time[row]}: readings must be sorted, one row a time")
    names = data[SENSOR].values
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if list(names).count(n) > 1})
        raise ReadingsError(f"sensor '{twice[0]}' appears twice: give each sensor one name")
    for name in data.data_vars:
        known = VARIABLES.get(str(name))
        if known is None:
            raise ReadingsError(f"variable '{name}' is not in the vocabulary: {', '.join(VARIABLES)}")
        if data[name].dtype != np.dtype(known.dtype) or data[name].dims != (TIME, SENSOR):
            raise ReadingsError(f"variable '{name}' must be {known.dtype} over (time, sensor)")
    for quantity in set(data["quantity"].values):
        if quantity not in SI:
            raise ReadingsError(f"unknown quantity '{quantity}': use one of {', '.join(SI)}")
