"""The commands as a user runs them: what they print, what they leave, and how they refuse."""

from __future__ import annotations

import colorsys
import json

import numpy as np
import pytest
import torch
from PIL import Image

import interlace
from tests import models

HUES = {"006.red_thing": 0.0, "green": 0.33, "blue": 0.66, "violet": 0.8}
FAST = ["--set", "epochs=2", "--set", "n_tokens=2", "--set", "dim=8"]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A small random CLIP with a real tokenizer, in open_clip's format."""
    path = tmp_path_factory.mktemp("model") / "small"
    models.with_tokenizer().save(path, format="open_clip")
    return str(path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Eight noisy patches of each colour."""
    root, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, hue in HUES.items():
        (root / name).mkdir()
        for i in range(8):
            color = np.array(colorsys.hsv_to_rgb(hue, 0.9, 0.8)) * 255
            pixels = np.clip(color + generator.normal(0, 25, (24, 24, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def fitted(interlace_command, photos, model, tmp_path):
    run = tmp_path / "run"
    code, _, err = interlace_command(
        "fit", photos, "--model", model, "--shots", 2, "-o", run, *FAST
    )
    assert code == 0, err
    return run


def test_fit_says_what_it_held_out_and_leaves_its_files(interlace_command, photos, model, tmp_path):
    code, out, err = interlace_command(
        "fit", photos, "--model", model, "--shots", 2, "-o", tmp_path / "run", *FAST
    )
    assert code == 0
    assert "8 training images (2 per class, seed 1), 8 for validation" in err
    assert "held out for testing: 16 images" in err
    assert "16 held-out images, 4 classes" in out
    assert "zero-shot" in out and "mmrl++" in out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "adapted.safetensors",
        "bundle.json",
        "confusion.png",
        "result.json",
        "split.json",
    }
    with Image.open(tmp_path / "run" / "confusion.png") as picture:
        assert min(picture.size) > 300
    header = json.loads((tmp_path / "run" / "bundle.json").read_text())
    assert "red thing" in header["classes"]


def test_an_interrupted_fit_says_how_to_go_on(
    interlace_command, photos, model, tmp_path, monkeypatch
):
    from interlace.adaptation import fit as fitting
    from interlace.train.callbacks import Callback
    from interlace.train.trainer import Trainer

    class Kill(Callback):
        def on_step(self, progress):
            if progress.epoch == 2:
                raise KeyboardInterrupt

    def interrupted(*arguments, callbacks, **rest):
        return Trainer(*arguments, callbacks=[*callbacks, Kill()], **rest)

    arguments = ["fit", photos, "--model", model, "--shots", 2, "-o", tmp_path / "run", *FAST]
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "Trainer", interrupted)
        code, _, err = interlace_command(*arguments)
    assert code == 130 and "the same command resumes" in err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.safetensors"]
    code, out, err = interlace_command(*arguments)
    assert code == 0, err
    assert "16 held-out images" in out


def test_json_is_nothing_but_json(interlace_command, photos, model, tmp_path):
    code, out, _ = interlace_command(
        "fit", photos, "--model", model, "--shots", 2, "-o", tmp_path / "run", "--json", *FAST
    )
    result = json.loads(out)
    assert code == 0 and result["test"]["adapted"]["n"] == 16
    assert result["run"]["train"]["epochs"] == 2
    code, out, _ = interlace_command("evaluate", tmp_path / "run", photos, "--json")
    again = json.loads(out)
    assert again["left_out"] == 16
    assert again["adapted"]["top1"] == result["test"]["adapted"]["top1"]
    code, out, _ = interlace_command(
        "predict", tmp_path / "run", photos / "green" / "0.png", "--json"
    )
    (answer,) = json.loads(out)
    assert answer["label"] == answer["ranking"][0][0]


def test_evaluate_leaves_shots_out_under_any_name(interlace_command, fitted, photos, tmp_path):
    copy = tmp_path / "copy"
    for path in photos.rglob("*.png"):
        target = copy / path.parent.name / f"other{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    code, out, _ = interlace_command("evaluate", fitted, copy)
    assert code == 0
    assert "copy: 16 images, 4 classes" in out
    assert "16 images it was fitted on are left out" in " ".join(out.split())
    assert (fitted / "confusion.png").exists()


def test_base_and_novel(interlace_command, photos, model, tmp_path):
    run = tmp_path / "run"
    arguments = ["fit", photos, "--model", model, "--shots", 2, "--classes", "base", "-o", run]
    assert interlace_command(*arguments, *FAST)[0] == 0
    code, out, _ = interlace_command("evaluate", run, photos)
    assert code == 0
    for word in ("base, %", "novel, %", "harmonic mean, %", "all classes at once, %"):
        assert word in out
    code, out, _ = interlace_command("evaluate", run, photos, "--json")
    adapted = json.loads(out)["adapted"]
    assert (adapted["n_base"], adapted["n_novel"]) == (8, 16)
    base, novel = adapted["base"], adapted["novel"]
    expected = 2 * base * novel / (base + novel) if base and novel else 0
    assert adapted["harmonic"] == pytest.approx(expected)


def test_predict_takes_folders_and_other_classes(interlace_command, fitted, photos, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # so that no path is folded
    code, out, _ = interlace_command("predict", fitted, photos / "blue", "--classes", "sky,sea")
    assert code == 0
    assert out.count(".png") == 8
    assert "sky" in out and "violet" not in out


def test_show(interlace_command, fitted, model):
    for what, words in {
        "mmrl++": ("n_tokens", "beta", "parameters on picto"),
        model: ("image tower", "causal", "fingerprint"),
        str(fitted): ("mmrl++", "red thing", "epochs"),
        "picto/food-drink": ("test images", "a drawing of {}"),
    }.items():
        code, out, err = interlace_command("show", what)
        assert code == 0, err
        assert all(word in out for word in words), (what, out)
    code, out, _ = interlace_command("show", "--json")
    assert code == 0 and set(json.loads(out)["methods"]) == set(interlace.list_methods())


def test_every_command_has_help_with_an_example(interlace_command):
    for command in ("fit", "evaluate", "predict", "compare", "export", "show", "demo"):
        code, out, _ = interlace_command(command, "--help")
        assert code == 0
        assert f"interlace {command}" in out and "Example" in out


def bad_inputs(photos, model, tmp_path):
    empty, one, broken = (tmp_path / name for name in ("empty", "one", "broken"))
    empty.mkdir()
    (empty / "cat").mkdir()
    (one / "cat").mkdir(parents=True)
    (one / "cat" / "1.png").write_bytes((photos / "green" / "0.png").read_bytes())
    broken.write_bytes(b"no picture")
    fit = ["fit", photos, "--model", model, "-o", tmp_path / "out"]
    long = "a photo of a {} " + "very " * 90
    return {
        "a missing folder": (["fit", tmp_path / "nowhere"], "nowhere"),
        "no images": (["fit", empty], "no readable image"),
        "one class only": (["fit", one, "--shots", 1], "one class"),
        "fewer images than shots": (["fit", "picto/food-drink", "--shots", 500], "500 shots"),
        "an unknown model": (["fit", photos, "--shots", 1, "--model", "pitco"], "picto"),
        "an unknown method": ([*fit, "--method", "mmlr"], "mmrl"),
        "an unknown setting": ([*fit, "--shots", 1, "--set", "epoch=3"], "epochs"),
        "no assignment": ([*fit, "--shots", 1, "--set", "epochs"], "key=value"),
        "a value out of range": ([*fit, "--shots", 1, "--set", "alpha=2"], "alpha=2"),
        "a block beyond the depth": ([*fit, "--shots", 1, "--set", "first_block=99"], "99"),
        "a prompt beyond the context": ([*fit, "--shots", 1, "--template", long], "very very"),
        "a template without a place": ([*fit, "--shots", 1, "--template", "a cat"], "{}"),
        "a missing run": (["predict", tmp_path / "nowhere", broken], "no adapted model"),
        "a place that cannot be": ([*fit[:-1], broken / "out", "--shots", 1], str(broken / "out")),
        "a missing settings file": ([*fit, "--config", tmp_path / "no.yaml"], "no.yaml"),
    }


def assert_one_line(code, err, word):
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert code == 2
    assert len(lines) == 1 and word in lines[0], err
    assert "Traceback" not in err


def test_bad_input_is_one_line_and_exit_code_2(interlace_command, photos, model, tmp_path):
    for name, (arguments, word) in bad_inputs(photos, model, tmp_path).items():
        code, out, err = interlace_command(*arguments)
        assert out == "", name
        assert_one_line(code, err, word)
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_bad_images_and_runs(interlace_command, fitted, photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    assert_one_line(*interlace_command("predict", fitted, broken)[::2], "broken.jpg")
    assert_one_line(*interlace_command("predict", fitted, tmp_path / "no.jpg")[::2], "no.jpg")
    again = ["fit", photos, "--shots", 1, "-o", fitted]
    assert_one_line(*interlace_command(*again)[::2], "already holds")
    header = json.loads((fitted / "bundle.json").read_text())
    header["backbone"]["fingerprint"] = "0" * 16
    (fitted / "bundle.json").write_text(json.dumps(header))
    assert_one_line(*interlace_command("evaluate", fitted, photos)[::2], "was made for backbone")


def test_usage_errors_exit_with_2(interlace_command):
    for arguments in (["fit"], ["fit", "x", "--shots", "0"], ["nonsense"], ["fit", "x", "--oops"]):
        assert interlace_command(*arguments)[0] == 2


def test_compare(interlace_command, photos, model, tmp_path):
    results = tmp_path / "deep" / "results.json"
    arguments = ["compare", photos, "--model", model, "--shots", 2, "--seeds", "1,2"]
    arguments += ["--methods", "tip_adapter,mmrl++", "--set", "epochs=1", "--set", "n_tokens=2"]
    code, out, err = interlace_command(*arguments, "-o", results)
    assert code == 0, err
    cells = json.loads(results.read_text())["cells"]
    assert [(c["method"], c["seed"]) for c in cells] == [
        (name, seed) for seed in (1, 2) for name in ("zero_shot", "tip_adapter", "mmrl++")
    ]
    by_seed = {c["seed"]: c["split_hash"] for c in cells}
    assert all(c["split_hash"] == by_seed[c["seed"]] for c in cells)
    assert by_seed[1] != by_seed[2]
    tip, adapted = cells[1], cells[2]
    assert tip["scores"]["novel"] is None and tip["parameters"] == 0
    assert adapted["run"]["arguments"]["n_tokens"] == 2 and adapted["parameters"] > 0
    assert "Fewer than five seeds" in out
    assert "8 base and 8 novel test images" in " ".join(out.split())
    assert all(name in out for name in ("zero_shot", "tip_adapter", "mmrl++"))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--methods", "mmlr"], "did you mean 'mmrl'"),
        (["--seeds", "1,x"], "1,x"),
        (["--methods", ","], "at least one method"),
        (["--set", "epoch=1"], "'epoch'"),
    ],
)
def test_compare_refuses(interlace_command, photos, model, arguments, word):
    code, out, err = interlace_command("compare", photos, "--model", model, *arguments)
    assert out == ""
    assert_one_line(code, err, word)


def test_compare_takes_what_a_class_has(interlace_command, photos, model):
    options = ["--methods", "linear_probe", "--shots", 99, "--seeds", 1]
    code, out, err = interlace_command("compare", photos, "--model", model, *options)
    assert code == 0 and "up to 99 shots per base class" in " ".join(out.split())
    assert "fewer than 99 shots because of too few images" in err


def test_export_gives_a_plain_model(interlace_command, fitted, photos, model, tmp_path):
    assert_one_line(
        *interlace_command("export", fitted, "-o", tmp_path / "no")[::2], "inserts tokens"
    )
    assert not (tmp_path / "no").exists()
    run, arguments = tmp_path / "mail", ["--set", "epochs=2", "--set", "rank=2", "--set", "lr=1e-3"]
    arguments += ["--model", model, "--shots", 2, "--method", "mail", "-o", run]
    assert interlace_command("fit", photos, *arguments)[0] == 0
    adapted = interlace.load_adapted(run)
    image = models.images(adapted.clip)
    expected = adapted.method.encode_image(image).features
    for format in ("open_clip", "hf"):
        folder = tmp_path / format
        code, out, err = interlace_command("export", run, "-o", folder, "--format", format)
        assert code == 0, err
        plain = interlace.load(folder)
        torch.testing.assert_close(plain.encode_image(image), expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(expected, adapted.clip.encode_image(image), atol=1e-4)


def test_demo_leaves_a_table_a_record_a_picture_and_an_export(interlace_command, tmp_path):
    """With few passes: `make demo` itself takes a minute or two."""
    folder = tmp_path / "demo"
    arguments = ["demo", "-o", folder, "--methods", "coop,clip_lora", "--seeds", 1, "--shots", 2]
    code, out, err = interlace_command(*arguments, "--data", "suite/signs", "--epochs", 1)
    assert code == 0, err
    assert "zero_shot" in out and "paired difference to zero_shot" in " ".join(out.split())
    record = json.loads((folder / "demo.json").read_text())
    assert [cell["method"] for cell in record["cells"]] == ["zero_shot", "coop", "clip_lora"]
    assert record["cells"][1]["run"]["train"]["epochs"] == 1
    with Image.open(folder / "demo.png") as picture:
        assert min(picture.size) > 300
    assert "note: coop cannot be merged" in err
    export = record["exports"]["clip_lora"]
    assert export["open_clip"] == pytest.approx(export["interlace"])
    assert set(export["open_clip"]) == {"base", "novel", "joint"}
    assert f"exported to {folder / 'clip_lora-open_clip'}" in " ".join(out.split())
    assert interlace.load(folder / "clip_lora-open_clip").fingerprint() != record["fingerprint"]


def test_demo_refuses_methods_without_novel_classes(interlace_command, tmp_path):
    code, _, err = interlace_command("demo", "--methods", "mail,tip_adapter", "-o", tmp_path)
    assert_one_line(code, err, "tip_adapter")
    code, _, err = interlace_command("demo", "--methods", "zero_shot", "-o", tmp_path)
    assert_one_line(code, err, "names no method that adapts")


def test_a_template_too_long_leaves_nothing(interlace_command, photos, model, tmp_path):
    run, long = tmp_path / "run", "a photo of " + 80 * "very " + "{}"
    arguments = ("fit", photos, "--model", model, "--shots", 2, "--method", "coop", "-o", run)
    code, _, err = interlace_command(*arguments, "--template", long, "--set", "epochs=1")
    assert code == 2 and "the model reads at most 77" in err
    assert not run.exists()
