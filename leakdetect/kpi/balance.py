"""The water balance of the International Water Association."""

from __future__ import annotations

from dataclasses import dataclass

from leakdetect.errors import InputError

UNAUTHORISED = 0.0025
"""Share of the water supplied that is drawn without right, where nothing is known (AWWA M36, 3rd ed., 2009)."""


@dataclass(frozen=True)
class Balance:
    """The terms of a period [m3].

    Attributes
    ----------
    supplied : float
        System input less what is exported.
    billed, unbilled : float
        Authorised consumption.
    apparent : float
        Drawn without right, and what meters fail to register.
    real : float
        What leaks.
    """

    supplied: float
    billed: float
    unbilled: float
    apparent: float
    real: float

    @property
    def losses(self) -> float:
        """Water losses, apparent and real [m3]."""
        return self.apparent + self.real

    @property
    def non_revenue(self) -> float:
        """Non-revenue water [m3]."""
        return self.losses + self.unbilled


def water_balance(
    system_input: float,
    billed: float,
    *,
    unbilled: float = 0.0,
    exported: float = 0.0,
    unauthorised_share: float = UNAUTHORISED,
    meter_error_share: float = 0.0,
) -> Balance:
    """Return the balance of a period.

    Parameters
    ----------
    system_input, billed, unbilled, exported : float
        [m3]; `billed` as meters registered it, `unbilled` what the service and others draw by right without paying.
    unauthorised_share : float
        Of the water supplied.
    meter_error_share : float
        Of what passes customers' meters, what they fail to register.

    Raises
    ------
    InputError
        If nothing is supplied or a share is not in [0, 1).

    Notes
    -----
    Lambert and Hirner 2000, Losses from water supply systems (IWA Blue Pages); AWWA Manual M36.
    """
    supplied = system_input - exported
    if supplied <= 0:
        raise InputError(f"{system_input:.0f} m3 come in and {exported:.0f} m3 are exported: correct exported_m3")
    for name, share in (("unauthorised_share", unauthorised_share), ("meter_error_share", meter_error_share)):
        if not 0 <= share < 1:
            raise InputError(f"{name} = {share:g}: give a share from 0 to less than 1")
    apparent = unauthorised_share * supplied + billed * meter_error_share / (1 - meter_error_share)
    return Balance(supplied, billed, unbilled, apparent, supplied - billed - unbilled - apparent)
