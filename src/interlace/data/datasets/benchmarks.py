"""Find and read standard benchmarks where CoOp's tree keeps them on disk.

The tree is the one of CoOp (Zhou et al., "Learning to Prompt for Vision-Language Models", 2022,
https://arxiv.org/abs/2109.01134): one folder per data set below a data root, and lists that say
which images train, validate and test. ``docs/data.md`` shows it.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from interlace.data.datasets.benchmark_table import BENCHMARKS, BenchmarkDataset
from interlace.data.records import Record, Skipped
from interlace.data.source import Source
from interlace.errors import InterlaceError

ROOT_VARIABLE = "INTERLACE_DATA"
"""Environment variable that names the data root."""


def benchmark_names() -> tuple[str, ...]:
    """List the standard benchmarks, in the order of the published tables."""
    return tuple(BENCHMARKS)


def find_benchmark(name: str) -> BenchmarkDataset | None:
    """Find a benchmark by its name in any common spelling: ``OxfordPets``, ``oxford-pets``, ..."""
    wanted = _plain(name)
    for entry in BENCHMARKS.values():
        if wanted in {_plain(own) for own in (entry.name, entry.title, *entry.aliases)}:
            return entry
    return None


def data_root(root: Path | str | None = None) -> Path | None:
    """Return the data root: ``root``, or what the environment variable INTERLACE_DATA says."""
    chosen = root or os.environ.get(ROOT_VARIABLE)
    return Path(chosen).expanduser() if chosen else None


def read_benchmark(
    entry: BenchmarkDataset, root: Path | str | None = None, strict: bool = False
) -> Source:
    """Read a standard benchmark. Its images are not decoded.

    Args:
        entry: The data set.
        root: The data root; None takes the environment variable INTERLACE_DATA.
        strict: Whether an image that is listed and not there is an error instead of being skipped.

    Returns:
        Its images, whose keys are their paths in the lists, and whose labels are those of the
        lists.

    Raises:
        InterlaceError: No data root is known, a folder or list is not there or cannot be read, or
            ``strict`` is set and an image is missing.
    """
    base = data_root(root)
    if base is None:
        raise InterlaceError(
            f"{entry.title}: where is it? Give the data root (--data-root, root=...) or set "
            f"{ROOT_VARIABLE}: the folder that holds {entry.folder}/"
        )
    missing = entry.missing(base)
    if missing:
        raise InterlaceError(f"{entry.title} is not complete: no {'; no '.join(missing)}")
    listing = entry.read(base)
    there = _Presence()
    pools: dict[str, Sequence[Record]] = {}
    skipped: list[Skipped] = []
    for part, images in listing.parts.items():
        present = [there(path) for _, _, path in images]
        rows = list(zip(images, present, strict=True))
        pools[part] = [
            Record(path, label, key) for (key, label, path), is_there in rows if is_there
        ]
        skipped += [Skipped(key, "no such file") for (key, _, _), is_there in rows if not is_there]
    if strict and listing.notes:
        raise InterlaceError(f"{entry.title}: {listing.notes[0]}")
    if strict and skipped:
        raise InterlaceError(
            f"{entry.title}: {len(skipped)} images are listed but not in "
            f"{base / entry.folder / entry.images}: the first is {skipped[0].key}"
        )
    return Source(
        name=entry.name,
        classes=listing.classes,
        pools=pools,
        template=entry.template,
        description=f"{entry.title}, {entry.totals.classes} classes",
        skipped=tuple(skipped),
        cleaned=True,
        order="label",
        published=True,
        problems=listing.notes,
    )


class _Presence:
    """Whether files exist, with one look into each folder instead of one at each file."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self, path: Path) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]


def _plain(name: str) -> str:
    # dots and slashes stay, so that "./eurosat" is a path
    return re.sub(r"[-_ ]", "", name.lower())
