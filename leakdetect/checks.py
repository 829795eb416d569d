"""What is wrong with a site's network and readings: where, and how bad."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import xarray as xr

from leakdetect.epanet import load_network
from leakdetect.epanet_state import Epanet
from leakdetect.errors import ConvergenceError, LeakdetectError, NetworkError
from leakdetect.network import Network
from leakdetect.readings import load, load_repairs
from leakdetect.schema import Flag, Quantity
from leakdetect.site import Site
from leakdetect.stages import quality
from leakdetect.units import from_si

_NS = 1e9
_MANY_UNUSABLE = 0.05  # share of a sensor's readings above which it is a warning
_LONG_GAP = 86400.0  # [s]


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # nothing can be done before it is mended
    WARNING = "warning"  # results will suffer
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """Something about the network or the readings."""

    severity: Severity
    where: str
    what: str


@dataclass(frozen=True)
class SensorCheck:
    """What a sensor's readings are like; lowest, middle and highest in `unit`."""

    sensor: str
    quantity: str
    element: str
    unit: str
    step_s: float
    readings: int
    first: str | None
    last: str | None
    lowest: float | None
    middle: float | None
    highest: float | None
    longest_gap_s: float
    usable_share: float
    flags: dict[str, int]


@dataclass(frozen=True)
class Report:
    """All findings of a site, worst first, and its sensors."""

    findings: tuple[Finding, ...]
    sensors: tuple[SensorCheck, ...]

    @property
    def usable(self) -> bool:
        """Whether there are readings and nothing stands in the way."""
        return bool(self.sensors) and not any(f.severity == Severity.ERROR for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "usable": self.usable,
            "findings": [{**asdict(f), "severity": str(f.severity)} for f in self.findings],
            "sensors": [asdict(s) for s in self.sensors],
        }


def check_site(site: Site) -> Report:
    """Check a site's network, repairs and readings; what cannot be read becomes a finding."""
    findings: list[Finding] = []
    network = None
    if site.network is None:
        findings.append(Finding(Severity.INFO, "network", "none: leaks are found by district, not by street"))
    else:
        try:
            network = load_network(site.path(site.network))
            findings += check_network(network)
        except LeakdetectError as error:
            findings.append(Finding(Severity.ERROR, "network", str(error)))
    try:
        load_repairs(site, network)
    except LeakdetectError as error:
        findings.append(Finding(Severity.ERROR, "repairs", str(error)))
    sensors: list[SensorCheck] = []
    try:
        data = quality.flag(load(site, network=network))
        each = check_sensors(data)
        findings += check_record(data, site)
        findings += [finding for sensor in each for finding in _about(sensor, data)]
        sensors = shown(each, data, site.privacy.smallest_group)
    except LeakdetectError as error:
        findings.append(Finding(Severity.ERROR, "readings", str(error)))
    order = list(Severity)
    return Report(tuple(sorted(findings, key=lambda f: order.index(f.severity))), tuple(sensors))


def check_network(network: Network) -> list[Finding]:
    """Return what is wrong with a network as drawn, and with its steady state at mean and at highest demand."""
    found: list[Finding] = []
    names = np.array(network.node_names, dtype=object)
    links = np.array(network.link_names, dtype=object)
    demand = network.base_demand.sum(axis=1)
    for without, how in (
        (None, "no pipe leads to them from a reservoir or tank"),
        (~network.open, "cut off by closed links"),
    ):
        parts = network.components(None if without is None else np.flatnonzero(without))
        fed = np.isin(parts, parts[network.is_fixed])
        cut = ~fed if without is None else ~fed & (demand > 0)
        if cut.any():
            found.append(Finding(Severity.WARNING, _some(names[cut]), f"{cut.sum()} nodes: {how}"))
            break
    if not (demand > 0).any():
        found.append(
            Finding(Severity.WARNING, "network", "no junction has a demand: flows cannot be told from the model")
        )
    for wrong, what in (
        (network.is_pipe & ~(network.length > 0), "pipes of no length"),
        (network.is_pipe & ~(network.diameter > 0), "pipes of no diameter"),
        (network.is_pipe & ~(network.roughness > 0), "pipes of no roughness"),
    ):
        if wrong.any():
            found.append(Finding(Severity.WARNING, _some(links[wrong]), f"{wrong.sum()} {what}"))
    if np.isnan(network.xy).any(axis=1).mean() > 0.5 or np.ptp(np.nan_to_num(network.xy), axis=0).max() == 0:
        found.append(Finding(Severity.INFO, "network", "nodes have no coordinates: there will be no map"))
    return found + _steady_states(network)


