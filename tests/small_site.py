"""A small network and its readings, as files, for tests of the site folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

INP = """[TITLE]
three streets

[JUNCTIONS]
 J1   10   2
 J2   12   3
 J3   11   1

[RESERVOIRS]
 R1   60

[TANKS]
 T1   40   3   0   5   10   0

[PIPES]
 P1   R1   J1   500   200   120   0   Open
 P2   J1   J2   400   150   120   0   Open
 P3   J2   J3   300   150   120   0   Open
 P4   J3   T1   300   150   120   0   Open

[PATTERNS]
 day   0.5   1.5

[TIMES]
 Duration   24:00
 Pattern Timestep   12:00

[OPTIONS]
 Units   LPS
 Headloss   H-W
 Pattern   day

[COORDINATES]
 J1   0   0
 J2   100   0
 J3   200   50
 R1   -100   0
 T1   300   50

[END]
"""


def write_network(path: Path, old: str = "", new: str = "") -> Path:
    """Write the model, with one text replaced by another."""
    assert old in INP
    path.write_text(INP.replace(old, new) if old else INP, encoding="utf-8")
    return path


def write_readings(folder: Path, days: int = 20) -> None:
    """Write two pressures, an inflow, a level and a meter, each as another logger would."""
    folder.mkdir(parents=True, exist_ok=True)
    time = pd.date_range("2021-01-01", periods=days * 96, freq="15min")
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(time.size) * 2 * np.pi / 96).round(2)
    noise = rng.normal(0, 0.05, (time.size, 5)).round(2)
    pressure = pd.DataFrame({"Zeit": time, "J1": 48 - wave + noise[:, 0], "j3 [m]": 45 - wave + noise[:, 1]})
    pressure.to_csv(folder / "Druck_2021.csv", sep=";", decimal=",", index=False, float_format="%.2f")
    flow = pd.DataFrame({"time": time.strftime("%d/%m/%Y %H:%M"), "Q_P1 (L/s)": 6 + 2 * wave + noise[:, 2]})
    flow.to_csv(folder / "flow.csv", index=False)
    pd.DataFrame({"time": time, "T1": 3 + wave + noise[:, 3]}).to_parquet(folder / "tank.parquet")
    meters = pd.DataFrame({"time": time[::4], "sensor": "J2", "value": (900 + 500 * wave + 9 * noise[:, 4])[::4]})
    meters.to_csv(folder / "meters.csv", index=False)
