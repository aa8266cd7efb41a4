"""Download the images of a benchmark with torchvision, into CoOp's tree."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torchvision.datasets

from interlace._util.text import first_line
from interlace.data.datasets.benchmark_table import BenchmarkDataset
from interlace.data.datasets.benchmarks import data_root
from interlace.errors import InterlaceError

_STAGING = ".download"


@dataclass(frozen=True, slots=True)
class Download:
    """How torchvision leaves a data set.

    Attributes:
        name: Its class in ``torchvision.datasets``.
        folder: The folder, below the one torchvision is given, that holds ``moves``.
        moves: The files and folders (patterns), which go to the folder of the data set.
    """

    name: str
    folder: str
    moves: tuple[str, ...]


DOWNLOADS: Mapping[str, Download] = MappingProxyType(
    {
        "caltech101": Download("Caltech101", "caltech101", ("101_ObjectCategories",)),
        "oxford_pets": Download("OxfordIIITPet", "oxford-iiit-pet", ("images", "annotations")),
        "oxford_flowers": Download("Flowers102", "flowers-102", ("jpg", "*.mat")),
        "food101": Download("Food101", "food-101", ("images", "meta")),
        "fgvc_aircraft": Download("FGVCAircraft", "fgvc-aircraft-2013b/data", ("*",)),
        "sun397": Download("SUN397", ".", ("SUN397",)),
        "dtd": Download("DTD", "dtd/dtd", ("images", "labels", "imdb")),
        "eurosat": Download("EuroSAT", "eurosat", ("2750",)),
    }
)
"""The data sets that torchvision can download, by name."""


def download(entry: BenchmarkDataset, root: Path | str | None = None) -> tuple[str, ...]:
    """Download the images of a benchmark into its folder below the data root.

    They are unpacked beside the other folders of the data root first and moved when they are
    complete, so a download that was cut short leaves no half of a data set.

    Args:
        entry: The data set.
        root: The data root; None takes the environment variable INTERLACE_DATA.

    Returns:
        What is still missing, each with where to get it: torchvision does not have the
        split lists.

    Raises:
        InterlaceError: torchvision cannot download this data set, no data root is known, there
            are images already, or the download failed or brought something else.
    """
    how = DOWNLOADS.get(entry.name)
    if how is None:
        raise InterlaceError(
            f"{entry.title} cannot be downloaded: get it from {entry.images_from} "
            f"(what can be: {', '.join(DOWNLOADS)})"
        )
    base = data_root(root)
    if base is None:
        raise InterlaceError(f"{entry.title}: where to? Give the data root (--data-root, root=...)")
    folder = base / entry.folder
    if (folder / entry.images).exists():
        raise InterlaceError(f"{entry.title}: {folder / entry.images} is there already")
    staging = base / _STAGING / entry.name
    staging.mkdir(parents=True, exist_ok=True)
    try:
        getattr(torchvision.datasets, how.name)(str(staging), download=True)
    # no network, a page that has moved, a broken archive, no space: one line for all of them
    except Exception as error:
        _remove_empty(base / _STAGING)
        raise InterlaceError(
            f"{entry.title} could not be downloaded ({first_line(error)}): get it from "
            f"{entry.images_from}"
        ) from None
    found = [path for pattern in how.moves for path in sorted((staging / how.folder).glob(pattern))]
    if not found:
        raise InterlaceError(
            f"{entry.title}: torchvision unpacked it otherwise than it used to: look in {staging}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        if not (folder / path.name).exists():
            path.rename(folder / path.name)
    shutil.rmtree(staging)
    if not any((base / _STAGING).iterdir()):
        (base / _STAGING).rmdir()
    return entry.missing(base)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those in it, as far as there is no file in them to go on with."""
    for place, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(place)
