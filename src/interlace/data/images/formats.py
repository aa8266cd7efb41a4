"""Which image formats are read, and what a file is that holds none of them."""

import contextlib
import importlib
import logging
import re
import warnings
from functools import lru_cache

from PIL import Image

_PLUGINS = {
    "JPEG": "JpegImagePlugin",  # MPO too: cameras' files of several JPEGs
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "DIB": "BmpImagePlugin",
    "PPM": "PpmImagePlugin",
    "AVIF": "AvifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "ICO": "IcoImagePlugin",
    "PCX": "PcxImagePlugin",
    "QOI": "QoiImagePlugin",
}
"""Formats that PIL decodes by itself, and its module of each.

What is not here cannot be reached, whatever a file is called: PIL's other plugins start programs
(EPS starts Ghostscript), hand the file to handlers that other packages register (BUFR, GRIB, HDF5,
WMF), or take nearly any bytes for an image.
"""

_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%!PS", "an EPS or PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF file"),
    (0, b"\x01\x00\x09\x00\x00\x03", "a WMF file"),
    (40, b" EMF", "an EMF file"),
    (0, b"BUFR", "a BUFR file"),
    (0, b"GRIB", "a GRIB file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"icns", "an ICNS file"),
    (0, b"DDS ", "a DDS file"),
    (0, b"\x00\x00\x02\x00", "a cursor or TGA file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file (FlashPix, MIC, Office)"),
    (0, b"v/1\x01", "an OpenEXR file"),
    (0, b"#?RADIANCE", "a Radiance HDR file"),
    (0, b"\xff\x0a", "a JPEG XL file"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL file"),
    (0, b"II\xbc", "a JPEG XR file"),
    (0, b"\x00\x00\x01\xba", "an MPEG video"),
    (0, b"\x00\x00\x01\xb3", "an MPEG video"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (4, b"ftyp", "an MP4 or QuickTime video"),
    (4, b"moov", "an MP4 or QuickTime video"),
    (0, b"PK\x03\x04", "a ZIP file"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x93NUMPY", "a NumPy file"),
    (0, b"version https://git-lfs", "a pointer of Git LFS: run git lfs pull"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
)
PREFIX_BYTES = 256
"""How much of a file's beginning ``why_not`` looks at."""

_FROM_PIL = re.compile(r"PIL\.|pillow_heif\b")
# without a handler, what PIL logs at the level of warnings goes to standard error
logging.getLogger("PIL").addHandler(logging.NullHandler())

_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1 mif2 heif".split())
_AVIF_BRANDS = frozenset((b"avif", b"avis"))


def allowed(prefix: bytes) -> list[str]:
    """Return the formats that a file may be opened as.

    Args:
        prefix: How the file begins.

    Raises:
        ImportError: It is a HEIC image, and the package for these is not there.
    """
    if is_heif(prefix):
        _register_heif()
        return ["HEIF"]
    return _known()


def why_not(prefix: bytes) -> str:
    """Say why a file that begins like this is no image that can be read."""
    if _brands(prefix) & (_HEIF_BRANDS | _AVIF_BRANDS):
        return "cannot be decoded (a HEIC or AVIF file that is broken, or of a rare kind)"
    for start, sign, name in _KINDS:
        if prefix[start : start + len(sign)] == sign:
            if name.startswith(("a ", "an ")):
                return f"{name}, which is not read" if ":" not in name else name
            return f"cannot be decoded (a {name} file that is broken, or of a rare kind)"
    text = prefix.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG file, which is not read"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page, not an image"
    return "not an image of a known format"


def is_heif(prefix: bytes) -> bool:
    """Say whether a file that begins like this is a HEIC or HEIF image; AVIF is not."""
    brands = _brands(prefix)
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS


def _brands(prefix: bytes) -> set[bytes]:
    """Return what a file of the MP4 family says that it is."""
    if prefix[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(prefix[:4]), len(prefix))
    return {prefix[at : at + 4] for at in (8, *range(16, end - 3, 4))}


def hush() -> None:
    """Keep PIL from printing what it thinks of an image's metadata.

    ``warnings.catch_warnings`` is no help: it is not safe in threads, and each use has Python
    repeat the warnings that it shows only once. So one filter stands in front, and is put back
    there where somebody has set other filters since.
    """
    first = warnings.filters[0] if warnings.filters else None
    if first is None or first[0] != "ignore" or first[3] != _FROM_PIL:
        warnings.filterwarnings("ignore", module=_FROM_PIL.pattern)


@lru_cache
def _known() -> list[str]:
    for module in set(_PLUGINS.values()):
        # an older PIL has no AVIF
        with contextlib.suppress(ImportError):
            importlib.import_module(f"PIL.{module}")
    return [name for name in _PLUGINS if name in Image.OPEN]


@lru_cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
