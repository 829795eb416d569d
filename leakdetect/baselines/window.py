"""What every baseline reads from the dataset: values of the sensors it knows, the local day, the measured inflow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError
from leakdetect.network import Floats, Ints, Network, Node
from leakdetect.schema import SENSOR, TIME, Quantity

MORNING = 6
"""A day ends at this local hour, so that the night is judged in the morning."""
_DAY = 86400


@dataclass(frozen=True)
class Window:
    """Steps of readings.

    Attributes
    ----------
    time : ndarray of datetime64[ns], shape (T,)
        UTC.
    values : ndarray, shape (T, S)
        SI; NaN where not usable.
    day, slot : ndarray of int, shape (T,)
        The local day that each step belongs to, and its place in it.
    heard : ndarray of datetime64[ns], shape (T,)
        The last reading of each step; NaT where every sensor is silent.
    last : ndarray of bool, shape (T,)
        Whether the step is the last of its day.
    slots : int
        Steps in a day.
    """

    time: NDArray[np.datetime64]
    values: Floats
    day: Ints
    slot: Ints
    heard: NDArray[np.datetime64]
    last: NDArray[np.bool_]
    slots: int


def read_window(data: xr.Dataset, sensors: list[str], step: int, timezone: str) -> Window:
    """Return the readings of these sensors; `ReadingsError` names one that is not there."""
    known = {str(name): i for i, name in enumerate(data[SENSOR].values)}
    missing = [name for name in sensors if name not in known]
    if missing:
        raise ReadingsError(f"sensor '{missing[0]}' is in the model and not in the readings: fit the model again")
    columns = [known[name] for name in sensors]
    values = data["reading"].transpose(TIME, SENSOR).values[:, columns]
    if "usable" in data:
        values = np.where(data["usable"].transpose(TIME, SENSOR).values[:, columns], values, np.nan)
    time = data[TIME].values.astype("datetime64[ns]")
    seconds = _local(time, timezone)
    following = _local((time + np.timedelta64(step, "s")).astype("datetime64[ns]"), timezone)
    day = seconds // _DAY
    return Window(
        time=time,
        values=values,
        day=day,
        slot=(seconds - day * _DAY) // step,
        heard=_heard(data, time),
        last=following // _DAY != day,
        slots=-(-_DAY // step),
    )


def _heard(data: xr.Dataset, time: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    if "last_reading" in data.coords:  # steps are means: the last reading in them came later than their label
        return data["last_reading"].values.astype("datetime64[ns]")
    silent = np.isnan(data["reading"].transpose(TIME, SENSOR).values).all(axis=1)
    return np.where(silent, np.datetime64("NaT", "ns"), time)


def _local(time: NDArray[np.datetime64], timezone: str) -> Ints:
    """Return seconds of the local clock since the first `MORNING`."""
    index = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    local: Ints = index.to_numpy().astype("datetime64[s]").astype(np.int64) - MORNING * 3600
    return local


def step_of(data: xr.Dataset) -> int:
    """Return the step of the readings [s]; `ReadingsError` where there are too few."""
    time = data[TIME].values.astype("datetime64[s]").astype(np.int64)
    if time.size < 2:
        raise ReadingsError("fewer than two steps of readings: give a longer window to fit on")
    return int(np.median(np.diff(time)))


def sensors_of(data: xr.Dataset, quantity: Quantity) -> list[str]:
    """Return the names of the sensors of a quantity."""
    return [str(n) for n, q in zip(data[SENSOR].values, data["quantity"].values, strict=True) if q == str(quantity)]


def elements_of(data: xr.Dataset, sensors: list[str]) -> list[str]:
    """Return the network elements of these sensors."""
    element = {str(n): str(e) for n, e in zip(data[SENSOR].values, data["element"].values, strict=True)}
    return [element[name] for name in sensors]


def inflow_signs(data: xr.Dataset, network: Network | None) -> dict[str, float]:
    """Return the flow sensors whose sum is the inflow of the whole, with their signs.

    With a network these are the meters that part a reservoir from the rest, positive away from it; without one, or
    where none does, every flow sensor counts as it is.
    """
    sensors = sensors_of(data, Quantity.FLOW)
    plain = dict.fromkeys(sensors, 1.0)
    if network is None or not sensors:
        return plain
    pairs = zip(sensors, elements_of(data, sensors), strict=True)
    links = {name: network.link(element) for name, element in pairs if network.has_link(element)}
    part = network.components(np.array(list(links.values()), dtype=np.int64))
    sources = set(part[network.node_kind == Node.RESERVOIR].tolist())
    signs = {}
    for name, link in links.items():
        from_source = part[network.start[link]] in sources, part[network.end[link]] in sources
        if from_source[0] != from_source[1]:
            signs[name] = 1.0 if from_source[0] else -1.0
    return signs or plain
