"""One image to embed, and WebDataset shards, of which only safe members are read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from interlace._util.reading import IMAGE_BYTES, open_regular
from interlace._util.text import first_line, printable
from interlace.data.readers.walk import EXTENSIONS
from interlace.errors import InterlaceError
from interlace.search.scan import read_image


@dataclass(frozen=True, slots=True)
class ShardItem:
    """One image to embed: its name, its label where that is known, and its bytes or its path.

    Where there is neither, ``problem`` says why.
    """

    key: str
    label: str | None
    image: bytes | Path | None
    problem: str = "no image"

    def read(self) -> bytes:
        """Return the encoded image.

        Raises:
            OSError: if it cannot be read, or there is none.
        """
        if self.image is None:
            raise OSError(self.problem)
        return self.image if isinstance(self.image, bytes) else read_image(self.image)


@dataclass(frozen=True)
class Shard:
    """A WebDataset shard: a tar file in which files of one stem make a sample."""

    path: Path

    def items(self) -> Iterator[ShardItem]:
        """Go through its samples; the class of a sample is what its ``.cls`` file says.

        Raises:
            InterlaceError: if the shard is damaged.
        """
        sample: _Sample | None = None
        try:
            with (
                open_regular(self.path, "shard") as file,
                tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as tar,
            ):
                most = max(IMAGE_BYTES, self.path.stat().st_size)
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                    if not member.isreg():
                        continue
                    if member.size > most:
                        raise InterlaceError(f"{member.name} expands to {member.size:,} bytes")
                    path = PurePosixPath(member.name)
                    # "photo.left.jpg" has the key "photo" and the ending ".left.jpg"
                    stem, _, ending = path.name.partition(".")
                    key = str(path.parent / stem)
                    if sample is not None and sample.key != key:
                        yield sample.item()
                        sample = None
                    sample = sample or _Sample(key)
                    sample.take(tar, member, ending.lower())
        except Exception as error:  # the decompressors have errors of their own
            shown = printable(str(self.path))
            reason = first_line(error).removeprefix(f"{shown}: ")
            raise InterlaceError(f"{shown}: the shard cannot be read ({reason})") from None
        if sample is not None:
            yield sample.item()


class _Member(tarfile.TarInfo):
    """A member of a shard, whose header must be whole and of a bounded size."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        """Read the next header; Python's own takes a damaged one for the end of the file."""
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a damaged header: {error}") from None

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        """Go on after the first block; names and attributes of a member may follow in blocks."""
        if self.type in _LONG_HEADERS and self.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


_HEADER_BYTES = 1 << 20
_LONG_HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


@dataclass
class _Sample:
    """The files of one name: the first image among them, and its class."""

    key: str
    image: bytes | None = None
    label: str | None = None
    problem: str = "no image"

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> None:
        """Read a member if it is needed; others may be of any size."""
        is_image = PurePosixPath(f"x.{ending}").suffix in EXTENSIONS and self.image is None
        if not is_image and ending != "cls":
            return
        if member.issparse() or member.size > (IMAGE_BYTES if is_image else _HEADER_BYTES):
            self.problem = f"{member.name}: {member.size:,} bytes, too large or sparse"
            return
        reader = tar.extractfile(member)
        content = b"" if reader is None else reader.read()
        if is_image:
            self.image = content
        else:
            self.label = content.decode(errors="replace").strip() or None

    def item(self) -> ShardItem:
        """Return the item to embed; its name is made valid UTF-8, as Parquet needs."""
        return ShardItem(printable(self.key), self.label, self.image, self.problem)
