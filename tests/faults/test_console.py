"""What the commands print: names of any kind as they are, on any console; errors of one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from rich.live import Live
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from interlace.cli._console import PlainConsole
from interlace.cli._output import accuracy_table, errors, print_json
from interlace.errors import InterlaceError

NAMES = {
    "[/red]": "[/red]",
    "[bold]b": "[bold]b",
    "a [b]": "a [b]",
    ":smile:": ":smile:",
    "$\\frac{$": "$\\frac{$",
    "\x1b[2J\x1b[31m": "\\x1b[2J\\x1b[31m",
    "a\rb\b\b": "a\\x0db\\x08\\x08",
    "\u202eabc": "\\u202eabc",
    "a\0b": "a\\x00b",
    "\udcff.png": "\\xff.png",
    "日本 é": "日本 é",
}


def console(width=200):
    made = PlainConsole()
    made.file, made.width = io.StringIO(), width
    return made


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(name):
    made = console()
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    table.add_row(Text(name))
    made.print(f"<{name}>")
    made.print(Text(f"<{name}>"), style="bold red")
    made.print(table)
    made.print(accuracy_table(f"<{name}>", [(f"<{name}>", 0.5, 0.6)], f"<{name}>", f"<{name}>"))
    with Live(Text(f"<{name}>"), console=made):
        pass
    with Progress(TextColumn("{task.description}", markup=False), console=made) as progress:
        progress.add_task(f"<{name}>", total=1)
    printed = made.file.getvalue()
    # rich drops a few control characters itself where it is handed its own kind of text
    assert printed.count(NAMES[name]) >= 9, printed
    assert not {c for c in printed if ord(c) < 32} - {"\n"}


def test_a_line_is_never_broken():
    made = console(20)
    made.print("word " * 50 + "/a/long/path" * 20)
    assert made.file.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InterlaceError("a [/red]\nerror: forged \x1b[2J"), "a [/red]\\x0aerror: forged \\x1b[2J"),
        (MemoryError(), "not enough memory: give it less at a time, or use a machine with more"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "no"), "a\\xff: not valid text (UTF-8)"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (FileNotFoundError(2, "No such file", "x [/b]"), "x [/b]: No such file"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, line, capsys):
    with pytest.raises(SystemExit) as stopped, errors():
        raise error
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_a_fault_of_ours_stays_a_traceback():
    with pytest.raises(ZeroDivisionError), errors():
        raise ZeroDivisionError


def test_json_is_ascii_and_finite(capsys):
    print_json({"é\udcff": "[/red]\x1b"})
    printed = capsys.readouterr().out
    assert printed.isascii() and json.loads(printed) == {"é\udcff": "[/red]\x1b"}
    with pytest.raises(ValueError, match="JSON"):
        print_json(float("nan"))


def run(*arguments, **environment):
    command = [sys.executable, "-m", "interlace", *arguments]
    own = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, env=own, timeout=120, check=False)


def test_any_encoding_of_the_terminal_takes_any_name():
    found = run("report", b"\xff [/red] \xc3\xa9 \xe6\x97\xa5", LANG="C", PYTHONIOENCODING="ascii")
    assert found.returncode == 2 and found.stderr.count(b"\n") == 1
    assert rb"\xff [/red] " in found.stderr and rb"\u65e5" in found.stderr


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """An adapted model of classes with odd names."""
    import interlace
    from interlace.data.task import FewShotTask

    folder = tmp_path_factory.mktemp("images")
    for shade, name in (("red", "[bold]b"), ("green", "$\\frac{$ :smile:")):
        (folder / name).mkdir()
        for number in range(3):
            picture = Image.new("RGB", (32, 32), shade)
            picture.putpixel((number, 0), (9, 9, 9))
            picture.save(folder / name / f"{number}.png")
    task = FewShotTask.load(folder, 1, 1)
    adapted = interlace.fit(interlace.load("picto"), task, "linear_probe", epochs=1)
    run = tmp_path_factory.mktemp("bundle") / "run"
    adapted.save(run)
    return run


@pytest.fixture
def mixed(tmp_path):
    """Two images and what only looks like one."""
    root = tmp_path / "in [/red]"
    root.mkdir(parents=True)
    for name in ("a [b].png", "z.png"):
        Image.new("RGB", (32, 32), "red").save(root / name)
    (root / "broken.png").write_bytes(b"no image")
    (root / "._a.png").write_bytes(bytes(64))
    (root / "album.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    return root


def test_predict_answers_what_it_can_and_lists_the_rest(bundle, mixed, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, printed, told = command("predict", bundle, mixed, "--top", "2")
    assert code == 0
    assert "a [b].png" in printed and "z.png" in printed and "broken" not in printed
    assert "[bold]b" in printed and "$\\frac{$ :smile:" in printed
    lines = told.splitlines()
    assert len(lines) == 4
    for name, reason in (
        ("broken.png", "not an image of a known format"),
        ("._a.png", "hidden"),
        ("album.jpg", "a folder named like an image, with no image in it"),
        ("pipe.jpg", "a named pipe, not a regular file"),
    ):
        assert f"  skipped {mixed}/{name}: {reason}" in lines
    code, printed, _ = command("predict", bundle, mixed, "--json")
    found = {entry["image"].rpartition("/")[2]: entry for entry in json.loads(printed)}
    assert found["a [b].png"]["label"] == found["z.png"]["label"]
    assert found["pipe.jpg"]["error"] == "a named pipe, not a regular file"
    assert len(found) == 6


def test_predict_strict_and_nothing_to_answer(bundle, mixed, command):
    code, _, told = command("predict", bundle, mixed, "--strict")
    assert code == 2 and told.startswith(f"error: {mixed}/")
    code, _, told = command("predict", bundle, mixed / "broken.png", mixed / "nowhere.png")
    assert code == 2 and told.splitlines() == [
        f"  skipped {mixed}/broken.png: not an image of a known format",
        f"  skipped {mixed}/nowhere.png: no such image",
        "error: none of the 2 images can be used",
    ]
    code, _, told = command("predict", bundle, mixed / "broken.png")
    assert (code, told) == (2, f"error: {mixed}/broken.png: not an image of a known format\n")
    assert command("predict", bundle, mixed / "z.png", "--strict")[0] == 0


@pytest.mark.parametrize("classes", ["a,,b", ",", "a,b,", "a,a"])
def test_predict_refuses_empty_and_equal_classes(bundle, mixed, command, classes):
    code, _, told = command("predict", bundle, mixed / "z.png", "--classes", classes)
    assert code == 2 and told.startswith("error: ") and told.count("\n") == 1
