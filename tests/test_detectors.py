"""The contract of every registered detector: causal, one recursion, a model and a state that files can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import xarray as xr

from leakdetect import schema
from leakdetect.baselines.samples import Samples
from leakdetect.detector import Detector, State
from leakdetect.detectors import DETECTORS, build, detector_class
from leakdetect.epanet import load_network
from leakdetect.errors import InputError
from leakdetect.events import Event
from leakdetect.network import Network
from leakdetect.site import Detection
from leakdetect.store import decode, encode

DAYS, FIT, LEAK = 150, 60, 100
HOUR = np.timedelta64(1, "h")


TOWN = """[JUNCTIONS]
a 0 1
b 0 1
c 0 1
d 0 1
[RESERVOIRS]
R 60
[PIPES]
p1 R a 500 100 0.006 0 Open
p2 a b 500 100 0.006 0 Open
p3 b c 500 100 0.006 0 Open
p4 c d 500 100 0.006 0 Open
[OPTIONS]
Units LPS
Headloss C-M
[END]
"""


_FOLDER = TemporaryDirectory()


@cache
def town() -> Network:
    """Return R -p1- a -p2- b -p3- c -p4- d; its pipes lose 4e4 q^2 of head."""
    path = Path(_FOLDER.name) / "town.inp"
    path.write_text(TOWN)
    return load_network(path)


def readings(leak_m3h: float = 14.0, seed: int = 1) -> xr.Dataset:
    """Return hourly readings: heads that fall with the square of the flow, and from day 100 a leak at c."""
    random = np.random.default_rng(seed)
    steps = DAYS * 24
    time = np.datetime64("2020-01-01", "ns") + np.arange(steps) * HOUR
    hour = np.arange(steps) % 24
    demand = (20 - 12 * np.cos(2 * np.pi * (hour - 3) / 24)) * (1 + 0.03 * random.standard_normal(steps)) / 3600
    leak = np.where(np.arange(steps) >= LEAK * 24 + 9, leak_m3h, 0.0) / 3600
    share = np.array([1.0, 0.75, 0.5, 0.25])  # of the demand that each pipe carries
    flow = demand[:, None] * share + leak[:, None] * np.array([1, 1, 1, 0])
    heads = 60 - np.cumsum(4e4 * flow**2, axis=1)
    heads += 0.02 * random.standard_normal(heads.shape)
    inflow = flow[:, 0] * (1 + 0.005 * random.standard_normal(steps))
    data = schema.new_readings(
        time,
        ["A", "B", "C", "D", "Q"],
        np.c_[heads, inflow],
        quantity=["pressure"] * 4 + ["flow"],
        element=["a", "b", "c", "d", "p1"],
        dma=[""] * 5,
        unit=["m"] * 4 + ["m3/h"],
        step=[3600.0] * 5,
    )
    values = data["reading"].values
    gone = random.random(values.shape) < 0.01
    values[gone] = np.nan
    values[130 * 24 : 132 * 24] = np.nan  # two days without a word
    return with_flags(data)


def with_flags(data: xr.Dataset) -> xr.Dataset:
    usable = np.isfinite(data["reading"].values)
    flag = np.where(usable, 0, int(schema.Flag.MISSING)).astype("uint8")
    # As `quality.to_steps` leaves it: an hour's last reading comes after its label, and there is none in silence.
    last = np.where(usable.any(axis=1), data["time"].values + np.timedelta64(55, "m"), np.datetime64("NaT"))
    layers = {"flag": flag, "usable": usable, "last": data["reading"].values.copy()}
    return data.assign({name: (("time", "sensor"), layer) for name, layer in layers.items()}).assign_coords(
        last_reading=("time", last.astype("datetime64[ns]"))
    )


def own() -> Samples:
    """Return the detector of the notebook on detectors of one's own."""
    path = Path(__file__).parents[1] / "notebooks" / "own_detector.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (code,) = ["".join(cell["source"]) for cell in cells if "detector" in cell["metadata"].get("tags", [])]
    made: dict[str, Any] = {}
    exec(code, made)
    return Samples(made["Nearest"](), network=town())


def make(name: str) -> Detector:
    return (
        own()
        if name == "samples"
        else build(name, network=town(), timezone="UTC", settings=Detection(), repairs=(), zones={})
    )


def part(data: xr.Dataset, first: int, until: int | None = None) -> xr.Dataset:
    return data.isel(time=slice(first, until))


def plain(events: list[Event], until: np.datetime64 | None = None) -> list[dict[str, object]]:
    """Return what is said of the events, leaving out, for a cut, what later readings may add."""
    rows = [e.to_dict() for e in events if until is None or e.raised_at <= until]
    if until is not None:
        for row in rows:
            for key in ("status", "end", "data_until", "latest"):
                row.pop(key)
    return rows


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return readings()


@pytest.fixture(scope="module", params=[*DETECTORS, "samples"])
def fitted(request: pytest.FixtureRequest, data: xr.Dataset) -> tuple[Detector, xr.Dataset]:
    detector = make(request.param)
    return detector, detector.fit(part(data, 0, FIT * 24))


Fitted = tuple[Detector, xr.Dataset]


