"""Every method equals its reference numbers: features, logits, gradients, losses, a few steps."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from interlace import methods
from interlace.backbone.prompts import Prompts
from tests import golden

SPACE = {"K": "n_tokens", "dr": "dim", "J": "first_block", "alpha": "alpha", "reg": "reg"}
#: Method to its file, which of the file's settings are which arguments, and the learning rate.
CASES = {
    "mmrl": ("mmrl", SPACE, 1e-3),
    "mmrl++": ("mmrlpp", SPACE | {"beta": "beta", "rlr": "rank", "plr": "projection_rank"}, 1e-3),
    "mail": ("mail", {"rank": "rank"}, 1e-4),
}


@pytest.fixture(scope="module")
def clip():
    return golden.clip()


@pytest.fixture(scope="module")
def batch():
    arrays = golden.arrays("clip")
    return arrays["images"], Prompts(arrays["ids"]), arrays["labels"]


def build(clip, name):
    file, renamed, rate = CASES[name]
    values = golden.meta(file)
    arguments = {ours: values[theirs] for theirs, ours in renamed.items()}
    method = methods.create(name, clip, **arguments)
    method.load_state_dict(golden.arrays(file, "params/"))
    return method, file, rate


def assert_outputs(out, expected):
    assert expected, "the reference holds no outputs"
    for key, value in expected.items():
        unit = 100 if key.startswith("logits") else 1
        error = (getattr(out, key) - value).abs().max() / unit
        assert error < 2e-5, (key, error)


def test_frozen_features(clip, batch):
    images, prompts, _ = batch
    expected = golden.arrays("clip", "zero_shot/")
    found = {"image": clip.encode_image(images), "text": clip.encode_text(prompts.ids)}
    for name, features in found.items():
        error = F.normalize(features, dim=-1) - F.normalize(expected[name], dim=-1)
        assert error.abs().max() < 2e-5, name


@pytest.mark.parametrize("name", CASES)
def test_three_steps(clip, batch, name):
    images, prompts, labels = batch
    method, file, rate = build(clip, name)
    with torch.no_grad():
        assert_outputs(method(images, prompts), golden.arrays(file, "before/"))
    golden.check_three_steps(
        method, lambda: method.loss(method(images, prompts), labels), file, learning_rate=rate
    )
    with torch.no_grad():
        assert_outputs(method(images, prompts), golden.arrays(file, "after/"))


@pytest.mark.parametrize("name", ["mmrl", "mmrl++"])
def test_unseen_classes_use_the_class_features_alone(clip, batch, name):
    images, prompts, _ = batch
    method, _, _ = build(clip, name)
    with torch.no_grad():
        seen, unseen = method(images, prompts), method(images, prompts, seen=False)
    assert torch.equal(seen.logits, seen.logits_fused)
    assert torch.equal(unseen.logits, unseen.logits_class)
    assert not torch.allclose(seen.logits, unseen.logits)
