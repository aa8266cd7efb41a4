"""Data sets that Interlace knows by name."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from interlace.data.records import Record
from interlace.errors import InterlaceError


@dataclass(frozen=True, slots=True)
class CatalogTask:
    """A data set of the catalogue before shots are drawn from it.

    Attributes:
        name: Its name, such as `"picto/food-drink"`.
        description: One sentence.
        template: Its prompt, with `{}` where the class name goes.
        classes: Class names, which the labels index.
        train: Images that shots may be drawn from.
        test: Images held out.
    """

    name: str
    description: str
    template: str
    classes: tuple[str, ...]
    train: tuple[Record, ...]
    test: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """The data sets below one prefix: their names, and how to read one."""

    names: Callable[[], Sequence[str]]
    read: Callable[[str], CatalogTask]


def catalog_names() -> tuple[str, ...]:
    """Lists every data set, sorted."""
    return tuple(
        sorted(f"{prefix}/{name}" for prefix, own in COLLECTIONS.items() for name in own.names())
    )


def is_catalog_name(name: str) -> bool:
    """Says whether a name begins with the prefix of a collection."""
    return name.partition("/")[0] in COLLECTIONS


def read_catalog(name: str) -> CatalogTask:
    """Reads a data set by name.

    Raises:
        InterlaceError: There is none of this name.
    """
    prefix, _, rest = name.partition("/")
    collection = COLLECTIONS.get(prefix)
    if collection is None or rest not in collection.names():
        raise unknown_name(name)
    return collection.read(rest)


def unknown_name(name: str) -> InterlaceError:
    """Makes the error for a source that is neither a folder nor a data set."""
    known = ", ".join(catalog_names())
    if not is_catalog_name(name):
        return InterlaceError(f"no such folder: {name} (nor a known data set: {known})")
    prefix, _, rest = name.partition("/")
    # compared without the prefix, which would make everything look alike
    close = difflib.get_close_matches(rest, COLLECTIONS[prefix].names(), n=2, cutoff=0.45)
    hint = " or ".join(f"{prefix}/{match}" for match in close)
    return InterlaceError(
        f"no data set '{name}': " + (f"did you mean {hint}?" if hint else f"there are {known}")
    )


def _picto_names() -> Sequence[str]:
    from interlace.data import picto

    return list(picto.task_names())


def _read_picto(name: str) -> CatalogTask:
    from interlace.data import picto

    task: Mapping[str, Any] = picto.task(name)
    table = picto.images()
    rows = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}

    def records(pairs: Sequence[Sequence[Any]]) -> tuple[Record, ...]:
        # take() copies the wanted rows alone, out of a table that is several times as large
        own = table.select(["image", "style"]).take([rows[image_id] for image_id, _ in pairs])
        columns = zip(own["image"].to_pylist(), own["style"].to_pylist(), pairs, strict=True)
        return tuple(
            Record(image, int(label), f"picto:{image_id}", str(style))
            for image, style, (image_id, label) in columns
        )

    return CatalogTask(
        name=f"picto/{name}",
        description=task["description"],
        template=task["template"],
        classes=tuple(task["classes"]),
        train=records(task["train"]),
        test=records(task["test"]),
    )


COLLECTIONS: Mapping[str, Collection] = MappingProxyType(
    {"picto": Collection(_picto_names, _read_picto)}
)
"""Collections by prefix. Their modules are imported when one of their data sets is asked for."""
