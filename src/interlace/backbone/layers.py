"""The parts of a tower: attention, MLP, block and attention pooling, with the sites of an edit.

Shapes: B images or texts, L positions, Q query positions among them, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.edits import NO_BLOCK_EDIT, Affine, BlockEdit, LowRank
from interlace.backbone.spec import TowerSpec

#: Query positions of a sequence: a slice, an index [Q], or None for all positions.
Queries = slice | Tensor | None

#: Which positions attend to which: queries [B, Q, H, d] and keys and values [B, L, H, d], H heads
#: of width d, to what each query takes from the values [B, Q, H, d].
AttentionFn = Callable[[Tensor, Tensor, Tensor], Tensor]


def _quick_gelu(x: Tensor) -> Tensor:
    # x * sigmoid(1.702 x), written so that one tensor is kept for the gradient instead of two
    return F.silu(1.702 * x).div_(1.702)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": _quick_gelu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}


def apply_affine(affine: Affine | None, values: Tensor) -> Tensor:
    """Apply ``affine``, if there is one, to ``values`` [..., d]."""
    return values if affine is None else affine(values)


def _add(y: Tensor, x: Tensor, change: LowRank | None) -> Tensor:
    """Add what a low-rank change of the weight adds to the linear's output ``y`` of input ``x``."""
    if change is None:
        return y
    if change.dropout:
        x = F.dropout(x, change.dropout)
    return y + F.linear(F.linear(x, change.b.to(x.dtype)), change.a.to(x.dtype))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Let every query attend to every key that ``mask`` (bool, [Q, L] or [B, 1, Q, L]) allows."""
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


def attend_causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let every position attend to itself and to those before it."""
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention with one fused input projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        edit: BlockEdit,
        attention: AttentionFn,
        queries: Queries = None,
    ) -> Tensor:
        """Attend over ``x`` [B, L, D], with ``edit``'s changes to the linears.

        Args:
            x: the positions.
            edit: what to change.
            attention: which positions attend to which.
            queries: the Q positions to compute; None for all. The others give keys and values only.

        Returns:
            [B, Q, D].
        """
        if queries is None:
            asking = x
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:
            asking, width = x[:, queries], x.shape[-1]
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(asking, weight[:width], bias[:width])
            k, v = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=-1)
        q, k, v = _add(q, asking, edit.q), _add(k, x, edit.k), _add(v, x, edit.v)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (q, k, v))
        y = attention(q, k, v).flatten(2)
        return _add(self.out(y), y, edit.out)


class Mlp(nn.Module):
    """Two linears with the activation between them."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.fc = nn.Linear(width, hidden)
        self.proj = nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor, edit: BlockEdit = NO_BLOCK_EDIT) -> Tensor:
        """Map ``x`` [..., D] to [..., D]."""
        hidden = self.activation(_add(self.fc(x), x, edit.fc))
        return _add(self.proj(hidden), hidden, edit.proj)


class Block(nn.Module):
    """A pre-LayerNorm transformer block with the four sites of an edit."""

    def __init__(self, spec: TowerSpec) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.attn = Attention(spec.width, spec.heads)
        self.ln_2 = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.mlp = Mlp(spec.width, spec.hidden, spec.activation)

    def forward(
        self,
        x: Tensor,
        edit: BlockEdit,
        attention: AttentionFn,
        queries: Queries = None,
    ) -> Tensor:
        """Map ``x`` [B, L, D] to [B, Q, D] under ``edit``.

        Args:
            x: the positions.
            edit: what to change.
            attention: which positions attend to which.
            queries: the Q positions to compute; None for all.
        """
        y = apply_affine(edit.ln_1, self.ln_1(x))
        y = apply_affine(edit.attn, self.attn(y, edit, attention, queries))
        x = (x if queries is None else x[:, queries]) + y
        y = apply_affine(edit.ln_2, self.ln_2(x))
        return x + apply_affine(edit.mlp, self.mlp(y, edit))


class AttentionPool(nn.Module):
    """Pooling by one learned query, as SigLIP's image tower does (its "MAP head")."""

    def __init__(self, spec: TowerSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.query = nn.Parameter(torch.zeros(spec.width))
        self.q = nn.Linear(spec.width, spec.width)
        self.kv = nn.Linear(spec.width, 2 * spec.width)
        self.out = nn.Linear(spec.width, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.mlp = Mlp(spec.width, spec.hidden, spec.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``x`` [B, L, D] to [B, D]."""
        q = self.q(self.query).expand(len(x), 1, -1)
        k, v = self.kv(x).chunk(2, dim=-1)
        y = attend(*(y.unflatten(-1, (self.heads, -1)) for y in (q, k, v)))
        y = self.out(y.flatten(2))[:, 0]
        return y + self.mlp(self.norm(y))
