"""What many classes and images cost, and that no vector without a length is ever stored."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import interlace
from interlace import methods
from interlace.backbone.tower import TowerOutput
from interlace.data.readers.layout import Node, layout_of
from interlace.errors import InterlaceError
from interlace.evaluation import classification as classify
from interlace.evaluation.classification import Scores, confusion_matrix
from interlace.evaluation.plots import confusion_png
from interlace.experiments.reading import parse_cell
from interlace.methods.inference import NotFinite, logits, logits_in_parts
from interlace.report.confusion import confusion
from interlace.search.embed import embed
from interlace.search.encoder import Encoder
from tests import models
from tests.report.making import cell

TOWER = [
    key
    for key in methods.available()
    if not methods.get(key).uses_frozen_features and key != "zero_shot"
]


# --- scores of many classes


def answers(n_images: int, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(n_classes, (n_images,), generator=generator)
    return 9 * torch.randn(n_images, n_classes, generator=generator), labels


def test_scores_of_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels = answers(500, 7)
    whole = Scores.from_logits(scores, labels)
    monkeypatch.setattr(classify, "_AT_A_TIME", 50)  # seven rows at a time
    for parts in (scores, scores.split(1), scores.split(64), iter(scores.split(333))):
        assert Scores.from_logits(parts, labels).to_dict() == whole.to_dict()
    assert torch.equal(whole.confusion, confusion_matrix(scores, labels))
    confidence, answer = scores.double().softmax(1).max(1)
    bins = ((confidence * 15).ceil().long() - 1).clamp(0, 14)
    right = (answer == labels).double()
    expected = sum(
        abs((right[bins == own] - confidence[bins == own]).sum().item()) for own in range(15)
    )
    assert whole.ece == pytest.approx(expected / 500, abs=1e-12)
    for wrong, told in (
        (scores[:-1].split(64), r"\[499, 7\] and labels .* \[500\]"),
        ([], "no image"),
    ):
        with pytest.raises(InterlaceError, match=told):
            Scores.from_logits(wrong, labels)
    with pytest.raises(InterlaceError, match="are not numbers"):
        Scores.from_logits([scores[:1], scores[1:] * float("nan")], labels)


def test_no_matrix_of_all_classes_is_held() -> None:
    n_classes = 200_000  # all cells would take 320 GB
    labels = torch.arange(0, n_classes, 20_000)
    rows = (torch.zeros(1, n_classes).index_fill(1, label + label % 3, 1) for label in labels)
    scores = Scores.from_logits(rows, labels)
    right = [label % 3 == 0 for label in labels.tolist()]
    assert scores.top1 == sum(right) / 10 == scores.mean_per_class
    cells = scores.to_dict()["confusion"]
    assert cells == [[label, label + label % 3, 1] for label in labels.tolist()]
    assert scores.counts.is_sparse and scores.counts._nnz() == 10


def test_logits_come_in_parts() -> None:
    clip = models.tiny()
    method = methods.create("zero_shot", clip)
    image = TowerOutput(torch.randn(10, clip.spec.embed_dim))
    text = TowerOutput(torch.randn(4, clip.spec.embed_dim))
    parts = list(logits_in_parts(method, image, text, True, chunk=4))
    assert [list(part.shape) for part in parts] == [[4, 4], [4, 4], [2, 4]]
    assert torch.equal(torch.cat(parts), logits(method, image, text, True))
    for value in (float("nan"), float("inf"), 1e30):  # the square of the last is infinite
        for what, place in (("image", 9), ("class", 2)):
            changed = {"image": image.features.clone(), "class": text.features.clone()}
            changed[what][place] = value
            with pytest.raises(NotFinite, match=f"{what} number {place + 1}") as caught:
                list(
                    logits_in_parts(
                        method,
                        TowerOutput(changed["image"]),
                        TowerOutput(changed["class"]),
                        True,
                        chunk=4,
                    )
                )
            again = pickle.loads(pickle.dumps(caught.value))
            assert (str(again), again.what, again.index) == (str(caught.value), what, place)


def test_sparse_and_dense_counts_are_drawn_alike(tmp_path: Path) -> None:
    for n_classes in (5, 40, 1200):
        scores, labels = answers(300, n_classes)
        found = Scores.from_logits(scores, labels)
        names = [f"class {number}" for number in range(n_classes)]
        for name, counts in (("sparse", found.counts), ("dense", found.confusion)):
            assert confusion_png(tmp_path / f"{name}.png", counts, names, "title") == ""
        with Image.open(tmp_path / "sparse.png") as one, Image.open(tmp_path / "dense.png") as two:
            assert np.array_equal(np.asarray(one), np.asarray(two))


# --- records of cells


def record(seed: int, **details: object) -> dict[str, object]:
    return cell("mail", seed, {"all": {"top1": 0.5, "details": {"classes": NAMES, **details}}})


NAMES = ["a", "b", "c"]
MATRIX = [[3, 1, 0], [0, 2, 5], [0, 0, 1]]
CELLS = [[0, 0, 3], [0, 1, 1], [1, 1, 2], [1, 2, 5], [2, 2, 1]]


def test_records_before_and_after_sparse_counts_say_the_same() -> None:
    old, new = (parse_cell(record(1, confusion=MATRIX)), parse_cell(record(2, counts=CELLS)))
    by_old, by_new = confusion([old], "all"), confusion([new], "all")
    assert by_old is not None and by_new is not None
    assert by_old.chart == by_new.chart
    assert by_old.pairs == by_new.pairs == (("b", "c", 5), ("a", "b", 1))
    assert "6 of 12 right (50.0 %)" in by_new.chart.caption
    both = confusion([old, new], "all")
    assert both is not None and both.pairs == (("b", "c", 10), ("a", "b", 2))
    assert both.seeds == (1, 2) and "12 of 24 right" in both.chart.caption


@pytest.mark.parametrize(
    "counts", [[[0, 3, 1]], [[3, 0, 1]], [[0, 0]], [[0, 0, -1]], [[0, 0, 0, 1]], [[0, 0, 1.5]], 7]
)
def test_counts_that_fit_no_class_are_refused(counts: object) -> None:
    with pytest.raises(InterlaceError, match="details|confusion matrix|counts|metrics"):
        parse_cell(record(1, counts=counts))


def test_details_of_many_classes_are_small() -> None:
    n_classes = 3000
    scores = Scores.from_logits(torch.eye(n_classes).roll(1, 1), torch.arange(n_classes))
    names = [f"class {number}" for number in range(n_classes)]
    counts = scores.to_dict()["confusion"]
    made = cell("mail", 1, {"all": {"top1": 0.0, "details": {"classes": names, "counts": counts}}})
    assert len(json.dumps(made)) < 200_000
    found = confusion([parse_cell(made)], "all")
    assert found is not None and len(found.chart.svg) < 1_000_000
    assert "0 of 3,000 right" in found.chart.caption


# --- folders


def test_thousands_of_unused_folders_are_counted() -> None:
    top = Node()
    for name in ("cat", "dog"):
        top.at((name,)).images = 2
    for number in range(5000):
        top.at((f"empty {number:04d}",))
    notes = layout_of(Path("photos"), top).notes
    assert len(notes) == 21 and notes[0] == "empty 0000/ is not used: no image in it"
    assert notes[-1].startswith("4,980 more folders are not used, with 0 images: empty 0020/, ")


# --- vectors


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(4):
            noise = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize("key", TOWER)
def test_no_vector_without_a_length_is_stored(key: str, photos: Path, tmp_path: Path) -> None:
    task = interlace.FewShotTask.from_folder(photos, shots=1)
    run = tmp_path / "run"
    settings = {"n_tokens": 2} if key == "coop" else {}
    interlace.fit(
        models.tiny(), task, key, epochs=1, preset=None, device="cpu", output=run, **settings
    )
    whole = load_file(run / "adapted.safetensors")
    refused = 0
    for changed in (*([name] for name in whole), list(whole)):
        huge = {name: torch.full_like(whole[name], 3e38) for name in changed}
        save_file({**whole, **huge}, run / "adapted.safetensors")
        encoder = Encoder(interlace.load_adapted(run, models.tiny()))
        for place, ask in enumerate(
            (
                lambda own: own.named_images(models.images(own.clip, 2), ["one", "two"]),
                lambda own: own.text("a red fox")[None],
            )
        ):
            try:
                vectors = ask(encoder)
            except NotFinite as error:
                refused += 1
                assert ("'one'", "'a red fox'")[place] in str(error)
            else:
                lengths = np.linalg.norm(vectors, axis=1)
                assert np.allclose(lengths, 1, atol=1e-3), changed
    assert refused


def test_a_damaged_model_leaves_no_vectors(photos: Path, tmp_path: Path) -> None:
    clip = models.tiny()
    with torch.no_grad():
        next(clip.image.parameters()).fill_(3e38)
    gallery = tmp_path / "gallery"
    interlace.Gallery.build(gallery, photos, models.tiny(), device="cpu")
    with pytest.raises(InterlaceError, match="no finite numbers for image 'a plain grey one'"):
        embed(photos, tmp_path / "v.parquet", clip, device="cpu")
    for where, overwrite in ((gallery, True), (tmp_path / "new", False)):
        with pytest.raises(InterlaceError, match="no finite numbers for image"):
            interlace.Gallery.build(where, photos, clip, overwrite=overwrite, device="cpu")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["gallery"]
    assert len(interlace.Gallery.open(gallery, models.tiny(), device="cpu")) == 8


def test_one_image_without_a_vector_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = models.tiny()
    plain = type(clip).encode_image

    def encode(self: object, images: torch.Tensor) -> torch.Tensor:
        features = plain(self, images)
        if len(features) > 1:
            features[2] = float("inf")
        return features

    monkeypatch.setattr(type(clip), "encode_image", encode)
    for run in (
        lambda: embed(photos, tmp_path / "v.parquet", clip, device="cpu"),
        lambda: interlace.Gallery.build(tmp_path / "gallery", photos, clip, device="cpu"),
    ):
        with pytest.raises(InterlaceError, match="no finite numbers for image 'cat/2.png'"):
            run()
    assert not (tmp_path / "v.parquet").exists()


def test_scores_without_images_left_are_as_before(photos: Path) -> None:
    task = interlace.FewShotTask.from_folder(photos, shots=1)
    adapted = interlace.fit(models.tiny(), task, "zero_shot", preset=None, device="cpu")
    scores = adapted.evaluate(task.test)
    assert scores.n == len(task.test) and scores.counts.values().sum() == scores.n
    assert replace(scores, left_out=3).confusion.tolist() == scores.confusion.tolist()
