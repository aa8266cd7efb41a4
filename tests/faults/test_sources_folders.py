"""Folders of other people: parts, loose images, odd siblings, wrappers, lost classes."""

import os
from pathlib import Path

import pytest

from interlace.data.check import check
from interlace.data.readers.folder import read_photos
from interlace.data.source import Source, part_of_folder, part_with_prefix
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.trees import put

Tree = dict[str, int]


def grow(root: Path, tree: Tree) -> Path:
    """Makes folders with so many different images in each."""
    for name, count in tree.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            color = sum(map(ord, name)) * 41 + number * 1009
            put(root / name / f"{number}.png", color)
    return root


def shape(source: Source) -> dict[str, dict[str, int]]:
    """Images by part and class."""
    found: dict[str, dict[str, int]] = {}
    for part, records in source.pools.items():
        for record in records:
            own = found.setdefault(part, {})
            name = source.classes[record.label]
            own[name] = own.get(name, 0) + 1
            assert name in record.key.split("/")
    return found


BOTH = {"cat": 2, "dog": 2}


def below(part: str, tree: Tree = BOTH) -> Tree:
    return {f"{part}/{name}": count for name, count in tree.items()}


@pytest.mark.parametrize(
    ("tree", "expected", "notes"),
    [
        pytest.param(BOTH, {"train": BOTH}, [], id="plain"),
        pytest.param(
            below("train") | below("test"), {"train": BOTH, "test": BOTH}, [], id="train, test"
        ),
        pytest.param(
            below("training_set") | below("test_set"), {"train": BOTH, "test": BOTH}, [], id="sets"
        ),
        pytest.param(
            below("Training Set") | below("TEST-images"),
            {"train": BOTH, "test": BOTH},
            [],
            id="case, spaces, dashes",
        ),
        pytest.param(
            below("train2017") | below("val2017"), {"train": BOTH, "test": BOTH}, [], id="years"
        ),
        pytest.param(
            below("trainset") | below("valid") | below("eval_data2") | below("test1"),
            None,
            ["valid", "eval_data2"],
            id="two parts of one kind",
        ),
        pytest.param(
            below("train") | {"test": 3},
            {"train": BOTH},
            ["test/ holds 3 loose images and no class folders: unlabelled, not used"],
            id="flat test",
        ),
        pytest.param(
            below("train") | {"val": 2},
            {"train": BOTH},
            ["val/ holds 2 loose images", "there is no labelled test part"],
            id="flat val",
        ),
        pytest.param(
            below("train") | below("test") | {"prediction": 2, "annotations": 0},
            {"train": BOTH, "test": BOTH},
            [
                "annotations/ is not used: no image in it",
                "prediction/ is not used: no part (train, val, test), its 2 images left out",
            ],
            id="extra siblings",
        ),
        pytest.param(
            below("seg_train/seg_train") | below("seg_test/seg_test") | {"seg_pred/seg_pred": 3},
            {"train": BOTH, "test": BOTH},
            ["seg_pred/ is not used"],
            id="Kaggle's nested parts",
        ),
        pytest.param(
            below("dataset/dataset/train") | below("dataset/dataset/test"),
            {"train": BOTH, "test": BOTH},
            ["the classes are in dataset/dataset/, the only folder with images"],
            id="wrapped parts",
        ),
        pytest.param(
            below("photos"),
            {"train": BOTH},
            ["the classes are in photos/, the only folder with images"],
            id="wrapped classes",
        ),
        pytest.param(below("train"), {"train": BOTH}, [], id="train alone"),
        pytest.param(below("test"), {"test": BOTH}, [], id="test alone"),
        pytest.param(
            {"bus": 1, "train": 1, "car": 1},
            {"train": {"bus": 1, "train": 1, "car": 1}},
            ["'train' is taken for a class, as the folders beside it"],
            id="a train among vehicles",
        ),
        pytest.param(
            {"train_station": 1, "test_tube": 1, "training": 0, "bullet_train": 2},
            {"train": {"train_station": 1, "test_tube": 1, "bullet_train": 2}},
            ["training/ is not used: no image in it"],
            id="classes that hold the words",
        ),
        pytest.param({"train": 2, "test": 2}, None, ["train/", "no image has a label"], id="flat"),
        pytest.param(
            {"cat": 2, "dog": 2, "test": 2}, None, ["'test' is named like a part"], id="odd test"
        ),
        pytest.param(
            {"bus": 1, "train": 1, "val": 1}, None, ["named like a part"], id="two odd ones"
        ),
        pytest.param(
            {"cat": 2, "dog": 2} | below("test"), None, ["'test' is named like a part"], id="mixed"
        ),
        pytest.param(
            below("train") | below("test", {"owl": 1, "cat": 1}),
            None,
            ["owl: a class that", "train does not have"],
            id="a class only in test",
        ),
        pytest.param({"cat": 2, "dog": 0}, None, ["only one class"], id="one class and an empty"),
        pytest.param(
            below("train") | {"unlabeled": 2, "extra": 1},
            {"train": BOTH},
            ["unlabeled/ is not used", "extra/ is not used"],
            id="train and two others",
        ),
        pytest.param(
            below("train") | {"bus": 2, "car": 1, "van": 1},
            None,
            ["'train' is named like a part and has class folders inside"],
            id="train among more classes",
        ),
        pytest.param(
            below("images/train") | below("images/test") | {"labels": 0},
            {"train": BOTH, "test": BOTH},
            ["labels/ is not used: no image in it", "the classes are in images/"],
            id="parts in one of two folders",
        ),
        pytest.param(
            below("train/images") | below("test/images"),
            {"train": BOTH, "test": BOTH},
            [],
            id="a folder between",
        ),
        pytest.param(
            below("train") | {"test/test": 3},
            {"train": BOTH},
            ["test/ holds 3 loose images and no class folders"],
            id="flat test in itself",
        ),
        pytest.param(
            {"cat/train": 2, "cat/test": 1, "dog/train": 2, "dog/test": 1},
            None,
            ["holds test/ and train/: parts must lie above the classes, as in test/cat/"],
            id="parts inside of classes",
        ),
        pytest.param(
            below("train", BOTH | {"val": 2}),
            None,
            ["train/val: a part inside of a part"],
            id="a part inside of a part",
        ),
        pytest.param(
            below("train", {"bus": 2, "train": 2}) | below("test", {"bus": 2, "train": 2}),
            {"train": {"bus": 2, "train": 2}, "test": {"bus": 2, "train": 2}},
            ["'train/train' is taken for a class, as the folders beside it"],
            id="a train in parts",
        ),
        pytest.param(
            BOTH | {".": 2},
            {"train": BOTH},
            ["2 images in no class folder of the data: not used"],
            id="loose images",
        ),
    ],
)
def test_layouts(
    tmp_path: Path, tree: Tree, expected: dict[str, Tree] | None, notes: list[str]
) -> None:
    root = grow(tmp_path / "photos", tree)
    if expected is None:
        with pytest.raises(InterlaceError) as caught:
            read_photos(root)
        assert all(note in str(caught.value) for note in notes), str(caught.value)
        assert "\n" not in str(caught.value)
        return
    source = read_photos(root)
    assert shape(source) == expected
    text = "\n".join(source.notes)
    assert all(note in text for note in notes), text
    if not notes:
        assert source.notes == ()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("Training_Set", "train"),
        ("train_images", "train"),
        ("images_train", "train"),
        ("trainset", "train"),
        ("test1", "test"),
        ("TEST (2)", "test"),
        ("test-set", "test"),
        ("val", "val"),
        ("validation set", "val"),
        ("dev", "val"),
        ("eval", "val"),
        ("\uff54\uff45\uff53\uff54", "test"),  # full-width letters
        ("valley", ""),
        ("trains", ""),
        ("trainer", ""),
        ("contest", ""),
        ("devil", ""),
        ("set", ""),
        ("", ""),
    ],
)
def test_names_of_parts(name: str, part: str) -> None:
    assert part_of_folder(name) == part


