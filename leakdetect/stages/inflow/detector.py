"""The inflow detector: two looks at the inflow of each district, one recursion.

Every step, a look for a burst (`burst`). Every morning at 04:00 local time, when the night is over, a GLR test of the
daily level (`demand`) for a step or a ramp over the last weeks (`noise`), beyond what is known already (`ledger`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from leakdetect.detector import State
from leakdetect.errors import InputError
from leakdetect.events import Event, KnownLeak, Repair, Zone, iso, parse_time
from leakdetect.schema import SENSOR, TIME
from leakdetect.site import Detection
from leakdetect.stages.inflow import fit as fitting
from leakdetect.stages.inflow.calendar import Calendar, Floats, Ints
from leakdetect.stages.inflow.demand import net_inflow
from leakdetect.stages.inflow.district import District
from leakdetect.stages.inflow.report import Setting


class InflowDetector:
    """Finds leaks from the net inflow of each district; see `leakdetect.detector.Detector`.

    Parameters
    ----------
    timezone : str
        The site's, for the hours that people live by.
    settings : Detection
        Wanted false alarms a year (of each district) and the smallest leak of interest.
    repairs : sequence of Repair
        Reported repairs. One closes the event whose flow the inflow loses with it.
    zones : mapping of str to Zone, optional
        Links and length of each district, where a network is there. An event's zone is its whole district.
    known : sequence of KnownLeak
        Leaks that people found: a fit takes their flow out of its window.

    Notes
    -----
    What looks like a leak and is not: a public holiday is taken for a Sunday where it looks like one; a hot week lifts
    the day and not the night, and a rise that the night does not share is not raised; one filled pool or hydrant test
    is outlived by the median of three days and by the quantile of the look for bursts; a gap is no evidence either
    way; a drop that returns within a month (a meter or a valve) is not raised at its return; a slow season is part of
    the noise that the thresholds are simulated with.
    """

    name: ClassVar[str] = "inflow"

    def __init__(
        self,
        *,
        timezone: str,
        settings: Detection,
        repairs: Sequence[Repair] = (),
        zones: Mapping[str, Zone] | None = None,
        known: Sequence[KnownLeak] = (),
    ) -> None:
        self.timezone = timezone
        self.settings = settings
        self.repairs = tuple(sorted(repairs, key=lambda r: (r.time, r.link)))
        self.zones = dict(zones or {})
        self.known = tuple(known)

    def fit(self, data: xr.Dataset) -> xr.Dataset:
        """Learn pattern, noise and thresholds of each district from a past window, which may itself leak."""
        return fitting.fit(data, self.timezone, self.settings, self.known)

    def begin(self, model: xr.Dataset) -> State:
        """Return the state before the first step."""
        return _pack([District.blank(_of(model, k)) for k in range(model.sizes["dma"])], None)

    def update(self, model: xr.Dataset, state: State, data: xr.Dataset) -> tuple[State, list[Event], xr.Dataset]:
        """Take the next steps; see `leakdetect.detector.Detector.update`.

        Raises
        ------
        InputError
            If a district of the readings was not in the fit, or time does not go on where it stopped.
        """
        parts, until = _unpack(state)
        time = data[TIME].values
        names, inflow, district = net_inflow(data)
        known = [str(name) for name in model["dma"].values]
        for name in names:
            if name not in known:
                raise InputError(f"district '{name}' has no fitted model: fit again with its readings")
        taken = parse_time(until)
        if len(time) and taken is not None and time[0] <= taken:
            raise InputError(f"readings from {iso(time[0])} were taken already, up to {until}")
        shown = {key: np.full((len(time), len(names)), np.nan) for key in ("expected", "expected_sd", "score")}
        if len(time):
            seen = data["last_reading"].values if "last_reading" in data.coords else time
            seen = np.where(np.isnat(seen), time, seen)
            calendar = Calendar(str(model.attrs["timezone"]), int(model.attrs["step"]))
            for i, name in enumerate(names):
                k = known.index(name)
                each = District(self._setting(model, name, calendar, data), _of(model, k), parts[k])
                for key, values in each.run(time, seen, inflow[:, i]).items():
                    shown[key][:, i] = values
            until = iso(time[-1])
        events = [Event.from_dict(e) for part in parts for e in part["events"]]
        events.sort(key=lambda e: (e.raised_at, e.id))
        return _pack(parts, until), events, _with(data, inflow, shown, district)

    def _setting(self, model: xr.Dataset, name: str, calendar: Calendar, data: xr.Dataset) -> Setting:
        alone = model.sizes["dma"] == 1
        zone = self.zones.get(name, Zone((), 0.0, 1.0))
        sensors = [
            str(s)
            for s, d, q in zip(data[SENSOR].values, data["dma"].values, data["quantity"].values, strict=True)
            if str(d) == name and q == "flow"
        ]
        mine = tuple(r for r in self.repairs if r.link in zone.links or alone or not self.zones)
        return Setting(
            name=name,
            model=f"{self.name} {model.attrs['fitted_from']}/{model.attrs['fitted_until']}",
            calendar=calendar,
            smallest=self.settings.smallest_leak_m3h / 3600.0,
            repairs=mine,
            zone=zone,
            sensors=tuple(sensors),
        )


_NUMBERS = ("ahead", "reference", "known", "score")


def _pack(parts: list[dict[str, Any]], until: str | None) -> State:
    """Return the state of all districts: arrays on top by ``district/name``, the rest JSON values."""
    state: State = {"data_until": until, "districts": []}
    for k, part in enumerate(parts):
        plain = {key: value for key, value in part.items() if not isinstance(value, np.ndarray)}
        for key in _NUMBERS:  # JSON knows no NaN
            plain[key] = plain[key] if np.isfinite(plain[key]) else None
        state["districts"].append(plain)
        state.update({f"{k}/{key}": value for key, value in part.items() if isinstance(value, np.ndarray)})
    return state


def _unpack(state: State) -> tuple[list[dict[str, Any]], str | None]:
    """Return a copy of every district's part, and the last time taken."""
    parts = copy.deepcopy(state["districts"])
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            k, _, name = key.partition("/")
            parts[int(k)][name] = value.copy()
    for part in parts:
        part.update({key: float("nan") for key in _NUMBERS if part[key] is None})
    return parts, state["data_until"]


def _of(model: xr.Dataset, k: int) -> dict[str, Any]:
    """Return one district's part of the model as numpy arrays."""
    part = {str(name): model[name].values[k] for name in model.data_vars}
    part["history_until"] = int(model.attrs["history_until"])
    return part


def _with(data: xr.Dataset, inflow: Floats, shown: dict[str, Floats], place: Ints) -> xr.Dataset:
    """Return the data with what was found at each flow sensor, NaN at the others.

    Where a district has several meters its residual is shared out equally: their sum is the district's.
    """
    out = data.copy()
    some = place >= 0
    columns = {key: np.full((len(inflow), len(place)), np.nan) for key in shown}
    for key, values in shown.items():
        columns[key][:, some] = values[:, place[some]]
    reading = data["reading"].transpose(TIME, SENSOR).values
    meters = np.array([(place == k).sum() for k in place])
    share = some & (meters > 1)
    surplus = (inflow - shown["expected"])[:, place[share]] / meters[share]
    columns["expected"][:, share] = reading[:, share] - surplus
    usable = data["usable"].transpose(TIME, SENSOR).values if "usable" in data else np.isfinite(reading)
    columns["residual"] = np.where(usable, reading - columns["expected"], np.nan)
    for key in ("expected", "expected_sd", "residual", "score"):
        out[key] = ((TIME, SENSOR), columns[key])
    return out
