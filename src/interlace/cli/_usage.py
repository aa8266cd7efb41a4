"""What is wrong with how a command was called, in one line."""

from __future__ import annotations

from typing import Any

import typer

from interlace._util.text import first_line

#: What typer raises for arguments it cannot use. Versions of typer bring their own click or use the
#: package; this is the common base of the errors of either.
UsageError: type[Exception] = next(
    one for one in reversed(typer.BadParameter.__mro__) if hasattr(one, "format_message")
)


def usage_line(error: Any) -> str:
    """Say what is wrong with an argument, and where arguments are explained."""
    wrong = _wrong_value(error)
    if wrong:
        return wrong
    possible = getattr(error, "possibilities", None)
    if possible:
        return f"no such option {error.option_name}: did you mean {' or '.join(possible)}?"
    line = _as_clause(error.format_message())
    command = getattr(getattr(error, "ctx", None), "command_path", "")
    return f"{line}; see {command} --help" if command and not line.endswith("?") else line


def _wrong_value(error: Any) -> str:
    """Name option, value and what would be right; "" where typer does not hand over the value."""
    from interlace._util.schema import shown

    details = getattr(error.__cause__ or error.__context__, "errors", None)
    found = details() if callable(details) else None
    param = getattr(error, "param", None)
    if not found or param is None:
        return ""
    first = found[0]
    names = [name for name in param.opts if name.startswith("--")]
    name = names[0] if names else param.human_readable_name
    kind, context = str(first["type"]), first.get("ctx") or {}
    if kind.startswith("int_"):
        reason = "must be a whole number"
    elif kind == "greater_than_equal":
        reason = f"must be at least {context['ge']}"
    else:
        reason = _as_clause(str(first["msg"]).removeprefix("Value error, "))
        reason = reason.replace(f"{first['input']!r} is not one of", "must be one of")
    return f"{name} {shown(first['input'])}: {reason}"


def _as_clause(sentence: str) -> str:
    line = first_line(sentence).rstrip(".")
    return line[:1].lower() + line[1:]
