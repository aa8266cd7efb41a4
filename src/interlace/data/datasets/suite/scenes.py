"""How the images of the suite are composed of drawings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from interlace.data.datasets.suite.capture import CONDITIONS, captured, slightly_worn
from interlace.data.datasets.suite.chance import Chance, Ints
from interlace.data.datasets.suite.drawings import Drawing, sprite
from interlace.data.datasets.suite.grounds import ground, pale, varied
from interlace.data.datasets.suite.prints import LINE_ART, PROCESSES, RENDERINGS, printed
from interlace.data.datasets.suite.raster import (
    PIXEL,
    SIDE,
    WHITE,
    Colour,
    Sprite,
    cosine,
    flat,
    mixed_colours,
    paste,
    sine,
    tinted,
)
from interlace.data.datasets.suite.textures import surface

Painter = Callable[[Drawing, Sequence[Drawing], str, Chance], Ints]
"""Makes an image of a drawing and its class; the other drawings are there for clutter."""

_CENTRE = SIDE * PIXEL // 2

COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "amber": (255, 186, 0),
        "coral": (255, 122, 92),
        "crimson": (205, 12, 48),
        "indigo": (72, 20, 150),
        "lavender": (196, 176, 240),
        "lime": (176, 236, 24),
        "magenta": (232, 0, 176),
        "maroon": (112, 8, 28),
        "navy": (8, 24, 104),
        "olive": (124, 124, 16),
        "teal": (0, 122, 122),
        "turquoise": (56, 222, 206),
    }
)
"""Colours under words that are rarer than red and blue."""

HEADINGS = (
    "north",
    "north-east",
    "east",
    "south-east",
    "south",
    "south-west",
    "west",
    "north-west",
)
"""Where the top of a drawing points to, clockwise by an eighth of a turn."""

POSITIONS = (
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
"""The nine places of a picture, row by row."""

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def _whole(low: int, high: int, chance: Chance) -> int:
    """Draw a length between two numbers of whole pixels."""
    return chance.between(low * PIXEL, high * PIXEL)


def _placed(
    canvas: Ints,
    own: Sprite,
    chance: Chance,
    sides: tuple[int, int],
    turn: int,
    middle: int = 0,
    mirrored: int = 50,
) -> None:
    """Paste a sprite about the centre.

    Args:
        canvas: What it is pasted on.
        own: The sprite.
        chance: What is drawn from.
        sides: Least and largest side, in pixels.
        turn: By how many degrees it is turned at most, beside ``middle``.
        middle: By how many degrees it is turned on average.
        mirrored: In how many of a hundred cases it is mirrored.
    """
    side = _whole(*sides, chance)
    slack = max(SIDE * PIXEL - side, 4 * PIXEL) // 2
    x, y = (_CENTRE + chance.between(-slack, slack) for _ in range(2))
    angle = middle + chance.between(-turn, turn)
    paste(canvas, own, side, (x, y), angle, chance.percent(mirrored))


def _pale_ground(chance: Chance, low: int = 15, high: int = 80) -> Ints:
    return flat(WHITE) if chance.percent(30) else ground(chance, share=chance.between(low, high))


def _scene(own: Sprite, chance: Chance, sides: tuple[int, int] = (30, 46)) -> Ints:
    canvas = _pale_ground(chance)
    _placed(canvas, own, chance, sides, 14, mirrored=0)  # an arrow would become another one
    return canvas


def portrait(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show one drawing in a light scene."""
    return slightly_worn(_scene(sprite(drawing.row), chance), chance)


