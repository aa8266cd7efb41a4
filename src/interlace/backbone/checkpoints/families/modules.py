"""What the modules of a live model compute: heads, activation and epsilon of its blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import nn

from interlace.backbone.layers import ACTIVATIONS
from interlace.backbone.spec import Activation
from interlace.errors import InterlaceError

_Value = TypeVar("_Value")
_TOLERANCE = 1e-5  # the nearest two activations are 5e-4 apart


def common(values: Iterable[_Value], what: str) -> _Value:
    """Return the one value that all ``values`` have.

    Raises:
        InterlaceError: if they differ.
    """
    found = list(dict.fromkeys(values))
    if len(found) != 1:
        shown = " and ".join(map(str, found)) or "none"
        raise InterlaceError(f"the model has {what} {shown}: expected the same in every block")
    return found[0]


@torch.no_grad()
def activation_of(layer: Callable[[torch.Tensor], torch.Tensor]) -> Activation:
    """Return which of our activations ``layer`` computes, found by computing some values.

    Raises:
        InterlaceError: if it is another.
    """
    points = torch.linspace(-4, 4, 65)
    found = layer(points.clone())
    names: tuple[Activation, ...] = ("quick_gelu", "gelu", "gelu_tanh")
    for name in names:
        expected = ACTIVATIONS[name](points.clone())
        if found.shape == points.shape and (found - expected).abs().max() < _TOLERANCE:
            return name
    raise InterlaceError(
        f"the model's activation {type(layer).__name__} is none of {', '.join(names)}"
    )


def epsilon_of(norms: Iterable[nn.Module]) -> float:
    """Return the epsilon of LayerNorms.

    Raises:
        InterlaceError: if one is not a LayerNorm, or they differ.
    """
    norms = list(norms)
    for norm in norms:
        if not isinstance(norm, nn.LayerNorm):
            raise InterlaceError(f"the model normalises by {type(norm).__name__}, not LayerNorm")
    return common((norm.eps for norm in norms if isinstance(norm, nn.LayerNorm)), "epsilons")


def blocks_of(layers: Any, kind: type[nn.Module]) -> list[Any]:
    """Return transformer blocks as a list.

    Raises:
        InterlaceError: if one is not exactly of class ``kind``.
    """
    blocks = list(layers)
    for block in blocks:
        if type(block) is not kind:
            raise InterlaceError(
                f"the model has a block of class {type(block).__name__}, not {kind.__name__}"
            )
    return blocks
