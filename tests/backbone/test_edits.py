"""Edits as data: an empty one changes nothing, any other equals changed weights."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import pytest
import torch
from torch.nn import functional as F

from interlace.backbone.edits import (
    BLOCK_SITES,
    LINEARS,
    NO_BLOCK_EDIT,
    Affine,
    BlockEdit,
    Edit,
    LowRank,
    Tokens,
)
from interlace.backbone.layers import attend, attend_causally
from interlace.errors import InterlaceError
from tests import models

TOWERS = [(kind, tower) for kind in models.SPECS for tower in ("image", "text")]


def setup(kind, name):
    clip = models.tiny(kind)
    tower = getattr(clip, name)
    return tower, models.images(clip) if name == "image" else models.ids()


def random(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attention(tower):
    return attend_causally if tower.causal else attend


def run(tower, x, edit):
    """All blocks, written out."""
    for i, block in enumerate(tower.blocks):
        x = block(tower.insert_tokens(x, edit.tokens, i), edit.block(i), attention(tower))
    return x


def tokens(tower, first, count=2, carry=0.0):
    return Tokens(first, random(tower.depth - first, count, tower.width), carry)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_no_edit_is_bit_identical(kind, name):
    tower, inputs = setup(kind, name)
    assert torch.equal(tower(inputs).features, tower(inputs, Edit()).features)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_affine_equals_folded_weights(kind, name):
    tower, inputs = setup(kind, name)
    d, block = tower.width, f"blocks.{tower.depth - 2}"
    scales = {s: (1 + 0.3 * random(d, seed=i), random(d, seed=9 + i)) for i, s in enumerate("abcd")}
    sites = dict(zip(("ln_1", "attn", "ln_2", "mlp"), scales.values(), strict=True))
    edit = Edit(
        affine={
            **{f"{block}.{site}": Affine(*pair) for site, pair in sites.items()},
            "ln_final": Affine(*scales["a"]),
        }
    )
    folded = copy.deepcopy(tower)
    part = folded.blocks[tower.depth - 2]
    layers = {"ln_1": part.ln_1, "attn": part.attn.out, "ln_2": part.ln_2, "mlp": part.mlp.proj}
    with torch.no_grad():
        for layer, (scale, shift) in [
            *((layers[site], pair) for site, pair in sites.items()),
            (folded.ln_final, scales["a"]),
        ]:
            rows = scale if layer.weight.ndim == 1 else scale[:, None]
            layer.weight.mul_(rows)
            layer.bias.mul_(scale).add_(shift)
    changed = tower(inputs, edit).features
    torch.testing.assert_close(changed, folded(inputs).features, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(changed, tower(inputs).features, atol=1e-2)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_affine_after_the_projection(kind, name):
    tower, inputs = setup(kind, name)
    plain = tower(inputs).features
    scale, shift = random(plain.shape[1]), random(plain.shape[1], seed=4)
    changed = tower(inputs, Edit(affine={"projection": Affine(scale, shift)})).features
    torch.testing.assert_close(changed, plain * scale + shift)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_low_rank_equals_changed_weights(kind, name):
    tower, inputs = setup(kind, name)
    changed = copy.deepcopy(tower)
    d, part, changes = tower.width, changed.blocks[1], {}
    weights = {
        **dict(zip("qkv", part.attn.qkv.weight.data.split(d), strict=True)),
        "out": part.attn.out.weight.data,
        "fc": part.mlp.fc.weight.data,
        "proj": part.mlp.proj.weight.data,
    }
    for i, (linear, weight) in enumerate(weights.items()):
        rows, columns = weight.shape
        pair = LowRank(0.1 * random(rows, 2, seed=i), random(2, columns, seed=20 + i))
        changes[f"blocks.1.{linear}"] = pair
        weight += pair.a @ pair.b
    edited = tower(inputs, Edit(low_rank=changes)).features
    torch.testing.assert_close(edited, changed(inputs).features, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(edited, tower(inputs).features, atol=1e-2)


@pytest.mark.parametrize("carry", [0.0, 0.3])
@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_tokens_step_by_step(kind, name, carry):
    tower, inputs = setup(kind, name)
    first, at = 1, tower.insert_at
    placed = tokens(tower, first, carry=carry)
    x, read = tower.embed(inputs)
    for i, block in enumerate(tower.blocks):
        if i >= first:
            fresh = placed.values[i - first].expand(len(x), -1, -1)
            if i > first:
                fresh = (1 - carry) * fresh + carry * x[:, at : at + 2]
            x = torch.cat([x[:, :at], fresh, x[:, at + 2 * (i > first) :]], dim=1)
        x = block(x, NO_BLOCK_EDIT, attention(tower))
    x = tower.ln_final(x)
    without = torch.cat([x[:, :at], x[:, at + 2 :]], dim=1)
    expected = tower.project(tower.pool_positions(without, read, 0))
    torch.testing.assert_close(tower(inputs, Edit(tokens=placed)).features, expected)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_tokens_run_on_after_their_last_values(kind, name):
    tower, inputs = setup(kind, name)
    short = Tokens(0, random(1, 2, tower.width))
    values = torch.cat([short.values, torch.zeros(tower.depth - 1, 2, tower.width)])
    carried = Tokens(0, values, carry=1.0)
    expected = tower(inputs, Edit(tokens=carried)).features
    torch.testing.assert_close(tower(inputs, Edit(tokens=short)).features, expected)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
def test_tokens_can_overwrite_positions(kind, name):
    tower, inputs = setup(kind, name)
    at, placed = tower.insert_at, Tokens(1, random(2, 2, tower.width), overwrite=True)
    x, read = tower.embed(inputs)
    for i, block in enumerate(tower.blocks):
        if i in (1, 2):
            x = x.clone()
            x[:, at : at + 2] = placed.values[i - 1]
        x = block(x, NO_BLOCK_EDIT, attention(tower))
    expected = tower.project(tower.pool_positions(tower.ln_final(x), read, 0))
    torch.testing.assert_close(tower(inputs, Edit(tokens=placed)).features, expected)


def test_overwriting_more_than_there_is_is_refused():
    tower, inputs = setup("clip", "image")
    with pytest.raises(InterlaceError, match="9 tokens"):
        tower(inputs, Edit(tokens=Tokens(0, random(1, 9, 32), overwrite=True)))


def test_tokens_stand_after_the_class_token_and_in_front_of_a_tower_without():
    assert models.tiny("clip").image.insert_at == 1
    assert models.tiny("clip").text.insert_at == 1
    assert models.tiny("siglip").image.insert_at == 0
    assert models.tiny("siglip").text.insert_at == 0


def test_begin_of_text_does_not_see_the_tokens():
    tower, inputs = setup("clip", "text")
    x, _ = tower.embed(inputs)
    edited = run(tower, x, Edit(tokens=tokens(tower, 0)))
    torch.testing.assert_close(edited[:, 0], run(tower, x, Edit())[:, 0])


@pytest.mark.parametrize("kind", models.SPECS)
def test_pooling_leaves_the_tokens_out(kind):
    tower, inputs = setup(kind, "image")
    x = random(len(inputs), tower.spec.positions, tower.width)
    at = tower.insert_at
    extra = torch.cat([x[:, :at], random(len(x), 2, tower.width, seed=8), x[:, at:]], dim=1)
    assert torch.equal(tower.pool_positions(x, None, 0), tower.pool_positions(extra, None, 2))


@pytest.mark.parametrize("kind", models.SPECS)
def test_second_projection_reads_the_tokens(kind):
    tower, inputs = setup(kind, "image")
    placed, matrix = tokens(tower, 1), random(tower.width, 5)
    output = tower(inputs, Edit(tokens=placed, token_projection=matrix))
    x, _ = tower.embed(inputs)
    x = tower.ln_final(run(tower, x, Edit(tokens=placed)))
    own = x[:, tower.insert_at : tower.insert_at + 2]
    pooled = tower.pool(own) if tower.spec.pool == "map" else own.mean(dim=1)
    torch.testing.assert_close(output.token_features, pooled @ matrix)
    assert tower(inputs, Edit(tokens=placed)).token_features is None


@pytest.mark.parametrize("name", ["image", "text"])
def test_replaced_projection(name):
    tower, inputs = setup("clip", name)
    matrix = random(tower.width, 7)
    expected = tower(inputs).features @ torch.linalg.pinv(tower.projection) @ matrix
    assert tower(inputs, Edit(projection=matrix)).features.shape == expected.shape
    same = tower(inputs, Edit(projection=tower.projection.clone())).features
    assert torch.equal(same, tower(inputs).features)


@pytest.mark.parametrize(("kind", "name"), TOWERS)
@pytest.mark.parametrize("first", [0, 2])
def test_frozen_features_come_from_the_same_pass(kind, name, first):
    tower, inputs = setup(kind, name)
    output = tower(inputs, Edit(tokens=tokens(tower, first)), return_frozen=True)
    assert torch.equal(output.frozen, tower(inputs).features)
    assert not torch.allclose(output.features, output.frozen, atol=1e-3)
    alone = tower(inputs, None, return_frozen=True)
    assert torch.equal(alone.frozen, alone.features)


def test_a_block_takes_its_part_as_attributes():
    affine, pair = Affine(random(3)), LowRank(random(3, 1), random(1, 3))
    edit = Edit(
        affine={"blocks.2.mlp": affine, "blocks.2.ln_1": affine, "ln_final": affine},
        low_rank={"blocks.2.q": pair, "blocks.0.proj": pair},
    )
    assert edit.block(2) == BlockEdit(mlp=affine, ln_1=affine, q=pair)
    assert edit.block(0) == BlockEdit(proj=pair)
    assert edit.block(1) is NO_BLOCK_EDIT is Edit().block(0)
    assert edit.after_ln_final is affine and edit.after_projection is None
    moved = replace(edit, affine={"projection": affine})
    assert moved.block(2) == BlockEdit(q=pair) and moved.after_projection is affine


def test_every_part_of_a_block_has_a_site():
    assert {field.name for field in fields(BlockEdit)} == {*BLOCK_SITES, *LINEARS}


def test_names_are_parsed_once(monkeypatch):
    tower, inputs = setup("clip", "image")
    edit = Edit(
        affine={f"blocks.{i}.attn": Affine(random(tower.width)) for i in range(tower.depth)}
    )
    expected = tower(inputs, edit).features
    monkeypatch.setattr("interlace.backbone.edits._parse", None)
    assert torch.equal(tower(inputs, edit).features, expected)


def test_first_block_of_an_edit():
    assert Edit().first_block(4) == 4
    assert Edit(affine={"ln_final": Affine(random(3))}).first_block(4) == 4
    assert Edit(affine={"blocks.2.mlp": Affine(random(3))}).first_block(4) == 2
    low = {"blocks.11.q": LowRank(random(3, 1), random(1, 3))}
    assert Edit(low_rank=low, tokens=Tokens(9, random(3, 1, 3))).first_block(12) == 9


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit(affine={"blocks.1.ln_3": Affine()}), "ln_3"),
        (Edit(affine={"blocks.4.ln_1": Affine()}), "4 blocks"),
        (Edit(affine={"head": Affine()}), "head"),
        (Edit(low_rank={"blocks.0.qkv": LowRank(random(1, 1), random(1, 1))}), "qkv"),
        (Edit(tokens=Tokens(4, random(1, 2, 32))), "blocks 1 to 4"),
        (Edit(tokens=Tokens(1, random(3, 2, 31))), "width 32"),
        (Edit(tokens=Tokens(1, random(4, 2, 32))), "1 to 3 blocks"),
        (Edit(token_projection=random(32, 5)), "needs tokens"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edit, message):
    tower, inputs = setup("clip", "image")
    with pytest.raises(InterlaceError, match=message):
        tower(inputs, edit)


def test_gradients_reach_an_edit_and_nothing_else():
    clip = models.tiny()
    values = random(2, 2, clip.image.width).requires_grad_()
    clip.image(models.images(clip), Edit(tokens=Tokens(2, values))).features.sum().backward()
    assert values.grad is not None
    assert all(p.grad is None for p in clip.parameters())


def test_logits_are_scaled_cosines_with_the_models_bias():
    clip = models.tiny("siglip")
    images, ids = models.images(clip), models.ids()
    cosine = F.cosine_similarity(
        clip.encode_image(images)[:, None], clip.encode_text(ids)[None], dim=-1
    )
    torch.testing.assert_close(clip(images, ids), clip.scale * cosine + clip.logit_bias)


@pytest.mark.parametrize("shape", [(2, 3, 16, 24), (2, 1, 16, 16), (3, 16, 16)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(InterlaceError, match="3, 16, 16"):
        models.tiny().encode_image(torch.zeros(shape))


def test_a_text_beyond_the_context_is_refused():
    with pytest.raises(InterlaceError, match="at most 16"):
        models.tiny().encode_text(torch.zeros(2, 17, dtype=torch.long))
