"""Robustness: few-shot fits on data that is worse than it should be, each a curve over severity.

Noisy images and shares of base classes follow the ablations of Seputis et al., "Multi-Modal
Adapter for Vision-Language Models", 2024, https://arxiv.org/abs/2409.02958. Test images are never
changed.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import replace

from interlace.data.splits import group_by_label
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.protocols import base_to_novel
from interlace.protocols.base import Protocol
from interlace.protocols.classification import ClassificationPlan, Target
from interlace.protocols.condition import CLEAN, Condition
from interlace.protocols.setting import Setting

#: Prompts in the place of a task's own: those of the kind ``template`` by their number from 1 on,
#: and for ``ensemble`` the first so many together.
TEMPLATES = (
    "a photo of a {}.",
    "{}",
    "a picture of {}.",
    "an image that shows a {}.",
    "there is a {} in the scene.",
    "a close-up of the {}.",
    "a drawing of a {}.",
    "one of many {}.",
)

#: Severities by kind.
SEVERITIES: Mapping[str, tuple[float, ...]] = {
    "label_noise": (0.1, 0.2, 0.3),
    "image_noise": (0.1, 0.2, 0.4),
    "imbalance": (2, 5, 10),
    "base_share": (1, 2, 3, 4, 5),
    "template": (1, 2, 3, 4),
    "ensemble": (2, 4, 8),
    "typos": (0.05, 0.1, 0.2),
}


class Robustness(Protocol[Target]):
    """Few-shot under conditions that get worse, and base-to-novel for shares of base classes.

    - ``label_noise``: the share of shots that carry another class's label;
    - ``image_noise``: the standard deviation of Gaussian noise on the training images, where 1 is
      the step from black to white;
    - ``imbalance``: how many times as many shots the most frequent class has as the rarest; from
      class to class, in an order drawn by seed, their number falls by the same factor, to no less
      than one;
    - ``base_share``: base classes for each novel one;
    - ``template``: number of the prompt in ``TEMPLATES``, fitted and scored with;
    - ``ensemble``: how many of these prompts are averaged;
    - ``typos``: share of the letters of class names that are misspelt, in fit and scoring, as in
      a list that was typed in a hurry.
    """

    name = "robustness"
    summary = "Few-shot with noise, imbalance, other prompts and misspelt names (2409.02958)."

    def conditions(self) -> tuple[Condition, ...]:
        """Return the clean fit, and every kind with every severity."""
        return (CLEAN, *(Condition(k, s) for k, own in SEVERITIES.items() for s in own))

    def plan(self, setting: Setting) -> ClassificationPlan:
        """Return the few-shot task with the condition applied to what is fitted.

        Raises:
            InterlaceError: if the condition is unknown or out of range.
        """
        task, condition = setting.draw(), setting.condition
        if condition == CLEAN:
            return _few_shot(task)
        if condition.kind == "base_share":
            share = condition.severity / (1 + condition.severity)
            return base_to_novel.of_task(task, share)
        try:
            change = _CHANGES[condition.kind]
        except KeyError:
            known = ", ".join(SEVERITIES)
            raise InterlaceError(f"no condition {condition.kind!r}: there are {known}") from None
        return _few_shot(change(task, condition.severity))


def _few_shot(task: FewShotTask) -> ClassificationPlan:
    return ClassificationPlan(task, (Target("all", task, seen=True),))


def _label_noise(task: FewShotTask, share: float) -> FewShotTask:
    """Give ``share`` of all shots the label of another class."""
    _in_range(share, 0, 1, "label_noise")
    draw = random.Random(f"label noise {task.seed}")
    count, classes = round(share * len(task.train)), len(task.classes)
    # the shots of a smaller share are among those of a larger one, with the same wrong labels
    order = draw.sample(range(len(task.train)), len(task.train))
    steps = [draw.randrange(1, classes) for _ in order]
    train = list(task.train)
    for index, step in list(zip(order, steps, strict=True))[:count]:
        train[index] = replace(train[index], label=(train[index].label + step) % classes)
    return replace(task, train=tuple(train))


def _image_noise(task: FewShotTask, deviation: float) -> FewShotTask:
    _in_range(deviation, 0, 10, "image_noise")
    return replace(task, train=tuple(replace(r, noise=float(deviation)) for r in task.train))


def _imbalance(task: FewShotTask, ratio: float) -> FewShotTask:
    """Thin out the classes geometrically, in an order that is drawn by seed."""
    _in_range(ratio, 1, float("inf"), "imbalance")
    classes = len(task.classes)
    order = random.Random(f"imbalance {task.seed}").sample(range(classes), classes)
    train = []
    for label, own in enumerate(group_by_label(task.train, classes)):
        kept = task.shots * ratio ** (-order[label] / max(1, classes - 1))
        train += own[: max(1, round(kept))]
    return replace(task, train=tuple(train))


def _template(task: FewShotTask, number: float) -> FewShotTask:
    _in_range(number, 1, len(TEMPLATES), "template")
    return replace(task, template=TEMPLATES[int(number) - 1])


def _ensemble(task: FewShotTask, count: float) -> FewShotTask:
    _in_range(count, 1, len(TEMPLATES), "ensemble")
    return replace(task, template=TEMPLATES[: int(count)])


def _typos(task: FewShotTask, rate: float) -> FewShotTask:
    _in_range(rate, 0, 1, "typos")
    changed: dict[str, str] = {}  # published names may be equal, and stay so
    taken: set[str] = set()
    known = set(task.classes)
    for name in dict.fromkeys(task.classes):
        wrong = misspell(name, rate, task.seed)
        attempt = 0
        while wrong in taken or (wrong != name and wrong in known):
            # two names must not become one
            attempt += 1
            wrong = misspell(name, rate, task.seed, attempt)
        changed[name] = wrong
        taken.add(wrong)
    return replace(task, classes=tuple(changed[name] for name in task.classes))


def misspell(name: str, rate: float, seed: int, attempt: int = 0) -> str:
    """Misspell each letter of ``name`` with probability ``rate``.

    A letter is left out, doubled, replaced, or swapped with the next one. At least one letter of
    every name stays.
    """
    draw = random.Random(f"typos {seed} {attempt} {name}")
    letters: list[str] = []
    rest = list(name)
    while rest:
        letter = rest.pop(0)
        # drawn for every letter, so that a higher rate adds errors to those of a lower one
        wrong, kind, other = draw.random() < rate, draw.randrange(4), draw.choice(_LETTERS)
        if not letter.isalpha() or not wrong:
            letters.append(letter)
        elif kind == 0:
            continue
        elif kind == 1:
            letters += [letter, letter]
        elif kind == 2 or not rest or not rest[0].isalpha():
            letters.append(other)
        else:
            letters += [rest.pop(0), letter]
    found = "".join(letters).strip()
    return found if any(letter.isalpha() for letter in found) else name


_LETTERS = string.ascii_lowercase

_CHANGES: Mapping[str, Callable[[FewShotTask, float], FewShotTask]] = {
    "label_noise": _label_noise,
    "image_noise": _image_noise,
    "imbalance": _imbalance,
    "template": _template,
    "ensemble": _ensemble,
    "typos": _typos,
}


def _in_range(value: float, low: float, high: float, name: str) -> None:
    if not low <= value <= high:
        raise InterlaceError(f"{name}={value:g}: must be from {low:g} to {high:g}")
