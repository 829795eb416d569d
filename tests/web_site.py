"""A site folder with the results of `sample_results`, as runs would have left them, and users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import sample_results as sample

from leakdetect.events import Event, Evidence
from leakdetect.netcdf import write_series
from leakdetect.site import load_site
from leakdetect.store import Outcome, Progress, open_store
from leakdetect.web.users import Role, Users

METER = "meter"  # of a household: in the evidence and weighed here, as no run leaves it, and never to be seen
PASSWORDS = {"rita": "looks-at-all-of-it", "otto": "mends-what-is-broken", "ada": "sees-who-did-what!"}
_SITE = """\
name = "Grid & Sons"
timezone = "Europe/Paris"
network = "grid.inp"
inhabitants = 500

[[readings]]
glob = "readings/flow.csv"
quantity = "flow"
unit = "m3/h"
timezone = "UTC"
columns = { in = "pump" }
"""


def _inp() -> str:
    grid = sample.network()
    rows = {key: [] for key in ("JUNCTIONS", "RESERVOIRS", "PIPES", "PUMPS", "COORDINATES")}
    for i, name in enumerate(grid.node_names):
        rows["RESERVOIRS" if name == "R" else "JUNCTIONS"].append(f"{name} 50" if name == "R" else f"{name} 10 0.1")
        rows["COORDINATES"].append(f"{name} {grid.xy[i, 0]} {grid.xy[i, 1]}")
    for j, name in enumerate(grid.link_names):
        ends = f"{name} {grid.node_names[grid.start[j]]} {grid.node_names[grid.end[j]]}"
        rows["PUMPS" if name == "pump" else "PIPES"].append(
            f"{ends} POWER 5" if name == "pump" else f"{ends} 100 150 120 0 Open"
        )
    rows["OPTIONS"] = ["Units LPS", "Headloss H-W"]
    return "".join(f"[{key}]\n" + "\n".join(lines) + "\n\n" for key, lines in rows.items()) + "[END]\n"


def make(folder: Path, store: str = "") -> Path:
    """Make the site, with three events, one run and twenty days of readings; `store` is a database's URL."""
    (folder / "readings").mkdir(parents=True)
    shared = f'\n[store]\nurl = "{store}"\nsite = "{folder.name}"\n' if store else ""
    (folder / "site.toml").write_text(_SITE + shared, encoding="utf-8")
    (folder / "grid.inp").write_text(_inp(), encoding="utf-8")
    data = sample.data()
    flow = pd.DataFrame({"time": data["time"].values, "in": data["reading"].values[:, 2] * 3600})
    flow.to_csv(folder / "readings" / "flow.csv", index=False)
    site = load_site(folder)
    write_series(site, data, fresh=True)
    rivals = [*sample.BURST.latest["weighed"], {"cause": f"sensor {METER}", "evidence": 1.0, "explained": 0.01}]
    burst = replace(
        sample.BURST,
        evidence=(*sample.BURST.evidence, Evidence(METER, 0.05), Evidence("tank", 0.02), Evidence("balance in", 0.01)),
        latest={"weighed": rivals},
    )
    keep_run(folder, [sample.MENDED, sample.GROWING, burst])
    assert site.store_path.is_file() == (not store)
    return folder


def keep_run(folder: Path, events: Sequence[Event]) -> None:
    """Keep what a run would that knows these events."""
    store = open_store(load_site(folder))
    assert store is not None
    with store:
        last = store.progress()
        left = Progress("sum", sample.START, sample.END, {"a": np.zeros(1)}, run=last.run if last else None)
        record = {"outcome": "taken", "steps": 24, "until": "2024-03-10T23:00:00Z", "quality": {"usable": 0.97}}
        with store.saving(Outcome(left, events, record=record)):
            pass


def make_users(path: Path) -> Users:
    """Make a reader, an operator and an admin."""
    users = Users(path, make=True)
    for (name, password), role in zip(PASSWORDS.items(), Role, strict=True):
        users.add(name, role, password)
    return users
