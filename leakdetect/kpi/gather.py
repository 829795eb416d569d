"""Key figures of a site: its readings, network, events and the keys of site.toml brought together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect import pipeline
from leakdetect.errors import ConvergenceError, InputError, NetworkError, NotFittedError, ReadingsError, SiteError
from leakdetect.events import Event
from leakdetect.kpi.figures import Figure, Sheet
from leakdetect.kpi.given import Answers, Span
from leakdetect.kpi.night import Nights, nights, pressure_profile
from leakdetect.kpi.place import fill
from leakdetect.kpi.places import Part, parts
from leakdetect.kpi.pressure import drawn_pressures, mean_pressure
from leakdetect.kpi.service import fill_service
from leakdetect.network import Network
from leakdetect.schema import TIME, Quantity
from leakdetect.site import FILE, Site

Floats = NDArray[np.float64]

_QUARTER = 15  # min


@dataclass(frozen=True)
class KeyFigures:
    """All that is known of a site over a span.

    Attributes
    ----------
    site : Site
    since, until : datetime64
        UTC; `until` is the end of the last step.
    figures : list of Figure
        Of the whole service, then of each district.
    nights : dict of str to Nights
        By district; '' for the whole.
    """

    site: Site
    since: np.datetime64
    until: np.datetime64
    figures: list[Figure]
    nights: dict[str, Nights]


def key_figures(folder: Path, since: np.datetime64 | None = None, until: np.datetime64 | None = None) -> KeyFigures:
    """Return the key figures of a site.

    Customers' meters are not read. Leaks count where runs have found any.

    Parameters
    ----------
    folder : Path
    since, until : datetime64, optional
        First and last time (UTC); all readings where not given.

    Raises
    ------
    LeakdetectError
        Of one kind or another where site, network or readings do not allow it.
    """
    site, network = pipeline.open_site(folder)
    data = _steps(site, network, since, until)
    time = data[TIME].values
    if not time.size:
        raise ReadingsError(f"{folder}: no complete step of readings between --from and --to: widen them")
    step = int(data.attrs["step_seconds"])
    found = parts(data, network)
    unknown = sorted(set(site.kpi.districts) - {part.name for part in found})
    if unknown:
        raise SiteError(
            f"{site.folder / FILE}: kpi.districts.{unknown[0]}: no such district beside the whole, which [kpi] is of: "
            f"flow sensors name {', '.join(p.name for p in found[1:]) or 'no two'}"
        )
    span = Span(time[0], time[-1] + np.timedelta64(step, "s"))
    events = _events(folder)
    figures, by_night = [], {}
    drawn: Floats | None = None
    for part in found:
        answers = Answers.of(site, part.name)
        profile = _profile(data, part, site.timezone)
        mean = None
        if network is not None and part.nodes is not None and _needs_model(answers, profile):
            drawn = _drawn(network) if drawn is None else drawn
            mean = mean_pressure(network, drawn, part.nodes)
        by_night[part.name] = nights(time, part.inflow, step, site.timezone)
        sheet = Sheet(part.name, site.costs.currency)
        rate = fill(sheet, answers, span, by_night[part.name], profile, part, network, mean)
        if not part.name:
            fill_service(sheet, answers, span, rate, events)
        figures += sheet.figures
    return KeyFigures(site, span.since, span.until, figures, by_night)


def _steps(site: Site, network: Network | None, since: np.datetime64 | None, until: np.datetime64 | None) -> xr.Dataset:
    """Return quarter hours, or longer steps where a flow sensor speaks less often, of all but customers' meters."""
    blocks = [block for block in site.readings if block.quantity != Quantity.DEMAND]
    if not blocks:
        raise ReadingsError(f"{site.folder / FILE}: no flow sensor among the readings: key figures need the inflow")
    plain = site.model_copy(update={"readings": blocks, "step_minutes": _QUARTER})
    data = pipeline.steps_of(plain, network, since, until)
    flow = data["quantity"].values == Quantity.FLOW
    slowest = float(data["step"].values[flow].max(initial=0.0)) / 60
    if slowest <= _QUARTER:
        return data
    step = next((m for m in (20, 30, 60) if m >= slowest), None)
    if step is None:
        name = str(data["sensor"].values[flow][int(np.argmax(data["step"].values[flow]))])
        raise InputError(f"flow sensor '{name}' speaks every {slowest:g} min: night flow needs an hour or less")
    return pipeline.steps_of(plain.model_copy(update={"step_minutes": step}), network, since, until)


def _needs_model(answers: Answers, profile: tuple[Floats, float]) -> bool:
    known = np.isfinite(profile[1]) or answers.policy.night_day_factor_h is not None
    return answers.place.average_pressure_m is None or not known


def _drawn(network: Network) -> Floats:
    try:
        return drawn_pressures(network)
    except (NetworkError, ConvergenceError) as error:
        raise type(error)(f"{error}; or do without: give kpi.average_pressure_m and kpi.night_day_factor_h") from error


def _profile(data: xr.Dataset, part: Part, timezone: str) -> tuple[Floats, float]:
    usable = data["usable"].values[:, part.sensors]
    pressure = np.where(usable, data["reading"].values[:, part.sensors], np.nan)
    return pressure_profile(data[TIME].values, pressure, timezone)


def _events(folder: Path) -> Sequence[Event] | None:
    try:
        return pipeline.events(folder)
    except NotFittedError:
        return None
