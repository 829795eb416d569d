"""Times as files write them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.readings.times import backwards, combine, parse, to_utc

ZONES = ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]


@given(
    start=st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)),
    zone=st.sampled_from(ZONES),
    step=st.sampled_from([5, 15, 30]),
    days=st.integers(1, 4),
)
def test_local_times_in_order_come_back_as_utc(start: datetime, zone: str, step: int, days: int) -> None:
    utc = pd.date_range(pd.Timestamp(start).floor("h"), periods=days * 1440 // step, freq=f"{step}min", tz="UTC")
    local = utc.tz_convert(zone).tz_localize(None).to_numpy(dtype="datetime64[ns]")
    first = local.copy()
    back = to_utc(local, zone)
    ambiguous_start = pd.DatetimeIndex(local[:1]).tz_localize(zone, ambiguous="NaT").isna()[0]
    if not ambiguous_start:  # a record that begins within the repeated hour cannot be told
        assert (back == utc.tz_localize(None).to_numpy(dtype="datetime64[ns]")).all()
        assert backwards(local, back) is None
    assert (local == first).all()


@pytest.mark.parametrize("year", range(2018, 2026))
def test_every_autumn_and_spring(year: int) -> None:
    utc = pd.date_range(f"{year}-01-01", f"{year}-12-31", freq="h", tz="UTC")
    local = utc.tz_convert("Europe/Rome").tz_localize(None).to_numpy(dtype="datetime64[ns]")
    assert (to_utc(local, "Europe/Rome") == utc.tz_localize(None).to_numpy(dtype="datetime64[ns]")).all()


def test_repeated_rows_in_the_repeated_hour_are_no_second_pass() -> None:
    local = np.array(["2021-10-31T02:00", "2021-10-31T02:00", "2021-10-31T02:05"], dtype="datetime64[ns]")
    assert to_utc(local, "Europe/Rome").astype("datetime64[m]").astype(str).tolist() == [
        "2021-10-31T00:00", "2021-10-31T00:00", "2021-10-31T00:05",
    ]  # fmt: skip


def test_a_clock_that_is_not_put_forward() -> None:
    local = np.array(["2021-03-28T01:30", "2021-03-28T02:30", "2021-03-28T04:00"], dtype="datetime64[ns]")
    utc = to_utc(local, "Europe/Rome")
    assert utc.astype("datetime64[m]").astype(str).tolist() == [
        "2021-03-28T00:30",
        "2021-03-28T01:30",
        "2021-03-28T02:00",
    ]


def test_backwards_is_found() -> None:
    local = np.array(["2021-01-01T02", "2021-01-01T03", "2021-01-01T01"], dtype="datetime64[ns]")
    assert backwards(local, to_utc(local, "Europe/Rome")) == 2


def test_offsets_and_formats() -> None:
    times, utc = parse(pd.Series(["2021-01-01T01:00:00+01:00", None]), None)
    assert utc
    assert times[0] == np.datetime64("2021-01-01")
    assert np.isnat(times[1])
    times, utc = parse(pd.Series(["2021-01-01"]), None)
    assert not utc  # the date's own dashes are no offset
    assert np.isnat(parse(pd.Series(["13/13/2021"]), "%d/%m/%Y")[0][0])
    assert np.isnat(parse(pd.Series([20210101]), None)[0][0])


def test_date_and_clock() -> None:
    dates, _ = parse(pd.Series(["2021-01-01"] * 3), None)
    assert combine(dates, pd.Series(["00:30", "1:00", "23:59"])).astype("datetime64[m]").astype(str).tolist() == [
        "2021-01-01T00:30", "2021-01-01T01:00", "2021-01-01T23:59",
    ]  # fmt: skip
    spreadsheet = combine(dates, pd.Series(["1899-12-30 00:30:00", "1899-12-30 01:00:00", "1899-12-30 02:00:00"]))
    assert spreadsheet[1] == np.datetime64("2021-01-01T01:00")
    moved = combine(dates, pd.Series(["2022-08-19 22:00:00", "2022-08-20 00:00:00", "2022-08-20 21:30:00"]))
    assert moved.astype("datetime64[m]").astype(str).tolist() == [
        "2021-01-01T00:00",
        "2021-01-01T02:00",
        "2021-01-01T23:30",
    ]
