"""What stands twice where one of both would be lost in silence."""

from __future__ import annotations

import json
import time
import unicodedata

import pytest

from interlace._util.reading import parse_json
from interlace.data.names import resolve_class_names
from interlace.errors import InterlaceError


def test_a_key_twice_is_refused_by_name():
    assert parse_json('{"a": 1, "b": {"a": 2}}', "x") == {"a": 1, "b": {"a": 2}}
    for text, key in (
        ('{"a": 1, "b": 2, "a": 1}', "a"),
        ('[[{"b\\u001b": {"c": 1, "c": 2}}]]', "c"),
    ):
        with pytest.raises(InterlaceError, match=f"^x: '{key}' stands twice in one object$"):
            parse_json(text, "x")
    with pytest.raises(InterlaceError, match=r"^x: '\\x1b\[2J' stands twice"):
        parse_json('{"\\u001b[2J": 1, "\\u001b[2J": 1}', "x")
    with pytest.raises(InterlaceError, match="stands twice") as error:
        parse_json(json.dumps({"k" * 9999: 1})[:-1] + f', "{"k" * 9999}": 2}}', "x")
    assert len(str(error.value)) < 200


def test_many_keys_take_little_time():
    text = json.dumps({str(i): i for i in range(200_000)})[:-1] + ', "199999": 0}'
    began = time.perf_counter()
    with pytest.raises(InterlaceError, match="'199999' stands twice"):
        parse_json(text, "x")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.json", '{"a": "ant", "b": "bee", "a": "ape"}'),
        ("n.txt", "a\tant\nb\tbee\na\tape\n"),
        ("n.txt", "a: x\nb: y\na: x\n"),
    ],
)
def test_a_folder_named_twice_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InterlaceError, match="'a' stands (there )?twice"):
        resolve_class_names(["a", "b"], tmp_path / name)


def test_a_folder_named_in_two_spellings_is_refused(tmp_path):
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert resolve_class_names([one, "tea"], {other: "coffee"}) == ("coffee", "tea")
    with pytest.raises(InterlaceError, match="two class names are given for folder 'café'"):
        resolve_class_names([one, "tea"], {one: "coffee", other: "cake"})
    path = tmp_path / "names.txt"
    path.write_text(f"{one}\tcoffee\n{other}\tcake\n", encoding="utf-8")
    with pytest.raises(InterlaceError, match="two class names"):
        resolve_class_names([one, "tea"], path)
