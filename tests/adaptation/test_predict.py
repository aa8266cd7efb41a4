"""Answers for images: rankings and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import interlace


@pytest.fixture(scope="module")
def adapted():
    task = interlace.FewShotTask.load("picto/food-drink", shots=1, seed=1)
    return interlace.fit("picto", task, "zero_shot", device="cpu")


@pytest.fixture(scope="module")
def images():
    task = interlace.FewShotTask.load("picto/food-drink", shots=1, seed=1)
    return [record.image for record in task.test[:7]]


def test_probabilities_stand_in_the_order_of_images_and_classes(adapted, images):
    found = adapted.predict_proba(images)
    assert found.shape == (7, len(adapted.classes))
    assert found.dtype == torch.float32 and found.device.type == "cpu"
    torch.testing.assert_close(found.sum(dim=1), torch.ones(7))
    for row, prediction in zip(found, adapted.predict(images, top=3), strict=True):
        assert adapted.classes[int(row.argmax())] == prediction.label
        by_name = dict(zip(adapted.classes, row.tolist(), strict=True))
        for name, probability in prediction.ranking:
            assert by_name[name] == probability


def test_they_follow_other_classes(images):
    task = interlace.FewShotTask.load("picto/food-drink", shots=1, seed=1)
    own = interlace.fit("picto", task, "zero_shot", device="cpu")
    before = own.predict_proba(images)
    own.set_classes(own.classes[::-1])
    torch.testing.assert_close(own.predict_proba(images), before.flip(1))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_batch_size_changes_no_answer(adapted, images, batch_size):
    torch.testing.assert_close(
        adapted.predict_proba(images, batch_size=batch_size), adapted.predict_proba(images)
    )
    labels = [p.label for p in adapted.predict(images, batch_size=batch_size)]
    assert labels == [p.label for p in adapted.predict(images)]


def test_without_images_there_are_no_rows(adapted):
    assert adapted.predict_proba([]).shape == (0, len(adapted.classes))
    assert adapted.predict([]) == []


@pytest.mark.parametrize("call", ["predict", "predict_proba"])
def test_what_cannot_be_answered_is_refused(adapted, images, call):
    answer = getattr(adapted, call)
    for alone in (images[0], "image.png", Image.new("RGB", (8, 8)), iter(images)):
        with pytest.raises(interlace.InterlaceError, match="expected a list of images"):
            answer(alone)
    with pytest.raises(interlace.InterlaceError, match="^batch size = 0: must be 1 or more"):
        answer(images, batch_size=0)


@pytest.mark.parametrize("thing", [np.zeros((9, 9, 3), np.uint8), torch.zeros(3, 9, 9), None, 3])
def test_what_is_no_image_is_one_short_line(adapted, images, thing):
    with pytest.raises(interlace.InterlaceError) as caught:
        adapted.predict([*images[:2], thing], batch_size=1)
    assert str(caught.value).startswith(f"image 2: a {type(thing).__name__}, not a path, encoded ")
    assert len(str(caught.value)) < 120


def test_a_ranking_has_at_least_one_class(adapted, images):
    with pytest.raises(interlace.InterlaceError, match="^top = 0: must be 1 or more"):
        adapted.predict(images, top=0)


def test_former_names_stay(adapted):
    assert adapted.shots is adapted.used.digests and adapted.shots
    assert interlace.Adapted is interlace.AdaptedModel
    from interlace.adaptation.model import Prediction

    assert Prediction is interlace.Prediction
