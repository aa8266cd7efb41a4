"""Galleries: damaged and tampered tables, kills at any point, two builds at once."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import interlace
from interlace import Gallery
from interlace._util.files import held
from interlace.errors import InterlaceError
from interlace.search import Hit
from interlace.search.sheet import contact_sheet
from interlace.search.table import ABOUT, PHOTOS, PhotoTable

DIM = interlace.load("picto").spec.embed_dim


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.fixture(scope="module")
def clip():
    return interlace.load("picto")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for number in range(5):
        path = root / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (50 * number, 255 - 50 * number, 9)).save(path)
    return root


@pytest.fixture(scope="module")
def whole(photos, clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "gallery"
    Gallery.build(folder, photos, "picto")
    return folder


@pytest.fixture
def gallery(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "gallery")


def rows(folder):
    found = lancedb.connect(folder).open_table(PHOTOS).to_arrow().to_pylist()
    return sorted(found, key=lambda row: row["path"])


def damage(folder, part, change):
    for path in (folder / f"{PHOTOS}.lance" / part).iterdir():
        path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("part", ["data", "_versions"])
@pytest.mark.parametrize(
    "change",
    [lambda b: b[:50], lambda b: bytes(len(b)), lambda b: b""],
    ids=["cut", "zero", "none"],
)
def test_a_damaged_file_is_one_line_and_overwrite_repairs_it(gallery, photos, part, change):
    damage(gallery, part, change)
    with pytest.raises(InterlaceError) as raised:
        Gallery.open(gallery).nearest(np.eye(DIM, dtype=np.float32)[0])
    assert "\n" not in str(raised.value)
    assert Gallery.build(gallery, photos, "picto", overwrite=True).report.count == 5
    assert len(Gallery.open(gallery).nearest(np.eye(DIM, dtype=np.float32)[0])) == 5


def replaced(gallery, name, change):
    """Put a changed table in the place of one."""
    db = lancedb.connect(gallery)
    made = change(db.open_table(name).to_arrow())
    db.create_table(name, made, mode="overwrite", on_bad_vectors="null")


def with_column(table, name, values):
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(name), values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, 3e38])
def test_vectors_that_are_none_are_refused(gallery, bad):
    dim = PhotoTable(gallery).model.dim
    values = pa.FixedSizeListArray.from_arrays(pa.array([bad] * 5 * dim, pa.float32()), dim)
    replaced(gallery, PHOTOS, lambda table: with_column(table, "vector", values))
    with pytest.raises(InterlaceError, match="its vectors are damaged"):
        Gallery.open(gallery).nearest(np.eye(dim, dtype=np.float32)[0])


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "a/../../b.png"])
def test_paths_outside_of_the_photos_are_refused(gallery, key):
    replaced(gallery, PHOTOS, lambda t: with_column(t, "path", pa.array([key] + list("abcd"))))
    with pytest.raises(InterlaceError, match="a path outside its folder"):
        Gallery.open(gallery).nearest(np.eye(DIM, dtype=np.float32)[0])


def test_another_schema_is_named(gallery):
    replaced(gallery, PHOTOS, lambda table: table.drop_columns("hash"))
    with pytest.raises(InterlaceError, match="its column 'hash' is missing"):
        Gallery.open(gallery)
    model = {"kind": "model", "source": "picto", "hash": "0" * 16, "dim": 7}
    facts = json.dumps({"format": 1, "model": model})
    replaced(gallery, PHOTOS, lambda table: table.replace_schema_metadata({"interlace": facts}))
    with pytest.raises(InterlaceError, match=r"where .*\[7\] is expected|'hash'"):
        Gallery.open(gallery)


@pytest.mark.parametrize(
    "model",
    [
        *(None, [], {}, {"kind": "x", "source": "", "hash": "", "dim": DIM}),
        {"kind": "model", "source": 7, "hash": "", "dim": DIM},
        {"kind": "model", "source": "picto", "hash": "", "dim": str(DIM)},
        {"kind": "model", "source": "pi\0cto", "hash": "", "dim": DIM},
        {"kind": "model", "source": "picto", "hash": "", "dim": 10**30},
    ],
)
def test_a_tampered_model_is_refused(gallery, model):
    facts = json.dumps({"format": 1, "model": model})
    replaced(gallery, PHOTOS, lambda table: table.replace_schema_metadata({"interlace": facts}))
    with pytest.raises(InterlaceError, match="does not say which model"):
        Gallery.open(gallery)


@pytest.mark.parametrize("skipped", ["{", "[1]", "7", '[["a"]]', "[" * 100_000, "NaN"])
def test_a_tampered_state_is_refused(gallery, skipped):
    row = pa.table({"photos": ["x"], "complete": [True], "skipped": [skipped]})
    replaced(gallery, ABOUT, lambda _: row)
    with pytest.raises(InterlaceError) as raised:
        Gallery.open(gallery).skipped  # noqa: B018
    assert "'about'" in str(raised.value) and len(str(raised.value)) < 300


def test_thumbnails_that_are_traps_leave_an_empty_frame():
    huge = io.BytesIO()
    Image.new("L", (3000, 3000)).save(huge, "PNG")
    hits = [Hit("", 0.5, "\x1b[2J\0\ud800", str(number)) for number in range(3)]
    bad = {"0": b"%!PS-Adobe-3.0 EPSF-3.0", "1": huge.getvalue(), "2": b"\xff\xd8\xff"}
    frames = contact_sheet("a\0\udcff", hits, bad)
    assert np.array_equal(frames, contact_sheet("a\0\udcff", hits, {}))


def test_a_kill_at_any_step_is_made_good_by_the_same_command(whole, photos, tmp_path, monkeypatch):
    wanted = rows(whole)
    steps = 0
    for stop in range(50):
        folder, left = tmp_path / str(stop), [stop]

        def counted(real, left=left):
            def step(*arguments, **settings):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return real(*arguments, **settings)

            return step

        with monkeypatch.context() as patch:
            for name in ("create", "set_about", "add", "replace", "delete", "compact"):
                patch.setattr(PhotoTable, name, counted(getattr(PhotoTable, name)))
            try:
                Gallery.build(folder, photos, "picto", batch_size=2)
                break
            except Killed:
                steps += 1
        found = Gallery.build(folder, photos, "picto", batch_size=2)
        assert found.complete
        for own, other in zip(rows(folder), wanted, strict=True):
            # batches differ after a kill, and with them the last bits
            np.testing.assert_allclose(own.pop("vector"), other["vector"], atol=1e-6)
            assert own == {name: value for name, value in other.items() if name != "vector"}
    assert steps >= 5


def test_a_kill_of_building_anew_leaves_no_complete_gallery(gallery, photos, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(PhotoTable, "add", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            Gallery.build(gallery, photos, "picto", overwrite=True)
    assert not Gallery.open(gallery).complete


def test_what_a_killed_writer_left_is_swept(gallery):
    left = [gallery / f"{name}.lance" / "data" / ".tmpQ16USc" for name in ("photos", "about")]
    for path in left:
        path.write_bytes(b"half of a file")
    before = PhotoTable(gallery).version()
    report = Gallery.open(gallery).update()
    assert not any(path.exists() for path in left)
    assert (report.added, report.changed, report.removed) == (0, 0, 0)
    assert PhotoTable(gallery).version() == before


def test_a_second_build_is_told(gallery, photos):
    found = []

    def second():
        for build in (
            lambda: Gallery.build(gallery, photos, "picto"),
            lambda: Gallery.open(gallery).update(),
        ):
            try:
                build()
            except InterlaceError as error:
                found.append(str(error))

    with held(gallery):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(found) == 2 and all("another interlace command" in line for line in found)


def test_a_full_disk_is_one_line(gallery, photos, tmp_path, monkeypatch):
    grown = shutil.copytree(photos, tmp_path / "photos")
    Image.new("RGB", (8, 8), "red").save(grown / "new.png")

    def full(*_, **__):
        raise RuntimeError("lance error: LanceError(IO): No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(type(PhotoTable(gallery).table), "add", full)
        with pytest.raises(InterlaceError, match="no space left on the disk"):
            Gallery.build(gallery, grown, "picto")
    assert Gallery.build(gallery, grown, "picto").report.count == 6


def test_special_files_are_skipped_and_named(photos, tmp_path):
    root = shutil.copytree(photos, tmp_path / "photos")
    os.mkfifo(root / "x.jpg")
    (root / "zero.png").symlink_to("/dev/zero")
    found = Gallery.build(tmp_path / "gallery", root, "picto")
    assert {item.key: item.reason for item in found.report.skipped} == {
        "x.jpg": "a named pipe, not a regular file",
        "zero.png": "a device, not a regular file",
    }
    assert found.report.count == 5


def test_folders_and_queries_that_are_no_text(whole, photos, tmp_path):
    root = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    shutil.copytree(photos, root)
    with pytest.raises(InterlaceError, match="not valid text"):
        Gallery.build(tmp_path / "gallery", root, "picto")
    opened = Gallery.open(whole)
    with pytest.raises(InterlaceError, match="not valid text"):
        opened.query("a \udcff b")
    assert len(opened.query("a \0 b [/red]")) == 5
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(InterlaceError, match="not a usable"):
            Gallery.build(name, photos, "picto")
        with pytest.raises(InterlaceError, match="not a usable"):
            Gallery.build(tmp_path / "g", name, "picto")
