"""The parts of a tower: attention, MLP, block and attention pooling, with the sites of an edit.

Shapes: B images or texts, L positions, D width.
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


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


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


class Attention(nn.Module):
    """Multi-head self-attention with one fused input projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, edit: Edit, name: str, causal: bool) -> Tensor:
        """Attend over ``x`` [B, L, D], with ``edit``'s changes to the linears of block ``name``."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if edit.low_rank:
            q, k, v = (
                _add(y, x, edit.low_rank.get(f"{name}.{part}"))
                for y, part in ((q, "q"), (k, "k"), (v, "v"))
            )
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        y = y.transpose(1, 2).flatten(2)
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

    def forward(self, x: Tensor, edit: Edit, name: str, causal: bool) -> Tensor:
        """Map ``x`` [B, L, D] to [B, L, D] as block ``name`` under ``edit``."""
        y = apply_site(edit, f"{name}.ln_1", self.ln_1(x))
        x = x + apply_site(edit, f"{name}.attn", self.attn(y, edit, name, causal))
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
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        y = self.out(y)[:, 0]
        return y + self.mlp(self.norm(y))
