"""Base to novel: fit on half of the classes, score both halves and all of them.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models", 2022,
https://arxiv.org/abs/2203.05557.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from interlace.adapted import Adapted
from interlace.data.loader import Images, batches
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.evaluation.classify import harmonic_mean, top1
from interlace.inference import encode_images, encode_prompts, logits, take
from interlace.protocols.comparison import Comparison, without_shots


@dataclass(frozen=True)
class BaseToNovel:
    """Accuracies of one run, as fractions.

    Attributes:
        base: images of base classes among the base classes, which were trained on.
        novel: images of novel classes among the novel classes; None for a method that answers
            only for the classes it was fitted on.
        joint: all images among all classes, as classes not trained on: nobody says of an image
            which half its class is in; None as for ``novel``.
        n_base: number of base images.
        n_novel: number of novel images.
    """

    base: float
    novel: float | None
    joint: float | None
    n_base: int
    n_novel: int

    @property
    def harmonic(self) -> float | None:
        """Harmonic mean of base and novel; of averages over seeds, average first."""
        return None if self.novel is None else harmonic_mean(self.base, self.novel)

    def to_dict(self) -> dict[str, float | None]:
        """Plain data for JSON."""
        return {**asdict(self), "harmonic": self.harmonic}


def halves(task: FewShotTask) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the base and the novel classes of a task."""
    base, novel = task.base_and_novel()
    return tuple(task.classes[i] for i in base), tuple(task.classes[i] for i in novel)


def evaluate(adapted: Adapted, task: FewShotTask, images: Images | None = None) -> BaseToNovel:
    """Score a model that was fitted on the base classes of ``task``, or the frozen one.

    Every test image is encoded once.

    Args:
        adapted: fitted on ``task.classes_subset("base")``; its current classes do not matter.
        task: the task with all its classes.
        images: its test images, where they are kept decoded.

    Raises:
        InterlaceError: if the model was trained on other classes than the base half, or there is
            nothing to score.
    """
    base_names, novel_names = halves(task)
    if adapted.trained_classes and set(adapted.trained_classes) != set(base_names):
        raise InterlaceError(
            f"base-to-novel needs a model fitted on the {len(base_names)} base classes of "
            f"{task.name}; this one was fitted on {len(adapted.trained_classes)} classes"
        )
    if not task.test:
        raise InterlaceError(f"{task.name} holds no test images")
    method = adapted.method
    loader = batches(images or task.test, adapted.clip.preprocess.eval_transform(), 64)
    image, labels = encode_images(method, loader)

    def accuracy(classes: tuple[int, ...], seen: bool) -> float:
        names = [task.classes[label] for label in classes]
        text = encode_prompts(method, method.prompts(names, adapted.template))
        index = torch.tensor(classes, device=labels.device)
        rows = torch.isin(labels, index).nonzero()[:, 0]
        position = torch.full((len(task.classes),), -1, device=labels.device)
        position[index] = torch.arange(len(index), device=labels.device)
        return top1(logits(method, take(image, rows), text, seen), position[labels[rows]])

    base, novel = task.base_and_novel()
    n_base = sum(record.label in set(base) for record in task.test)
    n_novel = len(task.test) - n_base
    if not n_base or not n_novel:
        raise InterlaceError(f"{task.name} has no test images of one half of its classes")
    return BaseToNovel(
        base=accuracy(base, seen=True),
        novel=None if method.bound else accuracy(novel, seen=False),
        joint=None if method.bound else accuracy(base + novel, seen=False),
        n_base=n_base,
        n_novel=n_novel,
    )


def compare(adapted: Adapted, task: FewShotTask) -> Comparison[BaseToNovel]:
    """Score ``adapted`` and the frozen model on the base half, the novel half and all classes.

    Args:
        adapted: fitted on ``task.classes_subset("base")``.
        task: the task with all its classes.

    Raises:
        InterlaceError: as :func:`evaluate`.
    """
    task, left_out = without_shots(adapted, task)
    frozen = evaluate(adapted.zero_shot(), task)
    return Comparison(frozen, evaluate(adapted, task), seen=False, left_out=left_out)
