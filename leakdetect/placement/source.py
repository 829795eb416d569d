"""From a site folder or a model file to a network as it is watched; lists of nodes and of costs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from leakdetect import readings
from leakdetect.errors import InputError, MissingFileError
from leakdetect.netcdf import load_model
from leakdetect.network import Network
from leakdetect.networks import Sensors, spread_sensors
from leakdetect.pipeline import open_site
from leakdetect.placement.noise import Noise
from leakdetect.placement.watched import Watched, as_drawn, as_fitted
from leakdetect.schema import SENSOR, Quantity

_DAY = np.timedelta64(1, "D")


def of_site(folder: Path, noise: Noise | None = None) -> tuple[Watched, Sensors]:
    """Watch a site with its sensors: as its fit found it or, before the first fit, as drawn.

    Parameters
    ----------
    folder : Path
    noise : Noise, optional
        Of a site that was not fitted yet.

    Raises
    ------
    LeakdetectError
        Where site, network, readings or model do not allow it.
    """
    site, network = open_site(folder)
    if network is None:
        raise InputError(f"{folder / 'site.toml'}: names no network: sensors are placed on one")
    fitted = site.model_path.is_file()
    if not fitted:
        data = readings.load(site, network=network)
    else:
        model, _ = load_model(site)
        until = np.datetime64(str(model.attrs.get("window_end", "NaT")), "ns")
        since: np.datetime64 = until - _DAY
        data = readings.load(site, since=since, until=until, network=network)
    names, quantity, element = (
        [str(v) for v in data[what].values] for what in (SENSOR, "quantity", "element")
    )  # fmt: skip
    listed = _sensors(quantity, element)
    if fitted:
        return as_fitted(network, names, quantity, element, model, site.detection.smallest_leak_m3h), listed
    return as_drawn(network, listed, noise, site.detection.smallest_leak_m3h), listed


def _sensors(quantity: list[str], element: list[str]) -> Sensors:
    def of(*kinds: str) -> tuple[str, ...]:
        found = [e for q, e in zip(quantity, element, strict=True) if q in kinds and e]
        return tuple(dict.fromkeys(found))

    return Sensors(
        of(Quantity.PRESSURE, Quantity.HEAD), of(Quantity.FLOW), of(Quantity.LEVEL), of(Quantity.DEMAND)
    )  # fmt: skip


def usual_meters(network: Network) -> Sensors:
    """Return the meters that a network has before its first pressure logger: sources, pumps and tank levels."""
    return spread_sensors(network, 0)


def read_nodes(path: Path) -> list[str]:
    """Read a list of nodes: a CSV whose column ``node`` (or ``element``) names one in each row.

    Raises
    ------
    MissingFileError, InputError
        If there is no such file or column, or a row is empty.
    """
    return [name for name, _ in _rows(path, "")]


def read_costs(path: Path) -> dict[str, float]:
    """Read what a sensor costs at nodes: a CSV with the columns ``node,cost``; errors as `read_nodes`."""
    found: dict[str, float] = {}
    for number, (name, text) in enumerate(_rows(path, "cost"), start=2):
        try:
            found[name] = float(text)
        except ValueError:
            raise InputError(f"{path}: row {number}: cost '{text}' is no number: write it as 1200.50") from None
        if not 0 < found[name] < np.inf:
            raise InputError(f"{path}: row {number}: cost {text}: give a number above 0")
    return found


def _rows(path: Path, column: str) -> list[tuple[str, str]]:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: a CSV with the column{'s' if column else ''} {_wanted(column)}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        names = set(rows.fieldnames or ())
        node = next((n for n in ("node", "element") if n in names), "")
        if not node or (column and column not in names):
            raise InputError(f"{path}: needs the column{'s' if column else ''} {_wanted(column)} in its first row")
        found = []
        for number, row in enumerate(rows, start=2):
            name = (row[node] or "").strip()
            if not name:
                raise InputError(f"{path}: row {number}: names no node")
            found.append((name, (row.get(column) or "").strip()))
    return found


def _wanted(column: str) -> str:
    return f"node,{column}" if column else "node"
