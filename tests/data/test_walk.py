import os
import socket
from pathlib import Path

import pytest

from interlace._util.text import printable
from interlace.data.readers.walk import walk
from interlace.errors import InterlaceError

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def keys(root: Path, paths) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def reasons(items) -> dict[str, str]:
    return {item.key: item.reason for item in items}


def test_files_come_in_the_order_of_a_walk_from_the_top(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/a/1.png", "a.jpg", "b/1.PNG", "notes.txt", "B/z.gif"):
        put(tmp_path / name)
    found = walk(tmp_path)
    assert keys(tmp_path, found.images) == ["a.jpg", "B/z.gif", "b/1.PNG", "b/2.png", "b/a/1.png"]
    assert keys(tmp_path, found.others) == ["notes.txt"]
    assert found.skipped == found.hidden == ()


def test_hidden_files_and_clutter_are_named_and_not_looked_into(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".git/x.png", "__MACOSX/y.png", "Thumbs.db", "d/.DS_Store"):
        put(tmp_path / name)
    found = walk(tmp_path)
    assert keys(tmp_path, found.images) == ["a.png"]
    hidden = [item.key for item in found.hidden]
    assert hidden == ["._a.png", ".git", "Thumbs.db", "__MACOSX", "d/.DS_Store"]


def test_special_files_and_dead_links_are_named(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nowhere.png")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s.png"))
        found = walk(tmp_path)
    assert keys(tmp_path, found.images) == ["a.png"]
    assert reasons(found.skipped) == {
        "pipe.png": "a named pipe, not a regular file",
        "zero.png": "a device, not a regular file",
        "s.png": "a socket, not a regular file",
        "dead.png": "a link to nothing",
    }


def test_a_folder_named_like_an_image_is_looked_into_or_named(tmp_path: Path) -> None:
    put(tmp_path / "album.jpg" / "1.png")
    (tmp_path / "empty.jpg").mkdir()
    put(tmp_path / "text.jpg" / "a.txt")
    found = walk(tmp_path)
    assert keys(tmp_path, found.images) == ["album.jpg/1.png"]
    assert sorted(reasons(found.skipped)) == ["empty.jpg", "text.jpg"]


def test_links_are_followed_once_and_loops_are_named(tmp_path: Path) -> None:
    put(tmp_path / "far" / "cat" / "1.png")
    root = tmp_path / "photos"
    put(root / "dog" / "1.png")
    (root / "cat").symlink_to(tmp_path / "far" / "cat")
    (root / "dog" / "up").symlink_to(root)
    (root / "again").symlink_to(root / "dog")
    (root / "one.png").symlink_to(root / "dog" / "1.png")
    found = walk(root)
    assert keys(root, found.images) == ["one.png", "cat/1.png", "dog/1.png"]
    twice = "a link to a folder that is read already"
    assert reasons(found.skipped) == {"again": twice, "dog/up": twice}


def test_many_links_between_folders_do_not_multiply(tmp_path: Path) -> None:
    for level in range(40):
        put(tmp_path / str(level) / "1.png")
        for name in ("x", "y"):
            (tmp_path / str(level) / name).symlink_to(tmp_path / str(level + 1))
    assert len(walk(tmp_path / "0").images) == 40


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0)
    assert reasons(walk(tmp_path).skipped) == {"closed": "a folder: no permission to read it"}


def test_a_name_that_is_no_text_is_named_in_letters_every_console_has(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))).write_bytes(b"x")
    found = walk(tmp_path)
    assert keys(tmp_path, found.images) == ["a.png"]
    assert list(reasons(found.skipped)) == ["caf\\xe9.png"]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for bad, words in (
        (tmp_path / "nowhere", "no such folder"),
        (put(tmp_path / "f.txt"), "is a file: expected a folder"),
        (tmp_path / "pipe", "is a named pipe: expected a folder"),
        (Path("a\0b"), "not a name that a folder can have"),
    ):
        with pytest.raises(InterlaceError, match=words):
            walk(bad)


def test_printable_leaves_every_script_and_escapes_what_would_move_the_cursor() -> None:
    assert printable("Größe 猫 عربى 🐈‍⬛ é") == "Größe 猫 عربى 🐈‍⬛ é"
    assert printable("a\x1b[31mb\nc\udcff\u202e") == "a\\x1b[31mb\\x0ac\\xff\\u202e"
