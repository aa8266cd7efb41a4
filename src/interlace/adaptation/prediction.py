"""What a model answers for an image, and images on their way to it.

Shapes: B images, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from interlace.backbone.preprocess import Transform
from interlace.data.images.decode import open_image
from interlace.errors import InterlaceError

ImageSource = Path | str | bytes | Image.Image


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        label: the most probable class.
        probability: its probability among the current classes, 0 to 1.
        ranking: the most probable classes with their probabilities, best first.
    """

    label: str
    probability: float
    ranking: tuple[tuple[str, float], ...]


def ranked(probabilities: Tensor, classes: Sequence[str], top: int) -> Prediction:
    """Make the answer of the probabilities [C] of one image.

    Raises:
        InterlaceError: if no class is asked for.
    """
    if top < 1:
        raise InterlaceError(f"top = {top}: must be 1 or more")
    values, index = probabilities.topk(min(top, len(classes)))
    ranking = tuple((classes[i], p) for i, p in zip(index.tolist(), values.tolist(), strict=True))
    return Prediction(*ranking[0], ranking)


def pixel_batches(
    images: Sequence[ImageSource], transform: Transform, batch_size: int
) -> Iterator[tuple[Tensor, Sequence[ImageSource]]]:
    """Decode and preprocess images, a batch at a time.

    Args:
        images: paths, encoded bytes or PIL images.
        transform: makes the model's input of an image.
        batch_size: images of a batch.

    Yields:
        Pixels [B, 3, H, W], and the images they are of.

    Raises:
        InterlaceError: if an image cannot be read or is none of these, a single image is given in
            place of a list, or a batch would hold none.
    """
    if isinstance(images, str | bytes | Path | Image.Image) or not hasattr(images, "__len__"):
        raise InterlaceError("expected a list of images: predict([image])")
    if batch_size < 1:
        raise InterlaceError(f"batch size = {batch_size}: must be 1 or more")
    for start in range(0, len(images), batch_size):
        own = images[start : start + batch_size]
        opened = [_opened(image, start + row) for row, image in enumerate(own)]
        yield torch.stack([transform(image) for image in opened]), own


def _opened(image: ImageSource, index: int) -> Image.Image:
    if not isinstance(image, ImageSource):
        raise InterlaceError(
            f"image {index}: a {type(image).__name__}, not a path, encoded bytes or a PIL image "
            "(of an array: PIL.Image.fromarray)"
        )
    return open_image(image)
