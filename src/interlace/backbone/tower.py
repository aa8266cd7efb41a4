"""The towers: one image tower and one text tower that serve every checkpoint family.

A tower is frozen. What a method changes arrives as an :class:`~interlace.backbone.edits.Edit` with
each call. Shapes: B images or texts, L positions, D width, E embedding, K inserted tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from interlace.backbone.edits import Edit, Tokens
from interlace.backbone.layers import (
    NO_EDIT,
    AttentionPool,
    Block,
    Mix,
    Positions,
    apply_site,
    attend,
    attend_causally,
)
from interlace.backbone.packing import Packing
from interlace.backbone.spec import ImageSpec, TextSpec, TowerSpec
from interlace.errors import InterlaceError


@dataclass(frozen=True)
class PrefixState:
    """Inputs that went through the first blocks of a tower without an edit: they are constant.

    A tower takes it in the place of its inputs, as often as an edit changes.

    Attributes:
        x: [B, L, D], or [1, P + N, D] of packed texts.
        block: how many blocks are done.
        read: [B], the position of each text that is read; None for images.
        packing: how texts are packed; None where each has a row of its own.
        frozen: [B, E], features of the tower without an edit; None where nobody asked for them.
        chunk: how many texts go through the remaining blocks at a time, each part computed once
            more for its gradient instead of being kept; None for all at once.
    """

    x: Tensor
    block: int
    read: Tensor | None = None
    packing: Packing | None = None
    frozen: Tensor | None = None
    chunk: int | None = None

    def __len__(self) -> int:
        return len(self.x) if self.packing is None else self.packing.count

    @classmethod
    def cat(cls, parts: Sequence[PrefixState]) -> PrefixState:
        """Unpacked inputs, one after the other."""
        read = [p.read for p in parts if p.read is not None]
        frozen = [p.frozen for p in parts if p.frozen is not None]
        return cls(
            torch.cat([p.x for p in parts]),
            parts[0].block,
            torch.cat(read) if read else None,
            frozen=torch.cat(frozen) if frozen else None,
        )

    def take(self, index: Tensor) -> PrefixState:
        """Return the inputs ``index`` of unpacked ones."""
        read, frozen = (None if y is None else y[index] for y in (self.read, self.frozen))
        return PrefixState(self.x[index], self.block, read, frozen=frozen)

    def parts(self) -> Iterator[PrefixState]:
        """``chunk`` texts at a time."""
        size = self.chunk or len(self)
        if self.packing is None:
            for rows in torch.arange(len(self), device=self.x.device).split(size):
                yield self.take(rows)
            return
        common, own = self.x[:, : self.packing.shared], self.x[:, self.packing.shared :]
        for packing, rows in self.packing.parts(size):
            yield PrefixState(torch.cat([common, own[:, rows]], dim=1), self.block, None, packing)


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

    def _enter(self, inputs: Tensor, edit: Edit) -> PrefixState:
        """Embedded inputs as ``edit`` lets them be laid out, no block done."""
        x, read = self._embed(inputs)
        return PrefixState(x, 0, read)

    def _last_rows(self, edit: Edit, packing: Packing | None) -> Positions:
        """Return the positions that are read after the last block; None where most are."""
        raise NotImplementedError

    def _pool(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        """Pool [B, L, D] to [B, D], leaving out ``inserted`` tokens at :attr:`insert_at`.

        Texts without ``read`` hold the position to read alone.
        """
        raise NotImplementedError

    def _pool_tokens(self, tokens: Tensor) -> Tensor:
        """Pool the inserted tokens [B, K, D] to [B, D]."""
        return tokens.mean(dim=1)

    def run_prefix(
        self, inputs: Tensor, edit: Edit | None = None, frozen: bool = False
    ) -> PrefixState:
        """Run the blocks before the first one that ``edit`` changes.

        What comes out serves every edit that starts no earlier, however its tensors change.

        Args:
            inputs: images [B, 3, H, W] or token ids [B, L].
            edit: what will be changed; None for nothing.
            frozen: whether to compute the unedited features too.

        Raises:
            InterlaceError: if ``inputs`` or ``edit`` do not fit the tower.
        """
        edit = self._checked(edit)
        prefix = self._advance(self._enter(inputs, edit), edit)
        return replace(prefix, frozen=self._unedited(prefix)) if frozen else prefix

    def forward(
        self,
        inputs: Tensor | PrefixState,
        edit: Edit | None = None,
        frozen: bool = False,
        shortcuts: bool = True,
    ) -> TowerOutput:
        """Run the tower under ``edit``.

        Args:
            inputs: images [B, 3, H, W], token ids [B, L], or what :meth:`begin` made of them.
            edit: what to change; None leaves the tower as it is.
            frozen: whether to return the unedited features too. Both passes share the blocks
                before the first edited one, so the frozen model costs no second encoder.
            shortcuts: False computes the same without any of them: every position of every text,
                an explicit mask, all positions through the last block, a second full pass for the
                unedited features.

        Returns:
            The features; see :class:`TowerOutput`.

        Raises:
            InterlaceError: if ``inputs`` or ``edit`` do not fit the tower.
        """
        edit = self._checked(edit)
        if not shortcuts:
            return self._plainly(inputs, edit, frozen)
        prefix = inputs if isinstance(inputs, PrefixState) else self._enter(inputs, edit)
        prefix = self._advance(prefix, edit)
        output = self._through(prefix, edit)
        if not frozen:
            return output
        base = output.features if edit is NO_EDIT else self._unedited(prefix)
        return TowerOutput(output.features, output.token_features, base)

    def _checked(self, edit: Edit | None) -> Edit:
        if edit is None:
            return NO_EDIT
        edit.check(self.depth, self.width)
        return edit

    def _advance(self, prefix: PrefixState, edit: Edit) -> PrefixState:
        """Up to the first block that ``edit`` changes; the last one never, it computes less."""
        first = edit.first_block(self.depth)
        if first < prefix.block:
            raise InterlaceError(
                f"the edit changes block {first + 1}, the inputs have gone through {prefix.block}"
            )
        x, stop = prefix.x, min(first, self.depth - 1)
        for i in range(prefix.block, stop):
            x = self.blocks[i](x, NO_EDIT, f"blocks.{i}", self._mix(prefix.packing))
        return replace(prefix, x=x, block=max(stop, prefix.block))

    def _mix(self, packing: Packing | None) -> Mix:
        """Which positions attend to which."""
        if packing is not None:
            return packing.mix
        return attend_causally if self.causal else attend

    @torch.no_grad()
    def _unedited(self, prefix: PrefixState) -> Tensor:
        if prefix.frozen is not None:
            return prefix.frozen
        return self._through(prefix, NO_EDIT).features

    def _through(self, prefix: PrefixState, edit: Edit) -> TowerOutput:
        """Return the remaining blocks, pooling and projection."""
        if prefix.chunk is None or prefix.chunk >= len(prefix):
            return self._resume(prefix, edit)
        run = self._resume
        if torch.is_grad_enabled():
            run = partial(checkpoint, run, use_reentrant=False)
        outputs = [run(part, edit) for part in prefix.parts()]
        tokens = [o.token_features for o in outputs if o.token_features is not None]
        return TowerOutput(
            torch.cat([o.features for o in outputs]), torch.cat(tokens) if tokens else None
        )

    def _resume(self, prefix: PrefixState, edit: Edit) -> TowerOutput:
        x, packing, tokens = prefix.x, prefix.packing, edit.tokens
        for i in range(prefix.block, self.depth):
            if tokens is not None and i >= tokens.first_block:
                x = self._place(x, tokens, i - tokens.first_block)
                if packing is not None and i == tokens.first_block:
                    packing = packing.insert(tokens.inserted)
            mix, rows = self._mix(packing), None
            if i == self.depth - 1:
                rows = self._last_rows(edit, packing)
                if rows is not None:
                    mix = attend if packing is None else packing.mix_ends
            x = self.blocks[i](x, edit, f"blocks.{i}", mix, rows)
        if packing is not None:
            return self._finish(x.transpose(0, 1), edit, None)
        return self._finish(x, edit, prefix.read if rows is None else None)

    def _plainly(self, inputs: Tensor | PrefixState, edit: Edit, frozen: bool) -> TowerOutput:
        """:meth:`forward` without shortcuts."""
        if isinstance(inputs, PrefixState):
            raise InterlaceError("without shortcuts a tower takes images or token ids")
        x, read = self._embed(inputs)
        for i, block in enumerate(self.blocks):
            if edit.tokens is not None and i >= edit.tokens.first_block:
                x = self._place(x, edit.tokens, i - edit.tokens.first_block)
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
            mix = partial(attend, mask=mask.tril() if self.causal else mask)
            x = block(x, edit, f"blocks.{i}", mix)
        output = self._finish(x, edit, read)
        if not frozen:
            return output
        with torch.no_grad():
            base = self._plainly(inputs, NO_EDIT, frozen=False).features
        return TowerOutput(output.features, output.token_features, base)

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

    def _last_rows(self, edit: Edit, packing: Packing | None) -> Positions:
        if self.spec.pool != "cls":
            return None
        tokens = 0 if edit.tokens is None or edit.token_projection is None else edit.tokens.count
        return slice(0, self.insert_at + tokens)

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

    def _read_of(self, inputs: Tensor) -> Tensor:
        if inputs.ndim != 2 or not 0 < inputs.shape[1] <= self.spec.context_length:
            raise InterlaceError(
                f"token ids have shape {list(inputs.shape)}, "
                f"the model takes [B, at most {self.spec.context_length}]"
            )
        return self.read_position(inputs)

    def _embed(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        read = self._read_of(inputs)
        x = self.table(inputs)
        return x + self.positions[: x.shape[1]].to(x.dtype), read

    def _enter(self, inputs: Tensor, edit: Edit) -> PrefixState:
        """Embed texts without the positions that nobody sees.

        In a causal tower nothing after the position that is read counts, and the positions all
        texts begin with have the same values in each: see :mod:`~interlace.backbone.packing`. A
        tower that is not causal (SigLIP) attends to its padding, which its training taught it to
        expect: its texts keep their full length.
        """
        read = self._read_of(inputs)
        if not self.causal:
            x, read = self._embed(inputs)
            return PrefixState(x, 0, read)
        # a change that drops inputs by chance draws for every text anew: nothing is in common
        share = not any(change.dropout for change in edit.low_rank.values())
        packing, ids, positions = Packing.of(inputs, read, share)
        if edit.tokens is not None:
            count = edit.tokens.count
            room = self.insert_at + count - edit.tokens.inserted
            if packing.shared < room or edit.token_projection is not None:
                x, read = self._embed(inputs[:, : int(read.max()) + 1])
                return PrefixState(x, 0, read)
        x = self.table(ids) + self.positions[positions]
        return PrefixState(x[None], 0, packing=packing)

    def _last_rows(self, edit: Edit, packing: Packing | None) -> Positions:
        if packing is not None:
            return packing.ends
        if self.causal or edit.token_projection is not None:
            return None
        if self.spec.pool == "last":
            return slice(-1, None)
        if self.spec.pool == "first":
            moved = 0 if edit.tokens is None or self.insert_at else edit.tokens.inserted
            return slice(moved, moved + 1)
        return None

    def _pool(self, x: Tensor, read: Tensor | None, inserted: int) -> Tensor:
        if read is None:
            return x[:, 0]
        shifted = torch.where(read >= self.insert_at, read + inserted, read)
        return x[torch.arange(len(x), device=x.device), shifted]
