"""Names that a text tower can read, out of folder names or a file."""

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from interlace.errors import InterlaceError

ClassNames = Mapping[str, str] | Sequence[str] | Path | str
"""Names by folder, names in the sorted order of the folders, or a file that holds either."""

# "006.american_crow"; "n02085620-Chihuahua" as WordNet numbers its classes
_INDEX = re.compile(r"^(?:\d+\s*[.)]\s*|n\d{8}[-_ ])(?=\D)")
# "AnnualCrop", but not "iPhone" nor "McDonald"
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"\s*[\t,:]\s*")


def clean_class_name(folder: str) -> str:
    """Turns a folder name into words: `"006.american_crow"` becomes `"american crow"`."""
    words = _CAMEL.sub(" ", _INDEX.sub("", folder)).replace("_", " ")
    return " ".join(words.split()) or folder


def clean_class_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Cleans every name, but leaves those as they are that would become the same."""
    cleaned = [clean_class_name(folder) for folder in folders]
    count = Counter(cleaned)
    return tuple(
        name if count[name] == 1 else folder.replace("_", " ")
        for folder, name in zip(folders, cleaned, strict=True)
    )


def resolve_class_names(folders: Sequence[str], names: ClassNames | None) -> tuple[str, ...]:
    """Gives each class folder its name.

    Args:
        folders: Names of the class folders, sorted.
        names: None to clean the folder names; a mapping from folder to name, where folders left
            out are cleaned; a sequence in the order of `folders`; or the path of a file, either
            JSON with one of these or text with one `folder<TAB>name`, `folder,name`,
            `folder:name` or `name` on a line.

    Returns:
        One name per folder, all different.

    Raises:
        InterlaceError: The file cannot be read, a folder does not exist, the number of names is
            wrong, or two classes have the same name.
    """
    if isinstance(names, str | Path):
        names = _read(Path(names), folders)
    if names is None:
        resolved = clean_class_names(folders)
    elif isinstance(names, Mapping):
        resolved = _from_mapping(folders, names)
    else:
        resolved = tuple(str(name).strip() for name in names)
    _check(folders, resolved)
    return resolved


def _from_mapping(folders: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    for folder in names:
        if folder not in folders:
            close = difflib.get_close_matches(folder, folders, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {_listed(folders)}"
            raise InterlaceError(
                f"class names given for a folder '{folder}' that is not there: {hint}"
            )
    cleaned = dict(zip(folders, clean_class_names(folders), strict=True))
    return tuple(str(names.get(folder, cleaned[folder])).strip() for folder in folders)


def _check(folders: Sequence[str], names: Sequence[str]) -> None:
    if len(names) != len(folders):
        raise InterlaceError(
            f"{len(names)} class names for {len(folders)} classes: one is needed for each of "
            f"{_listed(folders)}"
        )
    for folder, name in zip(folders, names, strict=True):
        if not name:
            raise InterlaceError(f"the name of class folder '{folder}' is empty")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InterlaceError(f"two classes are both named '{twice[0]}': give them different names")


def _read(path: Path, folders: Sequence[str]) -> Mapping[str, str] | Sequence[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InterlaceError(f"class names file {path}: {reason}") from None
    except UnicodeDecodeError:
        raise InterlaceError(f"class names file {path}: not UTF-8 text") from None
    if path.suffix.lower() == ".json":
        return _parse_json(path, text)
    return _parse_text(path, text, folders)


def _parse_json(path: Path, text: str) -> Mapping[str, str] | Sequence[str]:
    try:
        names = json.loads(text)
    except json.JSONDecodeError as error:
        raise InterlaceError(f"class names file {path}: not JSON ({error})") from None
    values = list(names.values()) if isinstance(names, dict) else names
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InterlaceError(
            f"class names file {path}: must map folder names to class names, or list class names"
        )
    return names


def _parse_text(path: Path, text: str, folders: Sequence[str]) -> Mapping[str, str] | Sequence[str]:
    """Reads pairs if the first part of any line is a folder, and plain names otherwise."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    pairs = [_SEPARATOR.split(line, maxsplit=1) for _, line in lines]
    if not any(len(pair) == 2 and pair[0] in folders for pair in pairs):
        return [line for _, line in lines]
    for (number, line), pair in zip(lines, pairs, strict=True):
        if len(pair) != 2:
            raise InterlaceError(
                f"class names file {path}, line {number}: '{line}' is not 'folder<TAB>name' as "
                "other lines are"
            )
    return {folder: name for folder, name in pairs}


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
