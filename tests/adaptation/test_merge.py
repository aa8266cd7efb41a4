"""Merging: the plain model computes what the edited one did, and refuses what it cannot be."""

from __future__ import annotations

import pytest
import torch

import interlace
from interlace import methods
from interlace.adaptation.merge import NotMergeable, merge
from interlace.backbone.edits import Affine, Edit, LowRank
from interlace.backbone.prompts import Prompts
from tests import models


class Fixed(methods.Method):
    """A method whose edits are given."""

    def __init__(self, clip, image=None, text=None):
        super().__init__(clip)
        self.pair = image, text

    def edits(self):
        return self.pair


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everything(tower, embed_dim):
    """Every kind of change that can be folded, at every site."""
    affine, low_rank = {}, {}
    sites = [
        (f"blocks.{i}.{part}", tower.width)
        for i in range(tower.depth)
        for part in ("ln_1", "attn", "ln_2", "mlp")
    ]
    sites += [("ln_final", tower.width), ("projection", embed_dim)]
    for seed, (site, width) in enumerate(sites):
        affine[site] = Affine(
            1 + 0.2 * random(width, seed=seed), 0.2 * random(width, seed=100 + seed)
        )
    d, hidden = tower.width, tower.spec.hidden
    shapes = {"q": (d, d), "k": (d, d), "v": (d, d), "out": (d, d)}
    shapes |= {"fc": (hidden, d), "proj": (d, hidden)}
    for seed, (part, (rows, columns)) in enumerate(shapes.items(), 200):
        low_rank[f"blocks.1.{part}"] = LowRank(
            0.2 * random(rows, 2, seed=seed), 0.2 * random(2, columns, seed=300 + seed)
        )
    projection = None
    if tower.projection is not None:
        projection = tower.projection + 0.05 * random(*tower.projection.shape, seed=400)
    return Edit(affine=affine, low_rank=low_rank, projection=projection)


@pytest.mark.parametrize("kind", models.SPECS)
def test_every_foldable_edit(kind):
    clip = models.tiny(kind)
    before = clip.fingerprint()
    dim = clip.spec.embed_dim
    method = Fixed(clip, everything(clip.image, dim), everything(clip.text, dim))
    merged = merge(method)
    images, ids = models.images(clip), models.ids()
    for ours, edited, plain in (
        (merged.encode_image(images), method.encode_image(images), clip.encode_image(images)),
        (
            merged.encode_text(ids),
            method.encode_text(Prompts(ids)),
            clip.encode_text(ids),
        ),
    ):
        torch.testing.assert_close(ours, edited.features, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(ours, plain, atol=1e-2)
    assert clip.fingerprint() == before
    assert all(not p.requires_grad for p in merged.parameters())


@pytest.mark.parametrize("kind", models.SPECS)
@pytest.mark.parametrize("name", ["mail", "mail++", "clip_lora"])
def test_methods_without_tokens_merge(name, kind, tmp_path):
    clip = models.tiny(kind)
    method = methods.create(name, clip, rank=2).eval()
    with torch.no_grad():
        for seed, parameter in enumerate(method.parameters()):
            parameter.add_(0.1 * random(*parameter.shape, seed=seed))
    adapted = interlace.Adapted(
        method,
        ("cat", "dog"),
        "a {}",
        trained_classes=("cat", "dog"),
        config=interlace.config.RunConfig(name),
    )
    merged = adapted.merge()
    images = models.images(clip)
    logits = merged(images, models.tokenize(["a cat", "a dog"]))
    if merged.logit_bias is not None:
        logits = logits - merged.logit_bias
    expected = adapted.logits([(images, torch.zeros(3, dtype=torch.long))])[0]
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["mmrl", "mmrl++"])
def test_token_methods_say_why_not(name):
    method = methods.create(name, models.tiny(), n_tokens=2, dim=8)
    with pytest.raises(NotMergeable, match=f"^{name[:4]}.* inserts tokens"):
        merge(method)


def test_a_method_with_logits_of_its_own_says_why_not():
    class Own(Fixed):
        def score(self, image, text, seen=True):
            return super().score(image, text, seen)

    with pytest.raises(NotMergeable, match="cosines"):
        merge(Own(models.tiny()))


def test_a_shift_the_projection_cannot_make_is_refused():
    clip = models.tiny()
    flat = clip.image.projection.clone()
    flat[:, 0] = flat[:, 1]
    shift = random(clip.spec.embed_dim, seed=0)
    edit = Edit(projection=flat, affine={"projection": Affine(None, shift)})
    with pytest.raises(NotMergeable, match="full column rank"):
        merge(Fixed(clip, edit))


def test_merging_nothing_changes_nothing():
    clip = models.tiny()
    merged = merge(methods.create("zero_shot", clip))
    images = models.images(clip)
    assert torch.equal(merged.encode_image(images), clip.encode_image(images))
