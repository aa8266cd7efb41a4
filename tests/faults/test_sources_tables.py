"""Tables of other people: cells of other types, gaps, spellings, columns, further forms."""

import json
import os
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from interlace.data.check import check
from interlace.data.readers.archives import unpack
from interlace.data.readers.columns import Columns
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from tests.data.trees import image_bytes, put

LABELS = ["cat", "dog"] * 4


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(8):
        put(tmp_path / "img" / f"{number}.png", number)
    return tmp_path


def rows(labels: list[Any] = LABELS) -> list[dict[str, Any]]:
    return [{"path": f"img/{i}.png", "label": label} for i, label in enumerate(labels)]


def as_lines(folder: Path, lines: list[dict[str, Any]], name: str = "t.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / name


def as_csv(folder: Path, header: str, lines: list[str], name: str = "t.csv") -> Path:
    (folder / name).write_text("\n".join((header, *lines)) + "\n", "utf-8")
    return folder / name


def labels_of(task: FewShotTask) -> dict[str, str]:
    every = (*task.train, *task.val, *task.test)
    return {record.key: task.classes[record.label] for record in every}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["cat", "animal"], "row 3: label .*: a list, .*several labels per image is not supported"),
        ({"name": "cat"}, "row 3: label .*: an object, where one text or number is expected"),
        (True, "row 3: label True: true or false, where one text or whole number"),
        (0.5, "row 3: label 0.5: no whole number"),
        ("nan", "row 3: label 'nan': this is what data frames write for a gap"),
        ("None", "row 3: label 'None'"),
        ("null", "row 3: label 'null'"),
        ("N/A", "row 3: label 'N/A'"),
        ("a\u0000b", r"row 3: label 'a\\x00b': holds a character"),
        ("a\ud800", r"row 3: label 'a\\ud800': holds a character"),
        ("cat\ndog", r"row 3: label 'cat\\x0adog': holds a character"),
        (10**40, "row 3: label: a number of too many digits"),
    ],
)
def test_labels_of_other_types(images: Path, cell: object, message: str) -> None:
    lines = rows()
    lines[2]["label"] = cell
    with pytest.raises(InterlaceError, match=message) as caught:
        FewShotTask.load(as_lines(images, lines), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", [["a.png"], True, "a\u0000.png", "a\ud800.png"])
def test_images_of_other_types(images: Path, cell: object) -> None:
    lines = rows()
    lines[4]["path"] = cell
    with pytest.raises(InterlaceError, match="row 5: image"):
        FewShotTask.load(as_lines(images, lines), 1)


def test_gaps_are_named_and_none_is_a_class_if_it_is_written_so(images: Path) -> None:
    task = FewShotTask.load(as_lines(images, rows(["none", None, "", *LABELS[3:]])), 1)
    assert task.classes == ("cat", "dog", "none")
    assert [(s.key, s.reason) for s in task.skipped] == [
        ("t.jsonl, row 2", "no label"),
        ("t.jsonl, row 3", "no label"),
    ]


@pytest.mark.parametrize("cells", [[3.0, 11.0], ["3.0", "11.0"], ["3", "11"], [3, 11]])
def test_whole_numbers_are_read_as_such(images: Path, cells: list[Any]) -> None:
    task = FewShotTask.load(as_lines(images, rows(cells * 4)), 1)
    assert (task.classes, task.order) == (("3", "11"), "label")
    assert any("the class names are mere numbers (3, 11)" in note for note in task.notes)
    named = FewShotTask.load(images / "t.jsonl", 1, class_names=["cat", "dog"])
    assert labels_of(named)["img/0.png"] == "cat"
    assert "class names: 3 -> cat, 11 -> dog" in named.notes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("img/1.png,dog, young", r"row 2: 3 cells for 2 columns \(path, label\)"),
        ("img/1.png", "row 2: 1 cell for 2 columns"),
        ('"img/1.png,dog', "row 2: 1 cell for 2 columns"),
    ],
)
def test_rows_of_another_length(images: Path, line: str, message: str) -> None:
    path = as_csv(images, "path,label", ["img/0.png,cat", line, "img/2.png,cat"])
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(path, 1)


