"""The speed benchmark runs at all, on a tiny model; no time is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    sizes = ["--model", "tiny", "--classes", "9", "--batches", "2", "--threads", "1"]
    budget = ["--seconds", "0", "--plain-limit", "100", "--sections", "training"]
    which = ["--methods", "mmrl,mail,multimodal_adapter", "--quick", "--folder", str(folder)]
    run(SPEED / "run.py", "tiny", *sizes, *budget, *which)
    return folder


def run(script, *arguments, code=0):
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_a_record_holds_both_paths(folder):
    record = json.loads((folder / "tiny.json").read_text())
    assert record["finished"] and record["machine"]["threads"] == 1
    assert [c["method"] for c in record["cells"]] == ["mmrl", "mail", "multimodal_adapter"]
    for cell in record["cells"]:
        parts, tokens = {"score", "backward", "optimiser", "total"}, set()
        if cell["method"] != "multimodal_adapter":
            parts, tokens = parts | {"edits", "image", "text"}, {"tokens"}
        for path in ("plain", "default"):
            assert set(cell[path]["ms"]) == parts
        assert cell["floor"]["multiply_adds"] > 0
        assert set(cell["plain_over_default"]) == {"time", "peak"} | tokens
    mmrl, mail, _ = record["cells"]
    for cell in (mmrl, mail):
        assert cell["floor"]["multiply_adds"] < cell["plain_predicted"]["multiply_adds"]


def test_positions_are_those_of_the_towers(folder):
    mmrl, mail, _ = json.loads((folder / "tiny.json").read_text())["cells"]
    lengths = json.loads((folder / "tiny.json").read_text())["texts"]["9"]
    # 3 blocks, 2 images of 5 positions; 9 texts of 77; MMRL's teacher, its 5 tokens from block 1 on
    assert mail["plain"]["tokens"] == {"image": 3 * 2 * 5, "text": 3 * 9 * 77}
    assert mail["default"]["tokens"] == {
        "image": 3 * 2 * 5,
        "text": 3 * lengths["positions_default"],
    }
    assert mmrl["plain"]["tokens"] == {"image": 3 * 2 * (10 + 5), "text": 3 * 9 * 82}


def test_a_record_is_not_written_over(folder):
    done = run(SPEED / "run.py", "tiny", "--folder", str(folder), code=1)
    assert "is there already" in done.stderr


def test_the_plot_is_drawn_and_the_tables_name_every_cell(folder):
    image = folder / "speed.png"
    done = run(SPEED / "plot.py", str(folder / "tiny.json"), "--image", str(image))
    assert image.stat().st_size > 1000
    assert done.stdout.count("| MMRL |") == done.stdout.count("| MAIL |") == 2
