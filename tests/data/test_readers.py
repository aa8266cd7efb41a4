from pathlib import Path

import pytest

from interlace.data.readers import read_folder, read_parts
from interlace.errors import InterlaceError
from tests.data.conftest import Photos, write_photo


def test_classes_are_the_sorted_folders(photos: Photos) -> None:
    root = photos({"dog": 2, "cat": 1})
    folders, records, skipped = read_folder(root)
    assert folders == ("cat", "dog")
    assert [(r.key, r.label) for r in records] == [
        ("cat/00.jpg", 0),
        ("dog/00.jpg", 1),
        ("dog/01.jpg", 1),
    ]
    assert records[0].image == root / "cat" / "00.jpg"
    assert skipped == ()


def test_nested_and_upper_case_files_count_and_hidden_ones_do_not(photos: Photos) -> None:
    root = photos({"cat": 1, "dog": 1, ".git": 1, "__MACOSX": 1})
    write_photo(root / "cat" / "indoor" / "b.JPEG", 9)
    write_photo(root / "cat" / ".hidden.png", 9)
    write_photo(root / "cat" / ".thumbs" / "c.png", 9)
    (root / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / "labels.csv").write_text("beside the folders")
    folders, records, skipped = read_folder(root)
    assert folders == ("cat", "dog")
    assert [r.key for r in records] == ["cat/00.jpg", "cat/indoor/b.JPEG", "dog/00.jpg"]
    assert skipped == ()


@pytest.fixture
def littered(photos: Photos) -> Path:
    root = photos({"cat": 2, "dog": 2})
    (root / "cat" / "notes.txt").write_text("a note")
    (root / "cat" / "text.jpg").write_text("not a JPEG")
    (root / "dog" / "empty.png").touch()
    whole = (root / "dog" / "00.jpg").read_bytes()
    (root / "dog" / "cut.jpg").write_bytes(whole[:-40])
    return root


def test_unusable_files_are_skipped_with_the_reason(littered: Path) -> None:
    _, records, skipped = read_folder(littered)
    assert len(records) == 4
    assert {(s.key, s.reason) for s in skipped} == {
        ("cat/notes.txt", "files '.txt' are not read as images"),
        ("cat/text.jpg", "not an image of a known format"),
        ("dog/empty.png", "the file is empty"),
        ("dog/cut.jpg", "the file is cut short"),
    }


def test_strict_makes_an_unusable_file_an_error(littered: Path) -> None:
    with pytest.raises(InterlaceError, match=r"notes\.txt: files '\.txt' are not read"):
        read_folder(littered, strict=True)


def test_a_folder_of_unknown_formats_says_which(photos: Photos) -> None:
    root = photos({"cat": 0, "dog": 0})
    (root / "cat" / "1.raw").write_bytes(b"x")
    with pytest.raises(InterlaceError, match=r"1\.raw: files '\.raw' are not read as images"):
        read_folder(root)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "no such folder"),
        ({".": 3}, "no sub-folders"),
        ({"cat": 0, "dog": 0}, "no readable image"),
        ({"cat": 3}, r"only one class in .* \('cat'\)"),
    ],
)
def test_folders_that_cannot_be_read(photos: Photos, counts: dict[str, int], message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        read_folder(photos(counts))


def test_a_file_is_not_a_folder(photos: Photos) -> None:
    with pytest.raises(InterlaceError, match="is a file"):
        read_folder(photos({"cat": 1}) / "cat" / "00.jpg")


def test_parts_share_the_labels_of_train(photos: Photos) -> None:
    root = photos({"train/cat": 2, "train/dog": 2, "train/elk": 2, "Test/dog": 1, "Test/elk": 1})
    folders, pools, _ = read_parts(root, strict=False)
    assert folders == ("cat", "dog", "elk")
    assert [(r.key, r.label) for r in pools["test"]] == [
        ("Test/dog/00.jpg", 1),
        ("Test/elk/00.jpg", 2),
    ]
    assert len(pools["train"]) == 6


def test_a_part_that_only_validates_is_the_test(photos: Photos) -> None:
    parts = {f"{part}/{name}": 1 for part in ("training", "valid") for name in ("cat", "dog")}
    _, pools, _ = read_parts(photos(parts), strict=False)
    assert {part: len(records) for part, records in pools.items()} == {"train": 2, "test": 2}


def test_a_class_that_train_lacks(photos: Photos) -> None:
    root = photos({"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/owl": 1})
    with pytest.raises(InterlaceError, match="owl: a class that .*train does not have"):
        read_parts(root, strict=False)


def test_a_class_may_be_called_train(photos: Photos) -> None:
    folders, _, _ = read_parts(photos({"train": 1, "bus": 1}), strict=False)
    assert folders == ("bus", "train")
    folders, _, _ = read_parts(photos({"train": 1, "test": 1}, "other"), strict=False)
    assert folders == ("test", "train")
