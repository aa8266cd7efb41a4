"""Evaluation: metrics, statistics over seeds, and their pictures."""

from interlace.evaluation.classify import (
    Scores,
    confusion_matrix,
    expected_calibration_error,
    harmonic_mean,
    mean_per_class,
    top1,
)
from interlace.evaluation.retrieve import RetrievalScores, retrieval_metrics
from interlace.evaluation.stats import Interval, PairedDifference, mean_interval, paired_difference

__all__ = [
    "Interval",
    "PairedDifference",
    "RetrievalScores",
    "Scores",
    "confusion_matrix",
    "expected_calibration_error",
    "harmonic_mean",
    "mean_interval",
    "mean_per_class",
    "paired_difference",
    "retrieval_metrics",
    "top1",
]
