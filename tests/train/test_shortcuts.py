"""What a fit does once, in parts or not at all, with the result of doing it all every time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import interlace
from interlace import methods
from interlace.backbone.prompts import Prompts
from interlace.train import memory
from tests import models
from tests.methods.test_contract import fresh
from tests.train.test_fit import SETTINGS, fit, folder, task  # noqa: F401  (fixtures)

FIXED = {"crop_scale": 1, "flip": False}
TOWER = {"rank": 2, "n_tokens": 2, "dim": 8, "projection_rank": 2}


def settings(method):
    own = {k: v for k, v in TOWER.items() if k in methods.parameters(method)}
    return {"epochs": 3, "batch_size": 4, "lr": 1e-3, "optimizer": "adamw"} | own


@pytest.mark.parametrize("method", ["mmrl", "mmrl++", "mail", "mail++", "maple", "coop"])
@pytest.mark.parametrize("augmentation", [{}, FIXED], ids=["augmented", "fixed"])
def test_a_fit_ends_where_the_plain_one_ends(task, method, augmentation):  # noqa: F811
    fast, plain = (
        interlace.fit(models.tiny(), task, method, shortcuts=on, **settings(method), **augmentation)
        for on in (True, False)
    )
    for ours, reference in zip(fast.history, plain.history, strict=True):
        assert ours["loss"] == pytest.approx(reference["loss"], rel=1e-4)
    batch = [(models.images(fast.clip), torch.tensor([0, 1, 2]))]
    ours, reference = (adapted.logits(batch)[0] for adapted in (fast, plain))
    assert (ours - reference).abs().max() < 0.01 * reference.std()


def calls(clip, tower, block):
    """Sizes of the batches that go through a block, as they come."""
    seen = []
    part = getattr(clip, tower).blocks[block]
    part.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    return seen


def test_blocks_that_are_not_edited_run_once_for_what_does_not_change(task):  # noqa: F811
    clip = models.tiny()
    frozen, edited = calls(clip, "image", 0), calls(clip, "image", 3)
    texts, edited_texts = calls(clip, "text", 0), calls(clip, "text", 3)
    given = {**SETTINGS, "first_block": 3, "epochs": 4}
    interlace.fit(clip, replace(task, val=()), "mmrl++", **given, **FIXED)
    steps = 4 * len(task.train) // 4
    # one and two images for the memory estimate, and the shots once
    assert sum(frozen) == 1 + 2 + len(task.train)
    # the teacher's pass over the shots, the estimate, and every step
    assert len(edited) == 1 + 2 + steps
    assert len(texts) == 1
    assert len(edited_texts) == 1 + 1 + steps


def test_validation_images_run_through_frozen_blocks_once(task):  # noqa: F811
    clip = models.tiny()
    frozen = calls(clip, "image", 0)
    given = {**SETTINGS, "first_block": 3, "epochs": 3, "select": "best"}
    best = interlace.fit(clip, task, "mmrl++", **given, **FIXED)
    assert sum(frozen) == 1 + 2 + len(task.train) + len(task.val)
    plain = interlace.fit(models.tiny(), task, "mmrl++", shortcuts=False, **given, **FIXED)
    rows = zip(best.history, plain.history, strict=True)
    assert all(a["validation_accuracy"] == b["validation_accuracy"] for a, b in rows)


def test_augmented_images_run_through_all_blocks(task):  # noqa: F811
    clip = models.tiny()
    frozen = calls(clip, "image", 0)
    interlace.fit(clip, replace(task, val=()), "mmrl++", **{**SETTINGS, "epochs": 2})
    assert sum(frozen) == 1 + 2 + 2 * len(task.train)


@pytest.mark.parametrize(("reg", "alpha"), [(0.0, 0.7), (0.2, 1.0)])
def test_a_weight_of_zero_computes_nothing(reg, alpha):
    clip = models.tiny()
    images, last = calls(clip, "image", 3), []
    clip.image.blocks[3].register_forward_hook(lambda m, i, o: last.append(o.shape[1]))
    method = methods.create(
        "mmrl", clip, n_tokens=2, dim=8, first_block=2, alpha=alpha, reg=reg
    ).train()
    out = method(models.images(clip), Prompts(models.ids()))
    method.loss(out, torch.tensor([0, 1, 2])).backward()
    assert len(images) == (1 if reg == 0 else 2)  # no pass of the frozen model
    assert last[0] == (1 if alpha == 1 else 3)  # no pass of the tokens through the last block
    assert (out.logits_rep is None) == (alpha == 1)


def prefix(method, names=40):
    texts = [f"a photo of a thing {chr(97 + i % 26)}{' more' * (i % 3)}" for i in range(names)]
    return method.run_prompt_prefix(Prompts(models.ids(texts)))


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("name", ["mmrl++", "mail"])
def test_the_estimate_is_what_a_step_keeps(kind, name):
    clip = models.tiny(kind)
    method = fresh(name, clip).train()
    prompts = prefix(method)
    plan = memory.plan(method, 6, prompts)
    assert plan.chunk is None
    texts = memory.kept_for_gradient(lambda: method.encode_text(prompts), method)
    images = memory.kept_for_gradient(lambda: method.encode_image(models.images(clip, 6)), method)
    assert plan.texts == pytest.approx(texts, rel=0.3)
    assert plan.images == pytest.approx(images, rel=0.3)
    assert "40 texts" in plan.describe() and "at a time" not in plan.describe()


@pytest.mark.parametrize("kind", models.SPECS)
def test_texts_go_in_parts_where_memory_is_short(kind, monkeypatch):
    clip = models.tiny(kind)
    method = fresh("mail", clip).train()
    prompts = prefix(method)
    whole = memory.plan(method, 1, prompts)
    monkeypatch.setattr(memory, "available", lambda device: (whole.images + whole.texts // 3) / 0.7)
    plan = memory.plan(method, 1, prompts)
    assert plan.chunk is not None and plan.chunk <= len(prompts.ids) // 3
    assert f"texts go {plan.chunk} at a time" in plan.describe()
    parts = replace(prompts, prefix=replace(prompts.prefix, chunk=plan.chunk))
    kept = [
        memory.kept_for_gradient(lambda p=p: method.encode_text(p), method)
        for p in (prompts, parts)
    ]
    assert kept[1] < kept[0] / 3
    found = []
    for given in (prompts, parts):
        out = method(models.images(clip), given)
        loss = method.loss(out, torch.tensor([0, 1, 2]))
        found.append((loss, *torch.autograd.grad(loss, list(method.parameters()))))
    for ours, reference in zip(*found, strict=True):
        assert (ours - reference).norm() <= 1e-5 * reference.norm() + 1e-7


def test_a_fit_says_what_it_needs_and_learns_the_same_in_parts(task, monkeypatch):  # noqa: F811
    plans = []
    whole = fit(task, planned=plans.append, epochs=2)
    monkeypatch.setattr(memory, "available", lambda device: plans[0].texts)
    parts = fit(task, planned=plans.append, epochs=2)
    assert [plan.chunk for plan in plans] == [None, 1]
    assert "lower batch_size" in plans[1].describe()
    for ours, reference in zip(parts.history, whole.history, strict=True):
        assert ours["loss"] == pytest.approx(reference["loss"], rel=1e-4)


def test_dropout_is_drawn_alike_in_parts_that_are_computed_twice():
    clip = models.tiny()
    method = fresh("clip_lora", clip).train()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1)
    prompts = prefix(method)
    parts = replace(prompts, prefix=replace(prompts.prefix, chunk=7))
    torch.manual_seed(0)
    first = method.encode_text(parts).features.square().sum()
    ours = torch.autograd.grad(first, list(method.parameters()), allow_unused=True)
    torch.manual_seed(0)
    again = (
        torch.cat([clip.text(part, method.edits()[1]).features for part in parts.prefix.parts()])
        .square()
        .sum()
    )
    reference = torch.autograd.grad(again, list(method.parameters()), allow_unused=True)
    for a, b in zip(ours, reference, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


def test_the_free_memory_of_this_machine():
    assert 2**20 < memory.available(torch.device("cpu")) < 2**50
