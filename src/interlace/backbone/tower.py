"""The towers: one image tower and one text tower that serve every checkpoint family.

A tower is frozen. What a method changes arrives as an :class:`~interlace.backbone.edits.Edit` with
each call. Shapes: B images or texts, L positions, D width, E embedding, K inserted tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interlace.backbone.edits import Edit, Tokens
from interlace.backbone.layers import NO_EDIT, AttentionPool, Block, apply_site
from interlace.backbone.spec import ImageSpec, TextSpec, TowerSpec
from interlace.errors import InterlaceError


@dataclass(frozen=True)
class TowerOutput:
    """What a tower made of its input; nothing is normalised.

    Attributes:
        features: [B, E].
        token_features: [B, E], the pooled inserted tokens through the edit's second projection;
            None where the edit has none.
        frozen: [B, E], the features of the tower without the edit, from the same pass through the
            shared first blocks; None where they were not asked for.
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

    def _embed(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embedded positions [B, L, D], and for text the position [B] that is read."""
        raise NotImplementedError

    def _pool(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        """Pool [B, L, D] to [B, D], leaving out ``inserted`` tokens at :attr:`insert_at`."""
        raise NotImplementedError

    def _pool_tokens(self, tokens: Tensor) -> Tensor:
        """Pool the inserted tokens [B, K, D] to [B, D]."""
        return tokens.mean(dim=1)

    def forward(
        self, inputs: Tensor, edit: Edit | None = None, frozen: bool = False
    ) -> TowerOutput:
        """Run the tower under ``edit``.

        Args:
            inputs: images [B, 3, H, W] or token ids [B, L].
            edit: what to change; None leaves the tower as it is.
            frozen: whether to return the unedited features too. Both passes share the blocks
                before the first edited one, so the frozen model costs no second encoder.

        Returns:
            The features; see :class:`TowerOutput`.

        Raises:
            InterlaceError: if ``inputs`` or ``edit`` do not fit the tower.
        """
        x, read = self._embed(inputs)
        if edit is None:
            features = self._finish(self._run(x, NO_EDIT), NO_EDIT, read).features
            return TowerOutput(features, frozen=features if frozen else None)
        edit.check(self.depth, self.width)
        first = edit.first_block(self.depth)
        x = self._run(x, NO_EDIT, stop=first)
        output = self._finish(self._run(x, edit, start=first), edit, read)
        if not frozen:
            return output
        with torch.no_grad():
            base = self._finish(self._run(x, NO_EDIT, start=first), NO_EDIT, read)
        return TowerOutput(output.features, output.token_features, base.features)

    def _run(self, x: Tensor, edit: Edit, start: int = 0, stop: int | None = None) -> Tensor:
        for i in range(start, self.depth if stop is None else stop):
            if edit.tokens is not None and i >= edit.tokens.first_block:
                x = self._place(x, edit.tokens, i - edit.tokens.first_block)
            x = self.blocks[i](x, edit, f"blocks.{i}", self.causal)
        return x

    def _place(self, x: Tensor, tokens: Tokens, step: int) -> Tensor:
        """Insert the tokens (``step`` 0) or refresh them before a later block."""
        at, count = self.insert_at, tokens.count
        if step >= len(tokens.values):
            return x
        values = tokens.values[step].to(x.dtype).expand(len(x), -1, -1)
        if step == 0:
            rest = at + count - tokens.inserted
            if x.shape[1] < rest:
                raise InterlaceError(
                    f"{count} tokens are to overwrite positions of a sequence of {x.shape[1]}"
                )
            return torch.cat([x[:, :at], values, x[:, rest:]], dim=1)
        if tokens.carry:
            previous = x[:, at : at + count]
            values = (1 - tokens.carry) * values + tokens.carry * previous
        return torch.cat([x[:, :at], values, x[:, at + count :]], dim=1)

    def _finish(self, x: Tensor, edit: Edit, read: Tensor | None) -> TowerOutput:
        count, inserted = (
            (0, 0) if edit.tokens is None else (edit.tokens.count, edit.tokens.inserted)
        )
        x = apply_site(edit, "ln_final", self.ln_final(x))
        features = self._project(self._pool(x, read, inserted), edit.projection)
        features = apply_site(edit, "projection", features)
        if edit.token_projection is None:
            return TowerOutput(features)
        tokens = self._pool_tokens(x[:, self.insert_at : self.insert_at + count])
        return TowerOutput(features, tokens @ edit.token_projection.to(tokens.dtype))

    def _project(self, pooled: Tensor, replacement: Tensor | None) -> Tensor:
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

    def _embed(self, inputs: Tensor) -> tuple[Tensor, None]:
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

    def _pool(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        at = self.insert_at
        if self.spec.pool == "cls":
            return x[:, 0]
        if self.pool is None:
            return x[:, at + inserted :].mean(dim=1)
        return self.pool(torch.cat([x[:, :at], x[:, at + inserted :]], dim=1) if inserted else x)

    def _pool_tokens(self, tokens: Tensor) -> Tensor:
        """Mean, or the attention pool where the tower has one: it leads to the embedding."""
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
        """Position [B] whose output is the feature of each text of ``ids`` [B, L].

        Raises:
            InterlaceError: if a text holds no end-of-text token where one is to be read.
        """
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

    def _embed(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        if inputs.ndim != 2 or not 0 < inputs.shape[1] <= self.spec.context_length:
            raise InterlaceError(
                f"token ids have shape {list(inputs.shape)}, "
                f"the model takes [B, at most {self.spec.context_length}]"
            )
        read = self.read_position(inputs)
        if self.causal:
            # No position sees a later one, so nothing after the last read position counts. A
            # tower that is not causal attends to its padding and must keep the full length.
            inputs = inputs[:, : int(read.max()) + 1]
        x = self.table(inputs)
        return x + self.positions[: x.shape[1]].to(x.dtype), read

    def _pool(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        if read is None:
            raise InterlaceError("text pooling needs the position to read")
        shifted = torch.where(read >= self.insert_at, read + inserted, read)
        return x[torch.arange(len(x), device=x.device), shifted]
