"""CoOp and MaPLe: their tokens against a towers' pass written out by hand."""

from __future__ import annotations

import pytest
import torch

from interlace import methods
from interlace.backbone.edits import NO_BLOCK_EDIT
from interlace.backbone.layers import attend, attend_causally
from interlace.backbone.prompts import Prompts
from interlace.backbone.spec import VIT_B_16
from interlace.errors import InterlaceError
from tests import models


def text_by_hand(clip, ids, per_block):
    """Text features of ids whose places after the first are taken by tokens, block by block."""
    tower = clip.text
    count = per_block[0].shape[0]
    at = tower.insert_at
    words = tower.table(ids)
    words[:, at : at + count] = per_block[0]
    x = words + tower.positions[: ids.shape[1]]
    for i, block in enumerate(tower.blocks):
        if 0 < i < len(per_block):
            x = x.clone()
            x[:, at : at + count] = per_block[i]
        x = block(x, NO_BLOCK_EDIT, attend_causally if tower.causal else attend)
    x = tower.ln_final(x)[torch.arange(len(ids)), tower.read_position(ids)]
    return x @ tower.projection + (0 if tower.projection_bias is None else tower.projection_bias)


def with_places(clip, ids, count):
    """The ids with ``count`` zeros after the first token, as long as the context."""
    at = clip.text.insert_at
    rest = ids[:, at : ids.shape[1] - count]
    return torch.cat([ids[:, :at], torch.zeros(len(ids), count, dtype=torch.long), rest], dim=1)


@pytest.mark.parametrize("kind", models.SPECS)
def test_coop_s_context_stands_where_words_would(kind):
    clip = models.tiny(kind)
    method = methods.create("coop", clip, n_tokens=3, init=None)
    with torch.no_grad():
        method.context.copy_(torch.randn(method.context.shape))
    expected = text_by_hand(clip, with_places(clip, models.ids(), 3), [method.context])
    found = method.encode_text(Prompts(models.ids())).features
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert method.edits()[0] is None


def test_coop_can_start_from_the_words_of_the_template():
    clip = models.with_tokenizer()
    method = methods.create("coop", clip, n_tokens=None, init="a photo of a")
    assert method.context.shape == (4, clip.text.width)
    names = ["red fox", "eel"]
    start = method.encode_text(method.prompts(names, "a photo of a {}.")).features
    expected = clip.encode_text(clip.prompts(names, "a photo of a {}.").ids)
    torch.testing.assert_close(start, expected)
    for bad, message in (
        ({"n_tokens": 3, "init": "a photo of a"}, "'a photo of a' has 4 tokens"),
        ({"n_tokens": None, "init": None}, "give a number"),
    ):
        with pytest.raises(InterlaceError, match=message):
            methods.create("coop", clip, **bad)
    clip.tokenizer = None
    with pytest.raises(InterlaceError, match="without a tokenizer"):
        methods.create("coop", clip, n_tokens=None, init="a photo of a")


@pytest.mark.parametrize("kind", models.SPECS)
def test_maple_s_tokens_are_refreshed_and_then_run_on(kind):
    clip = models.tiny(kind)
    method = methods.create("maple", clip, n_tokens=2, depth=2)
    with torch.no_grad():
        method.text_tokens.copy_(torch.randn(method.text_tokens.shape))
    ids = with_places(clip, models.ids(), 2)
    expected = text_by_hand(clip, ids, list(method.text_tokens))
    found = method.encode_text(Prompts(models.ids())).features
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", models.SPECS)
def test_maple_s_image_tokens_may_stand_anywhere(kind):
    """The released code appends them after the patches; attention gives the same features."""
    clip = models.tiny(kind)
    method = methods.create("maple", clip, n_tokens=2, depth=2)
    tower, images = clip.image, models.images(clip)
    tokens = [linear(t) for linear, t in zip(method.to_image, method.text_tokens, strict=True)]
    x = tower.patch(images).flatten(2).transpose(1, 2)
    if tower.class_token is not None:
        x = torch.cat([tower.class_token.expand(len(x), 1, -1), x], dim=1)
    x = torch.cat([x + tower.positions, tokens[0].expand(len(x), -1, -1)], dim=1)
    if tower.ln_pre is not None:
        x = tower.ln_pre(x)
    for i, block in enumerate(tower.blocks):
        if 0 < i < len(tokens):
            x = torch.cat([x[:, :-2], tokens[i].expand(len(x), -1, -1)], dim=1)
        x = block(x, NO_BLOCK_EDIT, attend)
    expected = tower.project(tower.pool_positions(tower.ln_final(x)[:, :-2], None, 0))
    torch.testing.assert_close(method.encode_image(images).features, expected, atol=1e-5, rtol=1e-5)


def test_templates():
    clip = models.tiny()
    coop = methods.create("coop", clip, n_tokens=2, init=None)
    assert coop.prompt_templates("a photo of a {}, a pet.") == ("{}.",)
    maple = methods.create("maple", clip, n_tokens=2, depth=1)
    assert maple.prompt_templates("a photo of a {}, a pet.") == ("of a {}, a pet.",)
    assert maple.prompt_templates("{} texture.") == ("{} texture.",)


def test_maple_starts_from_words():
    clip = models.tiny()
    method = methods.create("maple", clip, n_tokens=2, depth=3)
    ids = clip.tokenizer(["a photo of a"])[0, 1:3]
    assert torch.equal(method.text_tokens[0], clip.text.table(ids))


@pytest.mark.parametrize(("name", "count"), [("coop", 8_192), ("maple", 3_555_072)])
def test_trainable_parameters_at_vit_b_16(name, count):
    assert methods.count_parameters(name, VIT_B_16) == count


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("coop", {"n_tokens": 0, "init": None}, "n_tokens=0"),
        ("coop", {"n_tokens": 14, "init": None}, "n_tokens=14"),
        ("maple", {"depth": 5}, "depth=5"),
        ("maple", {"depth": 0}, "depth=0"),
    ],
)
def test_values_out_of_range(name, arguments, message):
    with pytest.raises(InterlaceError, match=message):
        methods.create(name, models.tiny(), **arguments)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_prompt_without_room_is_refused(kind):
    clip = models.tiny(kind)
    method = methods.create("coop", clip, n_tokens=13, init=None)
    with pytest.raises(InterlaceError, match="13 context tokens leave a prompt no room"):
        method.encode_text(Prompts(models.ids(["one two three four"])))
