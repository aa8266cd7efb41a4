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
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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


def _nothing() -> Mapping:
    return MappingProxyType({})


@dataclass(frozen=True)
class Edit:
    """Everything that is to change in one tower. The empty edit changes nothing, bit for bit.

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

    def first_block(self, depth: int) -> int:
        """Index of the first block the edit changes; ``depth`` where it changes none.

        Blocks before it compute what the frozen tower computes.
        """
        blocks = [
            int(name.split(".")[1])
            for name in (*self.affine, *self.low_rank)
            if name.startswith("blocks.")
        ]
        if self.tokens is not None:
            blocks.append(self.tokens.first_block)
        return min(blocks, default=depth)

    def check(self, depth: int, width: int) -> None:
        """Check names, depths and widths against a tower of ``depth`` blocks and width D.

        Raises:
            InterlaceError: if a site is unknown or a tensor does not fit it.
        """
        for name in self.affine:
            _check_name(name, BLOCK_SITES, TOWER_SITES, depth)
        for name in self.low_rank:
            _check_name(name, LINEARS, (), depth)
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


def _check_name(name: str, block: tuple[str, ...], tower: tuple[str, ...], depth: int) -> None:
    head, *rest = name.split(".")
    if name in tower:
        return
    if head == "blocks" and len(rest) == 2 and rest[0].isdigit() and rest[1] in block:
        if int(rest[0]) < depth:
            return
        raise InterlaceError(f"{name!r}: the tower has {depth} blocks, 0 to {depth - 1}")
    known = ", ".join((*(f"blocks.<i>.{site}" for site in block), *tower))
    raise InterlaceError(f"{name!r} names no site of a tower; known: {known}")
