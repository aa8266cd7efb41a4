"""Draws: up to k shots, stored splits that were tampered with, pickles that are bombs."""

import json
import pickle
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from interlace.data.readers.stored_draws import read_draw
from interlace.data.splits import Split, split_records
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError, TooFewImages
from tests.faults.test_sources_folders import grow

COUNTS = {"ant": 1, "bee": 2, "cat": 6, "dog": 20}


def test_a_class_gives_what_it_has(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", COUNTS)
    task = FewShotTask.load(root, 16)
    shots = [sum(r.label == label for r in task.train) for label in range(4)]
    assert shots == [1, 1, 5, 16]
    # an image to test on stays wherever there are two
    assert [sum(r.label == label for r in task.test) for label in range(4)] == [0, 1, 1, 2]
    assert "fewer than 16 shots because of too few images: ant 1, bee 1, cat 5" in task.notes
    assert "23 training images (up to 16 per class, seed 1)" in task.describe()
    assert task.shots == task.split().shots == 16
    assert FewShotTask.load(root, 1).describe().count("up to") == 0


def test_with_a_test_part_every_image_may_be_a_shot(tmp_path: Path) -> None:
    tree = {f"{part}/{name}": 3 for part in ("train", "test") for name in ("cat", "dog")}
    task = FewShotTask.load(grow(tmp_path / "photos", tree), 16)
    assert (len(task.train), len(task.test)) == (6, 6)


def test_the_exact_number_is_asked_for_where_protocols_need_it(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", COUNTS)
    with pytest.raises(TooFewImages, match="'ant' has 1, 'bee' has 2"):
        FewShotTask.load(root, 2, exact=True)
    with pytest.raises(TooFewImages):
        FewShotTask.load("picto/food-drink", 500)
    from interlace.protocols import Setting

    with pytest.raises(TooFewImages):
        Setting(str(root), shots=2).draw()


def test_words_of_the_message(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", {"cat": 2, "dog": 5})
    with pytest.raises(TooFewImages) as caught:
        FewShotTask.load(root, 2, exact=True)
    assert str(caught.value) == (
        "too few images for 2 shots and 1 held out for testing per class: 'cat' has 2: use at "
        "most 1 shot"
    )


def test_draws_of_few_images_are_the_start_of_larger_ones() -> None:
    from tests.data.test_splits import CLASSES, RECORDS

    own = [*RECORDS[:10], *RECORDS[10:13]]
    fewer = split_records({"train": own}, CLASSES, 4, 1, exact=False)[0]
    assert fewer[:4] == split_records({"train": RECORDS}, CLASSES, 4, 1)[0][:4]
    assert [record.label for record in fewer] == [0] * 4 + [1] * 2


SPLIT = Split("pets", 1, 1, ("cat", "dog"), (("c/1", 0), ("d/1", 1)), (("c/3", 0),), (("c/2", 0),))


def tampered(path: Path, **changes: Any) -> Path:
    """A split file with other content and the hash that belongs to it."""
    import hashlib

    SPLIT.save(path)
    content = json.loads(path.read_text())
    content.update(changes)
    content = {key: value for key, value in content.items() if value is not None}
    content.pop("sha256", None)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": [["c/1", -1]]}, "'train' must list pairs"),
        ({"train": [["c/1", 999]]}, "c/1 has label 999, and there are 2 classes"),
        ({"train": [["c/1", 0.0]]}, "'train' must list pairs"),
        ({"train": [["c/1", True]]}, "'train' must list pairs"),
        ({"train": [["c/1", "0"]]}, "'train' must list pairs"),
        ({"train": [[1, 0]]}, "'train' must list pairs"),
        ({"train": ["c1"]}, "'train' must list pairs"),
        ({"train": {"c/1": 0}}, "'train' is missing or not of the right type"),
        ({"train": [["c/1", 0], ["c/1", 0]]}, "c/1 is twice in train"),
        ({"test": [["c/1", 0]]}, "c/1 is in train and in test"),
        ({"val": [["d/1", 1]]}, "d/1 is in train and in val"),
        ({"seed": -1}, "'seed' must lie between"),
        ({"seed": 2**70}, "'seed' must lie between"),
        ({"shots": 1.5}, "'shots' is missing or not"),
        ({"shots": None}, "'shots' is missing or not"),
        ({"classes": "ab"}, "'classes' is missing or not"),
        ({"classes": ["cat", 3]}, "'classes' must be a list of names"),
        ({"classes": []}, "'classes' must be a list of names"),
        ({"name": None}, "'name' is missing"),
        ({"more": 1}, "unknown more"),
    ],
)
def test_splits_that_were_hashed_again(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InterlaceError, match=message) as caught:
        Split.load(tampered(tmp_path / "split.json", **changes))
    assert "\n" not in str(caught.value)


def test_a_split_that_calls_a_cat_a_dog(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", {"cat": 3, "dog": 3})
    own = FewShotTask.load(root, 1).split()
    train = [[key, 1 - label] for key, label in own.train]
    content = {part: getattr(own, part) for part in ("val", "test")}
    path = tampered(
        tmp_path / "split.json", name="photos", classes=["cat", "dog"], train=train, **content
    )
    with pytest.raises(InterlaceError, match="has cat/.* as 'dog', and task 'photos' as 'cat'"):
        FewShotTask.load(root, split=path)


def test_a_split_is_written_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    SPLIT.save(tmp_path / "new" / "split.json")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["split.json"]
    with pytest.raises(InterlaceError, match="cannot write"):
        SPLIT.save(tmp_path / "there")


DATUM = b"cdassl.data.datasets.base_dataset\nDatum\n"


def colliding(count: int) -> bytes:
    """Numbers whose hashes are all 0, as keys of a dictionary: quadratic in their number."""
    keys = []
    for i in range(1, count + 1):
        number = (i * (2**61 - 1)).to_bytes(16, "little")
        keys.append(b"\x8a\x10" + number + b"K\x00")
    return b"\x80\x02}(" + b"".join(keys) + b"u."


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(colliding(40_000), id="colliding numbers"),
        pytest.param(b"I" + b"9" * 5_000 + b"\n.", id="a long number"),
        pytest.param(b"L" + b"9" * 4_000 + b"L\n.", id="another one"),
        pytest.param(b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b".", id="LONG4"),
        pytest.param(b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"a.", id="huge text"),
        pytest.param(b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.", id="huge bytes"),
        pytest.param(b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.", id="huge bytearray"),
        pytest.param(b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.", id="huge frame"),
        pytest.param(b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b".", id="huge memo"),
        pytest.param(b"]p99999999999\n.", id="huge memo in text"),
        pytest.param(b"]" * 100_000 + b"a" * 99_999 + b".", id="deep lists"),
        pytest.param(b"(" * 100_000 + b"t" * 100_000 + b".", id="deep tuples"),
        pytest.param(b"]" * 4_000_000, id="many lists"),
        pytest.param(b"\x80\x04(K\x01K\x02\x91.", id="frozenset"),
        pytest.param(
            b"\x80\x02"
            + b"K\x01q\x00"
            + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))
            + b".",
            id="doubled tuples",
        ),
        pytest.param(b"\x80\x02" + DATUM + b")\x81(NX\x01\x00\x00\x00aK\x01tb.", id="slots"),
        pytest.param(b"ccopyreg\n_reconstructor\n.", id="copyreg"),
        pytest.param(b"cbuiltins\nrange\n(I0\nI100000000\ntR.", id="a call"),
        pytest.param(DATUM + b")R.", id="a call of the record"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x80\xff.", id="protocol 255"),
    ],
)
def test_pickles_that_are_bombs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shot_1-seed_1.pkl"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(InterlaceError, match="not a few-shot draw") as caught:
        read_draw(path)
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 8


def test_a_pickle_of_the_usual_size_is_read(tmp_path: Path) -> None:
    """16 shots of 1,000 classes, with opcodes as the pickler writes them."""
    text = "abc/images/n01440764/n01440764_{}.JPEG"
    one = (
        b"\x80\x02}X\x05\x00\x00\x00train]("
        + b"".join(
            DATUM
            + b")\x81}(X\x07\x00\x00\x00_impath"
            + _text(text.format(i))
            + b"X\x06\x00\x00\x00_labelM"
            + struct.pack("<H", i % 1000)
            + b"X\x0a\x00\x00\x00_classname"
            + _text("tench")
            + b"ub"
            for i in range(16_000)
        )
        + b"es."
    )
    path = tmp_path / "shot_16-seed_2.pkl"
    path.write_bytes(one)
    draw = read_draw(path)
    assert len(draw.train) == 16_000 and draw.train[17].label == 17
    assert pickle.dumps(draw.val) == pickle.dumps(())


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def test_a_pipe_or_a_folder_is_no_draw(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.pkl")
    with pytest.raises(InterlaceError, match="a named pipe, not a regular file"):
        read_draw(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").mkdir()
    with pytest.raises(InterlaceError, match="a folder, where a file is expected"):
        read_draw(tmp_path / "b.pkl")


def test_a_plain_list_beside_numbered_folders(tmp_path: Path) -> None:
    numbers = grow(tmp_path / "numbers", {str(i): 2 for i in range(1, 12)})
    names = [f"n{i}" for i in range(11)]
    message = r"folders that are numbers \(1, 10, 11, 2 and 7 more\): .*'1<TAB>name'"
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(numbers, 1, class_names=names)
    (tmp_path / "names.txt").write_text("\n".join(names))
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(numbers, 1, class_names=tmp_path / "names.txt")
    (tmp_path / "pairs.txt").write_text("".join(f"{i}\tn{i}\n" for i in range(1, 12)))
    task = FewShotTask.load(numbers, 1, class_names=tmp_path / "pairs.txt")
    assert task.classes[:3] == ("n1", "n10", "n11") and task.folders[:3] == ("1", "10", "11")
    assert "class names: 1 -> n1, 10 -> n10, 11 -> n11, 2 -> n2" in task.notes[0]
    bare = FewShotTask.load(numbers, 1)
    assert "'a photo of a 1.' says nothing of the images" in bare.notes[0]


def test_numbers_inside_of_names_shuffle_too(tmp_path: Path) -> None:
    root = grow(tmp_path / "photos", {f"class_{i}": 2 for i in (1, 2, 10)})
    with pytest.raises(InterlaceError, match=r"\(class_1, class_10, class_2\)"):
        FewShotTask.load(root, 1, class_names=["a", "b", "c"])
    root = grow(tmp_path / "padded", {f"class_{i:02}": 2 for i in (1, 2, 10)})
    assert FewShotTask.load(root, 1, class_names=["a", "b", "c"]).classes == ("a", "b", "c")


def test_names_that_a_run_remembers() -> None:
    from interlace.data.names import remembered_names

    known = {"1": "cat", "2": "dog", "3": "owl", "caf\u00e9": "coffee house"}
    assert remembered_names(("1", "2", "red_fox", "cafe\u0301"), known) == (
        "cat",
        "dog",
        "red fox",
        "coffee house",
    )
    with pytest.raises(InterlaceError, match="both named 'cat'"):
        remembered_names(("1", "cat"), known)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"cat": "a\u0000b"}, "holds a character that no prompt can have"),
        ({"cat": 3}, "class name 3: must be a text"),
        (["x"], "1 class names for 2 classes"),
        ({"dgo": "x"}, "did you mean 'dog'"),
    ],
)
def test_class_names_that_are_wrong(tmp_path: Path, names: Any, message: str) -> None:
    root = grow(tmp_path / "photos", {"cat": 2, "dog": 2})
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(root, 1, class_names=names)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "x" * 5000, "\udcff.csv", "a\0.zip"])
def test_paths_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    for ask in (
        lambda: FewShotTask.load(name, 1),
        lambda: FewShotTask.load("picto/food-drink", 1, split=name),
        lambda: read_draw(f"{name}.pkl"),
        lambda: FewShotTask.load("picto/food-drink", 1, class_names=name),
        lambda: FewShotTask.load("eurosat", 1, root=name),
        lambda: Split.load(f"{name}.json"),
        lambda: SPLIT.save(tmp_path / name),
    ):
        try:
            ask()
        except InterlaceError as error:
            line = str(error)
            assert "\n" not in line and "\0" not in line
            line.encode()


def test_data_list_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom interlace.cli import app\nsys.argv = ['interlace', 'data', 'list']\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'torchvision', 'scipy', 'pyarrow', 'open_clip', 'matplotlib')\n"
        "print('heavy:', [name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "eurosat" in found.stdout and "heavy: []" in found.stdout


def test_the_names_of_the_package_are_there() -> None:
    import interlace.data

    assert all(hasattr(interlace.data, name) for name in interlace.data.__all__)
    assert set(dir(interlace.data)) >= set(interlace.data.__all__)
    with pytest.raises(AttributeError):
        interlace.data.nothing  # noqa: B018
