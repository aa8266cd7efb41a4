"""Vectors of many images in one Parquet file, on this machine or on a Ray cluster.

The source is cut into units. Each unit becomes a part file, written in one step; a part that is
there is not made again. When all are there they are joined in order. Which engine made a part does
not matter: both run :class:`Worker` on whole units, so batches and vectors are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search.encoder import Encoder, Model, ModelId
from interlace.search.pipeline import Prepared, ahead, default_workers, prepare
from interlace.search.sources import UNIT, Item, Unit, find_source

Engine = Literal["local", "ray"]
METADATA = b"interlace"
FORMAT = 1

#: Called with images done, and images to do where that is known.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class EmbedReport:
    """What an embedding left.

    Attributes:
        output: the file.
        count: vectors in it.
        resumed: units that an earlier run had finished.
        skipped: images that could not be used.
        model: what made the vectors.
    """

    output: Path
    count: int
    resumed: int
    skipped: tuple[Skipped, ...]
    model: ModelId


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
            InterlaceError: if the unit cannot be read, or ``strict`` is set and an image cannot.
        """
        keys, labels, skipped = [], [], []
        vectors: list[np.ndarray] = []
        pixels: list[torch.Tensor] = []
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
                vectors.append(self._encoder.images(torch.stack(pixels)))
                pixels = []
        if pixels:
            vectors.append(self._encoder.images(torch.stack(pixels)))
        dim = self._encoder.id.dim
        matrix = np.concatenate(vectors) if vectors else np.empty((0, dim), np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), dim)
        return pa.table([pa.array(keys, pa.string()), labels, column], schema(dim)), skipped

    def _prepare(self, item: Item) -> tuple[Item, Prepared]:
        return item, prepare(item.read, self._transform)


def schema(dim: int) -> pa.Schema:
    """Columns of the output."""
    vector = pa.list_(pa.float32(), dim)
    return pa.schema([("key", pa.string()), ("label", pa.string()), ("vector", vector)])


def embed(
    source: Path | str,
    output: Path | str,
    model: Model,
    *,
    engine: Engine = "local",
    overwrite: bool = False,
    strict: bool = False,
    device: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    unit: int = UNIT,
    progress: Progress | None = None,
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
    output = Path(output).expanduser()
    if output.exists() and not overwrite:
        raise InterlaceError(f"{output} is there already; use overwrite to replace it")
    if unit < 1:
        raise InterlaceError(f"unit = {unit}: must be 1 or more")
    found = find_source(source, unit)
    if strict and found.skipped:
        raise InterlaceError(f"{found.skipped[0].key}: {found.skipped[0].reason}")
    encoder = Encoder(model, device)
    parts = Parts(output, len(found.units))
    facts = {"model": encoder.id.hash, "units": len(found.units), "batch": batch_size}
    identity = hashlib.sha256(f"{json.dumps(facts)}{found.identity}".encode()).hexdigest()[:16]
    resumed = parts.begin(identity, overwrite)
    left = [(number, found.units[number]) for number in parts.missing()]
    done = sum(parts.count(number) for number in resumed)
    if progress is not None:
        progress(done, found.total)
    if left:
        settings: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "strict": strict}
        for images in (
            _local(Worker(encoder, **settings), parts, left)
            if engine == "local"
            else _ray(encoder.id, parts, left, device, settings)
        ):
            done += images
            if progress is not None:
                progress(done, found.total)
    skipped = [*found.skipped, *parts.join(schema(encoder.id.dim), encoder.id, str(source))]
    count = pq.read_metadata(output).num_rows
    return EmbedReport(output, count, len(resumed), tuple(skipped), encoder.id)


def _local(worker: Worker, parts: Parts, left: Iterable[tuple[int, Unit]]) -> Iterator[int]:
    for number, unit in left:
        yield parts.write(number, *worker.embed(unit))


def _ray(
    model: ModelId,
    parts: Parts,
    left: Sequence[tuple[int, Unit]],
    device: str,
    settings: dict[str, Any],
) -> Iterator[int]:
    from interlace.search.cluster import run

    if not model.source:
        raise InterlaceError("engine ray needs a model by name or folder: others load it again")
    return run(model, parts, left, device, settings)


class Parts:
    """The part files of an output, in a folder beside it.

    Args:
        output: the file they are joined to.
        count: number of units.
    """

    def __init__(self, output: Path, count: int) -> None:
        self._output, self._count = output, count
        self._folder = output.with_name(output.name + ".parts").absolute()

    def begin(self, identity: str, overwrite: bool) -> list[int]:
        """Make the folder, or take up the one of an interrupted run; the parts that are there.

        Raises:
            InterlaceError: if it is of another source, model or setting and ``overwrite`` is off.
        """
        note = self._folder / "run.json"
        if self._folder.exists():
            try:
                same = json.loads(note.read_text("utf-8")) == {"format": FORMAT, "run": identity}
            except (OSError, ValueError):
                same = False
            if same:
                return [n for n in range(self._count) if self._path(n).is_file()]
            if not overwrite and any(self._folder.iterdir()):
                raise InterlaceError(
                    f"{self._folder} holds parts of another run (its source, model or batch size "
                    "differ): use overwrite, or another output"
                )
            shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True)
        note.write_text(json.dumps({"format": FORMAT, "run": identity}), "utf-8")
        return []

    def missing(self) -> list[int]:
        """Numbers of the parts that are still to be made."""
        return [n for n in range(self._count) if not self._path(n).is_file()]

    def count(self, number: int) -> int:
        """Images that went into a part, skipped ones too."""
        metadata = pq.read_metadata(self._path(number))
        return int(metadata.num_rows) + len(_skipped(metadata.metadata))

    def write(self, number: int, table: pa.Table, skipped: Sequence[Skipped]) -> int:
        """Write a part in one step; returns how many images went into it."""
        note = json.dumps([[item.key, item.reason] for item in skipped])
        path = self._path(number)
        temporary = path.with_suffix(f".{os.getpid()}.partial")
        pq.write_table(table.replace_schema_metadata({b"skipped": note.encode()}), temporary)
        os.replace(temporary, path)
        return len(table) + len(skipped)

    def join(self, columns: pa.Schema, model: ModelId, source: str) -> list[Skipped]:
        """Join all parts to the output, in one step, and remove them; what they skipped."""
        skipped = [
            item
            for n in range(self._count)
            for item in _skipped(pq.read_schema(self._path(n)).metadata)
        ]
        facts = {
            "format": FORMAT,
            "model": model.to_dict(),
            "source": source,
            "skipped": [[item.key, item.reason] for item in skipped],
        }
        temporary = self._output.with_name(self._output.name + ".partial")
        joined = columns.with_metadata({METADATA: json.dumps(facts).encode()})
        with pq.ParquetWriter(temporary, joined) as writer:
            for number in range(self._count):
                writer.write_table(pq.read_table(self._path(number)).cast(joined))
        os.replace(temporary, self._output)
        shutil.rmtree(self._folder)
        return skipped

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.parquet"


def _skipped(metadata: dict[bytes, bytes] | None) -> list[Skipped]:
    return [Skipped(key, reason) for key, reason in json.loads((metadata or {})[b"skipped"])]
