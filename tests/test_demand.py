"""Calendar, weekly pattern, level and noise of the inflow detector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.core import robust
from leakdetect.errors import InputError, ReadingsError
from leakdetect.stages.inflow.calendar import BLOCKS, NIGHT, SUNDAY, Calendar, weekday
from leakdetect.stages.inflow.demand import Demand, fit_demand
from leakdetect.stages.inflow.noise import (
    Noise,
    daily_threshold,
    fit_noise,
    forecasts,
    jump,
    liveliness,
    tail_threshold,
)

HOURLY = Calendar("Europe/Paris", 3600)
MINUTE = np.timedelta64(1, "m")


@given(st.integers(0, 60 * 24 * 365 * 3))
def test_a_time_comes_back_from_its_place(minutes: int) -> None:
    calendar = Calendar("America/New_York", 900)
    time = np.datetime64("2020-01-01", "ns") + (minutes // 15) * 15 * MINUTE
    day, slot = calendar.place(np.array([time]))
    back = calendar.start(float(day[0]) + slot[0] / calendar.slots)
    assert abs(back - time) <= np.timedelta64(60, "m")  # an hour off on the days of a clock change only
    start = calendar.start(float(day[0]))
    assert calendar.place(np.array([start]))[1][0] == 0


def test_days_run_from_four_to_four_on_the_local_clock() -> None:
    times = np.array(["2021-07-01T01:59", "2021-07-01T02:00", "2021-12-01T02:59", "2021-12-01T03:00"], "datetime64[ns]")
    day, slot = HOURLY.place(times)
    assert slot.tolist() == [23, 0, 23, 0]
    assert np.diff(day)[[0, 2]].tolist() == [1, 1]
    assert weekday(day).tolist() == [2, 3, 1, 2]  # the night still belongs to the day before
    with pytest.raises(InputError, match="divides an hour"):
        Calendar("UTC", 5400)


def test_a_clock_change_doubles_an_hour_or_leaves_it_out() -> None:
    for date, count in (("2021-10-30", 25), ("2021-03-27", 23)):
        time = np.datetime64(date, "ns") + np.arange(48) * 60 * MINUTE
        day, slot = HOURLY.place(time)
        whole = day == day[12]
        assert whole.sum() == count
        _, table = HOURLY.table(day[whole], slot[whole], np.arange(48.0)[whole])
        assert np.isfinite(table).sum() == min(count, 24)
        assert table.shape == (1, 24)


def test_blocks_are_means_of_hours_that_are_half_known() -> None:
    row = np.arange(24.0)
    row[:2] = np.nan
    row[2] = np.nan
    blocks = HOURLY.blocks(row)
    assert np.isnan(blocks[0])
    assert blocks[1] == 3.5
    assert blocks[NIGHT] == 22.5
    np.testing.assert_array_equal(Calendar("UTC", 900).blocks(np.repeat(row, 4)), blocks)
    assert len(BLOCKS) == len(blocks) + 1


def village(seed: int = 0, days: int = 84) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return leak-days, inflow by slot and the true pattern: by day, demand swings three times as much as by night."""
    random = np.random.default_rng(seed)
    number = 18700 + np.arange(days)
    slot = np.arange(24)
    shape = np.where(slot < 19, 3 + 5 * np.exp(-((slot - 4) ** 2) / 8.0), 1.0)
    pattern = np.stack([shape * (1.2 if d == SUNDAY else 1.0) for d in range(7)])
    swing = random.standard_normal((days, 1)) * np.where(slot < 19, 0.6, 0.2)
    table = 10 + pattern[weekday(number)] + swing + 0.1 * random.standard_normal((days, 24))
    return number, table, pattern


def test_the_level_weighs_the_night_and_sees_a_leak_whole() -> None:
    days, table, pattern = village()
    demand = fit_demand(HOURLY, days, table, "v")
    level = np.array([demand.level(HOURLY, int(d), r)[0] for d, r in zip(days, table, strict=True)])
    raised = np.array([demand.level(HOURLY, int(d), r + 1.5)[0] for d, r in zip(days, table, strict=True)])
    np.testing.assert_allclose(raised - level, 1.5)
    assert level.std() < 0.5 * (table - pattern[weekday(days)]).mean(axis=1).std()
    # the pattern keeps the shape of each weekday
    for d in (0, SUNDAY):
        got = demand.pattern[d] - demand.pattern[d].mean()
        np.testing.assert_allclose(got, pattern[d] - pattern[d].mean(), atol=0.35)


def test_a_leak_in_the_window_does_not_bend_the_pattern() -> None:
    days, table, _ = village(1)
    clean = fit_demand(HOURLY, days, table, "v").pattern
    table[20:40] += 4.0
    table[50:53] = np.nan
    np.testing.assert_allclose(fit_demand(HOURLY, days, table, "v").pattern, clean, atol=0.45)


