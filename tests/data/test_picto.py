"""The embedded model and data set: it loads, it is small, and its splits are honest."""

import hashlib
import io
import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from interlace.data.datasets import picto

CONCEPT_TASKS = ("activities", "animals-nature", "food-drink", "objects", "travel-places")
MEGABYTE = 1e6
CORE_SHA256 = "50bda982e3d142683577698a056b5574fa810f92d88d66a97a30c9f0ce41eda3"
TASKS_SHA256 = "74decb6f9877f650145e820a2b235888fdf8011af1b55037739e3079b84e61ef"


@cache
def rows() -> list[dict]:
    """Every record of the table but the image itself, by image_id."""
    return picto.images().drop_columns(["image"]).to_pylist()


@cache
def core_rows() -> list[dict]:
    """Those of the core concepts."""
    return [row for row in rows() if row["group"] in picto.CORE_GROUPS]


def decode(image_id: int) -> Image.Image:
    return Image.open(io.BytesIO(picto.images()["image"][image_id].as_py()))


@cache
def checkpoint():
    name = f"local-dir:{picto.model_dir()}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    merges = str(picto.model_dir() / "bpe_merges.txt.gz")
    return model.eval(), preprocess, open_clip.get_tokenizer(name, bpe_path=merges)


def test_the_names_of_the_tasks_are_fixed():
    assert picto.task_names() == sorted([*CONCEPT_TASKS, "subgroups"])


def test_an_unknown_task_is_refused():
    with pytest.raises(KeyError, match="no task 'faces'"):
        picto.task("faces")


def test_the_checkpoint_is_a_plain_open_clip_model_of_the_stated_size():
    model, _, tokenise = checkpoint()
    assert type(model) is open_clip.model.CLIP
    assert isinstance(model.visual.conv1, torch.nn.Conv2d)
    for tower in (model.visual.transformer, model.transformer):
        assert 8 <= len(tower.resblocks) <= 12
    assert model.context_length == 32
    assert tokenise.vocab_size == model.token_embedding.num_embeddings
    assert sum(f.stat().st_size for f in picto.model_dir().iterdir()) <= 25 * MEGABYTE


def test_the_checkpoint_beats_chance_by_far_with_stock_open_clip():
    model, preprocess, tokenise = checkpoint()
    task = picto.task("food-drink")
    pairs = task["test"][::8]
    pixels = torch.stack([preprocess(decode(i)) for i, _ in pairs])
    with torch.no_grad():
        texts = tokenise([task["template"].format(name) for name in task["classes"]])
        names = model.encode_text(texts, normalize=True)
        best = (model.encode_image(pixels, normalize=True) @ names.T).argmax(1)
    labels = torch.tensor([label for _, label in pairs])
    accuracy = (best == labels).float().mean().item()
    assert accuracy > 20 / len(task["classes"])


def test_the_images_are_small_rgb_drawings_in_order():
    table = picto.images()
    assert table["image_id"].to_pylist() == list(range(table.num_rows))
    assert picto.images() is table
    assert (picto.model_dir().parent / "images.parquet").stat().st_size <= 14 * MEGABYTE
    for image_id in range(0, table.num_rows, 500):
        image = decode(image_id)
        assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "WEBP")
        assert np.asarray(image).min() < 200


