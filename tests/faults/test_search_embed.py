"""Embedding: sources that are traps, kills at any point, damaged parts, two at once."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import interlace
from interlace._util.files import held
from interlace.errors import InterlaceError
from interlace.search.embed import embed
from interlace.search.sources import Shard, find_source


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.fixture(scope="module")
def clip():
    return interlace.load("picto")


def picture(shade):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 255 - shade, shade // 2)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for number in range(6):
        path = root / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(40 * number))
    return root


def keys(path):
    return pq.read_table(path)["key"].to_pylist()


def test_special_files_are_skipped_and_named(photos, tmp_path, clip):
    os.mkfifo(photos / "pipe.png")
    (photos / "zero.png").symlink_to("/dev/zero")
    (photos / "gone.png").symlink_to(tmp_path / "nowhere")
    (photos / "folder.png").mkdir()
    (photos / "._hidden.png").write_bytes(b"x")
    report = embed(photos, tmp_path / "out.parquet", clip)
    assert report.count == 6 and len(keys(tmp_path / "out.parquet")) == 6
    assert {item.key: item.reason for item in report.skipped} == {
        "pipe.png": "a named pipe, not a regular file",
        "zero.png": "a device, not a regular file",
        "gone.png": "a link to nothing",
        "folder.png": "a folder named like an image, with no image in it",
    }


def test_a_file_that_becomes_a_pipe_is_not_waited_for(photos, tmp_path, clip, monkeypatch):
    from interlace.search import scan, shards

    def swapped(path):
        if path.name == "3.png":
            path.unlink()
            os.mkfifo(path)
        return scan.read_image(path)

    monkeypatch.setattr(shards, "read_image", swapped)
    report = embed(photos, tmp_path / "out.parquet", clip)
    assert [(item.key, item.reason) for item in report.skipped] == [
        ("class1/3.png", "a named pipe, not a regular file")
    ]


@pytest.mark.parametrize("name", ["x.tar", "x.parquet"])
def test_a_pipe_is_no_source(name, tmp_path, clip):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InterlaceError, match="a named pipe, not a regular file"):
        embed(tmp_path / name, tmp_path / "out.parquet", clip)


@pytest.mark.parametrize("source", ["a\0b", "~nobody-at-all/x", "x" * 5000, "sh\0rds/*.tar"])
def test_names_that_no_file_can_have(source, tmp_path, clip):
    for arguments in ((source, tmp_path / "out.parquet"), (tmp_path, source)):
        with pytest.raises(InterlaceError) as raised:
            embed(*arguments, clip)
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_a_kill_at_any_step_is_made_good_by_the_same_command(photos, tmp_path, clip, monkeypatch):
    (photos / "broken.png").write_bytes(b"no image")
    embed(photos, tmp_path / "whole.parquet", clip, unit=2)
    wanted = (tmp_path / "whole.parquet").read_bytes()
    steps = 0
    for stop in range(100):
        output = tmp_path / f"{stop}" / "whole.parquet"
        left = [stop]

        def counted(real, left=left):
            def step(*arguments, **settings):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return real(*arguments, **settings)

            return step

        with monkeypatch.context() as patch:
            for owner, name in ((os, "replace"), (os, "unlink"), (os, "rmdir")):
                patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                embed(photos, output, clip, unit=2)
                break
            except Killed:
                steps += 1
        # what a real kill leaves and a raised one tidies up
        if output.with_name("whole.parquet.parts").is_dir():
            partial = ".part-000001.parquet.999999999.partial"
            (output.with_name("whole.parquet.parts") / partial).write_bytes(b"cut sh")
        output.parent.mkdir(exist_ok=True)
        (output.parent / ".whole.parquet.999999999.partial").write_bytes(b"cut sh")
        report = embed(photos, output, clip, unit=2)
        assert output.read_bytes() == wanted and report.count == 6
        assert [item.key for item in report.skipped] == ["broken.png"]
        left_over = {path.name for path in output.parent.iterdir()} - {"whole.parquet"}
        assert left_over <= {".whole.parquet.999999999.partial"}
    assert steps >= 9  # the note, four parts, the output, and the removal of each


def test_damaged_parts_are_made_again(photos, tmp_path, clip, monkeypatch):
    from interlace.search.parts import VectorParts

    embed(photos, tmp_path / "whole.parquet", clip, unit=2)
    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(VectorParts, "join", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            embed(photos, output, clip, unit=2)
    folder = tmp_path / "out.parquet.parts"
    parts = sorted(folder.glob("part-*"))
    parts[0].write_bytes(parts[0].read_bytes()[:100])
    flipped = bytearray(parts[1].read_bytes())
    flipped[len(flipped) // 4] ^= 0xFF
    parts[1].write_bytes(flipped)
    report = embed(photos, output, clip, unit=2)
    assert report.resumed == 1
    one, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "out"))
    assert one.equals(other) and not folder.exists()


def test_half_a_note_does_not_stop_a_run(photos, tmp_path, clip):
    folder = tmp_path / "out.parquet.parts"
    folder.mkdir()
    (folder / "run.json").write_text('{"format": 1, "ru')
    assert embed(photos, tmp_path / "out.parquet", clip).count == 6
    assert not folder.exists()


def test_parts_of_other_units_are_never_mixed(photos, tmp_path, clip, monkeypatch):
    from interlace.search.parts import VectorParts

    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(VectorParts, "join", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            embed(photos, output, clip, unit=4)
    # five of a unit give as many units as four do
    with pytest.raises(InterlaceError, match="parts of another run"):
        embed(photos, output, clip, unit=5)
    assert embed(photos, output, clip, unit=5, overwrite=True).count == 6
    assert len(set(keys(output))) == 6


def test_overwrite_removes_nothing_but_parts(photos, tmp_path, clip):
    folder = tmp_path / "out.parquet.parts"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    embed(photos, tmp_path / "out.parquet", clip, overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_strict_sees_what_an_earlier_run_left_out(photos, tmp_path, clip, monkeypatch):
    from interlace.search.parts import VectorParts

    (photos / "broken.png").write_bytes(b"no image")
    with monkeypatch.context() as patch:
        patch.setattr(VectorParts, "join", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            embed(photos, tmp_path / "out.parquet", clip)
    with pytest.raises(InterlaceError, match=r"broken\.png"):
        embed(photos, tmp_path / "out.parquet", clip, strict=True)


def test_a_second_command_is_told(photos, tmp_path, clip):
    found = []

    def second():
        try:
            embed(photos, tmp_path / "out.parquet", clip)
        except InterlaceError as error:
            found.append(str(error))

    with held(tmp_path / "out.parquet"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(found) == 1 and "another interlace command is writing to" in found[0]
    assert embed(photos, tmp_path / "out.parquet", clip).count == 6


def test_a_full_disk_is_one_line(photos, tmp_path, clip, monkeypatch):
    def full(*_, **__):
        raise OSError("[Errno 28] Error writing bytes to file. No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(InterlaceError, match="no space left on the disk"):
            embed(photos, tmp_path / "out.parquet", clip)
    assert embed(photos, tmp_path / "out.parquet", clip).count == 6


def shard(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if content is not None else None)
    return path


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def test_links_devices_and_absolute_names_of_a_shard(tmp_path):
    members = [
        member("/etc/a.png", picture(1)),
        member("b.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("c.png", type=tarfile.LNKTYPE, linkname="/etc/a.png"),
        member("d.png", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
        member("e.png", type=tarfile.FIFOTYPE),
        member("../f.png", picture(2)),
        member("f2.json", b"{}"),
    ]
    found = list(Shard(shard(tmp_path / "x.tar", members)).items())
    assert [(item.key, item.image) for item in found] == [
        ("/etc/a", picture(1)),
        ("../f", picture(2)),
        ("f2", None),
    ]


def test_a_damaged_header_is_not_the_end_of_a_shard(tmp_path):
    path = shard(tmp_path / "x.tar", [member(f"{n}.png", picture(n)) for n in range(4)])
    content = bytearray(path.read_bytes())
    second = 512 + -(-len(picture(0)) // 512) * 512
    content[second : second + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(InterlaceError, match=r"x\.tar: the shard cannot be read"):
        list(Shard(path).items())


def test_bombs_in_a_shard_are_refused_at_once(tmp_path):
    # a header that says that a name of 8 GB follows, and a member that expands to as much
    for number, kind in enumerate((tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.REGTYPE)):
        info = tarfile.TarInfo("x.png")
        info.type, info.size = kind, 8 << 30
        path = tmp_path / f"{number}.tar"
        with gzip.open(path, "wb") as file:
            file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
        with pytest.raises(InterlaceError, match="a header of|expands to 8,589,934,592 bytes"):
            list(Shard(path).items())


def test_cells_of_a_table_that_are_no_images(tmp_path, clip):
    for name, column in (
        ("ints", pa.array([1, 2])),
        ("lists", pa.array([[1], [2]])),
        ("names", pa.array(["a\0b.png", "x" * 5000])),
    ):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"image": column, "label": pa.array([[1], [2]])}), path)
        report = embed(path, tmp_path / f"{name}-out.parquet", clip)
        assert report.count == 0 and len(report.skipped) == 2


def test_labels_that_name_nothing_are_null(tmp_path):
    labels = [3.0, float("nan"), 2.5, None]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": [picture(n) for n in range(4)], "label": labels}), path)
    items = list(find_source(path).units[0].items())
    assert [item.label for item in items] == ["3", None, "2.5", None]


def test_the_same_vectors_from_shard_table_and_folder(photos, tmp_path, clip):
    paths = sorted(photos.rglob("*.png"))
    contents = [path.read_bytes() for path in paths]
    shard(tmp_path / "s.tar", [member(f"{n}.png", c) for n, c in enumerate(contents)])
    pq.write_table(pa.table({"image": contents}), tmp_path / "t.parquet")
    found = []
    for source in (photos, tmp_path / "s.tar", tmp_path / "t.parquet"):
        output = tmp_path / f"{source.name}-out.parquet"
        assert embed(source, output, clip).count == 6
        found.append(np.array(pq.read_table(output)["vector"].to_pylist()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
