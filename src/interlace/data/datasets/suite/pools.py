"""Which drawings a set of the suite is composed of: its classes, and who trains and who tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from interlace.data.datasets.suite.chance import Chance
from interlace.data.datasets.suite.drawings import HANDS, Drawing, clusters, halves, unseen

CORE = ("activities", "animals-nature", "food-drink", "objects", "travel-places")
"""The groups whose names the embedded model was taught."""

# drawings that a class of many concepts needs on each side
_LEAST_TRAINED, _LEAST_TESTED = 12, 6


@dataclass(frozen=True, slots=True)
class Pools:
    """Classes and their drawings.

    Attributes:
        classes: Names of the classes, sorted.
        train: The drawings of each class that training images show.
        test: Those of test images; no drawing, nor a twin of it, is in both.
    """

    classes: tuple[str, ...]
    train: tuple[tuple[Drawing, ...], ...]
    test: tuple[tuple[Drawing, ...], ...]


Choice = Callable[[str], Pools]
"""What gives the pools of a set by its name."""


def _twins(drawing: Drawing) -> object:
    return drawing.twins


def _concept(drawing: Drawing) -> object:
    return drawing.concept


def _in(groups: Collection[str], drawings: Iterable[Drawing]) -> tuple[Drawing, ...]:
    """Keep the drawings of some groups or subgroups."""
    return tuple(d for d in drawings if d.group in groups or d.subgroup in groups)


@dataclass(frozen=True, slots=True)
class NamedThings:
    """A set whose classes are single concepts.

    Attributes:
        groups: Groups or subgroups that the concepts are of.
        most: How many there are at most.
        without: Names of concepts that nobody could tell from another one.
    """

    groups: tuple[str, ...]
    most: int
    without: tuple[str, ...] = ()


NAMED: Mapping[str, NamedThings] = MappingProxyType(
    {
        "animals": NamedThings(
            ("animal-bird", "animal-bug", "animal-mammal", "animal-marine", "animal-reptile"),
            32,
            ("hatching chick",),
        ),
        "food": NamedThings(
            ("drink", "food-asian", "food-fruit", "food-prepared", "food-sweet", "food-vegetable"),
            36,
        ),
        "places": NamedThings(
            (
                "place-building",
                "place-geographic",
                "place-other",
                "transport-air",
                "transport-ground",
                "transport-water",
            ),
            36,
            ("bullet train", "foggy", "japanese post office"),
        ),
        "tools": NamedThings(
            (
                "computer",
                "household",
                "light-video",
                "medical",
                "musical-instrument",
                "office",
                "phone",
                "science",
                "sound",
                "tool",
                "writing",
            ),
            32,
            ("computer disk", "dvd", "telephone receiver"),
        ),
    }
)
"""The sets of concepts by name. No other set shows a drawing of theirs."""


@cache
def _named(name: str) -> dict[str, list[list[Drawing]]]:
    """Return the classes of a set of concepts, and the clusters of twins of each."""
    own = NAMED[name]
    classes: dict[str, list[list[Drawing]]] = {}
    for cluster in clusters(_in(own.groups, unseen()), [_twins]):
        if len({d.concept for d in cluster}) == 1:
            classes.setdefault(cluster[0].name, []).append(cluster)
    several = sorted(
        label for label, parts in classes.items() if len(parts) >= 3 and label not in own.without
    )
    taken = Chance(name, "classes").shuffled(several)[: own.most]
    return {label: classes[label] for label in sorted(taken)}


def concepts(name: str) -> Pools:
    """Take concepts as classes; different hands draw the training and the test images.

    Args:
        name: One of ``NAMED``.
    """
    kept = []
    for label, parts in _named(name).items():
        train, test = halves(parts, Chance(name, "halves", label), 30, 2)
        if len(train) >= 3 and len(test) >= 2:
            kept.append((label, tuple(train), tuple(test)))
    return _pools(kept)


def _pools(kept: Sequence[tuple[str, tuple[Drawing, ...], tuple[Drawing, ...]]]) -> Pools:
    names, trains, tests = zip(*kept, strict=True)
    return Pools(names, trains, tests)


@cache
def _sides() -> tuple[tuple[Drawing, ...], tuple[Drawing, ...]]:
    """Split all drawings but those of ``NAMED``, for all other sets alike.

    A concept is on one side, and so are concepts that have a twin in common: what trains in one
    set tests in none, so that transfer from one to another meets no drawing again.
    """
    taken = {
        d.concept
        for name in NAMED
        for parts in _named(name).values()
        for part in parts
        for d in part
    }
    subgroups: dict[str, list[list[Drawing]]] = {}
    for part in clusters(unseen(), [_twins, _concept]):
        if not any(d.concept in taken for d in part):
            subgroups.setdefault(part[0].subgroup, []).append(part)
    train: list[Drawing] = []
    test: list[Drawing] = []
    for label in sorted(subgroups):
        own = halves(subgroups[label], Chance("suite", "halves", label), 45, _LEAST_TESTED)
        train += own[0]
        test += own[1]
    return tuple(train), tuple(test)


def _sides_of(groups: Collection[str]) -> tuple[tuple[Drawing, ...], tuple[Drawing, ...]]:
    """Return the training and the test drawings of some groups or subgroups."""
    train, test = _sides()
    return _in(groups, train), _in(groups, test)


def kinds(groups: Collection[str]) -> Choice:
    """Take subgroups as classes; different concepts are in the training and the test images.

    Args:
        groups: Groups whose subgroups they are, or subgroups.
    """
    return _by_concept(groups, lambda d: d.subgroup.replace("-", " "))


def groups_of(words: dict[str, str]) -> Choice:
    """Take groups as classes, under words of their own; concepts are split."""
    return _by_concept(words, lambda d: words[d.group])


def _by_concept(groups: Collection[str], label_of: Callable[[Drawing], str]) -> Choice:
    def choose(_: str) -> Pools:
        sides = _sides_of(groups)
        kept = []
        for label in sorted({label_of(d) for d in sides[0]}):
            train, test = (tuple(d for d in side if label_of(d) == label) for side in sides)
            if len(train) >= _LEAST_TRAINED and len(test) >= _LEAST_TESTED:
                kept.append((label, train, test))
        return _pools(kept)

    return choose


def hands(groups: Collection[str]) -> Choice:
    """Take the hands as classes; they draw other concepts in training and in test images."""

    def choose(_: str) -> Pools:
        train, test = _sides_of(groups)
        styles = sorted(HANDS, key=lambda style: HANDS[style])

        def by_hand(side: Sequence[Drawing]) -> tuple[tuple[Drawing, ...], ...]:
            return tuple(tuple(d for d in side if d.style == style) for style in styles)

        return Pools(tuple(HANDS[style] for style in styles), by_hand(train), by_hand(test))

    return choose


def anything(classes: Iterable[str], groups: Collection[str] = CORE) -> Choice:
    """Take what is done to drawings as classes; any drawing of some groups may show any class.

    Args:
        classes: Names of the classes.
        groups: Groups or subgroups that the drawings are of.
    """
    names = tuple(sorted(classes))

    def choose(_: str) -> Pools:
        train, test = _sides_of(groups)
        return Pools(names, (train,) * len(names), (test,) * len(names))

    return choose