def _steady_states(network: Network) -> list[Finding]:
    """Return what EPANET says at mean and at highest demand."""
    by_step = network.base_demand @ network.patterns.T  # (N, P)
    junctions = np.flatnonzero(~network.is_fixed)
    names = np.array(network.node_names, dtype=object)
    highest = by_step[:, int(np.argmax(by_step.sum(axis=0)))]
    try:
        with Epanet(network) as epanet:
            for when, demand in (("mean", by_step.mean(axis=1)), ("highest", highest)):
                epanet.set_demands(junctions, demand[junctions])
                epanet.solve()
                pressure = epanet.heads(junctions) - network.elevation[junctions]
                low = (pressure < 0) & (demand[junctions] > 0)
                if low.any():
                    what = f"{low.sum()} nodes with demand have negative pressure at {when} demand, down to"
                    where = _some(names[junctions][low])
                    return [Finding(Severity.WARNING, where, f"{what} {pressure[low].min():.1f} m")]
    except ConvergenceError as error:
        return [Finding(Severity.ERROR, "network", str(error))]
    except NetworkError as error:
        return [Finding(Severity.ERROR, "network", str(error))]
    return []


def check_sensors(data: xr.Dataset) -> list[SensorCheck]:
    """Return what each sensor's readings are like; `data` holds ``reading, flag, usable``."""
    time = data["time"].values
    rows = []
    for s in range(data.sizes["sensor"]):
        about = data.isel(sensor=s)
        quantity, unit = str(about["quantity"].item()), str(about["unit"].item())
        there = np.flatnonzero(~np.isnan(about["reading"].values))
        value = from_si(about["reading"].values[there], quantity, unit)
        flag = about["flag"].values
        usable = about["usable"].values[there].sum()
        due = there.size + int(((flag & Flag.MISSING) > 0).sum())
        rows.append(
            SensorCheck(
                sensor=str(about["sensor"].item()),
                quantity=quantity,
                element=str(about["element"].item()),
                unit=unit,
                step_s=float(about["step"].item()),
                readings=int(there.size),
                first=_iso(time[there[0]]) if there.size else None,
                last=_iso(time[there[-1]]) if there.size else None,
                lowest=_round(value.min()) if there.size else None,
                middle=_round(np.median(value)) if there.size else None,
                highest=_round(value.max()) if there.size else None,
                longest_gap_s=float(np.diff(time[there]).max().astype(float) / _NS) if there.size > 1 else 0.0,
                usable_share=round(float(usable / due), 4) if due else 0.0,
                flags={str(f.name).lower(): n for f in Flag if (n := int(((flag & f) > 0).sum()))},
            )
        )
    return rows


def shown(each: list[SensorCheck], data: xr.Dataset, smallest_group: int) -> list[SensorCheck]:
    """Return the rows that may be shown: of households' meters their sum only, in a row of its own.

    Where there are fewer meters than `smallest_group`, or never all of them say something, there is no sum either.
    """
    personal = data["personal"].values if "personal" in data.coords else np.zeros(len(each), dtype=bool)
    meters = [row for row, hide in zip(each, personal, strict=True) if hide]
    if smallest_group == 1 or not meters:
        return each
    mine = data.isel(sensor=np.flatnonzero(personal))
    total = mine["reading"].values.sum(axis=1)  # NaN unless all are there: who is missing would tell of one
    total = from_si(total[~np.isnan(total)], meters[0].quantity, meters[0].unit)
    known = bool(len(meters) >= smallest_group and total.size)
    due = sum(row.readings + row.flags.get("missing", 0) for row in meters)
    flags = {str(f.name).lower(): sum(row.flags.get(str(f.name).lower(), 0) for row in meters) for f in Flag}
    together = SensorCheck(
        sensor=f"{len(meters)} meters together" if len(meters) > 1 else "1 meter",
        quantity=meters[0].quantity,
        element="",
        unit=meters[0].unit,
        step_s=min(row.step_s for row in meters),
        readings=sum(row.readings for row in meters),
        first=min((row.first for row in meters if row.first), default=None),
        last=max((row.last for row in meters if row.last), default=None),
        lowest=_round(total.min()) if known else None,
        middle=_round(np.median(total)) if known else None,
        highest=_round(total.max()) if known else None,
        longest_gap_s=max(row.longest_gap_s for row in meters),
        usable_share=round(float(mine["usable"].values.sum() / due), 4) if due else 0.0,
        flags={name: n for name, n in flags.items() if n},
    )
    return [*(row for row, hide in zip(each, personal, strict=True) if not hide), together]