def test_blank_lines_and_empty_cells_at_the_end_do_no_harm(images: Path) -> None:
    lines = [f"img/{i}.png,{label},," for i, label in enumerate(LABELS)]
    lines.insert(3, "")
    assert FewShotTask.load(as_csv(images, "path,label", lines), 1).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("path,label,Label", Columns(), "two columns are called 'label' and 'Label'"),
        ("a,b,c", Columns(), "no column for the image: it has a, b, c;"),
        ("path,b,c", Columns(), r"no column for the label: it has path, b, c; .*--label-column"),
        ("path,label,c", Columns(label="lable"), "no column 'lable': .*did you mean 'label'"),
        ("path,label,c", Columns(ignore=("d",)), "no column 'd': it has path, label, c"),
    ],
)
def test_columns_that_are_not_clear(
    images: Path, header: str, columns: Columns, message: str
) -> None:
    path = as_csv(images, header, ["img/0.png,cat,x", "img/1.png,dog,y"])
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(path, 1, columns=columns)
    cells = (row.split(",") for row in ("img/0.png,cat,x", "img/1.png,dog,y"))
    values = dict(zip(header.split(","), map(list, zip(*cells, strict=True)), strict=True))
    pyarrow.parquet.write_table(pa.table(values), images / "t.parquet")
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(images / "t.parquet", 1, columns=columns)


def test_columns_that_are_named(images: Path) -> None:
    lines = [
        {"photo": f"img/{i}.png", "kind": name, "label": 7, "side": "train" if i < 6 else "test"}
        for i, name in enumerate(LABELS)
    ]
    path = as_lines(images, lines)
    columns = Columns(image="Photo", label="kind", part="side", ignore=("label",))
    task = FewShotTask.load(path, 1, columns=columns)
    assert (task.classes, len(task.test)) == (("cat", "dog"), 2)
    with pytest.raises(InterlaceError, match="a folder of images has no columns"):
        FewShotTask.load(images, 1, columns=columns)


def test_a_fold_is_a_part_only_if_it_says_so(images: Path) -> None:
    lines = [f"img/{i}.png,{name},{i % 4}" for i, name in enumerate(LABELS)]
    task = FewShotTask.load(as_csv(images, "path,label,fold", lines), 1)
    assert len(task.train) + len(task.val) + len(task.test) == 8
    assert "column 'fold' is not used: it holds 0, 1, 2 and 1 more" in task.notes[0]
    lines = [f"img/{i}.png,{name},{'train' if i < 6 else 'Test'}" for i, name in enumerate(LABELS)]
    assert len(FewShotTask.load(as_csv(images, "path,label,fold", lines), 1).test) == 2


def test_several_label_columns(images: Path) -> None:
    path = as_csv(images, "path,cat,dog", [f"img/{i}.png,{i % 2},{1 - i % 2}" for i in range(8)])
    with pytest.raises(InterlaceError, match=r"columns cat, dog hold 0 or 1: .*not supported yet"):
        FewShotTask.load(path, 1)
    lines = [f"img/{i}.png,{('a|b', 'b', 'a', 'b|c')[i % 4]}" for i in range(8)]
    task = FewShotTask.load(as_csv(images, "path,label", lines), 1)
    assert "data with several labels per image is not supported yet" in task.notes[0]


def test_backslashes_are_read(images: Path) -> None:
    lines = [f"img\\{i}.png,{name}" for i, name in enumerate(LABELS)]
    task = FewShotTask.load(as_csv(images, "path,label", lines), 1)
    assert labels_of(task)["img/3.png"] == "dog" and len(labels_of(task)) == 8


