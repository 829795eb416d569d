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
from leakdetect.files import replacing
from leakdetect.schema import SENSOR, TIME, joined, without_meters
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


def series_folder(site: Site) -> Path:
    """Return where runs keep what reports draw, in a file a month: a run writes the newest only."""
    return site.folder / "series"


def write_series(site: Site, grown: xr.Dataset, fresh: bool) -> None:
    """Keep what a run adds to the series of sensors other than customers' meters.

    Parameters
    ----------
    site : Site
    grown : Dataset
        Steps with what was expected of them; they replace what is kept of their time and later.
    fresh : bool
        They replace all that is kept.
    """
    shown = grown[[name for name in _SHOWN if name in grown]]
    shown = without_meters(shown)
    shown = shown.drop_vars([name for name in shown.coords if name not in {TIME, *_TEXT, "step"}])
    shown.attrs = {"file": _SERIES}
    folder = series_folder(site)
    folder.mkdir(exist_ok=True)
    month = shown[TIME].values.astype("datetime64[M]")
    for path in _parts(folder):
        if fresh or path.stem > str(month[-1]):
            path.unlink()
    for name in np.unique(month):
        path, part = folder / f"{name}.nc", shown.isel({TIME: month == name})
        if path.is_file():
            part = _grown(_read_series(path), part)
        with replacing(path) as file:
            _write_part(part, file)


def series_until(site: Site) -> np.datetime64 | None:
    """Return the last step that the series hold, None where there are none; InputError if the file is not whole."""
    parts = _parts(series_folder(site))
    if not parts:
        return None
    last: np.datetime64 = _read_series(parts[-1])[TIME].values[-1]
    return last


def _grown(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    if list(old[SENSOR].values) != list(new[SENSOR].values):
        return new
    old = old.isel({TIME: slice(0, int(np.searchsorted(old[TIME].values, new[TIME].values[0])))})
    return joined([old, new])


def _write_part(series: xr.Dataset, path: Path) -> None:
    plain = series.assign_coords({name: (SENSOR, series[name].values.astype(str)) for name in _TEXT})
    for variable in plain.variables.values():
        variable.encoding = {"zlib": True, "complevel": 1} if variable.ndim == 2 else {}
    _write(plain, path)


def load_series(site: Site) -> xr.Dataset:
    """Return the series as they were before they were written, as far back as the sensors are those of today.

    Raises
    ------
    NotFittedError
        If there are none.
    InputError
        If a file is not whole.
    """
    folder = series_folder(site)
    parts: list[xr.Dataset] = []
    for path in reversed(_parts(folder)):
        part = _read_series(path)
        if parts and list(part[SENSOR].values) != list(parts[0][SENSOR].values):
            break
        parts.insert(0, part)
    if not parts:
        raise NotFittedError(f"{folder}: nothing there: run 'leakdetect detect {site.folder}' first")
    return joined(parts)


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.nc"))


def _read_series(path: Path) -> xr.Dataset:
    series = _read(path, _SERIES, "remove it: reports then lack this month")
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
