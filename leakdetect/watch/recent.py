"""The newest readings, as they would be loaded, and up to where they are complete."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.schema import COORDINATES, SENSOR, TIME

Ints = NDArray[np.int64]
_NS = 1_000_000_000
_NEVER = np.iinfo(np.int64).min


class Recent:
    """A table of readings that grows at its end and is cut at its beginning.

    Parameters
    ----------
    data : Dataset
        As `readings.load` has it.
    """

    def __init__(self, data: xr.Dataset) -> None:
        self._about = data.drop_dims(TIME).assign_coords(
            {name: data[name] for name in (SENSOR, *COORDINATES, "personal")}
        )
        self.time: Ints = data[TIME].values.astype("datetime64[ns]").astype(np.int64)
        self.value = data["reading"].values
        self._units = data["reading"].attrs
        self.step: Ints = np.round(data["step"].values * _NS).astype(np.int64)
        there = ~np.isnan(self.value)
        last = np.where(there.any(axis=0), len(self.time) - 1 - there[::-1].argmax(axis=0), -1) if len(there) else None
        self.last: Ints = np.full(len(self.step), _NEVER)
        if last is not None:
            self.last = np.where(last >= 0, self.time[np.maximum(last, 0)], _NEVER)

    @property
    def newest(self) -> int:
        """Time of the newest reading [ns]; the smallest integer where there is none."""
        return int(self.last.max(initial=_NEVER))

    def add(self, time: Ints, sensor: Ints, value: NDArray[np.float64]) -> int | None:
        """Take readings; return the earliest time at which something is not as it was, None where nothing is new.

        Parameters
        ----------
        time, sensor, value : ndarray, shape (N,)
            In the order in which they came: of one time and sensor the last counts. Those from before the table are
            not kept, but told.
        """
        if not len(time):
            return None
        oldest = int(self.time[0]) if len(self.time) else _NEVER
        early = time < oldest
        changed = [int(time[early].min())] if early.any() else []
        time, sensor, value = time[~early], sensor[~early], value[~early]
        fresh = np.setdiff1d(time, self.time)
        if len(fresh):
            place = np.searchsorted(self.time, fresh)
            self.time = np.insert(self.time, place, fresh)
            self.value = np.insert(self.value, place, np.nan, axis=0)
        row = np.searchsorted(self.time, time)
        # Of one place the last counts, whatever order an assignment takes.
        _, from_end = np.unique((row * len(self.step) + sensor)[::-1], return_index=True)
        pick = len(row) - 1 - from_end
        row, who, now = row[pick], sensor[pick], value[pick]
        other = self.value[row, who] != now  # what was not there differs from anything
        if other.any():
            changed.append(int(time[pick][other].min()))
        self.value[row, who] = now
        np.maximum.at(self.last, who, time[pick])
        return min(changed, default=None)

    def forget(self, before: np.datetime64) -> None:
        """Drop what is older."""
        keep = slice(int(np.searchsorted(self.time, before.astype("datetime64[ns]").astype(np.int64))), None)
        if keep.start > len(self.time) // 8:  # not row by row
            self.time, self.value = self.time[keep].copy(), self.value[keep].copy()

    def dataset(self, since: np.datetime64 | None = None) -> xr.Dataset:
        """Return the readings from a time on, as `readings.load` would."""
        start = 0 if since is None else int(np.searchsorted(self.time, since.astype("datetime64[ns]").astype(np.int64)))
        values = self.value[start:]
        filled = ~np.isnan(values).all(axis=1)
        if not filled.all():
            values = values[filled]
        time = self.time[start:][filled].astype("datetime64[ns]")
        data = self._about.assign({"reading": ((TIME, SENSOR), values, self._units)})
        return data.assign_coords({TIME: time})

    def quiet(self, after: Ints) -> NDArray[np.bool_]:
        """Return which sensors have spoken, but not for so long [ns] while others did, shape (S,)."""
        silent: NDArray[np.bool_] = (self.last != _NEVER) & (self.last < self.newest - after)
        return silent

    def complete(self, start: np.datetime64, step: np.timedelta64, wait: int, live: NDArray[np.bool_]) -> np.datetime64:
        """Return up to when steps are complete: nothing that is due is out, or it has been waited for.

        Parameters
        ----------
        start : datetime64
            Of the first step that was not taken.
        step : timedelta64
        wait : int
            How long [ns, by the readings' own times].
        live : ndarray of bool, shape (S,)
            Sensors that are waited for.
        """
        width = int(step / np.timedelta64(1, "ns"))
        begin = int(start.astype("datetime64[ns]").astype(np.int64))
        finest = min(int(self.step.min(initial=width)), width)
        waited = (
            begin + max((self.newest + finest - wait - begin) // width, 0) * width if self.newest > begin else begin
        )
        end = waited
        due = np.maximum(np.round(width / self.step), 1)
        while end + width <= self.newest + finest:
            rows = slice(*np.searchsorted(self.time, [end, end + width]))
            said = (~np.isnan(self.value[rows])).sum(axis=0) >= due
            nothing = (self.step > width) & (self.last + self.step >= end + width)  # of a sensor of longer steps
            if not (said | nothing | ~live).all():
                break
            end += width
        return np.datetime64(end, "ns")
