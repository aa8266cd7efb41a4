"""What the project's own files say of it agrees: version, Python versions, lowest versions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import interlace

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_version_stands_in_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    path = PROJECT["tool"]["hatch"]["version"]["path"]
    found = re.findall(r'^__version__ = "(.+)"$', (ROOT / path).read_text("utf-8"), re.M)
    assert found == [interlace.__version__]


def test_the_hosted_tests_run_on_the_python_versions_of_the_package():
    steps = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    tested = steps["jobs"]["python"]["strategy"]["matrix"]["python"]
    stated = [
        line.rpartition(" ")[2]
        for line in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    ]
    assert tested == stated
    assert PROJECT["project"]["requires-python"] == f">={stated[0]}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_pin_their_actions(path):
    text = path.read_text("utf-8")
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action) for action in used)


def test_every_dependency_has_a_lowest_version():
    script = [sys.executable, str(ROOT / ".ci" / "lowest.py")]
    pinned = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()
    names = [line.partition("==")[0] for line in pinned]
    extras = PROJECT["project"]["optional-dependencies"]
    users = [one for extra, of in extras.items() if extra != "dev" for one in of]
    assert len(names) == len(set(names)) == len(PROJECT["project"]["dependencies"]) + len(users)
    assert {"torch==2.6", "ray==2.40"} <= set(pinned)
    assert "pytest" not in names


def test_developers_get_every_extra():
    extras = PROJECT["project"]["optional-dependencies"]
    named = re.fullmatch(r"interlace\[(.+)\]", extras["dev"][0]).group(1).split(",")
    assert set(named) == set(extras) - {"dev"}
