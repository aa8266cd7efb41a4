"""Which drawings a set of the suite is composed of: its classes, and who trains and who tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from interlace.data.datasets.suite.chance import Chance
from interlace.data.datasets.suite.drawings import HANDS, Drawing, clusters, halves, unseen

CORE = ("activities", "animals-nature", "food-drink", "objects", "travel-places")
"""The groups whose names the embedded model was taught."""


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


def _in(groups: Collection[str]) -> Iterable[Drawing]:
    """List drawings of some groups or subgroups."""
    return (d for d in unseen() if d.group in groups or d.subgroup in groups)


def _split_each(
    name: str, classes: dict[str, list[list[Drawing]]], share: int, least: tuple[int, int]
) -> Pools:
    """Split the clusters of each class; classes with too few drawings on a side are left out."""
    kept = []
    for label in sorted(classes):
        train, test = halves(classes[label], Chance(name, "halves", label), share, least[1])
        if len(train) >= least[0] and len(test) >= least[1]:
            kept.append((label, tuple(train), tuple(test)))
    names, trains, tests = zip(*kept, strict=True)
    return Pools(names, trains, tests)


def concepts(groups: Collection[str], most: int, without: Collection[str] = ()) -> Choice:
    """Take concepts as classes; different hands draw the training and the test images.

    Args:
        groups: Groups or subgroups that the concepts are of.
        most: How many there are at most.
        without: Names of concepts that nobody could tell from another one.
    """

    def choose(name: str) -> Pools:
        classes: dict[str, list[list[Drawing]]] = {}
        for cluster in clusters(_in(groups), [_twins]):
            if len({d.concept for d in cluster}) == 1:
                classes.setdefault(cluster[0].name, []).append(cluster)
        several = {
            label: own for label, own in classes.items() if len(own) >= 3 and label not in without
        }
        taken = Chance(name, "classes").shuffled(sorted(several))[:most]
        return _split_each(name, {label: several[label] for label in taken}, 30, (3, 2))

    return choose


def kinds(groups: Collection[str], least: tuple[int, int] = (12, 6)) -> Choice:
    """Take subgroups as classes; different concepts are in the training and the test images.

    Args:
        groups: Groups whose subgroups they are, or subgroups.
        least: Drawings that a class needs for training, and for testing.
    """

    def choose(name: str) -> Pools:
        return _by_concept(name, groups, lambda d: d.subgroup.replace("-", " "), least)

    return choose


def groups_of(words: dict[str, str]) -> Choice:
    """Take groups as classes, under words of their own; concepts are split."""

    def choose(name: str) -> Pools:
        return _by_concept(name, words, lambda d: words[d.group], (12, 6))

    return choose


def _by_concept(
    name: str, groups: Collection[str], label_of: Callable[[Drawing], str], least: tuple[int, int]
) -> Pools:
    classes: dict[str, list[list[Drawing]]] = {}
    for cluster in clusters(_in(groups), [_twins, _concept]):
        labels = {label_of(d) for d in cluster}
        if len(labels) == 1:
            classes.setdefault(labels.pop(), []).append(cluster)
    several = {label: own for label, own in classes.items() if len(own) >= 4}
    return _split_each(name, several, 45, least)


def hands(groups: Collection[str]) -> Choice:
    """Take the hands as classes; they draw other concepts in training and in test images."""

    def choose(name: str) -> Pools:
        train, test = _sides(name, groups)
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

    def choose(name: str) -> Pools:
        train, test = _sides(name, groups)
        return Pools(names, (tuple(train),) * len(names), (tuple(test),) * len(names))

    return choose


@cache
def _components(groups: tuple[str, ...]) -> list[list[Drawing]]:
    return clusters(_in(groups), [_twins, _concept])


def _sides(name: str, groups: Collection[str]) -> tuple[list[Drawing], list[Drawing]]:
    chance = Chance(name, "halves")
    return halves(_components(tuple(sorted(groups))), chance, 50)
