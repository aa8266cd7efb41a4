import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from interlace.data.images.decode import open_image
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.trees import image_bytes, put


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve different images, 0.png to 11.png, in `images/`."""
    for number in range(12):
        put(tmp_path / "images" / f"{number}.png", number)
    return tmp_path


def csv_of(folder: Path, header: str, *rows: str, name: str = "photos.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_path_and_label(images: Path) -> None:
    rows = [f"images/{i}.png,{'6.red_fox' if i % 2 else 'cat'}" for i in range(12)]
    task = FewShotTask.load(csv_of(images, "path,label", *rows), 2)
    assert (task.name, task.classes, task.order) == ("photos", ("red fox", "cat"), "name")
    assert [len(part) for part in (task.train, task.val, task.test)] == [4, 4, 4]
    assert all(f"{record.image}" == f"{images}/{record.key}" for record in task.test)
    assert {record.label for record in task.test if record.key == "images/1.png"} <= {0}


def test_parts_and_domains(images: Path) -> None:
    parts = ["Training"] * 6 + ["dev"] * 2 + ["test"] * 4
    rows = [f"images/{i}.png,{'ab'[i % 2]},{part},d{i}" for i, part in enumerate(parts)]
    task = FewShotTask.load(csv_of(images, "file_name,class,split,domain", *rows), 3)
    assert [len(part) for part in (task.train, task.val, task.test)] == [6, 2, 4]
    assert {record.domain for record in task.test} == {"d8", "d9", "d10", "d11"}
    assert {record.domain for record in task.val} == {"d6", "d7"}


def test_a_table_may_only_test(images: Path) -> None:
    rows = [f"images/{i}.png,{'ab'[i % 2]},test" for i in range(4)]
    task = FewShotTask.load(csv_of(images, "path,label,split", *rows), 16)
    assert (task.shots, task.train, task.val, len(task.test)) == (0, (), (), 4)


def test_numbers_order_the_classes_and_the_name_stands_beside(images: Path) -> None:
    rows = [f"images/{i}.png,{i % 3},{'zebra,yak,ape'.split(',')[i % 3]}" for i in range(12)]
    task = FewShotTask.load(csv_of(images, "path,label,class_name", *rows), 1)
    assert (task.classes, task.order) == (("zebra", "yak", "ape"), "label")
    assert task.classes_subset("base").classes == ("zebra", "yak")


def test_numbers_alone_sort_as_numbers_and_take_names(images: Path) -> None:
    rows = [f"images/{i}.png,{(2, 10)[i % 2]}" for i in range(8)]
    path = csv_of(images, "path,label", *rows)
    assert FewShotTask.load(path, 1).classes == ("2", "10")
    named = FewShotTask.load(path, 1, class_names={"10": "ape", "2": "yak"})
    assert named.classes == ("yak", "ape")


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ";"), ("A.CSV", ",")])
def test_delimiters_quotes_and_a_byte_order_mark(images: Path, name: str, mark: str) -> None:
    lines = [f'"images/{i}.png"{mark}"{"a, b" if i % 2 else "c; d"}"' for i in range(4)]
    (images / name).write_text("\ufeff" + "\n".join([f"Path{mark}Label", *lines]), "utf-8")
    assert FewShotTask.load(images / name, 1).classes == ("a, b", "c; d")


def test_unusable_rows_are_skipped_with_the_reason(images: Path) -> None:
    (images / "cut.png").write_bytes(image_bytes(1)[:45])
    (images / "empty.png").touch()
    rows = [f"images/{i}.png,{'ab'[i % 2]}" for i in range(8)]
    bad = ["nowhere.png,a", "cut.png,a", "empty.png,b", "images/8.png,", ",a", "images/0.png,a"]
    path = csv_of(images, "path,label", *rows, *bad)
    task = FewShotTask.load(path, 1)
    assert len(task.train) + len(task.val) + len(task.test) == 8
    assert {(s.key, s.reason) for s in task.skipped} == {
        ("nowhere.png", "no such file"),
        ("cut.png", "the file is cut short"),
        ("empty.png", "the file is empty"),
        ("photos.csv, row 12", "no label"),
        ("photos.csv, row 13", "no image"),
        ("images/0.png", "the same as photos.csv, row 1"),
    }
    with pytest.raises(InterlaceError, match="row 12: no label"):
        FewShotTask.load(path, 1, strict=True)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            "name,label",
            ["x,a"],
            "no column for the image: it has name, label; expected one of path",
        ),
        ("path,kind", ["x,a"], "no column for the label: it has path, kind; expected one of label"),
        ("path,label", [], "no readable image in photos"),
        ("path,label", ["images/0.png,a"], r"only one class in photos \('a'\)"),
        ("path,label,split", ["images/0.png,a,eval"], "row 1: part 'eval': must be train, val or"),
        (
            "path,label,split",
            ["images/0.png,a,train", "images/1.png,b,"],
            "row 2: names no part, which other rows do",
        ),
        (
            "path,label",
            ["images/0.png,a", "images/0.png,b"],
            "row 2: images/0.png has two labels: see also photos.csv, row 1",
        ),
        (
            "path,label,split",
            ["images/0.png,a,train", "images/0.png,a,test"],
            "row 2: images/0.png has two parts",
        ),
        (
            "path,label,class",
            ["images/0.png,0,a", "images/1.png,1,a"],
            "class 'a' has label 1, and 0 elsewhere",
        ),
        (
            "path,label,class",
            ["images/0.png,0,a", "images/1.png,0,b"],
            "one label is given to different class names",
        ),
    ],
)
def test_tables_that_are_wrong(images: Path, header: str, rows: list[str], message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(csv_of(images, header, *rows), 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\xff\xfe\x00", "not UTF-8 text"),
        ("a.jsonl", b"{\n", "line 1: not JSON"),
        ("a.jsonl", b"[]\n", "line 1: expected a JSON object"),
        ("a.parquet", b"PAR", "cannot be read as Parquet"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InterlaceError, match=message) as caught:
        FewShotTask.load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_json_lines(images: Path) -> None:
    lines = [{"impath": f"images/{i}.png", "classname": "ab"[i % 2]} for i in range(6)]
    (images / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = FewShotTask.load(images / "a.jsonl", 1)
    assert (task.classes, len(task.train), len(task.test)) == (("a", "b"), 2, 2)


def test_parquet_with_paths_equals_the_csv(images: Path) -> None:
    columns = {
        "path": [f"images/{i}.png" for i in range(12)],
        "label": ["ab"[i % 2] for i in range(12)],
        "split": ["train" if i < 8 else "test" for i in range(12)],
        "domain": ["photo"] * 12,
        "unread": [None] * 12,
    }
    pyarrow.parquet.write_table(pa.table(columns), images / "photos.parquet")
    rows = [",".join(map(str, row[:4])) for row in zip(*columns.values(), strict=True)]
    table = csv_of(images, "path,label,split,domain", *rows)
    assert FewShotTask.load(images / "photos.parquet", 2) == FewShotTask.load(table, 2)


def test_parquet_with_gaps_in_whole_numbers(images: Path) -> None:
    """As data frames write them: floats, with a NaN in each gap."""
    labels = [float(i % 2) for i in range(8)] + [float("nan")]
    table = pa.table({"path": [f"images/{i}.png" for i in range(9)], "label": labels})
    pyarrow.parquet.write_table(table, images / "gaps.parquet")
    task = FewShotTask.load(images / "gaps.parquet", 1)
    assert (task.classes, task.order) == (("0", "1"), "label")
    assert [item.reason for item in task.skipped] == ["no label"]


def hugging_face_table(start: int, stop: int, names: list[str] | None) -> pa.Table:
    """What `datasets` stores: images as bytes and path, and the class names in the metadata."""
    numbers = range(start, stop)
    columns: dict[str, Any] = {
        "image": [{"bytes": image_bytes(i), "path": "image.png"} for i in numbers],
        "label": [i % 2 for i in numbers],
    }
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def test_parquet_with_bytes_and_class_names(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(hugging_face_table(0, 8, ["yak", "ape"]), path)
    task = FewShotTask.load(path, 2)
    assert (task.classes, task.order) == (("yak", "ape"), "label")
    assert len({record.key for record in (*task.train, *task.val, *task.test)}) == 8
    expected = open_image(image_bytes(0)).getpixel((0, 0))
    zero = [r for r in (*task.train, *task.val, *task.test) if r.image == image_bytes(0)]
    assert [(record.label, open_image(record.image).getpixel((0, 0))) for record in zero] == [
        (0, expected)
    ]
    pyarrow.parquet.write_table(hugging_face_table(0, 8, ["yak"]), path)
    with pytest.raises(InterlaceError, match="label 1: the file names 1 classes"):
        FewShotTask.load(path, 2)


def save_arrow(folder: Path, *tables: pa.Table) -> None:
    folder.mkdir(parents=True)
    files = []
    for number, table in enumerate(tables):
        name = f"data-{number:05}-of-{len(tables):05}.arrow"
        with pa.OSFile(str(folder / name), "wb") as file:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        files.append({"filename": name})
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    (folder / "dataset_info.json").write_text("{}")


def test_a_saved_data_set_with_parts(tmp_path: Path) -> None:
    folder, names = tmp_path / "animals", ["yak", "ape"]
    shards = hugging_face_table(0, 6, names), hugging_face_table(6, 8, names)
    save_arrow(folder / "train", *shards)
    save_arrow(folder / "validation", hugging_face_table(20, 24, names))
    save_arrow(
        folder / "test", hugging_face_table(10, 14, names), hugging_face_table(10, 11, names)
    )
    parts = json.dumps({"splits": ["train", "validation", "test"]})
    (folder / "dataset_dict.json").write_text(parts)
    task = FewShotTask.load(folder, 4)
    assert (task.name, task.classes) == ("animals", ("yak", "ape"))
    assert [len(part) for part in (task.train, task.val, task.test)] == [8, 4, 4]
    assert {record.key.split("/")[0] for record in task.test} == {"test"}
    assert [item.reason for item in task.skipped] == ["the same as test, row 1"]
    (folder / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(InterlaceError, match="data-00001-of-00002.arrow: cannot be read as Arrow"):
        FewShotTask.load(folder, 1)


def test_what_has_the_label_minus_one_is_skipped(tmp_path: Path) -> None:
    table = hugging_face_table(0, 7, ["yak", "ape"])
    hidden = table.set_column(1, "label", [[0, 1, 0, 1, 0, 1, -1]])
    save_arrow(tmp_path / "one", hidden.replace_schema_metadata(table.schema.metadata))
    task = FewShotTask.load(tmp_path / "one", 1)
    assert [(item.key, item.reason) for item in task.skipped] == [("one, row 7", "no label")]
    assert task.classes == ("yak", "ape")


def test_what_the_package_saves_is_read(tmp_path: Path, images: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["yak", "ape"])}
    )
    columns = {"image": [str(images / f"images/{i}.png") for i in range(8)], "label": [0, 1] * 4}
    whole = datasets.Dataset.from_dict(columns, features=features)
    whole.save_to_disk(tmp_path / "whole")
    # select() keeps a table and an index; saving has to apply it
    parts = datasets.DatasetDict(train=whole.select([0, 1, 2, 3]), test=whole.select([7, 6]))
    parts.save_to_disk(tmp_path / "parts")
    whole.to_parquet(tmp_path / "whole.parquet")
    for name in ("whole", "whole.parquet"):
        task = FewShotTask.load(tmp_path / name, 1)
        assert (task.classes, len(task.test)) == (("yak", "ape"), 4), name
    task = FewShotTask.load(tmp_path / "parts", 2)
    assert [record.label for record in task.test] == [1, 0]
    assert [record.image for record in task.test] == [
        (images / f"images/{i}.png").read_bytes() for i in (7, 6)
    ]
