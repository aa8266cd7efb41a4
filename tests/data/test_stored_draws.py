import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from interlace.data.readers.stored_draws import read_draw
from interlace.data.splits import Split
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.trees import SPLIT_JSON, image_bytes, split_json

MODULES = ("dassl", "dassl.data", "dassl.data.datasets", "dassl.data.datasets.base_dataset")
Dump = Callable[[Path, Any], Path]


class Datum:
    """As CoOp's pickles know it: four private attributes."""

    def __init__(self, impath: str, label: int, classname: str, domain: int = 0) -> None:
        self._impath, self._label, self._domain = impath, label, domain
        self._classname = classname


@pytest.fixture
def dump() -> Iterator[Dump]:
    """Pickles as a machine that has dassl does; afterwards, and while reading, there is none."""

    def write(path: Path, content: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
        Datum.__module__ = MODULES[-1]
        for name in MODULES:
            sys.modules[name] = ModuleType(name)
        sys.modules[MODULES[-1]].Datum = Datum  # type: ignore[attr-defined]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(content, protocol))
        finally:
            for name in MODULES:
                del sys.modules[name]
        return path

    yield write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    split_json(tmp_path, "eurosat")
    return tmp_path


def shot(part: str, label: int, number: int) -> Datum:
    folder, name = SPLIT_JSON["eurosat"][3][label]
    return Datum(f"/elsewhere/DATA/eurosat/2750/{folder}/{part}_{number}.jpg", label, name)


def draw(*numbers: int) -> dict[str, list[Datum]]:
    labels = range(3)
    train = [shot("train", label, number) for label in labels for number in numbers]
    return {"train": train, "val": [shot("val", label, 1) for label in labels]}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_of_the_field(root: Path, dump: Dump, protocol: int) -> None:
    path = root / "eurosat" / "split_fewshot" / "shot_2-seed_3.pkl"
    dump(path, draw(2, 0), protocol)  # type: ignore[call-arg]
    task = FewShotTask.load("eurosat", root=root, split=path)
    assert [record.key for record in task.train] == [
        f"{folder}/train_{number}.jpg"
        for folder in ("AnnualCrop", "Forest", "SeaLake")
        for number in (2, 0)
    ]
    assert [record.label for record in task.train] == [0, 0, 1, 1, 2, 2]
    assert {record.key.split("/")[1] for record in task.val} == {"val_1.jpg"}
    assert (task.shots, task.seed, len(task.test)) == (2, 3, 6)


def test_an_imported_draw_is_a_split_file(root: Path, dump: Dump, tmp_path: Path) -> None:
    path = dump(root / "shot_1-seed_1.pkl", draw(1))
    task = FewShotTask.load("eurosat", root=root, split=path)
    task.split().save(tmp_path / "split.json")
    again = FewShotTask.load("eurosat", root=root, split=tmp_path / "split.json")
    assert again == task
    stored = Split.load(tmp_path / "split.json")
    assert FewShotTask.load("eurosat", 3, 7, root=root, split=stored) == task
    assert FewShotTask.load("eurosat", 1, 1, root=root) != task


class Evil:
    """Writes a file when it is unpickled by anyone who lets it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("place", ["alone", "among the images", "inside of one"])
def test_a_malicious_pickle_is_refused_and_does_not_run(
    tmp_path: Path, dump: Dump, protocol: int, place: str
) -> None:
    trap = tmp_path / "ran"
    content: Any = {"train": [Datum("a.jpg", 0, "a")], "val": []}
    if place == "alone":
        content = Evil(trap)
    elif place == "among the images":
        content = {"train": [Evil(trap)], "val": []}
    else:
        content["train"][0]._impath = Evil(trap)
    path = dump(tmp_path / "shot_1-seed_1.pkl", content, protocol)  # type: ignore[call-arg]
    with pytest.raises(InterlaceError, match="refused"):
        read_draw(path)
    assert not trap.exists()
    if place == "alone":
        pickle.loads(path.read_bytes())  # the trap is a real one
        assert trap.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"(S'true'\nios\nsystem\n.",
        b"cdassl.data.datasets.base_dataset\nDatasetBase\n.",
        b"\x80\x04\x8c\x21dassl.data.datasets.base_dataset\x8c\x0eDatum.__init__\x93.",
        b"\x80\x02\x82\x01.",
        b"Pid\n.",
    ],
)
def test_pickles_made_by_hand(tmp_path: Path, opcodes: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(opcodes)
    with pytest.raises(InterlaceError, match=r"refused|not a few-shot draw \("):
        read_draw(tmp_path / "a.pkl")


def test_a_pickle_that_changes_the_class_changes_no_other(tmp_path: Path, dump: Dump) -> None:
    # puts a __setstate__ on the class by way of BUILD's second, slot, state
    prepared = (
        b"\x80\x04\x8c\x21dassl.data.datasets.base_dataset\x8c\x05Datum\x93"
        b"(N}\x8c\x0c__setstate__\x8c\x01xs\x86b."
    )
    (tmp_path / "a.pkl").write_bytes(prepared)
    with pytest.raises(InterlaceError, match="not a few-shot draw"):
        read_draw(tmp_path / "a.pkl")
    good = dump(tmp_path / "b.pkl", {"train": [Datum("x/a.jpg", 0, "a")], "val": []})
    assert read_draw(good).train[0].path == "x/a.jpg"


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"train": 3},
        {"train": [["a.jpg", 0, "a"]]},
        {"train": [Datum("a.jpg", "0", "a")]},  # type: ignore[arg-type]
        {"train": [Datum(b"a.jpg", 0, "a")]},  # type: ignore[arg-type]
        {"train": [], "val": []},
    ],
)
def test_pickles_of_something_else(tmp_path: Path, dump: Dump, content: Any) -> None:
    path = dump(tmp_path / "a.pkl", content)
    with pytest.raises(InterlaceError, match="not a few-shot draw|without a path|no training"):
        read_draw(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_impath": "/x/2750/Forest/other.jpg"}, "Forest/other.jpg is not in eurosat"),
        ({"_classname": "River"}, "of class 'River', which eurosat has as 'Annual Crop Land'"),
        (
            {"_impath": "Forest/train_0.jpg", "_classname": "Forest"},
            "Forest/train_0.jpg is drawn twice",
        ),
    ],
)
def test_draws_of_other_images(
    root: Path, dump: Dump, change: dict[str, str], message: str
) -> None:
    content = draw(0)
    vars(content["train"][0]).update(change)
    path = dump(root / "shot_1-seed_1.pkl", content)
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load("eurosat", root=root, split=path)


def test_labels_of_a_part_of_the_classes_are_found_by_name(root: Path, dump: Dump) -> None:
    """Forks store draws over the novel classes, numbered from 0."""
    content = {"train": [Datum("2750/SeaLake/train_0.jpg", 0, "Sea or Lake")], "val": []}
    task = FewShotTask.load("eurosat", root=root, split=dump(root / "novel.pkl", content))
    assert [(record.label, task.classes[record.label]) for record in task.train] == [
        (2, "Sea or Lake")
    ]
    assert (task.shots, task.seed) == (1, 0)


def json_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize(
    ("image", "label", "name"),
    [("impath", "label", "classname"), ("path", "target", None), ("file_name", None, "class")],
)
def test_json_lines(root: Path, image: str, label: str | None, name: str | None) -> None:
    lines = []
    for number, (folder, class_name) in enumerate(SPLIT_JSON["eurosat"][3]):
        for part in ("train", "val"):
            line: dict[str, Any] = {image: f"eurosat/2750/{folder}/{part}_0.jpg", "split": part}
            line |= {label: number} if label else {}
            lines.append(line | ({name: class_name} if name else {}))
    path = json_lines(root / "eurosat_shots_1_seed_2.jsonl", lines)
    task = FewShotTask.load("eurosat", root=root, split=path)
    assert [record.key for record in task.train] == [
        f"{folder}/train_0.jpg" for folder, _ in SPLIT_JSON["eurosat"][3]
    ]
    assert (len(task.val), task.shots, task.seed) == (3, 1, 2)


def test_json_lines_with_a_wrong_label(root: Path) -> None:
    path = json_lines(root / "a.jsonl", [{"path": "2750/Forest/train_0.jpg", "label": 2}])
    with pytest.raises(InterlaceError, match="has label 2, which eurosat has as 1"):
        FewShotTask.load("eurosat", root=root, split=path)


def test_a_draw_over_a_folder_of_ones_own(tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        for number in range(3):
            path = tmp_path / "photos" / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_bytes(number))
    lines = [{"path": f"photos/{folder}/2.png", "class": folder} for folder in ("cat", "dog")]
    path = json_lines(tmp_path / "a.jsonl", lines)
    task = FewShotTask.load(
        tmp_path / "photos", class_names={"cat": "a cat"}, split=path, template="{}"
    )
    assert [record.key for record in task.train] == ["cat/2.png", "dog/2.png"]
    assert (task.classes, task.val, len(task.test)) == (("a cat", "dog"), (), 4)


def test_other_endings(tmp_path: Path) -> None:
    with pytest.raises(InterlaceError, match="a stored draw is a .json, .pkl or .jsonl file"):
        read_draw(tmp_path / "a.txt")
    with pytest.raises(InterlaceError, match="no such (split )?file"):
        read_draw(tmp_path / "a.pkl")
