"""What the baselines share: a verdict a day, one event at a time, and a new reference once a leak has been told."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from leakdetect.baselines.window import (
    Window,
    elements_of,
    inflow_signs,
    read_window,
    step_of,
)
from leakdetect.core import robust
from leakdetect.detector import State
from leakdetect.events import Candidate, Event, Evidence, Kind, Status, Zone, iso
from leakdetect.network import Floats, Network
from leakdetect.schema import SENSOR, TIME
from leakdetect.site import Detection
from leakdetect.units import M3H

REST = 7
"""Days after an alarm in which the readings settle and become the new reference."""
_LOWS = 14  # days of lowest inflow that are remembered
_TO_80 = 1.2816  # standard deviations on either side that hold 80 %
_SLOW = 4  # days: what took longer to show is incipient
_TEST = "test."  # what the keys of the test's own state begin with: a state holds arrays and JSON values, no dicts
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Alarm:
    """A day's verdict: the sensor that shows most, whether it looks like a leak (or like its end), since when."""

    column: int
    leak: bool
    days: int  # since it began to show, this day included
    shares: Floats  # (C,) of the evidence, adding up to 1


class Daily(ABC):
    """A detector that gives its verdict on a day at the end of its night.

    Parameters
    ----------
    network : Network, optional
        Places the alarm at the pipes beside the sensor; without it events name no pipe.
    timezone : str
        Of the site: nights are local.
    settings : Detection
        How many false alarms are wanted.
    """

    name: ClassVar[str]

    def __init__(
        self, *, network: Network | None = None, timezone: str = "UTC", settings: Detection | None = None
    ) -> None:
        self.network = network
        self.timezone = timezone
        self.settings = settings or Detection()

    # --- what each baseline says for itself ---

    @abstractmethod
    def _sensors(self, data: xr.Dataset) -> list[str]:
        """Return the sensors it uses; `ReadingsError` where there are none."""

    @abstractmethod
    def _learn(self, model: xr.Dataset, window: Window) -> xr.Dataset:
        """Return the model with what it learnt."""

    @abstractmethod
    def _steps(self, model: xr.Dataset, values: Floats, slot: np.ndarray) -> tuple[Floats, Floats, Floats]:
        """Return expected and its standard error (T, S) and the feature (T, C), each row from itself alone."""

    @abstractmethod
    def _test(self, model: xr.Dataset, test: State, feature: Floats) -> tuple[Alarm | None, Floats]:
        """Take a day's feature (C,) into the test's own state; return the verdict and the score of each sensor (S,)."""

    @abstractmethod
    def _start_test(self, model: xr.Dataset) -> State:
        """Return the test's own state before the first day."""

    @abstractmethod
    def _settled(self, model: xr.Dataset, test: State, recent: Floats) -> State:
        """Return the test's own state with the features (days, C) since the last alarm as the new reference."""

    def _of_day(self, rows: Floats, slot: np.ndarray, slots: int) -> Floats:
        """Return the feature of a day (C,) from those of its steps; NaN where fewer than half are there."""
        del slot
        enough = np.isfinite(rows).sum(axis=0) >= slots / 2
        return np.where(enough, robust.location(rows, axis=0), np.nan)

    # --- the protocol ---

    def fit(self, data: xr.Dataset) -> xr.Dataset:
        """Learn from a past window; see `leakdetect.detector.Detector`."""
        step, sensors = step_of(data), self._sensors(data)
        signs = inflow_signs(data, self.network)
        model = xr.Dataset(
            coords={
                SENSOR: np.array(sensors, dtype=object),
                "element": (SENSOR, np.array(elements_of(data, sensors), dtype=object)),
                "meter": np.array(list(signs), dtype=object),
            },
            data_vars={"sign": ("meter", np.array(list(signs.values()), dtype=float))},
            attrs={
                "detector": self.name,
                "timezone": self.timezone,
                "step": step,
                "false_alarms_per_year": self.settings.false_alarms_per_year,
                "fitted_until": str(iso(data[TIME].values[-1])),
            },
        )
        return self._learn(model, self._window(model, data))

    def begin(self, model: xr.Dataset) -> State:
        """Return the state before the first step."""
        return {
            "day": -1,
            "rows": np.empty((0, 0)),
            "slot": np.empty(0, dtype=np.int64),
            "inflow": np.empty(0),
            "lows": np.empty(0),
            "rest": 0,
            "recent": np.empty((0, 0)),
            "score": np.full(model.sizes[SENSOR], np.nan),
            "events": [],
            **_flat(self._start_test(model)),
        }

    def update(self, model: xr.Dataset, state: State, data: xr.Dataset) -> tuple[State, list[Event], xr.Dataset]:
        """Take the next steps; see `leakdetect.detector.Detector`."""
        now = copy.deepcopy(state)
        now["test"] = {key.removeprefix(_TEST): now.pop(key) for key in list(now) if key.startswith(_TEST)}
        window, inflow = self._window(model, data), self._inflow(model, data)
        shape = window.values.shape
        expected, sd, score = (np.full(shape, np.nan) for _ in range(3))
        # A verdict waits for a reading: silence alone says nothing and has no time to be raised at.
        spoken = np.flatnonzero(~np.isnat(window.heard))
        for part in np.split(spoken, np.flatnonzero(np.diff(window.day[spoken])) + 1) if spoken.size else ():
            if now["day"] != window.day[part[0]]:
                if now["slot"].size:
                    self._judge(model, now, window.heard[part[0]], window.slots)
                now["day"] = int(window.day[part[0]])
            expected[part], sd[part], feature = self._steps(model, window.values[part], window.slot[part])
            score[part] = now["score"]
            now["rows"] = np.vstack([now["rows"], feature]) if now["slot"].size else feature
            now["slot"] = np.r_[now["slot"], window.slot[part]]
            now["inflow"] = np.r_[now["inflow"], inflow[part]]
            if window.last[part[-1]]:
                self._judge(model, now, window.heard[part[-1]], window.slots)
                score[part[-1]] = now["score"]
        events = [Event.from_dict(plain) for plain in now["events"]]
        if spoken.size:
            events = [_until(event, window.heard[spoken[-1]]) for event in events]
            now["events"] = [event.to_dict() for event in events]
        now.update(_flat(now.pop("test")))
        made = {"expected": expected, "expected_sd": sd, "residual": window.values - expected, "score": score}
        return now, events, _with(data, model, made)

    # --- a day ---

    def _judge(self, model: xr.Dataset, now: State, time: np.datetime64, slots: int) -> None:
        rows, slot, inflow = now["rows"], now["slot"], now["inflow"]
        now["rows"], now["slot"], now["inflow"] = np.empty((0, 0)), np.empty(0, dtype=np.int64), np.empty(0)
        feature = self._of_day(rows, slot, slots)
        before = now["lows"]
        low = float(robust.quantile(inflow[slot >= slots * 3 // 4], 0.0)) * M3H  # of the night
        now["lows"] = np.r_[before, low][-_LOWS:]
        if now["rest"] > 0:
            now["rest"] -= 1
            now["recent"] = np.vstack([now["recent"], feature])
            if now["rest"] == 0:
                now["test"] = self._settled(model, now["test"], now["recent"])
            return
        alarm, now["score"] = self._test(model, now["test"], feature)
        if alarm is None:
            return
        if alarm.leak:
            now["events"] = [*now["events"], self._event(model, alarm, time, before, low).to_dict()]
        else:
            _close_last(now["events"], time)
        now["rest"], now["recent"] = REST, np.empty((0, feature.size))

    def _event(self, model: xr.Dataset, alarm: Alarm, time: np.datetime64, before: Floats, low: float) -> Event:
        start = time - alarm.days * _DAY
        flow, flow_sd = _rise(before, low)
        candidates, zone = self._place(self._where(model, alarm))
        order = np.argsort(-alarm.shares, kind="stable")
        names = self._names(model)
        return Event(
            id=f"{self.name}-{iso(time)}",
            status=Status.OPEN,
            kind=Kind.INCIPIENT if alarm.days > _SLOW else Kind.ABRUPT,
            raised_at=time,
            start=start,
            start_low=start - 2 * _DAY,  # a verdict a day, and a CUSUM that noise may set back to zero
            start_high=time,
            end=None,
            flow_m3h=flow,
            flow_low=max(0.0, flow - _TO_80 * flow_sd),
            flow_high=flow + _TO_80 * flow_sd,
            candidates=candidates,
            zone=zone,
            evidence=tuple(Evidence(names[i], float(alarm.shares[i])) for i in order if alarm.shares[i] > 0),
            model=f"{self.name} fitted until {model.attrs['fitted_until']}",
            data_until=time,
        )

    def _names(self, model: xr.Dataset) -> list[str]:
        """Return the sensor of each feature column."""
        return [str(name) for name in model[SENSOR].values]

    def _where(self, model: xr.Dataset, alarm: Alarm) -> str:
        """Return the network element that an alarm is placed at."""
        return str(model["element"].values[alarm.column])

    def _place(self, element: str) -> tuple[tuple[Candidate, ...], Zone]:
        """Return the pipes beside a sensor, all alike."""
        network = self.network
        pipes: list[int] = []
        if network is not None and network.has_link(element):
            link = network.link(element)
            ends = {int(network.start[link]), int(network.end[link])}
            pipes = [link] if network.is_pipe[link] else _beside(network, ends)
        elif network is not None and network.has_node(element):
            pipes = _beside(network, {network.node(element)})
        if network is None or not pipes:
            return (), Zone((), 0.0, 0.0)
        names = tuple(network.link_names[i] for i in pipes)
        share = 1.0 / len(pipes)
        return tuple(Candidate(n, share) for n in names), Zone(names, float(network.length[pipes].sum()), 1.0)

    # --- readings ---

    def _window(self, model: xr.Dataset, data: xr.Dataset) -> Window:
        sensors = [str(name) for name in model[SENSOR].values]
        return read_window(data, sensors, int(model.attrs["step"]), str(model.attrs["timezone"]))

    def _inflow(self, model: xr.Dataset, data: xr.Dataset) -> Floats:
        """Return the measured inflow [m3/s], NaN where a meter is silent."""
        meters = [str(name) for name in model["meter"].values]
        if not meters:
            return np.full(data.sizes[TIME], np.nan)
        values = read_window(data, meters, int(model.attrs["step"]), str(model.attrs["timezone"])).values
        total: Floats = (values * model["sign"].values).sum(axis=1)
        return total


def _flat(test: State) -> State:
    return {f"{_TEST}{key}": value for key, value in test.items()}


def _beside(network: Network, nodes: set[int]) -> list[int]:
    touches = np.isin(network.start, list(nodes)) | np.isin(network.end, list(nodes))
    return [int(i) for i in np.flatnonzero(touches & network.is_pipe)]


def _rise(before: Floats, low: float) -> tuple[float, float]:
    """Return by how much the lowest inflow of the day rose [m3/h] and its standard error; 0 where it is not known."""
    if not math.isfinite(low) or not np.isfinite(before).any():
        return 0.0, 0.0
    spread = float(robust.scale(before))
    return max(0.0, low - float(robust.location(before))), spread if math.isfinite(spread) else 0.0


def _close_last(events: list[dict[str, Any]], time: np.datetime64) -> None:
    for plain in reversed(events):
        if plain["end"] is None:
            plain["end"] = plain["data_until"] = iso(time)
            plain["status"] = str(Status.CLOSED)
            return


def _until(event: Event, time: np.datetime64) -> Event:
    return replace(event, data_until=time) if event.end is None else event


def _with(data: xr.Dataset, model: xr.Dataset, made: dict[str, Floats]) -> xr.Dataset:
    """Return the dataset grown by what was made of it; NaN for sensors the model does not use."""
    place = {str(name): i for i, name in enumerate(data[SENSOR].values)}
    columns = [place[str(name)] for name in model[SENSOR].values]
    grown = data.copy()
    for name, part in made.items():
        whole = np.full((data.sizes[TIME], data.sizes[SENSOR]), np.nan)
        whole[:, columns] = part
        grown[name] = ((TIME, SENSOR), whole)
    return grown
