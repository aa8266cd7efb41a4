"""CLIP-LoRA: identity at the start, its scale, and dropout in training only."""

from __future__ import annotations

import pytest
import torch

from interlace import methods
from interlace.backbone.prompts import Prompts
from interlace.errors import InterlaceError
from tests import models


def build(clip, **arguments):
    method = methods.create("clip_lora", clip, **arguments)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return method


@pytest.mark.parametrize("kind", models.SPECS)
def test_it_starts_as_the_frozen_model(kind):
    clip = models.tiny(kind)
    arguments = models.images(clip), Prompts(models.ids())
    frozen = methods.create("zero_shot", clip)(*arguments).logits
    assert torch.equal(methods.create("clip_lora", clip)(*arguments).logits, frozen)


def test_scale_is_alpha_over_the_root_of_the_rank():
    clip = models.tiny()
    method = build(clip, rank=4, alpha=3.0).eval()
    pair = method.image[1]["k"]
    change = method.edits()[0].low_rank["blocks.1.k"]
    torch.testing.assert_close(change.a @ change.b, 1.5 * pair.a @ pair.b)


def test_dropout_acts_in_training_only():
    clip = models.tiny()
    method, images = build(clip, dropout=0.5), models.images(clip)
    method.train()
    first, second = (method.encode_image(images).features for _ in range(2))
    assert not torch.allclose(first, second)
    method.eval()
    first, second = (method.encode_image(images).features for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("bad", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}])
def test_values_out_of_range(bad):
    with pytest.raises(InterlaceError, match=next(iter(bad))):
        methods.create("clip_lora", models.tiny(), **bad)
