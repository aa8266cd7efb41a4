"""Towers that leave out what does not change the result; tested against :mod:`.tower`.

The towers here compute the features and gradients of :class:`~interlace.backbone.tower.Tower` in
less time:

- **Frozen prefix.** The blocks before the first one that an edit changes always compute the same:
  they run once, without a graph, and later calls take their output (:class:`PrefixState`).
- **Packing.** Texts of a causal tower share the positions of their common prefix, and have no
  padding; see :mod:`~interlace.backbone.packing`.
- **Last block.** Only the positions that are read are query positions of the last block.
- **Shared teacher pass.** The features of the tower without the edit start from the same prefix.
- **Parts.** Texts that do not fit into memory at once run some at a time, and are computed again
  for their gradient (activation checkpointing).
- **Compilation** of the blocks, on request.

Shapes: B images or texts, L positions, D width, E embedding, P + N positions of packed texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from interlace.backbone.edits import NO_BLOCK_EDIT, NO_EDIT, Edit
from interlace.backbone.layers import AttentionFn, Queries, attend, attend_causally
from interlace.backbone.packing import Packing
from interlace.backbone.tower import ImageTower, TextTower, Tower, TowerOutput
from interlace.errors import InterlaceError


@dataclass(frozen=True)
class PrefixState:
    """Inputs that went through the first blocks of a tower without an edit: they are constant.

    A tower takes it in place of its inputs, for any edit that starts no earlier.

    Attributes:
        x: [B, L, D], or [1, P + N, D] of packed texts.
        block: how many blocks are done.
        read: [B], the position of each text that is read; None for images.
        packing: how texts are packed; None where each has a row of its own.
        frozen: [B, E], features of the tower without an edit; None where they were not asked for.
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
        """Concatenate unpacked inputs."""
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
        """Yield ``chunk`` texts at a time."""
        size = self.chunk or len(self)
        if self.packing is None:
            for rows in torch.arange(len(self), device=self.x.device).split(size):
                yield self.take(rows)
            return
        common, own = self.x[:, : self.packing.shared], self.x[:, self.packing.shared :]
        for packing, rows in self.packing.parts(size):
            yield PrefixState(torch.cat([common, own[:, rows]], dim=1), self.block, None, packing)


class BlockRunner(NamedTuple):
    """What runs the blocks of a tower.

    Attributes:
        frozen: runs the blocks before ``stop`` without an edit.
        edited: runs the remaining blocks under an edit, and what follows them.
    """

    frozen: Callable[[PrefixState, int], PrefixState]
    edited: Callable[[PrefixState, Edit], TowerOutput]


