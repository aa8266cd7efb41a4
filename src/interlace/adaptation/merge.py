"""Folding an edit into plain weights, exactly.

Every site of an :class:`~interlace.backbone.edits.Affine` follows a LayerNorm or a linear, which
takes in the scale and the shift: a LayerNorm ``w' = a w, b' = a b + s``, a linear
``W' = diag(a) W, b' = a b + s``, a projection ``P' = P diag(a)``. A projection without a bias has
no place for a shift ``t``; where its LayerNorm's output is read directly, the minimum-norm ``d``
with ``d P' = t`` goes into that LayerNorm's bias, which is exact while P' has full column rank.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Affine, BlockEdit, Edit
from interlace.backbone.layers import Block
from interlace.backbone.tower import ImageTower, Tower
from interlace.errors import InterlaceError
from interlace.methods.base import Method

#: Largest error of the shift after a projection, relative to its size, that still counts as exact.
TOLERANCE = 1e-6


class NotMergeable(InterlaceError):
    """The adapted model cannot become a plain model; the message says why."""


def merge(method: Method) -> DualEncoder:
    """Return a plain dual encoder that computes what ``method`` computes.

    Args:
        method: the trained method; it and its model stay as they are.

    Returns:
        A new model without edits. Its features equal the adapted ones up to rounding.

    Raises:
        NotMergeable: if the method inserts tokens, works on the features instead of the towers, or
            leaves a shift that a projection without full column rank cannot take.
    """
    name = method.key or type(method).__name__
    edits = method.edits()
    for edit in edits:
        if edit is not None and edit.tokens is not None:
            raise NotMergeable(
                f"{name} cannot be merged: it inserts tokens, and no weight of a plain model "
                "stands for them. Save the adapted model itself (adapted.save)"
            )
    if type(method).score is not Method.score:
        raise NotMergeable(
            f"{name} is not a plain model: its logits are not the cosines of two features. "
            "Save the adapted model itself (adapted.save)"
        )
    source = method.clip
    with torch.no_grad():
        merged = copy.deepcopy(source)
        for tower, edit in zip((merged.image, merged.text), edits, strict=True):
            if edit is not None:
                edit.check(tower.depth, tower.width)
                _fold(tower, edit, name)
            tower.requires_grad_(False)
    merged.spec = replace(merged.spec, image=merged.image.spec, text=merged.text.spec)
    merged.source = ""  # these weights are nowhere but here until they are saved
    return merged


def _fold(tower: Tower, edit: Edit, name: str) -> None:
    """Change the weights of ``tower`` in place."""
    for i, block in enumerate(tower.blocks):
        _fold_block(cast(Block, block), edit.block(i))
    _scale_rows(tower.ln_final, edit.after_ln_final)
    if edit.projection is not None:
        tower.projection = nn.Parameter(edit.projection.detach().clone())
    if edit.after_projection is not None:
        _fold_projection(tower, edit.after_projection, name)


def _fold_block(block: Block, edit: BlockEdit) -> None:
    attn, mlp = block.attn, block.mlp
    q, k, v = attn.qkv.weight.chunk(3)
    for change, weight in (
        (edit.q, q),
        (edit.k, k),
        (edit.v, v),
        (edit.out, attn.out.weight),
        (edit.fc, mlp.fc.weight),
        (edit.proj, mlp.proj.weight),
    ):
        if change is not None:
            weight.add_(change.a @ change.b)
    _scale_rows(block.ln_1, edit.ln_1)
    _scale_rows(attn.out, edit.attn)
    _scale_rows(block.ln_2, edit.ln_2)
    _scale_rows(mlp.proj, edit.mlp)


def _scale_rows(layer: nn.Module, affine: Affine | None) -> None:
    """Fold ``W' = diag(a) W`` (a LayerNorm: ``a w``), ``b' = a b + s``."""
    if affine is None:
        return
    weight, bias = cast(Tensor, layer.weight), cast(Tensor, layer.bias)
    if affine.scale is not None:
        weight.mul_(affine.scale if weight.ndim == 1 else affine.scale[:, None])
        bias.mul_(affine.scale)
    if affine.shift is not None:
        bias.add_(affine.shift)


def _fold_projection(tower: Tower, affine: Affine, name: str) -> None:
    """Fold what follows the projection; a tower that ends in its pooling gets an identity."""
    attention_pool = isinstance(tower, ImageTower) and tower.spec.pool == "map"
    matrix, bias = tower.projection, tower.projection_bias
    if matrix is None:
        matrix = nn.Parameter(torch.eye(tower.width).to(tower.ln_final.weight))
    if bias is None and attention_pool:
        # what the head pools from is not what the projection reads: only a bias can take a shift
        bias = nn.Parameter(torch.zeros(matrix.shape[1]).to(matrix))
    if affine.scale is not None:
        matrix.mul_(affine.scale)
        if bias is not None:
            bias.mul_(affine.scale)
    if affine.shift is not None:
        if bias is not None:
            bias.add_(affine.shift)
        else:
            tower.ln_final.bias.add_(_preimage(affine.shift, matrix, name))
    tower.projection, tower.projection_bias = matrix, bias
    tower.spec = replace(tower.spec, projection=True, projection_bias=bias is not None)


def _preimage(shift: Tensor, projection: Tensor, name: str) -> Tensor:
    """Return the minimum-norm d [D] with ``d @ projection = shift``, solved in float64."""
    matrix, target = projection.double(), shift.double()
    solution = torch.linalg.lstsq(matrix.T.cpu(), target[:, None].cpu(), driver="gelsd").solution
    error = (solution[:, 0] @ matrix.cpu() - target.cpu()).abs().max()
    if error > TOLERANCE * max(1.0, float(target.abs().max())):
        raise NotMergeable(
            f"{name} cannot be merged: its shift after the projection leaves an error of "
            f"{error:.1e}, since the {list(projection.shape)} projection has not full column rank"
        )
    return solution[:, 0].to(shift)
