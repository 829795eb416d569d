"""Small made-up results for the tests of what shows them: a 3 x 3 grid of streets, five sensors, three events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from leakdetect.events import Candidate, Event, Evidence, Kind, Status, Zone
from leakdetect.network import Link, Network, Node
from leakdetect.schema import Flag, new_readings
from leakdetect.site import ReadingsBlock, Site

NASTY = "<script>alert('&')</script>"  # a sensor's name that would break a page which does not escape
DAYS = 20
START = np.datetime64("2024-02-20T00:00", "ns")
END = START + np.timedelta64(DAYS * 24 - 1, "h")


def at(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def network(**changes: Any) -> Network:
    """Nodes 0-0 to 2-2 on a grid of 100 m, and a reservoir R joined by a pump; link "0-0" bears a node's name."""
    spots = [(x, y) for y in range(3) for x in range(3)]
    names = [f"{x}-{y}" for x, y in spots]
    pairs = [(names.index(f"{x}-{y}"), names.index(f"{x + 1}-{y}")) for x, y in spots if x < 2]
    pairs += [(names.index(f"{x}-{y}"), names.index(f"{x}-{y + 1}")) for x, y in spots if y < 2]
    n, pipes = len(names) + 1, len(pairs)
    links = [f"p{i}" for i in range(pipes)]
    links[7] = "0-0"
    ends = np.array([*pairs, (n - 1, 0)])
    plain = np.full(pipes + 1, np.nan)
    values: dict[str, Any] = {
        "name": "grid",
        "node_names": (*names, "R"),
        "node_kind": np.array([Node.JUNCTION] * len(names) + [Node.RESERVOIR], dtype=np.int64),
        "elevation": np.zeros(n),
        "xy": np.array([*spots, (-1, 0)], dtype=float) * 100 + 1000,
        "base_demand": np.full((n, 1), 1e-3),
        "categories": ("",),
        "patterns": np.ones((1, 1)),
        "pattern_step": 3600.0,
        "link_names": (*links, "pump"),
        "link_kind": np.array([Link.PIPE] * pipes + [Link.PUMP], dtype=np.int64),
        "start": ends[:, 0],
        "end": ends[:, 1],
        "length": np.array([100.0] * pipes + [0.0]),
        "diameter": plain,
        "roughness": plain,
        "minor_loss": np.zeros(pipes + 1),
        "open": np.ones(pipes + 1, dtype=bool),
        "check_valve": np.zeros(pipes + 1, dtype=bool),
        "setting": plain,
        "tank_area": np.full(n, np.nan),
    }
    return Network(**{**values, **changes})


def site(**changes: Any) -> Site:
    values: dict[str, Any] = {
        "name": "Grid & Sons",
        "timezone": "Europe/Paris",
        "readings": [ReadingsBlock(glob="*.csv", quantity="pressure", unit="bar")],
        "folder": Path(),
    }
    return Site(**{**values, **changes})


def data() -> xr.Dataset:
    """Hourly: two pressures in bar, a flow in m3/h, a meter in L/h, a level in m; the second pressure has trouble."""
    hours = np.arange(DAYS * 24)
    day = np.sin(2 * np.pi * hours / 24)
    expected = np.stack([40 + day, 35 + day, (50 - 20 * day) / 3600, (90 - 9 * day) / 3.6e6, 3 + 0.1 * day], axis=1)
    sd = np.array([0.2, 0.2, 2 / 3600, 5 / 3.6e6, 0.02]) * np.ones_like(expected)
    reading = expected + sd / 2 * np.cos(hours * 1.7)[:, None]
    reading[300:, 0] -= 1.0
    reading[300:, 2] += 10 / 3600
    reading[48:96, 1] = np.nan
    made = new_readings(
        START + hours * np.timedelta64(1, "h"),
        ["1-1", NASTY, "in", "meter", "tank"],
        reading,
        quantity=["pressure", "pressure", "flow", "demand", "level"],
        element=["1-1", "2-2", "pump", "0-2", "R"],
        dma=["North"] * 5,
        unit=["bar", "bar", "m3/h", "L/h", "m"],
        step=[3600.0] * 5,
    )
    flag = np.where(np.isnan(reading), int(Flag.MISSING), 0).astype("uint8")
    flag[100:124, 1] = int(Flag.STUCK | Flag.DRIFT)
    made["flag"] = (("time", "sensor"), flag)
    made["usable"] = made["flag"] == 0
    made["expected"] = (("time", "sensor"), expected)
    made["expected_sd"] = (("time", "sensor"), sd)
    made["residual"] = made["reading"].where(made["usable"]) - made["expected"]
    return made


BURST = Event(
    id="burst-1",
    status=Status.OPEN,
    kind=Kind.ABRUPT,
    raised_at=at("2024-03-10T05:00"),
    start=at("2024-03-09T23:00"),
    start_low=at("2024-03-09T20:00"),
    start_high=at("2024-03-10T01:00"),
    end=None,
    flow_m3h=12.0,
    flow_low=9.0,
    flow_high=16.0,
    candidates=(Candidate("0-0", 0.5), Candidate("p3", 0.3), Candidate("p1", 0.15), Candidate("p9", 0.05)),
    zone=Zone(("0-0", "p3"), 200.0, 0.8),
    evidence=(Evidence("1-1", 0.6), Evidence("in", 0.3), Evidence(NASTY, 0.1)),
    model="model-a",
    data_until=END,
    latest={
        "weighed": [
            {"cause": "leak", "evidence": 200.0, "explained": 0.92},
            {"cause": "sensor 1-1", "evidence": 60.0, "explained": 0.3},
            {"cause": "setting of v7", "evidence": 20.0, "explained": 0.125},
            {"cause": "demand of in", "evidence": -3.0, "explained": 0.02},
            {"cause": "growth of growing-1", "evidence": -3.0, "explained": 0.004},
        ]
    },
)
GROWING = replace(
    BURST,
    id="growing-1",
    status=Status.CONFIRMED,
    kind=Kind.INCIPIENT,
    raised_at=at("2024-03-01T00:00"),
    start=at("2024-02-25T00:00"),
    start_low=at("2024-02-24T00:00"),
    start_high=at("2024-02-26T00:00"),
    flow_m3h=2.0,
    flow_low=1.0,
    flow_high=3.0,
    latest={
        "flow_m3h": 6.0,
        "flow_low": 5.0,
        "flow_high": 7.0,
        "candidates": [{"link": "p5", "probability": 0.9}, {"link": "p3", "probability": 0.1}],
        "zone": {"links": ["p5"], "length_m": 100.0, "probability": 0.9},
    },
)
MENDED = replace(BURST, id="mended-1", status=Status.REPAIRED, raised_at=at("2024-02-22T00:00"),
                 start=at("2024-02-21T00:00"), start_low=at("2024-02-21T00:00"), start_high=at("2024-02-21T02:00"),
                 end=at("2024-02-24T00:00"))  # fmt: skip
EVENTS = [MENDED, GROWING, BURST]
