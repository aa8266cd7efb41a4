"""The losses for retrieval: by hand, in a fit, and where they cannot be used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import interlace
from interlace import methods
from interlace.config import TrainConfig
from interlace.data.records import Record
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.methods.base import Output
from interlace.train import trainer
from interlace.train.objectives import hard_triplet, make_objective, retrieval_loss
from tests import models
from tests.data.conftest import write_photo


def at_angles(*degrees: float) -> torch.Tensor:
    angle = torch.tensor(degrees).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def cos(degrees: float) -> float:
    return torch.tensor(degrees).deg2rad().cos().item()


def test_hard_triplet_by_hand() -> None:
    features, labels = at_angles(0, 60, 80, 200), torch.tensor([0, 0, 1, 2])
    # classes 1 and 2 have one image each, which anchors nothing but is a negative for others
    first = cos(80) - cos(60) + 0.5
    second = cos(20) - cos(60) + 0.5
    assert hard_triplet(features, labels, 0.5).item() == pytest.approx((first + second) / 2)


def test_the_hardest_positive_and_negative_count() -> None:
    features, labels = at_angles(0, 10, 90, 30, 170), torch.tensor([0, 0, 0, 1, 1])
    anchors = [
        cos(30) - cos(90),
        cos(20) - cos(80),
        cos(60) - cos(90),
        cos(20) - cos(140),
        cos(80) - cos(140),
    ]
    expected = sum(max(0.0, value + 0.2) for value in anchors) / 5
    assert hard_triplet(features, labels, 0.2).item() == pytest.approx(expected, abs=1e-6)
    assert hard_triplet(features, labels, 0.0).item() < expected


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
def test_without_a_triplet_there_is_no_loss(labels: list[int]) -> None:
    features = at_angles(0, 60, 80).requires_grad_()
    loss = hard_triplet(features, torch.tensor(labels), 0.5)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros(3, 2))


def test_retrieval_loss_is_the_cross_entropy_and_the_triplet() -> None:
    image, text = at_angles(0, 60, 80, 200), at_angles(10, 100, 190)
    labels = torch.tensor([0, 0, 1, 2])
    loss = retrieval_loss(Output(image, text, image @ text.T), labels, 0.07, 0.5)
    expected = F.cross_entropy(image @ text.T / 0.07, labels) + hard_triplet(image, labels, 0.5)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", ["mail", "mmrl", "mmrl++", "clip_lora", "coop", "maple"])
def test_every_tower_method_takes_it_with_what_its_own_loss_adds(name: str) -> None:
    clip = models.tiny()
    torch.manual_seed(0)
    options = {"n_tokens": 2} if name == "coop" else {}
    options |= {"n_tokens": 2, "dim": 8, "reg": 3.0} if name.startswith("mmrl") else {}
    method = methods.create(name, clip, **options)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    prompts = method.prompts(["red", "green", "blue"], "a {} patch")
    labels = torch.tensor([0, 1, 2, 0])
    out = method(models.images(clip)[:1].repeat(4, 1, 1, 1) + torch.randn(4, 3, 16, 16), prompts)
    loss = make_objective(method, TrainConfig(objective="retrieve"))(out, labels)
    penalty = method.regularization(out)
    assert loss.item() == pytest.approx((retrieval_loss(out, labels, 0.07, 0.5) + penalty).item())
    assert (penalty.item() > 0.01) == name.startswith("mmrl")
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_methods_on_features_refuse_it() -> None:
    clip = models.tiny()
    for name in ("clip_adapter", "linear_probe"):
        method = methods.create(name, clip)
        assert make_objective(method, TrainConfig()) == method.loss
        with pytest.raises(InterlaceError, match=f"{name} works on frozen features"):
            make_objective(method, TrainConfig(objective="retrieve"))


@pytest.mark.parametrize(
    "path", sorted(Path(trainer.__file__).parent.glob("*.py")), ids=lambda p: p.stem
)
def test_no_file_of_training_names_a_method(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    }
    said = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in described
    ]
    keys = "|".join(map(re.escape, methods.available()))
    assert not [text for text in said if re.search(rf"(?<!\w)({keys})(?!\w)", text)]
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    known = {"interlace.methods.base", "interlace.methods.inference"}
    assert {name for name in imported if name and name.startswith("interlace.methods")} <= known


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "rank"}, "objective='rank': must be one of classify, retrieve"),
        ({"sampler": "x"}, "sampler='x': must be one of auto, shuffle, domains"),
        ({"temperature": 0}, "temperature=0: must be a positive number"),
        ({"margin": -1}, "margin=-1: must be a number of at least 0"),
        ({"per_class": 1}, "per_class=1: must be a whole number of at least 2"),
        ({"per_class": 2.5}, "per_class=2.5: must be a whole number"),
        (
            {"objective": "retrieve", "batch_size": 4},
            "batch_size=4: must be at least 8, to hold images of two classes with per_class=4",
        ),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        TrainConfig(**settings)


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> FewShotTask:
    root, train = tmp_path_factory.mktemp("shots"), []
    for label in range(3):
        for number in range(4):
            path = root / str(label) / f"{number}.png"
            write_photo(path, 10 * label + number, (20, 20))
            train.append(Record(path, label, f"{label}/{number}", "ab"[number % 2]))
    return FewShotTask("toy", ("red", "green", "blue"), tuple(train), (), (), "a {} patch", 2, 1)


def losses(task: FewShotTask, **settings) -> list[float]:
    options = {"epochs": 5, "batch_size": 6, "lr": 1e-2, "rank": 2, "crop_scale": 1.0}
    settings = {**options, "objective": "retrieve", "per_class": 2, **settings}
    adapted = interlace.fit(models.tiny(), task, "mail", flip=False, **settings)
    return [row["loss"] for row in adapted.history]


def test_a_fit_lowers_it_and_repeats(task: FewShotTask) -> None:
    first = losses(task)
    assert first[-1] < 0.8 * first[0]
    assert losses(task, epochs=2)[0] == first[0]


def test_shortcuts_give_the_same_fit(task: FewShotTask) -> None:
    assert losses(task, epochs=2) == pytest.approx(
        losses(task, epochs=2, shortcuts=False), rel=1e-4
    )


def test_the_settings_reach_the_fit(task: FewShotTask) -> None:
    changes = (
        {"margin": 0.1},
        {"temperature": 0.5},
        {"sampler": "shuffle"},
        {"objective": "classify"},
    )
    seen = [losses(task, epochs=1, lr=1e-9, **change)[0] for change in ({}, *changes)]
    assert len(set(seen)) == 5
