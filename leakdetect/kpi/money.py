"""What lost water costs, in money and in CO2, and what finding leaks earlier brings."""

from __future__ import annotations

from leakdetect.errors import InputError


def carbon(energy: float, per_kwh: float) -> float:
    """Return the CO2 of a m3 [kg/m3]: of the energy to abstract, treat and pump it [kWh/m3], and of that [kg/kWh].

    Activity times emission factor: GHG Protocol, scope 2.
    """
    return energy * per_kwh


def programme_cost(monitoring: float, visits_in_vain: int, crew: float) -> float:
    """Return what finding leaks cost: monitoring, and a crew to each place where there was none. Our own reckoning.

    A crew is sent to a leak with monitoring and without, so visits that find one are not counted.
    """
    return monitoring + visits_in_vain * crew


def return_on_investment(benefit: float, cost: float) -> float:
    """Return (benefit - cost) / cost; raises InputError if nothing was spent."""
    if cost <= 0:
        raise InputError("nothing was spent: a return needs a cost above 0")
    return (benefit - cost) / cost
