import json
from pathlib import Path

import pytest

from interlace.data.names import (
    clean_class_name,
    clean_class_names,
    remembered_names,
    resolve_class_names,
)
from interlace.errors import InterlaceError

FOLDERS = ("001.cat", "002.dog")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("006.american_crow", "american crow"),
        ("n02085620-Chihuahua", "Chihuahua"),
        ("AnnualCrop", "Annual Crop"),
        ("iPhone", "iPhone"),
        ("McDonald", "McDonald"),
        ("USA", "USA"),
        ("t-shirt", "t-shirt"),
        ("747-400", "747-400"),
        ("2_door_car", "2 door car"),
        ("1.5_ton_truck", "1.5 ton truck"),
        ("42", "42"),
        ("_", "_"),
    ],
)
def test_clean_class_name(folder: str, name: str) -> None:
    assert clean_class_name(folder) == name


def test_names_that_cleaning_would_merge_stay_apart() -> None:
    assert clean_class_names(["1.crow", "2.crow", "3.red_owl"]) == ("1.crow", "2.crow", "red owl")


def test_names_from_mapping_and_sequence() -> None:
    assert resolve_class_names(FOLDERS, None) == ("cat", "dog")
    assert resolve_class_names(FOLDERS, {"001.cat": "tabby"}) == ("tabby", "dog")
    assert resolve_class_names(FOLDERS, ["tabby", "hound"]) == ("tabby", "hound")


@pytest.mark.parametrize(
    "text",
    [
        "001.cat\ttabby\n002.dog\thound\n",
        "# my names\n002.dog, hound\n\n001.cat,tabby",
        "\ufeff001.cat: tabby\n002.dog: hound",
        "tabby\nhound\n",
    ],
)
def test_names_from_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text(text, encoding="utf-8")
    assert resolve_class_names(FOLDERS, path) == ("tabby", "hound")


def test_plain_names_may_hold_separators(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("Boeing 737, white\nBoeing 747: blue\n")
    assert resolve_class_names(FOLDERS, str(path)) == ("Boeing 737, white", "Boeing 747: blue")


@pytest.mark.parametrize("names", [{"002.dog": "hound"}, ["cat", "hound"]])
def test_names_from_json(tmp_path: Path, names: object) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps(names))
    assert resolve_class_names(FOLDERS, path) == ("cat", "hound")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("001.cat\ttabby\n002.dgo\thound", "'002.dgo' that is not there: did you mean '002.dog'"),
        ("001.cat\ttabby\nhound", "line 2: 'hound'"),
        ("only one", "1 class names for 2 classes"),
        ("same\nsame", "both named 'same'"),
        ("001.cat\t\n002.dog\tx", "001.cat"),
    ],
)
def test_bad_text(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text(content)
    with pytest.raises(InterlaceError, match=message):
        resolve_class_names(FOLDERS, path)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not JSON"), ('{"001.cat": 1}', "must map"), ("3", "must map")]
)
def test_bad_json(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(content)
    with pytest.raises(InterlaceError, match=message):
        resolve_class_names(FOLDERS, path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InterlaceError, match="no such (split )?file"):
        resolve_class_names(FOLDERS, tmp_path / "none.txt")


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InterlaceError, match="not UTF-8"):
        resolve_class_names(FOLDERS, path)


def test_control_characters_of_folders_do_not_enter_names() -> None:
    folders = ("\x1b[31mred", "a\nb", "a\u202eb c", "family 👨\u200d👩\u200d👧")
    names = resolve_class_names(folders, None)
    assert names == ("[31mred", "a b", "a b c", "family 👨\u200d👩\u200d👧")
    # what a run keeps of them is taken back
    assert remembered_names(folders, dict(zip(folders, names, strict=True))) == names
