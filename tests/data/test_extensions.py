"""Data sets that installed packages and programs add."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interlace.data.check import check
from interlace.data.datasets import Collection, extensions, register
from interlace.data.datasets.registry import (
    added_names,
    catalog_names,
    expand,
    is_known,
    read_catalog,
)
from interlace.data.records import Record
from interlace.data.source import Source
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.protocols import Setting
from interlace.protocols.cross_dataset import default_targets
from tests.data.trees import image_bytes, put

#: A module with a data set, a collection, and things that are neither.
MODULE = """
from io import BytesIO
from PIL import Image
from interlace.data import Record, Source
from interlace.data.datasets import Collection

def picture(number):
    written = BytesIO()
    Image.new("RGB", (8, 8), (number % 256, 40, 255 - number % 256)).save(written, "PNG")
    return written.getvalue()

def birds(root=None):
    pools = {
        part: [
            Record(picture(start + 50 * label + n), label, f"{part}/{label}/{n}")
            for label in range(3) for n in range(4)
        ]
        for part, start in (("train", 0), ("test", 10))
    }
    return Source("whatever", ("crow", "kite", "wren"), pools, template="a {} in a tree.")

def read_one(name, root):
    return birds()

zoo = Collection(lambda: ("fish", "mice"), read_one)
no_list = Collection(lambda: 5, read_one)
no_text = Collection(lambda: ["fish", 3], read_one)
number = 7

def fails(root):
    raise ValueError("no such\\nthing")

def ends(root):
    raise SystemExit("bye")

