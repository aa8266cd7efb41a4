"""One word, one meaning: a public name of a class, an alias or a constant is defined once."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import interlace

SOURCES = Path(interlace.__file__).parent
CLASS = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")


def definitions(path: Path) -> Iterator[str]:
    """Names of the classes, aliases and constants that a module defines at its top."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (
                target.id
                for whole in node.targets
                for target in (whole.elts if isinstance(whole, ast.Tuple) else [whole])
                if isinstance(target, ast.Name)
            )


def defined_in() -> dict[str, list[str]]:
    """The modules of every public name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCES.rglob("*.py")):
        for name in definitions(path):
            if CLASS.fullmatch(name) or CONSTANT.fullmatch(name):
                found[name].append(str(path.relative_to(SOURCES)))
    return found


def test_the_walk_sees_classes_aliases_and_constants(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "class Some: ...\nAlias = int\nLIMIT: int = 3\nA, B_2 = 1, 2\n_hidden = lower = 1"
    )
    assert list(definitions(path)) == ["Some", "Alias", "LIMIT", "A", "B_2", "_hidden", "lower"]
    found = defined_in()
    assert found["AdaptedModel"] == ["adaptation/model.py"]
    assert found["Edits"] == ["methods/base.py"]
    assert found["HEADER"] == ["adaptation/header.py"]


def test_every_public_name_is_defined_once():
    twice = {name: places for name, places in defined_in().items() if len(places) > 1}
    assert set(twice) == set(), twice
