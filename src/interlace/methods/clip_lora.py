"""CLIP-LoRA: low-rank changes of the queries, keys and values of both towers."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn

from interlace._util.schema import Range
from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Edit, LowRank
from interlace.methods.base import Factor, Method, Rank
from interlace.methods.registry import register

ADAPTED_LINEARS = ("q", "k", "v")


class _Pair(nn.Module):
    """The two factors of one linear's change: ``a`` [D, R] zeros, ``b`` [R, D]."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(width, rank))
        self.b = nn.Parameter(torch.empty(rank, width))
        nn.init.kaiming_uniform_(self.b, a=math.sqrt(5))

    def forward(self, scale: float, dropout: float) -> LowRank:
        """Return the change of the weight, ``scale * a @ b``."""
        return LowRank(scale * self.a, self.b, dropout)


@register
class CLIPLoRA(Method):
    """Low-rank adaptation of the attention of both towers.

    Zanella and Ben Ayed, "Low-Rank Few-Shot Adaptation of Vision-Language Models", 2024,
    https://arxiv.org/abs/2405.18541. In every block, for each of the query, key and value
    matrices: ``W <- W + scale * a @ b`` with ``scale = alpha / sqrt(rank)``, as the released code
    scales. At initialisation the model is exactly the frozen one. It merges exactly.

    Deviations: the released code drops the inputs of each of the three changes independently, as
    this does; its iteration count (500 per shot) is given here in epochs.

    Args:
        clip: the frozen dual encoder.
        rank: R of each change.
        alpha: numerator of the scale.
        dropout: share of a change's inputs dropped in training.
    """

    key = "clip_lora"
    summary = "Low-rank changes of queries, keys and values in both towers (2405.18541)."

    def __init__(
        self,
        clip: DualEncoder,
        *,
        rank: Rank,
        alpha: Factor,
        dropout: Annotated[float, Range(0, below=1)],
    ) -> None:
        super().__init__(clip)
        self.scale = alpha / math.sqrt(rank)
        self.dropout = dropout
        self.image, self.text = (
            nn.ModuleList(
                nn.ModuleDict({linear: _Pair(tower.width, rank) for linear in ADAPTED_LINEARS})
                for _ in range(tower.depth)
            )
            for tower in (clip.image, clip.text)
        )

    def edits(self) -> tuple[Edit, Edit]:
        """Return the low-rank changes of both towers; with dropout while training."""
        return self._edit(self.image), self._edit(self.text)

    def _edit(self, blocks: nn.ModuleList) -> Edit:
        dropout = self.dropout if self.training else 0.0
        changes = {
            f"blocks.{name}": pair(self.scale, dropout)
            for name, pair in blocks.named_modules()
            if isinstance(pair, _Pair)
        }
        return Edit(low_rank=changes)
