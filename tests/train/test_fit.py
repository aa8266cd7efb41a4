"""Fitting: it learns, it repeats, it resumes, and it leaves the model alone."""

from __future__ import annotations

import colorsys
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import interlace
from interlace import methods
from interlace.config import TrainConfig
from interlace.errors import InterlaceError
from interlace.train import optim
from interlace.train.trainer import Trainer
from tests import models

CLASSES = ("red", "green", "blue", "yellow")
HUES = (0.0, 0.33, 0.66, 0.16)
SETTINGS = {"epochs": 6, "batch_size": 4, "lr": 1e-2, "n_tokens": 2, "dim": 8}


def draw(root):
    """Draw noisy patches of four colours, ten images per class."""
    generator = np.random.default_rng(0)
    for name, hue in zip(CLASSES, HUES, strict=True):
        (root / name).mkdir()
        for i in range(10):
            color = np.array(colorsys.hsv_to_rgb(hue, 0.9, 0.8)) * 255
            noise = generator.normal(0, 25, (20, 20, 3))
            pixels = np.clip(color + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def task(folder):
    return interlace.FewShotTask.from_folder(folder, shots=4, seed=1, template="a {} patch")


def fit(task, method="mmrl++", **settings):
    return interlace.fit(models.tiny(), task, method, **{**SETTINGS, **settings})


def same_tensors(a, b):
    first, second = a.method.state_dict(), b.method.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


LEARNING = {
    "mmrl": {**SETTINGS, "epochs": 20},
    "mmrl++": {**SETTINGS, "epochs": 20},
    "mail": {"epochs": 20, "batch_size": 4, "lr": 3e-3, "rank": 2},
    "clip_lora": {"epochs": 30, "batch_size": 4, "lr": 1e-2},
    "coop": {"epochs": 30, "batch_size": 4, "lr": 3e-2, "n_tokens": 3, "optimizer": "adamw"},
    "maple": {"epochs": 20, "batch_size": 4, "lr": 1e-2, "optimizer": "adamw"},
    "clip_adapter": {"epochs": 60, "lr": 2e-2, "optimizer": "adamw"},
    "tip_adapter_f": {"epochs": 40, "lr": 2e-2},
    "linear_probe": {"epochs": 60, "lr": 5e-2},
    "multimodal_adapter": {"epochs": 60, "batch_size": 8, "lr": 2e-2, "heads": 1},
}


@pytest.mark.parametrize("method", LEARNING)
def test_it_learns_and_the_model_stays(task, method):
    clip = models.tiny()
    before = clip.fingerprint()
    adapted = interlace.fit(clip, task, method, **LEARNING[method])
    assert adapted.history[-1]["loss"] < 0.85 * adapted.history[1]["loss"]
    zero_shot = adapted.zero_shot().evaluate(task.test)
    assert adapted.evaluate(task.test).top1 > zero_shot.top1 + 0.2
    assert clip.fingerprint() == before


def test_same_seed_same_result_whatever_the_global_state(task):
    torch.manual_seed(5)
    first = fit(task)
    torch.manual_seed(99)
    assert same_tensors(first, fit(task))
    assert first.history == fit(task).history
    assert not same_tensors(first, fit(task, seed=2))


def test_fit_leaves_the_global_random_state(task):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(task, epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_interrupted_fit_resumes_to_the_same_result(
    task, tmp_path, monkeypatch, optimizer, select
):
    settings = {"optimizer": optimizer, "select": select}
    whole = fit(task, **settings)

    class Killed(Exception):
        pass

    def kill(step):
        if step.epoch == 4 and step.step == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(task, output=tmp_path / "run", report=kill, **settings)
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "run" / "bundle.json").exists()
    epochs = []
    resumed = fit(
        task, output=tmp_path / "run", report=lambda step: epochs.append(step.epoch), **settings
    )
    assert min(epochs) == 4
    assert same_tensors(whole, resumed)
    assert whole.history == resumed.history
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_checkpoint_of_other_settings_is_refused(task, tmp_path):
    def kill(step):
        if step.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(task, output=tmp_path, report=kill)
    with pytest.raises(InterlaceError, match="other settings"):
        fit(task, output=tmp_path, lr=2e-2)
    fit(task, output=tmp_path, lr=2e-2, overwrite=True)


def test_best_keeps_the_best_epoch(task, monkeypatch):
    accuracies = iter([0.2, 0.9, 0.4, 0.9, 0.1, 0.3])
    states = []

    def validate(self):
        assert self.validation == task.val
        states.append({k: v.clone() for k, v in self.method.state_dict().items()})
        return next(accuracies)

    monkeypatch.setattr(Trainer, "validate", validate)
    best = fit(task, select="best")
    assert [row["validation_accuracy"] for row in best.history] == [0.2, 0.9, 0.4, 0.9, 0.1, 0.3]
    kept = best.method.state_dict()
    assert all(torch.equal(kept[k], states[1][k]) for k in kept)
    assert not all(torch.equal(kept[k], states[-1][k]) for k in kept)


def test_only_the_methods_tensors_are_saved(task, tmp_path):
    adapted = fit(task, output=tmp_path / "run")
    with safe_open(tmp_path / "run" / "adapted.safetensors", framework="pt") as file:
        assert set(file.keys()) == {n for n, _ in adapted.method.named_parameters()}
    header = json.loads((tmp_path / "run" / "bundle.json").read_text())
    assert header["backbone"]["fingerprint"] == adapted.clip.fingerprint()
    assert len(header["shots"]) == len(task.train) + len(task.val)
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split["sha256"] == header["split_hash"] == task.split_hash


def test_round_trip(task, tmp_path):
    adapted = fit(task, output=tmp_path)
    loaded = interlace.load_adapted(tmp_path, models.tiny())
    images = [record.image for record in task.test[:5]]
    assert loaded.predict(images) == adapted.predict(images)
    assert loaded.config == adapted.config
    assert loaded.seen
    assert loaded.evaluate(task.test).top1 == adapted.evaluate(task.test).top1


def test_a_bundle_for_another_backbone_is_refused(task, tmp_path):
    fit(task, epochs=1, output=tmp_path)
    with pytest.raises(InterlaceError, match="was made for backbone 'tiny:clip'"):
        interlace.load_adapted(tmp_path, models.tiny(seed=7))


def test_a_finished_run_is_not_overwritten_unasked(task, tmp_path):
    fit(task, epochs=1, output=tmp_path)
    with pytest.raises(InterlaceError, match="already holds"):
        fit(task, epochs=1, output=tmp_path)
    fit(task, epochs=2, output=tmp_path, overwrite=True)


def test_damaged_bundles_are_refused(task, tmp_path):
    fit(task, epochs=1, output=tmp_path)
    (tmp_path / "adapted.safetensors").write_bytes(b"12345678nonsense")
    with pytest.raises(InterlaceError, match="cannot read"):
        interlace.load_adapted(tmp_path, models.tiny())
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(InterlaceError, match="cannot read"):
        interlace.load_adapted(tmp_path, models.tiny())
    with pytest.raises(InterlaceError, match="no adapted model"):
        interlace.load_adapted(tmp_path / "nowhere", models.tiny())


def test_a_gradient_that_is_no_number_is_named(task, monkeypatch):
    class Root(torch.autograd.Function):
        """A finite value with a gradient that is none, as of a norm at zero."""

        @staticmethod
        def forward(context, x):
            return x.clone()

        @staticmethod
        def backward(context, gradient):
            return gradient * float("nan")

    ours = methods.get("mmrl++")
    monkeypatch.setattr(ours, "text_tokens", lambda self: Root.apply(self.to_text(self.space)))
    with pytest.raises(
        InterlaceError, match=r"gradient is not finite at epoch 1, step 1, first seen in space"
    ):
        fit(task)


def test_a_loss_that_is_not_finite_is_named(task, monkeypatch):
    # no such rate can be asked for
    monkeypatch.setattr("interlace.train.trainer.learning_rate", lambda config, epoch: 1e30)
    with pytest.raises(InterlaceError, match="epoch 1, step"):
        fit(task, optimizer="sgd")


def test_bfloat16_stays_finite_and_close(task):
    adapted = fit(task, precision="bfloat16", epochs=2)
    plain = fit(task, epochs=2)
    assert all(p.dtype == torch.float32 for p in adapted.method.parameters())
    assert adapted.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epohcs": 3}, "did you mean 'epochs'"),
        ({"epochs": -1}, "epochs=-1"),
        ({"lr": 0}, "lr=0"),
        ({"optimizer": "adagrad"}, "adamw, adam, sgd"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"crop_scale": 0}, "crop_scale=0"),
        ({"n_tokens": 0}, "n_tokens=0"),
        ({"first_block": 5}, "blocks 1 to 4"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"beta": -0.1}, "beta=-0.1"),
        ({"method": "mmlr"}, "did you mean 'mmrl'"),
        ({"device": "cuda:77"}, "not available"),
        ({"precision": "float16"}, "needs a GPU"),
    ],
)
def test_bad_settings_are_one_clear_line(task, settings, message):
    with pytest.raises(InterlaceError, match=message) as caught:
        fit(task, **settings)
    assert "\n" not in str(caught.value)


