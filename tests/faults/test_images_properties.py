"""Whatever an image file holds: an RGB image, or one line, within bounds."""

import time
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from interlace.backbone.preprocess import Preprocess
from interlace.data.images.decode import open_image, verify_image
from interlace.data.images.formats import why_not
from interlace.errors import InterlaceError, UnreadableImage

FORMS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB", "I"),
    "AVIF": ("RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
    "ICO": ("RGB", "RGBA"),
    "PCX": ("1", "L", "P", "RGB"),
    "HEIF": ("RGB",),
}
PAIRS = [(form, mode) for form, modes in FORMS.items() for mode in modes]
DATA = settings(deadline=None, derandomize=True, max_examples=250)


@cache
def made(form: str, mode: str, width: int = 24, height: int = 17) -> bytes:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(noise)
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray(noise[:, :, 0].astype(kind))
    elif mode == "LAB":
        image = Image.frombytes("LAB", (width, height), noise[:, :, :3].tobytes())
    else:
        image = (image if mode in ("RGBA", "LA") else image.convert("RGB")).convert(mode)
    buffer = BytesIO()
    options = {"sizes": [(24, 17)]} if form == "ICO" else {}
    image.save(buffer, form, **options)
    return buffer.getvalue()


def outcome(data: bytes) -> Image.Image | str:
    start = time.perf_counter()
    try:
        image: Image.Image | str = open_image(data)
    except UnreadableImage as error:
        image = str(error)
        assert image.isprintable()
        assert "\n" not in image
        assert image.startswith(f"image of {len(data)} bytes: ")
        assert error.reason
    else:
        assert image.mode == "RGB"
        verify_image(data)
    assert time.perf_counter() - start < 5
    return image


@given(st.binary(max_size=300))
@DATA
def test_any_bytes(data: bytes) -> None:
    outcome(data)
    assert why_not(data)


SIGNS = [made(*pair)[:32] for pair in PAIRS] + [b"%!PS", b"%PDF", b"\0\0\0\x18ftypheic"]


@given(st.sampled_from(SIGNS), st.binary(max_size=300))
@DATA
def test_any_bytes_behind_the_beginning_of_an_image(sign: bytes, data: bytes) -> None:
    outcome(sign + data)


@given(
    st.sampled_from(PAIRS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0.1, 1),
)
@settings(DATA, max_examples=300)
def test_damaged_images(
    pair: tuple[str, str], changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(made(*pair))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    outcome(bytes(data[: int(len(data) * kept)]))


@given(st.sampled_from(PAIRS), st.integers(1, 70), st.integers(1, 70))
@settings(DATA, max_examples=150)
def test_every_mode_of_every_format_is_read(pair: tuple[str, str], width: int, height: int) -> None:
    form, mode = pair
    if form in ("ICO", "HEIF", "AVIF"):
        width, height = 24, 17
    image = outcome(made(form, mode, width, height))
    assert isinstance(image, Image.Image), image
    assert image.size == (width, height)
    if mode in ("I;16", "I", "F"):
        # whole numbers up to 255 are bytes in whatever type; a PPM states 65,535
        grey = np.random.default_rng(width).integers(0, 256, (height, width, 4), dtype=np.uint8)
        expected = grey[:, :, 0].astype(int) // (257 if form == "PPM" else 1)
        assert np.abs(np.asarray(image)[:, :, 0] - expected).max() <= 1


@given(
    st.lists(
        st.one_of(st.floats(width=32), st.floats(-1, 2, width=32), st.integers(0, 70_000)),
        min_size=1,
        max_size=200,
    )
)
@DATA
def test_any_floats(values: list[float]) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    try:
        seen = np.asarray(open_image(image))[0, :, 0].astype(int)
    except InterlaceError as error:
        assert not np.isfinite(values).any()
        assert str(error) == "the given image: no value in it is a finite number"
        return
    # brighter stays brighter
    order = np.argsort(np.nan_to_num(values, nan=-np.inf, neginf=-np.inf), kind="stable")
    known = [place for place in order if not np.isnan(values[place])]
    assert (np.diff(seen[known]) >= 0).all()


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=200), st.integers(0, 31))
@DATA
def test_any_whole_numbers(values: list[int], shift: int) -> None:
    array = np.array([values], np.int64) >> shift
    seen = np.asarray(open_image(Image.fromarray(array.astype(np.int32))))[0, :, 0].astype(int)
    assert (np.diff(seen[np.argsort(array[0], kind="stable")]) >= 0).all()


@given(
    st.integers(1, 260),
    st.integers(1, 260),
    st.integers(1, 64),
    st.sampled_from(["bicubic", "bilinear"]),
    st.sampled_from(["shortest", "squash"]),
)
@settings(DATA, max_examples=120)
def test_evaluation_gives_the_bits_of_torchvision(
    width: int, height: int, size: int, interpolation: str, resize_mode: str
) -> None:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    mode = InterpolationMode(interpolation)
    preprocess = Preprocess(size, interpolation=interpolation, resize_mode=resize_mode)  # type: ignore[arg-type]
    resize = [v2.Resize([size], interpolation=mode), v2.CenterCrop([size, size])]
    if resize_mode == "squash":
        resize = [v2.Resize([size, size], interpolation=mode)]
    reference = v2.Compose(
        [
            *resize,
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(preprocess.mean), list(preprocess.std)),
        ]
    )
    ours, theirs = preprocess.eval_transform()(image), reference(image)
    assert torch.equal(ours, theirs)
    assert ours.stride() == theirs.stride()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["size", "mean", "std", "interpolation", "resize_mode", "fill_color", "other"]
        ),
        JSON,
    )
)
@settings(DATA, max_examples=80)
def test_any_constants_give_a_transform_or_one_line(values: dict[str, object]) -> None:
    try:
        preprocess = Preprocess.from_dict(values)
    except InterlaceError as error:
        assert str(error).isprintable()
        return
    if preprocess.size <= 64:
        made = preprocess.eval_transform()(Image.new("RGB", (5, 3)))
        assert made.shape == (3, preprocess.size, preprocess.size)
        assert torch.isfinite(made).all() or min(preprocess.std) < 1e-30
