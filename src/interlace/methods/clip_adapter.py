"""CLIP-Adapter: a small bottleneck on the image feature."""

from __future__ import annotations

from torch import nn

from interlace.backbone.dual import DualEncoder
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output, Share, Width
from interlace.methods.registry import register


@register
class CLIPAdapter(Method):
    """A two-layer bottleneck on the image feature, blended with the feature itself.

    Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", 2021,
    https://arxiv.org/abs/2110.04544. ``f' = ratio * relu(relu(f W1) W2) + (1 - ratio) * f``, both
    linears without bias, on the feature before it is normalised; then the usual cosines.

    Deviations: the paper also describes an adapter of the text features and reports best results
    without it; as in the released code there is none.

    Args:
        clip: the frozen dual encoder.
        reduction: the embedding is this many times as wide as the bottleneck.
        ratio: share of the adapted feature, 0 to 1.

    Raises:
        InterlaceError: if nothing is left of the embedding.
    """

    key = "clip_adapter"
    summary = "A bottleneck on the image feature, blended with it (2110.04544)."
    uses_frozen_features = True

    def __init__(self, clip: DualEncoder, *, reduction: Width, ratio: Share) -> None:
        super().__init__(clip)
        embedding = clip.spec.embed_dim
        if reduction > embedding:
            raise InterlaceError(f"reduction={reduction}: must be between 1 and {embedding}")
        self.ratio = ratio
        self.adapter = nn.Sequential(
            nn.Linear(embedding, embedding // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(embedding // reduction, embedding, bias=False),
            nn.ReLU(),
        )

    def score(self, image: TowerOutput, text: TowerOutput, seen: bool = True) -> Output:
        """Cosines of the blended image features of B images with C classes."""
        adapted = self.adapter(image.features)
        blended = self.ratio * adapted + (1 - self.ratio) * image.features
        return super().score(TowerOutput(blended), text, seen)
