"""The contract: every method, on every kind of backbone, keeps every promise.

Rows come from the registry, so a new method is held to all of this without being named here.
"""

from __future__ import annotations

import pytest
import torch

from interlace import methods
from interlace.adaptation.model import AdaptedModel
from interlace.backbone.prompts import Prompts
from interlace.backbone.spec import VIT_B_16
from interlace.config import RunConfig, method_defaults
from interlace.errors import InterlaceError
from tests import models
from tests.methods import toy

SMALL = {"n_tokens": 2, "dim": 8, "rank": 2, "projection_rank": 2, "heads": 2}
ROWS = [(name, kind) for name in methods.available() for kind in models.SPECS]
assert toy.Toy.key in methods.available()
TRAINED = [row for row in ROWS if method_defaults(row[0]).train.get("epochs") != 0]


def fresh(name, clip, seed=0):
    small = {k: v for k, v in SMALL.items() if k in methods.parameters(name)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return methods.create(name, clip, **small)


def build(name, clip, seed=0):
    """A method as it is when training begins."""
    method = fresh(name, clip, seed)
    if type(method).init_from_shots is not methods.Method.init_from_shots:
        with torch.no_grad():
            image, text = clip.image(models.images(clip)), clip.text(models.ids())
        method.init_from_shots(image, torch.tensor([0, 1, 2]), text)
    return method


def step(method, clip, steps=1, lr=1e-2):
    prompts, labels = Prompts(models.ids()), torch.tensor([0, 1, 2])
    optimizer = torch.optim.AdamW(method.parameters(), lr=lr)
    losses = []
    torch.manual_seed(0)  # of dropout, where a method has it
    for _ in range(steps):
        loss = method.loss(method(models.images(clip), prompts), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_shapes_and_normalised_features(name, kind):
    clip = models.tiny(kind)
    out = build(name, clip)(models.images(clip, 2), Prompts(models.ids()))
    assert out.logits.shape == (2, 3)
    assert out.image_features.shape == (2, clip.spec.embed_dim)
    for features in (out.image_features, out.text_features):
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(features.shape[:-1]))


@pytest.mark.parametrize(("name", "kind"), TRAINED)
def test_training_changes_every_own_parameter_and_nothing_else(name, kind):
    clip = models.tiny(kind)
    before = clip.fingerprint()
    method = build(name, clip)
    names = {n for n, _ in method.named_parameters()}
    assert names and names <= set(method.state_dict())
    assert not set(method.state_dict()) & set(clip.state_dict())
    start = {n: p.clone() for n, p in method.named_parameters()}
    losses = step(method, clip, steps=8)
    for parameter_name, parameter in method.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name
        assert not torch.equal(parameter, start[parameter_name]), parameter_name
    assert losses[-1] < losses[0]
    assert clip.fingerprint() == before
    assert all(p.grad is None for p in clip.parameters())


@pytest.mark.parametrize(("name", "kind"), TRAINED)
def test_shortcuts_change_neither_loss_nor_gradients(name, kind):
    clip = models.tiny(kind)
    method = build(name, clip)
    step(method, clip, steps=2)  # away from the start, where many gradients are zero
    method.eval()  # dropout draws other numbers for other shapes
    # in float32 the machine decides how far two orders of a sum lie apart in a small loss
    clip.double(), method.double()
    images, labels = models.images(clip).double(), torch.tensor([0, 1, 2])
    found = []
    for shortcuts in (False, True, "prefix"):
        method.shortcuts, prompts = bool(shortcuts), Prompts(models.ids())
        if shortcuts == "prefix":
            prompts, images = method.run_prompt_prefix(prompts), method.run_image_prefix(images)
        loss = method.loss(method(images, prompts), labels)
        gradients = torch.autograd.grad(loss, list(method.parameters()))
        found.append((loss.detach(), torch.cat([g.flatten() for g in gradients])))
    for loss, gradient in found[1:]:
        assert (loss - found[0][0]).abs() <= 1e-10 * found[0][0].abs()
        assert (gradient - found[0][1]).norm() <= 1e-10 * found[0][1].norm()


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_saved_tensors_restore_the_method(name, kind):
    clip = models.tiny(kind)
    first, second = build(name, clip, seed=0), fresh(name, clip, seed=1)
    if list(first.parameters()):
        step(first, clip, steps=2)
    second.load_state_dict(first.state_dict())
    first.eval(), second.eval()
    arguments = models.images(clip), Prompts(models.ids())
    with torch.no_grad():
        assert torch.equal(first(*arguments).logits, second(*arguments).logits)


@pytest.mark.parametrize(("name", "kind"), TRAINED)
def test_same_seed_same_losses(name, kind):
    clip = models.tiny(kind)
    first, again, other = (build(name, clip, seed) for seed in (0, 0, 1))
    starts = [torch.cat([p.flatten() for p in m.parameters()]) for m in (first, other)]
    losses = step(first, clip, 3)
    assert step(again, clip, 3) == losses
    if not torch.equal(*starts):  # some start from the shots or the texts alone
        assert step(other, clip, 3) != losses


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_bfloat16_autocast_stays_finite_and_near(name, kind):
    clip = models.tiny(kind)
    method, arguments = build(name, clip), (models.images(clip), Prompts(models.ids()))
    with torch.no_grad():
        exact = method(*arguments).logits
        with torch.autocast("cpu", torch.bfloat16):
            rough = method(*arguments).logits
    assert rough.isfinite().all()
    assert (rough.float() - exact).abs().max() < 0.1 * clip.scale


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_novel_classes_and_no_stale_text_features(name, kind):
    clip = models.tiny(kind)
    method = build(name, clip)
    classes = ("cat", "dog", "owl")
    adapted = AdaptedModel(method, classes, "a {}", trained_classes=classes, config=RunConfig(name))
    batch = [(models.images(clip), torch.tensor([0, 1, 2]))]
    before = adapted.logits(batch)[0]
    if list(method.parameters()):
        method.train()
        step(method, clip, steps=3)
        assert not torch.equal(adapted.logits(batch)[0], before)
    assert adapted.seen
    if method.fixed_classes:
        with pytest.raises(InterlaceError, match=f"{name} answers only for the 3 classes"):
            adapted.set_classes(["eel", "cat"])
        return
    adapted.set_classes(["eel", "cat"])
    assert not adapted.seen
    assert adapted.logits(batch)[0].shape == (3, 2)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("zero_shot", 0),
        ("mmrl", 4_992_256),
        ("mmrl++", 813_312),
        ("clip_lora", 184_320),
        # 48 block sites, ln_final and projection, both projection matrices
        ("mail", 2_088_960 + 78_336 + 655_360),
    ],
)
def test_trainable_parameters_at_vit_b_16(name, count):
    assert methods.count_parameters(name, VIT_B_16) == count
