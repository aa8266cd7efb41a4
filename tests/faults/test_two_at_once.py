"""Two commands at once on one output: the second is told, the first is unharmed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interlace import cli

#: Runs the commands it is told. Once one holds its output, it says so and waits for a line.
FIRST = """
import json, os, sys
from contextlib import contextmanager
from interlace._util import files

say = os.fdopen(os.dup(1), "w", buffering=1)
for descriptor in (1, 2):
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
plain = files.held

@contextmanager
def held(output):
    with plain(output):
        print("holds", file=say)
        sys.stdin.readline()
        yield

files.held = held
from interlace import cli
for line in sys.stdin:
    sys.argv = ["interlace", *json.loads(line)]
    try:
        cli.main()
    except SystemExit as stopped:
        print("ends with", stopped.code or 0, file=say)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs") / "photos"
    generator = np.random.default_rng(0)
    for name in ("ant", "bee", "cat"):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def first():
    with subprocess.Popen(
        [sys.executable, "-c", FIRST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["interlace", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code or 0


def content(output: Path) -> dict[str, bytes]:
    files = [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]
    return {str(path.relative_to(output.parent)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", ["fit", "embed", "search build", "export"])
def test_the_second_is_told_and_the_first_unharmed(
    name, first, photos, tmp_path, monkeypatch, capsys
):
    settings = ["--model", "picto", "--shots", "1", "--method", "linear_probe"]
    settings += ["--set", "epochs=2"]
    if name == "export":
        settings[5] = "clip_lora"
        assert run(monkeypatch, "fit", photos, *settings, "-o", tmp_path / "run") == 0
    command = {
        "fit": ["fit", photos, *settings],
        "embed": ["embed", photos, "--model", "picto"],
        "search build": ["search", "build", photos, "--model", "picto"],
        "export": ["export", tmp_path / "run"],
    }[name]
    for place in ("alone", "contested"):
        (tmp_path / place).mkdir()
    alone, contested = (tmp_path / place / "output" for place in ("alone", "contested"))
    assert run(monkeypatch, *command, "-o", alone) == 0
    capsys.readouterr()

    first.stdin.write(json.dumps([*map(str, command), "-o", str(contested)]) + "\n")
    first.stdin.flush()
    assert first.stdout.readline() == "holds\n"
    before = content(contested)
    assert run(monkeypatch, *command, "-o", contested) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: another interlace command is writing to ")
    assert content(contested) == before
    first.stdin.write("go on\n")
    first.stdin.flush()
    assert first.stdout.readline() == "ends with 0\n"

    if name == "search build":  # its files have names by chance
        from interlace import Gallery

        one, two = (Gallery.open(place) for place in (alone, contested))
        assert one.complete and two.complete and len(one) == len(two) == 12
    else:
        assert content(contested) == content(alone)
    assert [path.name for path in contested.parent.iterdir()] == ["output"]


@pytest.mark.slow
def test_two_grids_in_one_folder_both_end_well(photos, tmp_path):
    command = [sys.executable, "-m", "interlace", "bench", "few_shot", "--data", photos]
    command += ["--methods", "tip_adapter", "--shots", "1", "--workers", "1"]

    def start(*places: str) -> None:
        running = [
            subprocess.Popen(
                [*command, "-o", tmp_path / place],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for place in places
        ]
        for process in running:
            _, error = process.communicate(timeout=300)
            assert process.returncode == 0, error

    def records(place: str) -> dict[str, dict]:
        chance = {"seconds", "peak_memory", "date", "commit", "uncommitted_changes"}
        files = [path for path in (tmp_path / place).rglob("*") if path.is_file()]
        found = {path.name: json.loads(path.read_bytes()) for path in files}
        return {k: {n: v[n] for n in v.keys() - chance} for k, v in found.items()}

    start("both", "both")
    start("alone")
    assert records("both") == records("alone")
    assert all(record["status"] == "done" for record in records("both").values())
    assert len(records("both")) >= 2
