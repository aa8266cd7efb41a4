"""Nothing is refused late: what can be known beforehand is said before anything is done.

Every command is called with inputs that it cannot use. Each ends with exit code 2 and one line,
nothing is on stdout, no file is made or changed, no step is trained and no image encoded.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import interlace
from interlace import cli
from interlace._util.files import held
from interlace.backbone import load
from tests import models

MODEL = ("--model", "model")
FIT = ("fit", "photos", *MODEL, "--shots", "2", "--method", "linear_probe", "--set", "epochs=1")
COMPARE = ("compare", "photos", *MODEL, "--shots", "2", "--seeds", "1", "--methods", "tip_adapter")
BENCH = ("bench", "few_shot", "--data", "photos", *MODEL, "--shots", "2", "--seeds", "1")
BENCH = (*BENCH, "--methods", "tip_adapter", "--workers", "1")
REPRODUCE = ("reproduce", "mmrl/few_shot", "--data", "eurosat", "--data-root", "field", *MODEL)
REPRODUCE = (*REPRODUCE, "--set", "epochs=1", "--workers", "1", "-o", "new")
EMBED = ("embed", "photos", *MODEL)
BUILD = ("search", "build", "photos", *MODEL)
DEMO = ("demo", "--data", "photos", *MODEL, "--shots", "2", "--seeds", "1", "--epochs", "1")

LONG = "x " * 400
TWINS = ("names that differ by case",)
#: What commands that draw shots share; ``*call`` stands before.
DATA = {
    "no braces in the template": (("--template", "a photo"), "{}"),
    "a template that is too long": (("--template", LONG + "{}"), "77"),
    "a preset that is none": (("--preset", "typo"), "no preset 'typo'"),
    "a preset of a mistyped set": (("--preset", "published/few_shot/eurosatt"), "'eurosat'?"),
    "a device that is none": (("--device", "gpu"), "device 'gpu' is not available"),
    "a device that is not there": (("--device", "cuda:99"), "device 'cuda:99' is not available"),
    "a setting that is none": (("--set", "nope=1"), "'nope'"),
    "a setting without a value": (("--set", "lr"), "expected key=value"),
    "a setting of another type": (("--set", "lr=abc"), "lr='abc'"),
    "a setting out of range": (("--set", "lr=1e38"), "lr="),
    "a precision the CPU lacks": (("--set", "precision=float16"), "needs a GPU"),
    "a configuration that is missing": (("--config", "nowhere.yaml"), "nowhere.yaml"),
    "a pipe as configuration": (("--config", "pipe"), "a named pipe"),
    "a configuration of a list": (("--config", "list.yaml"), "list.yaml"),
    "a split that is missing": (("--split", "nowhere.json"), "nowhere.json: no such split file"),
    "a split of other data": (("--split", "other.json"), "other"),
    "a pipe as split": (("--split", "pipe.json"), "a named pipe"),
    "a model that is missing": (("--model", "./nowhere"), "no file or folder './nowhere'"),
    "a model of no such name": (("--model", "ViT-B-99:openai"), "unknown model"),
    "a file that is no model": (("--model", "./text.txt"), "text.txt"),
    "a pipe as model": (("--model", "./pipe"), "a named pipe"),
    "a folder without a model": (("--model", "photos"), "holds no model"),
}
OUTPUTS = {
    "a file in the place of a folder": (("-o", "text.txt/x"), "cannot write text.txt/x"),
    "a folder that takes no files": (("-o", "/proc/none/x"), "cannot write /proc/none/x"),
    "an output with a NUL": (("-o", "a\0b"), "a\\x00b"),
}
#: In the place of the data.
SOURCES = {
    "nothing there": ("nowhere", "nowhere"),
    "an empty folder": ("empty", "empty"),
    "a pipe": ("pipe", "pipe"),
    "a text": ("text.txt", "text.txt"),
    "a name with a NUL": ("a\0b", "a\\x00b"),
    "no such set": ("picto/food", "did you mean 'picto/food-drink'"),
    "a set without its root": ("eurosat", "eurosat"),
    "names that differ by case": ("twins", "'Ant' and 'ant' give the same prompt"),
}
NAMES = {
    "names that are missing": (("--class-names", "nowhere.json"), "no such file"),
    "names of a folder that is not there": (("--class-names", "unknown.json"), "'cow'"),
    "names with one folder twice": (("--class-names", "twice.json"), "stands twice"),
    "names with one folder twice, as text": (("--class-names", "twice.txt"), "stands there twice"),
    "too few names": (("--class-names", "few.txt"), "2 class names for 4 classes"),
    "a pipe as names": (("--class-names", "pipe"), "a named pipe"),
    "two classes of one prompt": (("--class-names", "prompt.json"), "give the same prompt"),
}


def _cases() -> dict[str, tuple[tuple[str, ...], str]]:
    found: dict[str, tuple[tuple[str, ...], str]] = {}

    def add(name: str, call: tuple[str, ...], table: dict[str, tuple[tuple[str, ...], str]]):
        for what, (more, reason) in table.items():
            found[f"{name}: {what}"] = ((*call, *more), reason)

    def instead(call: tuple[str, ...], place: int, leave: tuple[str, ...] = ()):
        return {
            what: ((*call[:place], source, *call[place + 1 :]), reason)
            for what, (source, reason) in SOURCES.items()
            if what not in leave
        }

    add("fit", (*FIT, "-o", "new"), DATA | NAMES)
    add("fit", FIT, OUTPUTS)
    add("fit", (), instead((*FIT, "-o", "new"), 1))
    add(
        "fit",
        (*FIT, "-o", "new"),
        {
            "a method that is none": (("--method", "mmrll"), "no method 'mmrll'"),
            "a seed below 0": (("--seed", "-1"), "seed=-1"),
            "a seed that is too large": (("--seed", str(2**48)), "seed="),
            "an output that is a file": (("-o", "text.txt"), "cannot write text.txt"),
            "an output that is complete": (("-o", "run"), "already holds an adapted model"),
            "an output in use": (("-o", "held"), "another interlace command"),
            "published values of mistyped data": (("--preset", "published/x"), "no preset"),
            "a column of a folder": (("--label-column", "x"), "has no columns"),
        },
    )
    add(
        "fit",
        ("fit",),
        {
            "an image that is broken, strictly": (("mixed", *FIT[2:], "--strict"), "broken.png"),
            "a table without its images": (("gone.csv", *FIT[2:]), "gone"),
            "a prompt that is too long": (("photos", *FIT[2:], "--class-names", "long.json"), "77"),
        },
    )
    for tracker in ("tensorboard", "wandb"):
        if importlib.util.find_spec(tracker) is None:
            more = ((*FIT, "-o", "new", "--track", tracker), "is not installed")
            found[f"fit: {tracker} that is not installed"] = more

    add(
        "evaluate",
        ("evaluate",),
        {
            "no run": (("nowhere", "photos"), "holds no adapted model"),
            "a run that is a file": (("text.txt", "photos"), "holds no adapted model"),
            "a broken run": (("broken", "photos"), "bundle.json"),
            "a run cut short": (("cut", "photos"), "adapted.safetensors"),
            "other classes": (("run", "others"), "answers only for the 4 classes"),
            "a device that is none": (("run", "photos", "--device", "gpu"), "device 'gpu'"),
            "a picture in a file": (
                ("run", "photos", "--confusion", "text.txt/x.png"),
                "cannot write text.txt/x.png",
            ),
            "a picture that is a folder": (
                ("run", "photos", "--confusion", "photos"),
                "cannot write photos",
            ),
            "nothing left to score": (("run", "shots"), "shots"),
        },
    )
    add("evaluate", ("evaluate", "adapter", "photos"), NAMES)
    add("evaluate", (), instead(("evaluate", "adapter", "photos"), 2))

    add(
        "predict",
        ("predict",),
        {
            "no run": (("nowhere", "a.png"), "holds no adapted model"),
            "a broken run": (("broken", "a.png"), "bundle.json"),
            "a run cut short": (("cut", "a.png"), "adapted.safetensors"),
            "no image": (("run", "nowhere.png"), "nowhere.png: no such image"),
            "a pipe": (("run", "pipe"), "a named pipe"),
            "a text": (("run", "text.txt"), "text.txt: not an image"),
            "a folder without images": (("run", "empty"), "no images in empty"),
            "classes of a bound method": (
                ("run", "a.png", "--classes", "x,y"),
                "answers only for the 4",
            ),
            "no classes": (("adapter", "a.png", "--classes", ""), "--classes ''"),
            "an empty class": (("adapter", "a.png", "--classes", "x,,y"), "--classes 'x,,y'"),
            "one class twice": (("adapter", "a.png", "--classes", "x,x"), "more than once: x"),
            "one prompt": (("adapter", "a.png", "--classes", "x,X"), "same prompt"),
            "a long class": (("adapter", "a.png", "--classes", LONG), "77"),
            "a device that is none": (("run", "a.png", "--device", "gpu"), "device 'gpu'"),
            "a broken image, strictly": (("run", "mixed", "--strict"), "broken.png"),
        },
    )

    add("compare", (*COMPARE, "-o", "new.json"), DATA | NAMES)
    add("compare", COMPARE, OUTPUTS)
    add("compare", (), instead(COMPARE, 1))
    lists = {
        "a method that is none": (("--methods", "tipp"), "no method 'tipp'"),
        "a method's own setting": (("--methods", "mail:rnk=1"), "'rnk'"),
        "no methods": (("--methods", ","), "at least one"),
        "no seeds": (("--seeds", ""), "seeds ''"),
        "a seed of another script": (("--seeds", "²"), "seeds '²'"),
        "a seed twice": (("--seeds", "1,1"), "1 stands there twice"),
        "a seed of 5,000 digits": (("--seeds", "1" * 5000), "5,000 digits"),
        "a seed that is too large": (("--seeds", str(2**48)), "seed"),
    }
    add("compare", COMPARE, lists)
    add(
        "compare",
        COMPARE,
        {
            "an output that is a folder": (("-o", "photos"), "cannot write photos"),
            "an output in use": (("-o", "held"), "another interlace command"),
        },
    )

    add("bench", (*BENCH, "-o", "new"), {w: c for w, c in DATA.items() if "pipe as sp" not in w})
    add("bench", BENCH, OUTPUTS)
    add("bench", (*BENCH, "-o", "new"), lists)
    add("bench", (), instead((*BENCH, "-o", "new"), 3))
    add(
        "bench",
        (*BENCH, "-o", "new"),
        {
            "no data": (("--data", ","), "names no data set"),
            "shots that are none": (("--shots", "1.5"), "shots '1.5'"),
            "shots that nothing has": (("--shots", "99"), "no data set has enough images"),
            "a condition that is none": (("--conditions", "typos"), "no condition 'typos'"),
            "an output that is a file": (("-o", "text.txt"), "cannot write text.txt"),
        },
    )
    add(
        "bench",
        ("bench",),
        {
            "a protocol that is none": (("few_shots", *BENCH[2:], "-o", "new"), "'few_shot'?"),
            "a target that is missing": (
                ("cross_dataset", *BENCH[2:], "--targets", "nowhere", "-o", "new"),
                "no such folder: nowhere",
            ),
            "a target of one prompt": (
                ("cross_dataset", *BENCH[2:], "--targets", "twins", "-o", "new"),
                "same prompt",
            ),
        },
    )

    add(
        "reproduce",
        REPRODUCE,
        {
            "no seeds": (("--seeds", ""), "seeds ''"),
            "seeds that are none": (("--seeds", "x"), "seeds 'x'"),
            "no shots": (("--shots", ""), "shots ''"),
            "shots that nothing has": (("--shots", "99"), "enough images"),
            "a setting that is none": (("--set", "nope=1"), "'nope'"),
            "data that was not published": (("--data", "photos"), "not published on 'photos'"),
            "data that is not there": (("--data", "dtd"), "not there or not complete: dtd"),
            "no such data root": (("--data-root", "nowhere"), "nowhere"),
            "a model that is missing": (("--model", "./nowhere"), "./nowhere is not there"),
            "a device that is none": (("--device", "gpu"), "device 'gpu'"),
            "an output that is a file": (("-o", "text.txt"), "cannot write text.txt"),
            "a split that is missing": (("--split", "x-{seed}.json"), "x-1.json"),
            "seeds before data": (("--data", "dtd", "--seeds", "x"), "seeds 'x'"),
            "settings before data": (("--data", "dtd", "--set", "nope=1"), "'nope'"),
        },
    )
    found["reproduce: nothing published"] = (("reproduce", "mmrl/nope"), "nothing published")

    add(
        "report",
        ("report", "records", "--format", "html"),
        OUTPUTS
        | {
            "an output that is a folder": (("-o", "photos"), "-o photos is a folder"),
            "a page without a file": ((), "needs a file"),
            "a page in a file": (("-o", "text.txt/x.html"), "cannot write text.txt/x.html"),
        },
    )
    add(
        "report",
        ("report",),
        {
            "nothing there": (("nowhere",), "nowhere"),
            "a folder without cells": (("photos",), "photos"),
            "a text": (("text.txt",), "text.txt"),
            "a baseline that is none": (("records", "--baseline", "nope"), "'nope'"),
            "a suffix of no format": (("records", "-o", "new.xyz"), "the suffix says no format"),
        },
    )

    add(
        "export",
        ("export", "lora"),
        OUTPUTS
        | {
            "an output that is a file": (("-o", "text.txt"), "text.txt is a file"),
            "an output that is not empty": (("-o", "photos"), "photos is not empty"),
            "an output that is no model": (("-o", "photos", "--overwrite"), "not a saved model"),
            "an output in use": (("-o", "held"), "another interlace command"),
            "a format that is none": (("-o", "new", "--format", "onnx"), "--format 'onnx'"),
        },
    )
    add(
        "export",
        ("export",),
        {
            "no run": (("nowhere", "-o", "new"), "holds no adapted model"),
            "a broken run": (("broken", "-o", "new"), "bundle.json"),
            "a run cut short": (("cut", "-o", "new"), "adapted.safetensors"),
            "a method that is no plain model": (("run", "-o", "new"), "not a plain model"),
        },
    )

    models_only = {
        what: case for what, case in DATA.items() if "--model" in case[0] or "--dev" in case[0][0]
    }
    add("embed", (*EMBED, "-o", "new.parquet"), models_only)
    add(
        "embed",
        EMBED,
        OUTPUTS
        | {
            "an output that is a folder": (("-o", "photos"), "photos is a folder"),
            "an output that is there": (("-o", "text.txt"), "text.txt is there already"),
            "an output in use": (("-o", "held"), "another interlace command"),
            "an engine that is none": (("-o", "new", "--engine", "slurm"), "--engine"),
            "no images at a time": (("-o", "new", "--batch-size", "0"), "--batch-size '0'"),
            "parts of no images": (("-o", "new", "--unit", "0"), "--unit '0'"),
        },
    )
    add(
        "embed",
        ("embed",),
        {
            "nothing there": (("nowhere", *MODEL, "-o", "new"), "nowhere"),
            "an empty folder": (("empty", *MODEL, "-o", "new"), "empty"),
            "a pipe": (("pipe", *MODEL, "-o", "new"), "pipe"),
            "a text": (("text.txt", *MODEL, "-o", "new"), "text.txt"),
            "a pipe among images, strictly": (
                ("pipes", *MODEL, "--strict", "-o", "new"),
                "a named pipe",
            ),
        },
    )

    add(
        "show",
        ("show",),
        {
            "nothing of this name": (("nowhere",), "no method 'nowhere'"),
            "a path": (("./nowhere",), "no file or folder"),
            "a broken run": (("broken",), "bundle.json"),
            "a text": (("text.txt",), "text.txt"),
            "a pipe": (("pipe",), "pipe"),
        },
    )

    add(
        "demo",
        DEMO,
        OUTPUTS
        | {
            "an output that is a file": (("-o", "text.txt"), "cannot write text.txt"),
            "an output in use": (("-o", "held"), "another interlace command"),
            "a method that is none": (("-o", "new", "--methods", "mmrll"), "no method 'mmrll'"),
            "a bound method": (("-o", "new", "--methods", "linear_probe"), "answers only for"),
            "a model that is missing": (("-o", "new", "--model", "./nowhere"), "./nowhere"),
            "no seeds": (("-o", "new", "--seeds", "0"), "--seeds '0'"),
            "no epochs": (("-o", "new", "--epochs", "0"), "--epochs '0'"),
        },
    )
    add("demo", (), instead((*DEMO, "-o", "new"), 2))

    add("data check", (), instead(("data", "check", "photos"), 2, TWINS))
    add(
        "data split",
        ("data", "split", "photos"),
        OUTPUTS
        | {
            "an output that is a folder": (("-o", "photos"), "cannot write photos"),
            "a seed below 0": (("-o", "new", "--seed", "-1"), "seed=-1"),
            "a draw that is missing": (("-o", "new", "--import", "nowhere.pkl"), "nowhere.pkl"),
            "a pipe as draw": (("-o", "new", "--import", "pipe.json"), "a named pipe"),
        },
    )
    add(
        "data split",
        (),
        instead(("data", "split", "photos", "-o", "new"), 2, TWINS),
    )
    add(
        "data get",
        ("data", "get"),
        {
            "a set that is none": (("nope", "--data-root", "empty"), "no data set 'nope'"),
            "a set to be asked for": (("imagenet", "--data-root", "empty"), "cannot be downloaded"),
            "no data root": (("dtd",), "where to?"),
            "a data root that is a file": (("dtd", "--data-root", "text.txt"), "text.txt"),
            "a data root that takes no files": (("dtd", "--data-root", "/proc/none"), "/proc/none"),
            "images that are there": (("eurosat", "--data-root", "field"), "is there already"),
        },
    )

    add("search build", (*BUILD, "-o", "new"), models_only)
    add(
        "search build",
        BUILD,
        {
            "an output that is a file": (("-o", "text.txt"), "text.txt"),
            "a file in the place of a folder": (("-o", "text.txt/x"), "text.txt"),
            "a folder that takes no files": (("-o", "/proc/none/x"), "/proc/none/x"),
            "an output with a NUL": (("-o", "a\0b"), "a\\x00b"),
            "an output in use": (("-o", "held"), "another interlace command"),
            "a gallery of another model": (("-o", "gallery", "--model", "picto"), "was built with"),
            "storage that is none": (("-o", "new", "--storage", "x"), "expected key=value"),
            "no images at a time": (("-o", "new", "--batch-size", "0"), "--batch-size '0'"),
        },
    )
    add(
        "search build",
        ("search", "build"),
        {
            "no model": (("photos", "-o", "new"), "a new gallery needs a model"),
            "nothing there": (("nowhere", *MODEL, "-o", "new"), "nowhere"),
            "an empty folder": (("empty", *MODEL, "-o", "new"), "empty"),
            "a pipe": (("pipe", *MODEL, "-o", "new"), "pipe"),
            "a pipe among images, strictly": (
                ("pipes", *MODEL, "--strict", "-o", "new"),
                "a named pipe",
            ),
        },
    )
    add(
        "search query",
        ("search", "query", "gallery"),
        {
            "an image that is missing": (("nowhere.png",), "no such file: nowhere.png"),
            "an image that is asked for": (("nowhere", "--image"), "nowhere"),
            "a pipe": (("pipe", "--image"), "a named pipe"),
            "both kinds": (("x", "--image", "--text"), "one of them"),
            "nothing to find": (("x", "--top", "0"), "--top '0'"),
            "a sheet of no format": (("x", "--sheet", "new.xyz"), "unknown file extension"),
            "a sheet of a format without colours": (
                ("x", "--sheet", "x.xbm"),
                "cannot write mode RGB",
            ),
            "a sheet in a file": (
                ("x", "--sheet", "text.txt/x.png"),
                "cannot write text.txt/x.png",
            ),
            "another model": (("x", "--model", "picto"), "was built with"),
            "a device that is none": (("x", "--device", "gpu"), "device 'gpu'"),
        },
    )
    add("search query", ("search", "query"), {"no gallery": (("photos", "x"), "photos")})
    add(
        "search info",
        ("search", "info"),
        {
            "nothing there": (("nowhere",), "nowhere"),
            "no gallery": (("photos",), "photos"),
            "a text": (("text.txt",), "text.txt"),
            "storage that is none": (("gallery", "--storage", "=x"), "expected key=value"),
        },
    )
    return found


CASES = _cases()


def _photos(root: Path, names: list[str], each: int = 6, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def _call(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["interlace", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    assert stopped.value.code in (0, None), arguments


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the cases name, made by the commands themselves."""
    root = tmp_path_factory.mktemp("world")
    _photos(root / "photos", ["ant", "bee", "cat", "dog"])
    _photos(root / "others", ["emu", "fox"], seed=1)
    _photos(root / "twins", ["Ant", "ant", "bee"], seed=2)
    _photos(root / "mixed", ["ant", "bee"], seed=3)
    (root / "mixed" / "ant" / "broken.png").write_bytes(b"no image")
    (root / "empty").mkdir()
    _photos(root / "pipes", ["ant", "bee"], seed=5)
    os.mkfifo(root / "pipes" / "ant" / "x.png")
    os.mkfifo(root / "pipe")
    os.mkfifo(root / "pipe.json")
    (root / "text.txt").write_text("no data\n")
    (root / "list.yaml").write_text("- a\n- b\n")
    (root / "gone.csv").write_text("image,label\nphotos/gone/1.png,ant\n")
    names = {"ant": "ant", "bee": "Ant"}
    (root / "prompt.json").write_text(json.dumps(names))
    (root / "long.json").write_text(json.dumps({"ant": LONG}))
    (root / "unknown.json").write_text(json.dumps({"cow": "cow"}))
    (root / "twice.json").write_text('{"ant": "a", "bee": "b", "ant": "c"}')
    (root / "twice.txt").write_text("ant\ta\nbee\tb\nant\tc\n")
    (root / "few.txt").write_text("one\ntwo\n")
    shutil.copy(root / "photos" / "ant" / "0.png", root / "a.png")
    eurosat = root / "field" / "eurosat"
    _photos(eurosat / "2750", ["Forest", "River"], each=9, seed=4)
    lists = {
        part: [
            [f"{name}/{number}.png", label, name]
            for label, name in enumerate(("Forest", "River"))
            for number in numbers
        ]
        for part, numbers in (("train", range(4)), ("val", (4, 5)), ("test", (6, 7, 8)))
    }
    (eurosat / "split_zhou_EuroSAT.json").write_text(json.dumps(lists))
    models.with_tokenizer().save(root / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        _call(*FIT, "-o", "run")
        _call(*FIT, "--method", "clip_adapter", "-o", "adapter")
        _call(*FIT, "--method", "clip_lora", "-o", "lora")
        _call("data", "split", "others", "--shots", "2", "-o", "other.json")
        _call(*BUILD, "-o", "gallery")
        fitted = json.loads(Path("run", "split.json").read_text())["train"]
        for key, *_ in fitted if isinstance(fitted[0], list) else [[k] for k in fitted]:
            place = root / "shots" / key
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / "photos" / key, place)
        from interlace.experiments.cell import CellSpec, run_cell
        from interlace.experiments.store import Store

        for method in ("zero_shot", "tip_adapter"):
            spec = CellSpec("few_shot", "photos", method, 2, 1, model="model")
            Store("records").write(run_cell(spec, device="cpu"))
    shutil.copytree(root / "run", root / "broken")
    (root / "broken" / "bundle.json").write_text("{")
    shutil.copytree(root / "run", root / "cut")
    tensors = (root / "cut" / "adapted.safetensors").read_bytes()
    (root / "cut" / "adapted.safetensors").write_bytes(tensors[: len(tensors) // 2])
    return root


def _snapshot(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def _late(*_: object, **__: object) -> None:
    raise AssertionError("refused too late")


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is learnt, encoded, started or fetched is a failure of the test."""
    import open_clip
    import torchvision.datasets

    from interlace.adaptation import fit as fitting
    from interlace.backbone.tower import ImageTower
    from interlace.experiments.engines.local import Local
    from interlace.search.encoder import Encoder

    monkeypatch.setattr(fitting, "Trainer", _late)
    monkeypatch.setattr(ImageTower, "embed", _late)
    monkeypatch.setattr(Local, "run", _late)
    monkeypatch.setattr(Encoder, "text", _late)
    monkeypatch.setattr(open_clip, "download_pretrained", _late)
    monkeypatch.setattr(torchvision.datasets, "DTD", _late)
    monkeypatch.setattr(torchvision.datasets, "EuroSAT", _late)
    monkeypatch.delenv("INTERLACE_DATA", raising=False)


LATER = ("--model", "--template")
#: What has nothing to do with the model, which may be one to be fetched.
EARLY = {
    *OUTPUTS,
    *(what for what in SOURCES if what not in TWINS),
    *(what for what, (more, _) in DATA.items() if "precision" not in what and more[0] not in LATER),
    *("an output that is a file", "an output that is a folder", "an output that is not empty"),
    *("a method that is none", "a seed of another script", "no seeds", "no such data root"),
    *("data that is not there", "shots that nothing has", "a picture that is a folder"),
    *("a picture in a file", "a sheet of no format", "a sheet in a file", "no image", "no run"),
}


def _early(case: str) -> bool:
    about_models = ("show", "predict: a text", "bench: a split of other data")
    return case.partition(": ")[2] in EARLY and not case.startswith(about_models)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("nothing_runs")
def test_it_is_refused_before_anything_is_done(case, world, command, monkeypatch):
    arguments, reason = CASES[case]
    monkeypatch.chdir(world)
    if _early(case):
        monkeypatch.setattr(load, "_find", _late)
    before = _snapshot(world)
    with ExitStack() as stack:
        if "held" in arguments:
            stack.enter_context(held("held"))
        code, out, err = command(*arguments)
    assert code == 2 and out == "", err
    *notes, last = err.splitlines()
    assert all(notes), err
    assert last.startswith("error: ") and reason in last, err
    assert len(last) < 1000 and "Traceback" not in err
    assert not any(line.startswith("error") for line in notes), err
    assert _snapshot(world) == before


def test_python_is_refused_as_early(world, monkeypatch, nothing_runs):
    monkeypatch.chdir(world)
    task = interlace.FewShotTask.load("photos", 2)
    for settings, reason in (
        ({"preset": "published/few_shot/typo"}, "no data set 'typo'"),
        ({"preset": "typo"}, "no preset 'typo'"),
        ({"output": "text.txt"}, "cannot write text.txt"),
        ({"device": "gpu"}, "it must be auto, cpu, cuda"),
    ):
        with pytest.raises(interlace.InterlaceError, match=reason):
            interlace.fit("model", task, "linear_probe", **settings)
    with pytest.raises(interlace.InterlaceError, match="batch size = 0"):
        interlace.Gallery.build("new", "photos", "model", batch_size=0)
    assert not Path("new").exists()


def test_a_download_that_fails_leaves_nothing(world, command, monkeypatch):
    import torchvision.datasets

    def offline(root, download):
        (Path(root) / "dtd").mkdir()
        raise RuntimeError("no network\nmore")

    monkeypatch.chdir(world)
    monkeypatch.setattr(torchvision.datasets, "DTD", offline)
    before = _snapshot(world)
    code, out, err = command("data", "get", "dtd", "--data-root", "field")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("error: ")
    assert "DTD could not be downloaded (no network): get it from https://" in err
    assert _snapshot(world) == before


@pytest.mark.usefixtures("nothing_runs")
def test_with_json_too_stdout_stays_empty(world, command, monkeypatch):
    monkeypatch.chdir(world)
    for call in (
        ("fit", "nowhere"),
        ("evaluate", "nowhere", "photos"),
        ("predict", "run", "text.txt"),
        ("compare", "nowhere"),
        ("bench", "nope"),
        ("report", "nowhere"),
        ("reproduce", "nope/nope"),
        ("export", "nowhere", "-o", "new"),
        ("embed", "nowhere", *MODEL, "-o", "new"),
        ("show", "nowhere"),
        ("demo", "--data", "nowhere"),
        ("data", "check", "nowhere"),
        ("data", "split", "nowhere"),
        ("data", "get", "nowhere"),
        ("search", "build", "nowhere", *MODEL, "-o", "new"),
        ("search", "query", "nowhere", "x"),
        ("search", "info", "nowhere"),
    ):
        code, out, err = command(*call, "--json")
        assert (code, out) == (2, "") and err.splitlines()[-1].startswith("error: "), (call, err)
