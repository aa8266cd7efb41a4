"""Names of a standard data set that are equal as published: every command says so, once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interlace.experiments.cell import run_cell
from tests import models

NAMES = ("crane", "bee", "crane", "dog", "emu", "emu")
NOTE = "note: 2 class names of eurosat stand for more than one class, as published: crane, emu"


class Here:
    """Runs cells in this process."""

    workers = 1

    def __init__(self, root):
        self.root = root

    def run(self, specs, started):
        for spec in specs:
            started(spec)
            yield run_cell(spec, root=self.root, device="cpu")


@pytest.fixture
def world(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    images = tmp_path / "field" / "eurosat" / "2750"
    lists = {"train": [], "val": [], "test": []}
    for label, name in enumerate(NAMES):
        (images / str(label)).mkdir(parents=True)
        for number in range(5):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / str(label) / f"{number}.png")
            part = ("train", "train", "val", "test", "test")[number]
            lists[part].append([f"{label}/{number}.png", label, name])
    (images.parent / "split_zhou_EuroSAT.json").write_text(json.dumps(lists))
    models.with_tokenizer().save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    here = Here(Path("field"))
    for place in ("bench", "reproduce"):
        monkeypatch.setattr(f"interlace.cli.{place}.make_engine", lambda *_: here)
    return tmp_path


def test_every_command_says_it_once(world, command):
    shared = ("--data-root", "field", "--model", "model", "--shots", "1", "--set", "epochs=1")
    calls = {
        "fit": ("fit", "eurosat", *shared, "--method", "tip_adapter", "-o", "run"),
        "evaluate": ("evaluate", "run", "eurosat", "--data-root", "field"),
        "compare": ("compare", "eurosat", *shared, "--methods", "tip_adapter", "--seeds", "1,2"),
        "bench": (
            *("bench", "base_to_novel", "--data", "eurosat", *shared, "--seeds", "1,2"),
            *("--methods", "tip_adapter"),
        ),
        "reproduce": (
            *("reproduce", "mmrl/base_to_novel", "--data", "eurosat", *shared, "--seeds", "1,2"),
            *("--set", "batch_size=32", "--model", "picto"),
        ),
    }
    for name, call in calls.items():
        code, _, err = command(*call)
        assert code == 0, (name, err)
        assert err.count("as published") == 1 and NOTE in err.splitlines(), (name, err)


def test_own_images_of_equal_prompts_are_refused(world, command):
    for name in ("Crane", "crane", "bee"):
        (world / "own" / name).mkdir(parents=True)
        for number in range(3):
            shade = (number * 40, 9 * len(name), ord(name[0]))
            Image.new("RGB", (20, 20), shade).save(world / "own" / name / f"{number}.png")
    for call in (("fit", "own"), ("compare", "own"), ("bench", "few_shot", "--data", "own")):
        code, out, err = command(*call, "--model", "model", "--shots", "1", "-o", "new")
        assert (code, out) == (2, "") and "give the same prompt" in err.splitlines()[-1]
        assert not (world / "new").exists()
