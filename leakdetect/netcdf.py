"""The netCDF files of a site: the fitted model, and the series that reports draw."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final

import h5netcdf
import numpy as np
import xarray as xr

from leakdetect.errors import InputError, NotFittedError
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.site import Site

_ENGINE: Final = "h5netcdf"
_MODEL = "leakdetect model 1"
_SERIES = "leakdetect series 1"
_SHOWN = ("reading", "flag", "usable", "expected", "expected_sd", "residual", "score")
_TEXT = (SENSOR, "quantity", "element", "dma", "unit")


def write_model(model: xr.Dataset, path: Path, detector: str) -> xr.Dataset:
    """Write a fitted model with its detector's name to a file; return what was written."""
    stamped = model.assign_attrs(file=_MODEL, detector=detector)
    _write(stamped, path)
    return stamped


def load_model(site: Site) -> tuple[xr.Dataset, str]:
    """Return the fitted model and its checksum.

    Raises
    ------
    NotFittedError
        If there is none.
    InputError
        If the file is not a model.
    """
    path = site.model_path
    if not path.is_file():
        raise NotFittedError(f"{path}: no fitted model yet: run 'leakdetect fit {site.folder}' first")
    model = _read(path, _MODEL, f"make it again with 'leakdetect fit {site.folder}'")
    return model, hashlib.sha256(path.read_bytes()).hexdigest()


def series_path(site: Site) -> Path:
    """Return where runs keep what reports draw."""
    return site.folder / "series.nc"


def joined_series(site: Site, grown: xr.Dataset, *, fresh: bool) -> xr.Dataset:
    """Return the series so far and what a run adds to them: sensors other than customers' meters.

    Parameters
    ----------
    site : Site
    grown : Dataset
        Steps with what was expected of them; they replace what is kept of their time.
    fresh : bool
        Leave out what was kept before.
    """
    shown = grown[[name for name in _SHOWN if name in grown]]
    shown = shown.isel({SENSOR: np.flatnonzero(grown["quantity"].values != Quantity.DEMAND)})
    shown = shown.drop_vars([name for name in shown.coords if name not in {TIME, *_TEXT, "step"}])
    shown.attrs = {"file": _SERIES}
    path = series_path(site)
    if fresh or not path.is_file():
        return shown
    old = load_series(site)
    if list(old[SENSOR].values) != list(shown[SENSOR].values):
        return shown
    old = old.isel({TIME: slice(0, int(np.searchsorted(old[TIME].values, shown[TIME].values[0])))})
    return xr.concat([old, shown], TIME, data_vars="minimal", coords="minimal", compat="override", join="override")


def write_series(series: xr.Dataset, path: Path) -> None:
    """Write series to a file, packed."""
    plain = series.assign_coords({name: (SENSOR, series[name].values.astype(str)) for name in _TEXT})
    for variable in plain.variables.values():
        variable.encoding = {"zlib": True, "complevel": 1} if variable.ndim == 2 else {}
    _write(plain, path)


def load_series(site: Site) -> xr.Dataset:
    """Return the series as they were before they were written; InputError if the file is not whole."""
    path = series_path(site)
    series = _read(path, _SERIES, "remove it: the next 'leakdetect detect' begins it anew")
    series["usable"] = series["usable"].astype(bool)
    return series.assign_coords({name: (SENSOR, series[name].values.astype(object)) for name in _TEXT})


def _write(data: xr.Dataset, path: Path) -> None:
    """Write a file at once: HDF5 itself does not outlive a disk that is full."""
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        data.dump_to_store(xr.backends.H5NetCDFStore(file))
    path.write_bytes(buffer.getvalue())


def _read(path: Path, kind: str, mend: str) -> xr.Dataset:
    try:
        data = xr.load_dataset(path, engine=_ENGINE)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise InputError(f"{path}: cannot be read: {reason}: {mend}") from error
    if data.attrs.get("file") != kind:
        raise InputError(f"{path}: is not a {kind.rpartition(' ')[0]}: {mend}")
    return data