def test_learning_rate_of_the_released_recipes():
    config = TrainConfig(epochs=10, lr=1.0, warmup_epochs=1, warmup_lr=0.01)
    rates = [optim.learning_rate(config, epoch) for epoch in range(10)]
    assert rates[:2] == [0.01, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert all(a > b for a, b in zip(rates[1:], rates[2:], strict=False))
    assert optim.learning_rate(TrainConfig(epochs=1, lr=1.0), 0) == 1.0


def test_zero_shot_needs_no_training(task):
    adapted = interlace.fit(models.tiny(), task, "zero_shot")
    assert adapted.history == [] and adapted.trained_classes == ()
    assert adapted.evaluate(task.test).top1 == adapted.zero_shot().evaluate(task.test).top1


def test_set_classes_and_stale_text_features(task):
    adapted = fit(task, epochs=2)
    image = [task.test[0].image]
    first = adapted.predict(image, top=4)[0]
    with torch.no_grad():
        for parameter in adapted.method.parameters():
            parameter.add_(0.5)
    assert adapted.predict(image, top=4)[0] != first
    adapted.set_classes(["a cube", "a ball"])
    assert not adapted.seen
    assert {name for name, _ in adapted.predict(image)[0].ranking} == {"a cube", "a ball"}
    for bad, message in (([], "at least one"), (["a", "a"], "more than once: a")):
        with pytest.raises(InterlaceError, match=message):
            adapted.set_classes(bad)
