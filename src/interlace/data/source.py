"""Labelled images as a folder, a table or a known data set gives them, before any draw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interlace.data.records import Record, Skipped
from interlace.errors import InterlaceError

DEFAULT_TEMPLATE = "a photo of a {}."

ClassOrder = Literal["name", "label"]

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""The parts of a data set by the names, in lower case, that folders and tables give them."""


@dataclass(frozen=True, slots=True)
class Source:
    """Labelled images before shots are drawn from them.

    Attributes:
        name: Its name, such as `"picto/food-drink"`.
        classes: Class names as the source writes them, which the labels index.
        pools: Images by part: `"train"`, from which shots are drawn, and `"val"` and `"test"` if
            these are set apart. A set that only tests has no `"train"`.
        template: Its prompt, with `{}` where the class name goes.
        description: One sentence.
        skipped: Files that could not be used.
        cleaned: Whether `classes` go into prompts as they are.
        order: What sorts the classes before they are cut into base and novel: their names, or
            their labels where the source numbers them.
        published: Whether `classes` are the published names of a standard data set, of which some
            are equal (ImageNet has two cranes); equal names are then allowed, with a note.
    """

    name: str
    classes: tuple[str, ...]
    pools: Mapping[str, Sequence[Record]]
    template: str = DEFAULT_TEMPLATE
    description: str = ""
    skipped: tuple[Skipped, ...] = ()
    cleaned: bool = False
    order: ClassOrder = "name"
    published: bool = False

    def records(self) -> Iterator[Record]:
        """Goes through the images of all parts."""
        for records in self.pools.values():
            yield from records


def part_of(name: str, where: str) -> str:
    """Gives `"train"`, `"val"` or `"test"` for what a source calls a part.

    Raises:
        InterlaceError: The name is none of `PART_NAMES`.
    """
    try:
        return PART_NAMES[name.strip().lower()]
    except KeyError:
        raise InterlaceError(
            f"{where}: part '{name}': must be train, val or test (or {', '.join(PART_NAMES)})"
        ) from None
