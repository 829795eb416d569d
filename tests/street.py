"""A street of 30 junctions with six households' meters and a burst, as a site that nothing was fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from leakdetect.epanet import load_network
from leakdetect.networks import spread_sensors
from leakdetect.networks.generator import Plan, generate
from leakdetect.networks.sensors import Sensors
from leakdetect.scenarios import Leak, Scenario, SensorError, simulate

START = np.datetime64("2024-03-04T00:00:00")
DAY = np.timedelta64(86400, "s")
DAYS, FIT_DAYS = 24, 17
METERS = 6
IDS = [f"CANARY-{k}-Rue-du-Lac" for k in range(METERS)]
CANARY = (777.123456, 812.654321)  # [L/h] what the first of them says, in turn
BETWEEN = START + (FIT_DAYS + 3) * DAY

_SITE = """
name = "street"
network = "network.inp"
{more}
[[readings]]
glob = "pressures.csv"
quantity = "pressure"
unit = "m"

[[readings]]
glob = "flows.csv"
quantity = "flow"
unit = "m3/h"

[[readings]]
glob = "meters.csv"
quantity = "demand"
unit = "L/h"
{personal}
columns = {columns}
"""


def write_site(folder: Path, columns: dict[str, str], personal: str = "", more: str = "") -> None:
    listed = "{" + ", ".join(f'"{meter}" = "{node}"' for meter, node in columns.items()) + "}"
    text = _SITE.format(personal=personal, more=more, columns=listed)
    (folder / "site.toml").write_text(text, encoding="utf-8")


def make_street(parent: Path) -> Path:
    """Return the site's folder, made in `parent`; the first meter says the values of `CANARY`."""
    folder = parent / "site"
    folder.mkdir()
    path = folder / "network.inp"
    path.write_text(generate(Plan(junctions=30, inhabitants=700), 2), encoding="ascii", newline="\n")
    network = load_network(path)
    spread = spread_sensors(network, 5)
    drawn = dict(zip(network.node_names, network.base_demand.sum(axis=1), strict=True))
    both = [n for n in spread.pressures if drawn[n] > 0][:1]  # has a logger and a meter
    nodes = (both + [n for n, d in drawn.items() if d > 0 and n not in both])[:METERS]
    pipes = [network.link_names[i] for i in np.flatnonzero(network.is_pipe)]
    burst = START + (FIT_DAYS + 1) * DAY
    scenario = Scenario(
        seed=1, start=START, days=DAYS, step=3600, error=SensorError(noise=0.02),
        leaks=[Leak(pipes[12], start=burst, peak=burst, end=None, diameter=0.014)],
    )  # fmt: skip
    sensors = Sensors(spread.pressures, spread.flows, spread.levels, tuple(nodes))
    world = parent / "world"
    simulate(path, world, scenario, sensors=sensors)
    for name, target in (("Pressures", "pressures"), ("Flows", "flows"), ("Demands", "meters")):
        frame = pd.read_csv(world / f"2024_SCADA_{name}.csv.gz", sep=";", decimal=",").rename(
            columns={"Timestamp": "time"}
        )
        if target == "meters":
            frame = frame.rename(columns=dict(zip(nodes, IDS, strict=True)))
            frame[IDS[0]] = np.resize(CANARY, len(frame))
        frame.to_csv(folder / f"{target}.csv", index=False)
    write_site(folder, dict(zip(IDS, nodes, strict=True)))
    return folder
