"""Data sets that a program or an installed package adds to those that Interlace knows by name.

A package names what it adds in its ``pyproject.toml``::

    [project.entry-points."interlace.datasets"]
    birds = "my_package.data:birds"

where ``birds(root)`` returns a ``Source`` and ``root`` is the data root or None. In place of the
function there may be a ``Collection``, whose data sets are then called ``birds/<name>``.
``register`` does the same for the running process, without a package.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from interlace._util.plugins import Extension, extensions
from interlace._util.text import first_line, listed, printable
from interlace.data.datasets.benchmarks import find_benchmark
from interlace.data.records import Record
from interlace.data.source import Source
from interlace.errors import InterlaceError

GROUP = "interlace.datasets"
"""The entry-point group of data sets."""

DatasetReader = Callable[[Path | None], Source]
"""Read one data set; the argument is the data root, None where none is known."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RESERVED = ("picto", "suite", "suite-dev", "suite-shifts")


@dataclass(frozen=True, slots=True)
class Collection:
    """Several data sets below one prefix, read when one of them is asked for.

    Attributes:
        names: Lists their names, without the prefix.
        read: Reads one by its name, given the data root or None.
        source: Name of the one that transfer to the others starts from, where that is settled.
        shifts: Prefix of the collection that holds shifted variants of ``source``.
    """

    names: Callable[[], Sequence[str]]
    read: Callable[[str, Path | None], Source]
    source: str = ""
    shifts: str = ""


EntryT = TypeVar("EntryT", bound=DatasetReader | Collection)


@dataclass(frozen=True, slots=True)
class AddedDataset:
    """What is added under one name; nothing of it is imported before it is needed.

    Attributes:
        name: The name of the data set, or the prefix of a collection.
        origin: Who adds it, for messages.
        place: Module and name of the reader, where that is known.
        load: Returns the reader or the collection.
    """

    name: str
    origin: str
    place: tuple[str, str]
    load: Callable[[], Any]

    def entry(self) -> DatasetReader | Collection:
        """Import the reader or the collection.

        Raises:
            InterlaceError: It cannot be imported, or is neither of the two.
        """
        found = self.load()
        if isinstance(found, Collection):
            return found
        if callable(getattr(found, "names", None)) and callable(getattr(found, "read", None)):
            return Collection(found.names, found.read)
        if callable(found):
            reader: DatasetReader = found
            return reader
        raise InterlaceError(
            f"data set '{self.name}' of {self.origin}: must be a function of the data root or have "
            f"names() and read(name, root), not {type(found).__name__}"
        )

    def names(self) -> tuple[str, ...]:
        """List the full names of its data sets.

        Raises:
            InterlaceError: It cannot be imported, or does not list its names.
        """
        entry = self.entry()
        if not isinstance(entry, Collection):
            return (self.name,)
        failure = f"data sets '{self.name}' of {self.origin} cannot be listed"
        names = _called(failure, lambda: tuple(entry.names()))
        if wrong := [name for name in names if not isinstance(name, str) or not name]:
            raise InterlaceError(f"{failure}: {printable(repr(wrong[0]))}: a name must be text")
        return tuple(f"{self.name}/{name}" for name in names)

    def read(self, rest: str, root: Path | None) -> Source:
        """Read a data set, and check that it can be one.

        Args:
            rest: Its name below the prefix of a collection, "" where there is no prefix.
            root: The data root, None where none is known.

        Raises:
            InterlaceError: It cannot be read, or is not as ``Source`` describes.
        """
        entry = self.entry()
        name = f"{self.name}/{rest}" if rest else self.name
        where = f"data set '{name}' of {self.origin}"
        if isinstance(entry, Collection):
            source = _called(f"{where} cannot be read", entry.read, rest, root)
        else:
            source = _called(f"{where} cannot be read", entry, root)
        if not isinstance(source, Source):
            raise InterlaceError(f"{where}: returned {type(source).__name__}, not a Source")
        if wrong := _called(
            f"{where} is not as Source describes", lambda: next(_faults(source), "")
        ):
            raise InterlaceError(f"{where}: {wrong}")
        return replace(source, name=name, classes=tuple(source.classes))


_registered: dict[str, Any] = {}


