"""Zero-shot: one template, or an ensemble of several."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from interlace import methods
from interlace.backbone.prompts import Prompts
from interlace.errors import InterlaceError
from tests import models

NAMES = ("cat", "dog")


def test_an_ensemble_is_the_mean_of_normalised_features():
    clip = models.tiny()
    method = methods.create("zero_shot", clip, templates=["a {}", "one big {} here"])
    text = method.encode_text(method.prompts(NAMES, "not used {}")).features
    for row, name in zip(text, NAMES, strict=True):
        prompts = models.tokenize([f"a {name}", f"one big {name} here"])
        mean = F.normalize(clip.encode_text(prompts), dim=-1).mean(0)
        torch.testing.assert_close(row, mean)
    images = models.images(clip)
    out = method(images, list(NAMES))
    assert out.logits.shape == (3, 2)


def test_one_template_of_an_ensemble_is_that_template():
    clip = models.tiny()
    one = methods.create("zero_shot", clip, templates=["a {}"])
    plain = methods.create("zero_shot", clip)
    images = models.images(clip)
    expected = plain(images, plain.prompts(NAMES, "a {}")).logits
    assert torch.equal(one(images, one.prompts(NAMES, "b {}")).logits, expected)


def test_prompts_of_an_ensemble_must_be_whole():
    with pytest.raises(InterlaceError, match="3 prompts are not 2 for each class"):
        Prompts(models.ids(), n_templates=2)


@pytest.mark.parametrize("bad", [[], "a {}", ["a cat"], ["{} and {}"]])
def test_bad_templates(bad):
    with pytest.raises(InterlaceError, match="template"):
        methods.create("zero_shot", models.tiny(), templates=bad)
