import json

import pytest

from interlace.errors import InterlaceError
from interlace.experiments.reading import parse_cell, read_cells
from interlace.protocols.condition import Condition
from tests.report.making import FAILURE, cell, write


def test_a_cell_is_read():
    found = parse_cell(cell("mail:rank=0", 3, 0.5, kind="typos", severity=2, shots=8))
    assert (found.method, found.seed, found.shots) == ("mail:rank=0", 3, 8)
    assert found.condition == Condition("typos", 2.0)
    assert found.values == {"all": {"top1": 0.5}}  # how many images is no measure
    assert found.setup.fingerprint and found.setup.preset == "auto"


def test_what_is_no_measure_is_left_out():
    details = {"classes": ["a"], "confusion": [[1]]}
    values = {"n": 3, "top1": 0.5, "ece": float("nan"), "note": "x", "details": details}
    assert parse_cell(cell(metrics={"all": values})).values == {"all": {"top1": 0.5}}


def test_a_failed_cell_has_nothing_but_its_error():
    found = parse_cell(cell(error=FAILURE))
    assert not found.done and found.values == {}
    assert found.part("error")["type"] == "InterlaceError"


def test_other_json_is_skipped_and_counted(tmp_path):
    write(tmp_path / "deep" / "er", [cell("mail", 1, 0.5)])
    (tmp_path / "broken.json").write_text('{"format": "interlace.cell/1"')
    (tmp_path / "latin.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "foreign.json").write_text('{"format": "interlace.cell/2"}')
    lame = cell("mail", 2, 0.5)
    for number, change in enumerate(
        ({"metrics": {}}, {"status": "?"}, {"spec": {}}, {"backbone": 7}, {"id": 5})
    ):
        (tmp_path / f"lame{number}.json").write_text(json.dumps(lame | change))
    found = read_cells([tmp_path])
    assert [c.seed for c in found.cells] == [1]
    assert sorted(path.name for path in found.skipped) == [
        "foreign.json",
        "latin.json",
        "list.json",
    ]
    reasons = {item.key.rpartition("/")[2]: item.reason for item in found.damaged}
    assert reasons["broken.json"].startswith("not JSON")
    assert reasons["lame0.json"] == "done, and no metrics"
    assert reasons["lame2.json"] == "spec.protocol: Field required"
    assert sorted(reasons) == ["broken.json", *(f"lame{number}.json" for number in range(5))]


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(InterlaceError, match="no file or folder '.*gone'"):
        read_cells([tmp_path / "gone"])
    with pytest.raises(InterlaceError, match="no cell"):
        read_cells([tmp_path])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InterlaceError, match="1 JSON files there are no cells"):
        read_cells([tmp_path])
    with pytest.raises(InterlaceError, match="no path was given"):
        read_cells([])


def test_of_equal_ids_the_newest_counts(tmp_path):
    old, new = (
        cell("mail", 1, value, date=f"2026-01-0{day}") for value, day in ((0.1, 2), (0.9, 3))
    )
    for order in ([old, new], [new, old]):
        found = read_cells([write(tmp_path / str(order[0] is old), order)])
        assert [c.values["all"]["top1"] for c in found.cells] == [0.9]
        assert found.replaced == 1


def test_a_file_given_twice_is_one_cell(tmp_path):
    write(tmp_path, [cell("mail", 1, 0.5)])
    file = next(tmp_path.glob("*.json"))
    assert read_cells([tmp_path, file, tmp_path]).replaced == 0


def test_one_file_may_hold_a_cell_in_each_line(tmp_path):
    cells = [cell("mail", seed, 0.5) for seed in (1, 2, 3)]
    lines = "".join(json.dumps(one) + "\n" for one in cells)
    path = tmp_path / "record.jsonl"
    path.write_text(lines)
    (tmp_path / "notes.json5").write_text("{}")
    for place in (path, tmp_path):
        found = read_cells([place])
        assert [own.seed for own in found.cells] == [1, 2, 3] and not found.skipped
    path.write_text(lines + "{")
    (damaged,) = read_cells([*_one(tmp_path, cells[0]), path]).damaged
    assert damaged.key == str(path)


def _one(folder, record):
    write(folder / "other", [record])
    return [folder / "other"]
