"""Vectors of many images in one Parquet file, on this machine or on a Ray cluster.

The source is cut into units. Each unit becomes a part file, written in one step; a part that is
there is not made again. When all are there they are joined in order. Which engine made a part does
not matter: both run :class:`~interlace.search.worker.Worker` on whole units, so batches and vectors
are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from interlace._util.files import check_writable, held
from interlace._util.reading import as_path
from interlace._util.text import printable
from interlace.errors import InterlaceError
from interlace.search.encoder import Encoder, Model
from interlace.search.engines import local, ray
from interlace.search.parts import METADATA, EmbedReport, VectorParts, is_there, parts_of
from interlace.search.sources import UNIT, EmbedSource, find_source
from interlace.search.worker import Worker

__all__ = ["METADATA", "EmbedReport", "embed"]

EmbedEngine = Literal["local", "ray"]

#: Called with images done, and images to do where that is known.
EmbedProgress = Callable[[int, int | None], None]


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
    folder ``<output>.parts``, from which the same call resumes.

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
        identity = _identity(encoder, found, unit, batch_size)
        parts = VectorParts(output, len(found.units), encoder.id, identity)
        if output.exists() and not overwrite:
            return parts.finish()
        encoder.check()
        resumed = parts.begin(overwrite)
        if strict and (left_out := parts.skipped(resumed)):
            raise InterlaceError(f"{left_out[0].key}: {left_out[0].reason}")
        remaining = [(n, own) for n, own in enumerate(found.units) if n not in resumed]
        tell = progress or (lambda done, total: None)
        done = sum(parts.count(number) for number in resumed)
        tell(done, found.total)
        for images in (
            local.run(worker, parts, remaining)
            if engine == "local"
            else ray.run(encoder.id, parts, remaining, device, settings)
        ):
            done += images
            tell(done, found.total)
        return parts.join(str(source), found.skipped, len(resumed))


def _identity(encoder: Encoder, source: EmbedSource, unit: int, batch_size: int) -> str:
    """Return a hash over what decides the vectors and how they are cut into parts."""
    facts = {
        "model": encoder.id.hash,
        "units": len(source.units),
        "unit": unit,
        "batch": batch_size,
    }
    return hashlib.sha256(f"{json.dumps(facts)}{source.identity}".encode()).hexdigest()[:16]
