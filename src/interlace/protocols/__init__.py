"""Protocols decide which classes to fit and to score, and know no method by name."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlace.protocols.base import Plan, Protocol
    from interlace.protocols.base_to_novel import BaseNovelScores
    from interlace.protocols.classification import ClassificationPlan, Scored, Target, score
    from interlace.protocols.comparison import Comparison
    from interlace.protocols.condition import CLEAN, Condition
    from interlace.protocols.evaluation import evaluate
    from interlace.protocols.retrieval import RetrievalPlan, RetrievalResult
    from interlace.protocols.setting import Setting
    from interlace.protocols.table import PROTOCOLS, get

__all__ = [
    "CLEAN",
    "PROTOCOLS",
    "BaseNovelScores",
    "ClassificationPlan",
    "Comparison",
    "Condition",
    "Plan",
    "Protocol",
    "RetrievalPlan",
    "RetrievalResult",
    "Scored",
    "Setting",
    "Target",
    "evaluate",
    "get",
    "score",
]

# a report needs conditions, which are light; scoring needs torch, which takes seconds to import
_HOMES = {
    "CLEAN": "condition",
    "PROTOCOLS": "table",
    "BaseNovelScores": "base_to_novel",
    "ClassificationPlan": "classification",
    "Comparison": "comparison",
    "Condition": "condition",
    "Plan": "base",
    "Protocol": "base",
    "RetrievalPlan": "retrieval",
    "RetrievalResult": "retrieval",
    "Scored": "classification",
    "Setting": "setting",
    "Target": "classification",
    "evaluate": "evaluation",
    "get": "table",
    "score": "classification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interlace.protocols' has no attribute {name!r}")
    value = getattr(import_module(f"interlace.protocols.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