def test_accents_in_either_spelling_are_one(images: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    put(images / f"caf{decomposed}.png", 99)
    lines = [f"img/{i}.png,{name}" for i, name in enumerate(LABELS)]
    lines += [f"caf{composed}.png,{composed}", f"img/9.png,{decomposed}"]
    put(images / "img" / "9.png", 98)
    task = FewShotTask.load(as_csv(images, "path,label", lines), 1)
    assert task.classes == ("cat", "dog", composed) and not task.skipped
    named = FewShotTask.load(images / "t.csv", 1, class_names={decomposed: "owl"})
    assert named.classes == ("cat", "dog", "owl")


@pytest.mark.parametrize("other", ["./img/0.png", "img//0.png", "img/../img/0.png", "link.png"])
def test_one_file_under_two_spellings(images: Path, other: str) -> None:
    (images / "link.png").symlink_to(images / "img" / "0.png")
    path = as_csv(images, "path,label", ["img/0.png,cat", "img/1.png,dog", f"{other},dog"])
    with pytest.raises(InterlaceError, match="row 3: .* has two labels: see also t.csv, row 1"):
        FewShotTask.load(path, 1)
    path = as_csv(images, "path,label", ["img/0.png,cat", "img/1.png,dog", f"{other},cat"])
    assert [s.reason for s in FewShotTask.load(path, 1).skipped] == ["the same as t.csv, row 1"]


def test_one_picture_with_two_labels(images: Path) -> None:
    (images / "copy.png").write_bytes((images / "img" / "0.png").read_bytes())
    path = as_lines(images, [*rows(), {"path": "copy.png", "label": "dog"}])
    note = "one picture is in two classes: img/0.png ('cat') and copy.png ('dog')"
    assert FewShotTask.load(path, 1).notes == (note,)


def test_a_pipe_in_a_table_is_skipped(images: Path) -> None:
    os.mkfifo(images / "pipe.png")
    path = as_lines(images, [*rows(), {"path": "pipe.png", "label": "dog"}])
    assert [(s.key, s.reason) for s in FewShotTask.load(path, 1).skipped] == [
        ("pipe.png", "a named pipe, not a regular file")
    ]


@pytest.mark.parametrize(
    "content",
    [
        rows(),
        {"annotations": rows()},
        {"version": 2, "data": rows()},
        {"path": [row["path"] for row in rows()], "label": LABELS},
        {
            "path": {str(i): row["path"] for i, row in enumerate(rows())},
            "label": {str(i): label for i, label in enumerate(LABELS)},
        },
    ],
)
def test_json_tables(images: Path, content: object) -> None:
    (images / "t.json").write_text(json.dumps(content))
    task = FewShotTask.load(images / "t.json", 1)
    assert labels_of(task) == {row["path"]: row["label"] for row in rows()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("3", "expected a list of objects"),
        ("[]", "expected a list of objects"),
        ("[" * 100_000, "nested deeper"),
        ('[{"path": ' + "[" * 70 + "]" * 70 + ', "label": 1}]', "nested deeper than 64"),
        ('{"path": ["a"], "label": []}', "expected a list of objects"),
        ('{"images": [], "annotations": [], "categories": []}', "COCO annotations"),
        ('[{"path": "a", "label": NaN}]', "NaN is not a JSON number"),
    ],
)
def test_json_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(tmp_path / "t.json", 1)


def test_deep_json_in_lines(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"path": ' + "[" * 100_000 + "\n")
    with pytest.raises(InterlaceError, match="line 1: JSON nested deeper"):
        FewShotTask.load(tmp_path / "t.jsonl", 1)


def test_a_parquet_of_absurdly_many_rows(tmp_path: Path) -> None:
    from interlace.data.readers.table_files import MAX_ROWS

    column = pa.DictionaryArray.from_arrays(pa.array([0] * (MAX_ROWS + 1), pa.int8()), ["a"])
    table = pa.table({"path": column, "label": column})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InterlaceError, match="10,000,001 rows; at most 10,000,000"):
        FewShotTask.load(tmp_path / "t.parquet", 1)


def archive(path: Path, members: dict[str, bytes], kind: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = kind << 16
            file.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


FOLDERS = {
    f"{name}/{i}.png": image_bytes(10 * i + len(name)) for name in ("cat", "bee2") for i in range(3)
}


@pytest.mark.parametrize("prefix", ["", "photos/", "photos/photos/"])
def test_a_zip_of_folders(tmp_path: Path, prefix: str) -> None:
    path = archive(tmp_path / "own.zip", {f"{prefix}{name}": b for name, b in FOLDERS.items()})
    task = FewShotTask.load(path, 1, class_names={"bee2": "bee"})
    assert (task.name, task.classes) == ("own", ("bee", "cat"))
    assert set(labels_of(task)) == set(FOLDERS)
    assert check(path).ok
    folder = tmp_path / "own"
    for name, content in FOLDERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    assert FewShotTask.load(folder, 1, class_names={"bee2": "bee"}).split() == task.split()


def test_a_zip_of_a_table(tmp_path: Path) -> None:
    lines = "path,label\n" + "".join(f"{name},{name[:3]}\n" for name in FOLDERS)
    members = {"set/labels.csv": lines.encode(), **{f"set/{n}": b for n, b in FOLDERS.items()}}
    task = FewShotTask.load(archive(tmp_path / "own.zip", members), 1)
    assert task.classes == ("bee", "cat") and len(labels_of(task)) == 6


@pytest.mark.parametrize(
    ("members", "kind", "message"),
    [
        ({"../x.png": b"x"}, 0, "leads out of the archive"),
        ({"/etc/x.png": b"x"}, 0, "leads out of the archive"),
        ({"a\\..\\..\\x.png": b"x"}, 0, "leads out of the archive"),
        ({"C:\\x.png": b"x"}, 0, "leads out of the archive"),
        ({"cat/x.png": b"/etc/passwd"}, 0o120777, "a link or special file"),
        ({"cat/x.png": bytes(80 << 20)}, 0, "unpacks to 83,886,080 bytes; at most"),
        ({"a\x1b[2J/x.png": b"x"}, 0, "not a name that a file can have"),
    ],
)
def test_archives_that_are_not_safe(
    tmp_path: Path, members: dict[str, bytes], kind: int, message: str
) -> None:
    path = archive(tmp_path / "own.zip", members, kind)
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(path, 1)
    assert not (tmp_path.parent / "x.png").exists()


def test_archives_that_are_broken(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InterlaceError, match=r"a\.zip: cannot be unpacked"):
        FewShotTask.load(tmp_path / "a.zip", 1)
    path = archive(tmp_path / "b.zip", {"cat/0.png": image_bytes(1) * 50})
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(InterlaceError, match=r"b\.zip: cannot be unpacked"):
        FewShotTask.load(path, 1)


def test_messages_name_the_archive_and_nothing_stays(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"cat/0.png": image_bytes(1)})
    with pytest.raises(InterlaceError, match=rf"only one class in {tmp_path}/a\.zip"):
        FewShotTask.load(path, 1)
    assert unpack(path) == unpack(path)


