"""Vectors of many images in one Parquet file, on this machine or on a Ray cluster.

The source is cut into units. Each unit becomes a part file, written in one step; a part that is
there is not made again. When all are there they are joined in order. Which engine made a part does
not matter: both run :class:`Worker` on whole units, so batches and vectors are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from interlace._util.files import check_writable, held
from interlace._util.reading import as_path
from interlace._util.text import printable
from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search.encoder import Encoder, Model, ModelId
from interlace.search.parts import METADATA, EmbedReport, VectorParts, is_there, parts_of, schema
from interlace.search.pipeline import PreparedImage, ahead, default_workers, prepare
from interlace.search.sources import UNIT, ShardItem, Unit, find_source

__all__ = ["METADATA", "EmbedReport", "Worker", "embed"]

EmbedEngine = Literal["local", "ray"]

#: Called with images done, and images to do where that is known.
EmbedProgress = Callable[[int, int | None], None]


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


def embed(
    source: Path | str,
    output: Path | str,
    model: Model,
    *,
    engine: EmbedEngine = "local",
    overwrite: bool = False,
    strict: bool = False,
    device: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    unit: int = UNIT,
    progress: EmbedProgress | None = None,
) -> EmbedReport:
    """Write the vectors of a source's images to a Parquet file.

    Columns are ``key``, ``label`` (null where not known) and ``vector``; the file's metadata says
    under ``interlace`` which model made them and what was skipped. An interrupted run leaves a
    folder ``<output>.parts``; the same call goes on from there.

    Args:
        source: a folder of images, Parquet tables with encoded images or their paths, or WebDataset
            shards.
        output: the file; its folder must be one that all machines of a cluster see.
        model: a model, a name that :func:`interlace.load` takes, or the folder of an adapted model.
        engine: ``local``, or ``ray`` for Ray Data on the cluster that ``RAY_ADDRESS`` names, or on
            one that is started on this machine.
        overwrite: whether a finished file or parts of another run are replaced.
        strict: whether an image that cannot be used is an error instead of being skipped.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: images encoded at a time.
        workers: threads per encoder that read and decode.
        unit: images of a part file; a shard is a part of its own.
        progress: told of every finished part.

    Raises:
        InterlaceError: if the source or the model cannot be read, the output is there already, its
            parts belong to another run, or Ray is asked for and cannot be had.
    """
    if engine not in ("local", "ray"):
        raise InterlaceError(f"engine = {engine!r}: must be local or ray")
    if unit < 1:
        raise InterlaceError(f"unit = {unit}: must be 1 or more")
    output = as_path(output, "output")
    if output.is_dir():
        raise InterlaceError(f"{printable(str(output))} is a folder: name a file to write")
    check_writable(output, folder=False)
    with held(output):
        if output.exists() and not overwrite and not parts_of(output).is_dir():
            raise is_there(output)
        found = find_source(source, unit)
        if strict and found.skipped:
            raise InterlaceError(f"{found.skipped[0].key}: {found.skipped[0].reason}")
        encoder = Encoder(model, device)
        settings: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "strict": strict}
        worker = Worker(encoder, **settings)
        facts = {
            "model": encoder.id.hash,
            "units": len(found.units),
            "unit": unit,
            "batch": batch_size,
        }
        identity = hashlib.sha256(f"{json.dumps(facts)}{found.identity}".encode()).hexdigest()[:16]
        parts = VectorParts(output, len(found.units), encoder.id, identity)
        if output.exists() and not overwrite:
            return parts.finish()
        encoder.check()
        resumed = parts.begin(overwrite)
        if strict and (left_out := parts.skipped(resumed)):
            raise InterlaceError(f"{left_out[0].key}: {left_out[0].reason}")
        left = [(n, own) for n, own in enumerate(found.units) if n not in resumed]
        done = sum(parts.count(number) for number in resumed)
        if progress is not None:
            progress(done, found.total)
        for images in (
            _local(worker, parts, left)
            if engine == "local"
            else _ray(encoder.id, parts, left, device, settings)
        ):
            done += images
            if progress is not None:
                progress(done, found.total)
        return parts.join(str(source), found.skipped, len(resumed))


def _local(worker: Worker, parts: VectorParts, left: Iterable[tuple[int, Unit]]) -> Iterator[int]:
    for number, unit in left:
        yield parts.write(number, *worker.embed(unit))


def _ray(
    model: ModelId,
    parts: VectorParts,
    left: Sequence[tuple[int, Unit]],
    device: str,
    settings: dict[str, Any],
) -> Iterator[int]:
    from interlace.search.cluster import run

    if not left:
        return iter(())
    if not model.source:
        raise InterlaceError("engine ray needs a model by name or folder: others load it again")
    return run(model, parts, left, device, settings)