def test_it_finds_the_leak_and_grows_the_dataset(fitted: Fitted, data: xr.Dataset) -> None:
    detector, model = fitted
    later = part(data, FIT * 24)
    _, events, out = detector.update(model, detector.begin(model), later)
    begun = data.time.values[LEAK * 24 + 9]
    true = [e for e in events if e.raised_at >= begun]
    assert true
    assert true[0].raised_at < begun + 4 * 24 * HOUR
    assert len(events) - len(true) <= 1
    # At the moment of raising, the leak may have run through a part of a block only.
    assert 5 < true[0].flow_m3h < 18
    assert 10 < true[0].latest.get("flow_m3h", true[0].flow_m3h) < 18
    assert true[0].start_low <= begun <= true[0].start_high
    # A detector that sees districts only names a zone and no pipe.
    assert not true[0].candidates or sum(c.probability for c in true[0].candidates) == pytest.approx(1)
    assert len({e.id for e in events}) == len(events)
    schema.check(out)
    assert {"expected", "expected_sd", "residual", "score"} <= set(out.data_vars)
    xr.testing.assert_identical(out[["reading", "flag", "usable", "last"]], later)


@pytest.mark.parametrize("size", [1, 7, 24, 501])
def test_chunks_say_what_the_whole_says(fitted: Fitted, data: xr.Dataset, size: int) -> None:
    detector, model = fitted
    later = part(data, (LEAK - 4) * 24, (LEAK + 11) * 24)
    state, events, out = detector.update(model, detector.begin(model), later)
    assert events
    now, parts = detector.begin(model), []
    for first in range(0, later.sizes["time"], size):
        now, chunked, grown = detector.update(model, now, part(later, first, first + size))
        parts.append(grown)
    assert plain(chunked) == plain(events)
    # Sums over more rows at once may differ in the last digit of what is drawn, never in what is said or remembered.
    xr.testing.assert_allclose(xr.concat(parts, "time", data_vars="minimal"), out, rtol=1e-12, atol=1e-12)
    assert kept(now) == kept(state)


def test_a_cut_says_what_the_whole_said_until_then(fitted: Fitted, data: xr.Dataset) -> None:
    detector, model = fitted
    later = part(data, FIT * 24)
    _, events, out = detector.update(model, detector.begin(model), later)
    raised = [int(np.searchsorted(later.time.values, e.raised_at, side="right")) - 1 for e in events]
    for until in {500, *raised, *(r - 1 for r in raised)}:
        _, before, cut = detector.update(model, detector.begin(model), part(later, 0, until + 1))
        edge = later.time.values[until] + HOUR
        assert plain(before, edge) == plain(events, edge)
        assert all(e.raised_at < edge for e in before)
        xr.testing.assert_identical(cut, part(out, 0, until + 1))


def test_what_comes_later_changes_nothing_before(fitted: Fitted, data: xr.Dataset) -> None:
    detector, model = fitted
    later = part(data, FIT * 24)
    until = (LEAK + 10 - FIT) * 24
    other = later.copy(deep=True)
    other["reading"].values[until:] *= 0.7
    _, events, out = detector.update(model, detector.begin(model), later)
    _, changed, out_changed = detector.update(model, detector.begin(model), other)
    edge = later.time.values[until - 1] + HOUR
    assert plain(changed, edge) == plain(events, edge)
    xr.testing.assert_identical(part(out_changed, 0, until), part(out, 0, until))


def test_the_model_survives_netcdf_and_the_state_being_kept(fitted: Fitted, data: xr.Dataset, tmp_path: Path) -> None:
    detector, model = fitted
    model.to_netcdf(tmp_path / "model.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "model.nc", engine="h5netcdf") as opened:
        loaded = opened.load()
    first, rest = part(data, FIT * 24, LEAK * 24 + 40), part(data, LEAK * 24 + 40)
    state, _, _ = detector.update(model, detector.begin(model), first)
    _, events, _ = detector.update(model, state, rest)
    again = make(detector.name)
    state, _, _ = again.update(loaded, again.begin(loaded), first)
    _, loaded_events, _ = again.update(loaded, decode(encode(state)), rest)
    assert plain(loaded_events) == plain(events)


def kept(state: State) -> tuple[str, dict[str, bytes]]:
    """Return a state as JSON and arrays, which is all that it may hold."""
    arrays: dict[str, np.ndarray] = {}

    def strip(value: Any, path: str) -> Any:
        if isinstance(value, np.ndarray):
            arrays[path] = value
            return path
        if isinstance(value, Mapping):
            return {key: strip(inner, f"{path}|{key}") for key, inner in value.items()}
        return [strip(inner, f"{path}|{i}") for i, inner in enumerate(value)] if isinstance(value, list) else value

    text = json.dumps(strip(state, ""))
    return text, {key: value.tobytes() for key, value in arrays.items()}


def test_update_leaves_the_old_state_alone(fitted: Fitted, data: xr.Dataset) -> None:
    detector, model = fitted
    state, _, _ = detector.update(model, detector.begin(model), part(data, FIT * 24, FIT * 24 + 100))
    before = repr(state)
    detector.update(model, state, part(data, FIT * 24 + 100, LEAK * 24 + 200))
    assert repr(state) == before


def test_silence_raises_nothing(fitted: Fitted, data: xr.Dataset) -> None:
    detector, model = fitted
    silent = part(data, FIT * 24, FIT * 24 + 240).copy(deep=True)
    silent["reading"].values[:] = np.nan
    _, events, _ = detector.update(model, detector.begin(model), with_flags(silent))
    assert events == []


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="no detector 'oracle': use one of hydraulic"):
        detector_class("oracle")
