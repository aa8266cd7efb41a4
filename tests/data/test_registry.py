import sys
from collections.abc import Iterator
from types import ModuleType

import pyarrow as pa
import pytest

import interlace.data.datasets
from interlace.data.datasets.registry import catalog_names, read_catalog
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError


@pytest.fixture(autouse=True)
def picto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts a tiny stand-in where the embedded data set is."""
    fake = ModuleType("interlace.data.datasets.picto")
    ids = list(range(100, 112))
    table = pa.table(
        {
            "image_id": ids,
            "image": [f"bytes {i}".encode() for i in ids],
            "style": ["noto" if i % 2 else "openmoji" for i in ids],
            "group": ["food"] * len(ids),
        }
    )
    task = {
        "name": "food",
        "description": "Drawings of food.",
        "template": "a drawing of {}",
        "classes": ["taco", "apple", "bento box"],
        "train": [[i, i % 3] for i in reversed(ids[:9])],
        "test": [[i, i % 3] for i in ids[9:]],
        "sha256": "",
    }
    monkeypatch.setattr(fake, "images", lambda: table, raising=False)
    monkeypatch.setattr(fake, "task_names", lambda: ["food", "travel"], raising=False)
    monkeypatch.setattr(fake, "task", {"food": task}.__getitem__, raising=False)
    monkeypatch.setitem(sys.modules, "interlace.data.datasets.picto", fake)
    monkeypatch.setattr(interlace.data.datasets, "picto", fake, raising=False)
    yield


def test_records_carry_bytes_keys_and_styles() -> None:
    entry = read_catalog("picto/food")
    assert [record.key for record in entry.pools["train"][:2]] == ["picto:108", "picto:107"]
    assert (entry.pools["train"][1].image, entry.pools["train"][1].label) == (b"bytes 107", 107 % 3)
    assert [record.domain for record in entry.pools["test"]] == ["noto", "openmoji", "noto"]


def test_a_task_draws_from_train_and_keeps_test() -> None:
    task = FewShotTask.load("picto/food", shots=2, seed=1)
    assert (task.name, task.template) == ("picto/food", "a drawing of {}")
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 3, 3]
    assert {record.key for record in task.test} == {"picto:109", "picto:110", "picto:111"}
    other = FewShotTask.load("picto/food", shots=2, seed=2)
    assert other.test == task.test
    assert other.train != task.train


def test_load_may_replace_template_and_names() -> None:
    task = FewShotTask.load("picto/food", 1, template="{}", class_names={"taco": "a taco"})
    assert (task.template, task.classes) == ("{}", ("a taco", "apple", "bento box"))
    assert FewShotTask.load("picto/food", 1).classes == ("taco", "apple", "bento box")


def test_too_many_shots() -> None:
    with pytest.raises(InterlaceError, match="'taco' has 3.*use at most 3 shots"):
        FewShotTask.load("picto/food", shots=4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("picto/fod", "did you mean 'picto/food'"),
        (
            "pix",
            r"no such folder: pix \(nor a known data set: picto/food, picto/travel, .*imagenet, ",
        ),
        ("pix.csv", "no such file: pix.csv"),
        ("eurosta", r"no such folder: eurosta \(.*did you mean 'eurosat'\?"),
        ("picto", "no data set 'picto': there are picto/food"),
    ],
)
def test_unknown_name(name: str, message: str) -> None:
    assert catalog_names()[:2] == ("picto/food", "picto/travel")
    for ask in (read_catalog, FewShotTask.load):
        with pytest.raises(InterlaceError, match=message):
            ask(name)
