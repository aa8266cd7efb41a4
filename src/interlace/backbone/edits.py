"""Edits: plain data that changes what a frozen tower computes.

A method is a function from its own parameters to a pair of :class:`Edit`, one per tower. The tower
applies an edit while it runs: there are no hooks, nothing is replaced inside a module, and an edit
knows nothing of the method it came from.

Sites are named as the tower names its parts, with 0-based blocks: ``blocks.3.ln_1`` (output of the
first LayerNorm), ``blocks.3.attn`` (output of the attention's out-projection, before the residual
sum), ``blocks.3.ln_2``, ``blocks.3.mlp`` (output of the MLP's second linear, before the residual
sum), ``ln_final`` (after the last LayerNorm) and ``projection`` (after the projection to the
embedding). Linears that a :class:`LowRank` may change: ``blocks.3.q``, ``.k``, ``.v``, ``.out``,
``.fc`` and ``.proj``.

The names are parsed once, when an edit is made. A block takes its own part, a :class:`BlockEdit`,
from :meth:`Edit.block`, and reads attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor

from interlace.errors import InterlaceError

BLOCK_SITES = ("ln_1", "attn", "ln_2", "mlp")
TOWER_SITES = ("ln_final", "projection")
LINEARS = ("q", "k", "v", "out", "fc", "proj")


@dataclass(frozen=True)
class Affine:
    """``y <- scale * y + shift``, elementwise over the last dimension.

    Attributes:
        scale: [d], d the width of the site, or None for no scaling.
        shift: [d], or None for no shift.
    """

    scale: Tensor | None = None
    shift: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """Apply to ``values`` [..., d]; the result has the dtype of ``values``."""
        if self.scale is not None:
            values = values * self.scale.to(values.dtype)
        if self.shift is not None:
            values = values + self.shift.to(values.dtype)
        return values


@dataclass(frozen=True)
class LowRank:
    """``W <- W + a @ b`` for a linear whose stored weight W is [out, in].

    Attributes:
        a: [out, r].
        b: [r, in].
        dropout: share of the inputs that ``b`` does not see, drawn anew in each pass; a method sets
            it while it trains, and merging takes none.
    """

    a: Tensor
    b: Tensor
    dropout: float = 0.0


@dataclass(frozen=True)
class Tokens:
    """Tokens that stand after the first position from one block on.

    Before block ``first_block``, K tokens are inserted after the class token or begin-of-text
    token; where a tower has neither they are put in front. Before each later block that has values
    they are replaced by these, or blended with what the previous block made of them:
    ``(1 - carry) * values[i] + carry * previous``; after the last values they run on as they are.
    Pooling never reads them as part of the image or text: the class token, mean, attention or
    end-of-text pooling sees the original positions only. What the last block made of the tokens is
    read separately, see :attr:`Edit.token_projection`.

    With ``overwrite`` nothing is inserted: the tokens take the place of the K positions that stand
    there already (a prompt's placeholders), and the sequence keeps its length.

    Attributes:
        first_block: 0-based block before which the tokens are inserted.
        values: [n, K, D], the tokens of blocks ``first_block`` to ``first_block + n - 1``.
        carry: share of the previous block's output that is kept, 0 to 1.
        overwrite: whether the tokens take the place of positions instead of being inserted.
    """

    first_block: int
    values: Tensor
    carry: float = 0.0
    overwrite: bool = False

    @property
    def count(self) -> int:
        """K, the number of tokens."""
        return self.values.shape[1]

    @property
    def inserted(self) -> int:
        """How many positions the sequence grows by."""
        return 0 if self.overwrite else self.count


@dataclass(frozen=True)
class BlockEdit:
    """What is to change in one block.

    Attributes:
        ln_1: after the first LayerNorm.
        attn: after the attention's out-projection, before the residual sum.
        ln_2: after the second LayerNorm.
        mlp: after the MLP's second linear, before the residual sum.
        q: of the query projection.
        k: of the key projection.
        v: of the value projection.
        out: of the out-projection.
        fc: of the MLP's first linear.
        proj: of the MLP's second linear.
    """

    ln_1: Affine | None = None
    attn: Affine | None = None
    ln_2: Affine | None = None
    mlp: Affine | None = None
    q: LowRank | None = None
    k: LowRank | None = None
    v: LowRank | None = None
    out: LowRank | None = None
    fc: LowRank | None = None
    proj: LowRank | None = None


#: Changes nothing.
NO_BLOCK_EDIT = BlockEdit()


def _nothing() -> Mapping:
    return MappingProxyType({})


@dataclass(frozen=True)
class Edit:
    """Everything that is to change in one tower. The empty edit changes nothing, bit for bit.

    The mappings are read when the edit is made; make another edit instead of changing them.

    Attributes:
        affine: site name to :class:`Affine`.
        low_rank: linear name to :class:`LowRank`.
        tokens: inserted tokens, or None.
        projection: [D, E] used in place of the tower's own projection, or None.
        token_projection: [D, E] of a second projection, which maps the pooled inserted tokens to
            the embedding, or None.
    """

    affine: Mapping[str, Affine] = field(default_factory=_nothing)
    low_rank: Mapping[str, LowRank] = field(default_factory=_nothing)
    tokens: Tokens | None = None
    projection: Tensor | None = None
    token_projection: Tensor | None = None
    _blocks: Mapping[int, BlockEdit] = field(init=False, repr=False, compare=False)
    _unknown: bool = field(init=False, repr=False, compare=False)  # whether a name is no site

    def __post_init__(self) -> None:
        """Sort the changes by block; a name that is unknown waits for :meth:`check`."""
        parts: dict[int, dict[str, Any]] = {}
        unknown = False
        for changes, known, others in self._named():
            for name, change in changes.items():
                index, part = _parse(name)
                if index is not None and part in known:
                    parts.setdefault(index, {})[part] = change
                else:
                    unknown |= name not in others
        object.__setattr__(self, "_blocks", {i: BlockEdit(**own) for i, own in parts.items()})
        object.__setattr__(self, "_unknown", unknown)

    def _named(self) -> tuple[tuple[Mapping[str, Any], tuple[str, ...], tuple[str, ...]], ...]:
        """Return the changes by name, with the names of a block and of a tower they may have."""
        return (self.affine, BLOCK_SITES, TOWER_SITES), (self.low_rank, LINEARS, ())

    def block(self, index: int) -> BlockEdit:
        """Return what is to change in block ``index``, counted from 0."""
        return self._blocks.get(index, NO_BLOCK_EDIT)

    @property
    def after_ln_final(self) -> Affine | None:
        """What follows the last LayerNorm."""
        return self.affine.get("ln_final")

    @property
    def after_projection(self) -> Affine | None:
        """What follows the projection to the embedding."""
        return self.affine.get("projection")

    @property
    def drops_inputs(self) -> bool:
        """Whether a low-rank change draws dropout, and so differs from input to input."""
        return any(change.dropout for change in self.low_rank.values())

    def first_block(self, depth: int) -> int:
        """Return the index of the first block the edit changes; ``depth`` where it changes none.

        Blocks before it compute what the frozen tower computes.
        """
        first = min(self._blocks, default=depth)
        return first if self.tokens is None else min(first, self.tokens.first_block)

    def check(self, depth: int, width: int) -> None:
        """Check names, depths and widths against a tower of ``depth`` blocks and width D.

        Raises:
            InterlaceError: if a site is unknown or a tensor does not fit it.
        """
        if self._unknown or max(self._blocks, default=0) >= depth:
            for changes, block, tower in self._named():
                for name in changes:
                    _check_name(name, block, tower, depth)
        if self.token_projection is not None and self.tokens is None:
            raise InterlaceError("an edit with token_projection needs tokens")
        if self.tokens is not None:
            first, values = self.tokens.first_block, self.tokens.values
            if not 0 <= first < depth:
                raise InterlaceError(
                    f"tokens start before block {first + 1}, but the tower has blocks 1 to {depth}"
                )
            fits = values.ndim == 3 and 1 <= len(values) <= depth - first
            if not fits or values.shape[2] != width:
                raise InterlaceError(
                    f"token values have shape {tuple(values.shape)}, expected "
                    f"[1 to {depth - first} blocks, K, width {width}]"
                )


#: The empty edit.
NO_EDIT = Edit()


def _parse(name: str) -> tuple[int | None, str]:
    """Split ``blocks.3.attn`` into 3 and ``attn``; a name of another form has no block."""
    head, *rest = name.split(".")
    if head == "blocks" and len(rest) == 2 and rest[0].isdigit():
        return int(rest[0]), rest[1]
    return None, name


def _check_name(name: str, block: tuple[str, ...], tower: tuple[str, ...], depth: int) -> None:
    index, part = _parse(name)
    if index is not None and part in block:
        if index >= depth:
            raise InterlaceError(f"{name!r}: the tower has {depth} blocks, 0 to {depth - 1}")
    elif name not in tower:
        known = ", ".join((*(f"blocks.<i>.{site}" for site in block), *tower))
        raise InterlaceError(f"{name!r} names no site of a tower; known: {known}")
