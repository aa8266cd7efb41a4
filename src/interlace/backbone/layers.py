"""The parts of a tower: attention, MLP, block and attention pooling, with the sites of an edit.

Shapes: B images or texts, L positions, R of them that ask, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.edits import Affine, Edit, LowRank
from interlace.backbone.spec import TowerSpec

NO_EDIT = Edit()

#: Positions of a sequence: a slice, an index [R], or None for all of them.
Positions = slice | Tensor | None


#: Which positions attend to which: queries [B, R, H, d] and keys and values [B, L, H, d], H heads
#: of width d, to what each query takes from the values [B, R, H, d].
Mix = Callable[[Tensor, Tensor, Tensor], Tensor]


def _quick_gelu(x: Tensor) -> Tensor:
    # x * sigmoid(1.702 x), written so that one tensor is kept for the gradient instead of two
    return F.silu(1.702 * x).div_(1.702)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": _quick_gelu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}


def apply_site(edit: Edit, name: str, values: Tensor) -> Tensor:
    """Apply the edit of site ``name``, if there is one, to ``values`` [..., d]."""
    affine: Affine | None = edit.affine.get(name)
    return values if affine is None else affine(values)


def _add(y: Tensor, x: Tensor, change: LowRank | None) -> Tensor:
    """Add what a low-rank change of the weight adds to the linear's output ``y`` of input ``x``."""
    if change is None:
        return y
    if change.dropout:
        x = F.dropout(x, change.dropout)
    return y + F.linear(F.linear(x, change.b.to(x.dtype)), change.a.to(x.dtype))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Every query attends to every key that ``mask`` (bool, [R, L] or [B, 1, R, L]) allows."""
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)


def attend_causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every position attends to itself and to those before it."""
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention with one fused input projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, edit: Edit, name: str, mix: Mix, rows: Positions = None) -> Tensor:
        """Attend over ``x`` [B, L, D], with ``edit``'s changes to the linears of block ``name``.

        Args:
            x: the positions.
            edit: what to change.
            name: of the block.
            mix: which positions attend to which.
            rows: the R positions that ask; None for all. The others are only attended to.

        Returns:
            [B, R, D].
        """
        if rows is None:
            asking = x
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:
            asking, width = x[:, rows], x.shape[-1]
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(asking, weight[:width], bias[:width])
            k, v = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=-1)
        if edit.low_rank:
            q, k, v = (
                _add(y, inputs, edit.low_rank.get(f"{name}.{part}"))
                for y, inputs, part in ((q, asking, "q"), (k, x, "k"), (v, x, "v"))
            )
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (q, k, v))
        y = mix(q, k, v).flatten(2)
        return _add(self.out(y), y, edit.low_rank.get(f"{name}.out"))


class Mlp(nn.Module):
    """Two linears with the activation between them."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.fc = nn.Linear(width, hidden)
        self.proj = nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor, edit: Edit = NO_EDIT, name: str = "") -> Tensor:
        """Map ``x`` [..., D] to [..., D]."""
        hidden = self.activation(_add(self.fc(x), x, edit.low_rank.get(f"{name}.fc")))
        return _add(self.proj(hidden), hidden, edit.low_rank.get(f"{name}.proj"))


class Block(nn.Module):
    """A pre-LayerNorm transformer block with the four sites of an edit."""

    def __init__(self, spec: TowerSpec) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.attn = Attention(spec.width, spec.heads)
        self.ln_2 = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.mlp = Mlp(spec.width, spec.hidden, spec.activation)

    def forward(self, x: Tensor, edit: Edit, name: str, mix: Mix, rows: Positions = None) -> Tensor:
        """Map ``x`` [B, L, D] to [B, R, D] as block ``name`` under ``edit``.

        Args:
            x: the positions.
            edit: what to change.
            name: of the block.
            mix: which positions attend to which.
            rows: the R positions that go on; None for all.
        """
        y = apply_site(edit, f"{name}.ln_1", self.ln_1(x))
        y = apply_site(edit, f"{name}.attn", self.attn(y, edit, name, mix, rows))
        x = (x if rows is None else x[:, rows]) + y
        y = apply_site(edit, f"{name}.ln_2", self.ln_2(x))
        return x + apply_site(edit, f"{name}.mlp", self.mlp(y, edit, name))


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
