"""Ways to print, stitch or light a picture, each in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from interlace.data.datasets.suite.chance import Chance, Ints
from interlace.data.datasets.suite.grounds import pale, turned, two_colours, varied
from interlace.data.datasets.suite.raster import (
    PIXEL,
    SIDE,
    Colour,
    blurred,
    edges,
    enlarged,
    grid,
    light,
    mixed_colours,
    moved,
    ramp,
    shrunk,
)

Process = Callable[[Ints, Chance], Ints]

_INKS: tuple[Colour, ...] = ((24, 22, 26), (20, 40, 110), (120, 20, 30), (20, 70, 50), (70, 35, 20))
_GLOWS: tuple[Colour, ...] = ((255, 40, 190), (60, 255, 120), (50, 190, 255), (255, 150, 30))


def _doubled(grey: Ints) -> Ints:
    """Repeat every pixel of a grey picture twice along both sides."""
    return grey.repeat(2, 0).repeat(2, 1)


def _ink_and_paper(chance: Chance) -> tuple[Colour, Colour]:
    return varied(chance.choice(_INKS), chance), pale((236, 206, 150), chance.between(0, 150))


def _halftone(canvas: Ints, chance: Chance) -> Ints:
    grey = _doubled(blurred(canvas, 1))
    dark = 255 - light(grey)
    along, across = turned(2 * SIDE, chance.choice((15, 30, 45, 60)))
    period = chance.between(8, 10) * PIXEL
    x, y = along % period - period // 2, across % period - period // 2
    # a dot of the area that the darkness asks for: pi r^2 = period^2 * dark / 255
    on = (x * x + y * y) * 201 // 64 < period * period * (dark + 10) // 265
    ink, paper = _ink_and_paper(chance)
    return ramp(shrunk(on * 256, 2), paper, ink)


def _emboss(canvas: Ints, chance: Chance) -> Ints:
    grey = light(blurred(canvas, 1))
    down, right = chance.choice(((1, 1), (1, -1), (-1, 1), (-1, -1)))
    steep = moved(grey, -down, -right) - moved(grey, down, right)
    value = 128 + steep * chance.between(170, 240) // 128
    tone = np.array(varied((0, 0, 0), chance, 10), np.int64)
    return value[..., None] + tone


def _stencil(canvas: Ints, chance: Chance) -> Ints:
    grey = light(blurred(canvas, 1))
    limit = int(grey.sum()) // grey.size - chance.between(5, 25)
    first, second = two_colours(chance, 90)
    return ramp((grey < limit) * 256, first, second)


def _neon(canvas: Ints, chance: Chance) -> Ints:
    steep = edges(blurred(canvas, 1))
    glow = varied(chance.choice(_GLOWS), chance)
    line = (steep * 2).clip(0, 255)
    halo = blurred(line, 3) * 3 // 2
    colour = np.array(glow, np.int64)
    return 12 + colour * (line + halo)[..., None] // 300 + (line - 170).clip(0, 85)[..., None]


def _sepia(canvas: Ints, chance: Chance) -> Ints:
    grey = light(canvas) * chance.between(200, 240) // 256 + chance.between(8, 24)
    grain = grey + chance.bell(chance.between(4, 9), SIDE, SIDE)
    tone = np.array(varied((262, 222, 168), chance, 10), np.int64)
    return grain[..., None] * tone // 256


def _solarised(canvas: Ints, chance: Chance) -> Ints:
    turn = chance.between(96, 140)
    below, above = canvas * 255 // turn, (255 - canvas) * 255 // (255 - turn)
    return np.where(canvas < turn, below, above)


def _engraving(canvas: Ints, chance: Chance) -> Ints:
    dark = 255 - light(_doubled(canvas))
    along, across = turned(2 * SIDE, chance.between(-30, 30) + chance.choice((0, 90)))
    period = chance.between(7, 9) * PIXEL
    wave = np.abs(across % period - period // 2)
    on = wave * 2 * 255 < period * (dark * 230 // 255 + 22)
    ink, paper = _ink_and_paper(chance)
    return ramp(shrunk(on * 256, 2), paper, ink)


def _cross_stitch(canvas: Ints, chance: Chance) -> Ints:
    cell = 4
    colours = shrunk(canvas, cell).repeat(2 * cell, 0).repeat(2 * cell, 1)
    rows, columns = grid(2 * SIDE)
    y, x = rows % (2 * cell), columns % (2 * cell)
    thread = (np.abs(y - x) <= 1) | (np.abs(y + x - 2 * cell + 1) <= 1)
    cloth = np.array(varied((222, 212, 190), chance, 16), np.int64)
    hole = (np.minimum(y, 2 * cell - 1 - y) == 0) & (np.minimum(x, 2 * cell - 1 - x) == 0)
    found = np.where(thread[..., None], colours * 220 // 256, cloth)
    return shrunk(np.where((hole & ~thread)[..., None], cloth * 150 // 256, found), 2)


def _x_ray(canvas: Ints, chance: Chance) -> Ints:
    inverse = 255 - light(canvas)
    bones = mixed_colours(blurred(inverse, 2), (edges(canvas) * 2).clip(0, 255), 110)
    low, high = varied((4, 10, 22), chance, 4), varied((196, 224, 240), chance, 10)
    return ramp(bones.clip(0, 255) * chance.between(240, 300) // 256, low, high)


def _mosaic(canvas: Ints, chance: Chance) -> Ints:
    cell = chance.choice((6, 8))
    tiles = shrunk(canvas, cell)
    tiles = (tiles + chance.bell(10, *tiles.shape[:2])[..., None]).clip(0, 255)
    found = tiles.repeat(cell, 0).repeat(cell, 1)
    rows, columns = grid(SIDE)
    grout = (rows % cell == 0) | (columns % cell == 0)
    joint = np.array(varied((70, 66, 62), chance, 20), np.int64)
    return np.where(grout[..., None], joint, found)


PROCESSES: Mapping[str, Process] = MappingProxyType(
    {
        "cross-stitch": _cross_stitch,
        "embossing": _emboss,
        "engraving": _engraving,
        "halftone": _halftone,
        "mosaic": _mosaic,
        "neon": _neon,
        "sepia": _sepia,
        "solarisation": _solarised,
        "stencil": _stencil,
        "x-ray": _x_ray,
    }
)
"""Processes by what they are called."""


def _pixel_art(canvas: Ints, chance: Chance) -> Ints:
    small = shrunk(canvas, chance.choice((3, 4)))
    small = (small + 20) // 52 * 52
    times = SIDE // small.shape[0]
    return small.repeat(times, 0).repeat(times, 1)


def _negative(canvas: Ints, chance: Chance) -> Ints:
    return 255 - canvas


def _grey(canvas: Ints, chance: Chance) -> Ints:
    return light(canvas)[..., None].repeat(3, 2) * chance.between(220, 270) // 256


def _wash(canvas: Ints, chance: Chance) -> Ints:
    """Lay strokes of a soft brush: colours run into their neighbours along a noise."""
    size = chance.between(6, 9)
    down = enlarged(chance.levels(7, size, size), SIDE) - 3
    right = enlarged(chance.levels(7, size, size), SIDE) - 3
    rows, columns = grid(SIDE)
    near = (rows + down).clip(0, SIDE - 1), (columns + right).clip(0, SIDE - 1)
    return mixed_colours(blurred(canvas[near], 2), np.full_like(canvas, 255), 24)


def _pencil(canvas: Ints, chance: Chance) -> Ints:
    line = edges(canvas) * chance.between(220, 320) // 256
    grain = chance.bell(8, SIDE, SIDE)
    return (248 - line + grain)[..., None].repeat(3, 2)


def _thick_pencil(canvas: Ints, chance: Chance) -> Ints:
    line = edges(blurred(canvas, 1)) * 3 // 2
    wide = np.maximum(line, np.maximum(moved(line, 1, 0), moved(line, 0, 1)))
    ink, paper = _ink_and_paper(chance)
    return ramp((wide * 256 // 255).clip(0, 256), paper, ink)


RENDERINGS: tuple[Process, ...] = (_pixel_art, _negative, _grey, _wash, _sepia, _solarised)
"""Other renderings of the same picture, of the shifted variant of that name."""

LINE_ART: tuple[Process, ...] = (_pencil, _thick_pencil)
"""Lines alone, of a coloured drawing."""


def printed(canvas: Ints, process: Process, chance: Chance) -> Ints:
    """Return a picture as a process gives it."""
    return process(canvas, chance).clip(0, 255)