class FastTower(Tower):
    """A tower with the shortcuts of this module, on by default."""

    #: The compiled blocks, inside :meth:`compile_blocks`; None where they run as they are.
    compiled: BlockRunner | None = None

    def forward(
        self,
        inputs: Tensor | PrefixState,
        edit: Edit | None = None,
        return_frozen: bool = False,
        shortcuts: bool = True,
    ) -> TowerOutput:
        """Run the tower under ``edit``.

        Args:
            inputs: images [B, 3, H, W], token ids [B, L], or what :meth:`run_prefix` made of them.
            edit: what to change; None leaves the tower as it is.
            return_frozen: whether to return the unedited features too. Both passes share the blocks
                before the first edited one, so the frozen model costs no second encoder.
            shortcuts: False computes the same without any of them, as :class:`Tower` defines it.

        Returns:
            The features; see :class:`TowerOutput`.

        Raises:
            InterlaceError: if ``inputs`` or ``edit`` do not fit the tower.
        """
        if not shortcuts:
            return self._forward_reference(inputs, edit, return_frozen)
        edit = self.checked(edit)
        state = inputs if isinstance(inputs, PrefixState) else self._embed_inputs(inputs, edit)
        state = self._run_frozen_blocks(state, edit)
        output = self._run_in_parts(state, edit)
        if not return_frozen:
            return output
        frozen = output.features if edit is NO_EDIT else self._frozen_features(state)
        return replace(output, frozen=frozen)

    def run_prefix(
        self, inputs: Tensor, edit: Edit | None = None, return_frozen: bool = False
    ) -> PrefixState:
        """Run the blocks before the first one that ``edit`` changes.

        The result serves every edit that starts no earlier, however its tensors change.

        Args:
            inputs: images [B, 3, H, W] or token ids [B, L].
            edit: what will be changed; None for nothing.
            return_frozen: whether to compute the unedited features too.

        Raises:
            InterlaceError: if ``inputs`` or ``edit`` do not fit the tower.
        """
        edit = self.checked(edit)
        state = self._run_frozen_blocks(self._embed_inputs(inputs, edit), edit)
        return replace(state, frozen=self._frozen_features(state)) if return_frozen else state

    @contextmanager
    def compile_blocks(self, backend: str = "inductor") -> Iterator[None]:
        """Run the blocks through ``torch.compile`` inside the context.

        Args:
            backend: as ``torch.compile`` takes it.
        """
        compiled = partial(torch.compile, dynamic=True, backend=backend)
        self.compiled = BlockRunner(*(compiled(run) for run in self._blocks_as_they_are()))
        try:
            yield
        finally:
            self.compiled = None

    def _blocks_as_they_are(self) -> BlockRunner:
        return BlockRunner(self._run_blocks_unedited, self._run_blocks)

    def _forward_reference(
        self, inputs: Tensor | PrefixState, edit: Edit | None, return_frozen: bool
    ) -> TowerOutput:
        if isinstance(inputs, PrefixState):
            raise InterlaceError("without shortcuts a tower takes images or token ids")
        output = super().forward(inputs, edit)
        if not return_frozen:
            return output
        with torch.no_grad():
            return replace(output, frozen=super().forward(inputs).features)

    def _embed_inputs(self, inputs: Tensor, edit: Edit) -> PrefixState:
        """Embed inputs in the layout that ``edit`` allows; no block is done."""
        x, read = self.embed(inputs)
        return PrefixState(x, 0, read)

    def _run_frozen_blocks(self, state: PrefixState, edit: Edit) -> PrefixState:
        """Run up to the first block that ``edit`` changes; never the last, it computes less."""
        first = edit.first_block(self.depth)
        if first < state.block:
            raise InterlaceError(
                f"the edit changes block {first + 1}, the inputs have gone through {state.block}"
            )
        stop = max(min(first, self.depth - 1), state.block)
        return (self.compiled or self._blocks_as_they_are()).frozen(state, stop)

    def _run_blocks_unedited(self, state: PrefixState, stop: int) -> PrefixState:
        x, attention = state.x, self._attention(state.packing)
        for i in range(state.block, stop):
            x = self.blocks[i](x, NO_BLOCK_EDIT, attention)
        return replace(state, x=x, block=stop)

    @torch.no_grad()
    def _frozen_features(self, state: PrefixState) -> Tensor:
        if state.frozen is not None:
            return state.frozen
        return self._run_in_parts(state, NO_EDIT).features

    def _run_in_parts(self, state: PrefixState, edit: Edit) -> TowerOutput:
        """Run the remaining blocks, pooling and projection, ``state.chunk`` texts at a time."""
        run = (self.compiled or self._blocks_as_they_are()).edited
        if state.chunk is None or state.chunk >= len(state):
            return run(state, edit)
        if torch.is_grad_enabled():
            run = partial(checkpoint, run, use_reentrant=False)
        outputs = [run(part, edit) for part in state.parts()]
        tokens = [o.token_features for o in outputs if o.token_features is not None]
        return TowerOutput(
            torch.cat([o.features for o in outputs]), torch.cat(tokens) if tokens else None
        )

    def _run_blocks(self, state: PrefixState, edit: Edit) -> TowerOutput:
        x, packing, tokens = state.x, state.packing, edit.tokens
        queries: Queries = None
        for i in range(state.block, self.depth):
            x = self.insert_tokens(x, tokens, i)
            if tokens is not None and packing is not None and i == tokens.first_block:
                packing = packing.insert(tokens.inserted)
            attention = self._attention(packing)
            if i == self.depth - 1:
                queries = self._last_queries(edit, packing)
                if queries is not None:
                    attention = attend if packing is None else packing.attend_ends
            x = self.blocks[i](x, edit.block(i), attention, queries)
        if packing is not None:
            return self.read_out(x.transpose(0, 1), edit, None)
        return self.read_out(x, edit, state.read if queries is None else None)

    def _attention(self, packing: Packing | None) -> AttentionFn:
        """Return which positions attend to which, without a mask where none is needed."""
        if packing is not None:
            return packing.attend
        return attend_causally if self.causal else attend

    def _last_queries(self, edit: Edit, packing: Packing | None) -> Queries:
        """Return the query positions of the last block, which are read; None for all."""
        raise NotImplementedError


class FastImageTower(FastTower, ImageTower):
    """An :class:`~interlace.backbone.tower.ImageTower` with shortcuts."""

    def _last_queries(self, edit: Edit, packing: Packing | None) -> Queries:
        if self.spec.pool != "cls":
            return None
        tokens = 0 if edit.tokens is None or edit.token_projection is None else edit.tokens.count
        return slice(0, self.insert_at + tokens)


class FastTextTower(FastTower, TextTower):
    """A :class:`~interlace.backbone.tower.TextTower` with shortcuts."""

    def _embed_inputs(self, inputs: Tensor, edit: Edit) -> PrefixState:
        """Embed texts without positions that no other position attends to.

        In a causal tower nothing after the position that is read counts, and the positions all
        texts begin with have the same values in each: see :mod:`~interlace.backbone.packing`. A
        tower that is not causal (SigLIP) attends to its padding, as it was trained to: its texts
        keep their full length.
        """
        if not self.causal:
            return super()._embed_inputs(inputs, edit)
        read = self.read_position(inputs)
        # dropout is drawn for every text anew: nothing is in common
        packing, ids, positions = Packing.of(inputs, read, share=not edit.drops_inputs)
        if edit.tokens is not None:
            room = self.insert_at + edit.tokens.count - edit.tokens.inserted
            if packing.shared < room or edit.token_projection is not None:
                return super()._embed_inputs(inputs[:, : int(read.max()) + 1], edit)
        x = self.table(ids) + self.positions[positions]
        return PrefixState(x[None], 0, packing=packing)

    def _last_queries(self, edit: Edit, packing: Packing | None) -> Queries:
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