def test_a_holiday_is_lived_like_a_sunday() -> None:
    days, table, pattern = village(2)
    late = np.roll(pattern[SUNDAY], 2)  # Sundays rise later
    table[weekday(days) == SUNDAY] += late - pattern[SUNDAY]
    demand = fit_demand(HOURLY, days, table, "v")
    tuesday = int(days[weekday(days) == 1][3])
    level, kept = demand.level(HOURLY, tuesday, 10 + late)
    assert kept == SUNDAY
    assert level == pytest.approx(demand.level(HOURLY, tuesday + 5, 10 + late)[0])
    assert demand.level(HOURLY, tuesday, 10 + pattern[1])[1] == 1


def test_missing_hours() -> None:
    days, table, _ = village(3)
    demand = fit_demand(HOURLY, days, table, "v")
    row = table[10].copy()
    row[:6] = np.nan
    assert demand.level(HOURLY, int(days[10]), row)[0] == pytest.approx(
        demand.level(HOURLY, int(days[10]), table[10])[0], abs=0.3
    )
    row = table[10].copy()
    row[22:] = np.nan  # no night, no verdict
    assert np.isnan(demand.level(HOURLY, int(days[10]), row)[0])
    with pytest.raises(ReadingsError, match="district 'v': 20 whole days"):
        fit_demand(HOURLY, days[:20], table[:20], "v")


def test_the_pattern_learns_a_shape_and_never_a_leak() -> None:
    flat = Demand(np.zeros((7, 24)), np.eye(9))
    sd = np.full(24, 10.0)
    row = np.full(24, 5.0)
    assert np.allclose(flat.learn(HOURLY, row, 5.0, 0, sd, 0.0).pattern, 0.0)
    assert np.allclose(flat.learn(HOURLY, row + 3.0, 5.0, 0, sd, 0.0).pattern, 0.0)  # all hours alike: not a shape
    row[4] = 9.0
    learnt = flat.learn(HOURLY, row, 5.0, 0, sd, 0.0).pattern
    assert learnt[0, 4] > 0.4
    assert np.abs(learnt[1:]).max() == 0.0
    assert flat.learn(HOURLY, row, 5.0, 0, sd, 1.0).pattern.mean(axis=1).sum() == pytest.approx(
        learnt.mean(axis=1).sum()
    )


def series(noise: Noise, n: int, seed: int) -> np.ndarray:
    return np.linalg.cholesky(noise.covariance(n)) @ np.random.default_rng(seed).standard_normal(n)


def test_the_noise_is_found_with_leaks_in_it() -> None:
    truth = Noise(1.0, 0.6, 0.1, 0.4)
    level = series(truth, 700, 4)
    level[200:240] += 6.0
    fitted = fit_noise(robust.without_spikes(level, jump(level)))
    for lag in (1, 7, 28):
        want, got = (_difference(n, lag) for n in (truth, fitted))
        assert got == pytest.approx(want, rel=0.35)


def _difference(noise: Noise, lag: int) -> float:
    c = noise.covariance(lag + 1)
    return float(np.sqrt(c[0, 0] + c[-1, -1] - 2 * c[0, -1]))


def test_a_flat_series_still_has_some_noise() -> None:
    assert fit_noise(np.full(100, 3.0)).covariance(5).trace() > 0


def test_forecasts_use_the_past_only() -> None:
    noise = Noise(1.0, 0.6, 0.1, 0.4)
    level = series(noise, 60, 5)
    changed = level.copy()
    changed[40:] += 100.0
    np.testing.assert_array_equal(forecasts(level, noise)[:41], forecasts(changed, noise)[:41])


def test_the_threshold_keeps_false_alarms_to_the_wanted_number() -> None:
    noise = Noise(1.0, 0.6, 0.05, 0.4)
    white = np.random.default_rng(6).standard_normal(365)
    often, seldom = (daily_threshold(white, noise, wanted) for wanted in (6.0, 1.0))
    assert often < seldom
    test, alarms, years = noise.test(), 0, 12
    for year in range(years):
        x, free = series(noise, 120 + 365, 100 + year), 0
        for t in range(0, 365, 3):
            change = test.test(x[t : t + 120])
            up = change.best(1)
            if t >= free and up is not None and change.statistic[up] >= often:
                alarms, free = alarms + 1, t + 28
    assert 0.5 * 6 < alarms / years < 1.5 * 6


def test_liveliness_follows_the_noise_and_not_a_leak() -> None:
    errors = np.random.default_rng(7).standard_normal(42)
    assert liveliness(errors, 1.0) == pytest.approx(1.0, abs=0.45)
    assert liveliness(3 * errors, 1.0) == pytest.approx(3 * liveliness(errors, 1.0))
    leak = errors.copy()
    leak[[10, 30]] += 20.0
    assert liveliness(leak, 1.0) < 1.4 * liveliness(errors, 1.0)
    assert liveliness(np.full(5, np.nan), 1.0) == 1.0


def test_the_tail_is_exponential_above_its_quantile() -> None:
    peaks = np.random.default_rng(8).exponential(1.0, 3650)
    once = tail_threshold(peaks, 1.0)
    assert once == pytest.approx(np.log(365), rel=0.15)
    assert tail_threshold(peaks, 0.1) - once == pytest.approx(np.log(10), rel=0.15)
    peaks[:50] += 100.0  # leaks of the fit window
    assert tail_threshold(peaks, 1.0) == pytest.approx(once, rel=0.3)
