"""What goes wrong when a picture is taken, stored or sent, each in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from interlace.data.datasets.suite.chance import Chance, Ints
from interlace.data.datasets.suite.raster import (
    SIDE,
    blurred,
    cosine,
    flat,
    grid,
    mixed_colours,
    moved,
    sine,
)

CaptureCondition = Callable[[Ints, Chance], Ints]

_BLOCK = 8


def _defocus(canvas: Ints, chance: Chance) -> Ints:
    return blurred(canvas, chance.between(5, 11))


def _motion(canvas: Ints, chance: Chance) -> Ints:
    angle, length = chance.between(0, 179), chance.between(9, 15)
    steps = range(-(length // 2), length // 2 + 1)
    total = np.zeros_like(canvas)
    for step in steps:
        down, right = (step * sine(angle) + 32768) >> 16, (step * cosine(angle) + 32768) >> 16
        total += moved(canvas, down, right)
    return total // len(steps)


def _sensor_noise(canvas: Ints, chance: Chance) -> Ints:
    return canvas + chance.bell(chance.between(26, 48), *canvas.shape)


def _salt_and_pepper(canvas: Ints, chance: Chance) -> Ints:
    share = chance.between(5, 14)
    hit = chance.levels(100, *canvas.shape[:2])
    found = np.where((hit < share)[..., None], 0, canvas)
    found[hit >= 100 - share] = 255
    return found


def _underexposed(canvas: Ints, chance: Chance) -> Ints:
    return canvas * chance.between(28, 72) // 256 + chance.bell(3, *canvas.shape)


def _overexposed(canvas: Ints, chance: Chance) -> Ints:
    return canvas * chance.between(430, 600) // 256 + chance.between(20, 50)


def _haze(canvas: Ints, chance: Chance) -> Ints:
    white = chance.between(175, 215)
    most, least = chance.between(190, 220), chance.between(150, 180)
    rows, _ = grid(SIDE)
    share = most + (least - most) * rows // (SIDE - 1)
    air = flat((white, white + 2, white + 6))
    return mixed_colours(blurred(canvas, 1), air, share[..., None])


def _walsh() -> Ints:
    """Make the Walsh-Hadamard matrix of eight, the whole-number kin of a cosine transform."""
    matrix = np.ones((1, 1), np.int64)
    while len(matrix) < _BLOCK:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    changes = (np.diff(matrix, axis=1) != 0).sum(1)
    return matrix[np.argsort(changes, kind="stable")]


def _blocking(canvas: Ints, chance: Chance) -> Ints:
    matrix = _walsh()
    count = SIDE // _BLOCK
    blocks = canvas.reshape(count, _BLOCK, count, _BLOCK, 3).transpose(0, 2, 4, 1, 3)
    values = matrix @ blocks @ matrix.T
    rows, columns = np.indices((_BLOCK, _BLOCK)).astype(np.int64)
    step = (6 + (rows + columns) * chance.between(5, 9)) * 64
    values = np.sign(values) * ((np.abs(values) + step // 3) // step * step)
    found = (matrix.T @ values @ matrix + 32) >> 6
    return found.transpose(0, 3, 1, 4, 2).reshape(canvas.shape)


def _vignetting(canvas: Ints, chance: Chance) -> Ints:
    rows, columns = grid(SIDE)
    y, x = 2 * rows - (SIDE - 1), 2 * columns - (SIDE - 1)
    fall = (x * x + y * y) * chance.between(230, 300) // (SIDE * SIDE)
    return canvas * (256 - fall).clip(8, 256)[..., None] // 256


_CASTS = ((300, 236, 150), (150, 240, 300), (170, 296, 170), (296, 170, 280), (300, 190, 120))


def _colour_cast(canvas: Ints, chance: Chance) -> Ints:
    gain = [value + chance.between(-14, 14) for value in chance.choice(_CASTS)]
    return canvas * np.array(gain, np.int64) // 256


def _interlacing(canvas: Ints, chance: Chance) -> Ints:
    shift = chance.between(4, 7) * chance.choice((-1, 1))
    found = canvas.copy()
    found[1::2] = moved(canvas, 0, shift)[1::2]
    return found


def _posterised(canvas: Ints, chance: Chance) -> Ints:
    levels = chance.choice((2, 2, 3))
    offset = chance.between(-24, 24)
    return (canvas + offset).clip(0, 255) * levels // 256 * 255 // (levels - 1)


CONDITIONS: Mapping[str, CaptureCondition] = MappingProxyType(
    {
        "blocking": _blocking,
        "colour cast": _colour_cast,
        "defocus": _defocus,
        "haze": _haze,
        "interlacing": _interlacing,
        "motion blur": _motion,
        "overexposure": _overexposed,
        "posterisation": _posterised,
        "salt and pepper": _salt_and_pepper,
        "sensor noise": _sensor_noise,
        "underexposure": _underexposed,
        "vignetting": _vignetting,
    }
)
"""Capture conditions by what they are called."""


def captured(canvas: Ints, condition: str, chance: Chance) -> Ints:
    """Return a picture as it is under a capture condition."""
    return CONDITIONS[condition](canvas, chance).clip(0, 255)


def slightly_worn(canvas: Ints, chance: Chance) -> Ints:
    """Return a picture as cameras give it on an ordinary day: dimmer or lighter, a little soft."""
    canvas = canvas * chance.between(226, 270) // 256 + chance.between(-6, 6)
    if chance.percent(12):
        canvas = blurred(canvas, 1)
    if chance.percent(20):
        canvas = canvas + chance.bell(chance.between(3, 7), *canvas.shape)
    return canvas.clip(0, 255)
