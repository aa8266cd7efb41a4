"""Check what a stored split holds, whoever wrote the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from interlace._util.reading import check_regular, read_json_object
from interlace._util.text import listed, printable
from interlace.errors import InterlaceError

Key = tuple[str, int]

PARTS = ("train", "val", "test")

MAX_SEED = (1 << 63) - 1
MAX_SHOTS = 1_000_000

_FIELDS = frozenset({"name", "seed", "shots", "classes", *PARTS})


class SplitParts(Protocol):
    """What is checked of a split."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, which labels index."""


def read_fields(path: Path | str) -> tuple[dict[str, Any], object]:
    """Read the fields of a split file, each of its own type, and the hash that stands there.

    Raises:
        InterlaceError: The file is missing or is something else.
    """
    shown = printable(str(path))
    check_regular(path, "split file")
    try:
        content = read_json_object(path, "split file")
        stored = content.pop("sha256", None)
        fields = {
            "name": _typed(content, "name", str),
            "seed": _number(content, "seed", MAX_SEED),
            "shots": _number(content, "shots", MAX_SHOTS),
            "classes": _class_names(content),
            **{part: _keys(content, part) for part in PARTS},
        }
        unknown = sorted(set(content) - _FIELDS)
        if unknown:
            raise InterlaceError(f"unknown {listed(unknown)}")
    except InterlaceError as error:
        reason = str(error).removeprefix(f"{shown}: ")
        raise InterlaceError(f"{shown}: not a split file ({reason})") from None
    return fields, stored


def check_parts(split: SplitParts, where: str) -> None:
    """Check that a split can be the draw of a task: nothing is on two sides, labels have classes.

    Raises:
        InterlaceError: It cannot.
    """
    seen: dict[str, str] = {}
    for part in PARTS:
        for key, label in getattr(split, part):
            if label >= len(split.classes):
                raise InterlaceError(
                    f"{where}: {part}: {printable(key)} has label {label}, and there are "
                    f"{len(split.classes)} classes"
                )
            other = seen.setdefault(key, part)
            if other is not part:
                raise InterlaceError(f"{where}: {printable(key)} is in {other} and in {part}")
        if len({key for key, _ in getattr(split, part)}) < len(getattr(split, part)):
            keys = sorted(key for key, _ in getattr(split, part))
            twice = next(a for a, b in zip(keys, keys[1:], strict=False) if a == b)
            raise InterlaceError(f"{where}: {printable(twice)} is twice in {part}")


def _typed(content: Mapping[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if type(value) is not kind:
        raise InterlaceError(f"'{name}' is missing or not of the right type")
    return value


def _number(content: Mapping[str, Any], name: str, most: int) -> int:
    value: int = _typed(content, name, int)
    if not 0 <= value <= most:
        raise InterlaceError(f"'{name}' must lie between 0 and {most}")
    return value


def _class_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    names = _typed(content, "classes", list)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InterlaceError("'classes' must be a list of names")
    return tuple(names)


def _keys(content: Mapping[str, Any], part: str) -> tuple[Key, ...]:
    pairs = _typed(content, part, list)
    for pair in pairs:
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or type(pair[0]) is not str
            or type(pair[1]) is not int
            or pair[1] < 0
        ):
            raise InterlaceError(f"'{part}' must list pairs of an image's key and its label")
    return tuple((key, label) for key, label in pairs)
