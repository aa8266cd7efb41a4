"""A gallery holds what its folder holds, and finds what a plain product of matrices finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lancedb
import numpy as np
import pytest
import torch
from torch.nn import functional as F

import interlace
from interlace import Gallery, InterlaceError
from interlace.config import RunConfig
from interlace.data.images.decode import open_image
from interlace.search import index
from interlace.search.table import PhotoTable, rows


@pytest.fixture
def gallery(photos, tmp_path, clip):
    return Gallery.build(tmp_path / "gallery", photos, clip)


def contents(folder):
    """Rows of the table without its own times, by path."""
    table = lancedb.connect(folder).open_table("photos").to_arrow()
    return {row["path"]: row for row in table.to_pylist()}


def plain_features(clip, paths):
    transform = clip.preprocess.eval_transform()
    with torch.no_grad():
        features = clip.encode_image(torch.stack([transform(open_image(p)) for p in paths]))
    return F.normalize(features, dim=-1).numpy()


def test_the_table_holds_what_the_folder_holds(gallery, photos, tmp_path, clip):
    stored = contents(tmp_path / "gallery")
    paths = sorted(photos.rglob("*.webp"))
    assert sorted(stored) == sorted(p.relative_to(photos).as_posix() for p in paths)
    assert len(gallery) == len(paths) == 13 and gallery.complete
    assert stored["rocket/0.webp"]["label"] == "rocket" and stored["loose.webp"]["label"] is None
    expected = plain_features(clip, paths)
    found = np.array([stored[p.relative_to(photos).as_posix()]["vector"] for p in paths])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    small = open_image(stored["rocket/0.webp"]["thumbnail"])
    assert small.size == open_image(photos / "rocket" / "0.webp").size
    assert gallery.report.added == 13 and not gallery.report.skipped


def test_an_image_query_is_exact(gallery, photos, clip, drawn):
    query = drawn["guitar"][5]
    paths = sorted(photos.rglob("*.webp"))
    scores = plain_features(clip, paths) @ plain_features(clip, [query])[0]
    expected = [paths[i] for i in np.argsort(-scores)[:5]]
    hits = gallery.query(query, k=5)
    assert [Path(hit.path) for hit in hits] == expected
    np.testing.assert_allclose([h.score for h in hits], np.sort(scores)[::-1][:5], atol=1e-5)
    assert hits[0].label == "guitar"


def test_a_text_query_reads_the_words_as_they_are(gallery, photos, clip):
    paths = sorted(photos.rglob("*.webp"))
    with torch.no_grad():
        text = clip.encode_text(clip.tokenizer(["a yellow banana"]))
    scores = plain_features(clip, paths) @ F.normalize(text, dim=-1)[0].numpy()
    hits = gallery.query("a yellow banana", k=3)
    assert [Path(hit.path) for hit in hits] == [paths[i] for i in np.argsort(-scores)[:3]]
    assert hits[0].score == pytest.approx(float(scores.max()), abs=1e-5)
    assert len(gallery.query("a yellow banana", k=500)) == 13


def test_in_memory_search_equals_the_scan_of_lancedb(tmp_path):
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((3000, 16), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = filled(tmp_path, vectors)
    for query in vectors[:20] + 0.1:
        search = table.table.search(query).distance_type("dot").limit(7)
        assert [hit[0] for hit in index.finder(table).nearest(query, 7)] == search.to_arrow()[
            "path"
        ].to_pylist()


def test_ties_come_in_the_order_of_their_keys(tmp_path):
    table = filled(tmp_path, np.tile(np.eye(8, dtype=np.float32)[0], (40, 1)))
    found = [hit[0] for hit in index.finder(table).nearest(np.eye(8, dtype=np.float32)[0], 3)]
    assert found == ["00000", "00001", "00002"]


def filled(folder, vectors, start=0, table=None):
    """A table of made-up vectors."""
    if table is None:
        table = PhotoTable(folder / "made")
        table.create(interlace.search.encoder.ModelId("model", "", "made", vectors.shape[1]))
    values = (
        {"path": f"{start + i:05d}", "vector": v, "hash": "", "label": None}
        for i, v in enumerate(vectors)
    )
    table.add(rows(values, vectors.shape[1]))
    return table


@pytest.mark.parametrize("dim", [32, 20])
def test_above_the_limit_an_index_finds_nearly_all_and_new_rows_too(tmp_path, monkeypatch, dim):
    monkeypatch.setattr(index, "EXACT_LIMIT", 1000)
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((20, dim))
    vectors = centres[generator.integers(0, 20, 2600)] + 0.5 * generator.standard_normal(
        (2600, dim)
    )
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    table = filled(tmp_path, vectors[:2000])
    assert "there is no index yet" in index.describe(table)
    index.ensure(table)
    assert "44 partitions" in index.describe(table) and "beside" not in index.describe(table)
    filled(tmp_path, vectors[2000:], 2000, table)
    assert "600 rows beside it" in index.describe(table)
    for _ in range(2):  # with rows beside the index, and after it took them in
        finder = index.finder(table)
        assert isinstance(finder, index.Indexed)
        right = 0
        for query in vectors[::65]:
            exact = {f"{i:05d}" for i in np.argsort(-(vectors @ query))[:10]}
            found = finder.nearest(query, 10)
            right += len(exact & {key for key, _, _ in found})
            assert found[0][2] == pytest.approx(1, abs=1e-5)
        assert right >= 0.95 * 10 * len(vectors[::65])
        assert finder.nearest(vectors[2599], 1)[0][0] == "02599"
        table.compact()
        index.ensure(table)
        assert "beside" not in index.describe(table)


def test_an_index_is_made_anew_when_the_gallery_has_outgrown_it(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "EXACT_LIMIT", 100)
    vectors = np.random.default_rng(2).standard_normal((3000, 16), dtype=np.float32)
    table = filled(tmp_path, vectors[:300])
    index.ensure(table)
    assert "17 partitions" in index.describe(table)
    filled(tmp_path, vectors[300:], 300, table)
    table.compact()
    index.ensure(table)
    assert "54 partitions" in index.describe(table)
    assert len(table.table.list_indices()) == 1


def test_only_what_changed_is_encoded(photos, tmp_path, clip, drawn, encoded):
    where = tmp_path / "gallery"
    gallery = Gallery.build(where, photos, clip)
    del encoded[:]
    version = gallery._table.version()
    report = gallery.update()
    assert (report.added, report.changed, report.removed, report.unchanged) == (0, 0, 0, 13)
    assert not encoded and gallery._table.version() == version

    (photos / "rocket" / "new.webp").write_bytes(drawn["rocket"][5])
    (photos / "guitar" / "0.webp").write_bytes(drawn["guitar"][5])
    (photos / "banana" / "1.webp").unlink()
    (photos / "banana" / "2.webp").rename(photos / "banana" / "moved.webp")
    os.utime(photos / "banana" / "3.webp", ns=(1, 1))
    (photos / "cut.webp").write_bytes(drawn["rocket"][0][:200])
    (photos / "guitar" / "1.webp").write_bytes(b"spoilt")
    report = Gallery.open(where, clip).update(photos)
    assert (report.added, report.changed, report.reused) == (2, 2, 2)
    assert report.removed == 3 and report.count == 12
    assert {item.key for item in report.skipped} == {"cut.webp", "guitar/1.webp"}
    assert len(encoded) == 2

    fresh = tmp_path / "fresh"
    Gallery.build(fresh, photos, clip)
    assert_same(contents(where), contents(fresh))


def assert_same(one, other):
    assert sorted(one) == sorted(other)
    for key, row in one.items():
        for name in ("hash", "label", "thumbnail", "size", "mtime"):
            assert row[name] == other[key][name], (key, name)
        np.testing.assert_allclose(row["vector"], other[key]["vector"], atol=1e-6)


def test_two_files_that_swap_names_swap_vectors(photos, tmp_path, clip, monkeypatch):
    monkeypatch.setattr("interlace.search.writer.ROWS", 1)
    one, two = photos / "guitar" / "0.webp", photos / "rocket" / "0.webp"
    where = tmp_path / "gallery"
    Gallery.build(where, photos, clip)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    report = Gallery.open(where, clip).update(batch_size=1)
    assert report.changed == 2
    Gallery.build(tmp_path / "fresh", photos, clip)
    assert_same(contents(where), contents(tmp_path / "fresh"))


def test_rows_that_stand_twice_are_made_once_again(gallery, photos, tmp_path, clip):
    table = lancedb.connect(tmp_path / "gallery").open_table("photos")
    table.add(table.search().where("label = 'rocket'").to_arrow())
    report = Gallery.open(tmp_path / "gallery", clip).update()
    assert report.count == 13 and report.added == 4
    assert len(contents(tmp_path / "gallery")) == 13


def test_a_broken_file_is_listed_or_an_error(photos, tmp_path, clip):
    (photos / "rocket" / "broken.png").write_bytes(b"not a picture")
    (photos / "empty.jpg").touch()
    (photos / "notes.txt").write_text("no picture")
    gallery = Gallery.build(tmp_path / "gallery", photos, clip)
    assert {(s.key, s.reason) for s in gallery.skipped} == {
        ("rocket/broken.png", "not an image of a known format"),
        ("empty.jpg", "the file is empty"),
    }
    assert len(gallery) == 13
    with pytest.raises(InterlaceError, match=r"empty\.jpg: the file is empty"):
        Gallery.build(tmp_path / "other", photos, clip, strict=True)
    assert not Gallery.open(tmp_path / "other", clip).complete


def test_a_gallery_of_broken_files_is_empty(tmp_path, clip):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.png").write_bytes(b"not a picture")
    gallery = Gallery.build(tmp_path / "gallery", tmp_path / "photos", clip)
    assert len(gallery) == 0 and gallery.query("a rocket") == []
    assert gallery.sheet("a rocket", []).width > 300


def test_a_folder_without_images_changes_nothing(gallery, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InterlaceError, match="no image in .*nothing"):
        gallery.update(tmp_path / "nothing")
    assert len(gallery) == 13 and gallery.complete
    with pytest.raises(InterlaceError, match="no such folder"):
        gallery.update(tmp_path / "missing")


KILLED = """
import sys, time
from interlace import Gallery
from interlace.search import writer
from interlace.search.encoder import Encoder
writer.ROWS = 2
images = Encoder.images
def slow(self, pixels):
    time.sleep(0.2)
    return images(self, pixels)
