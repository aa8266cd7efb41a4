"""What every engine runs: a whole unit of images to its vectors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search.encoder import Encoder
from interlace.search.parts import schema
from interlace.search.pipeline import PreparedImage, ahead, default_workers, prepare
from interlace.search.sources import ShardItem, Unit


class Worker:
    """Embeds whole units; decoding runs ahead of the encoder.

    Args:
        encoder: what makes the vectors.
        batch_size: images encoded at a time.
        workers: threads that read and decode; by default chosen by the device.
        strict: whether an image that cannot be used is an error.
    """

    def __init__(
        self,
        encoder: Encoder,
        batch_size: int = 64,
        workers: int | None = None,
        strict: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InterlaceError(f"batch size = {batch_size}: must be 1 or more")
        self._encoder, self._batch_size, self._strict = encoder, batch_size, strict
        self._workers = default_workers(encoder.clip.device) if workers is None else workers
        self._transform = encoder.clip.preprocess.eval_transform()

    def embed(self, unit: Unit) -> tuple[pa.Table, list[Skipped]]:
        """Key, label and vector of a unit's images in their order, and what was left out.

        Raises:
            InterlaceError: if the unit cannot be read, an image has no vector, or ``strict`` is set
                and an image cannot be used.
        """
        keys: list[str] = []
        labels, skipped = [], []
        vectors: list[np.ndarray] = []
        pixels: list[torch.Tensor] = []

        def encode() -> None:
            if pixels:
                own = keys[-len(pixels) :]
                vectors.append(self._encoder.named_images(torch.stack(pixels), own))
                pixels.clear()

        for item, image in ahead(unit.items(), self._prepare, self._workers, 2 * self._batch_size):
            if image.pixels is None:
                if self._strict:
                    raise InterlaceError(f"{item.key}: {image.reason}")
                skipped.append(Skipped(item.key, image.reason))
                continue
            keys.append(item.key)
            labels.append(item.label)
            pixels.append(image.pixels)
            if len(pixels) == self._batch_size:
                encode()
        encode()
        dim = self._encoder.id.dim
        matrix = np.concatenate(vectors) if vectors else np.empty((0, dim), np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), dim)
        return pa.table([pa.array(keys, pa.string()), labels, column], schema(dim)), skipped

    def _prepare(self, item: ShardItem) -> tuple[ShardItem, PreparedImage]:
        return item, prepare(item.read, self._transform)
