"""What drawings lie on: flat colours, gradients, stripes, chequers and noise."""

from __future__ import annotations

import numpy as np

from interlace.data.datasets.suite.chance import Chance, Ints
from interlace.data.datasets.suite.raster import (
    PIXEL,
    SIDE,
    WHITE,
    Colour,
    cosine,
    enlarged,
    flat,
    grid,
    light,
    ramp,
    shrunk,
    sine,
)

PALETTE: tuple[Colour, ...] = (
    (214, 40, 40),
    (242, 133, 24),
    (247, 212, 40),
    (140, 190, 40),
    (52, 160, 64),
    (40, 170, 160),
    (60, 150, 220),
    (44, 70, 190),
    (128, 58, 178),
    (210, 60, 150),
    (244, 140, 190),
    (122, 76, 42),
    (200, 160, 110),
    (40, 40, 44),
    (132, 132, 134),
    (236, 232, 222),
)
"""Colours of grounds and patterns."""

GROUNDS = ("flat", "gradient", "stripes", "chequers", "noise")


def varied(colour: Colour, chance: Chance, most: int = 14) -> Colour:
    """Return a colour near another."""
    red, green, blue = (min(255, max(0, c + chance.between(-most, most))) for c in colour)
    return red, green, blue


def pale(colour: Colour, share: int) -> Colour:
    """Mix a colour with white, of which it keeps ``share`` of 256."""
    red, green, blue = (255 - (255 - c) * share // 256 for c in colour)
    return red, green, blue


def two_colours(chance: Chance, apart: int = 60) -> tuple[Colour, Colour]:
    """Draw two colours of which one is lighter than the other by some steps of 256."""
    first = varied(chance.choice(PALETTE), chance)
    for _ in range(40):
        second = varied(chance.choice(PALETTE), chance)
        if abs(_light(first) - _light(second)) >= apart:
            return first, second
    return first, (WHITE if _light(first) < 128 else (20, 20, 24))


def _light(colour: Colour) -> int:
    return int(light(np.array(colour, np.int64)))


def turned(side: int, degrees: int) -> tuple[Ints, Ints]:
    """Return coordinates of a square around its centre, turned, in 1/256 pixel."""
    rows, columns = grid(side)
    y, x = rows * PIXEL - (side - 1) * PIXEL // 2, columns * PIXEL - (side - 1) * PIXEL // 2
    along = cosine(degrees) * x + sine(degrees) * y >> 16
    across = cosine(degrees) * y - sine(degrees) * x >> 16
    return along, across


def smooth_noise(chance: Chance, cells: int, side: int) -> Ints:
    """Draw values from 0 to 256 on a small square and stretch it over a larger one."""
    return enlarged(chance.levels(257, cells, cells), side)


def ground(chance: Chance, kind: str = "", share: int = 256) -> Ints:
    """Draw a ground.

    Args:
        chance: What it is drawn from.
        kind: One of ``GROUNDS``; one of them by chance where none is given.
        share: How much of their strength, of 256, the colours keep: the rest is white.
    """
    kind = kind or chance.choice(GROUNDS)
    first, second = (pale(colour, share) for colour in two_colours(chance, 30))
    if kind == "flat":
        return flat(first)
    if kind == "noise":
        return ramp(smooth_noise(chance, chance.choice((5, 8, 13, 24)), SIDE), first, second)
    along, across = turned(2 * SIDE, chance.choice((0, 45, 90, 135)) + chance.between(-10, 10))
    if kind == "gradient":
        mix = (along - along.min()) * 256 // (along.max() - along.min())
    else:
        period = chance.between(14, 30) * PIXEL
        on = (along + chance.below(period)) % period < period // 2
        if kind == "chequers":
            on ^= (across + chance.below(period)) % period < period // 2
        mix = on * 256
    return ramp(shrunk(mix, 2), first, second)
