"""The retrieval protocols: what a plan holds and what a model reaches on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import interlace
from interlace.adaptation.model import AdaptedModel
from interlace.data.datasets.retrieval_sets import open_retrieval
from interlace.data.retrieval import RetrievalSet
from interlace.data.retrieval_task import RetrievalTask
from interlace.errors import InterlaceError
from interlace.evaluation.plots import hits_png
from interlace.evaluation.retrieval import retrieval_metrics
from interlace.protocols.ucdr import PROTOCOLS, retrieval_features, score
from interlace.protocols.ucdr_sheet import hit_rows
from tests import models
from tests.data.conftest import write_photo


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RetrievalSet:
    root = tmp_path_factory.mktemp("domains")
    for d, domain in enumerate(("cctv", "drone", "phone")):
        for label in range(6):
            for number in range(4):
                seed = 100 * d + 10 * label + number
                write_photo(root / domain / f"class {label}" / f"{number}.png", seed, (16, 16))
    data = open_retrieval(root, gallery="phone", unseen=["class 1", "class 4"], held_out="cctv")
    return replace(data, source=replace(data.source, template="a {} photo"))


@pytest.fixture(scope="module")
def plan(data: RetrievalSet) -> RetrievalTask:
    return PROTOCOLS["ucdr"].plan(data, shots=1, seed=1)


def fitted(plan: RetrievalTask, method: str, **settings: object) -> AdaptedModel:
    options = {} if method == "zero_shot" else {"epochs": 1, "lr": 1e-2, "warmup_epochs": 0}
    return interlace.fit(models.tiny(), plan.fit, method, **{**options, **settings})


@pytest.fixture(scope="module")
def frozen(plan: RetrievalTask) -> AdaptedModel:
    return fitted(plan, "zero_shot")


def test_conditions(data: RetrievalSet) -> None:
    assert all(protocol.conditions(data) == ("cctv",) for protocol in PROTOCOLS.values())
    alone = replace(data, settings=(replace(data.settings[0], held_out=""),))
    assert PROTOCOLS["ucdr"].conditions(alone) == PROTOCOLS["udcdr"].conditions(alone) == ()
    assert PROTOCOLS["uccdr"].conditions(alone) == ("drone",)


@pytest.mark.parametrize("key", ["ucdr", "uccdr", "udcdr"])
def test_scores_are_those_of_the_features(
    data: RetrievalSet, frozen: AdaptedModel, key: str
) -> None:
    plan = PROTOCOLS[key].plan(data, 1, 1, "cctv")
    results = PROTOCOLS[key].score(frozen, plan)
    asking = "drone" if key == "uccdr" else "cctv"
    names = [f"{key}/{asking}->phone", f"{key}/{asking}->phone/mixed"][: 1 + (key != "udcdr")]
    assert list(results) == list(plan.targets) == names
    transform = frozen.clip.preprocess.eval_transform()
    for name, target in plan.targets.items():
        sides = []
        for records in (target.queries, target.gallery):
            pictures = [transform(interlace.data.open_image(r.image)) for r in records]
            with torch.no_grad():
                sides += [frozen.clip.image(torch.stack(pictures)).features]
            sides += [torch.tensor([record.label for record in records])]
        expected = retrieval_metrics(*sides, 200)
        own = results[name]
        assert own["map_200"] == pytest.approx(expected.ap.mean().item(), abs=1e-6)
        assert own["map_all"] == pytest.approx(expected.ap_all.mean().item(), abs=1e-6)
        assert own["prec_200"] == pytest.approx(expected.precision.mean().item(), abs=1e-6)
        assert (own["n_queries"], own["n_gallery"]) == (len(target.queries), len(target.gallery))
        assert own["n_left_out"] == 0
        labelled = {f"{m}_{k}" for m in ("map", "standard_map", "prec") for k in (1, 100, 200)}
        assert set(own) == labelled | {"map_all", "n_queries", "n_gallery", "n_left_out"}
        assert 0 < own["map_all"] < 1


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("mail", {"rank": 2, "objective": "retrieve", "batch_size": 8}),
        ("mmrl", {"n_tokens": 2, "dim": 8, "objective": "retrieve", "per_class": 2}),
        ("clip_adapter", {}),
        ("multimodal_adapter", {"heads": 1}),
        ("linear_probe", {}),
    ],
)
def test_what_a_method_searches_by(
    plan: RetrievalTask, frozen: AdaptedModel, method: str, settings: dict
) -> None:
    adapted = fitted(plan, method, **settings)
    some = next(iter(plan.targets.values())).gallery[:5]
    own = retrieval_features(adapted, some, plan.train_classes, batch_size=2)
    base = retrieval_features(frozen, some, plan.train_classes)
    assert torch.allclose(own.norm(dim=1), torch.ones(5), atol=1e-5)
    # a classifier on frozen features searches as the frozen model does
    assert torch.allclose(own, base, atol=1e-5) == (method == "linear_probe")
    if method == "mmrl":
        transform = adapted.clip.preprocess.eval_transform()
        pictures = [transform(interlace.data.open_image(r.image)) for r in some]
        with torch.no_grad():
            class_features = adapted.method.encode_image(torch.stack(pictures)).features
        assert torch.allclose(own, F.normalize(class_features, dim=-1), atol=1e-6)
    # what it answers at the moment does not matter, nor how many images go at a time
    if not adapted.method.fixed_classes:
        adapted.set_classes(["something", "else"])
    assert torch.allclose(retrieval_features(adapted, some, plan.train_classes), own, atol=1e-5)


def test_images_of_the_fit_are_left_out(plan: RetrievalTask, tmp_path: Path) -> None:
    adapted = fitted(plan, "mail", rank=2)
    shot = plan.fit.train[0]
    name, target = next(iter(plan.targets.items()))
    copy = tmp_path / "copy.png"
    copy.write_bytes(shot.image.read_bytes())
    again = replace(target.gallery[0], image=copy, key="copy")
    more = replace(target, gallery=(*target.gallery, again))
    result = score(adapted, replace(plan, targets={name: more}))[name]
    assert result["n_left_out"] == 1 and result["n_gallery"] == len(target.gallery)
    assert result["map_all"] == score(adapted, plan)[name]["map_all"]
    # the frozen model has no shots of its own, and is scored on the same images
    frozen = score(adapted.zero_shot(), replace(plan, targets={name: more}))[name]
    assert frozen["n_left_out"] == 1
    only = replace(target, queries=(again,))
    with pytest.raises(InterlaceError, match="all 1 queries were used to fit"):
        score(adapted, replace(plan, targets={name: only}))


def test_every_image_is_encoded_once(plan: RetrievalTask, frozen: AdaptedModel) -> None:
    seen: list[tuple[int, int]] = []
    score(frozen, plan, lambda done, total: seen.append((done, total)))
    mixed = plan.targets["ucdr/cctv->phone/mixed"]
    total = len(mixed.queries) + len(mixed.gallery)
    assert seen[-1] == (total, total)


def test_a_sheet_of_hits(plan: RetrievalTask, frozen: AdaptedModel, tmp_path: Path) -> None:
    name = "ucdr/cctv->phone/mixed"
    gallery = plan.targets[name].gallery
    # a query that stands in the gallery finds itself first
    target = replace(plan.targets[name], queries=gallery[::3])
    rows = hit_rows(frozen, frozen, replace(plan, targets={name: target}), name, queries=3, hits=4)
    assert [len(row.after) for row in rows] == [4, 4, 4]
    for row in rows:
        assert row.before[0][1] and row.before[0][0].tobytes() == row.query.tobytes()
        assert [right for _, right in row.before] == [right for _, right in row.after]
    assert not all(right for row in rows for _, right in row.after)
    hits_png(tmp_path / "hits.png", rows, "title")
    with Image.open(tmp_path / "hits.png") as image:
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 20)}
    assert {(0x1A, 0x7F, 0x4B), (0xB4, 0x23, 0x18)} <= colours
    with pytest.raises(InterlaceError, match="no target 'x': there are ucdr/cctv->phone"):
        hit_rows(frozen, frozen, plan, "x")
    with pytest.raises(InterlaceError, match="no query to draw"):
        hits_png(tmp_path / "none.png", [])
