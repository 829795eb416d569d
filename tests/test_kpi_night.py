"""Night flow, worked by hand: days of 92, 96 and 100 quarter hours, gaps, pressures."""

from __future__ import annotations

import numpy as np
import pytest

from leakdetect.errors import InputError
from leakdetect.kpi.night import (
    Nights,
    night_day_factor,
    night_use,
    nights,
    pressure_profile,
    real_losses,
)

PARIS = "Europe/Paris"
QUARTER = np.timedelta64(15, "m")
SPRING, AUTUMN, PLAIN = "2024-03-31", "2024-10-27", "2024-05-15"


def quarters(first: str, last: str) -> np.ndarray:
    return np.arange(np.datetime64(first, "ns"), np.datetime64(last, "ns"), QUARTER)


def between(time: np.ndarray, first: str, last: str) -> np.ndarray:
    return (time >= np.datetime64(first)) & (time < np.datetime64(last))


def on(found: Nights, day: str) -> tuple[bool, float]:
    (i,) = np.flatnonzero(found.day == np.datetime64(day))
    return bool(found.whole[i]), float(found.lowest[i])


def test_the_lowest_whole_hour_of_the_night() -> None:
    # In UTC+2 the night is 00:00 to 02:00 UTC. 00:45 to 01:45 is the lowest hour: (1 + 2 + 3 + 2) / 4.
    time = quarters("2024-05-14T22:00", "2024-05-15T22:00")
    flow = np.full(time.size, 10.0)
    flow[between(time, "2024-05-15T00:00", "2024-05-15T02:00")] = [9, 9, 9, 1, 2, 3, 2, 9]
    flow[between(time, "2024-05-14T23:00", "2024-05-15T00:00")] = 0.5  # 01:00 to 02:00 local: not yet night
    flow[between(time, "2024-05-15T02:00", "2024-05-15T03:00")] = 0.5  # 04:00 local: no longer
    found = nights(time, flow, 900, PARIS)
    assert on(found, PLAIN) == (True, 2.0)
    assert found.mean[0] == pytest.approx(flow.mean())


@pytest.mark.parametrize(
    ("day", "first", "last", "length"),
    [
        (PLAIN, "2024-05-14T22:00", "2024-05-15T22:00", 96),
        (SPRING, "2024-03-30T23:00", "2024-03-31T22:00", 92),
        (AUTUMN, "2024-10-26T22:00", "2024-10-27T23:00", 100),
    ],
)
def test_an_hour_may_be_missing_and_no_more(day: str, first: str, last: str, length: int) -> None:
    time = quarters(first, last)
    assert time.size == length
    flow = np.full(length, 3.0)
    flow[-4:] = np.nan
    assert on(nights(time, flow, 900, PARIS), day) == (True, 3.0)
    flow[-5] = np.nan
    found = nights(time, flow, 900, PARIS)
    assert not found.whole[0]
    assert np.isnan([found.lowest[0], found.mean[0]]).all()


def test_clocks_go_forward() -> None:
    # 02:00 to 03:00 does not exist: the night is 03:00 to 04:00, 01:00 to 02:00 UTC.
    time = quarters("2024-03-30T23:00", "2024-03-31T22:00")
    flow = np.full(time.size, 10.0)
    flow[between(time, "2024-03-31T01:00", "2024-03-31T02:00")] = 4.0
    flow[between(time, "2024-03-31T00:15", "2024-03-31T01:00")] = 0.1  # until 02:00 local, which is 03:00
    assert on(nights(time, flow, 900, PARIS), SPRING) == (True, 4.0)


def test_clocks_go_back() -> None:
    # 02:00 to 03:00 comes twice: the night is 00:00 to 03:00 UTC.
    time = quarters("2024-10-26T22:00", "2024-10-27T23:00")
    flow = np.full(time.size, 10.0)
    for hour, value in enumerate((7.0, 2.0, 3.0)):
        flow[between(time, f"2024-10-27T0{hour}:00", f"2024-10-27T0{hour + 1}:00")] = value
    assert on(nights(time, flow, 900, PARIS), AUTUMN) == (True, 2.0)
    flow[between(time, "2024-10-27T03:00", "2024-10-27T04:00")] = 0.1  # 04:00 local: no longer
    assert on(nights(time, flow, 900, PARIS), AUTUMN) == (True, 2.0)