@pytest.mark.parametrize("name", [*CONCEPT_TASKS, "subgroups"])
def test_a_task_is_what_its_hash_says(name):
    task = picto.task(name)
    decided = {key: task[key] for key in ("template", "classes", "train", "test")}
    text = json.dumps(decided, sort_keys=True, separators=(",", ":"))
    assert task["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert task["name"] == name
    assert task["template"] == "a drawing of {}"
    assert task["classes"] == sorted(set(task["classes"]))
    assert "{" not in "".join(task["classes"])


@pytest.mark.parametrize("name", [*CONCEPT_TASKS, "subgroups"])
def test_labels_name_the_images_and_every_class_has_both_sides(name):
    task = picto.task(name)
    for side in ("train", "test"):
        for image_id, label in task[side]:
            row = rows()[image_id]
            stated = row["subgroup"].replace("-", " ") if name == "subgroups" else row["name"]
            assert stated == task["classes"][label]
        assert {label for _, label in task[side]} == set(range(len(task["classes"])))


@pytest.mark.parametrize("name", CONCEPT_TASKS)
def test_shots_and_tests_of_concepts_come_from_disjoint_families(name):
    task = picto.task(name)
    families = [{rows()[i]["family"] for i, _ in task[side]} for side in ("train", "test")]
    assert not families[0] & families[1]
    assert {rows()[i]["group"] for i, _ in task["train"] + task["test"]} == {name}


def test_shots_and_tests_of_subgroups_are_disjoint_concepts_in_any_style():
    task = picto.task("subgroups")
    concepts = [{rows()[i]["concept"] for i, _ in task[side]} for side in ("train", "test")]
    names = [{rows()[i]["name"] for i, _ in task[side]} for side in ("train", "test")]
    assert not concepts[0] & concepts[1]
    assert not names[0] & names[1]


@pytest.mark.parametrize("name", [*CONCEPT_TASKS, "subgroups"])
def test_no_task_is_tested_or_shot_in_a_style_that_pretraining_drew_from(name):
    task = picto.task(name)
    domains = picto.task("styles")["domains"]
    tested, shot = ({rows()[i]["style"] for i, _ in task[side]} for side in ("test", "train"))
    assert not any(domains[style]["seen"] for style in tested)
    assert {style for style in shot if domains[style]["seen"]} <= {"streamline"}  # its teacher's
    assert not any(domains[style]["role"] == "train" for style in shot)


def test_no_image_is_on_both_sides_bit_for_bit():
    digests = [hashlib.sha256(b).hexdigest() for b in picto.images()["image"].to_pylist()]
    for name in picto.task_names():
        task = picto.task(name)
        train, test = ({digests[i] for i, _ in task[side]} for side in ("train", "test"))
        assert not train & test


def test_the_styles_file_describes_every_style_and_its_licence_is_stated():
    domains = picto.task("styles")["domains"]
    assert set(domains) == {row["style"] for row in core_rows()}
    licences = (picto.model_dir().parent / "LICENSES.md").read_text(encoding="utf-8")
    for style, about in domains.items():
        assert f"| {style} |" in licences
        ids = [row["image_id"] for row in core_rows() if row["style"] == style]
        assert (ids[0], ids[-1], len(ids)) == (
            about["first_image_id"],
            about["last_image_id"],
            about["images"],
        )
        assert {row["family"] for row in core_rows() if row["style"] == style} == {about["family"]}


def test_the_core_concepts_come_first_and_the_others_are_of_other_groups_and_names():
    assert [row["image_id"] for row in core_rows()] == list(range(8392))
    assert picto.core_images()["image_id"].to_pylist() == list(range(8392))
    core, more = ({row["concept"]: row["name"] for row in part} for part in (core_rows(), rows()))
    more = {concept: name for concept, name in more.items() if concept not in core}
    assert (len(core), len(more)) == (861, 576)
    assert len(set(core.values()) | set(more.values())) == 861 + 576
    groups = {row["group"] for row in rows()} - set(picto.CORE_GROUPS)
    assert groups == {"smileys-emotion", "people-body", "symbols"}
    keys = [(row["concept"], row["style"]) for row in rows()]
    assert len(set(keys)) == len(keys)


def test_the_core_drawings_and_the_tasks_are_those_of_the_first_release():
    digest = hashlib.sha256()
    for image in picto.core_images()["image"].to_pylist():
        digest.update(hashlib.sha256(image).digest())
    assert digest.hexdigest() == CORE_SHA256
    hashes = "".join(picto.task(name)["sha256"] for name in picto.task_names())
    assert hashlib.sha256(hashes.encode()).hexdigest() == TASKS_SHA256


def test_drawings_outside_the_core_show_on_white():
    for image_id in range(8392, len(rows()), 37):
        pixels = np.asarray(decode(image_id)).astype(int)
        assert pixels.shape == (64, 64, 3)
        assert pixels.min() < 215 and (255 - pixels).mean() > 4


@cache
def greys() -> list[Image.Image]:
    """Every drawing in grey."""
    return [decode(i).convert("L") for i in range(len(rows()))]


def shrunk(images: list[Image.Image], size: tuple[int, int]) -> np.ndarray:
    small = [image.resize(size, Image.Resampling.BOX) for image in images]
    return np.stack([np.asarray(image) for image in small]).astype(np.float32)


def test_drawings_with_equal_thumbnails_are_twins():
    ink = 255 - shrunk(greys(), (16, 16)).reshape(len(rows()), -1)
    squares = (ink**2).sum(1)
    twins = np.array([row["twins"] for row in rows()])
    found = 0
    for start in range(0, len(ink), 500):
        part = slice(start, start + 500)
        room = 0.994 * (squares[part, None] + squares[None, start:])
        near = np.argwhere(2 * ink[part] @ ink[start:].T > room) + start
        found += (near[:, 0] < near[:, 1]).sum()
        assert (twins[near[:, 0]] == twins[near[:, 1]]).all()
    assert found > 300


def test_one_concept_drawn_by_one_family_is_one_set_of_twins():
    sets: dict[tuple[str, str], set[int]] = {}
    for row in rows():
        sets.setdefault((row["family"], row["concept"]), set()).add(row["twins"])
        assert row["twins"] <= row["image_id"]
        assert rows()[row["twins"]]["twins"] == row["twins"]
    assert all(len(ids) == 1 for ids in sets.values())


def test_twins_do_not_chain_into_one_large_set():
    sizes = Counter(row["twins"] for row in rows())
    assert max(sizes.values()) <= 240  # discs; clocks, squares and hearts follow
    assert len(sizes) > 0.45 * len(rows())


def test_seen_covers_the_training_styles_and_holds_for_all_twins():
    domains = picto.task("styles")["domains"]
    for row in core_rows():
        if domains[row["style"]]["seen"] or row["style"] == "noto-mono":
            assert row["seen"]
    assert len({(row["twins"], row["seen"]) for row in rows()}) == len({r["twins"] for r in rows()})
    unseen = Counter(row["style"] for row in rows() if not row["seen"])
    for style in ("fluent-flat", "fluent-3d", "openmoji", "emojione-v1", "symbola"):
        assert unseen[style] > 0.7 * sum(row["style"] == style for row in rows())


def test_no_drawing_called_unseen_has_the_hash_of_a_training_drawing():
    hashes = np.load(Path(__file__).parent / "picto_pretraining.npy")
    assert hashes.dtype == np.uint64 and len(hashes) > 45_000
    trained = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    ids = [row["image_id"] for row in rows() if not row["seen"]]
    own = np.diff(shrunk([greys()[i] for i in ids], (9, 8)), axis=2) > 2
    signs = own.reshape(len(ids), 64) * np.float32(2) - 1
    others = (trained * np.float32(2) - 1).T
    for start in range(0, len(ids), 500):
        differing = (64 - (signs[start : start + 500] @ others).max(1)) / 2
        assert differing.min() > 2, rows()[ids[start + int(differing.argmin())]]["name"]
