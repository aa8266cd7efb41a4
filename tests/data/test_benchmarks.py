import json
from pathlib import Path

import pytest

from interlace.data.datasets.benchmark_table import BENCHMARKS
from interlace.data.datasets.benchmarks import (
    benchmark_names,
    find_benchmark,
    read_benchmark,
)
from interlace.data.datasets.registry import is_known
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.trees import COUNTS, MAKERS, SPLIT_JSON, WORDNET, put, split_json

TESTS_ONLY = ("imagenetv2", "imagenet-sketch", "imagenet-a", "imagenet-r")


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLACE_DATA", raising=False)


def test_every_data_set_has_a_tree() -> None:
    assert set(MAKERS) == set(benchmark_names())


@pytest.mark.parametrize("name", SPLIT_JSON)
def test_split_json(tmp_path: Path, name: str) -> None:
    split_json(tmp_path, name)
    folder, images, _, classes = SPLIT_JSON[name]
    source = read_benchmark(BENCHMARKS[name], tmp_path)
    assert source.classes == tuple(written.replace("_", " ") for _, written in classes)
    for part, count in COUNTS.items():
        records = source.pools[part]
        assert len(records) == count * len(classes)
        first = records[count]  # the first image of the second class
        assert (first.label, first.key) == (1, f"{classes[1][0]}/{part}_0.jpg")
        assert first.image == tmp_path / folder / images / first.key
    assert source.skipped == ()


@pytest.mark.parametrize("name", MAKERS)
def test_a_task_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    MAKERS[name](tmp_path)
    task = FewShotTask.load(name, 1, seed=3, root=tmp_path)
    n = len(task.classes)
    assert (task.name, task.template, task.order) == (name, BENCHMARKS[name].template, "label")
    shots = 0 if name in TESTS_ONLY else 1
    assert (task.shots, len(task.train), len(task.val)) == (shots, shots * n, shots * n)
    assert {record.label for record in task.test} == set(range(n))
    assert all(record.image.is_file() for record in (*task.train, *task.test))  # type: ignore[union-attr]
    monkeypatch.setenv("INTERLACE_DATA", str(tmp_path))
    assert FewShotTask.load(BENCHMARKS[name].title, 1, seed=3) == task


def test_shots_val_and_test_come_from_their_own_lists(tmp_path: Path) -> None:
    split_json(tmp_path, "eurosat")
    task = FewShotTask.load("eurosat", 2, root=tmp_path)
    for part in COUNTS:
        assert {f"/{part}_" in record.key for record in getattr(task, part)} == {True}
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 6, 6]
    again = FewShotTask.load("eurosat", 2, seed=2, root=tmp_path)
    assert again.test == task.test and again.train != task.train


@pytest.mark.parametrize(("shots", "val"), [(2, 2), (3, 3), (5, 4), (6, 4)])
def test_validation_shots_are_at_most_four(tmp_path: Path, shots: int, val: int) -> None:
    split_json(tmp_path, "dtd")
    path = tmp_path / "dtd" / "split_zhou_DescribableTextures.json"
    content = json.loads(path.read_text())
    for part in ("train", "val"):
        for label, name in enumerate(("banded", "zigzagged")):
            for i in range(6):
                put(tmp_path / "dtd" / "images" / f"{name}/more_{part}{i}.jpg")
                content[part].append([f"{name}/more_{part}{i}.jpg", label, name])
    path.write_text(json.dumps(content))
    task = FewShotTask.load("dtd", shots, root=tmp_path)
    assert (len(task.train), len(task.val)) == (2 * shots, 2 * val)


def test_halves_follow_the_labels_not_the_alphabet(tmp_path: Path) -> None:
    split_json(tmp_path, "oxford_flowers")
    task = FewShotTask.load("oxford_flowers", 1, root=tmp_path)
    base, novel = task.classes_subset("base"), task.classes_subset("novel")
    # ceil(3 / 2) of the labels; sorted names would begin with canterbury bells
    assert base.classes == ("pink primrose", "hard-leaved pocket orchid")
    assert novel.classes == ("canterbury bells",)
    assert base.classes_subset("base").classes == ("pink primrose",)


def test_aircraft_lists(tmp_path: Path) -> None:
    MAKERS["fgvc_aircraft"](tmp_path)
    source = read_benchmark(BENCHMARKS["fgvc_aircraft"], tmp_path)
    assert source.classes == ("707-320", "A300B4", "Boeing 717")
    assert [(r.key, r.label) for r in source.pools["val"]][-1] == ("0000015.jpg", 2)
    (tmp_path / "fgvc_aircraft" / "variants.txt").write_text("707-320\nA300B4\n")
    with pytest.raises(InterlaceError, match="'0000007 Boeing 717': variants.txt has no"):
        read_benchmark(BENCHMARKS["fgvc_aircraft"], tmp_path)


def test_imagenet(tmp_path: Path) -> None:
    MAKERS["imagenet"](tmp_path)
    source = read_benchmark(BENCHMARKS["imagenet"], tmp_path)
    assert source.classes == tuple(WORDNET.values())
    assert set(source.pools) == {"train", "test"}
    keys = [record.key for record in source.pools["test"]]
    assert keys[1] == "val/n01443537/ILSVRC2012_val_00000001.JPEG"


