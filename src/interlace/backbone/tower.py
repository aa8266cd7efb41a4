"""The towers: one image tower and one text tower that serve every checkpoint family.

A tower is frozen. What a method changes arrives as an :class:`~interlace.backbone.edits.Edit` with
each call. This file defines what a tower computes: every position of every input, block by block.
:mod:`~interlace.backbone.prefix` computes the same in less time, and is what a
:class:`~interlace.backbone.dual.DualEncoder` runs.

Shapes: B images or texts, L positions, D width, E embedding, K inserted tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from interlace.backbone.edits import NO_EDIT, Edit, Tokens
from interlace.backbone.layers import AttentionFn, AttentionPool, Block, apply_affine, attend
from interlace.backbone.spec import ImageSpec, TextSpec, TowerSpec
from interlace.errors import InterlaceError


@dataclass(frozen=True)
class TowerOutput:
    """What a tower computes from its input; nothing is normalised.

    Attributes:
        features: [B, E].
        token_features: [B, E], the pooled inserted tokens through the edit's second projection;
            None where the edit has none.
        frozen: [B, E], the features of the tower without the edit; None where they were not asked
            for.
    """

    features: Tensor
    token_features: Tensor | None = None
    frozen: Tensor | None = None


class Tower(nn.Module):
    """The part both towers share: blocks, last LayerNorm, projection, and how an edit acts."""

    causal = False

    def __init__(self, spec: TowerSpec, embed_dim: int) -> None:
        super().__init__()
        self.spec = spec
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))
        self.ln_final = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        shape = (spec.width, embed_dim)
        self.projection = (
            nn.Parameter(torch.randn(shape) * spec.width**-0.5) if spec.projection else None
        )
        self.projection_bias = (
            nn.Parameter(torch.zeros(embed_dim)) if spec.projection_bias else None
        )

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.spec.depth

    @property
    def width(self) -> int:
        """D, the width of the residual stream."""
        return self.spec.width

    @property
    def insert_at(self) -> int:
        """Position at which an edit's tokens are inserted."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, edit: Edit | None = None) -> TowerOutput:
        """Run the tower under ``edit``.

        Args:
            inputs: images [B, 3, H, W] or token ids [B, L].
            edit: what to change; None leaves the tower as it is.

        Returns:
            The features; see :class:`TowerOutput`.

        Raises:
            InterlaceError: if ``inputs`` or ``edit`` do not fit the tower.
        """
        edit = self.checked(edit)
        x, read = self.embed(inputs)
        for i, block in enumerate(self.blocks):
            x = self.insert_tokens(x, edit.tokens, i)
            x = block(x, edit.block(i), self.masked_attention(x))
        return self.read_out(x, edit, read)

    def checked(self, edit: Edit | None) -> Edit:
        """Return ``edit``, the empty one for None.

        Raises:
            InterlaceError: if it does not fit the tower.
        """
        if edit is None:
            return NO_EDIT
        edit.check(self.depth, self.width)
        return edit

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return embedded positions [B, L, D], and for text the position [B] that is read.

        Raises:
            InterlaceError: if ``inputs`` do not fit the tower.
        """
        raise NotImplementedError

    def masked_attention(self, x: Tensor) -> AttentionFn:
        """Return which positions of ``x`` [B, L, D] attend to which, by an explicit mask."""
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
        return partial(attend, mask=mask.tril() if self.causal else mask)

    def insert_tokens(self, x: Tensor, tokens: Tokens | None, block: int) -> Tensor:
        """Insert an edit's tokens into ``x`` [B, L, D] before their first block, or refresh them.

        Args:
            x: what goes into the block.
            tokens: the tokens, or None.
            block: the block's index.

        Raises:
            InterlaceError: if tokens are to overwrite more positions than there are.
        """
        step = -1 if tokens is None else block - tokens.first_block
        if tokens is None or not 0 <= step < len(tokens.values):
            return x
        at, count = self.insert_at, tokens.count
        values = tokens.values[step].to(x.dtype).expand(len(x), -1, -1)
        rest = at + count
        if step == 0:
            rest -= tokens.inserted
            if x.shape[1] < rest:
                raise InterlaceError(
                    f"{count} tokens are to overwrite positions of a sequence of {x.shape[1]}"
                )
        elif tokens.carry:
            values = (1 - tokens.carry) * values + tokens.carry * x[:, at:rest]
        return torch.cat([x[:, :at], values, x[:, rest:]], dim=1)

    def read_out(self, x: Tensor, edit: Edit, read: Tensor | None) -> TowerOutput:
        """Turn what the last block computed into features: last LayerNorm, pooling, projection.

        Args:
            x: [B, L, D].
            edit: what to change.
            read: [B], the position of each text that is read; None for images, and for texts whose
                first position is the one.
        """
        x = apply_affine(edit.after_ln_final, self.ln_final(x))
        inserted = 0 if edit.tokens is None else edit.tokens.inserted
        features = self.project(self.pool_positions(x, read, inserted), edit.projection)
        features = apply_affine(edit.after_projection, features)
        if edit.tokens is None or edit.token_projection is None:
            return TowerOutput(features)
        tokens = self.pool_tokens(x[:, self.insert_at : self.insert_at + edit.tokens.count])
        return TowerOutput(features, tokens @ edit.token_projection.to(tokens.dtype))

    def pool_positions(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        """Pool [B, L, D] to [B, D].

        Args:
            x: the positions.
            read: see :meth:`read_out`.
            inserted: tokens at :attr:`insert_at` to leave out.
        """
        raise NotImplementedError

    def pool_tokens(self, tokens: Tensor) -> Tensor:
        """Pool the inserted tokens [B, K, D] to [B, D]."""
        return tokens.mean(dim=1)

    def project(self, pooled: Tensor, replacement: Tensor | None = None) -> Tensor:
        """Map ``pooled`` [B, D] to the embedding [B, E].

        Args:
            pooled: what pooling returned.
            replacement: [D, E] in place of the tower's own projection.
        """
        matrix = self.projection if replacement is None else replacement
        if matrix is None:
            return pooled
        projected = pooled @ matrix.to(pooled.dtype)
        return projected if self.projection_bias is None else projected + self.projection_bias


class ImageTower(Tower):
    """A vision transformer; see :class:`~interlace.backbone.spec.ImageSpec` for its variants."""

    spec: ImageSpec

    def __init__(self, spec: ImageSpec, embed_dim: int) -> None:
        super().__init__(spec, embed_dim)
        self.patch = nn.Conv2d(
            3, spec.width, spec.patch_size, stride=spec.patch_size, bias=spec.patch_bias
        )
        self.class_token = (
            nn.Parameter(torch.randn(spec.width) * spec.width**-0.5) if spec.class_token else None
        )
        self.positions = nn.Parameter(torch.randn(spec.positions, spec.width) * spec.width**-0.5)
        self.ln_pre = nn.LayerNorm(spec.width, eps=spec.norm_eps) if spec.ln_pre else None
        self.pool = AttentionPool(spec) if spec.pool == "map" else None

    @property
    def insert_at(self) -> int:
        """After the class token, or in front where the tower has none."""
        return int(self.spec.class_token)

    def embed(self, inputs: Tensor) -> tuple[Tensor, None]:
        """Embed images [B, 3, H, W] as [B, L, D]."""
        size = self.spec.image_size
        if inputs.ndim != 4 or inputs.shape[1:] != (3, size, size):
            raise InterlaceError(
                f"images have shape {list(inputs.shape)}, the model takes [B, 3, {size}, {size}]"
            )
        x = self.patch(inputs).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            lead = self.class_token.to(x.dtype).expand(len(x), 1, -1)
            x = torch.cat([lead, x], dim=1)
        x = x + self.positions.to(x.dtype)
        return (x if self.ln_pre is None else self.ln_pre(x)), None

    def pool_positions(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        """Pool [B, L, D] to [B, D] as the tower's ``pool`` says."""
        at = self.insert_at
        if self.spec.pool == "cls":
            return x[:, 0]
        if self.pool is None:
            return x[:, at + inserted :].mean(dim=1)
        return self.pool(torch.cat([x[:, :at], x[:, at + inserted :]], dim=1) if inserted else x)

    def pool_tokens(self, tokens: Tensor) -> Tensor:
        """Average [B, K, D], or use the attention pool where there is one: it leads to [B, E]."""
        return tokens.mean(dim=1) if self.pool is None else self.pool(tokens)