def page(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show one drawing, large, on paper."""
    paper = pale(varied((200, 190, 160), chance, 60), chance.between(0, 70))
    canvas = flat(WHITE if chance.percent(40) else paper)
    _placed(canvas, sprite(drawing.row), chance, (40, 47), 6)
    return canvas


def badly_captured(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show one drawing under any bad capture condition."""
    canvas = _scene(sprite(drawing.row), chance)
    return captured(canvas, chance.choice(tuple(CONDITIONS)), chance)


def sign(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a large drawing under any bad capture condition, not at its worst."""
    canvas = _scene(sprite(drawing.row), chance, (36, 48))
    worst = captured(canvas, chance.choice(tuple(CONDITIONS)), chance)
    return mixed_colours(canvas, worst, chance.between(130, 220))


def conditioned(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a scene under the capture condition that is its class."""
    canvas = ground(chance, share=chance.between(110, 230))
    _placed(canvas, sprite(drawing.row), chance, (32, 48), 14)
    return captured(canvas, label, chance)


def processed(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a scene by the printing process that is its class."""
    canvas = _scene(sprite(drawing.row), chance, (38, 50))
    return printed(canvas, PROCESSES[label], chance)


def textured(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show the texture that is its class; a small drawing lies on some of them."""
    canvas = surface(label, chance)
    if chance.percent(30):
        _placed(canvas, sprite(drawing.row), chance, (14, 20), 40)
    return slightly_worn(canvas, chance)


def coloured(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a drawing in shades of the colour that is its class."""
    colour = varied(COLOURS[label], chance, 12)
    canvas = _pale_ground(chance, 20, 90)
    _placed(canvas, tinted(sprite(drawing.row), colour, 110), chance, (32, 46), 14)
    return canvas


def headed(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a drawing whose top points to where its class says."""
    canvas = _pale_ground(chance)
    _placed(canvas, sprite(drawing.row), chance, (32, 44), 9, -45 * HEADINGS.index(label))
    return slightly_worn(canvas, chance)


def _copies(own: Sprite, places: Sequence[tuple[int, int]], side: int, chance: Chance) -> Ints:
    """Paste copies at places in 1/256 pixel."""
    canvas = _pale_ground(chance)
    mirrored, turn = chance.percent(50), chance.between(0, 14)
    for x, y in places:
        size = side * chance.between(236, 276) // 256
        paste(canvas, own, size, (x, y), chance.between(-turn, turn), mirrored)
    return slightly_worn(canvas, chance)


def counted(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show as many copies of a drawing as its class says, in any places."""
    cells = chance.shuffled(range(9))[: NUMBERS.index(label) + 1]
    places = [(_third(cell % 3, chance), _third(cell // 3, chance)) for cell in cells]
    return _copies(sprite(drawing.row), places, _whole(11, 15, chance), chance)


def _third(which: int, chance: Chance) -> int:
    """Return a place in a third of a side."""
    return (8 + 16 * which) * PIXEL + _whole(-2, 2, chance)


def positioned(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a small drawing, often badly captured, in the ninth of the picture that is its class."""
    canvas = ground(chance, share=chance.between(90, 230))
    place = POSITIONS.index(label)
    x, y = ((8 + 16 * i) * PIXEL + _whole(-6, 6, chance) for i in (place % 3, place // 3))
    paste(canvas, sprite(drawing.row), _whole(8, 13, chance), (x, y), chance.below(360))
    if chance.percent(50):
        return captured(canvas, chance.choice(tuple(CONDITIONS)), chance)
    return slightly_worn(canvas, chance)


def _line(chance: Chance, dx: int, dy: int) -> list[tuple[int, int]]:
    count = chance.between(3, 5)
    step = chance.between(9, 36 // (count - 1))
    return [(dx * step * (2 * i - count + 1) // 2, dy * step * (2 * i - count + 1) // 2)
            for i in range(count)]  # fmt: skip


def _around(chance: Chance, first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Return places on a circle, from one angle to another."""
    radius = chance.between(14, 17)
    angles = [first + (last - first) * i // (count - 1) for i in range(count)]
    return [(radius * cosine(a) // 65536, -radius * sine(a) // 65536) for a in angles]


def _rows(chance: Chance, counts: Sequence[int]) -> list[tuple[int, int]]:
    step, high = chance.between(12, 14), chance.between(12, 14)
    return [
        ((2 * i - count + 1) * step // 2, (2 * row - len(counts) + 1) * high // 2)
        for row, count in enumerate(counts)
        for i in range(count)
    ]


def _ring(chance: Chance) -> list[tuple[int, int]]:
    count, start = chance.between(6, 8), chance.between(0, 59)
    return _around(chance, start, start + 360 * (count - 1) // count, count)


def _arch(chance: Chance) -> list[tuple[int, int]]:
    return [(x, y + 8) for x, y in _around(chance, 0, 180, chance.between(5, 6))]


def _plus(chance: Chance) -> list[tuple[int, int]]:
    step = chance.between(12, 15)
    return [(0, 0), (step, 0), (-step, 0), (0, step), (0, -step)]


def _corners(chance: Chance) -> list[tuple[int, int]]:
    step = chance.between(15, 17)
    return [(step, step), (-step, step), (step, -step), (-step, -step)]


def _pile(chance: Chance) -> list[tuple[int, int]]:
    return [(chance.between(-7, 7), chance.between(-7, 7)) for _ in range(chance.between(6, 9))]


LAYOUTS: Mapping[str, Callable[[Chance], list[tuple[int, int]]]] = MappingProxyType(
    {
        "arch": _arch,
        "column": lambda chance: _line(chance, 0, 1),
        "corners": _corners,
        "diagonal": lambda chance: _line(chance, 1, chance.choice((-1, 1))),
        "grid": lambda chance: _rows(chance, chance.choice(((3, 3), (3, 3, 3), (2, 2, 2)))),
        "pile": _pile,
        "plus": _plus,
        "pyramid": lambda chance: _rows(chance, (1, 2, 3)),
        "ring": _ring,
        "row": lambda chance: _line(chance, 1, 0),
    }
)
"""Arrangements: places relative to the centre, in pixels."""


def arranged(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show copies of a drawing in the arrangement that is its class."""
    dx, dy = (chance.between(-2 * PIXEL, 2 * PIXEL) for _ in range(2))
    places = [
        (_CENTRE + x * PIXEL + dx + _whole(-1, 1, chance), _CENTRE + y * PIXEL + dy)
        for x, y in LAYOUTS[label](chance)
    ]
    return _copies(sprite(drawing.row), places, _whole(10, 13, chance), chance)


def line_drawn(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a drawing in lines: as its hand drew it if that is ink, else its edges."""
    canvas = flat(WHITE)
    _placed(canvas, sprite(drawing.row), chance, (34, 47), 10)
    inked = drawing.style in ("fluent-hc", "openmoji-black", "symbola")
    return canvas if inked else printed(canvas, chance.choice(LINE_ART), chance)


def hard(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a small drawing, turned far, among strong colours and parts of others."""
    canvas = ground(chance, share=chance.between(50, 130))
    for _ in range(chance.between(1, 2)):
        _at_the_edge(canvas, chance.choice(others), chance)
    _placed(canvas, sprite(drawing.row), chance, (28, 38), 40)
    if chance.percent(40):
        _at_the_edge(canvas, chance.choice(others), chance)
    return slightly_worn(canvas, chance)


def _at_the_edge(canvas: Ints, drawing: Drawing, chance: Chance) -> None:
    far, along = chance.choice((0, SIDE * PIXEL)), chance.below(SIDE * PIXEL)
    place = (far, along) if chance.percent(50) else (along, far)
    paste(canvas, sprite(drawing.row), _whole(12, 20, chance), place, chance.below(360))


def rendered(drawing: Drawing, others: Sequence[Drawing], label: str, chance: Chance) -> Ints:
    """Show a scene in another rendering: pixel art, a negative, a wash, ..."""
    canvas = _scene(sprite(drawing.row), chance, (36, 48))
    return printed(canvas, chance.choice(RENDERINGS), chance)
