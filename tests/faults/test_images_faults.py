"""One decoder for every image: the right picture, or one line, at a bounded cost."""

import os
import pickle
import struct
import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageFile, TiffImagePlugin

from interlace.backbone import preprocess as transforms
from interlace.backbone.preprocess import Preprocess
from interlace.data.images import formats, limits
from interlace.data.images.decode import image_size, open_image, verify_image
from interlace.data.images.loader import batches
from interlace.data.records import Record
from interlace.errors import InterlaceError, UnreadableImage
from interlace.search.pipeline import prepare

GREY = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint16)
GREY[0, :2] = 0, 255


def encoded(values: np.ndarray | Image.Image, form: str = "TIFF", **options: object) -> bytes:
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def grey_of(data: bytes | Path) -> np.ndarray:
    seen = np.asarray(open_image(data)).astype(int)
    assert (seen == seen[:, :, :1]).all()
    return seen[:, :, 0]


def chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def png(width: int, height: int, depth: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def png16(values: np.ndarray, *extra: bytes) -> bytes:
    """A PNG of 16 bits per channel [H, W, channels], which PIL does not write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows, *extra)


# which bits are used


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int32", "float32"])
def test_the_bits_that_are_used_are_seen(bits: int, dtype: str) -> None:
    top = (1 << bits) - 1
    values = np.rint(GREY / 255 * top).astype(dtype)
    assert np.abs(grey_of(encoded(values)) - GREY).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_png_of_sixteen_bits_too(bits: int) -> None:
    values = np.rint(GREY / 255 * ((1 << bits) - 1))
    assert np.abs(grey_of(encoded(values.astype(np.uint16), "PNG")) - GREY).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(
    ("color", "alpha"), [(3, None), (3, 65535), (3, "top"), (1, 65535), (1, "top")]
)
def test_sixteen_bits_in_several_channels(bits: int, alpha: object, color: int) -> None:
    top = (1 << bits) - 1
    expected = np.stack([GREY, GREY[::-1], GREY[:, ::-1]][:color], axis=-1)
    values = np.rint(expected / 255 * top).astype(np.uint16)
    if alpha is not None:
        filled = np.full((*GREY.shape, 1), top if alpha == "top" else alpha, np.uint16)
        values = np.concatenate([values, filled], axis=-1)
    seen = np.asarray(open_image(png16(values))).astype(int)
    assert np.abs(seen - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_in_the_channels_of_a_tiff(
    bits: int, compression: str | None, order: str
) -> None:
    expected = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
    values = np.rint(expected / 255 * ((1 << bits) - 1)).astype(np.uint16)
    buffer = BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb", byteorder=order, compression=compression)
    assert np.abs(np.asarray(open_image(buffer.getvalue())).astype(int) - expected).max() <= 1


def test_clear_pixels_of_sixteen_bits_are_white() -> None:
    values = np.full((4, 4, 2), 4095, np.uint16)
    values[0, 0] = 0, 0
    assert grey_of(png16(values))[0, 0] == 255
    grey = np.array([[[7], [4095], [2048]]], np.uint16)
    clear = chunk(b"tRNS", struct.pack(">H", 7))
    assert grey_of(png16(grey, clear))[0].tolist() == [255, 255, 128]


def test_floats_are_taken_as_they_are_where_their_range_is_known() -> None:
    unit = (GREY / 255).astype(np.float32)
    assert (grey_of(encoded(unit)) == GREY).all()
    assert np.abs(grey_of(encoded(unit / 2)) - GREY / 2).max() <= 1, "dark stays dark"
    assert np.abs(grey_of(encoded(GREY.astype(np.float32) * 0.9)) - GREY * 0.9).max() <= 1
    assert np.abs(grey_of(encoded(unit * 1.02)) - GREY).max() <= 1, "a slight overshoot"


@pytest.mark.parametrize("scale", [1 / 255, 1, 16])
def test_what_is_not_finite_or_wild_is_left_out_of_account(scale: float) -> None:
    values = (GREY * scale).astype(np.float32)
    for place, odd in enumerate([np.nan, np.inf, -np.inf, 1e30, -1e9]):
        values[5, place] = odd
    seen = grey_of(encoded(values))
    assert seen[5, :5].tolist() == [0, 255, 0, 255, 0]
    seen[5, :5] = GREY[5, :5]
    assert np.abs(seen - GREY).max() <= 1


def test_one_hot_pixel_does_not_darken_twelve_bits() -> None:
    values = GREY * 16
    values[3, 3] = 65535
    seen = grey_of(encoded(values))
    assert seen[3, 3] == 255
    seen[3, 3] = GREY[3, 3]
    assert np.abs(seen - GREY).max() <= 1


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_negative_values_are_stretched(dtype: str) -> None:
    tomography = (GREY.astype(int) * 16 - 1024).astype(dtype)
    assert np.abs(grey_of(encoded(tomography)) - GREY).max() <= 1


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (0, "uint16", 0),
        (255, "uint16", 255),
        (65535, "uint16", 255),
        (128, "int32", 128),
        (0.5, "float32", 128),
        (200.0, "float32", 200),
        (-3.0, "float32", 128),
        (1e20, "float32", 128),
    ],
)
def test_one_value_alone(value: float, dtype: str, expected: int) -> None:
    assert (grey_of(encoded(np.full((8, 8), value, dtype))) == expected).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_no_finite_value_is_an_error(odd: float) -> None:
    with pytest.raises(UnreadableImage, match="no value in it is a finite number"):
        open_image(encoded(np.full((8, 8), odd, np.float32)))


def test_what_a_tiff_says_of_its_values_counts() -> None:
    said = TiffImagePlugin.ImageFileDirectory_v2()
    said[281] = 4095  # MaxSampleValue
    assert grey_of(encoded(np.full((4, 4), 200, np.uint16), tiffinfo=said))[0, 0] == 12
    maps = TiffImagePlugin.ImageFileDirectory_v2()
    maps[42113] = "-9999"
    values = (GREY / 255).astype(np.float32)
    values[:12] = -9999
    assert (grey_of(encoded(values, tiffinfo=maps))[12:] == GREY[12:]).all()


def test_white_is_zero_is_turned_round() -> None:
    data = bytearray(encoded(GREY * 257))
    at = data.index(struct.pack("<HHII", 262, 3, 1, 1))
    data[at : at + 12] = struct.pack("<HHII", 262, 3, 1, 0)
    assert np.abs(grey_of(bytes(data)) - (255 - GREY)).max() <= 1


def test_portable_greymaps_are_scaled_by_the_maximum_that_they_state() -> None:
    rows = (GREY[:, :] // 2).astype(">u2").tobytes()
    data = b"P5 32 24 1000\n" + rows
    assert np.abs(grey_of(data) - (GREY // 2) * 255 / 1000).max() <= 1


def test_an_image_that_pil_has_opened_is_read_alike() -> None:
    seen = np.asarray(open_image(Image.fromarray(GREY * 16))).astype(int)
    assert np.abs(seen[:, :, 0] - GREY).max() <= 1


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 77])
@pytest.mark.parametrize("wide", [False, True])
def test_an_image_is_turned_once(form: str, orientation: int, wide: bool) -> None:
    if wide and form in ("WEBP", "JPEG"):
        return
    ramp = np.add.outer(np.arange(24) * 8, np.arange(32) * 2).astype(
        np.uint16 if wide else np.uint8
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(ramp), form, exif=exif)
    turned = {
        2: ramp[:, ::-1],
        3: ramp[::-1, ::-1],
        4: ramp[::-1],
        5: ramp.T,
        6: ramp[::-1].T,
        7: ramp[::-1, ::-1].T,
        8: ramp[:, ::-1].T,
    }.get(orientation, ramp)
    for source in (data, Image.open(BytesIO(data))):
        seen = np.asarray(open_image(source))[:, :, 0].astype(int)
        assert seen.shape == turned.shape
        assert np.abs(seen - turned).max() < 12


# what is no image


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (EPS, "an EPS or PostScript file, which is not read"),
        (b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, 60) + bytes(24) + EPS, "an EPS file"),
        (b"%PDF-1.7\n" + bytes(99), "a PDF file"),
        (b"\xd7\xcd\xc6\x9a" + bytes(99), "a WMF file"),
        (b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(99), "an EMF file"),
        (b"BUFR" + bytes(99), "a BUFR file"),
        (b"GRIB\0\0\0\x01" + bytes(99), "a GRIB file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
        (b"SIMPLE  =                    T" + bytes(99), "a FITS file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an OLE file"),
        (bytes(128) + b"DICM" + bytes(99), "a DICOM file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG file"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\0\0\0\x18ftypisom" + bytes(99), "an MP4 or QuickTime video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"MM\0*\0\0\0\x08\0\0" + bytes(99), "a TIFF file that is broken, or of a rare kind"),
        (bytes(200), "not an image of a known format"),
    ],
)
@pytest.mark.parametrize("name", ["x.jpg", "x.eps"])
def test_other_kinds_are_named_and_start_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str, name: str
) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    path = tmp_path / name
    path.write_bytes(data)
    for read in (open_image, verify_image):
        with pytest.raises(UnreadableImage, match=reason) as caught:
            read(path)
        assert caught.value.name == str(path)
    assert not (tmp_path / "started").exists()


def test_pil_is_never_asked_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = Image.open

    def watched(*args: object, **options: object) -> Image.Image:
        asked.append(options["formats"])
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", watched)
    open_image(encoded(Image.new("RGB", (4, 4)), "PNG"))
    allowed = {"JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM"}
    assert allowed <= set(asked[0])
    assert not set(asked[0]) & {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "IPTC", "FPX", "MIC", "FITS"}


def test_special_files_are_named_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "a.jpg"
    os.mkfifo(fifo)
    for path, reason in (
        (fifo, "a named pipe, not a regular file"),
        ("/dev/zero", "a device, not a regular file"),
        (tmp_path, "a folder"),
        ("a\0b.jpg", "not a name that a file can have"),
        (tmp_path / "none.jpg", "no such file"),
    ):
        for read in (open_image, verify_image, image_size):
            with pytest.raises(UnreadableImage, match=reason) as caught:
                read(path)
            assert "\0" not in str(caught.value)


def test_a_reason_is_whole_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a: b: c.jpg"
    path.write_bytes(b"")
    with pytest.raises(UnreadableImage) as caught:
        open_image(path)
    assert caught.value.reason == "the file is empty"
    assert str(caught.value) == f"{path}: the file is empty"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.name, again.reason) == (UnreadableImage, str(path), again.reason)
    with pytest.raises(UnreadableImage, match="the file is empty"):
        list(batches([Record(path, 0, "a")], Preprocess(8).eval_transform(), 1, workers=1))
    found = prepare(lambda: open_image(path).tobytes(), Preprocess(8).eval_transform())
    assert (found.hash, found.reason) == ("", "the file is empty")
    found = prepare(lambda: b"%PDF: x: y", Preprocess(8).eval_transform())
    assert found.reason == "a PDF file, which is not read"


# limits and settings


def huge_png(width: int, height: int) -> bytes:
    return png(width, height, 8, 0, b"\0" * 100)


@pytest.mark.parametrize(
    "size", [(1, 80_000_000), (80_000_000, 1), (30_000, 30_000), (1, 2**31 - 1)]
)
def test_too_many_pixels_are_refused_at_once(size: tuple[int, int]) -> None:
    start = time.perf_counter()
    with pytest.raises(UnreadableImage, match="give --max-pixels .* INTERLACE_MAX_PIXELS"):
        open_image(huge_png(*size))
    assert time.perf_counter() - start < 1


def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (50, 40), "red"), "PNG")
    monkeypatch.setenv(limits.PIXELS, "1999")
    for source in (data, Image.open(BytesIO(data))):
        with pytest.raises(UnreadableImage, match="at most 1,999 are read.*--max-pixels 2000"):
            open_image(source)
    monkeypatch.setenv(limits.PIXELS, "2000")
    assert open_image(data).size == (50, 40)
    for nonsense in ("many", "-1", "0", "1.5", "²", "9" * 5000):
        monkeypatch.setenv(limits.PIXELS, nonsense)
        with pytest.raises(InterlaceError, match="INTERLACE_MAX_PIXELS = .*whole number") as caught:
            open_image(data)
        assert not isinstance(caught.value, UnreadableImage)
        assert len(str(caught.value)) < 200


def test_more_than_pil_allows_is_read_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PIXELS", 100)
    monkeypatch.setattr("interlace.data.images.decode.MAX_PIXELS", 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    data = encoded(Image.new("RGB", (30, 20)), "PNG")
    with pytest.raises(UnreadableImage, match="at most 100 are read: give --max-pixels 600"):
        open_image(data)
    monkeypatch.setenv(limits.PIXELS, "600")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(data).size == (30, 20)


def test_large_files_and_large_tiles_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(limits.MAX_FILE_BYTES + 1)
    for read in (open_image, image_size):
        with pytest.raises(UnreadableImage, match="at most 536,870,912 are read of an image"):
            read(path)
    buffer = BytesIO()
    tifffile.imwrite(buffer, GREY, tile=(16, 16))
    data = buffer.getvalue()
    for tag in (322, 323):
        old, new = (struct.pack("<HHII", tag, 4, 1, side) for side in (16, 60_000))
        assert old in data
        data = data.replace(old, new)
    with pytest.raises(UnreadableImage, match="60,000 x 60,000 pixels"):
        open_image(data)


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LARGE_PIXELS", 100)
    data, inside, most = encoded(Image.new("RGB", (30, 20)), "PNG"), [0], [0]
    real = Image.Image.convert

    def slow(image: Image.Image, *arguments: object, **options: object) -> Image.Image:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        inside[0] -= 1
        return real(image, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "convert", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_image, [data] * 6))
        transform = Preprocess(8).eval_transform()
        found = list(pool.map(lambda _: prepare(lambda: data, transform, thumbnail=8), range(6)))
    assert most == [1]
    assert all(one.thumbnail and one.pixels is not None for one in found)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_cut_file_is_taken_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    noise = Image.effect_noise((256, 256), 60).convert("RGB")
    data = encoded(noise, form)[: len(encoded(noise, form)) // 2]
    path = tmp_path / "cut.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match="cut short: --truncated, or INTERLACE_TRUNCATED=1"):
        open_image(path)
    monkeypatch.setenv(limits.TRUNCATED, "1")
    # threads do not disturb each other's reading
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(open_image, [path] * 16))
    whole = np.asarray(open_image(encoded(noise, form)))
    for image in images:
        assert np.array_equal(np.asarray(image)[:64], whole[:64])
    verify_image(path)
    monkeypatch.setenv(limits.TRUNCATED, "0")
    with pytest.raises(UnreadableImage, match="cut short"):
        open_image(path)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    monkeypatch.setenv(limits.TRUNCATED, "yes")
    with pytest.raises(InterlaceError, match="INTERLACE_TRUNCATED = 'yes': must be 1 or 0"):
        open_image(path)


def test_the_command_line_hands_the_settings_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from interlace.cli import app

    monkeypatch.setenv(limits.PIXELS, "1")
    monkeypatch.setenv(limits.TRUNCATED, "0")
    result = CliRunner().invoke(app, ["--max-pixels", "400000000", "--truncated", "data", "list"])
    assert result.exit_code == 0
    assert (os.environ[limits.PIXELS], os.environ[limits.TRUNCATED]) == ("400000000", "1")
    assert CliRunner().invoke(app, ["--max-pixels", "0", "data", "list"]).exit_code == 2


MEASURE = """
import resource, sys
from PIL import Image
from interlace.data.images.decode import open_image
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
open_image(sys.argv[2])
before = peak()
image = open_image(sys.argv[1])
print((peak() - before) / image.width / image.height)
"""


def measured(code: str, *arguments: object) -> str:
    run = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.parametrize("kind", ["16 bits", "transparent", "turned"])
def test_decoding_holds_about_eight_bytes_per_pixel(tmp_path: Path, kind: str) -> None:
    side = 3000
    ramp = np.broadcast_to(np.arange(side) % 4096, (side, side))
    turned = Image.Exif()
    turned[0x0112] = 6
    made = {
        "16 bits": lambda: encoded(ramp.astype(np.uint16), "PNG", compress_level=1),
        "transparent": lambda: encoded(Image.new("RGBA", (side, side)), "PNG"),
        "turned": lambda: encoded(Image.new("RGB", (side, side)), "JPEG", exif=turned),
    }
    path, small = tmp_path / "a", tmp_path / "small"
    path.write_bytes(made[kind]())
    small.write_bytes(encoded(np.zeros((8, 8), np.uint16)))
    # strips of a million pixels are a ninth of this image, and a 170th of the largest
    assert float(measured(MEASURE, path, small)) < 16


def test_nothing_of_pil_is_printed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)  # a warning from here, an error at 1,400
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 3
    data = encoded(Image.new("RGB", (40, 20), "red"), "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(np.subtract(open_image(data).getpixel((0, 0)), (255, 0, 0))).max() < 3
        verify_image(data)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# HEIC


def heic(path: Path) -> Path:
    pytest.importorskip("pillow_heif").register_heif_opener()
    shade = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    shade.save(path, "HEIF", quality=90)
    return path


def test_heic_is_read_with_the_package(tmp_path: Path) -> None:
    image = open_image(heic(tmp_path / "a.heic"))
    assert (image.mode, image.size) == ("RGB", (64, 48))
    shade = np.asarray(Image.linear_gradient("L").resize((64, 48))).astype(int)
    assert np.abs(np.asarray(image)[:, :, 0] - shade).mean() < 4
    renamed = (tmp_path / "a.heic").rename(tmp_path / "b.jpg")
    verify_image(renamed)


def test_heic_without_the_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = heic(tmp_path / "a.jpg")
    formats._register_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match=r"a HEIC image, .*pip install 'interlace\[heic\]'"):
        open_image(path)


# transforms


def v2_eval(preprocess: Preprocess) -> object:
    from torchvision.transforms import InterpolationMode, v2

    mode, side = InterpolationMode(preprocess.interpolation), [preprocess.size] * 2
    resize = [v2.Resize([preprocess.size], interpolation=mode), v2.CenterCrop(side)]
    if preprocess.resize_mode == "squash":
        resize = [v2.Resize(side, interpolation=mode)]
    return v2.Compose(
        [
            *resize,
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(preprocess.mean), list(preprocess.std)),
        ]
    )


def test_no_torchvision_is_needed_to_read_and_transform() -> None:
    code = (
        "import sys; from PIL import Image; from interlace.backbone.preprocess import Preprocess;"
        "Preprocess().eval_transform()(Image.new('RGB', (9, 9)));"
        "Preprocess().train_transform()(Image.new('RGB', (9, 9)));"
        "import interlace.data.images.loader; print('torchvision' in sys.modules)"
    )
    assert measured(code).strip() == "False"


def test_training_draws_what_torchvision_draws() -> None:
    from torchvision.transforms import InterpolationMode, v2

    preprocess = Preprocess(20)
    for scale in ((0.5, 1.0), (0.08, 0.3), (0.99, 1.0)):
        ours = preprocess.train_transform(scale)
        crop = v2.RandomResizedCrop(20, scale, interpolation=InterpolationMode.BICUBIC)
        theirs = v2.Compose([crop, v2.RandomHorizontalFlip(), *v2_eval(preprocess).transforms[2:]])
        for width, height in ((50, 40), (20, 20), (3, 90), (90, 3), (1, 1), (300, 301)):
            image = Image.fromarray(
                np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
            )
            for seed in range(20):
                torch.manual_seed(seed)
                expected = theirs(image)
                state = torch.get_rng_state()
                torch.manual_seed(seed)
                got = ours(image)
                assert torch.equal(got, expected)
                assert got.stride() == expected.stride()
                assert torch.equal(torch.get_rng_state(), state)


THIN = """
import resource, sys, time
from PIL import Image
from interlace.data.images.decode import open_image
from interlace.backbone.preprocess import Preprocess
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.perf_counter()
for mode in ("shortest", "squash", "longest"):
    transform = Preprocess(384, resize_mode=mode).eval_transform()
    assert transform(open_image(sys.argv[1])).shape == (3, 384, 384)
Preprocess(384).train_transform()(open_image(sys.argv[1]))
print(peak() - before, time.perf_counter() - start)
"""


@pytest.mark.parametrize("size", [(1, 40_000), (150_000, 2)])
def test_thin_images_cost_little(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "thin.png"
    Image.new("RGB", size, "gray").save(path)
    megabytes, seconds = map(float, measured(THIN, path).split())
    assert megabytes < 400
    assert seconds < 10


@pytest.mark.parametrize(
    ("width", "height"), [(900, 40), (40, 900), (2000, 3), (3, 2001), (1, 600)]
)
def test_cutting_first_gives_what_cutting_last_gives(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    for interpolation in ("bicubic", "bilinear"):
        preprocess = Preprocess(32, (0, 0, 0), (1, 1, 1), interpolation)
        whole = preprocess.eval_transform()(image)
        assert torch.equal(whole, v2_eval(preprocess)(image))
        with monkeypatch.context() as patch:
            patch.setattr(transforms, "_FEW_PIXELS", 0)
            first = preprocess.eval_transform()(image)
        assert (first - whole).abs().max() <= 1.01 / 255


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 10**6}, "size = 1000000: must be a whole number from 1 to 4096"),
        ({"size": 2.5}, "size = 2.5: must be a whole number"),
        ({"size": True}, "size = True"),
        ({"size": "224"}, "size = '224'"),
        ({"mean": [0.5, float("nan"), 0.5]}, "mean: .* is not three numbers"),
        ({"std": [1, 1, float("inf")]}, "std: .* is not three numbers"),
        ({"std": [1, 1, 0]}, "std = .*: must be more than 0"),
        ({"std": [1, 1, -1]}, "std = .*: must be more than 0"),
        ({"std": "abc"}, "std: 'abc' is not three numbers"),
        ({"std": [10**400, 1, 1]}, "is not three numbers"),
        ({"fill_color": 256}, "fill_color = 256: must be a whole number from 0 to 255"),
        ({"fill_color": None}, "fill_color = None"),
        ({"resize_mode": []}, "resize_mode"),
    ],
)
def test_constants_of_other_peoples_files_are_checked(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(InterlaceError, match=message):
        Preprocess.from_dict(values)
