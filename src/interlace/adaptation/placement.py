"""Where a model computes: a caller's own model is never moved, and gets no gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from interlace.backbone.dual import DualEncoder


def on_device(clip: DualEncoder, device: torch.device) -> DualEncoder:
    """Return a model on ``device`` and leave ``clip`` where it is.

    Args:
        clip: the model.
        device: where to compute.

    Returns:
        ``clip`` itself where it is there already; else a copy, of which only the tensors are new.
    """
    there = torch.empty(0, device=device).device  # with the number that "cuda" leaves out
    if clip.device == there:
        return clip
    known: dict[int, Any] = {id(clip.tokenizer): clip.tokenizer}
    for parameter in clip.parameters():
        moved = parameter.detach().to(there)
        known[id(parameter)] = nn.Parameter(moved, requires_grad=parameter.requires_grad)
    for buffer in clip.buffers():
        known[id(buffer)] = buffer.detach().to(there)
    return copy.deepcopy(clip, known)


@contextmanager
def frozen(clip: DualEncoder) -> Iterator[None]:
    """Keep gradients off a model inside the context, whatever its caller has switched on.

    Args:
        clip: the model; its parameters get back the flags that they had.
    """
    trainable = [parameter for parameter in clip.parameters() if parameter.requires_grad]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
