"""MAIL and MAIL++: identity at the start, what is coupled to what, and their edges."""

from __future__ import annotations

import pytest
import torch

from interlace import methods
from interlace.backbone.dual import DualEncoder
from interlace.backbone.prompts import Prompts
from interlace.backbone.spec import VIT_B_16
from interlace.errors import InterlaceError
from tests import models

NAMES = ("mail", "mail++")


def build(name, clip, **arguments):
    return methods.create(name, clip, **{"rank": 2, **arguments})


def randomise(method, seed=2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("name", NAMES)
def test_it_starts_as_the_frozen_model(name, kind):
    clip = models.tiny(kind)
    arguments = models.images(clip), Prompts(models.ids())
    frozen = methods.create("zero_shot", clip)(*arguments)
    assert torch.equal(build(name, clip)(*arguments).logits, frozen.logits)


def test_mail_couples_text_to_image_and_not_back():
    clip = models.tiny()
    method = build("mail", clip)
    randomise(method)
    image, text = method.edits()
    site = "blocks.1.mlp"
    agents = method.blocks[1]["mlp"]
    reached = torch.autograd.grad(image.affine[site].scale.sum(), agents.text_scale)[0]
    assert reached.abs().sum() > 0
    assert torch.equal(text.affine[site].scale, agents.text_scale)
    assert torch.equal(image.affine[site].shift, agents.image_shift)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_loss_on_either_tower_alone_moves_both_in_mail_plus_plus(tower):
    clip = models.tiny()
    method = build("mail++", clip)
    randomise(method)
    with torch.no_grad():
        before = [edit.affine["blocks.1.ln_1"].scale.clone() for edit in method.edits()]
    if tower == "image":
        features = method.encode_image(models.images(clip)).features
    else:
        features = method.encode_text(Prompts(models.ids())).features
    (features**2).sum().backward()
    meta = method.blocks[1]["ln_1"].meta
    assert meta.grad is not None and meta.grad.abs().sum() > 0
    with torch.no_grad():
        meta -= 0.1 * meta.grad
        after = [edit.affine["blocks.1.ln_1"].scale for edit in method.edits()]
    for old, new in zip(before, after, strict=True):
        assert not torch.allclose(old, new, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_unequal_depths_are_paired_from_the_top(name):
    clip = models.tiny("unequal")
    image, text = build(name, clip).edits()
    blocks = {int(site.split(".")[1]) for site in image.affine if site.startswith("blocks")}
    assert blocks == {3, 4, 5}
    assert {int(s.split(".")[1]) for s in text.affine if s.startswith("blocks")} == {0, 1, 2}
    assert image.first_block(6) == 3


def test_without_a_bridge():
    clip = models.tiny()
    method = build("mail", clip, rank=0)
    assert not any("bridge" in name for name, _ in method.named_parameters())
    image, _ = method.edits()
    assert torch.equal(image.affine["ln_final"].scale, method.ln_final.image_scale)


@pytest.mark.parametrize("name", NAMES)
def test_projections_can_stay_frozen(name):
    method = build(name, models.tiny(), train_projections=False)
    assert not {"image_projection", "text_projection"} & set(method.state_dict())
    assert all(edit.projection is None for edit in method.edits())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [("mail", {"rank": -1}, "rank=-1"), ("mail++", {"rank": 0}, "rank=0")]
    + [("mail++", {"dim": 0}, "dim=0")],
)
def test_values_out_of_range(name, arguments, message):
    with pytest.raises(InterlaceError, match=message):
        build(name, models.tiny(), **arguments)


def test_the_block_agents_have_the_published_count():
    with torch.device("meta"):
        method = methods.create("mail", DualEncoder(VIT_B_16))
    assert sum(p.numel() for p in method.blocks.parameters()) == 2_088_960
