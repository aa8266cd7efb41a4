"""Look data sets up by name: embedded, standard benchmarks, and what packages add."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from interlace._util.text import did_you_mean, first_line, printable
from interlace.data.datasets.benchmarks import (
    benchmark_names,
    data_root,
    find_benchmark,
    read_benchmark,
)
from interlace.data.datasets.embedded import picto_names, read_picto, read_suite, suite_names
from interlace.data.datasets.extensions import Collection, added, find_added
from interlace.data.readers.columns import BY_NAME, Columns
from interlace.data.readers.disk import open_path
from interlace.data.readers.folder import refuse_strict
from interlace.data.readers.table_files import TABLES
from interlace.data.source import Source
from interlace.errors import InterlaceError


def _of_suite(name: str, source: str = "", shifts: str = "") -> Collection:
    return Collection(partial(suite_names, name), partial(read_suite, name), source, shifts)


COLLECTIONS: Mapping[str, Collection] = MappingProxyType(
    {
        "picto": Collection(picto_names, read_picto),
        "suite": _of_suite("suite", "kinds", "suite-shifts"),
        "suite-dev": _of_suite("suite-dev"),
        "suite-shifts": _of_suite("suite-shifts"),
    }
)
"""The embedded collections by prefix."""


def embedded_names() -> tuple[str, ...]:
    """List the embedded data sets, sorted."""
    return tuple(
        sorted(f"{prefix}/{name}" for prefix, own in COLLECTIONS.items() for name in own.names())
    )


def added_names() -> tuple[str, ...]:
    """List the data sets that packages and ``register`` add, without those that cannot be used."""
    found: list[str] = []
    for one in added():
        try:
            found += one.names()
        except InterlaceError:  # ``extensions.problems`` names it
            continue
    return tuple(found)


def catalog_names() -> tuple[str, ...]:
    """List what can be read without a data root: embedded data sets, and those that are added.

    ``benchmarks.benchmark_names`` lists the standard benchmarks.
    """
    return tuple(sorted((*embedded_names(), *added_names())))


def is_catalog_name(name: str) -> bool:
    """Say whether a name is of an embedded or added data set, or begins with its prefix."""
    return name.partition("/")[0] in COLLECTIONS or find_added(name) is not None


def expand(name: str) -> tuple[str, ...]:
    """Return data sets of a collection for its prefix (``"picto"``), and any other name itself."""
    if "/" not in name and is_catalog_name(name) and not os.path.exists(name):
        return siblings(f"{name}/") or (name,)
    return (name,)


def siblings(name: str) -> tuple[str, ...]:
    """List the data sets of the collection that a name belongs to; none for a single data set."""
    prefix, slash, _ = name.partition("/")
    own = COLLECTIONS.get(prefix)
    if own is not None:
        names = tuple(f"{prefix}/{rest}" for rest in own.names())
    else:
        other = find_added(prefix)
        names = () if other is None else other.names()
    return tuple(sorted(one for one in names if slash and one.startswith(f"{prefix}/")))


def transfer_source(name: str) -> str:
    """Return the data set that transfer starts from for the prefix of a collection, else ""."""
    own = COLLECTIONS.get(name)
    if own is None or not own.source or os.path.exists(name):
        return ""
    return f"{name}/{own.source}"


def shifted(name: str) -> tuple[str, ...]:
    """List the shifted variants of the data set that transfer starts from; none of any other."""
    prefix = name.partition("/")[0]
    own = COLLECTIONS.get(prefix)
    if own is None or not own.shifts or name != transfer_source(prefix):
        return ()
    return siblings(f"{own.shifts}/")


def is_known(source: Path | str, root: Path | str | None = None) -> bool:
    """Say whether a source is a name of a data set, and not a path.

    What exists on disk comes first. But where the data root is known, the name of a standard
    benchmark means that one, also inside of the data root; ``./eurosat`` is then the folder.
    """
    if not isinstance(source, str):
        return False
    is_benchmark = find_benchmark(source) is not None
    if is_benchmark and data_root(root) is not None:
        return True
    return (is_benchmark or is_catalog_name(source)) and not os.path.exists(source)


def open_source(
    source: Path | str,
    root: Path | str | None = None,
    strict: bool = False,
    columns: Columns = BY_NAME,
) -> Source:
    """Read a folder, a table, a saved Hugging Face data set or a data set known by name.

    Args:
        source: Path or name.
        root: The data root, for standard benchmarks.
        strict: Whether a file that cannot be used is an error instead of being skipped.
        columns: Columns of a table that are named.

    Raises:
        InterlaceError: It is none of these, or cannot be read.
    """
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
        name: Name of an embedded data set, of a standard benchmark or of one that is added.
        root: The data root, for the two latter.
        strict: Whether a missing image is an error instead of being skipped.

    Raises:
        InterlaceError: There is none of this name, or it is not below the data root.
    """
    entry = find_benchmark(name)
    if entry is not None:
        return read_benchmark(entry, root, strict)
    prefix, _, rest = name.partition("/")
    collection = COLLECTIONS.get(prefix)
    if collection is not None and rest in collection.names():
        return collection.read(rest, data_root(root))
    other = None if collection is not None else find_added(prefix)
    if other is None or name not in other.names():
        raise unknown_name(name)
    source = other.read(rest, data_root(root))
    refuse_strict(name, strict, source.skipped, source.problems)
    return source


def unknown_name(name: str) -> InterlaceError:
    """Make the error for a source that is neither on disk nor a data set."""
    shown = printable(name)
    if not is_catalog_name(name):
        known = (*COLLECTIONS, *added_names(), *benchmark_names())
        hint = did_you_mean(name.lower(), benchmark_names() + added_names(), 2) or ", ".join(known)
        suffix = Path(name).suffix.lower()
        kind = "file" if suffix in TABLES or suffix == ".zip" else "folder"
        return InterlaceError(f"no such {kind}: {shown} (nor a known data set: {hint})")
    prefix = name.partition("/")[0]
    try:
        own = siblings(f"{prefix}/") or (prefix,)
    except InterlaceError as error:
        return InterlaceError(f"no data set '{shown}': {first_line(error)}")
    # the prefix makes everything look alike
    hint = did_you_mean(name, own, 2, cutoff=0.75)
    return InterlaceError(f"no data set '{shown}': {hint or 'there are ' + ', '.join(own)}")
