"""What lost water costs, in money and in CO2, and what finding leaks earlier brings."""

from __future__ import annotations

from leakdetect.errors import InputError


def energy(volume: float, per_m3: float) -> float:
    """Return the energy that went into a volume [kWh], of m3 and kWh/m3: abstraction, treatment, pumping."""
    return volume * per_m3


def carbon(energy_kwh: float, per_kwh: float) -> float:
    """Return the CO2 of an amount of energy [kg], of kWh and kg/kWh (GHG Protocol, scope 2: activity x factor)."""
    return energy_kwh * per_kwh


def programme_cost(monitoring: float, visits_in_vain: int, crew: float) -> float:
    """Return what finding leaks cost: monitoring, and a crew to each place where there was none."""
    return monitoring + visits_in_vain * crew


def return_on_investment(benefit: float, cost: float) -> float:
    """Return (benefit - cost) / cost; raises InputError if nothing was spent."""
    if cost <= 0:
        raise InputError("nothing was spent: a return needs a cost above 0")
    return (benefit - cost) / cost
