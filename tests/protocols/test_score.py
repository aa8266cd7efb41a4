"""Scoring a plan: the same numbers as scoring each target by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

import interlace
from interlace import protocols
from interlace.data.images.decode import add_noise, open_image
from interlace.data.images.loader import Images
from interlace.errors import InterlaceError
from interlace.protocols import Setting, score


@pytest.fixture(scope="module")
def plan():
    return protocols.get("base_to_novel").plan(Setting("picto/activities", shots=1))


@pytest.fixture(scope="module")
def clip():
    return interlace.load("picto")


def test_targets_together_are_as_by_themselves(clip, plan):
    adapted = interlace.fit(clip, plan.task, "mmrl", epochs=1)
    together = score(adapted, plan.targets)
    assert list(together) == ["base", "novel", "joint"]
    for target in plan.targets:
        adapted.set_classes(target.task.classes)
        alone = adapted.evaluate(target.task.test, seen=target.seen)
        assert together[target.name].to_dict() == {
            "n": alone.n,
            "top1": alone.top1,
            "mean_per_class": alone.mean_per_class,
            "ece": pytest.approx(alone.ece, abs=1e-6),
            "n_left_out": 0,
        }
        answers = together[target.name].answers
        assert answers.n_classes == len(target.task.classes)
        assert 1 / answers.n_classes < answers.confidence.min() <= answers.confidence.max() <= 1


def test_seen_reaches_the_method(clip, plan):
    adapted = interlace.fit(clip, plan.task, "mmrl", epochs=1, lr=0.05)
    base = plan.targets[0]
    as_seen = score(adapted, [base])["base"].answers.confidence
    as_new = score(adapted, [replace(base, seen=False)])["base"].answers.confidence
    assert not torch.allclose(as_seen, as_new)


def test_a_bound_method_answers_for_its_classes_alone(clip, plan):
    adapted = interlace.fit(clip, plan.task, "linear_probe", epochs=1)
    assert list(score(adapted, plan.targets)) == ["base"]


def test_a_target_without_images_is_named(clip, plan):
    empty = replace(plan.targets[0], task=replace(plan.task, test=()))
    adapted = interlace.fit(clip, plan.task, "zero_shot")
    with pytest.raises(InterlaceError, match="no test images to score base"):
        score(adapted, [empty])


def test_an_ensemble_of_templates_is_the_mean_of_its_features(clip, plan):
    templates = ("a photo of a {}.", "{}")
    task = replace(plan.task, template=templates)
    adapted = interlace.fit(clip, task, "zero_shot")
    found = adapted.text_output().features
    each = [
        torch.nn.functional.normalize(clip.encode_text(clip.prompts(task.classes, t).ids), dim=-1)
        for t in templates
    ]
    expected = torch.nn.functional.normalize((each[0] + each[1]) / 2, dim=-1)
    assert torch.allclose(torch.nn.functional.normalize(found, dim=-1), expected, atol=1e-5)


def test_an_ensemble_is_trained_saved_and_loaded(clip, plan, tmp_path):
    task = replace(plan.task, template=("a photo of a {}.", "{}"))
    adapted = interlace.fit(clip, task, "mail", epochs=1, output=tmp_path)
    again = interlace.load_adapted(tmp_path)
    assert again.template == task.template
    images = [record.image for record in task.test[:4]]
    assert [p.label for p in adapted.predict(images)] == [p.label for p in again.predict(images)]


def test_methods_with_a_context_of_their_own_keep_one_prompt(clip, plan):
    task = replace(plan.task, template=("a photo of a {}.", "{}"))
    adapted = interlace.fit(clip, task, "coop", epochs=1)
    assert adapted.method.prompts(task.classes, task.template).n_templates == 1


def test_noise_is_of_the_strength_it_says():
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    noisy = add_noise(grey, 0.1, "a.png")
    values = torch.frombuffer(bytearray(noisy.tobytes()), dtype=torch.uint8).double() / 255
    assert values.mean().item() == pytest.approx(128 / 255, abs=0.005)
    assert values.std().item() == pytest.approx(0.1, abs=0.005)
    assert noisy.tobytes() == add_noise(grey, 0.1, "a.png").tobytes()
    assert noisy.tobytes() != add_noise(grey, 0.1, "b.png").tobytes()


def test_the_loader_lays_the_noise(plan):
    record = plan.task.train[0]
    clean, noisy = (Images([r])[0] for r in (record, replace(record, noise=0.2)))
    assert clean.tobytes() == open_image(record.image).tobytes()
    assert noisy.tobytes() == add_noise(clean, 0.2, record.key).tobytes()