def test_relatives_of_imagenet_answer_among_their_own_classes(tmp_path: Path) -> None:
    for name in TESTS_ONLY:
        MAKERS[name](tmp_path)
    found = {name: read_benchmark(BENCHMARKS[name], tmp_path) for name in TESTS_ONLY}
    assert (
        found["imagenetv2"].classes == found["imagenet-sketch"].classes == tuple(WORDNET.values())
    )
    assert found["imagenet-a"].classes == ("goldfish", "hammerhead shark")
    assert found["imagenet-r"].classes == ("tench", "great white shark")
    for source in found.values():
        assert set(source.pools) == {"test"}
        assert [record.label for record in source.pools["test"]] == list(range(len(source.classes)))


def test_imagenet_v2_folders_are_numbers_not_text(tmp_path: Path) -> None:
    """As text, 10 would sort before 2."""
    MAKERS["imagenetv2"](tmp_path)
    names = {f"n{number:08}": f"class {number}" for number in range(12)}
    text = "".join(f"{number} {name}\n" for number, name in names.items())
    (tmp_path / "imagenetv2" / "classnames.txt").write_text(text)
    images = tmp_path / "imagenetv2" / "imagenetv2-matched-frequency-format-val"
    put(images / "10" / "x.jpeg")
    source = read_benchmark(BENCHMARKS["imagenetv2"], tmp_path)
    record = next(record for record in source.pools["test"] if record.key == "10/x.jpeg")
    assert source.classes[record.label] == "class 10"


def test_a_folder_that_the_class_names_lack(tmp_path: Path) -> None:
    MAKERS["imagenet-a"](tmp_path)
    put(tmp_path / "imagenet-adversarial" / "imagenet-a" / "n99999999" / "a.jpg")
    with pytest.raises(InterlaceError, match="classnames.txt has no n99999999"):
        read_benchmark(BENCHMARKS["imagenet-a"], tmp_path)
    (tmp_path / "imagenet-adversarial" / "classnames.txt").write_text("tench n01440764\n")
    with pytest.raises(InterlaceError, match="expected a line such as 'n01440764 tench'"):
        read_benchmark(BENCHMARKS["imagenet-a"], tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_missing_is_named_with_where_to_get_it(tmp_path: Path, name: str) -> None:
    entry = BENCHMARKS[name]
    with pytest.raises(InterlaceError) as caught:
        FewShotTask.load(name, root=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / entry.folder) in message
    assert entry.images_from in message and entry.lists_from in message
    assert all(item in message for item in entry.lists)


def test_without_a_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InterlaceError, match="--data-root.*INTERLACE_DATA.*holds eurosat/"):
        FewShotTask.load("eurosat")


def test_a_listed_image_that_is_not_there_is_skipped_or_an_error(tmp_path: Path) -> None:
    split_json(tmp_path, "eurosat")
    (tmp_path / "eurosat/2750/Forest/test_1.jpg").unlink()
    task = FewShotTask.load("eurosat", 1, root=tmp_path)
    assert [(s.key, s.reason) for s in task.skipped] == [("Forest/test_1.jpg", "no such file")]
    assert len(task.test) == 5
    assert "1 file skipped" in task.describe()
    with pytest.raises(InterlaceError, match="1 images are listed but not in .*Forest/test_1.jpg"):
        FewShotTask.load("eurosat", 1, root=tmp_path, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a benchmark's split file"),
        ('{"train": []}', "not a benchmark's split file.*no list under 'val'"),
        ('{"train": [["a.jpg", 0]], "val": [], "test": []}', "not a benchmark's split file"),
        (
            '{"train": [["a.jpg", 0, "a"], ["b.jpg", 0, "b"]], "val": [], "test": []}',
            "label 0 is 'a' and, at b.jpg, 'b'",
        ),
        ('{"train": [["a.jpg", 1, "a"]], "val": [], "test": []}', "no image has label 0"),
    ],
)
def test_a_list_that_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    split_json(tmp_path, "eurosat")
    (tmp_path / "eurosat" / "split_zhou_EuroSAT.json").write_text(content)
    with pytest.raises(InterlaceError, match=message):
        read_benchmark(BENCHMARKS["eurosat"], tmp_path)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("OxfordPets", "oxford_pets"),
        ("oxford-flowers", "oxford_flowers"),
        ("DescribableTextures", "dtd"),
        ("imagenet_sketch", "imagenet-sketch"),
        ("ImageNet-A", "imagenet-a"),
        ("ImageNetV2", "imagenetv2"),
        ("FGVCAircraft", "fgvc_aircraft"),
        ("Food-101", "food101"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    entry = find_benchmark(spelling)
    assert entry is not None and entry.name == name


@pytest.mark.parametrize("name", ["cars", "flowers", "./eurosat", "eurosat/", "DATA/dtd"])
def test_what_may_be_a_folder_of_ones_own_is_no_name(name: str) -> None:
    assert find_benchmark(name) is None


def test_a_folder_comes_first_unless_the_data_root_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_json(tmp_path, "eurosat")
    monkeypatch.chdir(tmp_path)
    assert not is_known("eurosat")
    assert is_known("eurosat", tmp_path)
    assert not is_known("./eurosat", tmp_path)
    assert FewShotTask.load("./eurosat/2750", 2, root=tmp_path).name == "2750"


def test_totals_add_up() -> None:
    for entry in BENCHMARKS.values():
        totals = entry.totals
        if totals.base is not None and totals.novel is not None:
            assert totals.base + totals.novel == totals.test, entry.name
