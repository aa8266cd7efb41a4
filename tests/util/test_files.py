import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlace._util.files import held, is_disk_full, write_json, write_text, written_whole
from interlace._util.reading import parse_json, read_json_object, read_text
from interlace.errors import InterlaceError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "a.txt") as path:
        path.write_text("half")
        _ = 1 / 0
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_swept_by_the_next_write(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from interlace._util.files import written_whole\n"
        "with written_whole(sys.argv[1]) as p:\n"
        "    p.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")])
    assert len(os.listdir(tmp_path)) == 1
    write_text(tmp_path / "a.txt", "whole")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line_whichever_library_met_it(tmp_path: Path) -> None:
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ):
        assert is_disk_full(error)
        with (
            pytest.raises(InterlaceError, match=r"cannot write .*a\.bin: no space left"),
            written_whole(tmp_path / "a.bin") as path,
        ):
            path.write_bytes(b"half")
            raise error
    assert os.listdir(tmp_path) == []


def test_json_cannot_say_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == []


def test_an_output_is_held_by_one_process_and_given_up_by_a_kill(tmp_path: Path) -> None:
    output = tmp_path / "run"
    code = (
        "import sys, time; from interlace._util.files import held\n"
        "with held(sys.argv[1]):\n    print('in', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, output], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and other.stdout.readline() == b"in\n"
        with pytest.raises(InterlaceError, match="another interlace command is writing to"):
            with held(tmp_path / "." / "run"):
                pass
        with held(tmp_path / "other"):
            pass
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with held(output):
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[NaN]", '{"a": Infinity}', "9" * 5000, "[" * 100_000, "[" * 65 + "]" * 65]
)
def test_json_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InterlaceError, match=r"^f: .*JSON") as caught:
        parse_json(text, "f")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_reading_refuses_what_is_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "large").write_text("12345")
    for name, words in (
        ("pipe", "a named pipe, not a regular file"),
        ("latin", "not UTF-8"),
        (".", "a folder, where a file is expected"),
        ("gone", "no such file"),
    ):
        with pytest.raises(InterlaceError, match=words):
            read_text(tmp_path / name)
    with pytest.raises(InterlaceError, match="a device, not a regular file"):
        read_text("/dev/zero")
    with pytest.raises(InterlaceError, match="at most 4 are read"):
        read_text(tmp_path / "large", most=4)
    with pytest.raises(InterlaceError, match="expected a JSON object"):
        read_json_object(tmp_path / "list.json")