def says_why(root):
    from interlace.errors import InterlaceError
    raise InterlaceError(f"nothing in {root}")
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package on the path as an installer leaves it, and gives the folder."""
    count = 0

    def add(package: str = "aviary", **entries: str) -> Path:
        nonlocal count
        count += 1
        place = tmp_path / f"site{count}"
        info = place / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (place / f"{package}_data.py").write_text(MODULE)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name.replace('__', '-')} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[interlace.datasets]", *lines]))
        monkeypatch.syspath_prepend(place)
        monkeypatch.delitem(sys.modules, f"{package}_data", raising=False)
        return place

    return add


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "_registered", {})


def test_a_package_adds_a_data_set(install: Install) -> None:
    install(birds="aviary_data:birds")
    assert added_names() == ("birds",) and "birds" in catalog_names()
    assert is_known("birds") and expand("birds") == ("birds",)
    task = FewShotTask.load("birds", shots=2, seed=1)
    assert (task.name, task.template) == ("birds", "a {} in a tree.")
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 6, 12]
    with pytest.raises(InterlaceError, match="use at most 4 shots"):  # as of any that is known
        FewShotTask.load("birds", shots=5)
    with pytest.raises(InterlaceError, match="no data set 'birds/x': did you mean 'birds'"):
        FewShotTask.load("birds/x")
    with pytest.raises(InterlaceError, match="did you mean 'birds'"):
        FewShotTask.load("brids")
    with pytest.raises(InterlaceError, match="--targets"):
        default_targets(Setting("birds"))


def test_what_is_on_disk_comes_first(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(birds="aviary_data:birds")
    (tmp_path / "here" / "birds").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert not is_known("birds") and expand("birds") == ("birds",)


def test_a_package_adds_a_collection(install: Install) -> None:
    install(zoo="aviary_data:zoo")
    assert added_names() == ("zoo/fish", "zoo/mice") == expand("zoo")
    assert read_catalog("zoo/mice").name == "zoo/mice"
    assert default_targets(Setting("zoo/mice")) == ("zoo/fish",)
    with pytest.raises(InterlaceError, match="no data set 'zoo/fsh': did you mean 'zoo/fish'"):
        FewShotTask.load("zoo/fsh")
    with pytest.raises(InterlaceError, match="no data set 'zoo': there are zoo/fish, zoo/mice"):
        FewShotTask.load("zoo")


def test_nothing_is_imported_before_it_is_needed(install: Install) -> None:
    install(birds="aviary_data:birds")
    assert is_known("birds") and "aviary_data" not in sys.modules


def test_a_check_counts_its_images(install: Install) -> None:
    install(birds="aviary_data:birds")
    report = check("birds")
    assert report.ok and not report.decoded and check("birds", decode=True).decoded
    assert [(f.what, f.found) for f in report.findings][:2] == [
        ("classes", 3),
        ("train images", 12),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere:birds", r"'bad' of the package 'aviary' cannot be loaded \(nowhere:birds\)"),
        ("aviary_data:gone", r"'bad' of the package 'aviary' cannot be loaded .*AttributeError"),
        ("aviary_data:number", "'bad' of the package 'aviary': must be a function .*not int"),
        ("aviary_data:fails", "'bad' of the package 'aviary' cannot be read: ValueError: no such$"),
        ("aviary_data:ends", "'bad' of the package 'aviary' cannot be read: SystemExit: bye$"),
        ("aviary_data:no_list", "'bad' of the package 'aviary' cannot be listed: TypeError: "),
        ("aviary_data:no_text", "'bad' of the package 'aviary' cannot be listed: 3: a name must"),
        ("aviary_data:says_why", "^nothing in None$"),
        ("aviary_data:picture", "'bad' of the package 'aviary' cannot be read: TypeError: "),
    ],
)
def test_a_package_that_is_broken(install: Install, value: str, message: str) -> None:
    install(bad=value, birds="aviary_data:birds")
    with pytest.raises(InterlaceError, match=message) as caught:
        FewShotTask.load("bad")
    assert "\n" not in str(caught.value)
    # and the others go on
    assert "birds" in added_names() and len(FewShotTask.load("birds", 1).classes) == 3


def test_names_that_cannot_be_used_are_said(install: Install) -> None:
    install("one", birds="one_data:birds", eurosat="one_data:birds", picto="one_data:birds")
    install("two", birds="two_data:birds", Oxford__Pets="two_data:birds", lost="none:birds")
    with pytest.raises(InterlaceError, match="package 'one' and by the package 'two': remove one"):
        FewShotTask.load("birds")
    assert added_names() == ()
    found = extensions.problems()
    assert len(found) == 5
    for name in ("eurosat", "picto", "Oxford-Pets", "lost", "birds"):
        assert any(f"'{name}'" in line for line in found), name
    with pytest.raises(InterlaceError, match="EuroSAT: where is it"):  # ours stays
        FewShotTask.load("eurosat")
    assert len(FewShotTask.load("picto/activities", 1).classes) == 85


def record(label: object = 0, key: object = "a") -> Record:
    return Record(image_bytes(1), label, key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": 1}, "returned dict, not a Source"),
        (Source("x", ("a",), {"train": [record()]}), "1 classes: at least two"),
        (Source("x", ("a", "a"), {"train": [record()]}), "two classes have the same name"),
        (Source("x", ("a", "b"), {"dev": [record()]}), "part 'dev': must be train, val or test"),
        (Source("x", ("a", "b"), {"train": [record(2)]}), "a: label 2 of 2 classes"),
        (Source("x", ("a", "b"), {"train": [record("a")]}), "a: label a of 2 classes"),
        (Source("x", ("a", "b"), {"train": [record(), record(1)]}), "two images have the key 'a'"),
        (Source("x", ("a", "b"), {"train": ["a.jpg"]}), "an image is str, not a Record"),  # type: ignore[list-item]
        (Source("x", ("a", "b"), {"train": []}), "there are no images"),
        (Source("x", ("a", "b"), {"train": [record(key=3)]}), "an image has the key 3: it must be"),
        (
            Source("x", ("a", "b"), {"train": [Record("a.jpg", 0, "a")]}),  # type: ignore[arg-type]
            "a: str: an image must be a Path or encoded bytes",
        ),
        (Source("x", ("a", "b"), {}, template=5), "template 5: must be text that holds"),  # type: ignore[arg-type]
        (Source("x", ("a", "b"), {}, template="no place"), "template 'no place': must be text"),
    ],
)
def test_a_source_is_checked(source: object, message: str) -> None:
    register("mine")(lambda root: source)  # type: ignore[arg-type, return-value]
    with pytest.raises(InterlaceError, match=f"data set 'mine' of this program: {message}"):
        read_catalog("mine")


def test_a_source_of_other_things_is_one_line() -> None:
    for fields in ((None, {}), (("a", "b"), None)):
        source = Source("x", *fields)  # type: ignore[arg-type]
        register("mine")(lambda root, source=source: source)  # type: ignore[misc]
        with pytest.raises(InterlaceError, match="'mine' of .* is not as Source describes: [AT]"):
            read_catalog("mine")
        extensions._registered.clear()


def test_a_module_that_ends_the_program_stops_nothing(install: Install) -> None:
    place = install(bad="exits_at_once:birds", birds="aviary_data:birds")
    (place / "exits_at_once.py").write_text("raise SystemExit('bye')")
    with pytest.raises(InterlaceError, match="'bad' of the package 'aviary' .*: SystemExit: bye$"):
        FewShotTask.load("bad")
    assert added_names() == ("birds",)


def test_register(tmp_path: Path, install: Install) -> None:
    asked = []

    @register("mine")
    def mine(root: Path | None) -> Source:
        asked.append(root)
        pools = {"train": [record(n % 2, str(n)) for n in range(4)]}
        return Source("x", ("a", "b"), pools)

    assert FewShotTask.load("mine", 1, root=tmp_path).name == "mine"
    assert asked == [tmp_path]
    register("mine")(mine)  # a cell of a notebook that runs again
    with pytest.raises(InterlaceError, match="'mine': this program adds one of this name already"):
        register("mine")(lambda root: mine(root))
    register("several")(Collection(lambda: ["one"], lambda name, root: mine(root)))
    assert added_names() == ("mine", "several/one")
    install(birds="aviary_data:birds")
    with pytest.raises(InterlaceError, match="'birds': the package 'aviary' adds one"):
        register("birds")(mine)
    for name in ("a/b", "", "a:b", "a,b"):
        with pytest.raises(InterlaceError, match="a name has letters, digits"):
            register(name)
    for name in ("picto", "EuroSAT"):
        with pytest.raises(InterlaceError, match="that is the name of one that Interlace reads"):
            register(name)


def test_the_commands_know_it(install: Install, tmp_path: Path) -> None:
    place = install(birds="aviary_data:birds", lost="nowhere:birds")
    path = os.pathsep.join([str(place), *(own for own in sys.path if own)])

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "interlace", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    listed = json.loads(command("data", "list", "--json"))
    assert listed["added"] == ["birds"]
    (problem,) = listed["problems"]
    assert "'lost' of the package 'aviary' cannot be loaded" in problem
    assert problem in command("data", "list").replace("\n", " ").replace("  ", " ")
    assert "crow, kite, wren" in command("show", "birds")
    command("data", "check", "birds", "--decode")
    grid = ("few_shot", "--data", "birds", "--methods", "clip_adapter", "--shots", "1")
    # two cells, so that worker processes read it
    command("bench", *grid, "--seeds", "1", "--workers", "2", "--set", "epochs=1", "-o", "runs")
    cells = [json.loads(own.read_text()) for own in (tmp_path / "runs").rglob("*.json")]
    assert {(own["status"], own["spec"]["data"]) for own in cells if "spec" in own} == {
        ("done", "birds")
    }


def test_the_example_of_the_documents(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    (example,) = (own for own in re.findall(r"```python\n(.*?)```", text, re.S) if "birds" in own)
    for name in ("crow", "wren"):
        for number in range(3):
            put(tmp_path / "birds" / name / f"{number}.jpg", number)
    found: dict[str, Callable[[Path | None], Source]] = {}
    exec(example, found)
    register("flock")(found["birds"])
    task = FewShotTask.load("flock", 1, root=tmp_path)
    assert (task.name, task.classes) == ("flock", ("crow", "wren"))
    assert [len(part) for part in (task.train, task.val, task.test)] == [2, 2, 2]
