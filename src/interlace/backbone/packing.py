"""Packed texts: their common prefix is stored once, and nothing is padded.

In a causal tower no position attends to a later one. So the positions of the prefix that all C
texts share (begin-of-text, an edit's tokens, the template's words before the class name) have the
same values in every text: they are computed once, and every text attends to their keys and values.
Each text adds its own positions up to the one that is read. The gradients of the shared positions
sum over the texts without further code. Linears and norms run over P + N positions; only attention
pads.

A tower that is not causal attends to its padding and to later words: nothing can be shared.

Shapes: C texts, P shared positions, N positions of all texts' own, S of the longest, D width,
H heads of width d.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interlace.backbone.layers import attend, attend_causally


@dataclass(frozen=True)
class Packing:
    """The layout of the positions of C texts in one sequence of P + N.

    Attributes:
        shared: P.
        count: C.
        longest: S.
        slots: [N], the place of each own position in a C x S grid; None where every text has S.
        ends: [C], the position each text is read at, counted in the whole sequence.
    """

    shared: int
    count: int
    longest: int
    slots: Tensor | None
    ends: Tensor

    @classmethod
    def of(cls, ids: Tensor, read: Tensor, share: bool) -> tuple[Packing, Tensor, Tensor]:
        """Pack token ids.

        Args:
            ids: [C, L].
            read: [C], the position each text is read at; what follows it is dropped.
            share: whether to store the common prefix once.

        Returns:
            The packing; the ids [P + N] and the positions [P + N] they had in their text.
        """
        shared = _common(ids, read) if share else 0
        length = int(read.max()) + 1
        column = torch.arange(shared, length, device=ids.device)
        own = column <= read[:, None]
        ragged = not bool(own.all())
        packing = cls(
            shared=shared,
            count=len(ids),
            longest=length - shared,
            slots=own.flatten().nonzero()[:, 0] if ragged else None,
            ends=shared + own.sum(dim=1).cumsum(0) - 1,
        )
        common = torch.arange(shared, device=ids.device)
        kept = torch.cat([ids[0, :shared], ids[:, shared:length][own]])
        positions = torch.cat([common, column.expand(len(ids), -1)[own]])
        return packing, kept, positions

    def insert(self, count: int) -> Packing:
        """Return the packing with ``count`` more shared positions."""
        return replace(self, shared=self.shared + count, ends=self.ends + count)

    def parts(self, size: int) -> Iterator[tuple[Packing, slice]]:
        """Yield packings of ``size`` texts, and which of the N own positions each holds."""
        bounds = torch.cat([self.ends.new_tensor([0]), self.ends + 1 - self.shared]).tolist()
        for first in range(0, self.count, size):
            last = min(first + size, self.count)
            own = slice(bounds[first], bounds[last])
            slots = None if self.slots is None else self.slots[own] - first * self.longest
            ends = self.ends[first:last] - own.start
            yield Packing(self.shared, last - first, self.longest, slots, ends), own

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Let every position [1, P + N, H, d] attend to those before it in its own text."""
        shared = self.shared
        seen = torch.ones(self.longest, shared + self.longest, dtype=torch.bool, device=q.device)
        own = attend(self._grid(q), self._keys(k), self._keys(v), seen.tril(shared))
        own = own.flatten(0, 1) if self.slots is None else own.flatten(0, 1)[self.slots]
        if not shared:
            return own[None]
        common = attend_causally(q[:, :shared], k[:, :shared], v[:, :shared])
        return torch.cat([common, own[None]], dim=1)

    def attend_ends(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Let the position each text is read at, [1, C, H, d], attend to its whole text."""
        mask = None
        if self.slots is not None:
            there = torch.ones(
                self.count, self.shared + self.longest, dtype=torch.bool, device=q.device
            )
            own = there.new_zeros(self.count * self.longest)
            own[self.slots] = True
            there[:, self.shared :] = own.view(self.count, self.longest)
            mask = there[:, None, None]
        return attend(q.transpose(0, 1), self._keys(k), self._keys(v), mask).transpose(0, 1)

    def _grid(self, y: Tensor) -> Tensor:
        """Return own positions of [1, P + N, H, d] as [C, S, H, d], padded with zeros."""
        own = y[0, self.shared :]
        if self.slots is not None:
            size = (self.count * self.longest, *own.shape[1:])
            own = own.new_zeros(size).index_copy(0, self.slots, own)
        return own.unflatten(0, (self.count, self.longest))

    def _keys(self, y: Tensor) -> Tensor:
        """Return what each text attends to, [C, P + S, H, d]."""
        own = self._grid(y)
        common = y[:, : self.shared].expand(self.count, -1, -1, -1)
        return torch.cat([common, own], dim=1) if self.shared else own


def _common(ids: Tensor, read: Tensor) -> int:
    """Return the length of the texts' common prefix; each keeps the position that is read."""
    same = (ids == ids[:1]).all(dim=0)
    common = int(same.int().cumprod(0).sum())
    return min(common, int(read.min()))
