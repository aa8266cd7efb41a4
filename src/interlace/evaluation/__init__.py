"""Evaluation: metrics, statistics over seeds, and their pictures."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "Interval": "statistics",
    "PairedDifference": "statistics",
    "RetrievalScores": "retrieval",
    "Scores": "classification",
    "confusion_matrix": "classification",
    "expected_calibration_error": "classification",
    "harmonic_mean": "statistics",
    "mean_interval": "statistics",
    "mean_per_class": "classification",
    "paired_difference": "statistics",
    "retrieval_metrics": "retrieval",
    "top1": "classification",
}
_MODULES = ("classification", "plots", "retrieval", "retrieve", "statistics")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"interlace.evaluation.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'interlace.evaluation' has no attribute {name!r}")
    value = getattr(import_module(f"interlace.evaluation.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
