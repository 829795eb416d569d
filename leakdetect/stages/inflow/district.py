"""One district's recursion: from step to step, and from one 04:00 to the next.

Everything it remembers is in one dict of arrays and JSON values, so that a stream can stop and go on. Nothing depends
on how the steps are cut into updates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.events import Kind, Status
from leakdetect.stages.inflow import burst, evidence, ledger, report
from leakdetect.stages.inflow.calendar import SUNDAY, Floats, weekday
from leakdetect.stages.inflow.demand import Demand
from leakdetect.stages.inflow.judge import ROWS, Judge
from leakdetect.stages.inflow.noise import WINDOW, Noise, liveliness
from leakdetect.stages.inflow.report import Setting

HISTORY = WINDOW


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
        self.judge = Judge(setting, model, state)
        self.forecaster, self.ahead = self.noise.forecaster(), self.noise.ahead()
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
        self.judge.raise_(
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
        now = self.judge.window(self._days() + 1, state["ledger"])[-1]
        state["errors"] = np.append(state["errors"][1:], now - forecast)
        self.judge.morning(day, self._days() + 1, time)
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

    def _forecast(self) -> None:
        entries, day = self.state["ledger"], int(self.state["day"])
        ahead = self.forecaster.forecast(self.judge.window(self._days(), entries), self.ahead)
        self.state["ahead"] = ahead
        self.state["known"] = float(ledger.total(entries, np.array([day]), shifts=False)[0])
        self.state["reference"] = ahead + ledger.total(entries, np.array([day]), leaks=False)[0]
