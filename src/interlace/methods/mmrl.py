"""MMRL and MMRL++: a shared space of tokens that enters the later blocks of both towers.

Shapes: B images, C classes, K tokens, D width (of the image or the text tower), E embedding,
R width of the shared space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Edit, Tokens
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from interlace.methods.base import Blocks, Method, Output, Rank, Share, TokenCount, Weight, Width
from interlace.methods.registry import register


@dataclass(frozen=True)
class MMRLOutput(Output):
    """Logits of both paths, and the features that training keeps close to the frozen model's.

    Attributes:
        logits_class: [B, C] from the class features.
        logits_rep: [B, C] from the representation features; None where they have no weight.
        logits_fused: [B, C], ``alpha * logits_class + (1 - alpha) * logits_rep``.
        frozen_image_features: [B, E] normalised, or None outside training.
        frozen_text_features: [C, E] normalised, or None outside training.
    """

    logits_class: Tensor
    logits_rep: Tensor | None
    logits_fused: Tensor
    frozen_image_features: Tensor | None = None
    frozen_text_features: Tensor | None = None


class _SharedSpace(Method):
    """What MMRL and MMRL++ have in common: the space, two feature paths, and the loss."""

    def __init__(
        self,
        clip: DualEncoder,
        n_tokens: int,
        dim: int,
        first_block: int | None,
        alpha: float,
        reg: float,
    ) -> None:
        super().__init__(clip)
        depth = min(clip.image.depth, clip.text.depth)
        first_block = max(1, depth // 2) if first_block is None else first_block
        if first_block > depth:
            raise InterlaceError(
                f"first_block={first_block}: the shallower tower has blocks 1 to {depth}"
            )
        self.alpha, self.reg = alpha, reg
        self.blocks = depth - first_block + 1
        self.space = nn.Parameter(torch.randn(n_tokens, dim) * 0.02)

    def image_tokens(self) -> Tensor:
        """Return the image tower's tokens of each block, [blocks, K, D]."""
        raise NotImplementedError

    def text_tokens(self) -> Tensor:
        """Return the text tower's tokens of each block, [blocks, K, D]."""
        raise NotImplementedError

    def representation_projection(self) -> Tensor:
        """Return the second projection of the image tower, [D, E]."""
        raise NotImplementedError

    @property
    def needs_frozen(self) -> bool:  # type: ignore[override]
        """Whether the loss compares with the frozen model's features."""
        return self.reg > 0

    #: Share of the previous block's output that a token keeps, 0 to 1.
    carry: float = 0.0

    def edits(self) -> tuple[Edit, Edit]:
        """Return tokens for the last blocks of both towers, and the image's second projection."""
        first = [tower.depth - self.blocks for tower in (self.clip.image, self.clip.text)]
        image = Edit(
            tokens=Tokens(first[0], self.image_tokens(), self.carry),
            token_projection=None if self.alpha == 1 else self.representation_projection(),
        )
        return image, Edit(tokens=Tokens(first[1], self.text_tokens(), self.carry))

    def score(self, image: TowerOutput, text: TowerOutput, seen: bool = True) -> MMRLOutput:
        """Compare B images with C classes: fused logits for seen classes, class logits for others.

        Args:
            image: output for B images, with token features.
            text: output for C classes.
            seen: whether the method was trained on these classes.
        """
        class_features = F.normalize(image.features, dim=-1)
        text_features = F.normalize(text.features, dim=-1)
        logits_class = logits_fused = self.clip.scale * class_features @ text_features.T
        logits_rep = None
        if self.alpha < 1:
            if image.token_features is None:
                raise InterlaceError("MMRL scores need the image tower's token features")
            rep_features = F.normalize(image.token_features, dim=-1)
            logits_rep = self.clip.scale * rep_features @ text_features.T
            logits_fused = self.alpha * logits_class + (1 - self.alpha) * logits_rep
        return MMRLOutput(
            image_features=class_features,
            text_features=text_features,
            logits=logits_fused if seen else logits_class,
            logits_class=logits_class,
            logits_rep=logits_rep,
            logits_fused=logits_fused,
            frozen_image_features=_normalised(image.frozen),
            frozen_text_features=_normalised(text.frozen),
        )

    def loss(self, out: Output, labels: Tensor) -> Tensor:
        """Return the cross-entropy of both paths plus both towers' distance from the frozen model.

        ``alpha CE(class) + (1 - alpha) CE(rep) + reg (1 - mean cos(f_c, f_c0))
        + reg (1 - mean cos(w, w0))``

        Args:
            out: from :meth:`forward`, so with the frozen model's features.
            labels: [B], class indices.

        Raises:
            InterlaceError: if ``out`` lacks the frozen features and ``reg`` is not 0.
        """
        if not isinstance(out, MMRLOutput):
            raise InterlaceError(f"MMRL's loss needs its own output, not {type(out).__name__}")
        loss = self.alpha * F.cross_entropy(out.logits_class, labels)
        if out.logits_rep is not None:
            loss = loss + (1 - self.alpha) * F.cross_entropy(out.logits_rep, labels)
        return loss + self.regularization(out)

    def regularization(self, out: Output) -> Tensor:
        """Return the distance of both towers' features from the frozen model's, times ``reg``.

        Raises:
            InterlaceError: if ``out`` lacks the frozen features and ``reg`` is not 0.
        """
        if not self.needs_frozen:
            return super().regularization(out)
        if (
            not isinstance(out, MMRLOutput)
            or out.frozen_image_features is None
            or out.frozen_text_features is None
        ):
            raise InterlaceError("MMRL's loss needs an output of method(images, prompts)")
        image_cos = (out.image_features * out.frozen_image_features).sum(dim=-1).mean()
        text_cos = (out.text_features * out.frozen_text_features).sum(dim=-1).mean()
        return self.reg * (1 - image_cos) + self.reg * (1 - text_cos)