def check_record(data: xr.Dataset, site: Site) -> list[Finding]:
    """Return what concerns the whole record: its span, duplicates, clock changes."""
    time = data["time"].values
    found = [
        Finding(Severity.INFO, "readings", f"{data.sizes['sensor']} sensors from {_iso(time[0])} to {_iso(time[-1])}")
    ]
    if site.network is not None and (alone := data["sensor"].values[data["element"].values == ""]).size:
        found.append(Finding(Severity.INFO, _some(alone), f"{alone.size} sensors are mapped to no element"))
    for block in site.readings:
        if block.ignore:
            what = f"{len(block.ignore)} columns" if block.is_personal else _some(block.ignore)
            found.append(Finding(Severity.INFO, block.source, f"{block.quantity}: ignores {what}"))
    if conflicts := int(data.attrs.get("duplicates_conflicting", 0)):
        what = f"{conflicts} readings are given twice and differ: the later one counts"
        found.append(Finding(Severity.WARNING, "readings", what))
    if infinite := int(data.attrs.get("not_finite", 0)):
        found.append(Finding(Severity.WARNING, "readings", f"{infinite} infinite values count as missing"))
    if ahead := int(data.attrs.get("ahead", 0)):
        what = f"{ahead} rows are more than a day ahead of this machine's clock and count as none: correct the logger's"
        found.append(Finding(Severity.WARNING, "readings", what))
    if not any(q == Quantity.FLOW for q in data["quantity"].values):
        found.append(Finding(Severity.WARNING, "readings", "no inflow is measured: leak flows will be uncertain"))
    changes = _clock_changes(site.timezone, time[0], time[-1])
    if changes:
        found.append(Finding(Severity.INFO, site.timezone, f"{changes} clock changes in the record"))
    elif site.timezone == "UTC" and (days := _missing_spring_hours(time)):
        what = f"an hour is missing on {days[0]}, as where clocks go forward: are the times local? set timezone"
        found.append(Finding(Severity.WARNING, "readings", what))
    return found


def _about(sensor: SensorCheck, data: xr.Dataset) -> list[Finding]:
    if sensor.last is None:
        return [Finding(Severity.WARNING, sensor.sensor, "no reading at all: is the column right?")]
    found = []
    silent = (data["time"].values[-1] - np.datetime64(sensor.last[:-1], "ns")).astype(float) / _NS
    if silent > max(_LONG_GAP, 3 * sensor.step_s):
        found.append(Finding(Severity.WARNING, sensor.sensor, f"silent since {sensor.last}"))
    if sensor.longest_gap_s > max(_LONG_GAP, 3 * sensor.step_s):
        what = f"longest gap {timedelta(seconds=round(sensor.longest_gap_s))}"
        found.append(Finding(Severity.INFO, sensor.sensor, what))
    if sensor.usable_share < 1 - _MANY_UNUSABLE:
        why = ", ".join(f"{n} {name}" for name, n in sensor.flags.items())
        found.append(Finding(Severity.WARNING, sensor.sensor, f"{sensor.usable_share:.0%} of readings usable: {why}"))
    return found


def _clock_changes(zone: str, first: np.datetime64, last: np.datetime64) -> int:
    days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + 2)
    offsets = [
        datetime.fromisoformat(str(day)).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset() for day in days
    ]
    return sum(a != b for a, b in pairwise(offsets))


def _missing_spring_hours(time: np.ndarray) -> list[str]:
    """Return the last Sundays of March on which just the hour after 01:00, 02:00 or 03:00 is missing."""
    days = []
    usual = float(np.median(np.diff(time).astype(float))) / _NS if time.size > 1 else 0.0
    for year in range(int(str(time[0])[:4]), int(str(time[-1])[:4]) + 1):
        end = date(year, 3, 31)
        sunday = end - timedelta(days=(end.weekday() + 1) % 7)
        inside = time[time.astype("datetime64[D]") == np.datetime64(sunday)]
        gaps = np.diff(inside).astype(float) / _NS
        after = np.flatnonzero(np.abs(gaps - usual - 3600) < 1)
        if after.size == 1 and 1 <= int(str(inside[after[0] + 1])[11:13]) <= 4:
            days.append(sunday.isoformat())
    return days


def _iso(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"


def _round(value: float) -> float:
    return float(f"{float(value):.5g}")


def _some(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
