"""Reading, decoding and resizing in threads, ahead of the encoder and in order."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from interlace._util.text import first_line
from interlace.backbone.preprocess import Transform
from interlace.data.images.decode import image_size, open_image
from interlace.data.images.limits import turn
from interlace.data.records import digest_of
from interlace.errors import InterlaceError, UnreadableImage

THUMBNAIL = 160
_QUALITY = 80

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An encoded image on its way to a vector.

    Attributes:
        hash: of its bytes, 16 hex digits; "" where they could not be read.
        pixels: what the model takes, [3, H, W]; None where the vector is known or there is none.
        thumbnail: a small JPEG; empty where none was asked for.
        reason: why it cannot be used; "" where it can.
    """

    hash: str
    pixels: Tensor | None = field(default=None, repr=False)
    thumbnail: bytes = field(default=b"", repr=False)
    reason: str = ""

    @property
    def is_known(self) -> bool:
        """Whether its vector need not be computed."""
        return self.pixels is None and not self.reason


def prepare(
    read: Callable[[], bytes],
    transform: Transform,
    known: Collection[str] = (),
    thumbnail: int = 0,
) -> PreparedImage:
    """Read one image and make it ready for the model; a broken one is reported, not raised.

    What is held at a time is bounded: large images wait for each other.

    Args:
        read: gives the encoded bytes, and raises OSError or UnreadableImage where it cannot.
        transform: makes the model's input of an RGB image.
        known: hashes of images whose vectors are known; they are not decoded.
        thumbnail: longest side of the thumbnail in pixels; 0 for none.

    Raises:
        InterlaceError: if a setting of the decoder is wrong.
    """
    try:
        content = read()
    except UnreadableImage as error:
        return PreparedImage("", reason=error.reason)
    except OSError as error:
        return PreparedImage("", reason=str(error.strerror or error))
    except (ValueError, MemoryError) as error:  # a NUL in a name; a file larger than the memory
        return PreparedImage("", reason=first_line(error))
    digest = digest_of(content)
    if digest in known:
        return PreparedImage(digest)
    try:
        with turn(image_size(content)):
            image = open_image(content)
            pixels = transform(image)
            return PreparedImage(digest, pixels, _thumbnail(image, thumbnail) if thumbnail else b"")
    except UnreadableImage as error:
        return PreparedImage(digest, reason=error.reason)


def _thumbnail(image: Image.Image, side: int) -> bytes:
    """Make a small JPEG of an image, which is changed."""
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def default_workers(device: torch.device) -> int:
    """Return one thread per core beside a GPU; an encoder on the CPU needs most cores itself."""
    cores = os.cpu_count() or 1
    return max(1, cores // 4) if device.type == "cpu" else min(16, cores)


def ahead(
    items: Iterable[In], work: Callable[[In], Out], workers: int, depth: int
) -> Iterator[Out]:
    """Apply ``work`` to items in threads, in order, at most ``depth`` results ahead.

    PIL decodes and resizes without the interpreter's lock, so this overlaps with an encoder that
    computes between two results.

    Raises:
        InterlaceError: if there is no worker.
    """
    if workers < 1:
        raise InterlaceError(f"workers = {workers}: must be 1 or more")
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="interlace-decode") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
