"""Protocols decide which classes to fit and to score, and know no method by name."""

from __future__ import annotations

import difflib
from collections import Counter

from interlace.adaptation.model import AdaptedModel
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.evaluation.classification import Scores
from interlace.protocols import base_to_novel, few_shot
from interlace.protocols.base import Condition, Plan, Protocol, Setting, Target, score
from interlace.protocols.base_to_novel import BaseNovelScores, BaseToNovel
from interlace.protocols.comparison import Comparison
from interlace.protocols.cross_dataset import CrossDataset
from interlace.protocols.domain_generalization import DomainGeneralization
from interlace.protocols.few_shot import FewShot
from interlace.protocols.retrieval import Retrieval
from interlace.protocols.robustness import Robustness

__all__ = [
    "PROTOCOLS",
    "BaseNovelScores",
    "Comparison",
    "Condition",
    "Plan",
    "Protocol",
    "Setting",
    "Target",
    "evaluate",
    "get",
    "score",
]

#: All protocols by name.
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        FewShot(),
        BaseToNovel(),
        CrossDataset(),
        DomainGeneralization(),
        Robustness(),
        Retrieval("ucdr", "Unseen classes of an unseen domain ask (2108.08356).", ("ucdr",)),
        Retrieval("uccdr", "Unseen classes of a seen domain ask (2108.08356).", ("uccdr",)),
        Retrieval("udcdr", "Seen classes of an unseen domain ask (2108.08356).", ("udcdr",)),
        Retrieval(
            "retrieval",
            "The three protocols of retrieval on one fit (2108.08356).",
            ("ucdr", "uccdr", "udcdr"),
        ),
    )
}


def get(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises:
        InterlaceError: if there is none.
    """
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in PROTOCOLS:
        close = difflib.get_close_matches(wanted, PROTOCOLS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(PROTOCOLS)}"
        raise InterlaceError(f"no protocol {name!r}: {hint}")
    return PROTOCOLS[wanted]


def evaluate(
    adapted: AdaptedModel, task: FewShotTask
) -> Comparison[Scores] | Comparison[BaseNovelScores]:
    """Score an adapted model and the frozen one on the held-out images of ``task``.

    Images the model was fitted on are left out, whatever their names.

    Args:
        adapted: the adapted model.
        task: classes and test images.

    Returns:
        Base, novel and joint accuracy for a model that was fitted on the base half of the task's
        classes; for any other model, its scores over all classes of the task.

    Raises:
        InterlaceError: if no test image is left that the fit has not used.
    """
    base = Counter(task.classes[label] for label in task.base_and_novel()[0])
    if len(task.classes) > base.total() > 0 and Counter(adapted.trained_classes) == base:
        return base_to_novel.compare(adapted, task)
    return few_shot.compare(adapted, task)
