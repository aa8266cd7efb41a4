"""Open any image file as RGB, or say in one line why that is not possible."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from interlace._util.reading import check_regular, reason_of
from interlace._util.text import first_line, printable
from interlace.data.images import depth, formats
from interlace.data.images.limits import (
    MAX_PIXELS,
    TRUNCATED,
    check_bytes,
    check_pixels,
    max_pixels,
    takes_truncated,
    too_large,
    turn,
)
from interlace.errors import InterlaceError, UnreadableImage

EncodedImage = Path | str | bytes

_WHITE = (255, 255, 255, 255)
_VERIFY_SIZE = (32, 32)
_GIVEN = "the given image"
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# decoders that know nothing between all and nothing
_WHOLE_ONLY = ("WEBP", "AVIF", "HEIF")
_CUT = "the file is cut short"
_CUT_HINT = f"--truncated, or {TRUNCATED}=1, takes what is left"
_TILE = (322, 323)  # TIFF's TileWidth and TileLength


def open_image(source: EncodedImage | Image.Image, least_side: int | None = None) -> Image.Image:
    """Decode an image to 8-bit RGB, the way a viewer would show it on a white page.

    EXIF rotation is applied, transparency is laid on white, of an animation the first frame is
    taken, and more than 8 bits are scaled by those that are used (see ``docs/data.md``).

    Args:
        source: Path of a file, its encoded bytes, or an image that PIL has already opened.
        least_side: Allows an image that is smaller by a whole factor, as long as neither side
            falls below this number of pixels. A large JPEG then decodes ten times as fast. None
            keeps the full size.

    Returns:
        A decoded image of mode ``"RGB"``, independent of ``source``.

    Raises:
        UnreadableImage: The file is missing, no regular file, empty, cut short, larger than
            ``data.limits`` allows, or not an image of a format that is read.
        InterlaceError: A setting in the environment is wrong.
    """
    if isinstance(source, Image.Image):
        most = max_pixels()
        _set_up_pil(most, not takes_truncated())
        with _named(_GIVEN):
            check_pixels(source.size, most)
            image = _upright(_to_rgb(source), _orientation(source))
    else:
        image = _decode(source, (least_side, least_side) if least_side else None)
    factor = min(image.size) // least_side if least_side else 1
    return image.reduce(factor) if factor > 1 else image


def verify_image(source: EncodedImage) -> None:
    """Check that every byte of an image can be decoded, at the least cost.

    A JPEG is decoded at an eighth of its size, which still reads all of it: measured on one core,
    1.0 instead of 1.7 ms at 500 x 400 pixels and 19 instead of 191 ms at 4000 x 3000.

    Raises:
        UnreadableImage: As ``open_image``.
        InterlaceError: As ``open_image``.
    """
    _decode(source, _VERIFY_SIZE)


def image_size(source: EncodedImage) -> tuple[int, int]:
    """Read the width and height that an image's header states.

    Raises:
        UnreadableImage: As ``open_image``; what lies behind the header is not looked at.
        InterlaceError: As ``open_image``.
    """
    with _opened(source) as image:
        return image.size


def add_noise(image: Image.Image, deviation: float, key: str) -> Image.Image:
    """Add Gaussian noise to an RGB image, to each channel of each pixel independently.

    Args:
        image: The image.
        deviation: Standard deviation, where 1 is the step from black to white.
        key: What the noise is drawn from: the same image gets the same noise every time.
    """
    seed = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8])
    values = np.asarray(image, dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal(values.shape, dtype=np.float32)
    noisy = np.rint(values + 255 * deviation * noise).clip(0, 255)
    return Image.fromarray(noisy.astype(np.uint8))


def _decode(source: EncodedImage, draft: tuple[int, int] | None) -> Image.Image:
    with _opened(source) as image, turn(image.size):
        if draft:
            # has a JPEG decoded at 1/2, 1/4 or 1/8; does nothing to other formats
            image.draft(None, draft)
        rawmode = depth.deep_rawmode(image)
        image.load()
        check_pixels(image.size, max_pixels())
        if rawmode and depth.is_dim(image):
            with _opened(source) as lower:
                depth.swap_bytes(lower, rawmode)
                lower.load()
                depth.join_bytes(image, lower, rawmode)
        orientation, rgb = _orientation(image), _to_rgb(image)
    return _upright(rgb, orientation)


@contextmanager
def _opened(source: EncodedImage) -> Iterator[Image.Image]:
    """Open an image without decoding it; an error while it is open becomes one line."""
    most, whole = max_pixels(), not takes_truncated()
    _set_up_pil(most, whole)
    with _file(source) as (file, name), _named(name):
        prefix = file.read(formats.PREFIX_BYTES)
        try:
            known = formats.allowed(prefix)
        except ImportError:
            raise InterlaceError(
                "a HEIC image, which needs a package: pip install 'interlace[heic]'"
            ) from None
        try:
            # an open file and not its name: PIL then maps no memory, which a file that shrinks
            # meanwhile would turn into a crash
            image = Image.open(file, formats=known)
        except UnidentifiedImageError:
            raise InterlaceError(formats.why_not(prefix)) from None
        with closing(image):
            check_pixels(image.size, most)
            check_pixels(_tile(image), most)
            try:
                yield image
            except Exception as error:
                if whole and _is_cut(error) and image.format not in _WHOLE_ONLY:
                    raise UnreadableImage(name, _CUT, _CUT_HINT) from None
                raise


@contextmanager
def _file(source: EncodedImage) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file or bytes for reading, and return what messages call them."""
    if isinstance(source, bytes):
        name = f"image of {len(source)} bytes"
        with _named(name):
            check_bytes(len(source))
        yield BytesIO(source), name
        return
    name = printable(str(source))
    with _named(name):
        check_bytes(check_regular(source).st_size)
        file = Path(source).open("rb")
    with file:
        yield file, name


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn every error of an image into one line that begins with its name."""
    try:
        yield
    except UnreadableImage:
        raise
    except InterlaceError as error:
        raise UnreadableImage(name, str(error).removeprefix(f"{name}: ")) from None
    # PIL's plugins answer broken files with whatever error they meet first: struct.error,
    # SyntaxError, zlib.error, EOFError, ...
    except Exception as error:
        raise UnreadableImage(name, _reason(error)) from None


def _set_up_pil(most: int, whole: bool) -> None:
    """Pass our settings to PIL: its own are global, so all threads set them to the same."""
    global _truncated_is_ours
    formats.hush()
    if most > MAX_PIXELS and Image.MAX_IMAGE_PIXELS and 2 * Image.MAX_IMAGE_PIXELS < most:
        Image.MAX_IMAGE_PIXELS = -(-most // 2)
    if not whole and not ImageFile.LOAD_TRUNCATED_IMAGES:
        ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_is_ours = True
    elif whole and _truncated_is_ours:
        ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_is_ours = False


_truncated_is_ours = False


def _tile(image: Image.Image) -> tuple[int, int]:
    """Return the size of a TIFF's tiles: each is decoded whole, however small the image is."""
    tags = getattr(image, "tag_v2", {})
    width, height = (tags.get(tag, 1) for tag in _TILE)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (1, 1)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    # a camera's broken notes are no reason to refuse its photo
    except Exception:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB, with a copy of the image and little more."""
    if depth.is_wide(image):
        return depth.from_wide(image)
    if not image.has_transparency_data:
        # convert() returns a decoded copy, also where the mode is RGB already
        return image.convert("RGB")
    page = Image.new("RGB", image.size)
    for box in depth.strips(image.size):
        part = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", part.size, _WHITE)
        page.paste(Image.alpha_composite(white, part).convert("RGB"), box)
    return page


def _is_cut(error: Exception) -> bool:
    return "truncated" in str(error).lower() or isinstance(error, EOFError)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, Image.DecompressionBombError):
        stated = re.search(r"\d+", str(error))
        pixels = int(stated[0]) if stated else 0
        return too_large(f"{pixels:,} pixels", pixels, max_pixels())
    if _is_cut(error):
        return _CUT
    if isinstance(error, OSError) and error.errno:
        return reason_of(error)
    return f"cannot be decoded ({first_line(error)})"
