"""The figures that a service and each of its districts have: night flow, water balance, leakage index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leakdetect.kpi import balance, losses
from leakdetect.kpi.figures import Sheet
from leakdetect.kpi.given import DAY, Answers, Span
from leakdetect.kpi.night import N1, NIGHT, NIGHT_USE, Nights, night_day_factor, night_use, real_losses
from leakdetect.kpi.places import Part
from leakdetect.network import Network
from leakdetect.site import Kpi
from leakdetect.units import M3H

Floats = NDArray[np.float64]

READINGS = "readings"
"""Stands for readings among what is missing."""
KM = 1000.0

_KNOWN = 0.5  # share of days that must be whole for a volume
_GAPS = 0.99  # share of steps below which a volume is said to have gaps


@dataclass(frozen=True)
class Rate:
    """What the next figures rest on.

    Attributes
    ----------
    input, supplied : float or None
        System input, and less exports, over the span [m3].
    real : float or None
        Real losses [m3/d], by the balance where it is known, else by night flow.
    real_low, real_high : float or None
    mains : float or None
        [m].
    lacks_input, lacks_real, lacks_mains : tuple of str
        Why one is None.
    notes : tuple of str
        How real losses were found.
    """

    input: float | None = None
    supplied: float | None = None
    real: float | None = None
    real_low: float | None = None
    real_high: float | None = None
    mains: float | None = None
    lacks_input: tuple[str, ...] = ()
    lacks_real: tuple[str, ...] = ()
    lacks_mains: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fill(
    sheet: Sheet, answers: Answers, span: Span, of: Nights, profile: tuple[Floats, float], part: Part,
    network: Network | None, drawn: Floats | None,
) -> Rate:  # fmt: skip
    """Add a place's figures to its sheet; return what those of the service go on with.

    Parameters
    ----------
    sheet : Sheet
    answers : Answers
    span : Span
    of : Nights
    profile : tuple of ndarray and float
        Pressure by hour and at night, as `night.pressure_profile` returns them.
    part : Part
    network : Network or None
    drawn : ndarray, shape (24,), or None
        The model's mean pressure by hour; used where the site does not say better.
    """
    by_night = _night(sheet, answers, of, profile, drawn)
    rate = _balance(sheet, answers, span, of, part.inflow, by_night)
    return _index(sheet, answers, rate, profile, drawn, part, network)


@dataclass(frozen=True)
class _ByNight:
    """Real losses as the night flow tells them [m3/d]."""

    value: float | None
    low: float
    high: float
    lacks: tuple[str, ...]


def _night(sheet: Sheet, answers: Answers, of: Nights, profile: tuple[Floats, float], drawn: Floats | None) -> _ByNight:
    policy = answers.policy
    lowest = of.lowest[np.isfinite(of.lowest)]
    lacks = () if lowest.size else (READINGS,)
    mnf, low, high = np.quantile(lowest, [0.5, 0.1, 0.9]) if lowest.size else (np.nan,) * 3
    sheet.add("min_night_flow", mnf * M3H, low=low * M3H, high=high * M3H, missing=lacks, notes=["nights_spread"])
    sheet.add("nights", lowest.size)
    lacks_use = answers.lacks("inhabitants")
    assumed = policy.night_use_l_per_inhabitant_h is None
    per_inhabitant = NIGHT_USE if policy.night_use_l_per_inhabitant_h is None else policy.night_use_l_per_inhabitant_h
    use = night_use(answers.inhabitants or 0, per_inhabitant, answers.place.night_use_m3h / M3H)
    half = policy.uncertainty.night_use * night_use(answers.inhabitants or 0, per_inhabitant)
    sheet.add("night_use", use * M3H, low=(use - half) * M3H, high=(use + half) * M3H, missing=lacks_use,
              notes=["assumed_night_use"] if assumed else [])  # fmt: skip
    factors, lacks_factor, notes = _factors(policy, profile, drawn)
    sheet.add("night_day_factor", factors[1], low=factors[0], high=factors[2], missing=lacks_factor, notes=notes)
    missing = (*lacks, *lacks_use, *lacks_factor)
    mean = float(lowest.mean()) if lowest.size else np.nan  # nights with a burst count in what a period lost
    least, best, most = (real_losses(mean, use, factor) for factor in factors)
    # What the inlets' meters, the use and the exponent may be off by are nothing to each other.
    off = real_losses(np.hypot(policy.uncertainty.input * mean, half), 0.0, factors[1])
    low, high = best - np.hypot(best - min(least, most), off), best + np.hypot(max(least, most) - best, off)
    more = ["below_zero"] if best < 0 else []
    sheet.add("real_losses_night", best, low=low, high=high, missing=missing, notes=[*notes, *more])
    return _ByNight(None if missing else best, low, high, missing)


def _factors(
    policy: Kpi, profile: tuple[Floats, float], drawn: Floats | None
) -> tuple[tuple[float, float, float], tuple[str, ...], list[str]]:
    """Return the night-day factor, least, best, most, what is missing for it, and what is to be said of it."""
    if policy.night_day_factor_h is not None:
        return (policy.night_day_factor_h,) * 3, (), []
    notes = ["assumed_n1"] if policy.n1 is None else []
    hours, night = profile
    if not np.isfinite(night) and drawn is not None:
        hours, night = drawn, float(drawn[slice(*NIGHT)].mean())
        notes.append("drawn_pressure")
    if not (night > 0 and (hours > 0).all()):
        return (np.nan,) * 3, ("kpi.night_day_factor_h",), []
    exponents = N1 if policy.n1 is None else (policy.n1,) * 3
    low, best, high = (night_day_factor(hours, night, n1) for n1 in exponents)
    return (min(low, high), best, max(low, high)), (), notes


def _balance(sheet: Sheet, answers: Answers, span: Span, of: Nights, inflow: Floats, by_night: _ByNight) -> Rate:
    """Add the water balance; return volumes, and real losses by it or, where it is not known, by night flow."""
    place, policy = answers.place, answers.policy
    lacks_input = () if of.whole.sum() >= max(_KNOWN * span.days, 1) else (READINGS,)
    entered = float(of.mean[of.whole].mean()) * span.days * DAY if not lacks_input else 0.0
    notes = ["gaps"] if np.isfinite(inflow).mean() < _GAPS else []
    turned = ["below_zero"] if entered < 0 else []
    came_in = lacks_input
    lacks_input = lacks_input or ((READINGS,) if entered <= 0 else ())  # nothing comes in
    yearly = [] if span.is_year else ["scaled_volumes"]
    assumed = ["assumed_unauthorised"] if policy.unauthorised_share is None else []
    lacks_billed = answers.lacks("billed_m3")
    lacks = (*lacks_input, *lacks_billed, *answers.lacks_policy("meter_error_share"))
    share = balance.UNAUTHORISED if policy.unauthorised_share is None else policy.unauthorised_share
    unbilled = (place.unmetered_m3 + place.service_m3) * span.years
    exported = place.exported_m3 * span.years
    billed, missed = (place.billed_m3 or 0.0) * span.years, policy.meter_error_share or 0.0
    known, wide = balance.Balance(1.0, 0.0, 0.0, 0.0, 0.0), dict.fromkeys(balance.TERMS, 0.0)
    if not lacks_input:
        known = balance.water_balance(
            entered, billed, unbilled=unbilled, exported=exported, unauthorised_share=share, meter_error_share=missed
        )
        wide = balance.half_widths(
            entered, billed, policy.uncertainty, unbilled=unbilled, exported=exported, unauthorised_share=share,
            meter_error_share=missed,
        )  # fmt: skip
    given = {"input": entered, "exported": exported, "billed": billed, "unbilled": unbilled, "unauthorised": share,
             "meter_error": missed}  # fmt: skip
    unsaid = {key for key, value in given.items() if value} - policy.uncertainty.model_fields_set
    limits = ["limits_95", *(["assumed_uncertainty"] if unsaid else [])]

    def add(name: str, value: float, lacks: tuple[str, ...], *notes: str, per: float = 1.0) -> None:
        half = wide[name] * per
        said = [*notes, *(limits if half else [])]
        sheet.add(name, value * per, low=value * per - half, high=value * per + half, missing=lacks, notes=said)

    revenue_lacks = (*lacks_input, *lacks_billed)
    negative = ["below_zero"] if known.real < 0 else []
    add("system_input", entered, came_in, *notes, *turned)
    add("water_supplied", known.supplied, lacks_input, *notes, *(yearly if exported else []))
    add("billed", known.billed, revenue_lacks, *yearly)
    add("unbilled", unbilled, (), *(yearly if unbilled else ["none_given"]))
    add("water_losses", known.losses, revenue_lacks, *yearly)
    add("apparent_losses", known.apparent, lacks, *assumed, *yearly)
    add("real_losses", known.real, lacks, *assumed, *yearly, *negative)
    add("non_revenue_water", known.non_revenue, revenue_lacks, *yearly)
    add("non_revenue_share", known.non_revenue / known.supplied, revenue_lacks, *yearly, per=100)
    came, supplied = (None, None) if lacks_input else (entered, known.supplied)
    if not lacks:
        real, low, high = ((known.real + k * wide["real_losses"]) / span.days for k in (0, -1, 1))
        return Rate(
            came, supplied, real=real, real_low=low, real_high=high,
            notes=("by_balance", *assumed, *yearly, *negative, *limits),
        )  # fmt: skip
    negative = ["below_zero"] if by_night.value is not None and by_night.value < 0 else []
    return Rate(
        came, supplied, real=by_night.value, real_low=by_night.low, real_high=by_night.high, lacks_input=lacks_input,
        lacks_real=() if by_night.value is not None else by_night.lacks, notes=("by_night_flow", *negative),
    )  # fmt: skip


def _index(
    sheet: Sheet, answers: Answers, rate: Rate, profile: tuple[Floats, float], drawn: Floats | None, part: Part,
    network: Network | None,
) -> Rate:  # fmt: skip
    """Add pressure, mains, unavoidable losses and what real losses are beside them."""
    place = answers.place
    mains, said = (place.mains_km or 0.0) * KM, []
    lacks_mains = answers.lacks("mains_km")
    if lacks_mains and network is not None and part.nodes is not None:
        mains, lacks_mains, said = part.mains(network) or 0.0, (), ["drawn_mains"]
    pressure, lacks_pressure, source = place.average_pressure_m or 0.0, answers.lacks("average_pressure_m"), []
    if lacks_pressure and drawn is not None:
        pressure, lacks_pressure, source = float(drawn.mean()), (), ["drawn_pressure"]
    elif lacks_pressure and np.isfinite(profile[1]):
        pressure, lacks_pressure, source = float(profile[0].mean()), (), ["logger_pressure"]
    sheet.add("average_pressure", pressure, missing=lacks_pressure, notes=source)
    sheet.add("mains", mains / KM, missing=lacks_mains, notes=said)
    lacks = (*lacks_mains, *lacks_pressure, *answers.lacks("connections", "service_connection_m"))
    connections = answers.connections or 0
    least = 0.0
    notes = [*said, *source]
    if not lacks:
        least = losses.uarl(mains, connections, connections * (place.service_connection_m or 0.0), pressure) * DAY
        notes += ["small_network"] if losses.too_small(mains, connections) else []
        notes += ["low_pressure"] if pressure < losses.LOWEST_PRESSURE else []
    sheet.add("uarl", least, missing=lacks, notes=notes)
    _ratio(sheet, "ili", rate, least, (*rate.lacks_real, *lacks), notes)
    lacks_connections = answers.lacks("connections")
    _ratio(sheet, "losses_per_connection", rate, connections / KM, (*rate.lacks_real, *lacks_connections), [])
    _ratio(sheet, "losses_per_mains", rate, mains / KM, (*rate.lacks_real, *lacks_mains), said)
    return replace(rate, mains=None if lacks_mains else mains, lacks_mains=lacks_mains)


def _ratio(sheet: Sheet, name: str, rate: Rate, below: float, missing: tuple[str, ...], notes: Iterable[str]) -> None:
    """Add real losses over something else, with the interval of the losses."""

    def over(value: float | None) -> float | None:
        return None if value is None or missing else value / below

    sheet.add(
        name, over(rate.real), low=over(rate.real_low), high=over(rate.real_high), missing=missing,
        notes=[*rate.notes, *notes],
    )  # fmt: skip
