import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from interlace.data.records import Record
from interlace.data.splits import Split, base_and_novel, draw_order, draw_shots, split_records
from interlace.errors import InterlaceError

CLASSES = ("cat", "dog")
RECORDS = [
    Record(b"", label, f"{CLASSES[label]}/{number}") for label in (0, 1) for number in range(10)
]


def keys(records: tuple[Record, ...]) -> list[str]:
    return [record.key for record in records]


def test_the_draw_is_pinned() -> None:
    # by hand: sorted output of `printf '1\0cat/%s' $n | sha256sum` for n from 0 to 9, and for dog
    train, val, test = split_records({"train": RECORDS}, CLASSES, 2, seed=1)
    assert keys(train) == ["cat/1", "cat/4", "dog/0", "dog/6"]
    assert keys(val) == ["cat/5", "cat/3", "dog/8", "dog/2"]
    assert sorted(keys(train + val + test)) == sorted(record.key for record in RECORDS)


def test_the_draw_ignores_order_and_global_state() -> None:
    expected = split_records({"train": RECORDS}, CLASSES, 3, seed=2)
    shuffled = RECORDS.copy()
    random.Random(0).shuffle(shuffled)
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(5)
    assert split_records({"train": shuffled}, CLASSES, 3, seed=2) == expected
    before = random.getstate()
    split_records({"train": RECORDS}, CLASSES, 3, seed=2)
    assert random.getstate() == before


def test_seeds_differ_and_smaller_draws_are_nested() -> None:
    assert (
        split_records({"train": RECORDS}, CLASSES, 4, 1)[0]
        != split_records({"train": RECORDS}, CLASSES, 4, 2)[0]
    )
    small, large = (set(draw_shots(RECORDS, CLASSES, k, 1)[0]) for k in (2, 4))
    assert small < large


def test_one_more_image_moves_no_other() -> None:
    before = draw_order(RECORDS, 1)
    after = draw_order([*RECORDS, Record(b"", 0, "cat/new")], 1)
    assert [record for record in after if record.key != "cat/new"] == before


@pytest.mark.parametrize(
    ("images", "shots", "counts"),
    [
        (10, 2, (2, 2, 6)),
        (10, 6, (6, 2, 2)),
        (30, 16, (16, 4, 10)),
        (3, 2, (2, 0, 1)),
        (4, 2, (2, 1, 1)),
    ],
)
def test_counts_per_class(images: int, shots: int, counts: tuple[int, int, int]) -> None:
    records = [Record(b"", label, f"{label}/{n}") for label in (0, 1) for n in range(images)]
    parts = split_records({"train": records}, CLASSES, shots, 1)
    assert tuple(len(part) for part in parts) == tuple(2 * count for count in counts)


def test_a_test_part_is_kept_whole_and_val_is_drawn_from_its_own() -> None:
    train, val, test = RECORDS, [Record(b"", i % 2, f"v/{i}") for i in range(20)], RECORDS[:3]
    drawn = split_records({"train": train, "val": val, "test": test}, CLASSES, 10, 1)
    assert [len(part) for part in drawn] == [20, 8, 3]
    assert all(record.key.startswith("v/") for record in drawn[1])
    # all images of train may be shots where the test is apart; none is left to validate then
    assert [len(p) for p in split_records({"train": train, "test": test}, CLASSES, 10, 1)] == [
        20,
        0,
        3,
    ]


def test_no_shots_leaves_all_for_testing() -> None:
    assert split_records({"train": RECORDS}, CLASSES, 0, 1) == ((), (), tuple(RECORDS))


def test_too_few_images_lists_the_classes() -> None:
    with pytest.raises(InterlaceError) as caught:
        split_records({"train": RECORDS[:13]}, CLASSES, 4, 1)
    assert str(caught.value) == (
        "too few images for 4 shots and 1 held out for testing per class: "
        "'dog' has 3: use at most 2 shots"
    )
    with pytest.raises(InterlaceError, match="'owl' has 0: add images or remove the class"):
        draw_shots(RECORDS, (*CLASSES, "owl"), 1, 1)


def test_base_is_the_first_half_of_the_sorted_names() -> None:
    assert base_and_novel(("d", "a", "c", "e", "b")) == ((1, 2, 4), (0, 3))
    assert base_and_novel(("b", "a")) == ((1,), (0,))
    assert base_and_novel(("d", "a", "c"), "label") == ((0, 1), (2,))


SPLIT = Split("pets", 1, 1, ("cat", "dög"), (("c/1", 0), ("d/1", 1)), (), (("c/2", 0),))


def test_split_round_trip(tmp_path: Path) -> None:
    SPLIT.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == SPLIT


def test_split_hash_is_pinned() -> None:
    # by hand: sha256sum of the JSON with sorted keys, no spaces and escaped letters
    assert SPLIT.sha256 == "4a5dea3c8454a7c813cdaac775adf991b63b5d265288130f474738d1567d9fa9"


def test_split_that_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    SPLIT.save(path)
    content = json.loads(path.read_text())
    content["test"].append(["d/1", 1])
    path.write_text(json.dumps(content))
    with pytest.raises(InterlaceError, match="was changed after it was saved"):
        Split.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"train": 3, "sha256": ""}', "{'a'}"])
def test_file_that_is_no_split(tmp_path: Path, text: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InterlaceError, match="not a split file"):
        Split.load(path)


def test_split_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InterlaceError, match="no such (split )?file"):
        Split.load(tmp_path / "none.json")
