"""Print constraints that pin every dependency to the lowest version that pyproject.toml allows.

Use: python .ci/lowest.py > lowest.txt && pip install -e ".[dev]" -c lowest.txt

The tools of the ``dev`` extra are left free: nobody but a developer installs them.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

#: A requirement as pyproject.toml writes it: name, perhaps extras, and the lowest version.
LOWEST = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*\])?>=(?P<version>[\w.]+)")


def constraints(pyproject: Path) -> list[str]:
    """Return ``name==version`` for each requirement of the package and of the users' extras.

    Raises:
        ValueError: if a requirement has no lowest version, or says more than that.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra, requirements in project["optional-dependencies"].items():
        wanted += [] if extra == "dev" else requirements
    pinned = []
    for requirement in wanted:
        found = LOWEST.fullmatch(requirement)
        if found is None:
            raise ValueError(f"{requirement!r}: expected 'name>=version'")
        pinned.append(f"{found['name']}=={found['version']}")
    return sorted(pinned)


if __name__ == "__main__":
    print("\n".join(constraints(Path(__file__).parents[1] / "pyproject.toml")))
