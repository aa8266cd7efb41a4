"""Pictures as whole numbers: cut out, paste, tint, blur and resample, the same on every machine.

A canvas is an array [H, W, 3] of int64 from 0 to 255, a sprite one of int32 [66, 66, 4]: colours
that alpha is multiplied into, alpha, and a transparent margin of one pixel. Lengths are in 1/256
pixel, angles in whole degrees, counter-clockwise. There is no floating point here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interlace.data.datasets.suite.chance import Ints

Sprite = NDArray[np.int32]
Colour = tuple[int, int, int]

SIDE = 48
"""Side of the images of the suite, in pixels."""
PIXEL = 256
"""What a pixel is long."""
DRAWING_SIDE = 64
WHITE: Colour = (255, 255, 255)

_ONE = 65536
# sin of 0 to 90 degrees, times 65536
_SINES = (
    0, 1144, 2287, 3430, 4572, 5712, 6850, 7987, 9121, 10252, 11380, 12505, 13626, 14742, 15855,
    16962, 18064, 19161, 20252, 21336, 22415, 23486, 24550, 25607, 26656, 27697, 28729, 29753,
    30767, 31772, 32768, 33754, 34729, 35693, 36647, 37590, 38521, 39441, 40348, 41243, 42126,
    42995, 43852, 44695, 45525, 46341, 47143, 47930, 48703, 49461, 50203, 50931, 51643, 52339,
    53020, 53684, 54332, 54963, 55578, 56175, 56756, 57319, 57865, 58393, 58903, 59396, 59870,
    60326, 60764, 61183, 61584, 61966, 62328, 62672, 62997, 63303, 63589, 63856, 64104, 64332,
    64540, 64729, 64898, 65048, 65177, 65287, 65376, 65446, 65496, 65526, 65536,
)  # fmt: skip
_PAPER = 238  # what is lighter than this in all channels is the paper a drawing lies on


def sine(degrees: int) -> int:
    """Return the sine of whole degrees times 65536."""
    degrees %= 360
    if degrees >= 180:
        return -sine(degrees - 180)
    return _SINES[degrees if degrees <= 90 else 180 - degrees]


def cosine(degrees: int) -> int:
    """Return the cosine of whole degrees times 65536."""
    return sine(degrees + 90)


_TABLE = np.array([sine(degrees) for degrees in range(360)], np.int64)


def sines(degrees: Ints) -> Ints:
    """Return the sines of whole degrees times 65536."""
    return _TABLE[degrees % 360]


def grid(side: int) -> tuple[Ints, Ints]:
    """Return the row and the column of every place of a square."""
    rows, columns = np.indices((side, side))
    return rows.astype(np.int64), columns.astype(np.int64)


def root(values: Ints) -> Ints:
    """Return the whole part of square roots, of numbers below 2 ** 40."""
    found = np.zeros_like(values)
    for bit in range(19, -1, -1):
        larger = found + (1 << bit)
        found = np.where(larger * larger <= values, larger, found)
    return found


def cut_out(rgb: NDArray[np.uint8]) -> Sprite:
    """Cut a drawing out of its paper: what white reaches from the border is transparent."""
    paper = np.pad(rgb.min(-1) > _PAPER, 1, constant_values=True)
    outside = np.zeros_like(paper)
    outside[0], outside[-1], outside[:, 0], outside[:, -1] = True, True, True, True
    count = 0
    while count != (count := int(outside.sum())):
        for _ in range(8):  # counting costs as much as a step
            wider = outside.copy()
            wider[1:] |= outside[:-1]
            wider[:-1] |= outside[1:]
            wider[:, 1:] |= outside[:, :-1]
            wider[:, :-1] |= outside[:, 1:]
            outside = wider & paper
    inside = ~outside[1:-1, 1:-1]
    sprite = np.zeros((rgb.shape[0] + 2, rgb.shape[1] + 2, 4), np.int32)
    sprite[1:-1, 1:-1, :3] = rgb * inside[..., None]
    sprite[1:-1, 1:-1, 3] = inside * 255
    return sprite


def paste(
    canvas: Ints,
    sprite: Sprite,
    side: int,
    centre: tuple[int, int],
    angle: int = 0,
    mirrored: bool = False,
) -> None:
    """Lay a sprite on a canvas, in place; each pixel is the mean of four bilinear samples.

    Args:
        canvas: The canvas.
        sprite: The drawing.
        side: How long the drawing's side becomes, in 1/256 pixel.
        centre: Where its centre lies: x, then y, in 1/256 pixel.
        angle: By how many degrees it is turned, counter-clockwise.
        mirrored: Whether left and right are exchanged first.
    """
    height, width = canvas.shape[:2]
    half = side * (abs(sine(angle)) + abs(cosine(angle))) // (2 * _ONE) + PIXEL
    left, right = (centre[0] - half) // PIXEL, (centre[0] + half) // PIXEL + 1
    top, bottom = (centre[1] - half) // PIXEL, (centre[1] + half) // PIXEL + 1
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        return
    # centres of the four parts of every pixel, relative to the centre, in 1/65536 pixel
    x = (np.arange(2 * left, 2 * right, dtype=np.int64) * 2 + 1) * (_ONE // 4) - centre[0] * PIXEL
    y = (np.arange(2 * top, 2 * bottom, dtype=np.int64) * 2 + 1) * (_ONE // 4) - centre[1] * PIXEL
    scale = DRAWING_SIDE * _ONE * PIXEL // side
    along, across = cosine(angle) * scale // _ONE, sine(angle) * scale // _ONE
    u = (along * x[None, :] - across * y[:, None]) >> 16
    v = (across * x[None, :] + along * y[:, None]) >> 16
    found = _bilinear(sprite, -u if mirrored else u, v)
    found = _squares(found, 2) + 2 >> 2
    view = canvas[top:bottom, left:right]
    view[:] = found[..., :3] + (view * (255 - found[..., 3:]) + 127) // 255


def _bilinear(sprite: Sprite, u: Ints, v: Ints) -> Ints:
    """Sample a sprite at places relative to its centre, in 1/65536 pixel; beyond it is nothing."""
    width, size = sprite.shape[1], sprite.shape[0]
    # +1 for the margin, -1/2 because a pixel's value stands at its centre
    shift = (size - 2) * _ONE // 2 + _ONE // 2
    u, v = (u + shift).clip(0, (size - 1) * _ONE - 1), (v + shift).clip(0, (size - 1) * _ONE - 1)
    first, du, dv = (v >> 16) * width + (u >> 16), u >> 8 & 255, v >> 8 & 255
    inside = np.flatnonzero(_near(sprite)[first])
    first = first.ravel()[inside]
    du, dv = du.ravel()[inside].astype(np.int32), dv.ravel()[inside].astype(np.int32)
    pixels = sprite.reshape(-1, 4)
    total = pixels[first] * ((PIXEL - du) * (PIXEL - dv))[:, None]
    total += pixels[first + 1] * (du * (PIXEL - dv))[:, None]
    total += pixels[first + width] * ((PIXEL - du) * dv)[:, None]
    total += pixels[first + width + 1] * (du * dv)[:, None]
    found = np.zeros((u.size, 4), np.int64)
    found[inside] = total + 32768 >> 16
    return found.reshape(*u.shape, 4)


def _near(sprite: Sprite) -> NDArray[np.bool_]:
    """Say for every place whether one of the four pixels from there on is not transparent."""
    alpha = sprite[..., 3] > 0
    near = alpha.copy()
    near[:-1] |= alpha[1:]
    near[:, :-1] |= near[:, 1:]
    return near.ravel()


def light(rgb: Ints) -> Ints:
    """Return how light colours [..., 3] are, from 0 to 255."""
    return (77 * rgb[..., 0] + 150 * rgb[..., 1] + 29 * rgb[..., 2]) >> 8


def tinted(sprite: Sprite, colour: Colour, floor: int = 90) -> Sprite:
    """Return a sprite in shades of one colour.

    Args:
        sprite: The drawing.
        colour: The colour of what is white in it.
        floor: How much of it, of 256, what is black keeps.
    """
    gain = floor + light(sprite[..., :3].astype(np.int64)) * (256 - floor) // 255
    found = sprite.copy()
    inside = sprite[..., 3:] // 255
    found[..., :3] = (gain[..., None] * np.array(colour, np.int64) >> 8) * inside
    return found


def mixed_colours(first: Ints, second: Ints, share: Ints | int) -> Ints:
    """Mix two pictures: ``share`` of 256 is of the second."""
    return (first * (256 - share) + second * share + 128) >> 8


def flat(colour: Colour, side: int = SIDE) -> Ints:
    """Make a canvas of one colour."""
    return np.broadcast_to(np.array(colour, np.int64), (side, side, 3)).copy()


def ramp(mix: Ints, first: Colour, second: Colour) -> Ints:
    """Colour a picture [H, W] from 0 (the first colour) to 256 (the second)."""
    return mixed_colours(np.array(first, np.int64), np.array(second, np.int64), mix[..., None])


def moved(canvas: Ints, down: int, right: int) -> Ints:
    """Move a picture by whole pixels; its border is repeated."""
    height, width = canvas.shape[:2]
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    return canvas[rows][:, columns]


def blurred(canvas: Ints, times: int) -> Ints:
    """Blur with the weights 1 2 1 along rows and columns, some times."""
    for _ in range(times):
        canvas = (moved(canvas, 1, 0) + 2 * canvas + moved(canvas, -1, 0) + 2) >> 2
        canvas = (moved(canvas, 0, 1) + 2 * canvas + moved(canvas, 0, -1) + 2) >> 2
    return canvas


def shrunk(canvas: Ints, factor: int) -> Ints:
    """Return the means of squares of pixels."""
    area = factor * factor
    return (_squares(canvas, factor) + area // 2) // area


def _squares(canvas: Ints, factor: int) -> Ints:
    """Return the sums of squares of pixels; adding slices is faster than summing over axes."""
    parts = [
        canvas[down::factor, right::factor] for down in range(factor) for right in range(factor)
    ]
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def enlarged(values: Ints, side: int) -> Ints:
    """Stretch a small square [n, n] over a larger one, bilinearly."""
    last = values.shape[0] - 1
    place = np.arange(side, dtype=np.int64) * (last * PIXEL) // max(side - 1, 1)
    low, part = place // PIXEL, place % PIXEL
    high = (low + 1).clip(0, last)
    rows = values[low] * (PIXEL - part)[:, None] + values[high] * part[:, None]
    both = rows[:, low] * (PIXEL - part) + rows[:, high] * part
    return both >> 16


def edges(canvas: Ints) -> Ints:
    """Return how steep a picture's lightness is, from 0 to 255."""
    grey = light(canvas)
    down = np.abs(moved(grey, 1, 0) - moved(grey, -1, 0))
    across = np.abs(moved(grey, 0, 1) - moved(grey, 0, -1))
    return (down + across).clip(0, 255)
