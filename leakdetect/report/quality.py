"""How good each sensor's readings were; customers' meters are shown as a sum of enough of them, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from leakdetect.report.language import Language
from leakdetect.schema import SENSOR, TIME, Flag, Quantity


@dataclass(frozen=True)
class SensorRow:
    """A row of the data quality table; shares of the time."""

    name: str
    element: str
    quantity: str
    unit: str
    dma: str
    usable: float
    flags: tuple[float, ...]


def quality(data: xr.Dataset, smallest_group: int, lang: Language) -> list[SensorRow]:
    """Return a row for each sensor, the least usable first, then one for all customers' meters together.

    Parameters
    ----------
    data : xarray.Dataset
    smallest_group : int
        Fewer meters than these have no row.
    lang : Language
    """
    steps = max(data.sizes[TIME], 1)
    reading = np.isfinite(data["reading"].values)
    usable = (data["usable"].values if "usable" in data else reading).sum(axis=0) / steps
    flag = data["flag"].values if "flag" in data else np.where(reading, 0, int(Flag.MISSING))
    shares = np.array([((flag & int(f)) > 0).sum(axis=0) / steps for f in Flag])
    meter = data["quantity"].values == Quantity.DEMAND
    rows = [
        SensorRow(
            name=str(data[SENSOR].values[i]),
            element=str(data["element"].values[i]),
            quantity=str(data["quantity"].values[i]),
            unit=str(data["unit"].values[i]),
            dma=str(data["dma"].values[i]),
            usable=float(usable[i]),
            flags=tuple(shares[:, i].tolist()),
        )
        for i in np.flatnonzero(~meter)
    ]
    rows.sort(key=lambda row: row.usable)
    count = int(meter.sum())
    if count >= max(smallest_group, 1):
        mean = tuple(shares[:, meter].mean(axis=1).tolist())
        name = lang.say("meters", n=count)
        rows.append(SensorRow(name, "", str(Quantity.DEMAND), "", "", float(usable[meter].mean()), mean))
    return rows