def test_a_gap_in_the_night_leaves_the_hours_beside_it() -> None:
    time = quarters("2024-05-14T22:00", "2024-05-15T22:00")
    flow = np.full(time.size, 10.0)
    flow[between(time, "2024-05-15T00:00", "2024-05-15T02:00")] = [1, 1, np.nan, 5, 5, 5, 6, 6]
    assert on(nights(time, flow, 900, PARIS), PLAIN) == (True, 5.25)
    flow[between(time, "2024-05-15T00:00", "2024-05-15T02:00")] = [1, 1, 1, np.nan, 5, 5, 5, np.nan]
    whole, lowest = on(nights(time, flow, 900, PARIS), PLAIN)
    assert whole
    assert np.isnan(lowest)  # no hour of four


def test_hours_do_as_well_as_quarters() -> None:
    time = np.arange(np.datetime64("2024-01-01", "ns"), np.datetime64("2024-01-03", "ns"), np.timedelta64(1, "h"))
    flow = np.arange(time.size, dtype=float)
    found = nights(time, flow, 3600, "UTC")
    np.testing.assert_array_equal(found.lowest, [2.0, 26.0])
    np.testing.assert_array_equal(found.mean, [11.5, 35.5])


def test_an_hour_that_ends_after_the_night_does_not_count() -> None:
    # India is 5:30 ahead: of whole hours only 21:00 to 22:00 UTC lies between 02:00 and 04:00 local.
    time = np.arange(np.datetime64("2023-12-31T19", "ns"), np.datetime64("2024-01-01T19", "ns"), np.timedelta64(1, "h"))
    flow = np.full(time.size, 9.0)
    flow[1:4] = [1.0, 5.0, 1.0]  # 20:00, 21:00, 22:00
    found = nights(time, flow, 3600, "Asia/Kolkata")
    assert on(found, "2024-01-01") == (True, 5.0)


def test_what_is_no_night() -> None:
    time = quarters("2024-01-01", "2024-01-02")
    with pytest.raises(InputError, match="divides an hour"):
        nights(time, np.ones(time.size), 7 * 60, "UTC")
    with pytest.raises(InputError, match="15 min apart"):
        nights(np.delete(time, 3), np.ones(time.size - 1), 900, "UTC")
    assert nights(time[:0], np.empty(0), 900, "UTC").day.size == 0


def test_night_use_and_losses() -> None:
    # 6 % of 18 846 inhabitants flush 10 L in the hour, beside 2 m3/h of a hospital.
    assert night_use(18_846, known=2 / 3600) * 3600 == pytest.approx(18_846 * 0.06 * 0.010 + 2)
    # A district of 1066 connections: 2.5 L/s at night, 4.08 L/h a connection used, 17.97 h/d: 83.5 m3/d.
    assert real_losses(2.5e-3, 4.08e-3 * 1066 / 3600, 17.97) == pytest.approx(83.5, abs=0.1)


def test_night_day_factor() -> None:
    profile = np.full(24, 30.0)
    profile[:12] = 60.0
    assert night_day_factor(np.full(24, 41.0), 41.0, 1.5) == pytest.approx(24)
    assert night_day_factor(profile, 60.0, 1.0) == pytest.approx(18)  # 12 + 12 / 2
    assert night_day_factor(profile, 60.0, 0.5) == pytest.approx(12 + 12 * np.sqrt(0.5))
    with pytest.raises(InputError, match="not above 0"):
        night_day_factor(profile - 30, 30.0, 1.0)


def test_pressure_by_local_hour() -> None:
    # 3 m more from 02:00 to 04:00 in Paris, in both of its offsets; a sensor that is silent at noon does not count.
    time = quarters("2024-03-29", "2024-04-03")
    local = (time + np.where(time < np.datetime64("2024-03-31T01:00"), 1, 2) * np.timedelta64(1, "h")).astype(
        "datetime64[h]"
    )
    hour = local.astype(int) % 24
    pressure = np.stack([40 + 3.0 * ((hour >= 2) & (hour < 4)), 50 + 3.0 * ((hour >= 2) & (hour < 4))], axis=1)
    pressure[::7, 0] = np.nan
    silent = np.where(hour == 12, np.nan, 99.0)
    profile, night = pressure_profile(time, np.column_stack([pressure, silent]), PARIS)
    np.testing.assert_allclose(profile, 45 + 3.0 * np.isin(np.arange(24), [2, 3]))
    assert night == pytest.approx(48)
    assert np.isnan(pressure_profile(time, silent[:, None], PARIS)[1])
