"""Names that a text tower can read, out of folder names or a file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from interlace._util.reading import parse_json, read_text
from interlace._util.text import did_you_mean, listed, printable
from interlace.errors import InterlaceError

ClassNames = Mapping[str, str] | Sequence[str] | Path | str
"""Names by folder, names in the sorted order of the folders, or a file that holds either."""

# "006.american_crow"; "n02085620-Chihuahua" as WordNet numbers its classes
_INDEX = re.compile(r"^(?:\d+\s*[.)]\s*|n\d{8}[-_ ])(?=\D)")
# "AnnualCrop", but not "iPhone" nor "McDonald"
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"\s*[\t,:]\s*")


def clean_class_name(folder: str) -> str:
    """Turn a folder name into words: ``"006.american_crow"`` becomes ``"american crow"``."""
    words = _CAMEL.sub(" ", _INDEX.sub("", folder)).replace("_", " ")
    # control characters say nothing to a text tower, and no prompt may have them
    plain = "".join(c if c.isspace() or printable(c) == c else " " for c in words)
    return " ".join(plain.split()) or folder


def clean_class_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Clean every name, but leave those that would become the same as they are."""
    cleaned = [clean_class_name(folder) for folder in folders]
    count = Counter(cleaned)
    return tuple(
        name if count[name] == 1 else folder.replace("_", " ")
        for folder, name in zip(folders, cleaned, strict=True)
    )


def resolve_class_names(
    folders: Sequence[str], names: ClassNames | None, numbered: bool = False
) -> tuple[str, ...]:
    """Give each class folder its name.

    Args:
        folders: Names of the class folders, sorted; or labels, in their order.
        names: None to clean the folder names; a mapping from folder to name, where folders left
            out are cleaned; a sequence in the order of ``folders``; or the path of a file, either
            JSON with one of these or text with one ``folder<TAB>name``, ``folder,name``,
            ``folder:name`` or ``name`` on a line. Composed and decomposed accents are the same.
        numbered: Whether ``folders`` are in the order of their numbers, as labels of tables are; a
            plain list of names then follows this order.

    Returns:
        One name per folder, all different: ``zip(folders, names)`` is the mapping.

    Raises:
        InterlaceError: The file cannot be read, a folder does not exist, the number of names is
            wrong, two classes have the same name, or a plain list is given for folders that are
            numbered and sorted as text (1, 10, 11, 2), which it would hardly follow.
    """
    if isinstance(names, str | Path):
        names = _read(Path(names), folders)
    if names is None:
        resolved = clean_class_names(folders)
    elif isinstance(names, Mapping):
        resolved = _from_mapping(folders, names)
    else:
        resolved = tuple(_name(name) for name in names)
        if not numbered:
            _check_order(folders, resolved)
    _check(folders, resolved)
    return resolved


