"""What the towers leave out changes nothing: features and gradients equal the plain path's.

In float64, so that equal means equal: float32 alone rounds a sum differently in another order.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from interlace.backbone.edits import Affine, Edit, LowRank, Tokens
from interlace.backbone.packing import Packing
from interlace.backbone.tower import ImageTower, TextTower
from interlace.errors import InterlaceError
from tests import models

TEXTS = {
    "ragged": ("a red fox", "a very large grey owl", "an eel", "a red kite"),
    "shared template": ("a photo of a fox", "a photo of a sea eagle", "a photo of an eel"),
    "equal lengths": ("a photo of a fox", "a photo of a cat", "a photo of a bee"),
    "one": ("a photo of a fox",),
    "nothing in common": ("fox", "large grey owl", "eel"),
}


def random(*shape, seed=3):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return (0.3 * draw).requires_grad_()


def double(kind="clip"):
    return models.tiny(kind).double()


def edits(tower):
    """Edits of every kind that start in every place, with the tensors they hold."""
    d, e, depth = tower.width, tower(_inputs(tower)).features.shape[1], tower.depth
    affine = [random(d, seed=i) for i in range(6)]
    scale = random(e)
    low = [random(d, 2, seed=7), random(2, d, seed=8)]
    every = random(depth, 2, d)
    late, second = random(1, 2, d), random(d, 5)
    sites = {
        f"blocks.{i}.{site}": Affine(affine[0], affine[1])
        for i in range(depth)
        for site in ("ln_1", "attn", "ln_2", "mlp")
    }
    return {
        "affine": (Edit(affine=sites | {"ln_final": Affine(*affine[2:4])}), affine[:4]),
        "last block": (Edit(affine={f"blocks.{depth - 1}.attn": Affine(affine[4])}), affine[4:5]),
        "after the blocks": (Edit(affine={"projection": Affine(scale)}), [scale]),
        "low rank": (
            Edit(low_rank={f"blocks.{depth - 1}.{x}": LowRank(*low) for x in ("q", "k", "v")}),
            low,
        ),
        "tokens from the start": (Edit(tokens=Tokens(0, every)), [every]),
        "tokens that carry": (Edit(tokens=Tokens(0, every, carry=0.3)), [every]),
        "tokens late": (Edit(tokens=Tokens(depth - 1, late)), [late]),
        "tokens over positions": (Edit(tokens=Tokens(0, every, overwrite=True)), [every]),
        "token projection": (
            Edit(tokens=Tokens(depth - 1, late), token_projection=second),
            [late, second],
        ),
    }


def _inputs(tower):
    clip = double()
    return models.ids() if hasattr(tower, "table") else models.images(clip).double()


def gradients(output, tensors):
    features = output.features
    weights = torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)
    total = (features * weights).sum()
    if output.token_features is not None:
        total = total + output.token_features.square().sum()
    return torch.autograd.grad(total, tensors)


def same(fast, plain):
    assert fast.shape == plain.shape
    assert (fast - plain).abs().max() <= 1e-11 * plain.abs().max()


def check(tower, inputs, plain_inputs, edit, tensors):
    fast, plain = (
        tower(x, edit, return_frozen=True, shortcuts=shortcuts)
        for x, shortcuts in ((inputs, True), (plain_inputs, False))
    )
    same(fast.features, plain.features)
    same(fast.frozen, plain.frozen)
    assert (fast.token_features is None) == (plain.token_features is None)
    for ours, reference in zip(gradients(fast, tensors), gradients(plain, tensors), strict=True):
        same(ours, reference)
    assert not torch.allclose(fast.features, fast.frozen, atol=1e-4)


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("texts", TEXTS)
@pytest.mark.parametrize("which", edits(double().text))
def test_texts(kind, texts, which):
    tower, ids = double(kind).text, models.ids(TEXTS[texts])
    edit, tensors = edits(tower)[which]
    if edit.tokens is not None and edit.tokens.overwrite:
        ids = torch.cat([ids[:, :1], ids.new_zeros(len(ids), 2), ids[:, 1:-2]], dim=1)
    check(tower, ids, ids, edit, tensors)


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("which", edits(double().image))
def test_images(kind, which):
    clip = double(kind)
    edit, tensors = edits(clip.image)[which]
    if which == "token projection":
        second = random(clip.image.width, 5)
        edit, tensors = replace(edit, token_projection=second), [edit.tokens.values, second]
    check(clip.image, models.images(clip).double(), models.images(clip).double(), edit, tensors)


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("which", ["tokens that carry", "last block", "affine"])
def test_texts_in_parts_that_were_begun(kind, chunk, which):
    tower, ids = double(kind).text, models.ids(TEXTS["ragged"])
    edit, tensors = edits(tower)[which]
    prefix = replace(tower.run_prefix(ids, edit, return_frozen=True), chunk=chunk)
    assert prefix.block == min(edit.first_block(tower.depth), tower.depth - 1)
    check(tower, prefix, ids, edit, tensors)
    check(tower, prefix, ids, edit, tensors)  # nothing of it is used up


@pytest.mark.parametrize("name", ["image", "text"])
def test_begun_inputs_serve_later_edits_only(name):
    clip = double()
    tower, inputs = getattr(clip, name), _inputs(getattr(clip, name))
    prefix = tower.run_prefix(inputs, Edit(tokens=Tokens(2, random(1, 2, tower.width))))
    later = Edit(tokens=Tokens(3, random(1, 2, tower.width)))
    torch.testing.assert_close(tower(prefix, later).features, tower(inputs, later).features)
    with pytest.raises(InterlaceError, match="changes block 2, the inputs have gone through 2"):
        tower(prefix, Edit(tokens=Tokens(1, random(1, 2, tower.width))))
    with pytest.raises(InterlaceError, match="without shortcuts"):
        tower(prefix, later, shortcuts=False)


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("name", ["image", "text"])
def test_without_shortcuts_a_tower_is_its_definition(kind, name):
    clip = models.tiny(kind)
    tower, inputs = getattr(clip, name), models.images(clip) if name == "image" else models.ids()
    definition = (ImageTower if name == "image" else TextTower)(tower.spec, clip.spec.embed_dim)
    definition.load_state_dict(tower.state_dict())
    edit = Edit(
        {"blocks.1.mlp": Affine(random(tower.width).float())},
        tokens=Tokens(1, random(1, 2, tower.width).float()),
    )
    plain = tower(inputs, edit, return_frozen=True, shortcuts=False)
    assert torch.equal(plain.features, definition(inputs, edit).features)
    assert torch.equal(plain.frozen, definition(inputs).features)


def positions_through(tower, inputs, edit=None):
    """How many positions enter each block, and how many leave the last one."""
    seen = []
    handles = [
        block.register_forward_hook(lambda m, a, o: seen.append(o[..., 0].numel()))
        for block in tower.blocks
    ]
    with torch.no_grad():
        tower(inputs, edit)
    for handle in handles:
        handle.remove()
    return seen


def test_causal_texts_run_over_what_they_do_not_share():
    tower = double().text
    ids = models.ids(("a photo of a fox", "a photo of a sea eagle", "a photo of a bee"))
    # begin-of-text and four words once; of each text its own words and the end-of-text
    assert positions_through(tower, ids) == [5 + 2 + 3 + 2] * 3 + [3]
    edit = Edit(tokens=Tokens(1, random(3, 2, tower.width)))
    assert positions_through(tower, ids, edit) == [12, 14, 14, 3]


def test_texts_of_a_tower_that_is_not_causal_keep_their_length():
    tower = models.tiny("siglip").text
    assert positions_through(tower, models.ids()) == [3 * models.CONTEXT] * 3 + [3]
    shorter = models.ids()[:, :-4]
    assert not torch.allclose(tower(shorter).features, tower(models.ids()).features, atol=1e-3)


def test_the_last_block_of_an_image_computes_what_is_read():
    clip = double()
    images, tower = models.images(clip).double(), clip.image
    assert positions_through(tower, images) == [3 * 5] * 3 + [3]
    values, second = random(4, 2, tower.width), random(tower.width, 5)
    edit = Edit(tokens=Tokens(0, values), token_projection=second)
    assert positions_through(tower, images, edit) == [3 * 7] * 3 + [3 * 3]


def test_dropout_is_drawn_for_every_text():
    tower, ids = double().text, models.ids(("a photo of a fox",) * 2 + ("a photo of an eel",))
    pair = random(tower.width, 2), random(2, tower.width)
    edit = Edit(low_rank={"blocks.0.q": LowRank(*pair, dropout=0.5)})
    features = tower(ids, edit).features
    assert not torch.allclose(features[0], features[1], atol=1e-5)
    assert tower.run_prefix(ids, edit).packing.shared == 0


def test_what_follows_the_end_of_a_text_does_not_count():
    tower, ids = double().text, models.ids()
    garbage = ids.clone()
    for row, length in zip(garbage, (ids != 0).sum(dim=1), strict=True):
        row[length:] = 5
    torch.testing.assert_close(tower(garbage).features, tower(ids).features)


def test_packing_by_hand():
    ids = torch.tensor([[9, 1, 2, 8, 0], [9, 1, 8, 0, 0], [9, 1, 3, 4, 8]])
    read = torch.tensor([3, 2, 4])
    packing, kept, positions = Packing.of(ids, read, share=True)
    assert (packing.shared, packing.count, packing.longest) == (2, 3, 3)
    assert kept.tolist() == [9, 1, 2, 8, 8, 3, 4, 8]
    assert positions.tolist() == [0, 1, 2, 3, 2, 2, 3, 4]
    assert packing.slots.tolist() == [0, 1, 3, 6, 7, 8]
    assert packing.ends.tolist() == [3, 4, 7]
    assert packing.insert(2).ends.tolist() == [5, 6, 9]
    first, second = packing.parts(2)
    assert (first[1], second[1]) == (slice(0, 3), slice(3, 6))
    assert second[0].slots.tolist() == [0, 1, 2] and second[0].ends.tolist() == [4]
    apart, kept, _ = Packing.of(ids, read, share=False)
    assert apart.shared == 0 and len(kept) == 12
