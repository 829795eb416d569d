"""LeakDB's score (Vrachimis et al. 2018, WDSA/CCWI): labels by time step, leak or none, and how early they agree."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakdetect.errors import InputError, MissingFileError
from leakdetect.evaluate.truth import Leak
from leakdetect.events import Event, Status

Labels = NDArray[np.bool_]

EXTRA_STEPS = 10
"""By which the window of a leak is longer than the leak."""
PERSISTENCE = 0.75
"""Share of the window, from the first alarm on, over which the alarm must hold."""


@dataclass(frozen=True)
class LabelScore:
    """Rates in 0..1; NaN where the truth has no such step.

    Attributes
    ----------
    steps, leaks : int
        Time steps, and unbroken runs of leak in the truth.
    true_positive_rate, false_positive_rate : float
        Share of leak steps (of others) that are labelled leak.
    f1 : float
    early_detection : float
        Mean over the leaks of ``2 / (1 + exp(5 d / w))``, d steps from the leak's start to the first alarm in a window
        of w steps (the leak and ten more); 0 where no alarm comes, or it holds for no more than 75 % of the rest.
    """

    steps: int
    leaks: int
    true_positive_rate: float
    false_positive_rate: float
    f1: float
    early_detection: float

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain JSON values; NaN becomes None."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


def score_labels(truth: Labels, alarm: Labels) -> LabelScore:
    """Score labels step by step.

    Parameters
    ----------
    truth, alarm : ndarray of bool, shape (T,)
        Whether there is a leak, and whether the detector says so.
    """
    both = int((truth & alarm).sum())
    wrong = int((~truth & alarm).sum())
    missed = int((truth & ~alarm).sum())
    edge = np.diff(np.r_[False, truth, False].astype(np.int8))
    starts, ends = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1) - 1
    early = [_early(alarm, int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
    return LabelScore(
        steps=len(truth),
        leaks=len(starts),
        true_positive_rate=_share(both, both + missed),
        false_positive_rate=_share(wrong, int((~truth).sum())),
        f1=_share(2 * both, 2 * both + wrong + missed),
        early_detection=_share(math.fsum(early), len(early)),
    )


def score_leakdb(
    events: Iterable[Event], leaks: Iterable[Leak], start: np.datetime64, end: np.datetime64, *, step_s: float = 1800.0
) -> LabelScore:
    """Score events by LeakDB's rule.

    A step is labelled leak while some event is open: from the time it was raised until it ended. Dismissed events do
    not count.

    Parameters
    ----------
    events, leaks : iterable
    start, end : datetime64
        The window, end excluded. UTC.
    step_s : float
        Length of a time step [s]; LeakDB's is half an hour.
    """
    time = np.arange(start, end, np.timedelta64(round(step_s), "s"))
    truth = np.zeros(len(time), dtype=bool)
    for leak in leaks:
        truth |= (time >= leak.start) & (time <= leak.end)
    return score_labels(truth, alarms(events, time))


def read_labels(path: Path) -> tuple[NDArray[np.datetime64], Labels]:
    """Read LeakDB's labels by time: a CSV file of the columns ``Timestamp,Label``, 1 while something leaks.

    Returns
    -------
    times : ndarray of datetime64[ns], shape (T,)
        UTC, evenly spaced.
    labels : ndarray of bool, shape (T,)

    Raises
    ------
    MissingFileError, InputError
        If there is no such file, or it is not of these columns.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: name a CSV of the columns Timestamp,Label")
    try:
        table = pd.read_csv(path)
        times = pd.to_datetime(table["Timestamp"]).to_numpy().astype("datetime64[ns]")
        labels = table["Label"].to_numpy(dtype=float)
    except KeyError as error:
        raise InputError(f"{path}: no column {error}: needs Timestamp,Label; see leakdetect leakdb") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not labels by time: {' '.join(str(error).split())}") from None
    if not np.isin(labels, (0.0, 1.0)).all():
        raise InputError(f"{path}: row {int(np.argmin(np.isin(labels, (0.0, 1.0)))) + 2}: a label is 0 or 1")
    if len(times) < 2 or len(set(np.diff(times).tolist())) != 1 or times[1] <= times[0]:
        raise InputError(f"{path}: times are not evenly spaced: one row for each time step")
    return times, labels == 1


def alarms(events: Iterable[Event], times: NDArray[np.datetime64]) -> Labels:
    """Return at which times some event is open; dismissed ones do not count."""
    alarm = np.zeros(len(times), dtype=bool)
    for event in events:
        if event.status is not Status.DISMISSED:
            alarm |= (times >= event.raised_at) & (True if event.end is None else times <= event.end)
    return alarm


def _early(alarm: Labels, start: int, end: int) -> float:
    window = alarm[start : min(end + EXTRA_STEPS, len(alarm) - 1) + 1]
    if not window.any():
        return 0.0
    first = int(window.argmax())
    if window[first:].mean() <= PERSISTENCE:
        return 0.0
    # A leak of one last step has a window without length: found at once or not at all.
    return 2.0 / (1.0 + math.exp(min(5.0 * first / max(len(window) - 1, 1), 700.0)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
