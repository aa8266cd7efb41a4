"""The sets of the suite: what each shows, of which drawings, and in which collection it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from interlace.data.datasets.suite import scenes
from interlace.data.datasets.suite.capture import CONDITIONS
from interlace.data.datasets.suite.pools import (
    CORE,
    Choice,
    anything,
    concepts,
    groups_of,
    hands,
    kinds,
)
from interlace.data.datasets.suite.prints import PROCESSES
from interlace.data.datasets.suite.textures import TEXTURES

SUITE_SOURCE = "kinds"
"""The largest set: the source of transfer, and of the shifted variants."""

CHOSEN = (
    "animals",
    "capture",
    "colours",
    "food",
    "kinds",
    "layouts",
    "positions",
    "prints",
    "signs",
    "smileys",
    "tools",
)
"""The eleven of ``suite``; the others are ``suite-dev``."""


@dataclass(frozen=True, slots=True)
class SuiteSet:
    """What a set is made of.

    Attributes:
        description: One sentence.
        template: Its prompt.
        pools: Gives its classes and their drawings.
        paint: Makes an image.
        train: Training images per class; 0 in a set that only tests.
        test: Test images per class.
    """

    description: str
    template: str
    pools: Choice
    paint: scenes.Painter
    train: int
    test: int


_UPRIGHT = (
    "animal-bird",
    "animal-mammal",
    "clothing",
    "drink",
    "household",
    "place-building",
    "plant-flower",
    "plant-other",
    "transport-ground",
    "transport-water",
)
_GROUPS = {
    "activities": "activity",
    "animals-nature": "animal or plant",
    "food-drink": "food or drink",
    "objects": "object",
    "travel-places": "place or vehicle",
}
_KINDS = kinds(CORE)

SETS: Mapping[str, SuiteSet] = MappingProxyType(
    {
        "animals": SuiteSet(
            "Animals; other hands draw the test images.",
            "a picture of a {}",
            concepts,
            scenes.portrait,
            28,
            17,
        ),
        "capture": SuiteSet(
            "Pictures with something wrong in how they were taken, stored or sent.",
            "a picture with {}",
            anything(CONDITIONS),
            scenes.conditioned,
            28,
            50,
        ),
        "colours": SuiteSet(
            "Things in one colour, under the rarer words for colours.",
            "a {} thing",
            anything(scenes.COLOURS),
            scenes.coloured,
            28,
            50,
        ),
        "counting": SuiteSet(
            "One to eight copies of a thing.",
            "a picture of {} things",
            anything(scenes.NUMBERS),
            scenes.counted,
            28,
            70,
        ),
        "food": SuiteSet(
            "Food and drink; other hands draw the test images.",
            "a picture of {}, something to eat or drink",
            concepts,
            scenes.portrait,
            28,
            16,
        ),
        "groups": SuiteSet(
            "Which of five groups a thing belongs to; other things are in the test images.",
            "a picture of an {}",
            groups_of(_GROUPS),
            scenes.portrait,
            32,
            110,
        ),
        "hands": SuiteSet(
            "Which project drew it; other things are in the test images.",
            "a drawing in the style of {}",
            hands(CORE),
            scenes.page,
            32,
            80,
        ),
        "kinds": SuiteSet(
            "Kinds of things; other things of the kind are in the test images.",
            "a picture of {}",
            _KINDS,
            scenes.portrait,
            28,
            20,
        ),
        "layouts": SuiteSet(
            "Copies of a thing in an arrangement.",
            "things arranged as a {}",
            anything(scenes.LAYOUTS),
            scenes.arranged,
            28,
            55,
        ),
        "people": SuiteSet(
            "What people, hands and bodies do; other drawings of it are in the test images.",
            "a picture of a {}",
            kinds(("people-body",)),
            scenes.portrait,
            28,
            45,
        ),
        "places": SuiteSet(
            "Buildings, landscapes and vehicles; other hands draw the test images.",
            "a picture of a {}",
            concepts,
            scenes.portrait,
            28,
            16,
        ),
        "positions": SuiteSet(
            "Where in the picture a thing is.",
            "a drawing at the {}",
            anything(scenes.POSITIONS),
            scenes.positioned,
            28,
            60,
        ),
        "prints": SuiteSet(
            "By which process a picture was printed, stitched or lit.",
            "a picture made by {}",
            anything(PROCESSES),
            scenes.processed,
            28,
            55,
        ),
        "signs": SuiteSet(
            "Kinds of signs and symbols, badly captured; other signs are in the test images.",
            "a sign of the kind {}",
            kinds(("symbols",)),
            scenes.sign,
            28,
            60,
        ),
        "smileys": SuiteSet(
            "What a face shows; other faces are in the test images.",
            "a {}",
            kinds(("smileys-emotion",)),
            scenes.portrait,
            28,
            45,
        ),
        "textures": SuiteSet(
            "Surfaces drawn by rule, under the words that describe them.",
            "a {} texture",
            anything(TEXTURES),
            scenes.textured,
            28,
            40,
        ),
        "tools": SuiteSet(
            "Tools, instruments and things of the house; other hands draw the test images.",
            "a picture of a {}",
            concepts,
            scenes.portrait,
            28,
            18,
        ),
        "turn": SuiteSet(
            "Where the top of a thing points to.",
            "a thing whose top points {}",
            anything(scenes.HEADINGS, _UPRIGHT),
            scenes.headed,
            28,
            70,
        ),
    }
)
"""All candidates by name, sorted: those of ``suite`` and those of ``suite-dev``."""


def _shifted(description: str, paint: scenes.Painter) -> SuiteSet:
    """Make a variant of ``kinds``: its classes, and its test drawings in other images."""
    kinds_ = SETS[SUITE_SOURCE]
    return SuiteSet(description, kinds_.template, lambda _: _KINDS(SUITE_SOURCE), paint, 0, 14)


SHIFTS: Mapping[str, SuiteSet] = MappingProxyType(
    {
        "captures": _shifted("kinds under bad capture conditions.", scenes.badly_captured),
        "hard": _shifted("kinds, small, turned, hidden in part and cluttered.", scenes.hard),
        "lineart": _shifted("kinds in lines alone.", scenes.line_drawn),
        "renderings": _shifted("kinds as pixel art, negatives, washes, ...", scenes.rendered),
    }
)
"""The shifted variants of ``kinds``, which only test."""
