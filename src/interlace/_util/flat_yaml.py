"""Settings as people write them: a flat YAML mapping, and the value after ``key=``.

Of YAML only what settings need is read: names, plain values and lists of these. Everything else
(tags, anchors, nesting, several documents) is refused, so nothing is made and nothing expands. Of
the many ways in which YAML 1.1 spells a number only decimal ones count: ``010`` is not 8, ``1:30``
not 90 and ``2026-01-01`` no date; they stay the texts that they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from interlace._util.reading import read_text
from interlace._util.schema import LONGEST, shown
from interlace._util.text import first_line, printable
from interlace.errors import InterlaceError

#: Bytes that a file of settings may have: some thousand prompts.
BYTES = 1 << 18
#: Settings that a file may have.
MOST = 1_000

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,2}(_[0-9]{3})+|[1-9][0-9]{0,39})", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,9})?", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]", re.ASCII)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null"), None),
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}


def read_flat_yaml(path: Path | str) -> dict[str, Any]:
    """Read a file that maps names to plain values, or to lists of them.

    Args:
        path: a YAML file in UTF-8; an empty one holds nothing.

    Raises:
        InterlaceError: naming the file, the line and what is there instead.
    """
    where = printable(str(path))
    parts = _parts(read_text(path, "file of settings", BYTES), where)
    found: dict[str, Any] = {}
    first = next(parts, None)
    if first is None:
        return found
    empty = first.kind == "value" and first.value is None
    if first.kind != "mapping" and not empty:
        _refuse(where, first.line, "expected the names of settings with values, such as lr: 1e-3")
    for name in () if empty else parts:
        if name.kind == "end":
            break
        if name.kind != "value" or not name.text:
            _refuse(where, name.line, "the name of a setting must be a word")
        if name.text in found:
            _refuse(where, name.line, f"{shown(name.text)} is set a second time")
        if len(found) == MOST:
            _refuse(where, name.line, f"more than {MOST:,} settings")
        found[name.text] = _value(parts, where, name.text)
    for more in parts:
        _refuse(where, more.line, "a second document; one is read")
    return found


def read_value(text: str) -> Any:
    """Read a value as it stands after ``key=``: a word or number, a quoted text, or a list.

    A value that begins with neither a quote nor ``[`` is taken as it is, with every ``#``, ``:`` or
    ``{`` in it.

    Raises:
        InterlaceError: if a quote or a list is not closed, or the list nests.
    """
    text = text.strip()
    if text[:1] not in ("'", '"', "["):
        return plain(text)
    parts = _parts(text, "")
    try:
        value = _value(parts, "", "it")
        for more in parts:
            _refuse("", more.line, "more than one value")
    except InterlaceError:
        raise InterlaceError(
            f"{shown(text)}: expected a text in quotes, or a list such as ['a {{}}', 'one {{}}']"
        ) from None
    return value


def read_settings(path: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a flat YAML file, overridden by ``key=value`` strings.

    Args:
        path: a YAML file that maps names to plain values or lists of them, or None.
        assignments: strings such as ``lr=1e-3``; of two for one name the later holds. A value is
            read as a number, true or false, null, a list in brackets, or else as the text it is.

    Raises:
        InterlaceError: if the file is missing or no such mapping, or a string has no ``=``.
    """
    settings = {} if path is None else read_flat_yaml(path)
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or not name.strip():
            raise InterlaceError(f"{shown(assignment)}: expected key=value, such as lr=1e-3")
        settings[name.strip()] = read_value(text)
    return settings


def plain(text: str) -> Any:
    """Say what an unquoted word means: null, true or false, a decimal number, or itself."""
    if text in (text.lower(), text.title(), text.upper()) and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.match(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


class _Part(NamedTuple):
    kind: str  # "value", "list", "mapping" or "end"
    line: int
    text: str = ""
    value: Any = None


def _value(parts: Iterator[_Part], where: str, name: str) -> Any:
    """Return the next value, or list of values."""
    part = next(parts)
    if part.kind == "value":
        return part.value
    if part.kind == "list":
        items: list[Any] = []
        for item in parts:
            if item.kind == "end":
                return items
            if item.kind != "value" or len(items) == LONGEST:
                break
            items.append(item.value)
    _refuse(where, part.line, f"{shown(name)} must be a plain value, or a list of plain values")


def _parts(text: str, where: str) -> Iterator[_Part]:
    """Return what YAML text consists of, made one by one, so that nothing is built ahead."""
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                _refuse(where, line, "anchors and aliases (& and *) are not read")
            if getattr(event, "tag", None):
                _refuse(where, line, "tags (!) are not read")
            if isinstance(event, yaml.ScalarEvent):
                value = event.value if event.style else plain(event.value)
                yield _Part("value", line, event.value, value)
            elif isinstance(event, yaml.MappingStartEvent):
                yield _Part("mapping", line)
            elif isinstance(event, yaml.SequenceStartEvent):
                yield _Part("list", line)
            elif isinstance(event, yaml.CollectionEndEvent):
                yield _Part("end", line)
    except InterlaceError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        _refuse(where, line, f"not YAML ({error.problem or error.context})")
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # the scanner hands on what it cannot make of an escape or a version
        raise InterlaceError(f"{where}: not YAML ({first_line(error)})") from None


def _refuse(where: str, line: int, why: str) -> NoReturn:
    raise InterlaceError(f"{where}, line {line}: {printable(why)}") from None
