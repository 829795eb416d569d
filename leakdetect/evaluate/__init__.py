"""Scoring against a known truth, after the fact: BattLeDIM's rule and LeakDB's."""

from __future__ import annotations

from leakdetect.evaluate.battledim import detections_of, score_battledim
from leakdetect.evaluate.leakdb import LabelScore, alarms, read_labels, score_labels, score_leakdb
from leakdetect.evaluate.score import Detection, Score
from leakdetect.evaluate.truth import Leak, read_truth, years_of

__all__ = [
    "Detection",
    "LabelScore",
    "Leak",
    "Score",
    "alarms",
    "detections_of",
    "read_labels",
    "read_truth",
    "score_battledim",
    "score_labels",
    "score_leakdb",
    "years_of",
]
