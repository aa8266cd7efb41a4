"""What a gallery is searched with: an image, or words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from PIL import Image

from interlace._util.text import printable
from interlace.data.readers.walk import EXTENSIONS
from interlace.errors import InterlaceError

Query = str | Path | bytes | Image.Image
QueryKind = Literal["auto", "image", "text"]


def is_image(query: Query, kind: QueryKind = "auto") -> bool:
    """Say whether a query is an image.

    Args:
        query: words, or an image as a path, encoded bytes or a PIL image.
        kind: ``image`` or ``text`` to decide what a string is; ``auto`` takes the path of a file
            for an image.

    Raises:
        InterlaceError: if it looks like the path of an image and there is no such file, or words
            were asked for and it is none.
    """
    if kind not in ("auto", "image", "text"):
        raise InterlaceError(f"kind = {kind!r}: must be auto, image or text")
    if kind == "text" and not isinstance(query, str):
        raise InterlaceError(f"a query of type {type(query).__name__} is not text")
    if kind != "auto" or not isinstance(query, str):
        return kind != "text"
    if os.path.isfile(query):  # words may be longer than a path can be; Path would raise
        return True
    if Path(query).suffix.lower() in EXTENSIONS:
        raise InterlaceError(
            f"no such file: {printable(query)} (to search for these words: --text, in Python "
            "kind='text')"
        )
    return False
