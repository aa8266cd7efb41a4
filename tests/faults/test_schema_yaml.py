"""Settings as people write them: what is read, and one line for everything else."""

from __future__ import annotations

import os
import time

import pytest

from interlace import methods
from interlace.config import read_settings, resolve
from interlace.errors import InterlaceError


def write(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("---\n", {}),
        ("null\n", {}),
        ("lr: 1e-3\nepochs: 5\n", {"lr": 1e-3, "epochs": 5}),
        (b"\xef\xbb\xbflr: 1.0e-3\r\nflip: no\r\n", {"lr": 1e-3, "flip": False}),
        ("{epochs: 5, mask: cross}", {"epochs": 5, "mask": "cross"}),
        ("dim: null\ninit: ~\nx:\n", {"dim": None, "init": None, "x": None}),
        ("flip: on\ncompile: Off\nshortcuts: TRUE\n",
         {"flip": True, "compile": False, "shortcuts": True}),
        ("init: '5'\n", {"init": "5"}),
        ("init: a photo of a\n", {"init": "a photo of a"}),
        ("templates: [a '{}', b]\n", None),
        ("templates: ['a {}', \"b {}\"]\n", {"templates": ["a {}", "b {}"]}),
        ("templates:\n- a {}\n- b {}\n", {"templates": ["a {}", "b {}"]}),
        ("epochs: 1_000\n", {"epochs": 1000}),
        ("epochs: 010\n", {"epochs": "010"}),
        ("epochs: 0x10\n", {"epochs": "0x10"}),
        ("epochs: 1:30\n", {"epochs": "1:30"}),
        ("epochs: 2026-01-01\n", {"epochs": "2026-01-01"}),
        ("epochs: ²\n", {"epochs": "²"}),
        ("reg: .nan\nlr: .inf\n", {"reg": ".nan", "lr": ".inf"}),
        ("1: 2\n", {"1": 2}),
    ],
)  # fmt: skip
def test_what_a_file_says(tmp_path, content, found):
    if found is None:
        with pytest.raises(InterlaceError, match="settings.yaml, line [12]: not YAML"):
            read_settings(write(tmp_path, content), [])
    else:
        assert read_settings(write(tmp_path, content), []) == found


LAUGHS = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(20))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LAUGHS, "line 1: anchors and aliases"),
        ("lr: &x 1\nwarmup_lr: *x\n", "line 1: anchors and aliases"),
        ("lr: !!python/object/apply:os.system ['true']\n", "line 1: tags"),
        ("lr: !!float 1\n", "line 1: tags"),
        ("lr: 1\nlr: 2\n", "line 2: 'lr' is set a second time"),
        ("train:\n  lr: 1\n", "line 2: 'train' must be a plain value"),
        ("a: [[1]]\n", "line 1: 'a' must be a plain value, or a list of plain values"),
        ("a: [{b: 1}]\n", "line 1: 'a' must be a plain value"),
        ("[" * 100_000, "line 1: expected the names of settings"),
        ("a: " + "[" * 100_000, "line 1: 'a' must be"),
        ("{" * 100_000, "line 1: the name of a setting must be a word"),
        ("- lr\n", "line 1: expected the names of settings"),
        ("lr\n", "line 1: expected the names of settings"),
        ("? [a]\n: 1\n", "line 1: the name of a setting must be a word"),
        (": 1\n", "line 1: not YAML"),
        ("'': 1\n", "line 1: the name of a setting must be a word"),
        ("lr: 1\n---\nlr: 2\n", "a second document"),
        ("---\n---\nlr: 2\n", "a second document"),
        ("".join(f"k{i}: 1\n" for i in range(20_000)), "line 1001: more than 1,000 settings"),
        ("a: [" + "1," * 100_000 + "1]", "line 1: 'a' must be a plain value, or a list"),
        ("lr: [1\n", "not YAML"),
        ("lr: \"\\UFFFFFFFF\"\n", "not YAML"),
        ("%YAML " + "9" * 5_000 + ".1\n---\nlr: 1\n", "not YAML"),
        ("lr: 1\0\n", "not YAML"),
        ("lr: 1\n".encode("utf-16"), "not UTF-8"),
        ("lr: 1\n".encode("utf-16-le"), "not YAML"),
        ("init: caf\xe9\n".encode("latin-1"), "not UTF-8"),
        (b"#" * (1 << 19), "bytes; at most 262,144 are read"),
    ],
)  # fmt: skip
def test_what_no_file_of_settings_is(tmp_path, content, words):
    start = time.monotonic()
    with pytest.raises(InterlaceError, match=words) as error:
        read_settings(write(tmp_path, content), [])
    line = str(error.value)
    assert "settings.yaml" in line and "\n" not in line and len(line) < 500
    assert time.monotonic() - start < 5


def test_places_that_are_no_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, words in (
        (pipe, "a named pipe"),
        ("/dev/zero", "a device"),
        (tmp_path, "a folder"),
        (tmp_path / "none.yaml", "no such file of settings"),
        (str(tmp_path / "a\0b"), "not a name that a file can have"),
    ):
        with pytest.raises(InterlaceError, match=words):
            read_settings(path, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("5", 5),
        (" 3", 3),
        ("-.5", -0.5),
        ("on", True),
        ("No", False),
        ("", None),
        ("null", None),
        ("a drawing of", "a drawing of"),
        ("a: b # c", "a: b # c"),
        ("{a: 1}", "{a: 1}"),
        ("a=b", "a=b"),
        ("!!python/name:os.system", "!!python/name:os.system"),
        ("*x", "*x"),
        ('"5"', "5"),
        ("['a {}', b]", ["a {}", "b"]),
        ("[]", []),
        ("010", "010"),
        ("1:30", "1:30"),
        ("nan", "nan"),
        ("1e999", "1e999"),
        ("9" * 5_000, "9" * 5_000),
    ],
)
def test_what_stands_after_the_equals_sign(text, value):
    found = read_settings(None, [f"name={text}"])
    assert found == {"name": value} and type(found["name"]) is type(value)


def test_assignments_that_are_none():
    for text, words in (
        ("lr", "'lr': expected key=value, such as lr=1e-3"),
        ("=1", "expected key=value"),
        (" =1", "expected key=value"),
        ("", "expected key=value"),
        (
            "a=[1",
            r"'\[1': expected a text in quotes, or a list such as \['a {}', 'one {}'\]",
        ),
        ('a="1', "expected a text in quotes"),
        ("a=[a {}]", "expected a text in quotes"),
        ("a=[[1]]", "expected a text in quotes"),
        ("a=[1] 2", "expected a text in quotes"),
        ("a='1'\n---\n2", "expected a text in quotes"),
    ):
        with pytest.raises(InterlaceError, match=words) as error:
            read_settings(None, [text])
        assert "\n" not in str(error.value)


def test_the_later_assignment_holds_and_both_are_over_the_file(tmp_path):
    path = write(tmp_path, "lr: 1\nepochs: 2\n")
    assert read_settings(path, ["lr=2", "lr=3"]) == {"lr": 3, "epochs": 2}


ODD = ["010", "1:30", "0x10", "²", "１", "1e999", "2026-01-01", "9" * 5_000]
ODD += ["nan", "", "yes", "[3]", "3 000", "'3'"]


@pytest.mark.parametrize("text", ODD)
def test_no_odd_spelling_becomes_a_number(text):
    known = methods.parameters("mmrl")
    with pytest.raises(InterlaceError, match="^epochs=.*: must be a whole number of at least 0$"):
        resolve("mmrl", known, read_settings(None, [f"epochs={text}"]))
