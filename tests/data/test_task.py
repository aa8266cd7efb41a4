from pathlib import Path

import pytest

from interlace.data.datasets.registry import expand
from interlace.data.images.decode import open_image
from interlace.data.splits import Split
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.conftest import Photos


@pytest.fixture
def animals(photos: Photos) -> Path:
    return photos({"1.gray_wolf": 6, "2.cat": 6, "3.dog": 6})


def test_from_folder(animals: Path) -> None:
    task = FewShotTask.from_folder(animals, shots=2, seed=3)
    assert task.name == "photos"
    assert task.classes == ("gray wolf", "cat", "dog")
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 6, 6]
    assert [record.label for record in task.train] == [0, 0, 1, 1, 2, 2]
    every = {record.key for record in (*task.train, *task.val, *task.test)}
    assert len(every) == 18


def test_describe_says_what_was_held_out(animals: Path) -> None:
    (animals / "2.cat" / "broken.jpg").touch()
    assert FewShotTask.from_folder(animals, shots=2).describe() == (
        "photos: 3 classes (gray wolf, cat, dog); 6 training images (2 per class, seed 1), "
        "6 for validation; "
        "held out for testing: 6 images; 1 file skipped"
    )


def test_same_images_elsewhere_give_the_same_split(animals: Path, tmp_path: Path) -> None:
    before = FewShotTask.from_folder(animals, shots=2)
    (tmp_path / "elsewhere").mkdir()
    moved = animals.rename(tmp_path / "elsewhere" / "photos")
    after = FewShotTask.from_folder(moved, shots=2)
    assert after.split() == before.split()
    assert after.split_hash == before.split_hash
    assert FewShotTask.from_folder(moved, shots=2, seed=2).split_hash != before.split_hash


def test_a_stored_split_deals_the_same_images(animals: Path, tmp_path: Path) -> None:
    first = FewShotTask.from_folder(animals, shots=2, seed=1)
    first.split().save(tmp_path / "split.json")
    other = FewShotTask.load(animals, shots=0, seed=2, split=Split.load(tmp_path / "split.json"))
    assert other == first


def test_a_split_of_other_images_is_refused(animals: Path) -> None:
    task = FewShotTask.from_folder(animals, shots=2)
    split = task.split()
    task.train[0].image.unlink()  # type: ignore[union-attr]
    with pytest.raises(InterlaceError, match="1 images of the split .* are not in task"):
        FewShotTask.load(animals, split=split)
    with pytest.raises(InterlaceError, match="over 2 classes"):
        FewShotTask.load(animals, split=task.classes_subset("base").split())


def test_class_halves_have_labels_of_their_own(animals: Path) -> None:
    task = FewShotTask.from_folder(animals, shots=2)
    base, novel = task.classes_subset("base"), task.classes_subset("novel")
    assert (base.classes, novel.classes) == (("cat", "dog"), ("gray wolf",))
    assert [record.label for record in base.train] == [0, 0, 1, 1]
    assert [record.key[0] for record in base.test] == ["2", "2", "3", "3"]
    assert {record.label for record in novel.test} == {0}
    assert task.classes_subset("all") is task
    assert base.name == "photos:base"
    with pytest.raises(InterlaceError, match="'old': must be"):
        task.classes_subset("old")  # type: ignore[arg-type]


def test_parts_below_the_root(photos: Photos) -> None:
    counts = {f"{part}/{name}": 5 for part in ("train", "val", "test") for name in ("cat", "dog")}
    task = FewShotTask.from_folder(photos(counts), shots=5)
    assert [len(part) for part in (task.train, task.val, task.test)] == [10, 8, 10]
    assert {record.key.split("/")[0] for record in task.val} == {"val"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shots": 6, "exact": True},
            "'gray wolf' has 6, 'cat' has 6, 'dog' has 6: use at most 5 shots",
        ),
        ({"shots": -1}, "shots=-1: must be a whole number"),
        ({"seed": -1}, "seed=-1: must be a whole number"),
        ({"template": "a photo"}, "template 'a photo': must hold {} once"),
        ({"class_names": ["cat"]}, "1 class names for 3 classes"),
    ],
)
def test_bad_arguments(animals: Path, options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"shots": 2, **options}
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.from_folder(animals, **arguments)  # type: ignore[arg-type]


def test_load_takes_a_folder(animals: Path) -> None:
    for source in (animals, str(animals)):
        task = FewShotTask.load(source, 2, class_names={"2.cat": "kitten"}, template="{}")
        assert (task.classes[1], task.template) == ("kitten", "{}")


@pytest.mark.parametrize("name", expand("picto"))
def test_every_embedded_data_set_is_a_task(name: str) -> None:
    task = FewShotTask.load(name, shots=2)
    assert len(task.train) == 2 * len(task.classes)
    assert {record.label for record in task.test} == set(range(len(task.classes)))
    parts = [{record.key for record in part} for part in (task.train, task.val, task.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert open_image(task.test[0].image).mode == "RGB"
    assert task.test[0].domain
