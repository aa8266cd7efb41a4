"""Names of a package that are imported when they are first asked for.

Importing torch and what needs it takes seconds; ``interlace --help`` and a report need none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_demand(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: its full name.
        homes: where each name is defined, below ``interlace``: a module that defines it, or
            ``module:name`` where it has another name there, or ``module:`` for the module itself.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, separator, attribute = homes[name].partition(":")
        value: Any = import_module(f"interlace.{module}")
        if attribute or not separator:
            value = getattr(value, attribute or name)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    return find
