"""The scenes that pretrain the embedded model: what their captions say holds in them."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "tools/picto"))

import batches
import captions
import contrast
import scenes

GROUPS = ("food-drink", "objects")


@pytest.fixture(scope="module")
def drawings() -> scenes.Drawings:
    rng = np.random.RandomState(0)
    rgba = np.zeros((12, 64, 64, 4), np.uint8)
    for i in range(12):
        rgba[i, 8:56, 8 + i : 56, :3] = rng.randint(0, 255, 3)
        rgba[i, 8:56, 8 + i : 56, 3] = 255
    concepts = [{"name": f"thing {i}", "group": GROUPS[i % 2], "subgroup": ("drink", "tool")[i % 2]}
                for i in range(6)]  # fmt: skip
    styles = ["noto", "twemoji", "tabler", "noto/line"] * 3
    kinds = ["redrawn" if "/" in s else "icon" if s == "tabler" else "emoji" for s in styles]
    return scenes.Drawings(rgba, np.arange(12) % 6, [f"thing {i % 6}" for i in range(12)],
                           styles, np.array(kinds), concepts)  # fmt: skip


def test_a_caption_says_only_what_holds(drawings):
    composer, rng = scenes.Composer(drawings, 3), random.Random(4)
    said_of: set[str] = set()
    for i in range(300):
        scene = composer.compose(i % 12, composer.manner(), other=(i + 1) % 12)
        assert scene.image.shape == (48, 48, 3) and scene.image.dtype == np.uint8
        text, said = captions.caption(scene.facts, rng)
        assert (
            text
            and said
            and set(said)
            <= batches.fact_set(scene.facts) | {("second", scene.facts.get("second", ""))}
        )
        said_of |= {factor for factor, _ in said}
    assert said_of >= {"name", "colour", "place", "count", "quality", "ground", "style"}


def test_what_is_fixed_is_what_is_seen(drawings):
    composer = scenes.Composer(drawings, 5)
    for value in scenes.PLACES:
        manner = composer.manner(effect=None, colour=None, background="flat", first="blue",
                                 quality="clean")  # fmt: skip
        scene = composer.compose(0, manner, "single", place=value)
        assert scene.facts["place"] == value and scene.facts["ground"] == ("blue",)
        drawn = np.abs(scene.image.astype(int) - scene.image[0, 0]).sum(-1) > 40
        if value in ("top left", "center"):
            drawn = np.abs(scene.image.astype(int) - scene.image[47, 47]).sum(-1) > 40
        rows, columns = np.nonzero(drawn)
        found = 3 * int(rows.mean() // 16) + int(columns.mean() // 16)
        assert scenes.PLACES[found] == value


def test_a_shared_aspect_is_the_same_and_has_the_same_key(drawings):
    composer = scenes.Composer(drawings, 6)
    shared: set[str] = set()
    for _ in range(60):
        first = composer.manner(effect="hatched")
        second = composer.share(first)
        a, b = (composer.compose(row, m, "single") for row, m in ((0, first), (1, second)))
        same = {k for k in a.keys if a.keys[k] == b.keys[k]}
        shared |= same
        assert ("hand" in same) == (second.hand_seed == first.hand_seed)
        assert ("ground" in same) == (second.ground_seed == first.ground_seed)
    assert shared == {"hand", "ground", "quality"}


def test_a_true_pair_is_no_negative(drawings):
    composer, rng = scenes.Composer(drawings, 7), random.Random(8)
    some = [composer.compose(i % 12, composer.manner()) for i in range(24)]
    said = [captions.caption(s.facts, rng)[1] for s in some[:12]]
    holds = batches.truth(some, said)
    assert holds.shape == (24, 12) and holds[torch.arange(12), torch.arange(12)].all()
    for i, scene in enumerate(some):
        for j, facts in enumerate(said):
            wanted = {("name" if k == "second" else k, v) for k, v in facts}
            assert bool(holds[i, j]) == (wanted <= batches.fact_set(scene.facts))
    logits = torch.full((24, 12), -5.0)
    logits[torch.arange(12), torch.arange(12)] = 0
    logits.requires_grad_()
    contrast.contrast(logits, holds).backward()
    others = ~torch.eye(24, 12, dtype=torch.bool)
    assert (holds & others).any()
    # a caption that holds for another image is pulled to it, one that does not is pushed away
    assert (logits.grad[holds & others] < 0).all() and (logits.grad[~holds] > 0).all()


def test_resized_filters_see_what_the_larger_ones_see_in_an_enlarged_image():
    weight, image = torch.randn(5, 3, 12, 12), torch.randn(2, 3, 8, 8)
    enlarged = F.interpolate(image, (12, 12), mode="bicubic")
    wanted = F.conv2d(enlarged, weight)
    torch.testing.assert_close(F.conv2d(image, contrast.resized(weight, 8)), wanted, rtol=1e-4,
                               atol=1e-4)  # fmt: skip


def test_statistics_tell_textures_apart():
    rng = np.random.RandomState(0)
    flat = np.full((1, 48, 48, 3), 90, np.uint8)
    stripes = np.tile(np.where(np.arange(48) % 8 < 4, 30, 220)[None, None, :, None], (1, 48, 1, 3))
    noise = rng.randint(0, 255, (1, 48, 48, 3))
    images = np.concatenate([flat, stripes.astype(np.uint8), noise.astype(np.uint8)])
    whole, local = batches.descriptors(images, 8)
    assert whole.shape == (3, 97) and local.shape == (3, 36, 9) and torch.isfinite(whole).all()
    assert torch.cdist(whole, whole)[~torch.eye(3, dtype=torch.bool)].min() > 0.5
    # across the stripes grey goes with itself at a period of 8, against itself at 4
    assert whole[1, -1] > 0.7 and whole[1, -3] < -0.7
