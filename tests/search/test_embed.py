"""Bulk embedding: the same vectors from every engine and source, whatever happens in between."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from interlace import Gallery, InterlaceError
from interlace.search.embed import embed
from interlace.search.encoder import Encoder
from interlace.search.engines.ray import Embedder
from interlace.search.parts import VectorParts
from interlace.search.sources import find_source
from interlace.search.worker import Worker


def vectors(path):
    table = pq.read_table(path)
    return {row["key"]: row for row in table.to_pylist()}


def matrix(path):
    return np.array(pq.read_table(path)["vector"].to_pylist())


@pytest.fixture
def shards(photos, tmp_path):
    """The photos as two WebDataset shards, class names in .cls files."""
    folder, paths = tmp_path / "shards", sorted(photos.rglob("*.webp"))
    folder.mkdir()
    for number, own in enumerate((paths[:7], paths[7:])):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for path in own:
                name = path.relative_to(photos).with_suffix("").as_posix()
                files = {".webp": path.read_bytes(), ".json": b"{}"}
                if path.parent != photos:
                    files[".cls"] = path.parent.name.encode()
                for ending, content in files.items():
                    member = tarfile.TarInfo(name + ending)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder


def test_a_folder_gives_the_vectors_of_its_gallery(photos, tmp_path, clip):
    output = tmp_path / "out.parquet"
    report = embed(photos, output, clip, unit=5, batch_size=2)
    assert report.count == 13 and not report.skipped and report.resumed == 0
    rows = vectors(output)
    assert list(rows) == sorted(rows, key=lambda k: (k.count("/"), k))
    assert rows["rocket/0.webp"]["label"] == "rocket" and rows["loose.webp"]["label"] is None
    gallery = Gallery.build(tmp_path / "gallery", photos, clip)
    for key in ("rocket/0.webp", "guitar/3.webp"):
        hit = gallery.nearest(np.array(rows[key]["vector"], dtype=np.float32), 1)[0]
        assert hit.key == key and hit.score == pytest.approx(1, abs=1e-5)
    facts = json.loads(pq.read_schema(output).metadata[b"interlace"])
    assert facts["model"] == gallery.model.to_dict() == report.model.to_dict()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gallery", "out.parquet", "photos"]


def test_shards_and_tables_give_the_vectors_of_the_folder(photos, shards, tmp_path, clip):
    embed(photos, tmp_path / "folder.parquet", clip)
    expected = vectors(tmp_path / "folder.parquet")
    report = embed(shards, tmp_path / "shards.parquet", clip)
    found = vectors(tmp_path / "shards.parquet")
    assert report.count == 13 and {f"{key}.webp" for key in found} == set(expected)
    for key, row in found.items():
        np.testing.assert_allclose(row["vector"], expected[f"{key}.webp"]["vector"], atol=1e-6)
        assert row["label"] == expected[f"{key}.webp"]["label"]

    paths = [p.relative_to(tmp_path).as_posix() for p in sorted(photos.rglob("*.webp"))]
    encoded = [(tmp_path / path).read_bytes() for path in paths]
    names = pa.array([0] * 12 + [1])
    known = {"info": {"features": {"label": {"names": ["thing", "other"]}}}}
    tables = {
        "by_path": pa.table({"image": paths, "class": ["thing"] * 12 + [None]}),
        "by_bytes": pa.table({"id": range(13), "image": encoded, "label": names}),
        "as_datasets": pa.table(
            {"image": [{"bytes": b, "path": "x.webp"} for b in encoded], "label": names}
        ).replace_schema_metadata({"huggingface": json.dumps(known)}),
    }
    keys = {
        "by_path": paths,
        "by_bytes": [str(i) for i in range(13)],
        "as_datasets": [f"as_datasets.parquet:{i}" for i in range(13)],
    }
    labels = {
        "by_path": ["thing"] * 12 + [None],
        "by_bytes": ["0"] * 12 + ["1"],
        "as_datasets": ["thing"] * 12 + ["other"],
    }
    wanted = np.array([expected[p.removeprefix("photos/")]["vector"] for p in paths])
    for name, table in tables.items():
        source, output = tmp_path / f"{name}.parquet", tmp_path / f"{name}.out"
        pq.write_table(table, source, row_group_size=4)
        embed(source, output, clip, unit=5)
        np.testing.assert_allclose(matrix(output), wanted, atol=1e-6)
        assert pq.read_table(output)["key"].to_pylist() == keys[name]
        assert pq.read_table(output)["label"].to_pylist() == labels[name]


def test_an_interrupted_run_goes_on(photos, tmp_path, clip, monkeypatch, encoded):
    output, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    embed(photos, whole, clip, unit=4)
    write = VectorParts.write

    def stop(self, number, table, skipped):
        if number == 2:
            raise KeyboardInterrupt
        return write(self, number, table, skipped)

    monkeypatch.setattr(VectorParts, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        embed(photos, output, clip, unit=4)
    assert not output.exists()
    monkeypatch.setattr(VectorParts, "write", write)
    (tmp_path / "out.parquet.parts" / "part-000003.99.partial").write_bytes(b"cut sh")
    with pytest.raises(InterlaceError, match="parts of another run"):
        embed(photos, output, clip, unit=5)
    del encoded[:]
    report = embed(photos, output, clip, unit=4)
    assert report.resumed == 2 and len(encoded) == 13 - 8
    assert pq.read_table(output).drop_columns("vector") == pq.read_table(whole).drop_columns(
        "vector"
    )
    np.testing.assert_array_equal(matrix(output), matrix(whole))
    with pytest.raises(InterlaceError, match="is there already"):
        embed(photos, output, clip)
    assert embed(photos, output, clip, overwrite=True).resumed == 0


def test_what_cannot_be_used_is_listed_or_an_error(photos, shards, tmp_path, clip):
    (photos / "rocket" / "broken.png").write_bytes(b"not a picture")
    report = embed(photos, tmp_path / "out.parquet", clip)
    assert [(s.key, s.reason) for s in report.skipped] == [
        ("rocket/broken.png", "not an image of a known format")
    ]
    facts = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"interlace"])
    assert facts["skipped"] == [["rocket/broken.png", "not an image of a known format"]]
    with pytest.raises(InterlaceError, match=r"rocket/broken\.png: not an image"):
        embed(photos, tmp_path / "strict.parquet", clip, strict=True)
    shard = shards / "1.tar"
    shard.write_bytes(shard.read_bytes()[:1500])
    with pytest.raises(InterlaceError, match=r"1\.tar: the shard cannot be read"):
        embed(shards, tmp_path / "shards.parquet", clip)
    pq.write_table(pa.table({"image": ["missing.png", None]}), tmp_path / "rows.parquet")
    report = embed(tmp_path / "rows.parquet", tmp_path / "rows.out", clip)
    assert [s.key for s in report.skipped] == ["missing.png", "rows.parquet:1"]
    assert report.count == 0 and pq.read_schema(tmp_path / "rows.out").field("vector")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "no such file or folder"),
        ("page.html", b"x", r"expected a folder of images, \.parquet tables, or \.tar shards"),
        ("bad.parquet", b"x", "cannot be read as Parquet"),
    ],
)
def test_bad_sources(tmp_path, clip, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InterlaceError, match=message):
        embed(tmp_path / name, tmp_path / "out.parquet", clip)


def test_a_table_without_images_names_its_columns(tmp_path, clip):
    pq.write_table(pa.table({"text": ["a"], "score": [1]}), tmp_path / "rows.parquet")
    with pytest.raises(InterlaceError, match=r"no column for the image: it has text, score"):
        embed(tmp_path / "rows.parquet", tmp_path / "out.parquet", clip)


def test_engines_that_cannot_be_had(photos, tmp_path, clip, monkeypatch):
    with pytest.raises(InterlaceError, match="engine = 'spark': must be local or ray"):
        embed(photos, tmp_path / "out.parquet", clip, engine="spark")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(
        InterlaceError, match=r"the engine ray needs a package: pip install 'interlace\[ray\]'"
    ):
        embed(photos, tmp_path / "out.parquet", clip, engine="ray")


def test_an_encoder_of_a_cluster_hands_errors_on(photos, tmp_path, clip):
    (photos / "banana" / "broken.png").write_bytes(b"not a picture")
    units, model = find_source(photos, 4).units, Encoder(clip).id
    parts = VectorParts(tmp_path / "out.parquet", 4, model, "run")
    parts.begin(False)
    batch = {"item": np.arange(len(units))}
    arguments = (parts, dict(enumerate(units)), "cpu", {"strict": True})
    done = Embedder(model, *arguments)(batch)
    assert [images for images in done["images"] if images] == [4, 4, 2]
    assert [e for e in done["error"] if e] == ["banana/broken.png: not an image of a known format"]
    other = Embedder(dataclasses.replace(model, hash="other"), *arguments)(batch)
    assert all("a machine of the cluster loads picto" in error for error in other["error"])


def test_ray_gives_the_vectors_of_the_local_engine(photos, tmp_path, clip, monkeypatch):
    pytest.importorskip("ray")
    # one of its own, whatever other tests run at the same time
    monkeypatch.setenv("RAY_ADDRESS", "local")
    (photos / "banana" / "broken.png").write_bytes(b"not a picture")
    local = embed(photos, tmp_path / "local.parquet", clip, unit=4, batch_size=3)
    output = tmp_path / "ray.parquet"
    # the first unit is there already, as after a kill
    found, encoder = find_source(photos, 4), Encoder(clip)
    begin = VectorParts.begin

    def began(self, overwrite):
        begin(self, overwrite)
        self.write(0, *Worker(encoder, 3).embed(found.units[0]))
        return begin(self, overwrite)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VectorParts, "begin", began)
        report = embed(photos, output, clip, engine="ray", unit=4, batch_size=3, device="cpu")
    assert report.resumed == 1 and report.skipped == local.skipped and len(local.skipped) == 1
    one, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("local", "ray"))
    assert one.drop_columns("vector") == other.drop_columns("vector")
    np.testing.assert_allclose(matrix(output), matrix(tmp_path / "local.parquet"), atol=1e-6)