Encoder.images = slow
Gallery.build(sys.argv[1], sys.argv[2], "picto", batch_size=2,
              progress=lambda done, total, skipped: print(done, flush=True))
"""


def test_a_killed_build_goes_on(photos, tmp_path, clip, encoded):
    where = tmp_path / "gallery"
    command = [sys.executable, "-c", KILLED, str(where), str(photos)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 8:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    killed = Gallery.open(where)
    stored = len(killed)
    assert not killed.complete and 4 <= stored < 13
    assert len(killed.query("a rocket", k=20)) == stored
    del encoded[:]
    resumed = Gallery.build(where, photos)  # the model is remembered
    assert resumed.complete and len(encoded) == 13 - stored == resumed.report.added
    Gallery.build(tmp_path / "whole", photos, clip)
    assert_same(contents(where), contents(tmp_path / "whole"))


def test_another_model_is_refused_and_both_are_named(gallery, photos, tmp_path, clip):
    other = interlace.load("picto")
    with torch.no_grad():
        other.logit_scale.add_(1)
    for use in (
        lambda: Gallery.open(tmp_path / "gallery", other),
        lambda: Gallery.build(tmp_path / "gallery", photos, other),
    ):
        with pytest.raises(InterlaceError, match="makes other vectors") as refused:
            use()
        hashes = gallery.model.hash, Gallery.build(tmp_path / "new", photos, other).model.hash
        assert all(one in str(refused.value) for one in hashes) and hashes[0] != hashes[1]
        assert "\n" not in str(refused.value)
    replaced = Gallery.build(tmp_path / "gallery", photos, other, overwrite=True)
    assert replaced.model.hash == hashes[1] and len(replaced) == 13
    # the name it remembers now loads a model with another hash
    with pytest.raises(InterlaceError, match="makes other vectors"):
        Gallery.open(tmp_path / "gallery").query("a rocket")


def adapted_to(clip, method, **arguments):
    made = interlace.methods.create(method, clip, **arguments)
    names = ["rocket", "guitar"]
    config = RunConfig(method, arguments)
    return interlace.Adapted(made, names, clip.template, trained_classes=names, config=config)


@pytest.fixture
def run(tmp_path, clip):
    """A saved adapted model whose tensors differ from what they start as."""
    adapted = adapted_to(clip, "mmrl", n_tokens=2, dim=8, first_block=2, alpha=0.7, reg=0.0)
    with torch.no_grad():
        for parameter in adapted.method.parameters():
            parameter.add_(0.1)
    adapted.save(tmp_path / "run")
    return adapted


def test_an_adapted_model_makes_its_own_vectors(photos, tmp_path, clip, run):
    gallery = Gallery.build(tmp_path / "gallery", photos, tmp_path / "run")
    path = photos / "rocket" / "0.webp"
    pixels = clip.preprocess.eval_transform()(open_image(path))[None]
    with torch.no_grad():
        image = F.normalize(run.method.encode_image(pixels).features, dim=-1)[0]
        prompts = clip.prompts(["a rocket"], "{}")
        text = F.normalize(run.method.encode_text(prompts).features, dim=-1)[0]
    stored = torch.tensor(contents(tmp_path / "gallery")["rocket/0.webp"]["vector"])
    torch.testing.assert_close(stored, image, atol=1e-5, rtol=0)
    hits = {hit.key: hit.score for hit in gallery.query("a rocket", k=13)}
    assert hits["rocket/0.webp"] == pytest.approx(float(image @ text), abs=1e-5)
    assert gallery.model.kind == "run" and gallery.model.source == str(tmp_path / "run")
    with pytest.raises(InterlaceError, match=r"picto \(\w+\) makes other vectors"):
        Gallery.open(tmp_path / "gallery", "picto")
    reopened = Gallery.open(tmp_path / "gallery")
    assert reopened.query(path, k=1)[0].key == "rocket/0.webp"

    with torch.no_grad():
        next(run.method.parameters()).add_(0.1)
    run.save(tmp_path / "run", overwrite=True)
    with pytest.raises(InterlaceError, match="makes other vectors"):
        Gallery.open(tmp_path / "gallery").query("a rocket")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    with pytest.raises(InterlaceError, match="cannot load the model .* give the model"):
        Gallery.open(tmp_path / "gallery").query("a rocket")


def test_a_method_that_changes_no_vector_is_refused(photos, tmp_path, clip):
    adapted = adapted_to(clip, "clip_adapter", reduction=4, ratio=0.2)
    with pytest.raises(InterlaceError, match=r"clip_adapter .* use the plain model, picto"):
        Gallery.build(tmp_path / "gallery", photos, adapted)


def test_a_new_gallery_needs_a_model_and_an_unsaved_one_is_not_remembered(photos, tmp_path, run):
    with pytest.raises(InterlaceError, match="a new gallery needs a model"):
        Gallery.build(tmp_path / "gallery", photos)
    Gallery.build(tmp_path / "gallery", photos, run)
    with pytest.raises(InterlaceError, match="was not saved, so give it"):
        Gallery.open(tmp_path / "gallery").query("a rocket")
    assert Gallery.open(tmp_path / "gallery", run).query("a rocket", k=2)


def test_what_is_no_gallery_is_told(gallery, tmp_path, clip):
    with pytest.raises(InterlaceError, match="holds no gallery"):
        Gallery.open(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    foreign = lancedb.connect(tmp_path / "foreign")
    foreign.create_table("photos", data=[{"path": "a", "vector": [1.0, 2.0]}])
    with pytest.raises(InterlaceError, match="does not say which model"):
        Gallery.open(tmp_path / "foreign")
    lancedb.connect(tmp_path / "gallery").drop_table("about")
    torn = Gallery.open(tmp_path / "gallery", clip)
    assert not torn.complete and torn.query("a rocket", k=1)


def test_a_gallery_moves_as_one_folder(gallery, photos, tmp_path, clip):
    (tmp_path / "gallery").rename(tmp_path / "moved")
    moved = Gallery.open(tmp_path / "moved")
    assert moved.query("a rocket", k=1)[0].path.startswith(str(photos))
    photos.rename(tmp_path / "pictures")
    report = moved.update(tmp_path / "pictures")
    assert report.unchanged == 13 and report.added == report.removed == 0
    hit = moved.query("a rocket", k=1)[0]
    assert Path(hit.path).is_file() and moved.photos == str(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("missing.png", {}, "no such file: missing.png"),
        ("  ", {}, "an empty query"),
        ("word " * 40, {}, "shorten it"),
        ("word " * 400, {}, "shorten it"),  # longer than the name of a file can be
        ("a rocket", {"k": 0}, "k = 0: must be 1 or more"),
        ("a rocket", {"kind": "sound"}, "kind = 'sound'"),
        ("a rocket", {"kind": "image"}, "a rocket: no such file"),
        (b"bytes", {"kind": "text"}, "a query of type bytes is not text"),
    ],
)
def test_bad_queries(gallery, query, options, message):
    with pytest.raises(InterlaceError, match=message):
        gallery.query(query, **options)
    assert gallery.query("missing.png", kind="text")


def test_without_lancedb_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(InterlaceError, match=r"lancedb is not installed: pip install"):
        Gallery.open(tmp_path)
