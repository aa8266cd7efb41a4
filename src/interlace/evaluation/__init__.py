"""Evaluation: metrics, statistics and pictures."""

from typing import TYPE_CHECKING

from interlace._util.on_demand import on_demand

if TYPE_CHECKING:
    from interlace.evaluation.classification import (
        Scores,
        confusion_matrix,
        expected_calibration_error,
        mean_per_class,
        top1,
    )
    from interlace.evaluation.retrieval import RetrievalScores, retrieval_metrics
    from interlace.evaluation.statistics import (
        Interval,
        PairedDifference,
        harmonic_mean,
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

# metrics need torch, which takes seconds to import; statistics and pictures of them do not
_HOMES = {
    "Interval": "evaluation.statistics",
    "PairedDifference": "evaluation.statistics",
    "RetrievalScores": "evaluation.retrieval",
    "Scores": "evaluation.classification",
    "confusion_matrix": "evaluation.classification",
    "expected_calibration_error": "evaluation.classification",
    "harmonic_mean": "evaluation.statistics",
    "mean_interval": "evaluation.statistics",
    "mean_per_class": "evaluation.classification",
    "paired_difference": "evaluation.statistics",
    "retrieval_metrics": "evaluation.retrieval",
    "top1": "evaluation.classification",
    # its modules
    "classification": "evaluation.classification:",
    "plots": "evaluation.plots:",
    "retrieval": "evaluation.retrieval:",
    "retrieve": "evaluation.retrieve:",
    "statistics": "evaluation.statistics:",
}

__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
