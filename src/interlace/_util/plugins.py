"""What other installed packages add: objects they name under an entry-point group.

A package says in its ``pyproject.toml``, for instance::

    [project.entry-points."interlace.methods"]
    mine = "my_package.mine:Mine"
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from interlace._util.text import first_line
from interlace.errors import InterlaceError


@dataclass(frozen=True)
class Extension:
    """One object that an installed package offers.

    Attributes:
        name: what the package calls it.
        package: name of the distribution; empty where that is not known.
        entry: where it is defined.
    """

    name: str
    package: str
    entry: EntryPoint

    def load(self) -> Any:
        """Import the object.

        Raises:
            InterlaceError: naming the package, if importing it fails.
        """
        try:
            return self.entry.load()
        except (Exception, SystemExit) as error:  # whatever somebody else's module raises
            raise InterlaceError(
                f"{self.name!r} of the package {self.package or 'unknown'!r} cannot be loaded "
                f"({self.entry.value}): {type(error).__name__}: {first_line(error)}"
            ) from None


def extensions(group: str) -> tuple[Extension, ...]:
    """List what installed packages offer under ``group``, by name; nothing is imported."""
    found = (
        Extension(entry.name, entry.dist.name if entry.dist else "", entry)
        for entry in entry_points(group=group)
    )
    return tuple(sorted(found, key=lambda one: (one.name, one.package)))
