"""What else might have caused what an event was raised on: each rival's evidence beside the leak's, for people."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.stages.detection.history import Leak
from leakdetect.stages.detection.tracker import RIVAL_ODDS
from leakdetect.stages.detection.windows import Deviation, Picture, tables

Floats = NDArray[np.float64]

LEAK, GROWTH = "leak", "growth of "


def weigh(picture: Picture, seen: Deviation, evidence: Floats, others: list[tuple[str, Leak]]) -> list[dict[str, Any]]:
    """Return the leak, then the best rival of each kind, as JSON values.

    Parameters
    ----------
    picture : Picture
    seen : Deviation
        What has changed since the leak began, the leak itself left out.
    evidence : ndarray, shape (N,)
        Of the leak at every candidate.
    others : list of (str, Leak)
        Leaks that ran before, whose growth it might be, and their events' ids.

    Returns
    -------
    list of dict
        ``cause`` (``leak``, ``sensor X``, ``setting of V``, ``demand of Z``, ``growth of E``), ``evidence`` (twice the
        log likelihood ratio, less the price of choosing it, as the tracker compares them) and ``explained``: the share
        of what has changed, whitened, that the cause accounts for alone.
    """
    whole = max(seen.size, 1e-9)

    def row(cause: str, found: float, price: float) -> dict[str, Any]:
        share = min(max(found, 0.0) / whole, 1.0)
        return {"cause": cause, "evidence": round(found - price, 2), "explained": round(share, 4)}

    rival = np.abs(_allowed(picture, seen))
    price = 2 * np.log(RIVAL_ODDS)
    rows = [row(name, float(rival[x]), price) for x, name in enumerate(picture.rival_names)]
    if others:
        grown = seen.against(tables(picture, [leak for _, leak in others]))[0]
        rows += [row(GROWTH + name, float(more), 0.0) for (name, _), more in zip(others, grown, strict=True)]
    best: dict[str, dict[str, Any]] = {}
    for found in sorted(rows, key=lambda r: -r["explained"]):
        best.setdefault(found["cause"].partition(" ")[0], found)
    top = float(evidence.max())
    return [row(LEAK, top, 2 * np.log(len(evidence))), *(r for r in best.values() if r["explained"] > 0)]


def _allowed(picture: Picture, seen: Deviation) -> Floats:
    """Return the signed evidence of the rivals; none of those that explain a loss only and are asked for more."""
    evidence = seen.against(picture.rival)[0]
    return np.where(picture.only_less & (evidence > 0), 0.0, evidence)
