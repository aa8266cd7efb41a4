"""A fit and what it leaves: complete or resumable, and refused before training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import interlace
from interlace import protocols
from interlace._util import files
from interlace.adaptation import fit as fitting
from interlace.backbone.tokenizer import byte_pair_tokenizer
from interlace.data.datasets import picto
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.evaluation.classification import Scores
from interlace.evaluation.plots import confusion_png
from interlace.experiments.compare import compare
from interlace.methods.inference import shared_prompts
from interlace.protocols import Setting, few_shot
from interlace.train.checkpoint import Checkpoint
from tests import models

FAST = {"epochs": 1, "lr": 1e-2, "warmup_epochs": 0}


def photos(root: Path, names: list[str], each: int = 6, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photos(tmp_path / "photos", ["ant", "bee", "cat", "dog"])


def drawn(folder: Path, shots: int = 2) -> interlace.FewShotTask:
    return interlace.FewShotTask.load(folder, shots, 1)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(fitting, "Trainer", fail)


def snapshot(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


# --- complete or resumable


def test_what_finish_writes_comes_before_the_header(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def finish(adapted: interlace.Adapted) -> None:
        names = {path.name for path in run.iterdir()}
        assert names == {"adapted.safetensors", "split.json", "checkpoint.safetensors"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interlace.fit(models.tiny(), drawn(folder), "mail", output=run, finish=finish, rank=2)
    steps: list[object] = []
    interlace.fit(models.tiny(), drawn(folder), "mail", output=run, report=steps.append, rank=2)
    assert not steps, "what was learnt is not learnt again"
    assert snapshot(run) == ["adapted.safetensors", "bundle.json", "split.json"]


def test_a_fit_that_lacks_only_the_end_is_completed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, task, settings = tmp_path / "run", drawn(folder), {**FAST, "rank": 2}

    def killed(self: Checkpoint) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            interlace.fit(models.tiny(), task, "mail", output=run, **settings)
    left = {path.name: path.read_bytes() for path in run.iterdir()}
    assert left.pop("checkpoint.safetensors") and "bundle.json" in left
    with pytest.raises(InterlaceError, match="already holds"):
        interlace.fit(models.tiny(), task, "mail", output=run, **{**settings, "lr": 1e-3})
    assert (run / "checkpoint.safetensors").exists(), "of a run that is not this one"
    interlace.fit(models.tiny(), task, "mail", output=run, **settings)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == left
    with pytest.raises(InterlaceError, match="already holds"):
        interlace.fit(models.tiny(), task, "mail", output=run, **settings)


def test_a_second_fit_into_the_same_folder_is_told(folder: Path, tmp_path: Path) -> None:
    with files.held(tmp_path / "run"), pytest.raises(InterlaceError, match="another interlace"):
        interlace.fit(models.tiny(), drawn(folder), "mail", output=tmp_path / "run", **FAST)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_the_old_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    interlace.fit(models.tiny(), drawn(folder), "tip_adapter", output=run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InterlaceError, match="no space left on the disk"):
        interlace.fit(models.tiny(), drawn(folder, 1), "tip_adapter", output=run, overwrite=True)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


# --- names


@pytest.mark.parametrize(
    ("first", "second"),
    [("Ant", "ant"), ("caf\u00e9", "cafe\u0301"), ("a & b", "a &amp; b"), ("x  y", "x y")],
)
def test_two_classes_with_one_prompt_are_refused_before_training(
    folder: Path, tmp_path: Path, nothing_trains: None, first: str, second: str
) -> None:
    clip = models.with_tokenizer()
    task = replace(drawn(folder), classes=(first, "bee", second, "dog"))
    with pytest.raises(InterlaceError, match="the same prompt") as caught:
        interlace.fit(clip, task, "mail", output=tmp_path / "run", rank=2)
    assert first in str(caught.value) and second in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_names_for_prediction_are_compared_too(folder: Path) -> None:
    adapted = interlace.fit(models.with_tokenizer(), drawn(folder), "zero_shot")
    with pytest.raises(InterlaceError, match="'Ant' and 'ant' give the same prompt"):
        adapted.set_classes(["Ant", "ant"])
    assert adapted.classes == ("ant", "bee", "cat", "dog"), "nothing changed"
    ids = byte_pair_tokenizer(77)(["a", "b", "a"])
    assert shared_prompts(interlace.Prompts(ids)) == [(0, 2)]


def test_published_twins_go_through_every_step(folder: Path, tmp_path: Path) -> None:
    task = replace(drawn(folder), classes=("crane", "bee", "crane", "dog"), published=True)
    clip = models.with_tokenizer()
    for method, settings in (("linear_probe", FAST), ("mail", {**FAST, "rank": 2})):
        run = tmp_path / method
        interlace.fit(clip, task, method, output=run, **settings)
        loaded = interlace.load_adapted(run, clip)
        assert loaded.published and loaded.seen
        found = protocols.evaluate(loaded, replace(task, train=(), val=()))
        assert isinstance(found.adapted, Scores) and found.adapted.n == len(task.test)
    cells = compare(clip, lambda seed: task, ["mail"], [1], settings={**FAST, "rank": 2})
    assert [cell.method for cell in cells] == ["zero_shot", "mail"]


def test_the_names_of_the_fit_go_to_the_same_folders(folder: Path, tmp_path: Path) -> None:
    names = {"ant": "formica", "bee": "bombus", "cat": "felis"}
    task = interlace.FewShotTask.load(folder, 2, 1, class_names=names)
    run = tmp_path / "run"
    interlace.fit(models.tiny(), task, "linear_probe", output=run, **FAST)
    adapted = interlace.load_adapted(run, models.tiny())
    assert adapted.class_names == {**names, "dog": "dog"}
    again = interlace.FewShotTask.load(folder, 0, 1, remembered=adapted.class_names)
    assert again.classes == ("formica", "bombus", "felis", "dog")
    assert protocols.evaluate(adapted, again).seen


# --- images of the fit


def test_every_command_leaves_the_same_images_out(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", ["ant", "bee", "cat", "dog"], each=8)
    task = drawn(folder)
    for record in task.train[:3]:
        assert isinstance(record.image, Path)
        shutil.copy(record.image, record.image.with_name(f"copy of {record.image.name}"))
    # copies may be drawn themselves: what counts is the content of what was drawn
    task = drawn(folder)
    used = {record.digest() for record in (*task.train, *task.val)}
    copies = sum(record.digest() in used for record in task.test)
    plan = protocols.get("few_shot").plan(Setting(str(folder), shots=2, own_template="a {}"))
    assert plan.targets[0].left_out == copies
    adapted = interlace.fit(models.tiny(), task, "linear_probe", **FAST)
    own = adapted.evaluate(task.test)
    compared = few_shot.compare(adapted, task)
    scored = protocols.score(adapted, plan.targets)["all"]
    assert own.left_out == compared.left_out == scored.to_dict()["n_left_out"] == copies
    assert own.n == compared.adapted.n == scored.scores.n == len(task.test) - copies
    assert own.top1 == compared.adapted.top1 == scored.scores.top1
    with pytest.raises(InterlaceError, match=f"all {len(task.train)} images were used"):
        adapted.evaluate(task.train)


def test_zero_shot_is_compared_on_the_same_images(folder: Path) -> None:
    task = drawn(folder)
    adapted = interlace.fit(models.tiny(), task, "mail", rank=2, **FAST)
    everything = (*task.train, *task.val, *task.test)
    assert adapted.evaluate(everything).n == len(task.test)
    assert adapted.zero_shot().evaluate(everything).n == len(task.test)


def test_compare_counts_what_it_leaves_out(folder: Path) -> None:
    task = drawn(folder)
    shot = task.classes_subset("base").train[0]
    again = replace(shot, key="again")
    more = replace(task, test=(*task.test, again))
    cells = compare(models.tiny(), lambda seed: more, ["mail"], [1], settings={**FAST, "rank": 2})
    assert [cell.left_out for cell in cells] == [1, 1]
    assert cells[0].scores.n_base + cells[0].scores.n_novel == len(task.test)


def test_no_image_left_is_an_error_before_training(folder: Path, nothing_trains: None) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes((path.parent / "0.png").read_bytes())
    with pytest.raises(InterlaceError, match="are used by the fit"):
        protocols.get("few_shot").plan(Setting(str(folder), shots=1))


def test_only_files_of_the_right_size_are_read(folder: Path, monkeypatch: object) -> None:
    task = drawn(folder)
    used = Used.of(task.train)
    assert all(record in used for record in task.train)
    big = folder / "ant" / "big.png"
    Image.new("RGB", (64, 64)).save(big)
    big.chmod(0)
    assert replace(task.train[0], image=big) not in used
    assert used | Used(frozenset({"0" * 16}), None) == Used(used.digests | {"0" * 16}, None)


def test_a_bound_method_is_scored_on_some_of_its_classes(folder: Path, tmp_path: Path) -> None:
    adapted = interlace.fit(models.tiny(), drawn(folder), "linear_probe", **FAST)
    part = photos(tmp_path / "part", ["cat", "ant"], seed=5)
    task = interlace.FewShotTask.load(part, 0, 1)
    found = few_shot.compare(adapted, task)
    assert adapted.classes == found.classes == ("ant", "bee", "cat", "dog") and found.seen
    assert isinstance(found.adapted, Scores) and found.adapted.n == 12
    assert found.adapted.confusion.sum(1).tolist() == [6, 0, 6, 0]
    assert found.adapted.per_class[1] is None
    new = photos(tmp_path / "new", ["cat", "emu"], seed=6)
    with pytest.raises(InterlaceError, match="new has others: emu"):
        few_shot.compare(adapted, interlace.FewShotTask.load(new, 0, 1))


def test_a_comparison_leaves_the_classes_as_they_are(folder: Path, tmp_path: Path) -> None:
    adapted = interlace.fit(models.tiny(), drawn(folder), "mail", rank=2, **FAST)
    before, output = adapted.classes, adapted.text_output()
    other = interlace.FewShotTask.load(photos(tmp_path / "new", ["cat", "emu"], seed=6), 0, 1)
    found = protocols.evaluate(adapted, other)
    assert found.classes == other.classes == ("cat", "emu") and not found.seen
    assert adapted.classes == before and adapted.text_output() is output
    assert few_shot.compare(adapted, other).to_dict() == found.to_dict()


# --- numbers that are none


def test_tensors_far_out_of_range_give_no_answer(folder: Path, tmp_path: Path) -> None:
    task, run = drawn(folder), tmp_path / "run"
    interlace.fit(models.tiny(), task, "mail", output=run, rank=2, **FAST)
    path = run / "adapted.safetensors"
    whole = load_file(path)
    name = next(name for name, value in whole.items() if value.ndim == 2)
    for value, message in ((float("nan"), "finite"), (float("inf"), "finite"), (3e38, "no finite")):
        save_file({**whole, name: torch.full_like(whole[name], value)}, path)
        with pytest.raises(InterlaceError, match=message):
            interlace.load_adapted(run, models.tiny()).predict([task.test[0].image])
    for wrong in (whole[name].int(), whole[name].bool(), whole[name].half(), whole[name][:1]):
        save_file({**whole, name: wrong.contiguous()}, path)
        with pytest.raises(InterlaceError, match=f"changed: {name}"):
            interlace.load_adapted(run, models.tiny())


@pytest.mark.parametrize("with_validation", [True, False])
def test_a_fit_that_blew_up_leaves_no_bundle(
    folder: Path, tmp_path: Path, with_validation: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlace.train.trainer.learning_rate", lambda config, epoch: 1e20)
    task = drawn(folder) if with_validation else replace(drawn(folder), val=())
    settings = {**FAST, "optimizer": "adamw", "batch_size": 64, "rank": 2}
    with pytest.raises(InterlaceError, match="try a smaller lr"):
        interlace.fit(models.tiny(), task, "mail", output=tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "bundle.json").exists()
    clip = models.tiny()
    with torch.no_grad():
        next(clip.image.parameters()).fill_(float("nan"))
    with pytest.raises(InterlaceError, match="the model's own weights are not finite"):
        interlace.fit(clip, task, "mail", rank=2, **FAST)


def test_a_damaged_checkpoint_is_named(folder: Path, tmp_path: Path) -> None:
    task, run = drawn(folder), tmp_path / "run"

    def stop(adapted: interlace.Adapted) -> None:
        raise KeyboardInterrupt

    arguments = {**FAST, "rank": 2, "output": run}
    with pytest.raises(KeyboardInterrupt):
        interlace.fit(models.tiny(), task, "mail", finish=stop, **arguments)
    path = run / "checkpoint.safetensors"
    whole = path.read_bytes()
    for broken in (b"", whole[:100], whole[:-8], b"\0" * 64, whole[:-4] + b"\0\0\xc0\x7f"):
        path.write_bytes(broken)
        with pytest.raises(InterlaceError, match="remove that file to start again") as caught:
            interlace.fit(models.tiny(), task, "mail", **arguments)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    assert Checkpoint(path, "another").is_ours() is False
    interlace.fit(models.tiny(), task, "mail", **arguments)


# --- many classes, strange names


def test_results_are_linear_in_classes() -> None:
    classes = 2500
    labels = torch.arange(classes)
    logits = torch.eye(classes).roll(1, 1)
    kept = Scores.from_logits(logits, labels).to_dict()
    assert len(json.dumps(kept)) < 200_000
    assert kept["confusion"][0] == [0, 1, 1]


def test_thousands_of_classes_are_drawn(tmp_path: Path) -> None:
    counts = np.zeros((2300, 2300), dtype=np.int64)
    counts[np.arange(2300), (np.arange(2300) + 1) % 2300] = 3
    assert confusion_png(tmp_path / "c.png", counts, [f"class {i}" for i in range(2300)]) == ""
    with Image.open(tmp_path / "c.png") as picture:
        assert max(picture.size) < 4000


def test_any_name_can_be_drawn(tmp_path: Path) -> None:
    names = ["x^2$_$", "$\\frac{$", "a\nb", "nul\0", "\udce4", "\U0001f600", "漢字", "قطة"]
    note = confusion_png(tmp_path / "c.png", np.eye(8), names, "$\\frac{$ {0} \\")
    with Image.open(tmp_path / "c.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    assert note == "" or "no installed font has" in note


def test_characters_that_no_font_has_are_named(tmp_path: Path) -> None:
    """An unassigned character, which the font of last resort has a box for."""
    note = confusion_png(tmp_path / "c.png", np.eye(2), ["a\U000e0fff", "b"])
    assert note == "c.png: no installed font has \U000e0fff; they are drawn as boxes"


# --- what is refused is refused before anything is learnt or written


def test_refusals_come_before_training(
    folder: Path, tmp_path: Path, nothing_trains: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, run = drawn(folder), tmp_path / "runs" / "run"
    task = replace(task, classes=("ant", "bee", "cat", "very long dog"))  # no room for 13 tokens
    (tmp_path / "file").write_text("x")
    for output, method, settings, message in (
        (run, "clip_adapter", {"objective": "retrieve"}, "frozen features"),
        (run, "mail", {"precision": "float16"}, "needs a GPU"),
        (run, "coop", {"n_tokens": 13}, "no room"),
        (tmp_path / "file" / "run", "mail", {}, "is not a folder"),
        (tmp_path / "a\0b", "mail", {}, "cannot write"),
    ):
        with pytest.raises(InterlaceError, match=message):
            interlace.fit(models.tiny(), task, method, output=output, **settings)
    assert not (tmp_path / "runs").exists()
    # compare: the second method, the second seed and the novel half count before the first fit
    long = replace(task, classes=("ant", "bee", "cat", "very " * 20))
    for names, tasks, message in (
        (["mail", "coop:n_tokens=13"], lambda seed: task, "no room"),
        (["mail"], lambda seed: task if seed == 1 else replace(task, test=()), "no test images"),
        (["mail"], lambda seed: replace(task, classes=("ant", "bee", "cat", "cat")), "same prompt"),
        (["mail"], lambda seed: long, ""),
    ):
        with pytest.raises((InterlaceError, RuntimeError), match=message):
            compare(models.tiny(), tasks, names, [1, 2], settings={"rank": 2})


def test_a_backbone_whose_configuration_was_changed_is_not_the_same(
    folder: Path, tmp_path: Path
) -> None:
    """The weights, and so the fingerprint, stay the same; heads and activation are beside them."""
    model = tmp_path / "model"
    shutil.copytree(picto.model_dir(), model)
    clip = interlace.load(model)
    interlace.fit(clip, drawn(folder), "linear_probe", output=tmp_path / "run", **FAST)
    assert interlace.load_adapted(tmp_path / "run").classes
    path = model / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["model_cfg"]["quick_gelu"] = True
    path.write_text(json.dumps(content))
    changed = interlace.load(model)
    assert changed.fingerprint() == clip.fingerprint()
    with pytest.raises(InterlaceError, match="configuration of its backbone .* was changed"):
        interlace.load_adapted(tmp_path / "run")
