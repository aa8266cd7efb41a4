"""Protocols: which classes to fit and what to score, for any method."""

from typing import TYPE_CHECKING

from interlace._util.on_demand import on_demand

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
    "CLEAN": "protocols.condition",
    "PROTOCOLS": "protocols.table",
    "BaseNovelScores": "protocols.base_to_novel",
    "ClassificationPlan": "protocols.classification",
    "Comparison": "protocols.comparison",
    "Condition": "protocols.condition",
    "Plan": "protocols.base",
    "Protocol": "protocols.base",
    "RetrievalPlan": "protocols.retrieval",
    "RetrievalResult": "protocols.retrieval",
    "Scored": "protocols.classification",
    "Setting": "protocols.setting",
    "Target": "protocols.classification",
    "evaluate": "protocols.evaluation",
    "get": "protocols.table",
    "score": "protocols.classification",
}

__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
