"""The figures that only the whole service has: SISPEA, the directive, money."""

from __future__ import annotations

from collections.abc import Sequence

from leakdetect.events import Event, Status
from leakdetect.kpi import directive, leaks, money, sispea
from leakdetect.kpi.figures import Sheet
from leakdetect.kpi.given import Answers, Span
from leakdetect.kpi.place import KM, Rate

DETECT = "detect"
"""Stands for a first run of ``leakdetect detect`` among what is missing."""

_ACTIVE = {Status.OPEN, Status.CONFIRMED}


def fill_service(sheet: Sheet, answers: Answers, span: Span, rate: Rate, events: Sequence[Event] | None) -> None:
    """Add the service's figures to its sheet; `rate` is what `place.fill` returned, `events` None before a run."""
    _sispea(sheet, answers, span, rate)
    _directive(sheet, answers, span, rate)
    _leaks(sheet, answers, span, events)
    _worth(sheet, answers, span, rate)


def _sispea(sheet: Sheet, answers: Answers, span: Span, rate: Rate) -> None:
    place, years = answers.place, span.years
    billed = answers.lacks("billed_m3")
    volumes = sispea.Volumes(
        introduced=rate.input or 0.0, exported=place.exported_m3 * years, metered=(place.billed_m3 or 0.0) * years,
        unmetered=place.unmetered_m3 * years, service=place.service_m3 * years,
    )  # fmt: skip
    notes = [] if span.is_year else ["not_a_year"]
    lacks = (*rate.lacks_input, *billed)
    lacks_linear = (*lacks, *rate.lacks_mains)
    reached = least = uncounted = lost = 0.0
    verdict: list[str] = []
    if not lacks:
        reached = sispea.network_yield(volumes)
    if not lacks_linear and rate.mains is not None:
        scarce = answers.policy.scarce_resource and volumes.introduced / years > sispea.SCARCE_VOLUME
        least = sispea.threshold(sispea.linear_consumption(volumes, rate.mains, span.days), scarce=scarce)
        uncounted = sispea.uncounted(volumes, rate.mains, span.days) * KM
        lost = sispea.linear_losses(volumes, rate.mains, span.days) * KM
        verdict = ["meets_threshold" if reached >= least else "below_threshold"]
    sheet.add("p104_3", 100 * reached, missing=lacks, notes=[*verdict, *notes])
    sheet.add("p104_3_threshold", 100 * least, missing=lacks_linear, notes=notes)
    sheet.add("p105_3", uncounted, missing=lacks_linear, notes=notes)
    sheet.add("p106_3", lost, missing=lacks_linear, notes=notes)


def _directive(sheet: Sheet, answers: Answers, span: Span, rate: Rate) -> None:
    daily = None if rate.supplied is None else rate.supplied / span.days
    sheet.add("daily_volume", daily, missing=rate.lacks_input)
    within = directive.in_scope(daily, answers.inhabitants)
    sheet.add(
        "eu_in_scope", within, missing=(*rate.lacks_input, *answers.lacks("inhabitants")) if within is None else ()
    )


def _worth(sheet: Sheet, answers: Answers, span: Span, rate: Rate) -> None:
    """Add what the real losses of the span cost, in money, energy and CO2."""
    policy, costs = answers.policy, answers.site.costs
    per_m3, per_kwh = policy.energy_kwh_per_m3, policy.co2_kg_per_kwh

    def add(name: str, factor: float | None, *keys: str, notes: Sequence[str] = ()) -> None:
        value, low, high = (
            None if v is None or factor is None else v * span.days * factor
            for v in (rate.real, rate.real_low, rate.real_high)
        )
        missing = (*rate.lacks_real, *answers.lacks_policy(*keys))
        sheet.add(name, value, low=low, high=high, missing=missing, notes=[*rate.notes, *notes])

    add("cost_of_losses", costs.water_per_m3, notes=_price(answers))
    add("energy_of_losses", per_m3, "energy_kwh_per_m3")
    carbon = None if per_m3 is None or per_kwh is None else money.carbon(per_m3, per_kwh)
    add("co2_of_losses", carbon, "energy_kwh_per_m3", "co2_kg_per_kwh")


def _leaks(sheet: Sheet, answers: Answers, span: Span, events: Sequence[Event] | None) -> None:
    """Add what leaks lost, what finding them earlier saved, and what that cost."""
    policy, costs = answers.policy, answers.site.costs
    no_run = (DETECT,) if events is None else ()
    raised = leaks.raised_in(events or (), span.since, span.until)
    volume = leaks.total_lost(events or (), span.since, span.until)
    going = ["still_open"] if any(e.status in _ACTIVE for e in raised) else []
    interval = ["leak_interval"]
    sheet.add("leaks_raised", sum(e.status != Status.DISMISSED for e in raised), missing=no_run, notes=going)
    sheet.add("leak_volume", volume.best, low=volume.low, high=volume.high, missing=no_run, notes=interval)
    lacks = (*no_run, *answers.lacks_policy("awareness_days"))
    saved = leaks.saved(raised, policy.awareness_days or 0.0)
    worth = [v * costs.water_per_m3 for v in (saved.best, saved.low, saved.high)]
    notes = [*interval, *_price(answers)]
    sheet.add("saved_volume", saved.best, low=saved.low, high=saved.high, missing=lacks, notes=interval)
    sheet.add("saved_money", worth[0], low=worth[1], high=worth[2], missing=lacks, notes=notes)
    yearly = (policy.monitoring_cost_per_year or 0.0) * span.years
    cost = money.programme_cost(yearly, leaks.visits_in_vain(raised), costs.crew)
    lacks_cost = (*no_run, *answers.lacks_policy("monitoring_cost_per_year"))
    sheet.add("programme_cost", cost, missing=lacks_cost)
    both = (*lacks, *(lacks_cost if cost > 0 else (*no_run, "kpi.monitoring_cost_per_year")))
    back = [0.0] * 3 if both else [100 * money.return_on_investment(w, cost) for w in worth]
    sheet.add("return_on_investment", back[0], low=back[1], high=back[2], missing=both, notes=notes)


def _price(answers: Answers) -> list[str]:
    return [] if "water_per_m3" in answers.site.costs.model_fields_set else ["assumed_price"]
