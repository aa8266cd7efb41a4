"""Tasks from torch data sets and arrays."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

import interlace
from interlace.data.images.decode import open_image
from interlace.data.images.loader import batches
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests import models

NAMES = ("cat", "dog", "eel")


def pixels(count: int, seed: int = 0, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


class Photos(Dataset):
    """Images of some form, and their labels."""

    classes = NAMES

    def __init__(self, images: object, labels: object) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[object, object]:
        return self.images[index], self.labels[index]


def labels_of(count: int) -> list[int]:
    return [n % 3 for n in range(count)]


def shown(task: FewShotTask) -> list[bytes]:
    """The pixels of the shots, in their order."""
    return [open_image(record.image).tobytes() for record in task.train]


FORMS = {
    "arrays": lambda rows: list(rows),
    "one array": lambda rows: rows,
    "tensor HWC": lambda rows: torch.from_numpy(rows),
    "tensor CHW": lambda rows: torch.from_numpy(rows).permute(0, 3, 1, 2),
    "PIL": lambda rows: [Image.fromarray(row) for row in rows],
    "palette and alpha": lambda rows: [
        Image.fromarray(row).convert("RGBA") if n % 2 else Image.fromarray(row)
        for n, row in enumerate(rows)
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_pixels_is_the_same_task(form: str) -> None:
    rows, labels = pixels(18), labels_of(18)
    plain = FewShotTask.from_arrays(rows, labels, NAMES, shots=2, seed=3)
    task = FewShotTask.from_dataset(Photos(FORMS[form](rows), labels), shots=2, seed=3)
    assert (task.name, task.classes, task.order) == ("Photos", NAMES, "label")
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 6, 6]
    assert replace(task, name="arrays") == plain
    assert set(shown(task)) <= {row.tobytes() for row in rows}


def test_the_order_of_the_items_does_not_matter() -> None:
    rows, labels = pixels(18), np.array(labels_of(18))
    order = np.random.default_rng(1).permutation(18)
    first = FewShotTask.from_arrays(rows, labels, NAMES, 2)
    second = FewShotTask.from_arrays(rows[order], labels[order], NAMES, 2)
    assert (
        first.split_hash
        == second.split_hash
        != FewShotTask.from_arrays(rows, labels, NAMES, 2, seed=2).split_hash
    )


@pytest.mark.parametrize(
    "label", [1, np.int64(1), np.array(1), torch.tensor(1), torch.tensor(1, dtype=torch.uint8)]
)
def test_labels(label: object) -> None:
    task = FewShotTask.from_dataset(
        Photos(pixels(3), [0, label, 2]), NAMES, shots=0, template="a {}!"
    )
    assert [record.label for record in task.test] == [0, 1, 2]
    assert task.template == "a {}!"


def test_paths_and_encoded_images(tmp_path: Path) -> None:
    rows = pixels(4)
    for number, row in enumerate(rows):
        Image.fromarray(row).save(tmp_path / f"{number}.png")
    items = [tmp_path / "0.png", str(tmp_path / "1.png"), (tmp_path / "2.png").read_bytes()]
    task = FewShotTask.from_arrays(items, [0, 1, 0], ["a", "b"], shots=0)
    assert [record.image for record in task.test] == [items[0], Path(items[1]), items[2]]
    assert [open_image(record.image).tobytes() for record in task.test] == [
        row.tobytes() for row in rows[:3]
    ]


def test_grey_and_deep_images_are_read_as_files_are(tmp_path: Path) -> None:
    grey = pixels(1)[0, :, :, 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    see_through = np.dstack([pixels(1)[0], np.zeros((16, 16), np.uint8)])
    task = FewShotTask.from_arrays(
        [grey, grey[..., None], deep, see_through], [0, 1, 0, 1], ["a", "b"], shots=0
    )
    first, second, third, white = (np.asarray(open_image(own.image)) for own in task.test)
    assert (first == grey[..., None]).all() and (first == second).all() and (first == third).all()
    assert (white == 255).all()


def test_test_images_of_their_own(tmp_path: Path) -> None:
    rows, labels = pixels(12), labels_of(12)
    again = np.concatenate([rows[:3], pixels(6, seed=9)])
    task = FewShotTask.from_dataset(
        Photos(rows, labels), NAMES, 2, test=Photos(again, labels_of(9)), exact=True
    )
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 6, 9]
    same = FewShotTask.from_arrays(rows, labels, NAMES, 2, test=(again, labels_of(9)), exact=True)
    assert same == replace(task, name="arrays")
    # a copy of a shot among the test images is not scored
    adapted = interlace.fit(models.tiny(), task, "zero_shot")
    assert adapted.evaluate(task.test).n == 6 and adapted.evaluate(task.test).left_out == 3
    with pytest.raises(InterlaceError, match="too few images for 5 shots"):
        FewShotTask.from_dataset(Photos(rows, labels), NAMES, 5, exact=True)


def test_a_fit_is_as_on_the_same_images_in_files(tmp_path: Path) -> None:
    rows, labels = pixels(18), labels_of(18)
    task = FewShotTask.from_arrays(rows, labels, NAMES, 2, seed=1)
    file_of = {}
    for number, row in enumerate(rows):
        file_of[row.tobytes()] = tmp_path / f"{number}.png"
        Image.fromarray(row).save(file_of[row.tobytes()])

    def in_files(records: tuple) -> tuple:
        return tuple(
            replace(own, image=file_of[open_image(own.image).tobytes()]) for own in records
        )

    files = replace(
        task, train=in_files(task.train), val=in_files(task.val), test=in_files(task.test)
    )
    own, other = (
        interlace.fit(models.tiny(), one, "mail", epochs=2, rank=2, output=tmp_path / str(n))
        for n, one in enumerate((task, files))
    )
    assert own.history == other.history
    for name, value in own.method.state_dict().items():
        assert torch.equal(value, other.method.state_dict()[name]), name
    assert own.evaluate(task.test).to_dict() == other.evaluate(files.test).to_dict()
    # and what was saved is used again, with its split
    again = interlace.load_adapted(tmp_path / "0", models.tiny())
    assert interlace.evaluate(again, task).adapted.n == 6
    assert interlace.evaluate(again, replace(task, test=task.train + task.test)).left_out == 6
    split = tmp_path / "0" / "split.json"
    assert FewShotTask.from_arrays(rows, labels, NAMES, split=split).train == task.train


def test_worker_processes_read_them() -> None:
    task = FewShotTask.from_arrays(pixels(9), labels_of(9), NAMES, 1)
    assert pickle.loads(pickle.dumps(task)) == task
    transform = models.tiny().preprocess.eval_transform()
    one, two = (
        torch.cat([images for images, _ in batches(task.test, transform, 2, workers=workers)])
        for workers in (0, 2)
    )
    assert torch.equal(one, two)


def test_copies_of_a_picture() -> None:
    rows = pixels(3)[[0, 0, 0, 1, 2, 0]]
    task = FewShotTask.from_arrays(rows, [0, 0, 0, 1, 2, 1], NAMES, shots=0)
    assert len({record.key for record in task.test}) == 6
    assert any("one picture is in two classes" in note for note in task.notes)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32: must be a PIL image.*leave out ToTensor"),
        (torch.zeros(3, 4, 4), "float32: must be a PIL image.*leave out ToTensor"),
        (torch.zeros(3, 4, 4, dtype=torch.float16), "float16: must be .*leave out ToTensor"),
        (np.zeros((4, 4, 3), np.int64), "int64: must be a PIL image"),
        (np.zeros((4, 4, 3), np.uint16), "uint16: must be a PIL image"),
        (np.zeros((4, 4), bool), "bool: must be a PIL image"),
        ([[1, 2], [3, 4]], "list: must be a PIL image"),
        (None, "NoneType: must be a PIL image"),
        (np.zeros((4, 5, 2), np.uint8), r"shape \[4, 5, 2\]: must be"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \[2, 4, 4, 3\]: must be"),
        (np.zeros((4, 5, 6), np.uint8), r"shape \[4, 5, 6\]: must be"),
        (np.zeros(4, np.uint8), r"shape \[4\]: must be"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]: must be"),
        (np.zeros((3, 4, 3), np.uint8), r"shape \[3, 4, 3\]: it does not say which side"),
        ("nowhere.png", "no such file"),
        (Path("nowhere.png"), "no such file"),
        (b"", "empty"),
        (b"no image", "not an image"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_image_that_cannot_be_one(image: object, message: str) -> None:
    images = [*pixels(2), image]
    with pytest.raises(InterlaceError, match=f"^Photos, image 2: .*{message}") as caught:
        FewShotTask.from_dataset(Photos(images, [0, 1, 2]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, "label 3: there are 3 classes, from 0"),
        (-1, "label -1: there are 3 classes"),
        (0.0, "label 0.0: must be a whole number"),
        (True, "label True: must be a whole number"),
        (torch.tensor(True), "must be a whole number"),
        (torch.tensor(1.0), "must be a whole number"),
        (torch.tensor([0, 1]), "must be a whole number"),
        ("cat", "label 'cat': must be a whole number"),
        (None, "label None: must be a whole number"),
    ],
    ids=str,
)
def test_a_label_that_cannot_be_one(label: object, message: str) -> None:
    with pytest.raises(InterlaceError, match=f"^arrays, image 1: .*{message}"):
        FewShotTask.from_arrays(pixels(3), [0, label, 2], NAMES)


class Broken(Photos):
    def __getitem__(self, index: int) -> tuple[object, object]:
        if index == 1:
            raise KeyError("gone\nfor good")
        return super().__getitem__(index)


class Stream(torch.utils.data.IterableDataset):
    classes = NAMES

    def __iter__(self) -> object:
        return iter(())


@pytest.mark.parametrize(
    ("dataset", "names", "message"),
    [
        (Broken(pixels(3), [0, 1, 2]), NAMES, "^Broken, image 1: KeyError: 'gone"),
        (Stream(), NAMES, "^Stream: has no length: it must be a map-style data set"),
        (TensorDataset(torch.zeros(3, 4, 4)), NAMES, "image 0: a tuple, not a pair"),
        (Photos([], []), NAMES, "^Photos: there are no images"),
        (TensorDataset(torch.zeros(1)), None, "TensorDataset: class_names: the data set does not"),
        (Photos(pixels(3), [0, 1, 2]), "cat", "class_names: must be a list of names"),
        (Photos(pixels(3), [0, 0, 0]), ["cat"], "1 classes: at least two are needed"),
        (Photos(pixels(3), [0, 1, 1]), ["cat", "cat"], "two classes are both named 'cat'"),
        (Photos(pixels(3), [0, 1, 1]), ["cat", 7], "class name 7: must be a text"),
        (Photos(pixels(3), [0, 1, 1]), NAMES, "no image to train on for 'eel'"),
    ],
)
def test_a_data_set_that_cannot_be_one(dataset: object, names: object, message: str) -> None:
    with pytest.raises(InterlaceError, match=message) as caught:
        FewShotTask.from_dataset(dataset, names)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_bad_arguments() -> None:
    with pytest.raises(InterlaceError, match="3 images and 2 labels"):
        FewShotTask.from_arrays(pixels(3), [0, 1], NAMES)
    with pytest.raises(InterlaceError, match="images: a generator, not a list or an array"):
        FewShotTask.from_arrays((one for one in pixels(3)), [0, 1, 2], NAMES)  # type: ignore[arg-type]
    with pytest.raises(InterlaceError, match="labels: a int, not a list or an array"):
        FewShotTask.from_arrays(pixels(3), 3, NAMES)  # type: ignore[arg-type]
    with pytest.raises(InterlaceError, match="test: must be a pair of images and labels"):
        FewShotTask.from_arrays(pixels(3), [0, 1, 2], NAMES, test=pixels(3))  # type: ignore[arg-type]
    with pytest.raises(InterlaceError, match="shots=-1"):
        FewShotTask.from_arrays(pixels(3), [0, 1, 2], NAMES, -1)
    with pytest.raises(InterlaceError, match="Photos, test/image 1: label 5"):
        FewShotTask.from_dataset(Photos(pixels(3), [0, 1, 2]), test=Photos(pixels(3, 1), [0, 5, 2]))
