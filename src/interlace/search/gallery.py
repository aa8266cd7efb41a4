"""A gallery: one's own images as vectors, to be searched by an image or by words.

Shapes: N images of the gallery, E embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image

from interlace._util.files import check_writable, held
from interlace._util.reading import as_path
from interlace._util.text import printable
from interlace.data.images.decode import open_image
from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search import index, scan, sheet
from interlace.search.building import (
    BuildProgress,
    BuildReport,
    BuildSettings,
    refuse_first,
    resolved,
    sync,
)
from interlace.search.encoder import Encoder, Model, ModelId
from interlace.search.queries import Query, QueryKind, is_image
from interlace.search.table import GalleryState, PhotoTable

__all__ = ["BuildReport", "Gallery", "Hit", "Query", "QueryKind"]


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that was found.

    Attributes:
        path: the file, in the folder the gallery was built from.
        score: cosine with the query, -1 to 1.
        label: name of the class folder it lies in, if it does.
        key: its path below the gallery's folder of photos.
    """

    path: str
    score: float
    label: str | None
    key: str


class Gallery:
    """The vectors of a folder of images, in an embedded LanceDB table.

    Made by :meth:`build` or :meth:`open`.

    Args:
        table: where the vectors are.
        encoder: what makes vectors; by default the model the table names, loaded when needed.
        device: where that model is moved to.
    """

    def __init__(
        self, table: PhotoTable, encoder: Encoder | None = None, device: str = "auto"
    ) -> None:
        self._table, self._encoder, self._device = table, encoder, device
        self._finder: tuple[int, index.Flat | index.Indexed, Path] | None = None
        self.report: BuildReport | None = None
        if encoder is not None:
            self._check(encoder)

    @classmethod
    def build(
        cls,
        folder: Path | str,
        photos: Path | str,
        model: Model | None = None,
        *,
        overwrite: bool = False,
        device: str = "auto",
        storage_options: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Gallery:
        """Make the gallery of a folder of images, or update it; see :meth:`update`.

        Args:
            folder: where the gallery is kept: a folder, or an address that LanceDB takes.
            photos: the images, at any depth; the first sub-folder is a photo's label.
            model: a model, a name that :func:`interlace.load` takes, or the folder of an adapted
                model; by default the one the gallery was built with.
            overwrite: whether to rebuild from scratch, with another model perhaps.
            device: ``auto``, ``cpu``, ``cuda``, ...
            storage_options: handed to LanceDB.
            **settings: those of :meth:`update`.

        Returns:
            The gallery; its ``report`` says what was done.

        Raises:
            InterlaceError: as :meth:`update`; if a new gallery gets no model, or the gallery was
                built with another one and ``overwrite`` is off.
        """
        if "://" not in str(folder):
            check_writable(as_path(folder, "folder"), folder=True)
        how = BuildSettings(**settings)
        with held(folder):
            table, encoder = PhotoTable(folder, storage_options, replace=overwrite), None
            if not table.exists:
                encoder = _create(table, photos, model, device, how.strict)
            elif model is not None:
                encoder = Encoder(model, device)
            gallery = cls(table, encoder, device)
            gallery._update(photos, how)
        return gallery

    @classmethod
    def open(
        cls,
        folder: Path | str,
        model: Model | None = None,
        *,
        device: str = "auto",
        storage_options: Mapping[str, str] | None = None,
    ) -> Gallery:
        """Open a gallery that is there.

        Args:
            folder: the gallery's folder, or an address that LanceDB takes.
            model: the model it was built with; by default it is loaded from where it came from.
            device: ``auto``, ``cpu``, ``cuda``, ...
            storage_options: handed to LanceDB.

        Raises:
            InterlaceError: if there is no gallery, or it was built with another model.
        """
        table = PhotoTable(folder, storage_options)
        table.model  # noqa: B018 - says at once what is wrong with a table
        return cls(table, None if model is None else Encoder(model, device), device)

    @property
    def model(self) -> ModelId:
        """The model that made the vectors."""
        return self._table.model

    @property
    def encoder(self) -> Encoder:
        """What makes vectors, loaded at the first use.

        Raises:
            InterlaceError: if the gallery's model cannot be loaded, or is another one by now.
        """
        if self._encoder is None:
            model = self.model
            if not model.source:
                raise InterlaceError(f"{self._table.where}: its model was not saved, so give it")
            try:
                encoder = Encoder(model.source, self._device)
            except InterlaceError as error:
                raise InterlaceError(
                    f"cannot load the model of {self._table.where}: {error}; give the model"
                ) from None
            self._check(encoder)
            self._encoder = encoder
        return self._encoder

    @property
    def photos(self) -> str:
        """The folder the gallery was built from."""
        return self._table.about().photos

    @property
    def complete(self) -> bool:
        """Whether the last build reached its end; what an unfinished one holds can be searched."""
        return self._table.about().complete

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that the last complete build could not use."""
        return self._table.about().skipped

    def __len__(self) -> int:
        """Return the number of images."""
        return self._table.count()

    def index(self) -> str:
        """Say in words how it is searched."""
        with self._table.guarded("read"):
            return index.describe(self._table)

    def update(
        self,
        photos: Path | str | None = None,
        *,
        strict: bool = False,
        batch_size: int = 64,
        workers: int | None = None,
        progress: BuildProgress | None = None,
    ) -> BuildReport:
        """Make the gallery match its folder: encode new and changed files, drop removed ones.

        Files of the same size and time are not opened; those with the content of a known image,
        such as renamed ones, are not encoded. Rows are committed as they come: after an
        interruption the same call resumes.

        Args:
            photos: the folder of images; by default the one it was built from.
            strict: whether a file that cannot be used is an error instead of being skipped.
            batch_size: images encoded at a time.
            workers: threads that read and decode; by default one per core beside a GPU, and a
                quarter of the cores beside an encoder on the CPU.
            progress: told of every batch.

        Raises:
            InterlaceError: if the folder is missing or holds no image, the model cannot be loaded,
                another command builds this gallery, or ``strict`` is set and a file cannot be used.
        """
        how = BuildSettings(strict, batch_size, workers, progress)
        with held(self._table.where):
            return self._update(photos, how)

    def _update(self, photos: Path | str | None, how: BuildSettings) -> BuildReport:
        self._finder = None
        self.report = sync(self._table, lambda: self.encoder, photos, how)
        return self.report

    def query(self, query: Query, k: int = 10, *, kind: QueryKind = "auto") -> list[Hit]:
        """Find the images nearest to an image or to words.

        Args:
            query: words; or an image as a path, encoded bytes or a PIL image. A string that is the
                path of a file is an image.
            k: how many to find; fewer come back where the gallery is smaller.
            kind: ``image`` or ``text`` to decide what a string is.

        Returns:
            The best first; equal scores in the order of their keys.

        Raises:
            InterlaceError: if the query cannot be read, or the gallery's model not be loaded.
        """
        if self.is_image(query, kind):
            image = open_image(query)  # before the model is loaded for it
            pixels = self.encoder.clip.preprocess.eval_transform()(image)
            name = str(query) if isinstance(query, str | Path) else ""
            vector = self.encoder.named_images(torch.stack([pixels]), [name])[0]
        else:
            vector = self.encoder.text(str(query))
        return self.nearest(vector, k)

    def nearest(self, vector: np.ndarray, k: int = 10) -> list[Hit]:
        """Find the images nearest to a vector [E] of length 1.

        Raises:
            InterlaceError: if ``k`` is not positive, or the vector has another length.
        """
        dim = self.model.dim
        if k < 1:
            raise InterlaceError(f"k = {k}: must be 1 or more")
        if vector.shape != (dim,):
            raise InterlaceError(f"a query of shape {list(vector.shape)}: expected [{dim}]")
        version = self._table.version()
        if self._finder is None or self._finder[0] != version:
            with self._table.guarded("read"):
                self._finder = (version, index.finder(self._table), Path(self.photos))
        _, finder, root = self._finder
        with self._table.guarded("search"):
            found = finder.nearest(vector.astype(np.float32), k)
        if not all(_is_below(key) and math.isfinite(score) for key, _, score in found):
            raise InterlaceError(
                f"{printable(self._table.where)} is damaged: it holds a path outside its folder of "
                "photos, or an invalid vector: build it again with overwrite"
            )
        return [Hit(str(root / key), score, label, key) for key, label, score in found]

    def sheet(self, query: Query, hits: list[Hit], kind: QueryKind = "auto") -> Image.Image:
        """Draw the query and what was found with rank, score and label.

        Raises:
            InterlaceError: if the query is an image that cannot be read.
        """
        asked = open_image(query) if self.is_image(query, kind) else str(query)
        small = self._table.thumbnails([hit.key for hit in hits]) if hits else {}
        return sheet.contact_sheet(asked, hits, small)

    @staticmethod
    def is_image(query: Query, kind: QueryKind = "auto") -> bool:
        """Say whether a query is an image; see :func:`interlace.search.queries.is_image`."""
        return is_image(query, kind)

    def _check(self, encoder: Encoder) -> None:
        if encoder.id.hash != self.model.hash:
            raise InterlaceError(
                f"{self._table.where} was built with {self.model}; {encoder.id} makes other "
                "vectors: use that model, or build another gallery"
            )


def _is_below(key: str) -> bool:
    """Whether a key leads to a file below the folder of photos, as every build writes it."""
    path = PurePosixPath(key)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in key


def _create(
    table: PhotoTable, photos: Path | str, model: Model | None, device: str, strict: bool
) -> Encoder:
    """Make an empty gallery, once it is known that its first build can begin.

    Raises:
        InterlaceError: if there is no model or no image, or ``strict`` is set and a file cannot be
            used.
    """
    if model is None:
        raise InterlaceError(
            f"{printable(table.where)}: a new gallery needs a model to make its vectors"
        )
    folder = Path(photos)
    found, skipped = scan.list_photos(folder)
    if not found:
        raise scan.only_skipped(folder, skipped)
    if strict:
        refuse_first(folder, skipped)
    encoder = Encoder(model, device)
    encoder.check()
    table.set_about(GalleryState(resolved(photos)))  # first: a kill leaves it unfinished
    table.create(encoder.id)
    return encoder
