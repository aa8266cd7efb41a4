"""Linear probe: a linear classifier on the frozen image features, started from the texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.dual import DualEncoder
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output
from interlace.methods.registry import register


@register
class LinearProbe(Method):
    """One trained weight vector per class on normalised image features.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020, with the start from the class texts that later work
    recommends for few shots: ``logits = tau f W^T`` with W [C, E] from the normalised text
    features, so it starts as zero-shot. It answers only for the classes it was trained on.

    Args:
        clip: the frozen dual encoder.
    """

    key = "linear_probe"
    summary = "A linear classifier on frozen features, started from the texts (2103.00020)."
    uses_frozen_features = True
    fixed_classes = True
    lazily_sized_tensors = ("weight",)

    def __init__(self, clip: DualEncoder) -> None:
        super().__init__(clip)
        self.weight = nn.Parameter(torch.empty(0, clip.spec.embed_dim))

    def init_from_shots(self, image: TowerOutput, labels: Tensor, text: TowerOutput) -> None:
        """Start from the text features of the C classes."""
        self.weight = nn.Parameter(F.normalize(text.features, dim=-1).detach().clone())

    def score(self, image: TowerOutput, text: TowerOutput, seen: bool = True) -> Output:
        """Logits of B images for the C classes of the fit."""
        out = super().score(image, text, seen)
        if len(self.weight) != out.logits.shape[1]:
            raise InterlaceError(
                f"{self.key} was fitted on {len(self.weight)} classes, not {out.logits.shape[1]}"
            )
        logits = self.clip.scale * out.image_features @ self.weight.T
        return Output(out.image_features, out.text_features, logits)
