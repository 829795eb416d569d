"""A small service of two districts whose figures are known, as files, for tests of the key figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from leakdetect.kpi.figures import Figure
from leakdetect.kpi.gather import KeyFigures

SITE = """
name = "two districts"
timezone = "Europe/Paris"
inhabitants = 4000
connections = 1600
[[readings]]
glob = "flow.csv"
quantity = "flow"
unit = "m3/h"
dmas = { north = "north", south = "south" }
[[readings]]
glob = "pressure.csv"
quantity = "pressure"
unit = "m"
dma = "north"
[costs]
water_per_m3 = 0.5
[kpi]
billed_m3 = 73050
service_m3 = 3652.5
exported_m3 = 7305
mains_km = 20
average_pressure_m = 40
service_connection_m = 5
meter_error_share = 0.0
unauthorised_share = 0.0
night_use_l_per_inhabitant_h = 0.5
n1 = 1.0
energy_kwh_per_m3 = 0.6
co2_kg_per_kwh = 0.05
[kpi.districts.north]
inhabitants = 1000
"""
DAYS = 20


def write_site(folder: Path, text: str = SITE, minutes: int = 15) -> Path:
    """Write a site of twenty days: north takes 6 m3/h by day and 3 at night, south 10 and 5, from 00 to 06 local."""
    folder.mkdir(exist_ok=True)
    (folder / "site.toml").write_text(text, encoding="utf-8")
    time = pd.date_range("2024-05-01", periods=DAYS * 24 * 60 // minutes, freq=f"{minutes}min")
    night = (time.hour < 6).astype(float)
    wave = np.where(np.arange(time.size) % 2, 0.01, -0.01)  # a meter that stood still would be a fault
    flow = pd.DataFrame({"time": time, "north": 6 - 3 * night + wave, "south": 10 - 5 * night + wave})
    flow.to_csv(folder / "flow.csv", index=False)
    pd.DataFrame({"time": time, "logger": 30 + 10 * night + wave}).to_csv(folder / "pressure.csv", index=False)
    return folder


def figure(found: KeyFigures, name: str, district: str = "") -> Figure:
    (one,) = (f for f in found.figures if (f.name, f.district) == (name, district))
    return one
