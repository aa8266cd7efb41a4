from pathlib import Path

import pytest

from interlace.data.readers.folder import read_photos
from interlace.errors import InterlaceError
from tests.data.conftest import Photos, write_photo


def test_classes_are_the_sorted_folders(photos: Photos) -> None:
    root = photos({"dog": 2, "cat": 1})
    source = read_photos(root)
    folders, records, skipped = source.classes, source.pools["train"], source.skipped
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
    source = read_photos(root)
    folders, records, skipped = source.classes, source.pools["train"], source.skipped
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
    source = read_photos(littered)
    records, skipped = source.pools["train"], source.skipped
    assert len(records) == 4
    assert {(s.key, s.reason) for s in skipped} == {
        ("cat/notes.txt", "files '.txt' are not read as images"),
        ("cat/text.jpg", "not an image of a known format"),
        ("dog/empty.png", "the file is empty"),
        ("dog/cut.jpg", "the file is cut short"),
    }


def test_strict_makes_an_unusable_file_an_error(littered: Path) -> None:
    with pytest.raises(InterlaceError, match=r"notes\.txt: files '\.txt' are not read"):
        read_photos(littered, strict=True)


def test_a_folder_of_unknown_formats_says_which(photos: Photos) -> None:
    root = photos({"cat": 0, "dog": 0})
    (root / "cat" / "1.raw").write_bytes(b"x")
    with pytest.raises(InterlaceError, match=r"1\.raw: files '\.raw' are not read as images"):
        read_photos(root)


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
        read_photos(photos(counts))


def test_a_file_is_not_a_folder(photos: Photos) -> None:
    with pytest.raises(InterlaceError, match="is a file"):
        read_photos(photos({"cat": 1}) / "cat" / "00.jpg")


def test_parts_share_the_labels_of_train(photos: Photos) -> None:
    root = photos({"train/cat": 2, "train/dog": 2, "train/elk": 2, "Test/dog": 1, "Test/elk": 1})
    source = read_photos(root)
    folders, pools = source.classes, source.pools
    assert folders == ("cat", "dog", "elk")
    assert [(r.key, r.label) for r in pools["test"]] == [
        ("Test/dog/00.jpg", 1),
        ("Test/elk/00.jpg", 2),
    ]
    assert len(pools["train"]) == 6


def test_a_part_that_only_validates_is_the_test(photos: Photos) -> None:
    parts = {f"{part}/{name}": 1 for part in ("training", "valid") for name in ("cat", "dog")}
    pools = read_photos(photos(parts)).pools
    assert {part: len(records) for part, records in pools.items()} == {"train": 2, "test": 2}


def test_a_class_that_train_lacks(photos: Photos) -> None:
    root = photos({"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/owl": 1})
    with pytest.raises(InterlaceError, match="owl: a class that .*train does not have"):
        read_photos(root)


def test_a_class_may_be_called_train(photos: Photos) -> None:
    source = read_photos(photos({"train": 1, "bus": 1}))
    assert source.classes == ("bus", "train")
    assert source.notes == ("'train' is taken for a class, as the folders beside it",)
