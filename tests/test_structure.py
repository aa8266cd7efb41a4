"""The house: rooms that depend downwards, files of a size to read, a figure that shows the imports.

import-linter checks the layers and the circles (``make lint``); here is what it does not.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "interlace"
#: Longest file that one reads in a sitting; tables that are pure data may be longer.
MOST_LINES = 350


@pytest.fixture(scope="module")
def structure():
    spec = importlib.util.spec_from_file_location("structure", ROOT / "tools" / "structure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def counts(structure):
    return structure.counts(SOURCE)


def test_only_four_modules_lie_outside_of_rooms(counts):
    assert counts["modules_outside_packages"] == []


def test_nothing_imports_in_a_circle(counts):
    assert counts["circles_of_modules"] == []
    assert counts["circles_of_rooms"] == []


def test_files_are_of_a_size_to_read(counts):
    assert counts["files_over_350"] == []
    assert counts["file_lines"]["longest"] <= MOST_LINES


def test_the_figure_shows_the_imports(structure):
    current = structure.FIGURE.read_text(encoding="utf-8") == structure.figure()
    assert current, "draw it anew: python tools/structure.py figure"


def test_circles_and_counts_are_found(structure, tmp_path):
    package = tmp_path / "house"
    (package / "cellar").mkdir(parents=True)
    (package / "attic").mkdir()
    for room in ("", "cellar", "attic"):
        (package / room / "__init__.py").write_text('"""A room."""\n')
    (package / "loose.py").write_text("from house.attic.roof import Roof\n")
    (package / "cellar" / "floor.py").write_text(
        "from house.attic.roof import Roof\n\n\nclass Stone:\n    pass\n"
    )
    (package / "attic" / "roof.py").write_text(
        '"""A roof."""\n\n\nclass Roof:\n    def rain(self):\n        """Fall."""\n'
        "        # hidden in a function, and still a circle\n"
        "        from house.cellar.floor import Stone\n\n        return Stone\n"
    )
    (package / "attic" / "beam.py").write_text("class Stone:\n    pass\n" + "x = 1\n" * 400)
    found = structure.counts(package)
    assert found["modules_outside_packages"] == ["loose"]
    assert found["circles_of_modules"] == [["house.attic.roof", "house.cellar.floor"]]
    assert found["circles_of_rooms"] == [["attic", "cellar"]]
    assert found["files_over_350"] == ["attic/beam.py"]
    assert found["names_defined_twice"] == {"Stone": ["attic/beam.py", "cellar/floor.py"]}
    assert found["function_lines"] == {
        "median": 3,
        "p90": 3,
        "longest": 3,
        "which": "attic/roof.py:rain",
    }


def test_arrows_that_a_chain_stands_for_are_left_out(structure):
    edges = {"cli": {"train", "data"}, "train": {"data"}}
    assert structure.reduced(edges) == {"cli": {"train"}, "train": {"data"}}
