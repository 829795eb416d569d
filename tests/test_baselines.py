"""The simple detectors: their arithmetic by hand. What all detectors must keep is in `test_detectors`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from leakdetect.baselines.hotelling import Hotelling
from leakdetect.baselines.night import MinimumNightFlow
from leakdetect.baselines.pairs import PairwiseRegression, threshold
from leakdetect.baselines.samples import Samples
from leakdetect.baselines.window import inflow_signs, read_window
from leakdetect.errors import ReadingsError
from leakdetect.network import Link, Network, Node
from leakdetect.schema import new_readings
from leakdetect.site import Detection

HOUR = np.timedelta64(1, "h")
DAY = 24 * HOUR


def readings(values: np.ndarray, quantity: str, element: list[str] | None = None) -> xr.Dataset:
    """Return hourly readings from 1 March 2020, 06:00 UTC: a day of the baselines begins there."""
    count = values.shape[1]
    names = [f"s{i}" for i in range(count)]
    data = new_readings(
        np.datetime64("2020-03-01T06", "ns") + np.arange(len(values)) * HOUR,
        names,
        values,
        quantity=[quantity] * count,
        element=element or names,
        dma=[""] * count,
        unit=["m"] * count,
        step=[3600.0] * count,
    )
    return data.assign(usable=(("time", "sensor"), np.isfinite(values)))


def nights(*lows: float) -> xr.Dataset:
    """Return days of an inflow of 50 m3/h with one lowest hour each."""
    values = np.full((len(lows), 24), 50.0)
    values[:, 21] = lows
    return readings(values.reshape(-1, 1) / 3600, "flow")


def test_night_flow_rule_by_hand() -> None:
    detector = MinimumNightFlow()
    model = detector.fit(nights(*[10.0] * 12))
    # 10.99 is not more than a tenth above 10; 11.1 is.
    later = nights(10.99, 11.1, *[12.0] * 7, 13.1, 13.3)
    _, events, out = detector.update(model, detector.begin(model), later)
    begin = later.time.values[0]
    assert [e.raised_at - begin for e in events] == [2 * DAY - HOUR, 11 * DAY - HOUR]  # 13.2 is a tenth above 12
    assert out["score"].values[47, 0] == pytest.approx((11.1 - 10) / (0.1 * 10))
    assert events[0].candidates == ()  # without a network there is no pipe to name
    assert events[1].flow_m3h == pytest.approx(13.3 - 12, abs=0.11)


def test_night_flow_rule_sees_the_end() -> None:
    detector = MinimumNightFlow()
    model = detector.fit(nights(*[10.0] * 12))
    _, events, _ = detector.update(model, detector.begin(model), nights(12, *[12.0] * 8, 10.0))
    [event] = events
    assert event.end == np.datetime64("2020-03-11T05", "ns")
    assert event.status == "closed"


def test_what_the_window_suspects_is_no_reference() -> None:
    model = MinimumNightFlow().fit(nights(*[10.0] * 10, 30.0, 30.0, 10.5))
    assert (model["reference"].values * 3600).round(6).tolist() == [10.0] * 9 + [10.5]


def test_cusum_threshold_is_siegmunds() -> None:
    # Tables of the CUSUM: drift 0.5 and threshold 5 give an average run length of 938 on one side.
    h = threshold(false_alarms_per_year=365.25 / 938, sensors=1)
    assert h == pytest.approx(5.0, abs=0.02)
    assert threshold(2, 33) > threshold(2, 3) > threshold(10, 3)


def test_cusum_run_length_by_simulation() -> None:
    random = np.random.default_rng(0)
    h = threshold(false_alarms_per_year=365.25 / 200, sensors=1)
    lengths = []
    for _ in range(400):
        total, day = 0.0, 0
        while total < h:
            total = max(0.0, total + random.standard_normal() - 0.5)
            day += 1
        lengths.append(day)
    assert np.mean(lengths) == pytest.approx(200, rel=0.15)


def pressures(days: int, seed: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    common = np.sin(np.arange(days * 24) * 2 * np.pi / 24)
    return 40 + np.outer(common, [1.0, 2.0, 3.0, 0.5]) + 0.05 * random.standard_normal((days * 24, 4))


def test_pairs_learn_the_lines_and_expect_by_them() -> None:
    detector = PairwiseRegression()
    model = detector.fit(readings(pressures(40), "pressure"))
    assert model["slope"].values[2, 0] == pytest.approx(3.0, abs=0.05)
    assert model["base"].values[2, 0] == pytest.approx(40 - 3 * 40, abs=2)
    assert np.isnan(np.diag(model["slope"].values)).all()
    _, events, out = detector.update(model, detector.begin(model), readings(pressures(30, 4), "pressure"))
    assert events == []
    assert float(out["residual"].std()) < 0.2


@pytest.mark.parametrize("kind", [PairwiseRegression, Hotelling])
def test_the_sensor_that_falls_is_named_and_one_that_rises_is_no_leak(
    kind: type[PairwiseRegression] | type[Hotelling],
) -> None:
    detector = kind()
    model = detector.fit(readings(pressures(60), "pressure"))
    for change, count in ((-0.3, 1), (0.3, 0)):
        values = pressures(20, 5)
        values[96:, 1] += change
        _, events, _ = detector.update(model, detector.begin(model), readings(values, "pressure"))
        assert len(events) == count
    values = pressures(20, 5)
    values[96:, 1] -= 0.3
    _, [event], _ = detector.update(model, detector.begin(model), readings(values, "pressure"))
    assert event.evidence[0].sensor == "s1"
    assert sum(e.share for e in event.evidence) == pytest.approx(1)
    assert event.raised_at > np.datetime64("2020-03-05T06", "ns")
    assert event.flow_m3h == event.flow_high == 0  # no inflow is measured: its size is not known


def test_a_leak_in_the_window_does_not_hide_itself() -> None:
    values = pressures(60)
    values[50 * 24 :, 1] -= 0.3
    detector = Hotelling()
    model = detector.fit(readings(values, "pressure"))
    assert float(model["usual"].values[:, 1].mean()) == pytest.approx(40, abs=0.05)
    later = pressures(10, 6)
    later[:, 1] -= 0.3
    _, events, _ = detector.update(model, detector.begin(model), readings(later, "pressure"))
    assert [e.evidence[0].sensor for e in events] == ["s1"]


def test_fewer_false_alarms_wanted_means_higher_bounds() -> None:
    data = readings(pressures(60), "pressure")
    strict, loose = (Detection(false_alarms_per_year=n) for n in (0.5, 20.0))
    assert Hotelling(settings=strict).fit(data).attrs["level"] > Hotelling(settings=loose).fit(data).attrs["level"]
    pair = [PairwiseRegression(settings=d).fit(data).attrs["threshold"] for d in (strict, loose)]
    assert pair[0] > pair[1]


def net() -> Network:
    """Return R -p1- a -p2- T(ank) and R2 -p3- a, p3 drawn towards its reservoir."""
    kinds = [Node.JUNCTION, Node.RESERVOIR, Node.RESERVOIR, Node.TANK]
    return Network(
        name="two sources",
        node_names=("a", "R", "R2", "T"),
        node_kind=np.array(kinds, dtype=np.int64),
        elevation=np.zeros(4),
        xy=np.zeros((4, 2)),
        base_demand=np.zeros((4, 1)),
        categories=("",),
        patterns=np.ones((1, 1)),
        pattern_step=3600.0,
        link_names=("p1", "p2", "p3"),
        link_kind=np.array([Link.PIPE, Link.PUMP, Link.PIPE], dtype=np.int64),
        start=np.array([1, 0, 0]),
        end=np.array([0, 3, 2]),
        length=np.array([100.0, 0.0, 100.0]),
        diameter=np.full(3, 0.1),
        roughness=np.full(3, 130.0),
        minor_loss=np.zeros(3),
        open=np.ones(3, dtype=bool),
        check_valve=np.zeros(3, dtype=bool),
        setting=np.full(3, math.nan),
        tank_area=np.full(4, math.nan),
    )


def test_inflow_is_what_comes_from_reservoirs() -> None:
    data = readings(np.ones((48, 3)), "flow", ["p1", "p2", "p3"])
    assert inflow_signs(data, net()) == {"s0": 1.0, "s2": -1.0}  # the pump fills the tank: not an inflow
    assert inflow_signs(data, None) == {"s0": 1.0, "s1": 1.0, "s2": 1.0}
    assert inflow_signs(readings(np.ones((48, 1)), "flow", ["p2"]), net()) == {"s0": 1.0}


def test_an_alarm_is_placed_beside_the_meter() -> None:
    values = np.tile(nights(*[10.0] * 12)["reading"].values, (1, 3))
    later = np.tile(nights(*[20.0] * 2)["reading"].values, (1, 3))
    values[:, 2] *= -0.1
    later[:, 2] *= -0.1
    detector = MinimumNightFlow(network=net())
    model = detector.fit(readings(values, "flow", ["p1", "p2", "p3"]))
    _, [event], _ = detector.update(
        model, detector.begin(model), readings(later, "flow", ["p1", "p2", "p3"]).isel(time=slice(0, 24))
    )
    assert [c.link for c in event.candidates] == ["p1"]
    assert event.zone.length_m == 100


def test_days_end_in_the_local_morning() -> None:
    data = readings(np.ones((72, 1)), "pressure")  # from 06:00 UTC
    london = read_window(data, ["s0"], 3600, "Europe/London")
    assert np.flatnonzero(london.last).tolist() == [23, 47, 71]
    athens = read_window(data, ["s0"], 3600, "Europe/Athens")  # two hours ahead
    assert np.flatnonzero(athens.last).tolist() == [21, 45, 69]
    spring = readings(np.ones((24 * 30, 1)), "pressure")  # the clocks go forward on 29 March
    assert np.diff(np.flatnonzero(read_window(spring, ["s0"], 3600, "Europe/Athens").last)).min() == 23


def test_too_little_to_learn_from() -> None:
    with pytest.raises(ReadingsError, match="no flow sensor"):
        MinimumNightFlow().fit(readings(pressures(20), "pressure"))
    with pytest.raises(ReadingsError, match="fewer than 10 nights"):
        MinimumNightFlow().fit(nights(*[10.0] * 9))
    with pytest.raises(ReadingsError, match="2 pressure sensors"):
        PairwiseRegression().fit(readings(pressures(20)[:, :2], "pressure"))
    for kind in (PairwiseRegression, Hotelling):
        with pytest.raises(ReadingsError, match="fewer than 14 days"):
            kind().fit(readings(pressures(13), "pressure"))
    with pytest.raises(ReadingsError, match="fewer than two steps"):
        Hotelling().fit(readings(pressures(1)[:1], "pressure"))


def test_a_sensor_gone_from_the_readings() -> None:
    detector = Hotelling()
    model = detector.fit(readings(pressures(30), "pressure"))
    with pytest.raises(ReadingsError, match="sensor 's3' is in the model"):
        detector.update(model, detector.begin(model), readings(pressures(2)[:, :3], "pressure"))


def test_events_can_be_written_and_read(tmp_path: Path) -> None:
    from leakdetect.events import dumps, read_events

    detector = MinimumNightFlow()
    model = detector.fit(nights(*[10.0] * 12))
    _, events, _ = detector.update(model, detector.begin(model), nights(*[20.0] * 3))
    (tmp_path / "events.json").write_text(dumps(events))
    assert read_events(tmp_path / "events.json") == [replace(e) for e in events]


class Beyond:
    """An estimator for which a sample is unusual where a feature lies beyond all that it was fitted on."""

    fits = 0

    def fit(self, X: np.ndarray) -> Beyond:
        Beyond.fits += 1
        self.most = X.max(axis=0)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -(X - self.most).max(axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.where(self.score_samples(X) < 0, -1, 1)


def shifted(*days: float, quantity: str = "pressure") -> xr.Dataset:
    """Return two sensors that read 40 with a daily shape, and each day a shift of their own."""
    hours = np.sin(np.arange(24) * math.tau / 24)
    one = (40 + np.array(days)[:, None] + hours).reshape(-1, 1)
    return readings(np.hstack([one, 2 * one]), quantity)


SHIFTS = tuple(0.1 * np.random.default_rng(3).permutation(np.arange(-8, 9)))  # their middle is 0


@pytest.mark.parametrize(("quantity", "sign"), [("pressure", -1), ("flow", 1)])
def test_samples_are_daily_shifts_in_their_own_spread(quantity: str, sign: int) -> None:
    model = Samples(Beyond()).fit(shifted(*SHIFTS, quantity=quantity))
    samples = model["samples"].values
    assert samples.shape == (17, 2)
    spread = 1.4826 * 0.4  # the median of |-0.8 ... 0.8| in steps of 0.1, as a standard deviation
    np.testing.assert_allclose(samples, sign * np.array(SHIFTS)[:, None] / spread * [1, 1], rtol=1e-3, atol=1e-9)


def test_samples_need_two_days_in_a_row_and_tell_leak_from_its_end() -> None:
    Beyond.fits = 0
    given = Beyond()
    detector = Samples(given)
    model = detector.fit(shifted(*SHIFTS))
    state = detector.begin(model)
    assert detector.update(model, state, shifted(-0.9, 0, -0.9, 0.5))[1] == []  # never two days in a row
    _, events, out = detector.update(model, state, shifted(0, -0.9, -1.0, *[-1.0] * 9))
    [event] = events
    assert event.raised_at == np.datetime64("2020-03-04T05", "ns")  # the end of the third day
    assert event.status == "open"  # and once the new reference holds, no more of it
    assert {e.sensor: round(e.share, 6) for e in event.evidence} == {"s0": 0.5, "s1": 0.5}
    assert out["score"].values[3 * 24, 0] > 0
    assert Beyond.fits == 1  # of a copy, once for a model
    assert not hasattr(given, "most")


def test_samples_say_what_they_lack() -> None:
    with pytest.raises(ReadingsError, match="fewer than 14 days"):
        Samples(Beyond()).fit(shifted(*SHIFTS[:13]))
    with pytest.raises(ReadingsError, match="no pressure and no flow sensor"):
        Samples(Beyond()).fit(shifted(*SHIFTS, quantity="level"))


def test_a_sensor_that_never_moves_says_nothing() -> None:
    data = shifted(*SHIFTS)
    data["reading"].values[:, 1] = 7.0
    assert (Samples(Beyond()).fit(data)["samples"].values[:, 1] == 0).all()
