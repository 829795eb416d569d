"""The indicators of losses that French services publish every year on SISPEA, and the yield that the law asks for."""

from __future__ import annotations

from dataclasses import dataclass

from leakdetect.errors import InputError

ENOUGH = 0.85
"""Yield that always satisfies (décret 2012-97 of 27 January 2012)."""
FIXED, FIXED_SCARCE = 0.65, 0.70
"""Fixed term of the threshold; the second where more than `SCARCE_VOLUME` is taken from scarce resources."""
SCARCE_VOLUME = 2e6
"""[m3/year], of a zone de répartition des eaux."""


@dataclass(frozen=True)
class Volumes:
    """What the sheets of the indicators add up [m3 in the period].

    Attributes
    ----------
    introduced : float
        Produced and imported.
    exported : float
        Sold to other services.
    metered : float
        Volume comptabilisé.
    unmetered, service : float
        Drawn by right without a meter; drawn to run the network.
    """

    introduced: float
    exported: float
    metered: float
    unmetered: float
    service: float

    @property
    def authorised(self) -> float:
        """Volume consommé autorisé [m3]."""
        return self.metered + self.unmetered + self.service


def network_yield(volumes: Volumes) -> float:
    """Return P104.3, rendement du réseau de distribution, as a share: (authorised + exported) / introduced.

    Source: arrêté of 2 May 2007, annex I; sheet P104.3. Raises InputError if nothing is introduced.
    """
    if volumes.introduced <= 0:
        raise InputError("no water is introduced: the yield needs the inflow")
    return (volumes.authorised + volumes.exported) / volumes.introduced


def uncounted(volumes: Volumes, mains: float, days: float) -> float:
    """Return P105.3, indice linéaire des volumes non comptés [m3/d per m]: (distributed - metered) / length / days.

    `mains` without service connections [m]; raises InputError if it or `days` is 0. Source: as `network_yield`.
    """
    return _linear(volumes.introduced - volumes.exported - volumes.metered, mains, days)


def linear_losses(volumes: Volumes, mains: float, days: float) -> float:
    """Return P106.3, indice linéaire de pertes en réseau [m3/d per m]: (distributed - authorised) / length / days.

    Arguments and errors as `uncounted`.
    """
    return _linear(volumes.introduced - volumes.exported - volumes.authorised, mains, days)


def linear_consumption(volumes: Volumes, mains: float, days: float) -> float:
    """Return the indice linéaire de consommation of the decree [m3/d per m]: (authorised + exported) / length / days.

    Arguments and errors as `uncounted`.
    """
    return _linear(volumes.authorised + volumes.exported, mains, days)


def threshold(consumption: float, *, scarce: bool = False) -> float:
    """Return the yield below which the law wants a plan of action, as a share.

    85 %, or 65 % and a fifth of the linear consumption index (m3/d per km) in per cent if that is less; 70 % in place
    of 65 % where more than 2 million m3 a year are taken from scarce resources.

    Parameters
    ----------
    consumption : float
        From `linear_consumption` [m3/d per m].
    scarce : bool

    Notes
    -----
    Code de l'environnement, article D. 213-48-14-1, made by décret 2012-97 of 27 January 2012.
    """
    return min(ENOUGH, (FIXED_SCARCE if scarce else FIXED) + consumption * 1000 / 5 / 100)


def _linear(volume: float, mains: float, days: float) -> float:
    if mains <= 0 or days <= 0:
        raise InputError("a linear index needs mains and days above 0")
    return volume / mains / days
