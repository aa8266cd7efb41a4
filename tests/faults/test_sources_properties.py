"""Arbitrary trees, tables, bytes and pickles give a source or one line, in bounded time."""

import json
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from interlace.data.datasets.registry import open_source
from interlace.data.names import resolve_class_names
from interlace.data.readers.columns import COLUMN_OPTIONS
from interlace.data.readers.folder import read_photos
from interlace.data.readers.stored_draws import read_draw
from interlace.data.source import PART_NAMES, Source
from interlace.data.splits import Split
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.trees import image_bytes

own = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
WORDS = [
    "cat",
    "dog",
    "owl",
    "1",
    "2",
    "10",
    *PART_NAMES,
    "train_set",
    "Test-Images",
    "seg_train",
    "seg_test",
    "annotations",
    "__MACOSX",
    ".git",
    "a b",
    "é",
    "e\u0301",
    "[b]",
    "x.jpg",
]
NAMES = st.sampled_from(WORDS) | st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))


def one_line(ask: Callable[[], Any]) -> Any:
    """What is asked for, or None where it was refused in one line."""
    try:
        return ask()
    except InterlaceError as error:
        line = str(error)
        assert line and "\n" not in line and len(line) < 5_000
        line.encode()
        return None


def consistent(source: Source) -> None:
    assert len(source.classes) >= 2
    for record in source.records():
        assert 0 <= record.label < len(source.classes)
    keys = [record.key for record in source.records()]
    assert len(set(keys)) == len(keys) > 0


@own
@given(st.lists(st.tuples(st.lists(NAMES, max_size=3), st.integers(0, 3)), max_size=8))
@example([(["train", "cat"], 1), (["train", "dog"], 1), (["test"], 2)])
def test_trees(tree: list[tuple[list[str], int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "photos")
        root.mkdir()
        for number, (names, images) in enumerate(tree):
            at = root.joinpath(*names)
            try:
                at.mkdir(parents=True, exist_ok=True)
            except OSError:  # a name that is too long
                continue
            for i in range(images):
                (at / f"{number}_{i}.png").write_bytes(image_bytes(7 * number + i))
        source = one_line(lambda: read_photos(root))
        if source is None:
            return
        consistent(source)
        # a name of a part is never a class without a word
        for name in source.classes:
            if name.lower() in PART_NAMES and not any(f"{name}" in note for note in source.notes):
                assert all(
                    f"/{name}/" in record.key
                    for record in source.records()
                    if source.classes[record.label] == name
                )
        # every image is in the source, or its folder is named
        used = {record.key for record in source.records()}
        assert used <= {path.relative_to(root).as_posix() for path in root.rglob("*.png")} or any(
            "the only folder" in note for note in source.notes
        )


CELLS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["0.png", "1.png", "./0.png", "a\\b", "cat", "3.0", "nan", "-1", "train"])
)
DEEP = st.recursive(
    CELLS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
HEADS = st.sampled_from(
    [name for names in COLUMN_OPTIONS.values() for name in names] + ["x", "Label", ""]
)


def read(name: str, content: bytes) -> Source | None:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            Path(folder, f"{number}.png").write_bytes(image_bytes(number))
        path = Path(folder, name)
        path.write_bytes(content)
        source = one_line(lambda: open_source(str(path)))
        if source is not None:
            consistent(source)
        return source


@own
@given(st.lists(st.dictionaries(HEADS, DEEP, max_size=4), max_size=5), st.sampled_from("lja"))
def test_tables_of_json(lines: list[dict[str, Any]], form: str) -> None:
    if form == "l":
        read("t.jsonl", "\n".join(map(json.dumps, lines)).encode())
    else:
        value = lines if form == "j" else {"data": lines}
        read("t.json", json.dumps(value).encode())


@own
@given(st.lists(HEADS, min_size=1, max_size=4), st.lists(st.lists(CELLS, max_size=5), max_size=6))
def test_tables_of_csv(header: list[str], lines: list[list[object]]) -> None:
    text = "\n".join(",".join(map(str, line)) for line in [header, *lines])
    read("t.csv", text.encode("utf-8", "replace"))


@own
@given(
    st.sampled_from(["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.zip"]),
    st.binary(max_size=300),
)
def test_files_of_any_bytes(name: str, content: bytes) -> None:
    assert read(name, content) is None


@own
@given(st.integers(0, 3_000), st.integers(0, 255))
def test_parquet_files_with_a_damaged_byte(place: int, value: int) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet

    buffer = io.BytesIO()
    columns = {"path": ["0.png", "1.png"], "label": ["cat", "dog"]}
    pyarrow.parquet.write_table(pa.table(columns), buffer)
    data = bytearray(buffer.getvalue())
    data[place % len(data)] = value
    read("t.parquet", bytes(data))


@own
@given(st.text(max_size=80), st.sampled_from([".txt", ".json"]))
def test_files_of_class_names(text: str, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"names{ending}")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        names = one_line(lambda: resolve_class_names(("cat", "dog"), path))
        assert names is None or (len(set(names)) == 2 and all(names))


DATUM = b"cdassl.data.datasets.base_dataset\nDatum\n"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers(), max_size=3)
        | st.dictionaries(st.sampled_from(["train", "val", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@own
@given(
    PLAIN.map(pickle.dumps)
    | st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [bytes([code]) for code in b"]}()abdehjlnpqrstu\x80\x81\x85\x86\x8c\x94N01K."]
            + [DATUM, b"K\x01", b"h\x00", b"q\x00"]
        ),
        max_size=40,
    ).map(b"".join)
)
def test_pickles(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shot_1-seed_1.pkl")
        path.write_bytes(content)
        one_line(lambda: read_draw(path))


@own
@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "seed", "shots", "classes", "train", "val", "test", "sha256", "x"]
        ),
        DEEP | st.lists(st.tuples(st.text(max_size=2), st.integers(-1, 3)), max_size=3),
    )
)
def test_splits(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "split.json")
        path.write_text(json.dumps(content))
        assert one_line(lambda: Split.load(path)) is None


@own
@given(st.text(max_size=30))
def test_sources_of_any_name(name: str) -> None:
    one_line(lambda: FewShotTask.load(f"{name}?", 1))
    one_line(lambda: FewShotTask.load("eurosat", 1, root=f"/nowhere/{name}"))


@pytest.mark.parametrize("shots", [1, 3, 16])
def test_every_draw_of_a_folder_is_a_split_that_loads(tmp_path: Path, shots: int) -> None:
    for name, count in (("cat", 5), ("dog", 2), ("owl", 1)):
        for i in range(count):
            path = tmp_path / "photos" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_bytes(i + 50 * len(name) + ord(name[0])))
    task = FewShotTask.load(tmp_path / "photos", shots)
    task.split().save(tmp_path / "split.json")
    assert FewShotTask.load(tmp_path / "photos", split=tmp_path / "split.json") == task
