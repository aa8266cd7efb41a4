"""Surfaces under words that describe textures, drawn by rule in whole numbers.

A texture is a mix [96, 96] from 0 (its first colour) to 256 (the second), on twice the resolution
of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from interlace.data.datasets.suite.chance import Chance, Ints
from interlace.data.datasets.suite.grounds import smooth_noise, turned, two_colours
from interlace.data.datasets.suite.raster import (
    PIXEL,
    SIDE,
    cosine,
    enlarged,
    grid,
    ramp,
    root,
    shrunk,
    sine,
    sines,
)

Texture = Callable[[Chance], Ints]

_FINE = 2 * SIDE


def _turned(chance: Chance, low: int = 0, high: int = 179) -> tuple[Ints, Ints]:
    along, across = turned(_FINE, chance.between(low, high))
    return along + chance.below(64) * PIXEL, across + chance.below(64) * PIXEL


def _soft(values: Ints, low: int, high: int) -> Ints:
    """Stretch values from 0 at ``low`` to 256 at ``high``."""
    return ((values - low) * 256 // (high - low)).clip(0, 256)


def _bent(values: Ints, period: int) -> Ints:
    """Return sines from 0 to 256 of lengths."""
    return (sines(values * 360 // period) + 65536) >> 9


def _banded(chance: Chance) -> Ints:
    along, _ = _turned(chance)
    return _bent(along, chance.between(22, 40) * PIXEL)


def _blotchy(chance: Chance) -> Ints:
    noise = smooth_noise(chance, chance.between(6, 9), _FINE)
    return _soft(noise, 118, 140)


def _bubbly(chance: Chance) -> Ints:
    rows, columns = grid(_FINE)
    found = np.zeros((_FINE, _FINE), np.int64)
    for _ in range(chance.between(14, 24)):
        y, x, radius = chance.below(_FINE), chance.below(_FINE), chance.between(5, 15)
        far = root(((rows - y) ** 2 + (columns - x) ** 2) * 256)
        ring = 256 - (np.abs(far - radius * 16) * 8).clip(0, 256)
        shine = root(((rows - y + radius // 3) ** 2 + (columns - x + radius // 3) ** 2) * 256)
        inside = far < radius * 16
        found = np.where(inside, found // 3, found)
        found = np.maximum(found, ring)
        found = np.where(shine < radius * 4, 256, found)
    return found


def _chequered(chance: Chance) -> Ints:
    along, across = _turned(chance, -12, 12)
    cell = chance.between(7, 16) * PIXEL
    return ((along // cell + across // cell) % 2) * 256


def _voronoi(chance: Chance, cells: int) -> tuple[Ints, Ints]:
    """Return the distances to the nearest and second nearest of points, in 1/16 pixel."""
    rows, columns = grid(_FINE)
    size = _FINE // cells
    shift = chance.levels(size, 2, cells + 2, cells + 2)
    nearest = np.full((_FINE, _FINE), 1 << 20, np.int64)
    second = nearest.copy()
    for i in range(cells + 2):
        for j in range(cells + 2):
            y, x = (i - 1) * size + int(shift[0, i, j]), (j - 1) * size + int(shift[1, i, j])
            far = (rows - y) ** 2 + (columns - x) ** 2
            second = np.minimum(second, np.maximum(nearest, far))
            nearest = np.minimum(nearest, far)
    return root(nearest * 256), root(second * 256)


def _cracked(chance: Chance) -> Ints:
    nearest, second = _voronoi(chance, chance.between(4, 6))
    return 256 - _soft(second - nearest, 10, 44)


def _crosshatched(chance: Chance) -> Ints:
    angle = chance.between(20, 70)
    period = chance.between(9, 13) * PIXEL
    found = np.zeros((_FINE, _FINE), np.int64)
    for turn in (angle, 180 - angle):
        along, _ = _turned(chance, turn, turn)
        found = np.maximum(found, (along % period < period // 4) * 256)
    noise = smooth_noise(chance, 6, _FINE)
    return found * (128 + noise // 2) // 256


def _flecked(chance: Chance) -> Ints:
    rows, columns = grid(_FINE)
    found = np.zeros((_FINE, _FINE), np.int64)
    for _ in range(chance.between(50, 90)):
        y, x = chance.below(_FINE), chance.below(_FINE)
        a, b = chance.between(1, 3), chance.between(1, 3)
        near = (rows - y) ** 2 * b * b + (columns - x) ** 2 * a * a <= a * a * b * b
        found[near] = 256
    return found


def _gridded(chance: Chance) -> Ints:
    along, across = _turned(chance, -20, 20)
    period = chance.between(12, 22) * PIXEL
    wide = chance.between(3, 4) * PIXEL
    return ((along % period < wide) | (across % period < wide)) * 256


def _honeycombed(chance: Chance) -> Ints:
    along, across = _turned(chance)
    size = chance.between(14, 22) * PIXEL
    tall = size * 111 // 128  # the height of a triangle, 0.866 of its side
    best = np.full((_FINE, _FINE), 1 << 40, np.int64)
    second = best.copy()
    row = across // tall
    for down in (-1, 0, 1, 2):
        y = (row + down) * tall
        shift = (row + down) % 2 * (size // 2)
        column = (along - shift) // size
        for right in (0, 1):
            x = (column + right) * size + shift
            far = (along - x) ** 2 + (across - y) ** 2
            second = np.minimum(second, np.maximum(best, far))
            best = np.minimum(best, far)
    return 256 - _soft(root(second) - root(best), PIXEL, 4 * PIXEL)


def _marbled(chance: Chance) -> Ints:
    along, _ = _turned(chance)
    bend = smooth_noise(chance, 4, _FINE) * 30 + smooth_noise(chance, 8, _FINE) * 18
    bend += smooth_noise(chance, 16, _FINE) * 8
    wave = np.abs(sines((along + bend * PIXEL // 256) * 360 // (chance.between(34, 52) * PIXEL)))
    return 256 - _soft(wave, 2000, 40000)


def _polka_dotted(chance: Chance) -> Ints:
    along, across = _turned(chance, -20, 20)
    period = chance.between(14, 24) * PIXEL
    radius = period * chance.between(24, 32) // 100
    row = across // period
    x = (along + row % 2 * (period // 2)) % period - period // 2
    y = across % period - period // 2
    return (x * x + y * y < radius * radius) * 256


def _scaly(chance: Chance) -> Ints:
    along, across = _turned(chance, -25, 25)
    size = chance.between(14, 22) * PIXEL
    found = np.zeros((_FINE, _FINE), np.int64)
    taken = np.zeros((_FINE, _FINE), bool)
    base = across // (size // 2)
    for up in (0, -1, -2):
        row = base + up
        shift = row % 2 * (size // 2)
        x = (along + shift) % size - size // 2
        y = across - row * (size // 2)
        far = root(x * x + y * y)
        inside = (far < size * 9 // 16) & ~taken
        found = np.where(inside, 256 - _soft(far, size * 4 // 16, size * 9 // 16), found)
        taken |= inside
    return found


def _spiralled(chance: Chance) -> Ints:
    rows, columns = grid(_FINE)
    y, x = rows - _FINE // 2 - chance.between(-12, 12), columns - _FINE // 2
    x = x - chance.between(-12, 12)
    far = root((x * x + y * y) * PIXEL * PIXEL)
    arms, way = chance.between(1, 3), chance.choice((-1, 1))
    period = chance.between(14, 22) * PIXEL
    return _bent(far * arms + way * arms * _degrees(y, x) * period // 360, period * arms)


def _degrees(y: Ints, x: Ints) -> Ints:
    """Return the angle of places in degrees from 0 to 359, by comparing with a table."""
    best = np.full(x.shape, -(1 << 40), np.int64)
    found = np.zeros_like(x)
    for degrees in range(0, 360, 3):
        along = x * cosine(degrees) + y * sine(degrees)
        nearer = along > best
        best, found = np.where(nearer, along, best), np.where(nearer, degrees, found)
    return found


def _stratified(chance: Chance) -> Ints:
    along, across = _turned(chance, -20, 20)
    bend = smooth_noise(chance, 4, _FINE) * 14
    places = (across + bend * PIXEL // 256 + 64 * PIXEL) // PIXEL
    steps = chance.levels(6, 256) * 51
    wide = chance.between(4, 7)
    return steps[(places // wide) % 256].clip(0, 256)


def _woven(chance: Chance) -> Ints:
    along, across = _turned(chance, -20, 20)
    cell = chance.between(10, 15) * PIXEL
    over = (along // cell + across // cell) % 2 == 0
    place = np.where(over, across % cell, along % cell)
    round_ = 256 - np.abs(place - cell // 2) * 440 // cell
    gap = np.where(over, along % cell, across % cell)
    shade = 256 - (np.abs(gap - cell // 2) * 200 // cell)
    return (round_ * shade // 256).clip(0, 256)


def _zigzagged(chance: Chance) -> Ints:
    along, across = _turned(chance, -20, 20)
    period = chance.between(16, 26) * PIXEL
    high = np.abs(along % period - period // 2)
    wide = chance.between(12, 18) * PIXEL
    return ((across + high) % wide < wide // 2) * 256


TEXTURES: Mapping[str, Texture] = MappingProxyType(
    {
        "banded": _banded,
        "blotchy": _blotchy,
        "bubbly": _bubbly,
        "chequered": _chequered,
        "cracked": _cracked,
        "crosshatched": _crosshatched,
        "flecked": _flecked,
        "gridded": _gridded,
        "honeycombed": _honeycombed,
        "marbled": _marbled,
        "polka-dotted": _polka_dotted,
        "scaly": _scaly,
        "spiralled": _spiralled,
        "stratified": _stratified,
        "woven": _woven,
        "zigzagged": _zigzagged,
    }
)
"""Textures by the words that describe them."""


def surface(texture: str, chance: Chance) -> Ints:
    """Draw a canvas that a texture fills."""
    first, second = two_colours(chance, 50)
    if chance.percent(50):
        first, second = second, first
    shade = enlarged(chance.levels(60, 3, 3) + 226, SIDE)  # light falls unevenly
    canvas = ramp(shrunk(TEXTURES[texture](chance), 2), first, second)
    return (canvas * shade[..., None] // 256).clip(0, 255)
