"""CLIP-Adapter, Tip-Adapter and linear probe: their formulas, and what is chosen on what."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from interlace import methods
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from tests import models

E = 20


def output(*shape, seed):
    return TowerOutput(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


IMAGE, TEXT, SHOTS = output(5, E, seed=0), output(3, E, seed=1), output(6, E, seed=2)
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def zero_shot_logits(clip):
    cosine = F.normalize(IMAGE.features, dim=-1) @ F.normalize(TEXT.features, dim=-1).T
    return clip.scale * cosine


def test_clip_adapter():
    clip = models.tiny()
    method = methods.create("clip_adapter", clip, reduction=4, ratio=0.3)
    first, second = method.adapter[0].weight, method.adapter[2].weight
    assert first.shape == (5, E)
    adapted = ((IMAGE.features @ first.T).relu() @ second.T).relu()
    blended = F.normalize(0.3 * adapted + 0.7 * IMAGE.features, dim=-1)
    expected = clip.scale * blended @ F.normalize(TEXT.features, dim=-1).T
    torch.testing.assert_close(method.score(IMAGE, TEXT).logits, expected)
    nothing = methods.create("clip_adapter", clip, ratio=0.0)
    torch.testing.assert_close(nothing.score(IMAGE, TEXT).logits, zero_shot_logits(clip))


@pytest.mark.parametrize("name", ["tip_adapter", "tip_adapter_f"])
def test_tip_adapter(name):
    clip = models.tiny()
    method = methods.create(name, clip, alpha=2.0, beta=3.0)
    method.init_from_shots(SHOTS, LABELS, TEXT)
    affinity = F.normalize(IMAGE.features, dim=-1) @ F.normalize(SHOTS.features, dim=-1).T
    votes = (-3.0 * (1 - affinity)).exp() @ F.one_hot(LABELS, 3).float()
    expected = zero_shot_logits(clip) + 2.0 * votes
    torch.testing.assert_close(method.score(IMAGE, TEXT).logits, expected)


def test_tip_adapter_is_tuned_on_the_images_it_is_given():
    clip = models.tiny()
    method = methods.create("tip_adapter", clip)
    method.init_from_shots(SHOTS, LABELS, TEXT)
    # the votes know the shots, zero-shot does not: a large alpha is right
    same_text = TowerOutput(torch.ones(3, E))
    method.tune_on_validation(SHOTS, LABELS, same_text)
    assert method.score(SHOTS, same_text).logits.argmax(-1).eq(LABELS).all()
    assert method.weights[0] > 0
    # zero-shot is right alone: of equals the smallest alpha is taken
    answers = zero_shot_logits(clip).argmax(-1)
    method.tune_on_validation(IMAGE, answers, TEXT)
    assert method.weights[0] == 0


def test_tip_adapter_needs_shots():
    with pytest.raises(InterlaceError, match="no shots yet"):
        methods.create("tip_adapter", models.tiny()).score(IMAGE, TEXT)


def test_linear_probe_starts_as_zero_shot_and_is_tied_to_its_classes():
    clip = models.tiny()
    method = methods.create("linear_probe", clip)
    method.init_from_shots(SHOTS, LABELS, TEXT)
    torch.testing.assert_close(method.score(IMAGE, TEXT).logits, zero_shot_logits(clip))
    with pytest.raises(InterlaceError, match="fitted on 3 classes, not 4"):
        method.score(IMAGE, output(4, E, seed=5))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("clip_adapter", {"reduction": 0}), ("clip_adapter", {"ratio": 1.5})]
    + [("tip_adapter", {"alpha": -1.0}), ("tip_adapter_f", {"beta": 0.0})],
)
def test_values_out_of_range(name, arguments):
    with pytest.raises(InterlaceError, match=next(iter(arguments))):
        methods.create(name, models.tiny(), **arguments)
