"""What Directive (EU) 2020/2184 on drinking water asks of leakage.

Article 4(3): Member States assess leakage by the infrastructural leakage index or another appropriate method, for the
suppliers named here at least; results to the Commission by 12 January 2026, which sets a threshold by 12 January 2028.
"""

from __future__ import annotations

DAILY = 10_000.0
"""[m3/d] supplied, from which a supplier is to be assessed."""
PEOPLE = 50_000
"""People served, from which it is too."""


def in_scope(daily: float | None, people: float | None) -> bool | None:
    """Say whether leakage of a supplier has to be assessed; None where what is known does not tell.

    Parameters
    ----------
    daily : float or None
        Water supplied [m3/d].
    people : float or None
        Served.
    """
    if (daily is not None and daily >= DAILY) or (people is not None and people >= PEOPLE):
        return True
    return None if daily is None or people is None else False
