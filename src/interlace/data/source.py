"""Labelled images as a folder, a table or a known data set gives them, before any draw."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interlace._util.text import printable
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
        name: Its name, such as ``"picto/food-drink"``.
        classes: Class names as the source writes them, which the labels index.
        pools: Images by part: ``"train"``, from which shots are drawn, and ``"val"`` and
            ``"test"`` if these are set apart. A set that only tests has no ``"train"``.
        template: Its prompt, with ``{}`` where the class name goes.
        description: One sentence.
        skipped: Files that could not be used.
        cleaned: Whether ``classes`` go into prompts as they are.
        order: What sorts the classes before they are cut into base and novel: their names, or
            their labels where the source numbers them.
        published: Whether ``classes`` are the published names of a standard data set, of which some
            are equal (ImageNet has two cranes); equal names are then allowed, with a note.
        hidden: Hidden files and folders, which were not read.
        notes: What a user should know of how the data was understood, a line each.
        problems: What contradicts itself or cannot be used in it, a line each; ``--strict`` and
            ``data check`` make these errors.
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
    hidden: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def records(self) -> Iterator[Record]:
        """Iterate over the images of all parts."""
        for records in self.pools.values():
            yield from records


def part_of(name: str, where: str) -> str:
    """Return ``"train"``, ``"val"`` or ``"test"`` for what a source calls a part.

    Raises:
        InterlaceError: The name is none of ``PART_NAMES``.
    """
    try:
        return PART_NAMES[name.strip().lower()]
    except KeyError:
        raise InterlaceError(
            f"{where}: part '{printable(name)}': must be train, val or test (or "
            f"{', '.join(PART_NAMES)})"
        ) from None


_FOLDER_NAMES = {**PART_NAMES, "eval": "val", "evaluation": "val"}
_FILLER = r"(?:set|dataset|data|images?|imgs?|photos?|pictures?|pics?|samples?|split|folder)"
_WORDS = "|".join(sorted(_FOLDER_NAMES, key=len, reverse=True))
_PART_FOLDER = re.compile(rf"\d*{_FILLER}*({_WORDS}){_FILLER}*\d*")


def part_of_folder(name: str) -> str:
    """Return the part that a folder is named like (``Test Set``, ``val2017``), or ""."""
    found = _PART_FOLDER.fullmatch(re.sub(r"[^a-z0-9]", "", _folded(name)))
    return _FOLDER_NAMES[found[1]] if found else ""


def part_with_prefix(name: str) -> tuple[str, str]:
    """Separate the part from the rest of a folder's name: ``seg_train`` is ``("train", "seg")``."""
    words = [word.rstrip("0123456789") for word in re.split(r"[^a-z0-9]+", _folded(name))]
    parts = [word for word in words if word in _FOLDER_NAMES]
    rest = "_".join(word for word in words if word not in _FOLDER_NAMES)
    return (_FOLDER_NAMES[parts[0]], rest) if len(parts) == 1 and rest else ("", "")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
