"""What a step of training minimises: a method's own loss, or one made for retrieval.

Shapes: B images, C classes, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from interlace.config import TrainConfig
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output

Objective = Callable[[Output, Tensor], Tensor]


def make_objective(method: Method, config: TrainConfig) -> Objective:
    """Return the loss that ``method`` is trained on.

    ``objective=retrieve`` is :func:`retrieval_loss` on the method's own image and text features,
    plus what the method's loss adds to its cross-entropy (:meth:`Method.regularization`).

    Args:
        method: the method.
        config: how it is fitted.

    Raises:
        InterlaceError: if retrieval is asked of a method that edits no tower.
    """
    if config.objective == "classify":
        return method.loss
    if method.uses_frozen_features:
        raise InterlaceError(
            f"objective=retrieve trains the towers, and {method.key} works on frozen features: "
            "choose a method that edits a tower, or objective=classify"
        )

    def objective(out: Output, labels: Tensor) -> Tensor:
        return retrieval_loss(
            out, labels, config.temperature, config.margin
        ) + method.regularization(out)

    return objective


def retrieval_loss(out: Output, labels: Tensor, temperature: float, margin: float) -> Tensor:
    """Return the cross-entropy with the class texts plus a hard triplet loss among the images.

    ``CE(f w^T / temperature) + hard_triplet(f, labels, margin)``: MAIL (NeurIPS 2025), for few-shot
    universal cross-domain retrieval.

    Args:
        out: image features f [B, E] and text features w [C, E], both L2-normalised.
        labels: [B], class indices.
        temperature: by which the cosines are divided.
        margin: of the triplets, in units of cosine.
    """
    image, text = out.image_features.float(), out.text_features.float()
    with torch.autocast(image.device.type, enabled=False):
        classes = F.cross_entropy(image @ text.T / temperature, labels)
        return classes + hard_triplet(image, labels, margin)


def hard_triplet(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return the mean over the images of ``max(0, max_neg - min_pos + margin)``.

    ``min_pos`` is the least cosine with another image of the class in the batch, ``max_neg`` the
    greatest with an image of any other class. An image that is the only one of its class, or whose
    class is the only one, makes no triplet and does not count; without a triplet the loss is 0.

    Args:
        features: [B, E], L2-normalised.
        labels: [B], class indices.
        margin: in units of cosine.
    """
    cosine = features @ features.T
    same = labels[:, None] == labels[None]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = same & ~itself
    anchors = positive.any(1) & ~same.all(1)
    if not anchors.any():
        return cosine.sum() * 0
    nearest_other = cosine.masked_fill(same, -torch.inf).amax(1)[anchors]
    farthest_own = cosine.masked_fill(~positive, torch.inf).amin(1)[anchors]
    return F.relu(nearest_other - farthest_own + margin).mean()
