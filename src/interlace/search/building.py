"""Making a gallery match its folder: what to encode, what to keep, what to drop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search import index, scan
from interlace.search.encoder import Encoder
from interlace.search.pipeline import THUMBNAIL, PreparedImage, ahead, default_workers, prepare
from interlace.search.scan import Known, Photo
from interlace.search.table import GalleryState, PhotoTable
from interlace.search.writer import Writer

#: Called with files done, files to do, and files skipped so far.
BuildProgress = Callable[[int, int, int], None]

GalleryRow = dict[str, Any]


@dataclass(frozen=True)
class BuildSettings:
    """How a build or an update is done.

    Attributes:
        strict: whether a file that cannot be used is an error instead of being skipped.
        batch_size: images encoded at a time.
        workers: threads that read and decode; None chooses by the device.
        progress: told of every batch.

    Raises:
        InterlaceError: if images would not be encoded at least one at a time.
    """

    strict: bool = False
    batch_size: int = 64
    workers: int | None = None
    progress: BuildProgress | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InterlaceError(f"batch size = {self.batch_size}: must be 1 or more")


@dataclass(frozen=True)
class BuildReport:
    """What a build or an update did.

    Attributes:
        added: files that are new.
        changed: files whose row was renewed.
        reused: how many of the two have the content of a known image, and were not encoded.
        removed: files that are gone, or cannot be read any more.
        unchanged: files that were not opened.
        skipped: files that could not be used.
        count: images the gallery holds now.
    """

    added: int
    changed: int
    reused: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    count: int


@dataclass(frozen=True)
class Batch:
    """Rows that are ready, files that are not, and how many rows took a known vector."""

    rows: list[GalleryRow]
    broken: list[Skipped]
    reused: int


def refuse_first(folder: Path, skipped: Sequence[Skipped]) -> None:
    """Refuse the first of the files that cannot be used.

    Raises:
        InterlaceError: if there is one.
    """
    if skipped:
        raise InterlaceError(f"{folder / skipped[0].key}: {skipped[0].reason}")


def sync(
    table: PhotoTable,
    encoder: Callable[[], Encoder],
    photos: Path | str | None,
    how: BuildSettings,
) -> BuildReport:
    """Make a gallery match its folder; see :meth:`interlace.Gallery.update`.

    Rows of files that are gone are deleted last: until then their vectors serve files that were
    renamed.

    Args:
        table: the gallery's table.
        encoder: gives what makes vectors; asked for only where an image has to be encoded.
        photos: the folder; None for the one the gallery was built from.
        how: the settings of the build.
    """
    table.sweep()
    about = table.about()
    folder = Path(photos if photos is not None else about.photos)
    found, skipped = scan.list_photos(folder)
    if not found:
        raise scan.only_skipped(folder, skipped)
    if how.strict:
        refuse_first(folder, skipped)
    known = _known(table)
    todo = scan.difference(found, known)
    if (todo.look or todo.removed) and about.complete:
        table.set_about(GalleryState(resolved(folder), False, about.skipped))
    added = changed = reused = 0
    if todo.look:
        ready = encoder()
        with Writer(table, ready.id.dim, known) as writer:
            for batch in _batches(table, ready, todo.look, known, how):
                writer.put(batch.rows)
                renewed = sum(row["path"] in known for row in batch.rows)
                changed += renewed
                added += len(batch.rows) - renewed
                reused += batch.reused
                skipped += batch.broken
                if how.strict:
                    refuse_first(folder, skipped)
                if how.progress is not None:
                    how.progress(added + changed + len(skipped), len(todo.look), len(skipped))
    gone = [*todo.removed, *(item.key for item in skipped if item.key in known)]
    table.delete(gone)
    if added or changed or gone or not about.complete:
        table.compact()
        with table.guarded("index"):
            index.ensure(table)
    after = GalleryState(resolved(folder), True, tuple(skipped))
    if after != table.about():
        table.set_about(after)
    return BuildReport(
        added, changed, reused, len(gone), todo.unchanged, after.skipped, table.count()
    )


def _known(table: PhotoTable) -> dict[str, Known]:
    """Return what a gallery knows of its files; rows of a key that has several are deleted."""
    known = table.known()
    table.delete([key for key, row in known.items() if row.size < 0])
    return {key: row for key, row in known.items() if row.size >= 0}


def _batches(
    table: PhotoTable,
    encoder: Encoder,
    photos: Sequence[Photo],
    known: Mapping[str, Known],
    how: BuildSettings,
) -> Iterator[Batch]:
    """Go through files in their order, decoding ahead of the encoder."""
    workers = default_workers(encoder.clip.device) if how.workers is None else how.workers
    hashes = {row.hash for row in known.values()}
    transform = encoder.clip.preprocess.eval_transform()

    def work(photo: Photo, hashes: set[str] = hashes) -> tuple[Photo, PreparedImage]:
        read = partial(scan.read_image, photo.path)
        return photo, prepare(read, transform, hashes, THUMBNAIL)

    def finish(batch: list[tuple[Photo, PreparedImage]]) -> Batch:
        wanted = [image.hash for _, image in batch if image.is_known]
        stored = table.by_hash(wanted) if wanted else {}
        # its row may have been overwritten meanwhile, as where two files swap their names
        batch = [
            work(photo, set()) if image.is_known and image.hash not in stored else (photo, image)
            for photo, image in batch
        ]
        new = [(photo.key, image.pixels) for photo, image in batch if image.pixels is not None]
        vectors = iter(())
        if new:
            keys, pixels = zip(*new, strict=True)
            vectors = iter(encoder.named_images(torch.stack(pixels), keys))
        rows = [
            _row(photo, image, next(vectors))
            if image.pixels is not None
            else _row(photo, image, **stored[image.hash])
            for photo, image in batch
            if not image.reason
        ]
        broken = [Skipped(photo.key, image.reason) for photo, image in batch if image.reason]
        return Batch(rows, broken, len(rows) - len(new))

    batch: list[tuple[Photo, PreparedImage]] = []
    fresh = 0
    for item in ahead(photos, work, workers, 2 * how.batch_size):
        batch.append(item)
        fresh += item[1].pixels is not None
        if fresh == how.batch_size or len(batch) == 8 * how.batch_size:
            yield finish(batch)
            batch, fresh = [], 0
    if batch:
        yield finish(batch)


def _row(
    photo: Photo, image: PreparedImage, vector: Any, thumbnail: bytes | None = None
) -> GalleryRow:
    return {
        "path": photo.key,
        "hash": image.hash,
        "label": scan.label_of(photo.key),
        "vector": vector,
        "thumbnail": image.thumbnail if thumbnail is None else thumbnail,
        "size": photo.size,
        "mtime": photo.mtime,
    }


def resolved(folder: Path | str) -> str:
    """Return a folder as it is remembered, whatever folder the next command runs in."""
    return str(Path(folder).expanduser().resolve())
