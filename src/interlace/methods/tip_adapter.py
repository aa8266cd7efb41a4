"""Tip-Adapter and Tip-Adapter-F: the shots themselves as a cache of keys and values.

Shapes: B images, C classes, N shots, E embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.dual import DualEncoder
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from interlace.methods.base import Factor, Method, Output, Weight
from interlace.methods.registry import register

#: Values tried on the validation shots. The released code has a range per data set, the widest
#: up to 30 for either; these cover them all.
ALPHAS = torch.cat([torch.linspace(0.0, 3.0, 31), torch.tensor([4.0, 5.0, 7.0, 10.0, 20.0, 30.0])])
BETAS = torch.cat([torch.linspace(0.5, 7.0, 27), torch.tensor([8.0, 10.0, 13.0, 20.0, 30.0])])


class _Cache(Method):
    """What both have in common: keys, labels, and the two numbers chosen on validation shots."""

    uses_frozen_features = True
    fixed_classes = True
    lazily_sized_tensors = ("keys", "labels")

    keys: Tensor
    labels: Tensor
    weights: Tensor

    def __init__(self, clip: DualEncoder, *, alpha: Weight, beta: Factor) -> None:
        super().__init__(clip)
        self.register_buffer("labels", torch.empty(0, dtype=torch.long))
        self.register_buffer("weights", torch.tensor([alpha, beta]))

    def _affinity(self, image: TowerOutput) -> Tensor:
        """Cosines [B, N] of images with the keys."""
        if not len(self.labels):
            raise InterlaceError(f"{self.key} has no shots yet: fit it first")
        return F.normalize(image.features, dim=-1) @ self.keys.T

    def _votes(self, affinity: Tensor, beta: Tensor | float, classes: int) -> Tensor:
        """Return what the shots say of each class [B, C], ``exp(-beta (1 - a)) @ one_hot``."""
        values = F.one_hot(self.labels, classes).to(affinity.dtype)
        return torch.exp(-beta * (1 - affinity)) @ values

    def score(self, image: TowerOutput, text: TowerOutput, seen: bool = True) -> Output:
        """Zero-shot logits of B images and C classes plus the votes of the shots."""
        out = super().score(image, text, seen)
        alpha, beta = self.weights
        votes = self._votes(self._affinity(image), beta, out.logits.shape[1])
        return Output(out.image_features, out.text_features, out.logits + alpha * votes)

    @torch.no_grad()
    def tune_on_validation(self, image: TowerOutput, labels: Tensor, text: TowerOutput) -> None:
        """Choose alpha and beta by accuracy on the validation shots; of equals the smaller alpha.

        Args:
            image: frozen output for the validation images.
            labels: their classes.
            text: frozen output for the C classes.
        """
        logits, affinity = super().score(image, text).logits, self._affinity(image)
        best = -1.0
        for beta in BETAS:
            votes = self._votes(affinity, beta.to(affinity), logits.shape[1])
            for alpha in ALPHAS:
                answers = (logits + alpha.to(logits) * votes).argmax(dim=-1)
                accuracy = (answers == labels).double().mean().item()
                if (accuracy, -alpha) > (best, -self.weights[0].cpu()):
                    best = accuracy
                    self.weights.copy_(torch.stack([alpha, beta]))


@register
class TipAdapter(_Cache):
    """Tip-Adapter: similar shots vote for their class; nothing is trained.

    Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", 2022,
    https://arxiv.org/abs/2207.09519. ``logits = tau f w^T + alpha exp(-beta (1 - f K^T)) L`` with
    the normalised shots K [N, E] and their one-hot labels L. It answers only for the classes of
    the shots.

    Deviations: alpha and beta are chosen on validation shots, where the released code searches
    them on the test set for ImageNet; without validation shots they stay as given. Keys are one
    view of each shot, where the released code averages ten random crops.

    Args:
        clip: the frozen dual encoder.
        alpha: weight of the votes.
        beta: sharpness of the votes.
    """

    key = "tip_adapter"
    summary = "Similar shots vote; nothing is trained (2207.09519)."

    def __init__(self, clip: DualEncoder, *, alpha: Weight, beta: Factor) -> None:
        super().__init__(clip, alpha=alpha, beta=beta)
        self.register_buffer("keys", torch.empty(0, clip.spec.embed_dim))

    def init_from_shots(self, image: TowerOutput, labels: Tensor, text: TowerOutput) -> None:
        """Keep the features of the shots as keys."""
        self.keys, self.labels = F.normalize(image.features, dim=-1), labels


@register
class TipAdapterF(_Cache):
    """Tip-Adapter-F: Tip-Adapter whose keys are trained.

    As :class:`TipAdapter`, with cross-entropy on the shots moving the keys K. The epoch is chosen
    on validation shots, where the released code keeps the best on the test set.

    Args:
        clip: the frozen dual encoder.
        alpha: weight of the votes while training.
        beta: sharpness of the votes while training.
    """

    key = "tip_adapter_f"
    summary = "Tip-Adapter with trained keys (2207.09519)."

    keys: nn.Parameter

    def __init__(self, clip: DualEncoder, *, alpha: Weight, beta: Factor) -> None:
        super().__init__(clip, alpha=alpha, beta=beta)
        self.keys = nn.Parameter(torch.empty(0, clip.spec.embed_dim))

    def init_from_shots(self, image: TowerOutput, labels: Tensor, text: TowerOutput) -> None:
        """Start the keys from the features of the shots."""
        self.keys = nn.Parameter(F.normalize(image.features, dim=-1).detach().clone())
        self.labels = labels