def hub_table(numbers: range) -> pa.Table:
    columns = {
        "image": [{"bytes": image_bytes(i), "path": f"{i}.png"} for i in numbers],
        "label": [i % 2 for i in numbers],
        "embedding": [[0.5] * 4 for _ in numbers],
    }
    features = {"label": {"names": ["yak", "ape"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns).replace_schema_metadata(metadata)


@pytest.mark.parametrize(
    "names",
    [
        (
            "data/train-00000-of-00002.parquet",
            "data/train-00001-of-00002-ab12.parquet",
            "data/test-00000-of-00001.parquet",
        ),
        ("train-0-of-2.parquet", "train-1-of-2.parquet", "test-0-of-1.parquet"),
        ("default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet"),
    ],
)
def test_a_data_set_folder_of_the_hub(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = tmp_path / "animals"
    for name, numbers in zip(names, (range(4), range(4, 8), range(20, 24)), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(hub_table(numbers), folder / name)
    (folder / "README.md").write_text("---\n")
    task = FewShotTask.load(folder, 2)
    assert (task.name, task.classes) == ("animals", ("yak", "ape"))
    assert [len(part) for part in (task.train, task.val, task.test)] == [4, 4, 4]


def test_a_folder_with_metadata(images: Path) -> None:
    for name in ("train", "test"):
        lines = [
            {"file_name": f"{i}.png", "label": label, "extra": 1}
            for i, label in enumerate(LABELS[:4])
        ]
        for i in range(4):
            put(images / "set" / name / f"{i}.png", 50 + i + 10 * len(name))
        as_lines(images / "set" / name, lines, "metadata.jsonl")
    task = FewShotTask.load(images / "set", 1)
    assert labels_of(task)["test/1.png"] == "dog" and len(task.test) == 4


def test_metadata_without_labels_leaves_the_folders(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(2):
            put(tmp_path / "set" / name / f"{i}.png", i + len(name) * ord(name[0]))
    as_csv(tmp_path / "set", "file_name,text", ["cat/0.png,a cat"], "metadata.csv")
    task = FewShotTask.load(tmp_path / "set", 1)
    assert task.classes == ("cat", "dog")
    assert "metadata.csv has no column for the label: the folders are the classes" in task.notes


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("[]", "expected a JSON object"),
        ('{"_data_files": 3}', "names no data files"),
        ('{"_data_files": [3]}', "names no data files"),
        ('{"_data_files": [{"filename": "../a.arrow"}]}', "is no name of a file beside it"),
        ('{"_data_files": [{"filename": "/etc/passwd"}]}', "is no name of a file beside it"),
        ('{"_data_files": [{}]}', "is no name of a file beside it"),
        ('{"_data_files": [{"filename": "state.json"}]}', "cannot be read as Arrow"),
        ("{}", "no readable image"),
    ],
)
def test_saved_data_sets_that_were_tampered_with(tmp_path: Path, state: str, message: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "state.json").write_text(state)
    with pytest.raises(InterlaceError, match=message):
        FewShotTask.load(tmp_path / "set", 1)


@pytest.mark.parametrize("splits", ['["../x"]', "3", "[]", "[3]", '["train/.."]', '["extra"]'])
def test_saved_parts_that_were_tampered_with(tmp_path: Path, splits: str) -> None:
    (tmp_path / "set" / "extra").mkdir(parents=True)
    (tmp_path / "set" / "dataset_dict.json").write_text(f'{{"splits": {splits}}}')
    with pytest.raises(InterlaceError) as caught:
        FewShotTask.load(tmp_path / "set", 1)
    assert "\n" not in str(caught.value)
