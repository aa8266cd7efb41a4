"""Names that look like rich's markup come out as they are, in all that any command prints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from interlace.cli._output import err, out
from interlace.experiments.cell import run_cell
from tests import models

BOLD, RED = "[bold]x", "a [/red] :smile:"


class Here:
    """Runs cells in this process."""

    workers = 1

    def run(self, specs, started):
        for spec in specs:
            started(spec)
            yield run_cell(spec, device="cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    generator = np.random.default_rng(0)
    for folder in ("[bold]x", "[link=y]", "c", "d"):
        (root / "[b]data" / folder).mkdir(parents=True)
        for number in range(5):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "[b]data" / folder / f"[i]{number}.png")
    (root / "[b]data" / "c" / "[u]broken.png").write_bytes(b"no image")
    (root / "names.json").write_text(json.dumps({"[link=y]": RED}))
    models.with_tokenizer().save(root / "[i]model")
    return root


@pytest.fixture
def printed(world, command, monkeypatch):
    """What a call prints on both streams; it has to succeed."""
    monkeypatch.chdir(world)
    for console in (out, err):  # a long name is folded where lines are short
        monkeypatch.setattr(console, "_width", 300)
    monkeypatch.setattr("interlace.cli.bench.make_engine", lambda *_: Here())

    def call(*arguments):
        code, out, err = command(*arguments)
        assert code == 0, err
        return out + err

    return call


def test_names_in_all_that_is_printed(printed):
    def see(call, *names):
        found = printed(*call)
        for name in names:
            assert name in found, (call, name, found)

    model, shots = ("--model", "[i]model"), ("--shots", "2")
    named = ("--class-names", "names.json")
    own = "coop:init=a [b]photo:n_tokens=5:epochs=1"
    fit = ("fit", "[b]data", *model, *shots, *named, "--method", "clip_adapter")
    see((*fit, "--set", "epochs=1", "-o", "[b]run"), BOLD, RED, "[u]broken.png", "in [b]run (")
    see(
        ("evaluate", "[b]run", "[b]data", "--confusion", "[b]c.png"),
        "[b]data: ",
        "[u]broken.png",
        "matrix in [b]c.png",
    )
    see(("predict", "[b]run", "[b]data"), BOLD, RED, "[b]data/c/[i]0.png", "[u]broken.png")
    see(
        ("predict", "[b]run", "[b]data/c/[i]0.png", "--classes", "[bold]q,r [/b]"),
        "[bold]q",
        "r [/b]",
    )
    see(
        ("compare", "[b]data", *model, *shots, *named, "--methods", own, "--seeds", "1", "-o", "c"),
        own,
        "[b]data, 2 shots",
        BOLD,
        RED,
    )
    see(
        ("bench", "few_shot", "--data", "[b]data", *model, *shots, "--methods", own)
        + ("--seeds", "1", "-o", "[b]cells"),
        f"{own} on [b]data",
        "in [b]cells",
    )
    see(("report", "[b]cells", "--format", "csv"), own, "[b]data")
    see(("report", "[b]cells", "-o", "[b]r.html", "--title", "[/b]"), "[b]r.html: 2 cells")
    see(("show", "[b]run"), "[b]run", BOLD, RED, "[i]model")
    see(("show", "[i]model"), "[i]model")
    see(("data", "split", "[b]data", *shots, "-o", "[b]s.json"), BOLD, "[b]s.json: sha256")
    see(("embed", "[b]data", *model, "-o", "[b]v.parquet"), "[b]v.parquet: 20", "[u]broken.png")
    see(("search", "build", "[b]data", *model, "-o", "[b]g"), "[b]g: 20 images", "[u]broken.png")
    see(("search", "info", "[b]g"), "[b]g", "[b]data", "[i]model", "[u]broken.png")
    see(
        ("search", "query", "[b]g", "[/b] x", "--sheet", "[b]q.png"), BOLD, "[i]", "sheet: [b]q.png"
    )
    see(
        ("demo", "--data", "[b]data", *model, *shots, "--seeds", "1", "--epochs", "1")
        + ("--methods", "clip_adapter", "-o", "[b]demo"),
        "[b]data, 2 shots",
        "picture in [b]demo",
        BOLD,
    )
    lora = ("--method", "clip_lora", "--set", "epochs=1", "-o", "[b]lora")
    see((*fit, *lora), "[b]lora")
    see(("export", "[b]lora", "-o", "[b]plain"), "checkpoint in [b]plain")
    see(("data", "list", "--data-root", "[b]data"), "[b]data")


def test_names_in_refusals(world, command, monkeypatch):
    monkeypatch.chdir(world)
    for call in (
        ("fit", "[/red]"),
        ("fit", "[b]data", "--method", "[/red]"),
        ("fit", "[b]data", "--set", "[/red]=1"),
        ("show", "[/red]"),
        ("bench", "[/red]"),
        ("report", "[/red]"),
        ("data", "check", "[/red]"),
        ("search", "info", "[/red]"),
        ("embed", "[/red]", "--model", "[i]model", "-o", "x"),
        ("export", "[/red]", "-o", "x"),
        ("predict", "[/red]", "names.json"),
        ("reproduce", "[/red]"),
        ("data", "get", "[/red]"),
        ("fit", "[b]data", "--[/red]"),
    ):
        code, out, err = command(*call)
        assert (code, out) == (2, "") and "[/red]" in err.splitlines()[-1], (call, err)
