"""How well a method does on the validation shots while it learns.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interlace.backbone.prompts import Prompts
from interlace.backbone.tower import TowerOutput
from interlace.data.images.loader import Images
from interlace.data.records import Record
from interlace.methods.base import Method
from interlace.methods.inference import encode_images, encode_prompts, logits_in_parts
from interlace.train.encoding import BATCH, encode, image_prefix


class Validation:
    """Validation shots, of which what does not change while the method learns is computed once.

    Args:
        method: the method.
        prompts: of the classes.
        records: the shots; at least one.
        often: whether they are scored after each epoch.
    """

    def __init__(
        self, method: Method, prompts: Prompts, records: Sequence[Record], often: bool
    ) -> None:
        self._method, self._prompts, self._images = method, prompts, Images(records)
        # frozen features do not change at all; of an edited tower, the blocks before its edits
        frozen = method.uses_frozen_features
        self._features = encode(method, prompts, self._images) if frozen else None
        keep = often and method.shortcuts and not frozen
        self._prefix = image_prefix(method, self._images) if keep else None

    def accuracy(self) -> float:
        """Return the share that the method, in evaluation mode, classifies right now.

        Raises:
            NotFinite: if a feature or a logit is not finite.
        """
        image, labels, text = self._features or self._encode()
        scores = logits_in_parts(self._method, image, text, seen=True)
        answers = torch.cat([part.argmax(dim=-1) for part in scores])
        return (answers == labels).float().mean().item()

    def _encode(self) -> tuple[TowerOutput, Tensor, TowerOutput]:
        if self._prefix is None:
            return encode(self._method, self._prompts, self._images)
        whole, known = self._prefix
        parts = torch.arange(len(known), device=known.device).split(BATCH)
        image, labels = encode_images(self._method, ((whole.take(p), known[p]) for p in parts))
        return image, labels, encode_prompts(self._method, self._prompts)
