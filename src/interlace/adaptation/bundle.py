"""A bundle: the folder an adapted model is saved to.

``adapted.safetensors`` holds the method's own tensors and nothing of the backbone;
``bundle.json`` names the backbone (source and fingerprint), the classes, the template, the settings
of the fit, its history and the images it has used. It is written last: a folder without it holds an
unfinished run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from interlace._util.files import cannot_write, held, write_json
from interlace._util.text import printable
from interlace.adaptation.header import (
    BUNDLE_FORMAT,
    HEADER,
    PICTURE,
    RESULT,
    SPLIT,
    TENSORS,
)
from interlace.errors import InterlaceError
from interlace.train.checkpoint import write_tensors


def save(
    folder: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor], overwrite: bool = False
) -> None:
    """Write a bundle.

    Args:
        folder: where to; made if it does not exist.
        header: the content of ``bundle.json``, without its format.
        tensors: the trained tensors, by name.
        overwrite: whether an existing bundle may be replaced.

    Raises:
        InterlaceError: if the folder holds a bundle already and ``overwrite`` is off, another
            command is writing to it, or it cannot be written.
    """
    with held(folder):
        if (folder / HEADER).exists() and not overwrite:
            raise already_there(folder)
        with saving(folder, header, tensors):
            pass


def already_there(folder: Path) -> InterlaceError:
    """Make the error for a folder that already holds a bundle."""
    return InterlaceError(
        f"{printable(str(folder))} already holds an adapted model; overwrite it (--overwrite) or "
        "choose another folder"
    )


@contextmanager
def saving(
    folder: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Iterator[None]:
    """Write the tensors on entering the context and the header on leaving it.

    Files that are written to the folder inside the context belong to the run. An earlier run stays
    complete until the new tensors are on the disk; from then on, until the header is written, the
    folder holds an unfinished run and nothing of the earlier one.

    Args:
        folder: where to.
        header: the content of ``bundle.json``, without its format.
        tensors: the trained tensors, by name.

    Raises:
        InterlaceError: if a file cannot be written.
    """
    new = folder / f".{TENSORS}.new"
    write_tensors(new, dict(tensors), {"format": "pt"})
    try:
        for name in (HEADER, TENSORS, SPLIT, RESULT, PICTURE):
            (folder / name).unlink(missing_ok=True)
        new.replace(folder / TENSORS)
    except OSError as error:
        raise cannot_write(folder, error) from None
    yield
    write_json(folder / HEADER, {"format": BUNDLE_FORMAT, **header})
