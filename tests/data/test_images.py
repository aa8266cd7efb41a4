from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interlace.data.images.decode import open_image, verify_image
from interlace.errors import InterlaceError
from tests.data.conftest import write_photo

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_rgb_is_read_as_it_is_from_path_text_bytes_and_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_photo(path, 0)
    expected = np.asarray(Image.open(path))
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        image = open_image(source)
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), expected)


def test_one_channel_is_repeated() -> None:
    image = open_image(encoded(Image.new("L", (3, 2), 77)))
    assert (image.mode, image.getpixel((0, 0))) == ("RGB", (77, 77, 77))


def test_bilevel_is_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    opened = open_image(encoded(image))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), WHITE]


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (255, 0, 0, 0)), ("LA", (0, 0))])
def test_clear_pixels_become_white(mode: str, color: tuple[int, ...]) -> None:
    assert open_image(encoded(Image.new(mode, (2, 2), color))).getpixel((0, 0)) == WHITE


def test_half_clear_pixels_are_mixed_with_white() -> None:
    image = open_image(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 51))))
    assert image.getpixel((0, 0)) == (255, 204, 204)


def test_palette_with_a_clear_color() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    opened = open_image(encoded(image, transparency=1))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]


def test_cmyk_jpeg_is_converted() -> None:
    cyan = open_image(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"))
    assert cyan.mode == "RGB"
    assert np.abs(np.subtract(cyan.getpixel((4, 4)), (0, 255, 255))).max() < 8


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.array([[0, 257, 257 * 128, 65535]], dtype=np.uint16)
    opened = open_image(encoded(Image.fromarray(ramp)))
    assert [opened.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.2, 1.0], [0, 51, 255]), ([-10.0, 0.0, 10.0], [0, 128, 255])]
)
def test_floats_are_taken_as_unit_range_or_stretched(
    values: list[float], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    opened = open_image(encoded(image, "TIFF"))
    assert [opened.getpixel((x, 0))[0] for x in range(3)] == expected


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.new("RGB", (4, 4), RED)))
    assert open_image(path).getpixel((0, 0)) == RED
    verify_image(path)


def test_exif_rotation_is_applied() -> None:
    image = Image.new("RGB", (40, 20), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    assert open_image(encoded(image, "JPEG", exif=exif)).size == (20, 40)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, WHITE)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(data).getpixel((0, 0)) == RED


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.jpg"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "folder":
        path.mkdir()
    elif kind.startswith("truncated"):
        data = encoded(Image.effect_noise((64, 64), 50), kind.split("-")[1])
        path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize("check", [open_image, verify_image])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "empty"),
        ("text", "not an image"),
        ("folder", "a folder"),
        ("missing", "no such file"),
        ("truncated-JPEG", "cut short"),
        ("truncated-PNG", "cut short"),
        ("truncated-GIF", "cut short"),
        ("truncated-WEBP", "cut short|cannot be decoded|not an image"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(
    tmp_path: Path, check: object, kind: str, reason: str
) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(InterlaceError, match=reason) as caught:
        check(path)  # type: ignore[operator]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_jpeg_cut_in_its_header(tmp_path: Path) -> None:
    data = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    with pytest.raises(InterlaceError, match="cut short"):
        open_image(data[:300])


def test_noise_after_a_png_signature_is_an_error_of_ours() -> None:
    noise = np.random.default_rng(0).bytes(200)
    with pytest.raises(InterlaceError, match="image of 208 bytes"):
        open_image(b"\x89PNG\r\n\x1a\n" + noise)


def test_verify_accepts_what_can_be_opened(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", 0)
    verify_image(tmp_path / "a.jpg")
    verify_image((tmp_path / "a.jpg").read_bytes())


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("least_side", "size"),
    [(None, (800, 600)), (601, (800, 600)), (300, (400, 300)), (290, (400, 300)), (70, (100, 75))],
)
def test_large_images_shrink_by_whole_factors(
    form: str, least_side: int | None, size: tuple[int, int]
) -> None:
    ramp = Image.linear_gradient("L").resize((800, 600)).convert("RGB")
    opened = open_image(encoded(ramp, form), least_side)
    assert opened.size == size
    assert open_image(ramp, least_side).size == size
    difference = np.asarray(opened, float) - np.asarray(ramp.resize(size, Image.Resampling.BOX))
    assert np.abs(difference).mean() < 1.5
