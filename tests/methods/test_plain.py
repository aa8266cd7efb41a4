"""Tower methods without given reference numbers equal a plain definition of their own.

Features, logits, loss and the gradient of every parameter; :mod:`tests.methods.test_golden` has the
methods whose numbers are given.
"""

from __future__ import annotations

import pytest
import torch

from interlace import methods
from interlace.backbone.prompts import Prompts
from tests import models
from tests.methods.plain import definitions as plain
from tests.methods.plain.clip import PlainCLIP, cross_entropy

TEMPLATE = "a photo of a {}."
NAMES = ("red fox", "very large grey owl", "eel")
#: Method to its definition, the arguments of both, and the prompt that the definition reads.
CASES = {
    "mail++": (plain.PlainMAILPlusPlus, {"rank": 3, "dim": 7}, TEMPLATE),
    "mail": (plain.PlainMAIL, {"rank": 16, "train_projections": False}, TEMPLATE),
    "clip_lora": (plain.PlainCLIPLoRA, {"rank": 3, "alpha": 2.0, "dropout": 0.0}, TEMPLATE),
    "coop": (plain.PlainCoOp, {"n_tokens": 3, "init": None}, "{}."),
    "maple": (plain.PlainMaPLe, {"n_tokens": 2, "depth": 2}, TEMPLATE),
}


def texts(template):
    """Ids of each prompt up to its end-of-text, which is the largest."""
    rows = models.tokenize([template.replace("{}", name) for name in NAMES])
    return [row[: int(row.argmax()) + 1] for row in rows]


def randomised(method):
    """Away from the start, where bridges and low-rank changes are zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return method


@pytest.mark.parametrize("kind", ["clip", "unequal"])
def test_the_plain_model_is_the_frozen_model(kind):
    clip = models.tiny(kind).double()
    images, ids = models.images(clip).double(), models.tokenize([f"a {name}" for name in NAMES])
    out = methods.create("zero_shot", clip)(images, Prompts(ids))
    rows = [row[: int(row.argmax()) + 1] for row in ids]
    found = PlainCLIP(clip)(images, rows)
    for ours, theirs in zip(
        (out.image_features, out.text_features, out.logits), found, strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "of_gradients"),
    [(torch.float32, 1e-5, 1e-4), (torch.float64, 1e-9, 1e-9)],
    ids=["float32", "float64"],
)
@pytest.mark.parametrize("kind", ["clip", "unequal"])
@pytest.mark.parametrize("name", CASES)
def test_features_logits_loss_and_gradients(name, kind, dtype, tolerance, of_gradients):
    definition, arguments, template = CASES[name]
    clip = models.tiny(kind)
    method = randomised(methods.create(name, clip, **arguments))
    clip.to(dtype), method.to(dtype)
    images, labels = models.images(clip).to(dtype), torch.tensor([0, 1, 2])
    out = method(images, method.prompts(NAMES, TEMPLATE))
    loss = method.loss(out, labels)
    gradients = torch.autograd.grad(loss, list(method.parameters()))

    own = {n: p.detach().clone().requires_grad_() for n, p in method.named_parameters()}
    image, text, logits = definition(clip, own, **arguments)(images, texts(template))
    expected_loss = cross_entropy(logits, labels)
    expected = torch.autograd.grad(expected_loss, list(own.values()))

    torch.testing.assert_close(out.image_features, image, atol=tolerance, rtol=0)
    torch.testing.assert_close(out.text_features, text, atol=tolerance, rtol=0)
    torch.testing.assert_close(out.logits / 100, logits / 100, atol=tolerance, rtol=0)
    torch.testing.assert_close(loss, expected_loss, atol=tolerance, rtol=tolerance)
    for key, mine, theirs in zip(own, gradients, expected, strict=True):
        assert theirs.norm() > 0, f"{key}: a gradient of zero agrees with anything"
        assert (mine - theirs).norm() <= of_gradients * theirs.norm(), key
