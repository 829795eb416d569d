"""A village of one meter as a site folder: a burst runs from day 85 to day 100, a second one from day 110."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from leakdetect import pipeline

START = pd.Timestamp("2024-01-01")
DAYS, FIT = 125, 70
LEAKS = ((85, 100), (110, DAYS))
_SITE = """\
name = "{name}"
[[readings]]
glob = "readings/*.csv"
quantity = "flow"
unit = "m3/h"
"""


def day(number: float) -> np.datetime64:
    """Return the beginning of a day."""
    return np.datetime64(START, "ns") + np.timedelta64(round(number * 86400), "s")


def readings(leaks: tuple[tuple[float, float], ...] = LEAKS, size: float = 6.0) -> pd.Series:
    """Return the inflow at each hour [m3/h]."""
    times = pd.date_range(START, periods=DAYS * 24, freq="1h")
    rng = np.random.default_rng(1)
    hour = times.hour.to_numpy()
    use = 8 + 4 * np.sin((hour - 8) * 2 * np.pi / 24) + 2 * np.sin((hour - 6) * 4 * np.pi / 24)
    flow = use * (1 + 0.05 * rng.standard_normal(times.size))
    number = np.arange(times.size) / 24
    for first, last in leaks:
        flow += size * ((number >= first + 0.1) & (number < last))
    return pd.Series(flow.round(3), index=times)


def write(folder: Path, flow: pd.Series, name: str = "inflow") -> None:
    """Write readings as a file of the site."""
    table = pd.DataFrame({"time": flow.index, "meter": flow.to_numpy()})
    table.to_csv(folder / "readings" / f"{name}.csv", index=False)


def make(folder: Path, flow: pd.Series | None = None) -> Path:
    """Make the site, fitted."""
    (folder / "readings").mkdir(parents=True)
    write(folder, readings() if flow is None else flow)
    (folder / "site.toml").write_text(_SITE.format(name=folder.name))
    pipeline.fit(folder, None, day(FIT))
    return folder
