"""Evaluation: metrics, statistics over seeds, and their pictures."""

from interlace.evaluation.classification import (
    Scores,
    confusion_matrix,
    expected_calibration_error,
    harmonic_mean,
    mean_per_class,
    top1,
)
from interlace.evaluation.retrieval import RetrievalScores, retrieval_metrics
from interlace.evaluation.statistics import (
    Interval,
    PairedDifference,
    mean_interval,
    paired_difference,
)

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
