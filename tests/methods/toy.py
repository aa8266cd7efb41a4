"""A method in one file, as a user would add it; the contract holds it to every promise."""

from __future__ import annotations

import torch
from torch import nn

from interlace.backbone.edits import Affine, Edit
from interlace.methods.base import Method, Width
from interlace.methods.registry import register


@register
class Toy(Method):
    """Scales and shifts the text embedding."""

    key = "toy"
    summary = "A toy for tests."

    def __init__(self, clip, *, dim: Width = 8):
        super().__init__(clip)
        self.scale = nn.Parameter(torch.ones(clip.spec.embed_dim))
        self.shift = nn.Parameter(0.01 * torch.randn(clip.spec.embed_dim))

    def edits(self):
        return None, Edit(affine={"projection": Affine(self.scale, self.shift)})
