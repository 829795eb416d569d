"""Bring a scenario of LeakDB (Vrachimis et al. 2018, WDSA/CCWI) into the layout of the other worlds.

Its folder holds ``Pressures/Node_<id>.csv``, ``Flows/Link_<id>.csv`` and ``Demands/Node_<id>.csv`` (an index and a
value, m and m3/h), ``Timestamps.csv``, ``Labels.csv`` (1 while something leaks) and the model file.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from leakdetect.epanet import load_network
from leakdetect.errors import InputError, MissingFileError
from leakdetect.network import Network, Node
from leakdetect.networks.sensors import Sensors, sensors_csv, spread_sensors
from leakdetect.scenarios.files import write_bytes, write_table

_TABLES = {"Pressures": "pressures", "Flows": "flows", "Demands": "demands"}


def import_leakdb(
    source: Path, folder: Path, *, network: Path | None = None, sensors: Sensors | None = None
) -> Sensors:
    """Write a scenario's readings as ``<year>_SCADA_*.csv.gz``, its ``Labels.csv`` by time, its model and its sensors.

    Parameters
    ----------
    source : Path
        A folder such as ``Hanoi_CMH/Scenario-1``.
    folder : Path
        Made; may not hold anything.
    network : Path, optional
        The model file; the one in the folder if not given.
    sensors : Sensors, optional
        Which readings are brought; pressure everywhere and what flows in if not given.

    Returns
    -------
    Sensors

    Raises
    ------
    MissingFileError, InputError
        If something is not there, or not of this layout.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder: name a new one")
    model = network or _model(source)
    drawn = load_network(model)
    times = _times(source / "Timestamps.csv")
    chosen = sensors or _usual(drawn, source)
    chosen.check(drawn)
    labels = _column(source / "Labels.csv", len(times))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        part = Path(work) / "scenario"
        part.mkdir()
        year = times[0].astype("datetime64[Y]")
        for table, attribute in _TABLES.items():
            names = getattr(chosen, attribute)
            if not names:
                continue
            what = "Link" if table == "Flows" else "Node"
            values = [_column(source / table / f"{what}_{name}.csv", len(times)) for name in names]
            scale = 1000 if table == "Demands" else 1  # m3/h to L/h, as in the other worlds
            write_table(part / f"{year}_SCADA_{table}.csv.gz", times, names, scale * np.stack(values, axis=1), 3)
        lines = [f"{str(t).replace('T', ' ')},{int(v)}" for t, v in zip(times, labels, strict=True)]
        write_bytes(part / "Labels.csv", ("\n".join(["Timestamp,Label", *lines]) + "\n").encode())
        write_bytes(part / "sensors.csv", sensors_csv(chosen).encode())
        shutil.copyfile(model, part / model.name)
        if folder.exists():
            folder.rmdir()
        part.replace(folder)
    return chosen


def _model(source: Path) -> Path:
    if not source.is_dir():
        raise MissingFileError(f"{source}: no such folder: name a scenario of LeakDB, such as Hanoi_CMH/Scenario-1")
    found = sorted(source.glob("*.inp"))
    if len(found) != 1:
        raise InputError(f"{source}: {len(found)} model files: name one with --network")
    return found[0]


def _usual(network: Network, source: Path) -> Sensors:
    junctions = np.flatnonzero(network.node_kind == Node.JUNCTION)
    there = [
        network.node_names[i]
        for i in junctions
        if (source / "Pressures" / f"Node_{network.node_names[i]}.csv").is_file()
    ]
    return replace(spread_sensors(network, 0), pressures=tuple(there), levels=())


def _times(path: Path) -> np.ndarray:
    text = _read(path).iloc[:, -1]
    try:
        times = pd.to_datetime(text).to_numpy().astype("datetime64[s]")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not a list of times: {' '.join(str(error).split())}") from None
    if not times.size or not (np.diff(times) > np.timedelta64(0)).all():
        raise InputError(f"{path}: times do not increase: sort the rows, one each")
    return times


def _column(path: Path, rows: int) -> np.ndarray:
    """Return a file's last column as numbers."""
    values = pd.to_numeric(_read(path).iloc[:, -1], errors="coerce").to_numpy(dtype=float)
    if len(values) != rows or np.isnan(values).all():
        raise InputError(f"{path}: {len(values)} rows of numbers, but Timestamps.csv has {rows}: is the file whole?")
    return values


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: a scenario of LeakDB has one")
    try:
        return pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file: {' '.join(str(error).split())}") from None
