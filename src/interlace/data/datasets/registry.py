"""Data sets that Interlace knows by name."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from interlace._util.text import printable
from interlace.data.datasets.benchmarks import (
    benchmark_names,
    data_root,
    find_benchmark,
    read_field,
)
from interlace.data.readers.columns import BY_NAME, Columns
from interlace.data.readers.table_files import TABLES
from interlace.data.records import Record
from interlace.data.source import Source
from interlace.errors import InterlaceError


@dataclass(frozen=True, slots=True)
class Collection:
    """The data sets below one prefix: their names, and how to read one."""

    names: Callable[[], Sequence[str]]
    read: Callable[[str], Source]


def catalog_names() -> tuple[str, ...]:
    """List the embedded data sets, sorted; ``field.benchmark_names`` lists those read from disk."""
    return tuple(
        sorted(f"{prefix}/{name}" for prefix, own in COLLECTIONS.items() for name in own.names())
    )


def is_catalog_name(name: str) -> bool:
    """Says whether a name begins with the prefix of a collection."""
    return name.partition("/")[0] in COLLECTIONS


def expand(name: str) -> tuple[str, ...]:
    """Return data sets of a collection for its prefix (``"picto"``), and any other name itself."""
    if name in COLLECTIONS and not os.path.exists(name):
        return tuple(own for own in catalog_names() if own.startswith(f"{name}/"))
    return (name,)


def is_known(source: Path | str, root: Path | str | None = None) -> bool:
    """Says whether a source is a name of a data set, and not a path.

    What exists on disk comes first. But where the data root is known, the name of a data set of
    the field means that one, also inside of the data root; ``./eurosat`` is then the folder.
    """
    if not isinstance(source, str):
        return False
    of_field = find_benchmark(source) is not None
    if of_field and data_root(root) is not None:
        return True
    return (of_field or is_catalog_name(source)) and not os.path.exists(source)


def open_source(
    source: Path | str,
    root: Path | str | None = None,
    strict: bool = False,
    columns: Columns = BY_NAME,
) -> Source:
    """Read a folder, a table, a saved Hugging Face data set or a data set known by name.

    Args:
        source: Path or name.
        root: The data root, for data sets of the field.
        strict: Whether a file that cannot be used is an error instead of being skipped.
        columns: Columns of a table that are named.

    Raises:
        InterlaceError: It is none of these, or cannot be read.
    """
    from interlace.data.readers.disk import open_path

    if isinstance(source, str) and is_known(source, root):
        if columns != BY_NAME:
            raise InterlaceError(f"{source}: columns are named for tables of your own only")
        return read_catalog(source, root, strict)
    path = Path(source)
    if not os.path.exists(path):
        raise unknown_name(str(source))
    return open_path(path, strict, columns)


def read_catalog(name: str, root: Path | str | None = None, strict: bool = False) -> Source:
    """Read a data set by name.

    Args:
        name: Name of an embedded data set or of one of the field.
        root: The data root, for the latter (``field.read_field``).
        strict: Whether a missing image is an error instead of being skipped.

    Raises:
        InterlaceError: There is none of this name, or it is not below the data root.
    """
    entry = find_benchmark(name)
    if entry is not None:
        return read_field(entry, root, strict)
    prefix, _, rest = name.partition("/")
    collection = COLLECTIONS.get(prefix)
    if collection is None or rest not in collection.names():
        raise unknown_name(name)
    return collection.read(rest)


def unknown_name(name: str) -> InterlaceError:
    """Make the error for a source that is neither on disk nor a data set."""
    shown = printable(name)
    if not is_catalog_name(name):
        close = difflib.get_close_matches(name.lower(), benchmark_names(), n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else ""
        known = hint or ", ".join((*catalog_names(), *benchmark_names()))
        suffix = Path(name).suffix.lower()
        kind = "file" if suffix in TABLES or suffix == ".zip" else "folder"
        return InterlaceError(f"no such {kind}: {shown} (nor a known data set: {known})")
    prefix, _, rest = name.partition("/")
    # compared without the prefix, which would make everything look alike
    close = difflib.get_close_matches(rest, COLLECTIONS[prefix].names(), n=2, cutoff=0.45)
    hint = " or ".join(f"{prefix}/{match}" for match in close)
    known = ", ".join(catalog_names())
    return InterlaceError(
        f"no data set '{shown}': " + (f"did you mean {hint}?" if hint else f"there are {known}")
    )


def _picto_names() -> Sequence[str]:
    from interlace.data.datasets import picto

    return list(picto.task_names())


def _read_picto(name: str) -> Source:
    from interlace.data.datasets import picto

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

    return Source(
        name=f"picto/{name}",
        description=task["description"],
        template=task["template"],
        classes=tuple(task["classes"]),
        pools={"train": records(task["train"]), "test": records(task["test"])},
        cleaned=True,
    )


COLLECTIONS: Mapping[str, Collection] = MappingProxyType(
    {"picto": Collection(_picto_names, _read_picto)}
)
"""Collections by prefix. Their modules are imported when one of their data sets is asked for."""
