"""Classification metrics as pure functions: accuracies are fractions in [0, 1], not percent."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interlace.errors import InterlaceError


def top1(logits: Tensor, labels: Tensor) -> float:
    """Fraction of images whose greatest logit is that of their class.

    Args:
        logits: [B, C].
        labels: [B], int64.

    Raises:
        InterlaceError: The shapes do not fit, there is no image, or a logit is not a number.
    """
    _check(logits, labels)
    return (logits.argmax(1) == labels).double().mean().item()


def mean_per_class(logits: Tensor, labels: Tensor) -> float:
    """Mean over classes of the fraction of their images that are right.

    Classes without an image do not count.

    Args:
        logits: [B, C].
        labels: [B], int64.

    Raises:
        InterlaceError: As `top1`.
    """
    return _mean(_recall(confusion_matrix(logits, labels)))


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Counts images by class (row) and by answer (column).

    Args:
        logits: [B, C].
        labels: [B], int64.

    Returns:
        [C, C], int64, on the CPU.

    Raises:
        InterlaceError: As `top1`.
    """
    _check(logits, labels)
    n_classes = logits.shape[1]
    cells = labels * n_classes + logits.argmax(1)
    return cells.bincount(minlength=n_classes**2).view(n_classes, n_classes).cpu()


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins of equal width, weighted by size.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, arXiv:1706.04599:
    ECE = sum_b |b| / B * |accuracy(b) - confidence(b)|, where the confidence of an answer is its
    softmax probability and bin b holds those in (b / bins, (b + 1) / bins].

    Args:
        logits: [B, C], at the temperature that is judged.
        labels: [B], int64.
        bins: Number of bins over [0, 1].

    Raises:
        InterlaceError: As `top1`.
    """
    _check(logits, labels)
    confidence, answer = logits.double().softmax(1).max(1)
    right = (answer == labels).double()
    index = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    # |b| cancels: the sums of a bin differ by |b| times the distance of its means
    gap = torch.zeros(bins, dtype=torch.double, device=logits.device)
    gap.index_add_(0, index, right - confidence)
    return gap.abs().sum().item() / len(labels)


def harmonic_mean(base: float, novel: float) -> float:
    """Harmonic mean of the base and the novel accuracy: 0 if either is 0.

    Over several seeds the field's HM is that of the two averages, not the average of the HMs.
    """
    return 2 * base * novel / (base + novel) if base and novel else 0.0


@dataclass(frozen=True, eq=False)
class Scores:
    """What a classifier reached on a set of images; accuracies are fractions in [0, 1].

    Attributes:
        n: Number of images.
        top1: Fraction that is right.
        mean_per_class: Mean of `per_class` over the classes that have images.
        ece: Expected calibration error, 15 bins.
        confusion: [C, C], int64: images by class (row) and answer (column).
        per_class: Fraction right by class; None for a class without images.
        left_out: Images that were not scored, because the fit had used them.
    """

    n: int
    top1: float
    mean_per_class: float
    ece: float
    confusion: Tensor
    per_class: tuple[float | None, ...]
    left_out: int = 0

    @classmethod
    def from_logits(cls, logits: Tensor, labels: Tensor) -> "Scores":
        """Computes every score.

        Args:
            logits: [B, C].
            labels: [B], int64.

        Raises:
            InterlaceError: As `top1`.
        """
        confusion = confusion_matrix(logits, labels)
        recall = _recall(confusion)
        return cls(
            n=len(labels),
            top1=top1(logits, labels),
            mean_per_class=_mean(recall),
            ece=expected_calibration_error(logits, labels),
            confusion=confusion,
            per_class=tuple(None if value != value else value for value in recall.tolist()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives all scores as plain JSON values.

        Of the confusion matrix it gives the cells that are not 0, each as class, answer and number
        of images: all cells of 5,000 classes would be 25 million.
        """
        cells = self.confusion.nonzero()
        return {
            "n": self.n,
            "top1": self.top1,
            "mean_per_class": self.mean_per_class,
            "ece": self.ece,
            "confusion": [
                [row, column, count]
                for (row, column), count in zip(
                    cells.tolist(), self.confusion[tuple(cells.T)].tolist(), strict=True
                )
            ],
            "per_class": list(self.per_class),
        }


def _recall(confusion: Tensor) -> Tensor:
    """Fraction right by class [C]; not a number for a class without images."""
    return confusion.diagonal().double() / confusion.sum(1).double()


def _mean(recall: Tensor) -> float:
    """Mean over the classes that have images."""
    return recall[~recall.isnan()].mean().item()


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.dim() != 2 or labels.shape != logits.shape[:1]:
        raise InterlaceError(
            f"logits of shape {list(logits.shape)} and labels of shape {list(labels.shape)}: "
            "must be [B, C] and [B]"
        )
    if not len(labels):
        raise InterlaceError("no image to evaluate on: there must be at least one")
    if logits.isnan().any():
        rows = int(logits.isnan().any(1).sum())
        raise InterlaceError(f"logits of {rows} of {len(labels)} images are not numbers (NaN)")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise InterlaceError(
            f"labels from {int(labels.min())} to {int(labels.max())}: must lie in 0 to "
            f"{logits.shape[1] - 1}, for {logits.shape[1]} classes"
        )
