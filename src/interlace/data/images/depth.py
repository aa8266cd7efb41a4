"""Images of more than 8 bits: which of their bits are used, and what that makes of them in 8.

Nothing here holds a second copy of an image at full depth: all goes strip by strip.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from interlace.errors import InterlaceError

Box = tuple[int, int, int, int]
ValueRange = tuple[float, float]

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras, scanners and X-ray detectors deliver, in files of 16 bits or more."""

_PLAIN = ((0.0, 1.0), (0.0, 255.0))
_STRIP_PIXELS = 1 << 20
# the tags of TIFF that say something about the range of the values
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _NODATA = 258, 262, 339, 42113
_STATED_MAXIMA = (281, 341)  # MaxSampleValue, SMaxSampleValue


def strips(size: tuple[int, int]) -> Iterator[Box]:
    """Cut an image into strips of about a million pixels, from the top."""
    width, height = size
    rows = max(1, _STRIP_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def is_wide(image: Image.Image) -> bool:
    """Say whether an image has one channel of 16 or 32 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def from_wide(image: Image.Image) -> Image.Image:
    """Scale one channel of 16 or 32 bits to 8-bit RGB, where PIL's own conversion would clip.

    Raises:
        InterlaceError: No value of the image is finite.
    """
    values = _Values(image)
    low, high = values.range()
    page = Image.new("RGB", image.size)
    for box in strips(image.size):
        page.paste(Image.fromarray(values.scaled(box, low, high)), box)
    return page


@dataclass(frozen=True, slots=True)
class _Found:
    """The least and the greatest finite value, and whether all are whole numbers."""

    low: float
    high: float
    whole: bool


class _Values:
    """The values of a wide image, and what its file says about them."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.tags: Any = getattr(image, "tag_v2", {})
        self.nodata = self._nodata()
        formats, bits = self.tags.get(_SAMPLE_FORMAT, (1,)), self.tags.get(_BITS, (0,))
        self.unsigned = bool(self.tags) and image.mode == "I" and (formats[0], bits[0]) == (1, 32)
        self.inverted = image.mode != "F" and self.tags.get(_PHOTOMETRIC) == 0
        self.bits = bits[0]
        self.clear = image.info.get("transparency")  # PNG's value that stands for "see-through"

    def strip(self, box: Box) -> np.ndarray:
        """Return the values in a box as float64; NaN where the file says that there is none."""
        values = np.asarray(self.image.crop(box))
        if self.unsigned:
            values = values.view(np.uint32)
        with np.errstate(invalid="ignore"):  # a NaN of the signalling kind
            values = values.astype(np.float64)
        if self.nodata is not None:
            values[values == self.nodata] = math.nan
        return values

    def finite(self) -> Iterator[np.ndarray]:
        for box in strips(self.image.size):
            values = self.strip(box)
            yield values[np.isfinite(values)]

    def range(self) -> ValueRange:
        """Which values are black and white."""
        found = self._found()
        stated = self._stated()
        if stated and 0 <= found.low and found.high <= stated[1]:
            return stated
        fixed = self._fixed(found)
        if fixed in _PLAIN:
            return fixed
        tamed = self._without_wild(found)
        return self._fixed(tamed) or (tamed.low, tamed.high)

    def scaled(self, box: Box, low: float, high: float) -> np.ndarray:
        """Return the values in a box in 8 bits; what is not finite is set to the nearer end."""
        values = self.strip(box)
        clear = None if self.clear is None else values == self.clear
        if high == low:  # one value alone, of no known range
            return np.full(values.shape, 128, np.uint8)
        np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
        np.clip(values, low, high, out=values)
        values -= low
        values /= high - low
        values *= 255
        if self.inverted:
            np.subtract(255, values, out=values)
        if clear is not None:
            values[clear] = 255
        return np.rint(values, out=values).astype(np.uint8)

    def _found(self) -> _Found:
        low, high, whole = math.inf, -math.inf, True
        for values in self.finite():
            if values.size:
                low, high = min(low, float(values.min())), max(high, float(values.max()))
                whole = whole and bool((values == np.rint(values)).all())
        if low > high:
            raise InterlaceError("no value in it is a finite number")
        return _Found(low, high, whole)

    def _stated(self) -> ValueRange | None:
        """Return the range that the format fixes."""
        if self.image.format in ("PPM", "JPEG2000") and self.image.mode != "F":
            return 0.0, 65535.0  # PIL has scaled the values to 16 bits by what the header says
        if self.image.format == "TIFF" and 8 < self.bits < 16:
            return 0.0, float((1 << self.bits) - 1)
        return None

    def _fixed(self, found: _Found) -> ValueRange | None:
        """Return the range of the bits that values between ``found.low`` and ``found.high`` use."""
        if found.low < 0:
            return None
        if self.image.mode == "F" and found.high <= 1:
            return 0.0, 1.0
        if not found.whole:
            return (0.0, 255.0) if 128 <= found.high <= 255 else None
        high = max([found.high, *self._stated_maxima()])
        return next((_full(bits) for bits in DEPTHS if high <= _full(bits)[1]), None)

    def _stated_maxima(self) -> list[float]:
        # floats have no bits to be used or not
        if self.image.mode == "F":
            return []
        found = (self.tags.get(tag) for tag in _STATED_MAXIMA)
        firsts = [value[0] if isinstance(value, tuple) and value else value for value in found]
        return [value for value in firsts if isinstance(value, int) and 0 < value <= 65535]

    def _without_wild(self, found: _Found) -> _Found:
        """Leave out the few values that lie far away from all others, such as a sensor's faults.

        A few are one in a thousand, or four in a small image; far away is more than four times as
        far as the others' range is wide.
        """
        count = self.image.width * self.image.height
        few = min(count // 16, max(4, count // 1000))
        least = greatest = np.empty(0)
        for values in self.finite():
            least = _least(np.concatenate([least, values]), few + 1)
            greatest = -_least(-np.concatenate([greatest, values]), few + 1)
        inner_low, inner_high = float(least.max()), float(greatest.min())
        reach = 4 * (inner_high - inner_low)
        if not few or reach <= 0:
            return found
        low = float(least[least >= inner_low - reach].min())
        high = float(greatest[greatest <= inner_high + reach].max())
        return _Found(low, high, found.whole)

    def _nodata(self) -> float | None:
        """Return the value that stands for "none" in maps, as GDAL writes it."""
        try:
            return float(self.tags[_NODATA])
        except (KeyError, TypeError, ValueError):
            return None


def _least(values: np.ndarray, count: int) -> np.ndarray:
    return np.partition(values, count)[:count] if count < values.size else values


def _full(bits: int) -> ValueRange:
    return 0.0, float((1 << bits) - 1)


# 16 bits in each of several channels. PIL reads the upper byte of each, which leaves nothing of an
# image whose values use 8 to 14 of the bits; read with the bytes swapped, it gives the lower ones.

_DIM = 64
"""Where the upper bytes stay below this, at most 14 of 16 bits are used."""


def deep_rawmode(image: Image.Image) -> str | None:
    """Return how PIL unpacks an image, not loaded yet, if from 16 bits in each of its channels."""
    for tile in getattr(image, "tile", None) or []:
        args = tile[3]
        raw = args[0] if isinstance(args, tuple) and args else args
        if isinstance(raw, str) and ";16" in raw and not is_wide(image):
            return raw
    return None


def is_dim(image: Image.Image) -> bool:
    """Say whether the upper bytes of an image's colours leave room for fewer than 16 used bits."""
    bands = image.getextrema()[: _colors(image)]
    return all(isinstance(band, tuple) and band[1] < _DIM for band in bands)


def swap_bytes(image: Image.Image, rawmode: str) -> None:
    """Make an image of 16 bits per channel, not loaded yet, give the lower bytes.

    Raises:
        InterlaceError: PIL has no way to unpack them.
    """
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    if rawmode == "LA;16B":
        swapped = "RGBA"  # upper and lower byte of grey, then of alpha
    elif rawmode[:-1] in ("RGB;16", "RGBA;16", "RGBX;16", "CMYK;16") and rawmode[-1] in other:
        swapped = rawmode[:-1] + other[rawmode[-1]]
    else:
        raise InterlaceError(
            "16 bits per channel, of which few are used: save it with 8 bits per channel"
        )
    image.tile = [_unpacked_by(tile, swapped) for tile in image.tile]  # type: ignore[attr-defined]


def _unpacked_by(tile: Any, rawmode: str) -> Any:
    args = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
    # a named tuple in newer releases of PIL
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)


def join_bytes(upper: Image.Image, lower: Image.Image, rawmode: str) -> None:
    """Scale 16-bit channels by the bits that they use, in place of their upper bytes.

    Args:
        upper: The upper bytes; it is overwritten with the result.
        lower: The lower bytes.
        rawmode: How the upper bytes were unpacked.
    """
    colors, tops = _colors(upper), np.zeros(len(upper.getbands()))
    for box in strips(upper.size):
        joined = _joined(upper, lower, box, rawmode)
        tops = np.maximum(tops, joined.reshape(-1, len(tops)).max(axis=0))
    tops[:colors] = tops[:colors].max()
    scale = np.array([255 / _depth(top) for top in tops])
    for box in strips(upper.size):
        values = np.rint(_joined(upper, lower, box, rawmode) * scale).astype(np.uint8)
        part = Image.frombytes(upper.mode, (box[2] - box[0], box[3] - box[1]), values.tobytes())
        upper.paste(part, box)


def _joined(upper: Image.Image, lower: Image.Image, box: Box, rawmode: str) -> np.ndarray:
    high, low = np.asarray(upper.crop(box)), np.asarray(lower.crop(box))
    if rawmode == "LA;16B":
        low = low[:, :, [1, 1, 1, 3]]
    return high * np.uint16(256) + low


def _depth(top: float) -> float:
    return next(_full(bits)[1] for bits in DEPTHS if top <= _full(bits)[1])


def _colors(image: Image.Image) -> int:
    return len(image.getbands()) - (image.mode in ("LA", "RGBA"))