def register(name: str) -> Callable[[EntryT], EntryT]:
    """Make a data set known by name in this process: ``@register("birds")``.

    Worker processes do not see it: for ``interlace bench`` and the command line, a package names
    its data sets as entry points.

    Args:
        name: What ``FewShotTask.load`` and the commands call it: letters, digits, ``-``, ``_`` and
            ``.``.

    Returns:
        A decorator of the function that reads it, or a function that takes a ``Collection``.

    Raises:
        InterlaceError: The name is not allowed, or taken.
    """
    if wrong := _not_a_name(name):
        raise InterlaceError(f"data set {wrong}")

    def add(entry: EntryT) -> EntryT:
        other = find_added(name)
        # not another one: a notebook's cell run again, or the function an entry point names
        if other is not None and other.place != _place(entry):
            raise InterlaceError(f"data set '{name}': {other.origin} adds one of this name already")
        _registered[name] = entry
        return entry

    return add


def added() -> tuple[AddedDataset, ...]:
    """List what is added, by name; ``problems`` names what cannot be used of it."""
    found = [
        AddedDataset(name, "this program", _place(entry), partial(_same, entry))
        for name, entry in _registered.items()
    ]
    for name, group in groupby(extensions(GROUP), key=lambda one: one.name):
        if name not in _registered and not _not_a_name(name):
            found.append(_offered(name, list(group)))
    return tuple(sorted(found, key=lambda one: one.name))


def _offered(name: str, own: Sequence[Extension]) -> AddedDataset:
    """Return what one package adds under a name; of two, what says so when it is loaded."""
    origins = [f"the package '{one.package or 'unknown'}'" for one in own]
    place = (own[0].entry.module, own[0].entry.attr)

    def refuse() -> Any:
        raise InterlaceError(
            f"data set '{name}' is added by {' and by '.join(origins)}: remove one of them"
        )

    return AddedDataset(name, listed(origins), place, own[0].load if len(own) == 1 else refuse)


def find_added(name: str) -> AddedDataset | None:
    """Find what is added under a name, or under the prefix before its slash."""
    prefix = name.partition("/")[0]
    return next((one for one in added() if one.name == prefix), None)


def problems() -> tuple[str, ...]:
    """Say of each package whose data sets cannot be used why, in one line."""
    found = []
    for one in extensions(GROUP):
        if wrong := _not_a_name(one.name):
            found.append(f"the package '{one.package or 'unknown'}' adds data set {wrong}")
    for own in added():
        try:
            own.names()
        except InterlaceError as error:
            found.append(first_line(error))
    return tuple(found)


def _not_a_name(name: str) -> str:
    """Say why a data set cannot be called so, or ""."""
    if not _NAME.fullmatch(name):
        return f"'{printable(name)}': a name has letters, digits, '-', '_' and '.' only"
    if find_benchmark(name) is not None or name in _RESERVED:
        return f"'{name}': that is the name of one that Interlace reads itself"
    return ""


def _same(entry: Any) -> Any:
    return entry


def _place(entry: object) -> tuple[str, str]:
    """Return the module and the name of a function; of anything else, what only it has."""
    name = getattr(entry, "__qualname__", "")
    return (getattr(entry, "__module__", ""), name) if name else ("", str(id(entry)))


def _called(failure: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except InterlaceError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody else's code raises
        raise InterlaceError(f"{failure}: {type(error).__name__}: {first_line(error)}") from None


def _faults(source: Source) -> Iterator[str]:
    """Say what in a source would fail later, where nobody could tell whose fault it is."""
    template: object = source.template
    if not isinstance(template, str) or template.count("{}") != 1:
        yield f"template {printable(repr(template))}: must be text that holds {{}} once"
    if len(source.classes) < 2 or not all(isinstance(name, str) for name in source.classes):
        yield f"{len(source.classes)} classes: at least two names are needed"
    if not source.published and len(set(source.classes)) < len(source.classes):
        yield "two classes have the same name"
    if wrong := sorted(set(source.pools) - {"train", "val", "test"}):
        yield f"part '{printable(str(wrong[0]))}': must be train, val or test"
    met: set[str] = set()
    records: Iterable[object] = source.records()
    for record in records:
        if not isinstance(record, Record):
            yield f"an image is {type(record).__name__}, not a Record"
            return
        key: object = record.key
        image: object = record.image
        if not isinstance(key, str) or not key:
            yield f"an image has the key {printable(repr(key))}: it must be text"
        if not isinstance(image, Path | bytes):
            kind = type(image).__name__
            yield f"{printable(record.key)}: {kind}: an image must be a Path or encoded bytes"
        if type(record.label) is not int or not 0 <= record.label < len(source.classes):
            yield f"{printable(record.key)}: label {record.label} of {len(source.classes)} classes"
        if record.key in met:
            yield f"two images have the key '{printable(record.key)}'"
        met.add(record.key)
    if not met:
        yield "there are no images"
