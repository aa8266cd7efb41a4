"""The name that ``interlace.evaluation.retrieval`` had first, kept for those who import it."""

from interlace.evaluation.retrieval import RetrievalScores, metrics_at, retrieval_metrics

__all__ = ["RetrievalScores", "metrics_at", "retrieval_metrics"]