def _normalised(features: Tensor | None) -> Tensor | None:
    return None if features is None else F.normalize(features, dim=-1)


def _image_projection(clip: DualEncoder) -> Tensor:
    """Return a copy of the image projection [D, E]; the identity for a tower without (SigLIP)."""
    own = clip.image.projection
    return torch.eye(clip.image.width) if own is None else own.detach().clone()


@register
class MMRL(_SharedSpace):
    """Multi-Modal Representation Learning: tokens from one space, one linear per block and tower.

    Guo and Gu, CVPR 2025, https://arxiv.org/abs/2503.08497. Block i of the last ``blocks`` blocks
    receives ``space @ to_image[i].weight.T + to_image[i].bias``, the text tower the same through
    ``to_text``. The class feature goes through the frozen projection, the mean of the tokens
    through the trained ``rep_projection``.

    Deviations: logits use the model's own temperature where the released code writes 100 (the two
    are the same for OpenAI's CLIP). ``rep_projection`` starts as a copy of the frozen projection,
    in the released code at random (``second_projection="random"``). Towers of unequal depth take
    tokens in the same number of last blocks. A tower with attention pooling (SigLIP) pools the
    tokens with it; one without a projection to copy starts ``rep_projection`` as the identity.

    Args:
        clip: the frozen dual encoder.
        n_tokens: K, tokens per block.
        dim: R, width of the shared space.
        first_block: 1-based block, counted in the shallower tower, from which on tokens enter;
            None for the middle (6 of 12).
        alpha: weight of the class path in the loss and in fused logits.
        reg: weight of staying close to the frozen model.
        second_projection: how ``rep_projection`` starts: ``copied`` from the frozen projection, or
            ``random``, normal with standard deviation ``D ** -0.5``.

    Raises:
        InterlaceError: if the towers have no such block.
    """

    key = "mmrl"
    summary = "Tokens from one shared space in the later blocks of both towers (CVPR 2025)."

    def __init__(
        self,
        clip: DualEncoder,
        *,
        n_tokens: TokenCount,
        dim: Width,
        first_block: Blocks | None,
        alpha: Share,
        reg: Weight,
        second_projection: Literal["copied", "random"],
    ) -> None:
        super().__init__(clip, n_tokens, dim, first_block, alpha, reg)
        self.to_image = _cloned_linears(dim, clip.image.width, self.blocks)
        self.to_text = _cloned_linears(dim, clip.text.width, self.blocks)
        start = _image_projection(clip)
        if second_projection == "random":
            start = torch.randn(start.shape) * clip.image.width**-0.5
        self.rep_projection = nn.Parameter(start)

    def image_tokens(self) -> Tensor:
        """Map the space through each block's linear, [blocks, K, D]."""
        return torch.stack([linear(self.space) for linear in self.to_image])

    def text_tokens(self) -> Tensor:
        """Map the space through each block's linear, [blocks, K, D]."""
        return torch.stack([linear(self.space) for linear in self.to_text])

    def representation_projection(self) -> Tensor:
        """Return the trained projection, [D, E]."""
        return self.rep_projection


