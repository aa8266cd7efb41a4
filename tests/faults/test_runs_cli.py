"""What the commands print and leave when something beside the figures goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interlace.cli._run_files import picture_of
from interlace.evaluation import plots
from tests import models

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small"
    models.with_tokenizer().save(path)
    return path


def photos(root: Path, names: list[str], each: int = 6, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def fit(model: Path, data: Path, run: Path, *more: object) -> list[object]:
    arguments = ["fit", data, "--model", model, "--shots", 2, "--method", "linear_probe"]
    return [*arguments, "--set", "epochs=1", "-o", run, *more]


def test_a_failed_drawing_is_a_note(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = photos(tmp_path / "photos", ["x^2$_$", "bee"]), tmp_path / "run"
    seen: list[bool] = []

    def broken(*_: object) -> str:
        seen.append((run / "result.json").exists())
        raise RuntimeError("no font\nmore")

    with monkeypatch.context() as patch:
        patch.setattr(plots, "confusion_png", broken)
        code, out, err = command(*fit(model, data, run))
        assert code == 0 and seen == [True], "the figures are on the disk first"
        assert "top-1 accuracy" in out and "confusion.png could not be drawn: no font" in err
        assert not (run / "confusion.png").exists() and (run / "bundle.json").exists()
        code, out, err = command("evaluate", run, data)
        assert code == 0 and "top-1 accuracy" in out and "could not be drawn" in err
    assert command(*fit(model, data, run, "--overwrite"))[0] == 0
    before = (run / "confusion.png").read_bytes()
    code, out, _ = command("evaluate", run, data)
    assert code == 0 and "confusion-photos.png" in out
    assert (run / "confusion.png").read_bytes() == before
    assert (run / "confusion-photos.png").exists()


def test_an_older_run_without_results_is_completed(
    command: Command, model: Path, tmp_path: Path
) -> None:
    data, run = photos(tmp_path / "photos", ["ant", "bee", "cat"]), tmp_path / "run"
    assert command(*fit(model, data, run))[0] == 0
    whole = {path.name: path.read_bytes() for path in run.iterdir()}
    for name in ("result.json", "split.json", "confusion.png"):
        (run / name).unlink()
    code, out, _ = command(*fit(model, data, run))
    assert code == 0 and "top-1 accuracy" in out
    assert {path.name: path.read_bytes() for path in run.iterdir()} == whole
    code, out, err = command(*fit(model, data, run))
    assert code == 2 and out == "" and "already holds an adapted model" in err
    (run / "result.json").unlink()
    code, _, err = command(*fit(model, data, run, "--seed", 2))
    assert code == 2 and "already holds" in err, "another run completes nothing"


def test_names_and_classes_are_said(command: Command, model: Path, tmp_path: Path) -> None:
    data, run = photos(tmp_path / "photos", ["1", "2", "3"]), tmp_path / "run"
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"1": "ant", "2": "bee", "3": "cat"}))
    assert command(*fit(model, data, run, "--class-names", names))[0] == 0
    code, out, err = command("evaluate", run, data)
    assert code == 0 and "trained on these classes" in out and "note" not in err
    method = ["--method", "clip_adapter", "--class-names", names, "--overwrite"]
    assert command(*fit(model, data, run, *method))[0] == 0
    some = photos(tmp_path / "some", ["3", "emu"], seed=3)
    code, out, err = command("evaluate", run, some)
    assert code == 0 and "1 of the 2 classes of some are among the 3" in err
    none = photos(tmp_path / "none", ["emu", "fox"], seed=4)
    code, out, err = command("evaluate", run, none, "--json")
    assert code == 0 and json.loads(out)["known_classes"] == 0
    assert "none of the 2 classes of none (emu, fox) is among the 3" in err


def test_no_test_images_is_said_before_training(
    command: Command, model: Path, tmp_path: Path
) -> None:
    data, run = photos(tmp_path / "photos", ["ant", "bee"], each=1), tmp_path / "run"
    code, out, err = command(*fit(model, data, run))
    assert code == 0 and "there are no test images: nothing will be scored" in err, err
    assert "adapted model in" in out and (run / "result.json").exists()


def test_copies_only_are_refused_before_anything_is_written(
    command: Command, model: Path, tmp_path: Path
) -> None:
    data = photos(tmp_path / "photos", ["ant", "bee"])
    for path in data.rglob("*.png"):
        path.write_bytes((path.parent / "0.png").read_bytes())
    code, out, err = command(*fit(model, data, tmp_path / "run"))
    assert code == 2 and out == "" and "copies of images that the fit uses" in err
    assert not (tmp_path / "run").exists()


def test_results_are_printed_even_where_they_cannot_be_written(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, output = photos(tmp_path / "photos", ["ant", "bee", "cat", "dog"]), tmp_path / "c.json"

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    arguments = ["compare", data, "--model", model, "--methods", "tip_adapter", "--seeds", 1]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        code, out, err = command(*arguments, "--shots", 2, "-o", output)
    assert code == 2 and "tip_adapter" in out
    assert "cannot write" in err and "no space left on the disk" in err
    assert not output.exists()
    for place in (tmp_path, data / "ant" / "0.png" / "x.json"):
        code, out, err = command(*arguments, "-o", place)
        assert code == 2 and out == "" and "cannot write" in err


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("picto/food-drink", "confusion-food-drink.png"),
        ("eurosat", "confusion-eurosat.png"),
        ("a b/$x\0", "confusion-x.png"),
        ("\udce4", "confusion-data.png"),
        ("x" * 300, f"confusion-{'x' * 80}.png"),
    ],
)
def test_pictures_have_names_of_their_own(data: str, expected: str) -> None:
    assert picture_of(data) == expected
