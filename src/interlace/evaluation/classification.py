"""Classification metrics as pure functions: accuracies are fractions in [0, 1], not percent."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interlace.errors import InterlaceError

# numbers whose softmax is taken at a time: 32 MiB in double precision
_AT_A_TIME = 1 << 22


def top1(logits: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose greatest logit is that of their class.

    Args:
        logits: [B, C].
        labels: [B], int64.

    Raises:
        InterlaceError: the shapes do not fit, there is no image, or a logit is not a number.
    """
    _check(logits, labels)
    return (logits.argmax(1) == labels).double().mean().item()


def mean_per_class(logits: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of the fraction of their images that are right.

    Classes without an image do not count.

    Args:
        logits: [B, C].
        labels: [B], int64.

    Raises:
        InterlaceError: as ``top1``.
    """
    _check(logits, labels)
    return _mean(_recall(_counts(logits.argmax(1), labels, logits.shape[1])))


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Count images by class (row) and by answer (column).

    Args:
        logits: [B, C].
        labels: [B], int64.

    Returns:
        [C, C], int64, on the CPU.

    Raises:
        InterlaceError: as ``top1``.
    """
    _check(logits, labels)
    return _counts(logits.argmax(1), labels, logits.shape[1]).to_dense()


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Return the mean distance between confidence and accuracy over bins, weighted by their size.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, arXiv:1706.04599:
    ECE = sum_b |b| / B * |accuracy(b) - confidence(b)|, where the confidence of an answer is its
    softmax probability and bin b holds those in (b / bins, (b + 1) / bins].

    Args:
        logits: [B, C], at the temperature that is judged.
        labels: [B], int64.
        bins: number of bins over [0, 1].

    Raises:
        InterlaceError: as ``top1``.
    """
    _check(logits, labels)
    return _calibration_error(_confidence(logits), logits.argmax(1) == labels, bins)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a classifier says of B images: of their logits, all that scores need.

    Attributes:
        classes: [B], int64: the class of the greatest logit.
        confidence: [B], float64: its softmax probability.
        n_classes: C.
    """

    classes: Tensor
    confidence: Tensor
    n_classes: int

    @classmethod
    def of(cls, logits: Tensor | Iterable[Tensor]) -> "Answers":
        """Look at logits.

        Args:
            logits: [B, C], or its rows in parts, of which one is held at a time.

        Raises:
            InterlaceError: there is no image, the shapes do not fit, or a logit is not a number.
        """
        classes, confidence, n_classes = [], [], 0
        for part in [logits] if isinstance(logits, Tensor) else logits:
            _check_logits(part)
            classes.append(part.argmax(1))
            confidence.append(_confidence(part))
            n_classes = part.shape[1]
        if not sum(map(len, classes)):
            raise InterlaceError("no image to evaluate on: there must be at least one")
        return cls(torch.cat(classes), torch.cat(confidence), n_classes)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a classifier reached on a set of images; accuracies are fractions in [0, 1].

    Attributes:
        n: number of images.
        top1: fraction that is right.
        mean_per_class: mean of ``per_class`` over the classes that have images.
        ece: expected calibration error, 15 bins.
        counts: [C, C], int64, sparse, on the CPU: images by class (row) and answer (column).
        per_class: fraction right by class; None for a class without images.
        left_out: images that were not scored, because the fit had used them.
    """

    n: int
    top1: float
    mean_per_class: float
    ece: float
    counts: Tensor
    per_class: tuple[float | None, ...]
    left_out: int = 0

    @classmethod
    def from_logits(cls, logits: Tensor | Iterable[Tensor], labels: Tensor) -> "Scores":
        """Compute every score.

        Args:
            logits: [B, C], or its rows in parts, of which one is held at a time.
            labels: [B], int64.

        Raises:
            InterlaceError: as ``top1``.
        """
        return cls.from_answers(Answers.of(logits), labels)

    @classmethod
    def from_answers(cls, answers: Answers, labels: Tensor) -> "Scores":
        """Compute every score.

        Args:
            answers: What was said of B images.
            labels: [B], int64.

        Raises:
            InterlaceError: there are not as many labels, or one is that of no class.
        """
        _check_labels(labels, [*answers.classes.shape, answers.n_classes])
        right = answers.classes == labels
        counts = _counts(answers.classes, labels, answers.n_classes)
        recall = _recall(counts)
        return cls(
            n=len(labels),
            top1=right.double().mean().item(),
            mean_per_class=_mean(recall),
            ece=_calibration_error(answers.confidence, right),
            counts=counts,
            per_class=tuple(None if value != value else value for value in recall.tolist()),
        )

    @property
    def confusion(self) -> Tensor:
        """``counts`` with all its cells, [C, C], int64: of 5,000 classes they take 200 MB."""
        return self.counts.to_dense()

    def to_dict(self) -> dict[str, Any]:
        """Return all scores as plain JSON values.

        Of the confusion matrix it gives the cells that are not 0, each as class, answer and number
        of images: all cells of 5,000 classes would be 25 million.
        """
        cells = (*self.counts.indices().tolist(), self.counts.values().tolist())
        return {
            "n": self.n,
            "top1": self.top1,
            "mean_per_class": self.mean_per_class,
            "ece": self.ece,
            "confusion": [list(cell) for cell in zip(*cells, strict=True)],
            "per_class": list(self.per_class),
        }


def _confidence(logits: Tensor) -> Tensor:
    """Return the softmax probability of each answer [B], in float64, a few rows at a time."""
    rows = max(1, _AT_A_TIME // max(1, logits.shape[1]))
    return torch.cat([part.double().softmax(1).amax(1) for part in logits.split(rows)])


def _calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    index = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    # |b| cancels: the sums of a bin differ by |b| times the distance of its means
    gap = torch.zeros(bins, dtype=torch.double, device=confidence.device)
    gap.index_add_(0, index, right.double() - confidence)
    return gap.abs().sum().item() / len(right)


def _counts(answer: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Count images by class and answer: [C, C], sparse, so that it grows with the images alone."""
    cells, counts = (labels * n_classes + answer).cpu().unique(return_counts=True)
    places = torch.stack([cells // n_classes, cells % n_classes])
    shape = (n_classes, n_classes)
    # torch warns where neither answer to the question of checks is given
    return torch.sparse_coo_tensor(places, counts, shape, is_coalesced=True, check_invariants=True)


def _recall(counts: Tensor) -> Tensor:
    """Return the fraction right by class [C]; not a number for a class without images."""
    (row, column), count = counts.indices(), counts.values()
    total, right = torch.zeros(2, len(counts), dtype=torch.double)
    total.index_add_(0, row, count.double())
    right.index_add_(0, row, count.double() * (row == column))
    return right / total


def _mean(recall: Tensor) -> float:
    """Return the mean over the classes that have images."""
    return recall[~recall.isnan()].mean().item()


def _check(logits: Tensor, labels: Tensor) -> None:
    _check_labels(labels, list(logits.shape))
    _check_logits(logits)


def _check_labels(labels: Tensor, shape: list[int]) -> None:
    """See that labels fit logits of a shape."""
    if len(shape) != 2 or list(labels.shape) != shape[:1]:
        raise InterlaceError(
            f"logits of shape {shape} and labels of shape {list(labels.shape)}: "
            "must be [B, C] and [B]"
        )
    if not len(labels):
        raise InterlaceError("no image to evaluate on: there must be at least one")
    if labels.min() < 0 or labels.max() >= shape[1]:
        raise InterlaceError(
            f"labels from {int(labels.min())} to {int(labels.max())}: must lie in 0 to "
            f"{shape[1] - 1}, for {shape[1]} classes"
        )


def _check_logits(logits: Tensor) -> None:
    if logits.dim() != 2:
        raise InterlaceError(f"logits of shape {list(logits.shape)}: must be [B, C]")
    if logits.isnan().any():
        rows = int(logits.isnan().any(1).sum())
        raise InterlaceError(f"logits of {rows} of {len(logits)} images are not numbers (NaN)")
