"""The verdict of every morning: what a change of a district's level is, and what becomes of the events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.core import robust
from leakdetect.core.sequential import Change, step_shapes
from leakdetect.events import Repair, Status
from leakdetect.stages.inflow import burst, evidence, ledger, report
from leakdetect.stages.inflow.calendar import Floats, weekday
from leakdetect.stages.inflow.ledger import Entry
from leakdetect.stages.inflow.noise import IDEAL, RAMPS, STEPS, WINDOW, Noise
from leakdetect.stages.inflow.report import Setting

ROWS = 20
"""Days of readings kept, to place an onset to the hour."""
_YOUNG = 14  # days in which a new entry's flow is estimated anew every morning
_GROWTH = 60  # days in which a further slow rise is the growth of the leak last raised
_FADED_DAYS = 14  # days that the level must have been back
_FADED = 0.25  # of the leak's flow that may be left then
_REPAIR_NIGHTS = 3  # nights after a reported repair at which its effect is judged
_REPAIR_TEST = 4.0  # statistic that a fall at a known time must reach
_END_TEST = 6.0  # by how much an ended leak must fit better than a lasting one
_GONE = 0.5  # a young leak of which no more than this share can be left has ended
_BASE_DAYS = 14  # days before an onset that tell the level
_CLOSE = 0.6  # a fall or a return within this share of its height is taken whole


class Judge:
    """Settles rises and falls of one district's level, in the district's state.

    Parameters
    ----------
    setting : Setting
    model, state : dict
        As `district.District` has them.
    """

    def __init__(self, setting: Setting, model: dict[str, Any], state: dict[str, Any]) -> None:
        self.setting, self.model, self.state = setting, model, state
        self.calendar = setting.calendar
        self.test = Noise(*(float(v) for v in model["noise"])).test()
        self.threshold = float(model["threshold"])
        self.trust = min(1.0, IDEAL / self.threshold)  # what a statistic is worth beside that of ideal noise
        self.sd: Floats = model["slot_sd"]

    def window(self, days: NDArray[np.int64], entries: list[Entry]) -> Floats:
        """Return the level beyond the entries, as the test wants it."""
        beyond = self.state["levels"] - ledger.total(entries, days)
        return robust.without_spikes(beyond, float(self.model["jump"]) * self.state["lively"])

    def _test(self, window: Floats, shapes: Floats | None = None) -> Change:
        return self.test.test(window, shapes, self.state["lively"])

    def morning(self, day: int, days: NDArray[np.int64], time: np.datetime64) -> None:
        """Give the verdict on a day.

        Parameters
        ----------
        day : int
            The leak-day that is over.
        days : ndarray of int
            Those of the levels in the state, `day` last.
        time : datetime64
            Of the last reading.
        """
        entries: list[Entry] = self.state["ledger"]
        self._confirm(day, days, time)
        self._faded(day, time)
        self._judge_repairs(day, days, time)
        change = self._test(self.window(days, entries))
        up, down = change.best(+1), change.best(-1)
        rise = 0.0 if up is None else float(change.statistic[up])
        fall = 0.0 if down is None else float(change.statistic[down])
        self.state["score"] = float(np.sqrt(rise / self.threshold))
        if down is not None and fall >= self.threshold and fall >= rise:
            self._fell(day, time, change, down)
        elif up is not None and rise >= self.threshold:
            self._rose(day, days, time, change, up)
        for entry in list(entries):
            # a fall that is not settled yet must not be taken for a smaller leak; an abrupt one is asked if it ended
            if fall < 0.5 * self.threshold or entry["full"] == entry["onset"]:
                self._refine(entry, day, days, time)

    def _confirm(self, day: int, days: NDArray[np.int64], time: np.datetime64) -> None:
        """End a burst that the first whole day after it does not show: it was use."""
        for entry in list(self.state["ledger"]):
            if day != entry["made"] + 1 or not entry["event"] or int(entry["onset"]) < entry["made"] - 1:
                continue
            others = [e for e in self.state["ledger"] if e is not entry]
            beyond = self.state["levels"] - ledger.total(others, days)
            rise = beyond[-1] - robust.location(beyond[(days < entry["onset"] - 1) & (days >= entry["onset"] - 8)])
            if rise < _GONE * entry["first"]:
                self._end(entry["event"], float(day), entry["flow"], day, Status.CLOSED, None, time)
                entry["flow"] = 0.0

    def _faded(self, day: int, time: np.datetime64) -> None:
        """Close a leak where the inflow has long been back at the level it had before: season, or mended slowly.

        The level stays as it is; what was a leak in it becomes a shift.
        """
        entries: list[Entry] = self.state["ledger"]
        recent = self.state["levels"][-_FADED_DAYS:]
        if not entries or 2 * np.isfinite(recent).sum() < _FADED_DAYS:
            return
        level = float(robust.location(recent))
        for event, flow in ledger.flows(ledger.running(entries)).items():
            parts = [e for e in entries if e["event"] == event]
            base = parts[0]["base"]
            if base is None or day - parts[-1]["made"] < 2 * _FADED_DAYS or level > base + _FADED * flow:
                continue
            for part in parts:
                part["event"], part["base"] = "", None
            self._close(event, Status.CLOSED, self.calendar.start(day - _FADED_DAYS / 2), time)

    def _judge_repairs(self, day: int, days: NDArray[np.int64], time: np.datetime64) -> None:
        """See, a few nights after a reported repair, whether the inflow lost the flow of a leak with it."""
        entries: list[Entry] = self.state["ledger"]
        for repair in self.setting.repairs:
            when = self._when(repair)
            if int(when) + _REPAIR_NIGHTS != day:
                continue
            change = self._test(self.window(days, entries), step_shapes(WINDOW, [3]))
            place = change.best(-1)
            if place is None or change.statistic[place] < _REPAIR_TEST:
                continue
            drop = -float(change.amplitude[place])
            found = ledger.fitting(entries, drop, when)
            if found is not None:
                self._end(found, when, drop, day, Status.REPAIRED, repair.time, time)

    def _when(self, repair: Repair) -> float:
        day, slot = self.calendar.place(np.array([repair.time], dtype="datetime64[ns]"))
        return float(day[0] + slot[0] / self.calendar.slots)

    def _fell(self, day: int, time: np.datetime64, change: Change, best: int) -> None:
        """Settle a fall of the level: a leak has ended, or it is a shift."""
        entries: list[Entry] = self.state["ledger"]
        steps = np.where(change.amplitude[: len(STEPS)] < 0, change.statistic[: len(STEPS)], np.nan)
        if np.isnan(steps).all() or np.nanmax(steps) < self.threshold:  # slowly: a season, no repair
            onset = float(day + 1 - RAMPS[best - len(STEPS)])
            self._shift(float(change.amplitude[best]), onset, float(day), day)
            return
        place = int(np.nanargmax(steps))
        drop, onset = -float(change.amplitude[place]), float(day + 1 - STEPS[place])
        found = ledger.fitting(entries, drop, onset + 1.0)
        if found is None:
            self._shift(-drop, onset, onset, day)
            return
        for repair in self.setting.repairs:
            when = self._when(repair)
            if abs(when - onset) <= _REPAIR_NIGHTS and repair.time <= time:
                self._end(found, when, drop, day, Status.REPAIRED, repair.time, time)
                return
        self._end(found, onset, drop, day, Status.CLOSED, None, time)

    def _shift(self, flow: float, onset: float, full: float, day: int) -> None:
        self.state["ledger"].append(ledger.entry(flow, onset, day, full=full))

    def _end(
        self,
        event: str,
        onset: float,
        drop: float,
        day: int,
        status: Status,
        end: np.datetime64 | None,
        time: np.datetime64,
    ) -> None:
        """End a leak; what the level fell more or less than its flow is a shift, if it is a little."""
        entries: list[Entry] = self.state["ledger"]
        flow = ledger.flows(entries)[event]
        for entry in entries:
            if entry["event"] == event:
                entry["end"] = max(onset, entry["onset"])
        if abs(flow - drop) <= _CLOSE * flow:
            self._shift(flow - drop, onset, onset, day)
        self._close(event, status, end or self.calendar.start(onset), time)

    def _close(self, event: str, status: Status, end: np.datetime64, time: np.datetime64) -> None:
        for plain in self.state["events"]:
            if plain["id"] == event:
                plain["status"], plain["end"] = str(status), report.text(max(end, report.moment(plain["start"])))
                plain["data_until"] = report.text(time)

    def _rose(self, day: int, days: NDArray[np.int64], time: np.datetime64, change: Change, best: int) -> None:
        """Settle a rise of the level: a return to an older one, the growth of a leak, or a new leak."""
        entries: list[Entry] = self.state["ledger"]
        flow, abrupt = float(change.amplitude[best]), best < len(STEPS)
        age = int(np.concatenate([STEPS, RAMPS])[best])
        onset = float(day + 1 - age)
        if not abrupt:
            flow = self._plain(onset, days, entries, flow)
        dip = ledger.dip(entries, flow, onset)
        if dip is not None and flow >= (1.0 - _CLOSE) * -dip["flow"]:
            dip["end"] = max(onset, dip["onset"])
            self._shift(flow + dip["flow"], onset, onset, day)
            return
        if flow < self.setting.smallest or not evidence.like_a_leak(
            self._blocks(days), days, onset, flow, abrupt=abrupt
        ):
            return
        open_flows = ledger.flows(ledger.running(entries))
        young = [e for e in ledger.running(entries) if day - e["made"] <= _GROWTH]
        full = onset if abrupt else float(day)
        if young and (not abrupt or flow < open_flows[young[-1]["event"]]) and (not abrupt or _grows(young[-1])):
            part = ledger.entry(flow, onset, day, full=full, event=young[-1]["event"], base=young[-1]["base"])
            entries.append(part)
            self._renew(part["event"], float(change.sd[best] / np.sqrt(self.trust)))
            return
        start, low, high = self._onset(day, days, change, best, flow)
        weight = change.weights(+1, self.trust)
        mean = float(np.nansum(weight * change.amplitude))
        spread = float(np.sqrt(np.nansum(weight * (change.sd**2 / self.trust + (change.amplitude - mean) ** 2))))
        self.raise_(
            report.Finding(
                kind=evidence.kind(change, self.trust),
                start=start,
                start_low=low,
                start_high=high,
                flow=flow,
                flow_sd=spread,
                by_hours=evidence.by_hours(self._blocks(days), days, onset),
            ),
            time,
            ledger.entry(flow, onset, day, full=full, base=evidence.before(self.state["levels"], days, onset)),
        )

    def _onset(
        self, day: int, days: NDArray[np.int64], change: Change, best: int, flow: float
    ) -> tuple[np.datetime64, np.datetime64, np.datetime64]:
        """Return the start and its 80 % interval: by day from the test, by step where a step is fresh."""
        low, high, at = evidence.onset_days(change, best, day, self.trust)
        start, early, late = (self.calendar.start(d) for d in (at, low, min(high, day)))
        if best < len(STEPS) and day - at <= ROWS - 4:
            place = slice(int(at) - 3 - day, min(int(at) + 2 - day, 0) or None)  # rows end with the day
            span = days[place]
            base = robust.location(
                self.window(days, self.state["ledger"])[(days < at - 1) & (days >= at - 1 - _BASE_DAYS)]
            )
            known = ledger.total(self.state["ledger"], span)
            rest = self.state["rows"][place] - self.state["pattern"][weekday(span)] - (base + known)[:, None]
            sd = np.tile(self.sd, len(span))
            places = burst.onset(rest.ravel(), sd, flow, max(1, 7200 // self.calendar.step))
            fine = [self.calendar.start(span[0] + i / self.calendar.slots) for i in places]
            start = fine[0]
            if high - low <= 3.0:
                early, late = fine[1], fine[2]
        return start, min(early, start), max(late, start)

    def raise_(self, finding: report.Finding, time: np.datetime64, entry: Entry) -> None:
        """Raise an event at the time of the last reading, and write its leak down."""
        plain = report.event(self.setting, finding, time)
        self.state["events"].append(plain)
        self.state["ledger"].append(Entry(**{**entry, "event": plain["id"]}))

    def _refine(self, entry: Entry, day: int, days: NDArray[np.int64], time: np.datetime64) -> None:
        """Estimate a young entry's flow anew, how long an incipient leak went on growing, and whether it has ended."""
        slow = entry["full"] > entry["onset"]
        age = day - entry["made"]
        if age <= 0 or age > (_GROWTH if slow and entry["event"] else _YOUNG) or entry["end"] is not None:
            return
        others = [e for e in self.state["ledger"] if e is not entry]
        fulls = sorted({entry["full"], (entry["full"] + day) / 2, float(day)}) if slow else [entry["full"]]
        ends = [float(e) for e in range(entry["made"] + 1, day + 1)] if entry["event"] and not slow else []
        tried = [Entry(**{**entry, "full": f}) for f in fulls] + [Entry(**{**entry, "end": e}) for e in ends]
        # spikes are told with the leak taken out: a leak that lasts is none, and one day without it is one
        window = self.window(days, self.state["ledger"]) + ledger.total([entry], days)
        change = self._test(window, np.stack([ledger.shape(e, days) for e in tried]))
        lasting = change.statistic[: len(fulls)]
        if np.isnan(lasting).all():
            return
        place = int(np.nanargmax(lasting))
        flow = float(change.amplitude[place])
        if ends:
            over = np.nan_to_num(change.statistic[len(fulls) :], nan=-1.0)  # a day that is cut as a spike tells nothing
            gone = flow + 1.28 * change.sd[place] < _GONE * entry["first"]
            if gone or over.max() > lasting[place] + _END_TEST:
                self._end(entry["event"], ends[int(np.argmax(over))], entry["flow"], day, Status.CLOSED, None, time)
                return
        if slow:
            flow = self._plain(entry["onset"], days, others, flow)
        low, high = sorted((0.3 * entry["first"], 3.0 * entry["first"]))
        entry["flow"], entry["full"] = float(np.clip(flow, low, high)), float(fulls[place])
        if entry["event"]:
            self._renew(entry["event"], float(change.sd[place] / np.sqrt(self.trust)))

    def _plain(self, onset: float, days: NDArray[np.int64], others: list[Entry], flow: float) -> float:
        return evidence.near_plain_rise(self.state["levels"] - ledger.total(others, days), days, onset, flow)

    def _blocks(self, days: NDArray[np.int64]) -> Floats:
        """Return the blocks of hours above the pattern, beyond all that is known."""
        return np.asarray(self.state["blocks"] - ledger.total(self.state["ledger"], days)[:, None])

    def _renew(self, event: str, sd: float) -> None:
        flow = ledger.flows(self.state["ledger"])[event]
        for plain in self.state["events"]:
            if plain["id"] == event:
                plain["latest"] = report.latest(self.setting, flow, sd, plain["latest"])


def _grows(entry: Entry) -> bool:
    return entry["full"] > entry["onset"]
