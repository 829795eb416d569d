"""The water balance of the International Water Association."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import InputError
from leakdetect.site import Uncertainty

UNAUTHORISED = 0.0025
"""Share of the water supplied that is drawn without right, where nothing is known (AWWA M36, 3rd ed., 2009)."""
TERMS = (
    "system_input", "water_supplied", "billed", "unbilled", "water_losses", "apparent_losses", "real_losses",
    "non_revenue_water", "non_revenue_share",
)  # fmt: skip
"""What `half_widths` gives, in this order."""


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


def half_widths(
    system_input: float,
    billed: float,
    stated: Uncertainty,
    *,
    unbilled: float = 0.0,
    exported: float = 0.0,
    unauthorised_share: float = UNAUTHORISED,
    meter_error_share: float = 0.0,
) -> dict[str, float]:
    """Return half the 95 % interval of each of `TERMS` [m3; of the last a share]: what is given errs independently.

    Parameters
    ----------
    system_input, billed, unbilled, exported, unauthorised_share, meter_error_share : float
        As `water_balance` takes them, which also says what they must be.
    stated : Uncertainty

    Notes
    -----
    Root-sum-square, each given value by its weight in the term, so that one that counts twice (the meters' error is a
    share of what is billed) is not taken for two: Lambert and Hirner 2000; Thornton et al. 2008, section 7.8.
    """
    u, e, supplied = unauthorised_share, meter_error_share, system_input - exported
    stolen, slow, missed = u, e / (1 - e), billed / (1 - e) ** 2
    share = billed / supplied**2
    # Weights of: system input, exported, billed, unbilled, share drawn without right, share that meters miss.
    weights: NDArray[np.float64] = np.array(
        [
            [1, 0, 0, 0, 0, 0],
            [1, -1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
            [1, -1, -1, -1, 0, 0],
            [stolen, -stolen, slow, 0, supplied, missed],
            [1 - stolen, stolen - 1, -1 - slow, -1, -supplied, -missed],
            [1, -1, -1, 0, 0, 0],
            [share, -share, -1 / supplied, 0, 0, 0],
        ]
    )
    given = np.array([system_input, exported, billed, unbilled, u, e])
    of = stated
    own = given * [of.input, of.exported, of.billed, of.unbilled, of.unauthorised, of.meter_error]
    return dict(zip(TERMS, np.sqrt(((weights * own) ** 2).sum(axis=1)).tolist(), strict=True))
