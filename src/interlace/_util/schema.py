"""What a setting may be, read from its annotation; one line where a value is something else."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from interlace.errors import InterlaceError

#: Characters of a text, and items of a list, that a setting may have.
LONGEST = 10_000
#: How deep a value without an annotation may nest.
DEEPEST = 8
_WORDS = 60  # characters of a value that a message repeats


@dataclass(frozen=True)
class Range:
    """Bounds of a number, for ``Annotated[int, Range(1)]``.

    Attributes:
        least: the smallest value.
        most: the largest value.
        above: what a value must exceed, in the place of ``least``.
        below: what a value must stay under, in the place of ``most``.
        limit: a largest value that nobody needs to know: beyond it lie slips and values that would
            take all memory. Messages name it to those who exceed it.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    limit: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.limit is None or value <= self.limit)
        )

    def describe(self, noun: str, value: object = None) -> str:
        """Say which numbers these are.

        Args:
            noun: what they are called, such as "whole number".
            value: the one that was refused: the limit is named to those who exceed it.
        """
        if self.least is not None and self.most is not None:
            return f"a {noun} between {self.least:,} and {self.most:,}"
        parts = [
            f"{words} {bound:,}"
            for words, bound in (
                ("of at least", self.least),
                ("above", self.above),
                ("at most", self.most),
                ("below", self.below),
            )
            if bound is not None
        ]
        if parts == ["above 0"]:
            parts, noun = [], f"positive {noun}"
        if self.limit is not None and isinstance(value, int | float) and value > self.limit:
            parts.append(f"{'' if parts else 'of '}at most {self.limit:,}")
        return f"a {noun} {' and '.join(parts)}".rstrip()


#: Whole numbers without a range of their own: what JSON, NumPy and torch all hold.
_WHOLE = Range(-(2**63), 2**63 - 1)


def check(name: str, value: Any, hint: Any) -> Any:
    """See that a value is what its annotation says.

    Args:
        name: what messages call it.
        value: any value.
        hint: int, float, bool, str, a list or tuple of these, a Literal, a union of them, each
            perhaps ``Annotated`` with a :class:`Range`. Anything else (``Any``, a class) stands for
            plain data: finite numbers, texts, lists and mappings.

    Returns:
        The value in plain types: a whole number written as 3.0 becomes 3, a number of NumPy one of
        Python, an int for a float a float.

    Raises:
        InterlaceError: if it is something else; the line says what is allowed.
    """
    try:
        return _read(value, hint)
    except ValueError:
        raise InterlaceError(f"{name}={shown(value)}: must be {describe(hint, value)}") from None


def describe(hint: Any, value: object = None) -> str:
    """Say in words what an annotation allows.

    Args:
        hint: as in :func:`check`.
        value: the value that was refused.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = _bounds(hint)
        noun = _NOUNS.get(arguments[0])
        return bounds.describe(noun, value) if bounds and noun else describe(arguments[0], value)
    if origin in (Union, UnionType):
        return ", or ".join(describe(one, value) for one in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if _is_list(origin or hint):
        return f"a list (each {describe(arguments[0], value)})" if arguments else "a list"
    if hint is NoneType:
        return "null"
    if hint is bool:
        return "true or false"
    if hint is str:
        return "text"
    if hint is float:
        return "a finite number"
    return f"a {_NOUNS[hint]}" if hint in _NOUNS else "plain data: finite numbers, texts, lists"


_NOUNS: dict[Any, str] = {int: "whole number", float: "number"}


def shown(value: object) -> str:
    """Give a value as messages repeat it, whatever its size."""
    if isinstance(value, str):
        text = repr(value[:_WORDS])
        return f"{text[:-1]}...{text[-1]}" if len(value) > _WORDS else text
    if isinstance(value, int) and value.bit_length() > 200:
        return f"(about 10^{int(value.bit_length() * math.log10(2)):,})"
    if isinstance(value, list | tuple):
        return "[...]" if value else "[]"
    if isinstance(value, Mapping):
        return "{...}" if value else "{}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"({type(value).__name__})"


def keyword_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the annotations of a function's keyword-only arguments, ``Any`` where there is none."""
    arguments = inspect.signature(function).parameters.values()
    found: dict[str, Any] = {}
    for one in arguments:
        if one.kind is not one.KEYWORD_ONLY:
            continue
        written = Any if one.annotation is one.empty else one.annotation
        alone = SimpleNamespace(__annotations__={one.name: written})
        space = getattr(function, "__globals__", {})
        try:
            found |= get_type_hints(alone, globalns=space, include_extras=True)
        except Exception:  # it may name what is imported for a type checker alone
            found[one.name] = Any
    return found


def _read(value: Any, hint: Any) -> Any:
    """Give ``value`` in plain types; a ValueError where it does not fit."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(_read(value, arguments[0]), _bounds(hint))
    if origin in (Union, UnionType):
        for option in arguments:
            try:
                return _read(value, option)
            except ValueError:
                continue
        raise ValueError
    if origin is Literal:
        if isinstance(value, str | int) and any(
            type(value) is type(one) and value == one for one in arguments
        ):
            return value
        raise ValueError
    if _is_list(origin or hint):
        own = _read_list(value, arguments[0] if arguments else Any)
        return tuple(own) if (origin or hint) is tuple else own
    reader = _READERS.get(hint)
    return _read_plain(value) if reader is None else reader(value)


def _bounds(hint: Any) -> Range | None:
    return next((one for one in hint.__metadata__ if isinstance(one, Range)), None)


def _bounded(value: Any, bounds: Range | None) -> Any:
    if bounds is not None and _is_number(value) and value not in bounds:
        raise ValueError
    return value


def _is_list(kind: Any) -> bool:
    return kind in (list, tuple, Sequence)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _read_none(value: Any) -> None:
    if value is not None:
        raise ValueError


def _read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _read_int(value: Any) -> int:
    if not _is_number(value):
        raise ValueError
    if not isinstance(value, numbers.Integral):  # 3.0, which YAML and JSON may say for 3
        value = _read_float(value)
        if not value.is_integer():
            raise ValueError
    whole = int(value)
    if whole not in _WHOLE:
        raise ValueError
    return whole


def _read_float(value: Any) -> float:
    if not _is_number(value):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        raise ValueError
    value.encode()  # a lone surrogate is no text; its UnicodeEncodeError is a ValueError
    return str(value)


def _read_list(value: Any, hint: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) > LONGEST:
        raise ValueError
    return [_read(item, hint) for item in value]


def _read_plain(value: Any, depth: int = DEEPEST) -> Any:
    if depth == 0:
        raise ValueError
    if isinstance(value, list | tuple) and len(value) <= LONGEST:
        return [_read_plain(item, depth - 1) for item in value]
    if isinstance(value, Mapping) and len(value) <= LONGEST:
        return {_read_text(key): _read_plain(item, depth - 1) for key, item in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _read_text(value)
    return _read_int(value) if isinstance(value, numbers.Integral) else _read_float(value)


_READERS: dict[Any, Callable[[Any], Any]] = {
    NoneType: _read_none,
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_text,
}
