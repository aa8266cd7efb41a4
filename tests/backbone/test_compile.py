"""``torch.compile`` takes the towers, with and without an edit, and changes nothing."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
import torch

from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Affine, Edit, Tokens
from interlace.errors import InterlaceError
from tests import models


def shallow():
    """A random CLIP of two blocks: what the compiler does grows with their number."""
    spec = models.SPECS["clip"]
    torch.manual_seed(0)
    return DualEncoder(
        replace(spec, image=replace(spec.image, depth=2), text=replace(spec.text, depth=2))
    )


def features(clip, images, ids, tensors):
    edits = [
        None if tensors is None else Edit({"blocks.1.mlp": Affine(scale)}, tokens=Tokens(1, values))
        for scale, values in tensors or ((None, None), (None, None))
    ]
    image, text = clip.image(images, edits[0]).features, clip.text(ids, edits[1]).features
    if tensors is None:
        return image, text
    own = [tensor for pair in tensors for tensor in pair]
    return image, text, *torch.autograd.grad(image.square().sum() + text.square().sum(), own)


def test_a_machine_without_a_compiler_is_one_clear_line():
    clip = shallow()

    def broken(graph, inputs):
        raise RuntimeError("no compiler\nand a long trace")

    with pytest.raises(InterlaceError, match="leave compile off: RuntimeError: no compiler$"):
        with clip.compiled(broken):
            clip.image(models.images(clip))


@pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))),
    reason="torch.compile needs a C++ compiler",
)
@pytest.mark.parametrize("edited", [False, True])
def test_a_compiled_tower_is_the_same(edited):
    clip = shallow()
    tensors = None
    if edited:
        tensors = [
            (torch.randn(t.width, requires_grad=True), torch.randn(1, 2, t.width).requires_grad_())
            for t in (clip.image, clip.text)
        ]
    arguments = models.images(clip), models.ids(), tensors
    expected = features(clip, *arguments)
    with clip.compiled():
        assert clip.image.compiled is not None and clip.text.compiled is not None
        found = features(clip, *arguments)
    assert clip.image.compiled is None and clip.text.compiled is None
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, atol=2e-5, rtol=1e-4)