def test_prefixes_of_parts() -> None:
    assert part_with_prefix("seg_train") == ("train", "seg")
    assert part_with_prefix("dogs-test-2") == ("test", "dogs_")
    assert part_with_prefix("train_test") == part_with_prefix("cat") == ("", "")


def test_keys_are_those_of_the_inner_folder(tmp_path: Path) -> None:
    inner = read_photos(grow(tmp_path / "a" / "photos", BOTH))
    outer = read_photos(tmp_path / "a")
    assert [r.key for r in outer.records()] == [r.key for r in inner.records()]


def test_a_table_beside_flat_folders_is_named(tmp_path: Path) -> None:
    grow(tmp_path / "kaggle", {"train": 2, "test": 2})
    (tmp_path / "kaggle" / "train.csv").write_text("id,label\n")
    with pytest.raises(InterlaceError, match=r"give the table itself: .*kaggle/train\.csv"):
        read_photos(tmp_path / "kaggle")
    grow(tmp_path / "one", {"images": 2})
    (tmp_path / "one" / "labels.csv").write_text("id,label\n")
    with pytest.raises(InterlaceError, match=r"give the table itself: .*one/labels\.csv"):
        read_photos(tmp_path / "one")


def test_hidden_files_are_apart_and_no_error(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", BOTH)
    (root / "cat" / "._0.png").write_bytes(b"\0")
    (root / "__MACOSX").mkdir()
    source = read_photos(root, strict=True)
    assert [item.key for item in source.hidden] == ["__MACOSX", "cat/._0.png"]
    assert source.skipped == ()
    assert FewShotTask.load(root, 1).hidden == source.hidden


def test_classes_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", BOTH | {"owl": 1})
    (root / "owl" / "0.png").write_bytes(b"no image")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    (root / "empty").mkdir()
    report = check(root)
    assert not report.ok
    assert "gone: a link to nothing" in report.summary()
    assert "without a readable image: 'owl'" in report.summary()
    assert "empty/ is not used: no image in it" in report.notes
    with pytest.raises(InterlaceError, match="no image to train on for 'owl'"):
        FewShotTask.load(root, 1)
    assert FewShotTask.load(root, 0).classes == ("cat", "dog", "owl")
    with pytest.raises(InterlaceError, match="gone: a link to nothing"):
        read_photos(root, strict=True)


def test_a_linked_class_is_read_and_one_read_twice_is_named(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", BOTH)
    grow(tmp_path, {"elsewhere": 2})
    (root / "owl").symlink_to(tmp_path / "elsewhere")
    assert shape(read_photos(root)) == {"train": BOTH | {"owl": 2}}
    (root / "puma").symlink_to(root / "cat")
    report = check(root)
    assert not report.ok
    assert "puma: a link to a folder that is read already" in report.summary()


def test_one_picture_in_two_classes(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", BOTH)
    (root / "dog" / "x.png").write_bytes((root / "cat" / "0.png").read_bytes())
    line = "one picture is in two classes: cat/0.png ('cat') and dog/x.png ('dog')"
    assert FewShotTask.load(root, 1).notes == (line,)
    assert "complete" not in check(root).summary()
    with pytest.raises(InterlaceError, match="one picture is in two classes"):
        read_photos(root, strict=True)


def test_special_files_are_named(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", BOTH)
    os.mkfifo(root / "cat" / "pipe.jpg")
    source = read_photos(root)
    assert [(s.key, s.reason) for s in source.skipped] == [
        ("cat/pipe.jpg", "a named pipe, not a regular file")
    ]


def test_no_test_images_is_said_before_training(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", {"cat": 1, "dog": 1})
    task = FewShotTask.load(root, 1)
    assert (len(task.train), task.test) == (2, ())
    assert "there are no test images: nothing will be scored" in task.notes


def test_imagenet_with_flat_validation_images(tmp_path: Path) -> None:
    from tests.data.trees import imagenet

    imagenet(tmp_path)
    val = tmp_path / "imagenet" / "images" / "val"
    for folder in sorted(val.iterdir()):
        for path in folder.iterdir():
            path.rename(val / path.name)
        folder.rmdir()
    task = FewShotTask.load("imagenet", 1, root=tmp_path)
    assert task.test == ()
    assert f"{val} has no class folders (5 loose files)" in task.notes[0]
    assert "no test images: nothing will be scored" in task.notes[-1]
    assert not check("imagenet", tmp_path).ok
    with pytest.raises(InterlaceError, match="no test images"):
        FewShotTask.load("imagenet", 1, root=tmp_path, strict=True)
