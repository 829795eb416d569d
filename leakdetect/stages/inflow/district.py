"""One district's recursion: from step to step, and from one 04:00 to the next.

Everything it remembers is in one dict of arrays and JSON values, so that a stream can stop and go on. Nothing depends
on how the steps are cut into updates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.core import robust
from leakdetect.core.sequential import Change, Glr, step_shapes
from leakdetect.events import Kind, Repair, Status
from leakdetect.stages.inflow import burst, evidence, ledger, report
from leakdetect.stages.inflow.calendar import SUNDAY, Floats, weekday
from leakdetect.stages.inflow.demand import Demand
from leakdetect.stages.inflow.ledger import Entry
from leakdetect.stages.inflow.noise import IDEAL, RAMPS, STEPS, WINDOW, Noise, liveliness
from leakdetect.stages.inflow.report import Setting

HISTORY = WINDOW
ROWS = 20  # days of readings kept, to place an onset to the hour
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


class District:
    """Runs one district on from a state, which it changes.

    Parameters
    ----------
    setting : Setting
    model : dict
        The district's part of the fitted model.
    state : dict
        From `blank`.
    """

    def __init__(self, setting: Setting, model: dict[str, Any], state: dict[str, Any]) -> None:
        self.setting, self.model, self.state = setting, model, state
        self.calendar = setting.calendar
        self.noise = Noise(*(float(v) for v in model["noise"]))
        self.test: Glr = self.noise.test()
        self.forecaster, self.ahead = self.noise.forecaster(), self.noise.ahead()
        self.threshold = float(model["threshold"])
        self.trust = min(1.0, IDEAL / self.threshold)  # what a statistic is worth beside that of ideal noise
        self.sd: Floats = model["slot_sd"]

    @staticmethod
    def blank(model: dict[str, Any]) -> dict[str, Any]:
        """Return the state before the first step."""
        slots = model["pattern"].shape[1]
        blocks = model["covariance"].shape[0]
        return {
            "day": None,  # the leak-day under way
            "total": np.zeros(slots),
            "count": np.zeros(slots),
            "levels": model["history"].copy(),  # of the days before it
            "blocks": np.full((HISTORY, blocks), np.nan),  # their hours above the pattern
            "rows": np.full((ROWS, slots), np.nan),
            "errors": model["errors"].copy(),  # of the forecasts of those levels
            "lively": model["lively"].copy(),
            "pattern": model["pattern"].copy(),
            "ahead": float("nan"),  # forecast of the level beyond the ledger
            "reference": float("nan"),  # the same with shifts that are no leak
            "known": 0.0,  # flow of the running leaks, as of the morning
            "recent": np.full(burst.memory(86400 // slots), np.nan),
            "recent_share": np.full(burst.memory(86400 // slots), np.nan),
            "recent_flow": np.full(burst.memory(86400 // slots), np.nan),
            "score": 0.0,
            "muted": False,
            "ledger": [],
            "events": [],
        }

    def run(self, time: NDArray[np.datetime64], seen: NDArray[np.datetime64], inflow: Floats) -> dict[str, Floats]:
        """Take the next steps; return ``expected, expected_sd, score`` for each.

        Parameters
        ----------
        time : ndarray of datetime64, shape (T,)
            What the steps are called by: their beginning.
        seen : ndarray of datetime64, shape (T,)
            The last reading in each.
        inflow : ndarray, shape (T,)
            m3/s.
        """
        day, slot = self.calendar.place(time)
        parts: list[tuple[Floats, Floats, Floats]] = []
        for part in np.split(np.arange(len(time)), np.flatnonzero(np.diff(day)) + 1):
            now = int(day[part[0]])
            if self.state["day"] is None:
                self._start(now)
            while self.state["day"] < now:  # the last slot of a day did not come: its verdict comes late
                self._morning(seen[part[0]])
            parts.append(self._steps(now, time[part], seen[part], slot[part], inflow[part]))
            if now == self.state["day"] and slot[part[-1]] == self.calendar.slots - 1:
                self._morning(seen[part[-1]])
                parts[-1][2][-1] = max(parts[-1][2][-1], self.state["score"])
        for event in self.state["events"]:
            if event["status"] == Status.OPEN:
                event["data_until"] = report.text(seen[-1])
        keys = ("expected", "expected_sd", "score")
        return {key: np.concatenate([p[i] for p in parts]) for i, key in enumerate(keys)}

    # -- every step ---------------------------------------------------------------------------------------------------

    def _steps(
        self,
        day: int,
        time: NDArray[np.datetime64],
        seen: NDArray[np.datetime64],
        slot: NDArray[np.int64],
        inflow: Floats,
    ) -> tuple[Floats, Floats, Floats]:
        state, step = self.state, self.calendar.step
        expected = state["reference"] + state["pattern"][int(weekday(day))][slot]
        sd = self.sd[slot]
        rest = inflow - expected - state["known"]
        usual = np.maximum(expected, state["reference"] + state["pattern"][SUNDAY][slot])
        above = inflow - usual - state["known"]
        before = len(state["recent"])
        standard = np.concatenate([state["recent"], above / sd])
        share = np.concatenate([state["recent_share"], above / np.maximum(usual, sd)])
        flow = np.concatenate([state["recent_flow"], rest])
        high = np.full(len(time), -np.inf)
        for hours, threshold in zip(burst.WINDOWS, self.model["burst_threshold"], strict=True):
            both = [
                burst.scores(standard, step, hours) / threshold,
                burst.scores(share, step, hours) / burst.SHARE,
            ]
            high = np.maximum(high, np.min(both, axis=0)[before:])
        if day == state["day"]:  # an hour that a clock change repeats after 04:00 belongs to a day that is over
            good = np.isfinite(inflow)
            np.add.at(state["total"], slot[good], inflow[good])
            np.add.at(state["count"], slot[good], 1.0)
        for i in np.flatnonzero(high >= 1.0):
            if not state["muted"]:
                self._burst((day, int(slot[i])), time[i], seen[i], flow[i + 1 : before + i + 1])
        state["recent"], state["recent_share"], state["recent_flow"] = (
            standard[-before:],
            share[-before:],
            flow[-before:],
        )
        return expected, sd.copy(), np.maximum(np.maximum(high, 0.0), state["score"])

    def _burst(self, place: tuple[int, int], time: np.datetime64, seen: np.datetime64, rest: Floats) -> None:
        """Raise a burst at a day and slot from the residuals of the last hours, newest last."""
        day, slot = place
        n, step = len(rest), self.calendar.step
        newest = rest[-burst.WINDOWS[0] * 3600 // step :]
        flow, _ = burst.height(newest)
        if flow < self.setting.smallest or ledger.dip(self.state["ledger"], flow, day) is not None:
            return
        sd = self.sd[(slot - np.arange(n)[::-1]) % self.calendar.slots]
        first, low, high = burst.onset(rest, sd, flow, max(1, 7200 // step))
        flow, spread = burst.height(rest[min(first, n - 3 * 3600 // step) :])
        ago = [np.timedelta64((n - 1 - i) * step, "s") for i in (first, low, high)]
        start, start_low, start_high = (time - a for a in ago)
        onset = day + (slot - (n - 1 - first)) / self.calendar.slots
        self._raise(
            report.Finding(
                kind=Kind.ABRUPT,
                start=start,
                start_low=start_low,
                start_high=start_high,
                flow=flow,
                flow_sd=float(np.hypot(spread / np.sqrt(burst.WINDOWS[0]), self.noise.sd)),
            ),
            seen,
            ledger.entry(flow, onset, day, base=evidence.before(self.state["levels"], self._days(), onset)),
        )
        self.state["muted"] = True

    # -- every morning ------------------------------------------------------------------------------------------------

    def _start(self, day: int) -> None:
        """Line the fit window's last levels up with the first day; what would lie in the future is dropped."""
        missing = int(np.clip(day - 1 - int(self.model["history_until"]), -HISTORY, HISTORY))
        for key, fill in (("levels", np.nan), ("errors", np.nan), ("lively", 1.0)):
            gap, values = np.full(abs(missing), fill), self.state[key]
            parts = [values, gap][:: 1 if missing >= 0 else -1]
            self.state[key] = np.concatenate(parts)[-HISTORY:] if missing >= 0 else np.concatenate(parts)[:HISTORY]
        self.state["day"] = day
        self._forecast()

    def _morning(self, time: np.datetime64) -> None:
        """Close a leak-day: read its level, judge it, and forecast the next."""
        state, calendar, day = self.state, self.calendar, int(self.state["day"])
        row = np.where(state["count"] > 0, state["total"] / np.maximum(state["count"], 1.0), np.nan)
        demand = Demand(state["pattern"], self.model["covariance"], float(self.model["odd"]))
        level, kept = demand.level(calendar, day, row)
        blocks = calendar.blocks(row) - calendar.blocks(demand.pattern[kept])
        lively = liveliness(state["errors"], float(self.model["usual_error"]))
        for key, value in (("levels", level), ("blocks", blocks), ("rows", row), ("lively", lively)):
            state[key] = np.concatenate([state[key][1:], np.asarray(value)[None]])
        forecast = state["ahead"]
        now = self._window(self._days() + 1, state["ledger"])[-1]
        state["errors"] = np.append(state["errors"][1:], now - forecast)
        self._judge(day, time)
        if np.isfinite(level):
            state["pattern"] = demand.learn(
                calendar, row, level, kept, self.sd, self._offset(kept == weekday(day))
            ).pattern
        state["ledger"] = ledger.settled(state["ledger"], day - HISTORY - 1)
        state["total"], state["count"] = np.zeros_like(row), np.zeros_like(row)
        if state["muted"]:  # hours that were raised must not be raised again
            for key in ("recent", "recent_share", "recent_flow"):
                state[key] = np.full_like(state[key], np.nan)
        state["day"], state["muted"] = day + 1, False
        self._forecast()

    def _offset(self, ordinary: bool) -> float:
        """Return how much the newest level lies above its week: 0 for a holiday, or where the week is not whole."""
        beyond = self.state["levels"] - ledger.total(self.state["ledger"], self._days() + 1)
        limit = float(self.model["jump"]) * self.state["lively"][-1]
        above = beyond[-1] - np.mean(beyond[-7:])
        return float(np.clip(above, -limit, limit)) if ordinary and np.isfinite(above) else 0.0

    def _days(self) -> NDArray[np.int64]:
        """Return the leak-days of ``levels``: up to yesterday, or to today where its verdict is being given."""
        return np.arange(HISTORY) - HISTORY + int(self.state["day"])

    def _window(self, days: NDArray[np.int64], entries: list[Entry]) -> Floats:
        """Return the level beyond the entries, as the test wants it."""
        beyond = self.state["levels"] - ledger.total(entries, days)
        return robust.without_spikes(beyond, float(self.model["jump"]) * self.state["lively"])

    def _test(self, window: Floats, shapes: Floats | None = None) -> Change:
        return self.test.test(window, shapes, self.state["lively"])

    def _forecast(self) -> None:
        entries, day = self.state["ledger"], int(self.state["day"])
        ahead = self.forecaster.forecast(self._window(self._days(), entries), self.ahead)
        self.state["ahead"] = ahead
        self.state["known"] = float(ledger.total(entries, np.array([day]), shifts=False)[0])
        self.state["reference"] = ahead + ledger.total(entries, np.array([day]), leaks=False)[0]

    def _judge(self, day: int, time: np.datetime64) -> None:
        days = self._days() + 1
        entries: list[Entry] = self.state["ledger"]
        self._confirm(day, days, time)
        self._faded(day, time)
        self._judge_repairs(day, days, time)
        change = self._test(self._window(days, entries))
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
            change = self._test(self._window(days, entries), step_shapes(WINDOW, [3]))
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
        self._raise(
            report.Finding(
                kind=evidence.kind(change, self.trust),
                start=start,
                start_low=low,
                start_high=high,
                flow=flow,
                flow_sd=spread,
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
                self._window(days, self.state["ledger"])[(days < at - 1) & (days >= at - 1 - _BASE_DAYS)]
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

    def _raise(self, finding: report.Finding, time: np.datetime64, entry: Entry) -> None:
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
        window = self._window(days, self.state["ledger"]) + ledger.total([entry], days)
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
                plain["latest"] = report.latest(self.setting, flow, sd)


def _grows(entry: Entry) -> bool:
    return entry["full"] > entry["onset"]
