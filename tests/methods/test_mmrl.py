"""MMRL: how its second projection starts, copied from the frozen one or at random."""

from __future__ import annotations

import pytest
import torch

from interlace import methods
from interlace.errors import InterlaceError
from tests import models


def build(clip, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return methods.create("mmrl", clip, dim=8, **arguments)


def test_the_second_projection_starts_as_the_frozen_one():
    clip = models.tiny()
    assert torch.equal(build(clip).rep_projection, clip.image.projection)


@pytest.mark.parametrize("kind", models.SPECS)
def test_it_may_start_at_random(kind):
    clip = models.tiny(kind)
    copied, random = build(clip), build(clip, second_projection="random")
    width = clip.image.width
    assert random.rep_projection.shape == (width, clip.spec.embed_dim)
    assert random.rep_projection.std().item() == pytest.approx(width**-0.5, rel=0.1)
    assert abs(random.rep_projection.mean().item()) < 0.2 * width**-0.5
    own, other = copied.state_dict(), random.state_dict()
    # everything else starts the same, whichever of the two is chosen
    assert [name for name in own if not torch.equal(own[name], other[name])] == ["rep_projection"]


def test_no_third_way():
    with pytest.raises(InterlaceError, match="second_projection"):
        build(models.tiny(), second_projection="zeros")
