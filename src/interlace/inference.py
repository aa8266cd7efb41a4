"""Running a method without training it: encode once, score many times.

Shapes: N images, C classes, E embedding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from interlace.backbone.text import Prompts
from interlace.backbone.tower import Begun, TowerOutput
from interlace.methods.base import Edits, Method


@torch.no_grad()
def encode_images(
    method: Method, batches: Iterable[tuple[Tensor | Begun, Tensor]], edits: Edits | None = None
) -> tuple[TowerOutput, Tensor]:
    """Encode all images of ``batches``.

    Args:
        method: the method.
        batches: images [B, 3, H, W], or what ``method.begin_images`` made of them, and labels [B].
        edits: what ``method.edits()`` returned in evaluation mode, where that is known already.

    Returns:
        The image tower's output for all N images, and their labels [N], on the model's device.
    """
    method.eval()
    device = method.clip.device
    outputs, labels = [], []
    edits = method.edits() if edits is None else edits
    for images, batch_labels in batches:
        there = images if isinstance(images, Begun) else images.to(device)
        outputs.append(method.encode_image(there, edits=edits))
        labels.append(batch_labels)
    tokens = [o.token_features for o in outputs if o.token_features is not None]
    features = torch.cat([o.features for o in outputs])
    return TowerOutput(features, torch.cat(tokens) if tokens else None), torch.cat(labels).to(
        device
    )


@torch.no_grad()
def encode_prompts(method: Method, prompts: Prompts) -> TowerOutput:
    """Encode the class prompts."""
    method.eval()
    return method.encode_text(prompts)


@torch.no_grad()
def logits(
    method: Method, image: TowerOutput, text: TowerOutput, seen: bool, chunk: int = 1024
) -> Tensor:
    """Logits [N, C] of encoded images against encoded classes.

    Args:
        method: the method, in evaluation mode.
        image: output for N images.
        text: output for C classes.
        seen: whether the method was trained on these classes.
        chunk: images scored at a time; bounds the memory of image-dependent text features.
    """
    parts = []
    for start in range(0, len(image.features), chunk):
        part = slice(start, start + chunk)
        tokens = None if image.token_features is None else image.token_features[part]
        parts.append(method.score(TowerOutput(image.features[part], tokens), text, seen).logits)
    return torch.cat(parts)


def take(output: TowerOutput, index: Tensor) -> TowerOutput:
    """The rows ``index`` of an output."""
    tokens = None if output.token_features is None else output.token_features[index]
    return TowerOutput(output.features[index], tokens)