class TextTower(Tower):
    """A text transformer; see :class:`~interlace.backbone.spec.TextSpec` for its variants."""

    spec: TextSpec

    def __init__(self, spec: TextSpec, embed_dim: int) -> None:
        super().__init__(spec, embed_dim)
        self.causal = spec.causal
        self.table = nn.Embedding(spec.vocab_size, spec.width)
        self.positions = nn.Parameter(torch.randn(spec.context_length, spec.width) * 0.01)

    @property
    def insert_at(self) -> int:
        """After the begin-of-text token, or in front where texts begin without one."""
        return int(self.spec.begins_with_token)

    def read_position(self, ids: Tensor) -> Tensor:
        """Return the position [B] whose output is the feature of each text of ``ids`` [B, L].

        Raises:
            InterlaceError: if the ids do not fit the context, or a text holds no end-of-text token
                where one is to be read.
        """
        if ids.ndim != 2 or not 0 < ids.shape[1] <= self.spec.context_length:
            raise InterlaceError(
                f"token ids have shape {list(ids.shape)}, "
                f"the model takes [B, at most {self.spec.context_length}]"
            )
        if self.spec.pool == "argmax":
            return ids.argmax(dim=-1)
        if self.spec.pool == "eos":
            found = ids.eq(-1 if self.spec.eos_id is None else self.spec.eos_id)
            if not bool(found.any(dim=-1).all()):
                raise InterlaceError(
                    f"a prompt holds no end-of-text token (id {self.spec.eos_id}): was it cut?"
                )
            return found.int().argmax(dim=-1)
        position = 0 if self.spec.pool == "first" else ids.shape[1] - 1
        return torch.full((len(ids),), position, device=ids.device)

    def embed(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Embed token ids [B, L] as [B, L, D], and find the position [B] that is read."""
        read = self.read_position(inputs)
        x = self.table(inputs)
        return x + self.positions[: x.shape[1]].to(x.dtype), read

    def pool_positions(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        """Take the position [B, D] of each text in [B, L, D] that is read."""
        if read is None:
            return x[:, 0]
        shifted = torch.where(read >= self.insert_at, read + inserted, read)
        return x[torch.arange(len(x), device=x.device), shifted]
