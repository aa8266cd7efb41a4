"""A package outside the tree adds a method and a data set; every command knows them by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

METHOD = '''
"""A method of another package."""

from typing import Annotated

import torch
from torch import nn

from interlace.backbone.edits import Affine, Edit
from interlace.methods import Method, Range, register


@register
class Gain(Method):
    """Scales and shifts the text embedding."""

    key = "gain"
    summary = "A gain for every number of the text embedding."
    train_defaults = {"epochs": 1, "lr": 0.01}

    def __init__(self, clip, *, start: Annotated[float, Range(0.5, 2)] = 1.0):
        super().__init__(clip)
        width = clip.spec.embed_dim
        self.scale = nn.Parameter(torch.full((width,), start))
        self.shift = nn.Parameter(torch.zeros(width))

    def edits(self):
        return None, Edit(affine={"projection": Affine(self.scale, self.shift)})
'''
SHAPES = '''
"""A data set of another package."""

from io import BytesIO

from PIL import Image, ImageDraw

from interlace.data import Record, Source

CLASSES = ("circle", "square", "triangle", "line")
DRAW = (
    lambda pen, box: pen.ellipse(box, fill="red"),
    lambda pen, box: pen.rectangle(box, fill="red"),
    lambda pen, box: pen.polygon([box[:2], box[2:], (box[0], box[3])], fill="red"),
    lambda pen, box: pen.line(box, fill="red", width=3),
)


def picture(label, number):
    image = Image.new("RGB", (64, 64), "white")
    DRAW[label](ImageDraw.Draw(image), (4 + number, 6 + 2 * number, 40 + number, 50))
    encoded = BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()


def shapes(root):
    pools = {
        part: [
            Record(picture(label, number), label, f"{part}/{label}/{number}")
            for label in range(4)
            for number in numbers
        ]
        for part, numbers in (("train", range(4)), ("test", range(4, 8)))
    }
    return Source("shapes", CLASSES, pools, template="a drawing of a {}.")
'''
ENTRIES = """
[interlace.methods]
gain = tiny_package.method:Gain

[interlace.datasets]
shapes = tiny_package.data:shapes
"""
BROKEN = """
[interlace.methods]
gone = no_such_module:Gone
"""
DATA = ["picto/food-drink", "shapes"]


def install(site: Path, package: str, entries: str, **modules: str) -> None:
    """Leave a package as an installer does: its modules, and what it says of itself."""
    folder, info = site / package, site / f"{package}-1.0.dist-info"
    folder.mkdir(parents=True)
    info.mkdir()
    (folder / "__init__.py").write_text("")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run Python in a process in which the packages are installed; returns code, out and err."""
    site = tmp_path_factory.mktemp("site")
    install(site, "tiny_package", ENTRIES, method=METHOD, data=SHAPES)
    install(site, "broken_package", BROKEN)
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])

    def execute(*arguments: object) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return execute


@pytest.fixture(scope="module")
def interlace(run):
    """Run a command; returns what it printed, once it has succeeded."""

    def command(*arguments: object) -> str:
        code, out, err = run("-m", "interlace", *arguments)
        assert code == 0, err
        return out

    return command


def test_show_knows_the_method_its_defaults_and_its_size(interlace):
    facts = json.loads(interlace("show", "gain", "--json"))
    assert facts["defaults"] == {"start": 1.0}
    assert facts["training"] == {"epochs": 1, "lr": 0.01}
    assert facts["allowed"]["start"] == "a number between 0.5 and 2"
    assert facts["parameters at ViT-B/16"] == 2 * 512
    assert "gain" in json.loads(interlace("show", "--json"))["methods"]


def test_show_and_list_know_the_data_set(interlace):
    facts = json.loads(interlace("show", "shapes", "--json"))
    assert facts["classes"] == ["circle", "square", "triangle", "line"]
    assert facts["test images"] == 16
    assert "shapes" in interlace("data", "list")


def test_a_broken_package_is_one_line_and_the_others_work(run):
    code, out, err = run("-m", "interlace", "show")
    assert code == 0 and "mmrl++" in out and "gain" in out and "gone" not in out
    (line,) = err.splitlines()
    assert line.startswith("note: 'gone' of the package 'broken_package' cannot be loaded")
    assert "No module named 'no_such_module'" in line
    code, out, err = run("-m", "interlace", "fit", "picto/food-drink", "--method", "gone")
    assert (code, out) == (2, "") and err.startswith("error: 'gone' of the package")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("data", DATA)
def test_fit_and_load_adapted(run, interlace, tmp_path, data):
    folder = tmp_path / "run"
    printed = interlace(
        *("fit", data, "--method", "gain", "--shots", "1", "--device", "cpu"),
        *("--set", "start=1.5", "-o", folder, "--json"),
    )
    result = json.loads(printed)
    assert result["run"]["arguments"] == {"start": 1.5}
    assert result["run"]["train"]["epochs"] == 1 and "test" in result
    code, out, err = run(
        "-c",
        "import interlace, sys; adapted = interlace.load_adapted(sys.argv[1], device='cpu'); "
        "print(adapted.method.key, adapted.trained_parameters)",
        folder,
    )
    assert code == 0, err
    assert out.split() == ["gain", str(result["trained_parameters"])]
    (folder / "bundle.json").write_text(
        (folder / "bundle.json").read_text().replace('"gain"', '"gone"')
    )
    code, _, err = run("-m", "interlace", "predict", folder, folder / "confusion.png")
    assert code == 2 and f"{folder} needs a method that cannot be used here: 'gone' of the" in err
    code, _, err = run("-m", "interlace", "fit", data, "--method", "gain", "--set", "start=9")
    assert code == 2 and err.startswith("error: start=9: must be a number between 0.5 and 2")


@pytest.mark.parametrize("data", DATA)
def test_compare(interlace, data):
    printed = interlace(
        *("compare", data, "--methods", "gain,gain:start=1.5", "--shots", "1", "--seeds", "1"),
        *("--device", "cpu", "--json"),
    )
    cells = json.loads(printed)["cells"]
    assert [cell["method"] for cell in cells] == ["zero_shot", "gain", "gain:start=1.5"]


@pytest.mark.parametrize("data", DATA)
def test_bench_runs_it_in_processes_of_its_own(interlace, tmp_path, data):
    printed = interlace(
        *("bench", "few-shot", "--data", data, "--methods", "gain", "--shots", "1"),
        *("--seeds", "1", "--workers", "1", "--device", "cpu", "-o", tmp_path, "--json"),
    )
    records = json.loads(printed)
    assert sorted(record["spec"]["method"] for record in records) == ["gain", "zero_shot"]
    assert {record["status"] for record in records} == {"done"}