def _cloned_linears(inputs: int, outputs: int, count: int) -> nn.ModuleList:
    """Return ``count`` linears that start from the same values."""
    linears = nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(count))
    for linear in linears:
        linear.load_state_dict(linears[0].state_dict())
    return linears


class _Residual(nn.Module):
    """One block's own part of an aligner: ``a @ b`` [D, R] and a bias [D]."""

    def __init__(self, width: int, dim: int, rank: int, bias: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(width, rank))
        self.b = nn.Parameter(torch.zeros(rank, dim))
        self.bias = nn.Parameter(bias.clone())
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, space: Tensor) -> Tensor:
        """Map ``space`` [K, R] to what this block adds to the shared tokens, [K, D]."""
        return space @ self.b.T @ self.a.T + self.bias


class Aligner(nn.Module):
    """Shared-residual aligner: one matrix for all blocks, plus a low-rank one for each.

    Args:
        dim: R, width of the shared space.
        width: D, width of the tower.
        blocks: number of blocks served.
        rank: rank of each block's own part.
    """

    def __init__(self, dim: int, width: int, blocks: int, rank: int) -> None:
        super().__init__()
        start = nn.Linear(dim, width)
        self.shared = nn.Parameter(start.weight.detach().clone())
        for i in range(blocks):
            self.add_module(str(i), _Residual(width, dim, rank, start.bias.detach()))

    def forward(self, space: Tensor) -> Tensor:
        """Map ``space`` [K, R] to the tokens of every block [blocks, K, D]."""
        base = space @ self.shared.T
        return torch.stack([base + part(space) for part in self.children()])


@register
class MMRLPlusPlus(_SharedSpace):
    """MMRL++: MMRL with far fewer parameters, and tokens that carry over from block to block.

    Guo and Gu, IJCV 2026, https://arxiv.org/abs/2505.10088. The linear of block i is
    ``to_image.shared + to_image[i].a @ to_image[i].b`` with its own bias; the representation
    projection is the frozen one plus ``rep_projection_a @ rep_projection_b``; and after the first
    insertion a block receives ``beta * values[i] + (1 - beta) * previous output``.

    Deviations: as in :class:`MMRL`.

    Args:
        clip: the frozen dual encoder.
        n_tokens: K, tokens per block.
        dim: R, width of the shared space.
        first_block: 1-based block, counted in the shallower tower, from which on tokens enter;
            None for the middle (6 of 12).
        alpha: weight of the class path in the loss and in fused logits.
        reg: weight of staying close to the frozen model.
        beta: share of fresh values in a block's tokens.
        rank: rank of each block's own part of the aligners.
        projection_rank: rank of what is added to the frozen projection.

    Raises:
        InterlaceError: if the towers have no such block.
    """

    key = "mmrl++"
    summary = "MMRL with shared-residual aligners and tokens that carry over (IJCV 2026)."

    def __init__(
        self,
        clip: DualEncoder,
        *,
        n_tokens: TokenCount,
        dim: Width,
        first_block: Blocks | None,
        alpha: Share,
        reg: Weight,
        beta: Share,
        rank: Rank,
        projection_rank: Width,
    ) -> None:
        super().__init__(clip, n_tokens, dim, first_block, alpha, reg)
        self.carry = 1 - beta
        self.to_image = Aligner(dim, clip.image.width, self.blocks, rank)
        self.to_text = Aligner(dim, clip.text.width, self.blocks, rank)
        self.rep_projection_a = nn.Parameter(torch.empty(clip.image.width, projection_rank))
        self.rep_projection_b = nn.Parameter(torch.zeros(projection_rank, clip.spec.embed_dim))
        nn.init.kaiming_uniform_(self.rep_projection_a, a=math.sqrt(5))
        self.register_buffer("_frozen_projection", _image_projection(clip), persistent=False)

    _frozen_projection: Tensor

    def image_tokens(self) -> Tensor:
        """Map the space through each block's aligner, [blocks, K, D]."""
        return self.to_image(self.space)

    def text_tokens(self) -> Tensor:
        """Map the space through each block's aligner, [blocks, K, D]."""
        return self.to_text(self.space)

    def representation_projection(self) -> Tensor:
        """Return the frozen projection plus a low-rank matrix, [D, E]."""
        return self._frozen_projection + self.rep_projection_a @ self.rep_projection_b