def remembered_names(folders: Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """Give the class folders of a data set the names that an earlier one gave to these folders.

    Args:
        folders: What the data set calls its classes (``Source.classes``, ``FewShotTask.folders``).
        known: Name by folder, as a run keeps it; folders that it lacks are cleaned, and those that
            are not there do not matter.

    Raises:
        InterlaceError: Two classes would have the same name.
    """
    there = {_composed(folder) for folder in folders}
    own = {folder: name for folder, name in known.items() if _composed(folder) in there}
    return resolve_class_names(folders, own)


def notes_on_names(
    folders: Sequence[str], names: Sequence[str], given: ClassNames | None
) -> tuple[str, ...]:
    """Say which class has which name, and which names mean nothing to a text tower."""
    notes = []
    if given is not None:
        pairs = [f"{folder} -> {name}" for folder, name in zip(folders, names, strict=True)]
        notes.append(f"class names: {listed(pairs, 12)}")
    numbers = [name for name in names if _is_number(name)]
    if numbers:
        which = "the class names are" if len(numbers) == len(names) else "some class names are"
        notes.append(
            f"{which} mere numbers ({listed(numbers, 3)}): 'a photo of a {numbers[0]}.' says "
            "nothing of the images: give their names (--class-names FILE, class_names=...) with "
            f"lines such as '{folders[names.index(numbers[0])]}<TAB>name'"
        )
    return tuple(notes)


def _check_order(folders: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a plain list where the order of the folders is not the one a list would follow.

    Raises:
        InterlaceError: All folders are numbers, or text order and number order of names that
            differ in a number alone (``class_2``, ``class_10``) are not the same.
    """
    if len(names) != len(folders) or len(folders) < 2:
        return
    digits = [re.findall(r"\d+", folder) for folder in folders]
    alike = len({re.sub(r"\d+", "0", folder) for folder in folders}) == 1 and digits[0]
    shuffled = alike and [list(map(int, own)) for own in digits] != sorted(
        list(map(int, own)) for own in digits
    )
    if shuffled or all(_is_number(folder) for folder in folders):
        first, second = folders[:2]
        raise InterlaceError(
            f"a plain list of class names beside folders that are numbers ({listed(folders, 4)}): "
            f"say which is which with lines such as '{first}<TAB>name' and '{second}<TAB>name'"
        )


def _is_number(name: str) -> bool:
    return re.fullmatch(r"[+-]?\d+([.,]\d+)?", name.strip()) is not None


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise InterlaceError(f"class name {value!r}: must be a text")
    name = unicodedata.normalize("NFC", value).strip()
    if printable(name) != name:
        raise InterlaceError(
            f"class name '{printable(name)}': holds a character that no prompt can have"
        )
    return name


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _from_mapping(folders: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    there = {_composed(folder): folder for folder in folders}
    given: dict[str, str] = {}
    for written, name in names.items():
        folder = there.get(_composed(str(written)))
        if folder is None:
            hint = did_you_mean(str(written), folders) or f"there are {listed(folders)}"
            raise InterlaceError(
                f"class names given for a folder '{printable(str(written))}' that is not there: "
                f"{hint}"
            )
        if folder in given:  # with its accents composed, and once more decomposed
            raise InterlaceError(f"two class names are given for folder '{printable(folder)}'")
        given[folder] = _name(name)
    cleaned = dict(zip(folders, clean_class_names(folders), strict=True))
    return tuple(given.get(folder, cleaned[folder]) for folder in folders)


def _check(folders: Sequence[str], names: Sequence[str]) -> None:
    if len(names) != len(folders):
        raise InterlaceError(
            f"{len(names)} class names for {len(folders)} classes: one is needed for each of "
            f"{listed(folders)}"
        )
    for folder, name in zip(folders, names, strict=True):
        if not name:
            raise InterlaceError(f"the name of class folder '{printable(folder)}' is empty")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InterlaceError(
            f"two classes are both named '{printable(twice[0])}': give them different names"
        )


def _read(path: Path, folders: Sequence[str]) -> Mapping[str, str] | Sequence[str]:
    try:
        text = read_text(path)
    except InterlaceError as error:
        raise InterlaceError(f"class names file {error}") from None
    if path.suffix.lower() == ".json":
        return _parse_json(path, text)
    return _parse_text(path, text, folders)


def _parse_json(path: Path, text: str) -> Mapping[str, str] | Sequence[str]:
    names = parse_json(text, f"class names file {path}")
    values = list(names.values()) if isinstance(names, dict) else names
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InterlaceError(
            f"class names file {path}: must map folder names to class names, or list class names"
        )
    return names if isinstance(names, dict) else values


def _parse_text(path: Path, text: str, folders: Sequence[str]) -> Mapping[str, str] | Sequence[str]:
    """Read pairs if the first part of any line is a folder, and plain names otherwise."""
    there = {_composed(folder) for folder in folders}
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    pairs = [_SEPARATOR.split(line, maxsplit=1) for _, line in lines]
    if not any(len(pair) == 2 and _composed(pair[0]) in there for pair in pairs):
        return [line for _, line in lines]
    named: dict[str, str] = {}
    for (number, line), pair in zip(lines, pairs, strict=True):
        where = f"class names file {path}, line {number}"
        if len(pair) != 2:
            raise InterlaceError(
                f"{where}: '{printable(line)}' is not 'folder<TAB>name' as other lines are"
            )
        if pair[0] in named:
            raise InterlaceError(f"{where}: folder '{printable(pair[0])}' stands there twice")
        named[pair[0]] = pair[1]
    return named
