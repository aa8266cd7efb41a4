"""Read few-shot draws that other code made, so that the same images are trained on."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from interlace._util.text import printable
from interlace.data.readers.columns import rows_of
from interlace.data.readers.stored_pickles import read_pickle
from interlace.data.readers.table_files import read_json_lines
from interlace.data.records import Record
from interlace.data.source import Source
from interlace.data.splits import Split, keys_of
from interlace.errors import InterlaceError

_SEED = re.compile(r"seed[-_]?([0-9]{1,18})(?![0-9])")


@dataclass(frozen=True, slots=True)
class Shot:
    """An image of a draw: its path on some machine, its label and its class name, if given."""

    path: str
    label: int | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Draw:
    """A few-shot draw as a file holds it.

    Attributes:
        file: The file.
        train: Its training images; ``val`` likewise.
    """

    file: Path
    train: tuple[Shot, ...]
    val: tuple[Shot, ...]

    def split(self, source: Source, classes: Sequence[str] | None = None) -> Split:
        """Find the images of the draw in a data set.

        An image is found by the end of its path, so it does not matter where the draw was made.

        Args:
            source: The data set.
            classes: Names of its classes in the task, where they differ from the source's.

        Returns:
            A split with these shots and validation shots; the test images are the data set's own,
            or else all that the draw left over. Shots per class is the largest number that a
            class has, and the seed is the file name's (0 if it has none).

        Raises:
            InterlaceError: An image is not in the data set, or has another class there.
        """
        by_key = {_composed(record.key): record for record in source.records()}
        by_key |= {record.key: record for record in source.records()}
        train = tuple(self._find(shot, by_key, source) for shot in self.train)
        val = tuple(self._find(shot, by_key, source) for shot in self.val)
        used = {record.key for record in (*train, *val)}
        if len(used) < len(train) + len(val):
            twice = Counter(record.key for record in (*train, *val)).most_common(1)[0][0]
            raise InterlaceError(f"{self.file}: {twice} is drawn twice")
        test = source.pools.get("test")
        if test is None:
            test = tuple(record for record in source.records() if record.key not in used)
        in_name = _SEED.search(self.file.stem)
        return Split(
            name=source.name,
            seed=int(in_name[1]) if in_name else 0,
            shots=max(Counter(record.label for record in train).values(), default=0),
            classes=tuple(classes or source.classes),
            train=keys_of(train),
            val=keys_of(val),
            test=keys_of(test),
        )

    def _find(self, shot: Shot, by_key: dict[str, Record], source: Source) -> Record:
        parts = PurePosixPath(shot.path.replace("\\", "/")).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        spellings = (own for end in ends for own in (end, _composed(end)))
        record = next((by_key[own] for own in spellings if own in by_key), None)
        if record is None:
            raise InterlaceError(f"{self.file}: {printable(shot.path)} is not in {source.name}")
        # a draw over a part of the classes may number them anew, so a name says more than a label
        there, shown = source.classes[record.label], printable(shot.path)
        if shot.name is not None and _plain(shot.name) != _plain(there):
            raise InterlaceError(
                f"{self.file}: {shown} is of class '{printable(shot.name)}', which {source.name} "
                f"has as '{there}'"
            )
        if shot.name is None and shot.label is not None and shot.label != record.label:
            raise InterlaceError(
                f"{self.file}: {shown} has label {shot.label}, which {source.name} has as "
                f"{record.label}"
            )
        return record


def read_draw(path: Path | str) -> Draw:
    """Read a draw.

    Args:
        path: A pickle as CoOp and its forks leave in ``split_fewshot/``
            (``shot_<k>-seed_<s>.pkl``), from which nothing but plain records can come; or a
            ``.jsonl`` file with one image per line, with the keys of ``columns.COLUMN_OPTIONS``,
            where a part says which images validate.

    Raises:
        InterlaceError: The file is something else, or holds anything but such records.
    """
    path = Path(path)
    if path.suffix.lower() in (".pkl", ".pickle"):
        train, val = _read_pickle(path)
    elif path.suffix.lower() == ".jsonl":
        train, val = _read_json_lines(path)
    else:
        raise InterlaceError(f"{path}: a stored draw is a .json, .pkl or .jsonl file")
    if not train:
        raise InterlaceError(f"{path}: holds no training images")
    return Draw(path, train, val)


def _read_json_lines(path: Path) -> tuple[tuple[Shot, ...], tuple[Shot, ...]]:
    shots: dict[str, list[Shot]] = {"train": [], "val": []}
    for row in rows_of(read_json_lines(path), path):
        own = shots.get(row.part or "train")
        if own is not None:
            label = int(row.label) if re.fullmatch("[0-9]{1,18}", row.label) else None
            name = row.name or (row.label if label is None else "")
            if not isinstance(row.image, str):
                raise InterlaceError(f"{row.where}: no path of an image")
            own.append(Shot(row.image, label, name or None))
    return tuple(shots["train"]), tuple(shots["val"])


def _read_pickle(path: Path) -> tuple[tuple[Shot, ...], tuple[Shot, ...]]:
    train, val = read_pickle(path)
    return tuple(_shot(item, path) for item in train), tuple(_shot(item, path) for item in val)


def _shot(item: object, path: Path) -> Shot:
    values = vars(item)
    image, label, name = (values.get(key) for key in ("_impath", "_label", "_classname"))
    if type(image) is not str or type(label) is not int or type(name) is not str:
        raise InterlaceError(f"{path}: an image without a path, a label or a class name")
    return Shot(image, label, name or None)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _plain(name: str) -> str:
    return _composed(name).replace("_", " ").strip().lower()
