"""The header of a bundle, ``bundle.json``, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from interlace._util.reading import read_json_object
from interlace._util.text import printable
from interlace.errors import InterlaceError

BUNDLE_FORMAT = 1
HEADER = "bundle.json"
TENSORS = "adapted.safetensors"
SPLIT = "split.json"
#: Files that the command line adds to a run, before the header.
RESULT, PICTURE = "result.json", "confusion.png"

FieldCheck = Callable[[Any], bool]


def read_header(folder: Path) -> dict[str, Any]:
    """Read ``bundle.json`` and check that every field is there and of the right type.

    Fields that this version does not know are kept; a later version that changes the meaning of
    known ones has another format number.

    Raises:
        InterlaceError: if ``folder`` holds no bundle, a damaged one, or one of another format.
    """
    path = folder / HEADER
    where = printable(str(path))
    if not _is_there(path):
        raise InterlaceError(
            f"{printable(str(folder))} holds no adapted model ({HEADER} is missing); "
            "make one with interlace fit"
        )
    try:
        header = read_json_object(path, "header")
    except InterlaceError as error:
        raise InterlaceError(f"cannot read {error}") from None
    if type(header.get("format")) is not int or header["format"] != BUNDLE_FORMAT:
        raise InterlaceError(f"{where}: format {BUNDLE_FORMAT} expected; made by another version?")
    header = {**_ADDED, **header}
    _check(header, _FIELDS, where)
    header["backbone"] = {"configuration": "", **header["backbone"]}
    _check(header["backbone"], _BACKBONE, f"{where}: backbone")
    _check(header["run"], _RUN, f"{where}: run")
    return header


def _check(
    fields: Mapping[str, Any], checks: Mapping[str, tuple[str, FieldCheck]], where: str
) -> None:
    for name, (kind, fits) in checks.items():
        if name not in fields:
            raise InterlaceError(f"{where}: the field {name} is missing; is the file damaged?")
        if not fits(fields[name]):
            raise InterlaceError(f"{where}: {name} is not {kind}; is the file damaged?")


def _is_there(path: Path) -> bool:
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _all(of: FieldCheck) -> FieldCheck:
    return lambda value: isinstance(value, list) and all(map(of, value))


def _some(of: FieldCheck) -> FieldCheck:
    return lambda value: bool(value) and _all(of)(value)


def _or_null(of: FieldCheck) -> FieldCheck:
    return lambda value: value is None or of(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and value.count("{}") == 1


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 16 and set(value) <= set("0123456789abcdef")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and all(
        type(number) in (int, float) and math.isfinite(number) for number in value.values()
    )


def _is_template(value: Any) -> bool:
    return _is_prompt(value) or _some(_is_prompt)(value)


def _is_naming(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_name, value.values()))


_TEXT: tuple[str, FieldCheck] = ("text", _is_text)
_OBJECT: tuple[str, FieldCheck] = ("an object", _is_object)
_FIELDS: dict[str, tuple[str, FieldCheck]] = {
    "backbone": _OBJECT,
    "run": _OBJECT,
    "split_hash": _TEXT,
    "classes": ("a list of names", _some(_is_name)),
    "trained_classes": ("a list of names", _all(_is_name)),
    "template": ("a prompt with {}, or a list of such", _is_template),
    "shots": ("a list of hashes of 16 hex digits", _all(_is_hash)),
    "history": ("a list of rows of numbers", _all(_is_row)),
    "shot_sizes": ("null or a list of sizes in bytes", _or_null(_all(_is_count))),
    "class_names": ("an object of names", _is_naming),
    "published": ("true or false", lambda value: isinstance(value, bool)),
}
_BACKBONE = {"source": _TEXT, "fingerprint": _TEXT, "configuration": _TEXT}
_RUN: dict[str, tuple[str, FieldCheck]] = {
    "method": _TEXT,
    "arguments": _OBJECT,
    "train": _OBJECT,
    "seed": ("a whole number of at least 0", _is_count),
    "preset": ("text or null", _or_null(_is_text)),
}
#: Fields that the first bundles lack.
_ADDED: dict[str, Any] = {"shot_sizes": None, "class_names": {}, "published": False}
