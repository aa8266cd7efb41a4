import math

import pytest
import torch
from torch import Tensor

from interlace.errors import InterlaceError
from interlace.evaluation.classification import (
    Scores,
    confusion_matrix,
    expected_calibration_error,
    mean_per_class,
    top1,
)
from interlace.evaluation.statistics import harmonic_mean

# answers 0 0 1 2 2 for images of the classes 0 0 0 1 2; class 3 has none
LOGITS = torch.tensor(
    [[5, 1, 0, 0], [3, 2, 1, 0], [0, 4, 1, 0], [0, 1, 2, 0], [1, 0, 9, 0]], dtype=torch.float32
)
LABELS = torch.tensor([0, 0, 0, 1, 2])


def test_hand_worked_scores() -> None:
    assert top1(LOGITS, LABELS) == pytest.approx(3 / 5)
    assert mean_per_class(LOGITS, LABELS) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert confusion_matrix(LOGITS, LABELS).tolist() == [
        [2, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]


def logits_of(confidences: list[float]) -> Tensor:
    """Logits of two classes, whose answer is class 0 with these probabilities."""
    return torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences])


def test_calibration_error_by_hand() -> None:
    # bins of width 0.2: 0.7 and 0.75 share one, 0.9 is alone
    logits, labels = logits_of([0.7, 0.75, 0.9]), torch.tensor([0, 1, 0])
    expected = (2 * abs(0.5 - 0.725) + 1 * abs(1 - 0.9)) / 3
    assert expected_calibration_error(logits, labels, bins=5) == pytest.approx(expected, abs=1e-6)


def test_a_sure_and_right_classifier_is_calibrated() -> None:
    logits = 100 * torch.eye(3)
    assert expected_calibration_error(logits, torch.arange(3)) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(logits, torch.tensor([1, 2, 0])) == pytest.approx(1, abs=1e-6)


def test_harmonic_mean_of_the_published_averages() -> None:
    assert harmonic_mean(69.34, 74.22) == pytest.approx(71.70, abs=0.005)
    assert harmonic_mean(85.68, 77.16) == pytest.approx(81.20, abs=0.005)
    assert harmonic_mean(0.0, 0.5) == harmonic_mean(0.5, 0.0) == harmonic_mean(0, 0) == 0


def test_scores_hold_all_of_it() -> None:
    scores = Scores.from_logits(LOGITS, LABELS)
    assert (scores.n, scores.top1) == (5, pytest.approx(0.6))
    assert scores.per_class == (pytest.approx(2 / 3), 0.0, 1.0, None)
    assert scores.mean_per_class == pytest.approx(5 / 9)
    assert scores.confusion.sum().item() == 5
    values = scores.to_dict()
    assert values["confusion"][:2] == [[0, 0, 2], [0, 1, 1]]
    assert sum(count for *_, count in values["confusion"]) == 5
    assert values["per_class"][3] is None
    assert values["ece"] == expected_calibration_error(LOGITS, LABELS)


def test_low_precision_logits() -> None:
    scores = Scores.from_logits(LOGITS.bfloat16(), LABELS)
    assert scores.top1 == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), "no image to evaluate"),
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.long), r"\[2, 3\] and labels .* \[3\]"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.long), r"must be \[B, C\]"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "labels from 0 to 3: must lie in 0 to 2"),
        (torch.tensor([[0.0, math.nan]]), torch.tensor([0]), "1 of 1 images are not numbers"),
    ],
)
def test_what_cannot_be_scored(logits: Tensor, labels: Tensor, message: str) -> None:
    for metric in (top1, mean_per_class, confusion_matrix, expected_calibration_error):
        with pytest.raises(InterlaceError, match=message):
            metric(logits, labels)
