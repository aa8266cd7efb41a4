"""The retrieval protocols: what a plan holds and what a model reaches on it."""

from __future__ import annotations

from collections.abc import Mapping
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
from interlace.data.retrieval_task import RetrievalTarget
from interlace.errors import InterlaceError
from interlace.evaluation.plots import hits_png
from interlace.evaluation.retrieval import retrieval_metrics
from interlace.protocols.retrieval import RetrievalPlan
from interlace.protocols.retrieval_search import retrieval_features
from interlace.protocols.retrieval_sheet import hit_rows
from interlace.protocols.table import PROTOCOLS
from tests import models
from tests.data.conftest import write_photo

KEYS = ("ucdr", "uccdr", "udcdr")


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
def plan(data: RetrievalSet) -> RetrievalPlan:
    return PROTOCOLS["ucdr"].plan_for(data, shots=1, seed=1)


def fitted(plan: RetrievalPlan, method: str, **settings: object) -> AdaptedModel:
    options = {} if method == "zero_shot" else {"epochs": 1, "lr": 1e-2, "warmup_epochs": 0}
    return interlace.fit(models.tiny(), plan.task, method, **{**options, **settings})


@pytest.fixture(scope="module")
def frozen(plan: RetrievalPlan) -> AdaptedModel:
    return fitted(plan, "zero_shot")


def test_settings(data: RetrievalSet) -> None:
    assert all(PROTOCOLS[key].settings(data) == ("cctv",) for key in (*KEYS, "retrieval"))
    alone = replace(data, settings=(replace(data.settings[0], held_out=""),))
    assert PROTOCOLS["ucdr"].settings(alone) == PROTOCOLS["udcdr"].settings(alone) == ()
    assert PROTOCOLS["uccdr"].settings(alone) == ("drone",)
    with pytest.raises(InterlaceError, match="ucdr needs a held-out domain for its queries"):
        PROTOCOLS["ucdr"].plan_for(alone)
    assert [target.name for target in PROTOCOLS["retrieval"].plan_for(alone, 1).targets] == [
        "uccdr",
        "uccdr/mixed",
    ]


@pytest.mark.parametrize("key", KEYS)
def test_scores_are_those_of_the_features(
    data: RetrievalSet, frozen: AdaptedModel, key: str
) -> None:
    plan = PROTOCOLS[key].plan_for(data, 1, 1, "cctv")
    results = plan.score(frozen)
    asking = "drone" if key == "uccdr" else "cctv"
    names = [key, f"{key}/mixed"][: 1 + (key != "udcdr")]
    assert list(results) == [target.name for target in plan.targets] == names
    assert {query.domain for target in plan.targets for query in target.queries} == {asking}
    transform = frozen.clip.preprocess.eval_transform()
    for target in plan.targets:
        sides = []
        for records in (target.queries, target.gallery):
            pictures = [transform(interlace.data.open_image(r.image)) for r in records]
            with torch.no_grad():
                sides += [frozen.clip.image(torch.stack(pictures)).features]
            sides += [torch.tensor([record.label for record in records])]
        expected = retrieval_metrics(*sides, 200)
        own = results[target.name].values
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
    plan: RetrievalPlan, frozen: AdaptedModel, method: str, settings: dict
) -> None:
    adapted = fitted(plan, method, **settings)
    some = plan.targets[0].gallery[:5]
    own = retrieval_features(adapted, some, plan.task.classes, batch_size=2)
    base = retrieval_features(frozen, some, plan.task.classes)
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
    assert torch.allclose(retrieval_features(adapted, some, plan.task.classes), own, atol=1e-5)


def test_images_of_the_fit_are_left_out(plan: RetrievalPlan, tmp_path: Path) -> None:
    adapted = fitted(plan, "mail", rank=2)
    shot = plan.task.train[0]
    target = plan.targets[0]
    copy = tmp_path / "copy.png"
    copy.write_bytes(shot.image.read_bytes())
    again = replace(target.gallery[0], image=copy, key="copy")
    more = replace(target, gallery=(*target.gallery, again))

    def figures(model: AdaptedModel, *targets: RetrievalTarget) -> Mapping[str, float]:
        return replace(plan, targets=targets).score(model)[target.name].values

    result = figures(adapted, more)
    assert result["n_left_out"] == 1 and result["n_gallery"] == len(target.gallery)
    assert result["map_all"] == figures(adapted, *plan.targets)["map_all"]
    # the frozen model has no shots of its own, and is scored on the same images
    assert figures(adapted.zero_shot(), more)["n_left_out"] == 1
    only = replace(target, queries=(again,))
    with pytest.raises(InterlaceError, match="all 1 queries were used to fit"):
        figures(adapted, only)


def test_every_image_is_encoded_once(plan: RetrievalPlan, frozen: AdaptedModel) -> None:
    seen: list[tuple[int, int]] = []
    plan.score(frozen, report=lambda done, total: seen.append((done, total)))
    mixed = plan.target("ucdr/mixed")
    total = len(mixed.queries) + len(mixed.gallery)
    assert seen[-1] == (total, total)


def test_a_sheet_of_hits(plan: RetrievalPlan, frozen: AdaptedModel, tmp_path: Path) -> None:
    name = "ucdr/mixed"
    gallery = plan.target(name).gallery
    # a query that stands in the gallery finds itself first
    target = replace(plan.target(name), queries=gallery[::3])
    rows = hit_rows(frozen, frozen, replace(plan, targets=(target,)), name, queries=3, hits=4)
    assert [len(row.after) for row in rows] == [4, 4, 4]
    for row in rows:
        assert row.before[0][1] and row.before[0][0].tobytes() == row.query.tobytes()
        assert [right for _, right in row.before] == [right for _, right in row.after]
    assert not all(right for row in rows for _, right in row.after)
    hits_png(tmp_path / "hits.png", rows, "title")
    with Image.open(tmp_path / "hits.png") as image:
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 20)}
    assert {(0x1A, 0x7F, 0x4B), (0xB4, 0x23, 0x18)} <= colours
    with pytest.raises(InterlaceError, match="no target 'x': there are ucdr, ucdr/mixed"):
        hit_rows(frozen, frozen, plan, "x")
    with pytest.raises(InterlaceError, match="no query to draw"):
        hits_png(tmp_path / "none.png", [])
