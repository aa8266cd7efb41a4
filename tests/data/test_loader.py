from pathlib import Path

import pytest
import torch

from interlace.backbone.preprocess import Preprocess
from interlace.data.images.loader import Images, batches, grouped_order
from interlace.data.records import Record
from interlace.errors import InterlaceError
from tests.data.conftest import write_photo

AUGMENT = Preprocess(16).train_transform()
PLAIN = Preprocess(16).eval_transform()


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    made = []
    for number in range(7):
        write_photo(tmp_path / f"{number}.png", number)
        made.append(Record(tmp_path / f"{number}.png", number, str(number)))
    return made


def epoch(records: object, *seed_epoch: int, workers: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    parts = list(
        batches(records, AUGMENT, 3, shuffle_seed=seed_epoch or None, workers=workers)  # type: ignore[arg-type]
    )
    images, labels = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_shapes_and_order(records: list[Record]) -> None:
    parts = list(batches(records, PLAIN, 3))
    assert [tuple(images.shape) for images, _ in parts] == [(3, 3, 16, 16)] * 2 + [(1, 3, 16, 16)]
    assert parts[0][0].dtype == torch.float32
    assert torch.cat([labels for _, labels in parts]).tolist() == list(range(7))


def test_an_epoch_is_a_function_of_seed_and_epoch(records: list[Record]) -> None:
    images, labels = epoch(records, 1, 5)
    torch.manual_seed(99)
    again, labels_again = epoch(Images(records), 1, 5)
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)
    assert sorted(labels.tolist()) == list(range(7))
    for other in ((1, 6), (2, 5)):
        others, other_labels = epoch(records, *other)
        assert other_labels.tolist() != labels.tolist()
        # the same sample, augmented anew
        assert not torch.equal(others[other_labels == 0], images[labels == 0])


def test_augmentation_depends_on_the_sample_alone(records: list[Record]) -> None:
    images, labels = epoch(records, 1, 5)
    half = list(batches(records, AUGMENT, 1, shuffle_seed=(1, 5)))[4:]
    assert torch.equal(torch.cat([image for image, _ in half]), images[4:])
    assert torch.equal(torch.cat([label for _, label in half]), labels[4:])


def test_worker_processes_change_nothing(records: list[Record]) -> None:
    for source in (records, Images(records)):
        images, labels = epoch(source, 1, 5, workers=2)
        expected, expected_labels = epoch(records, 1, 5)
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)


def test_global_random_state_is_left_alone(records: list[Record]) -> None:
    before = torch.random.get_rng_state()
    epoch(records, 1, 5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_images_are_decoded_once_within_the_bound(records: list[Record]) -> None:
    size = 48 * 36 * 3
    images = Images(records, cache_bytes=2 * size)
    kept = [images[index] for index in range(7)]
    same = [images[index] is kept[index] for index in range(7)]
    assert same == [True, True] + [False] * 5


def test_preload_stops_at_the_bound(records: list[Record]) -> None:
    for bound, count in ((0, 0), (3, 3), (99, 7)):
        images = Images(records, cache_bytes=bound * 48 * 36 * 3)
        images.preload()
        for record in records:
            assert isinstance(record.image, Path)
        kept = [images[index] is images[index] for index in range(7)]
        assert sum(kept) == count


def test_images_may_be_kept_smaller(records: list[Record]) -> None:
    assert Images(records, least_side=12)[0].size == (16, 12)
    assert Images(records)[0].size == (48, 36)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line(
    records: list[Record], tmp_path: Path, workers: int
) -> None:
    (tmp_path / "bad.png").write_text("no image")
    bad = [*records, Record(tmp_path / "bad.png", 0, "bad")]
    with pytest.raises(InterlaceError, match=r"bad\.png: not an image") as caught:
        list(batches(bad, PLAIN, 4, workers=workers))
    assert "\n" not in str(caught.value)


def test_batch_size_must_be_positive(records: list[Record]) -> None:
    with pytest.raises(InterlaceError, match="batch size = 0"):
        next(batches(records, PLAIN, 0))


def test_no_records_give_no_batches() -> None:
    assert list(batches([], PLAIN, 4)) == []
    assert list(batches([], PLAIN, 4, shuffle_seed=(1, 1))) == []


def shots(counts: dict[tuple[int, str], int]) -> list[Record]:
    return [
        Record(b"", label, f"{label}/{domain}/{number}", domain)
        for (label, domain), count in counts.items()
        for number in range(count)
    ]


def test_groups_hold_one_class_across_domains() -> None:
    own = shots({(label, domain): 2 for label in range(5) for domain in ("a", "b", "c")})
    order = grouped_order(own, 3, (1, 0))
    assert sorted(order) == list(range(30))
    groups = [[own[i] for i in order[start : start + 3]] for start in range(0, 30, 3)]
    for group in groups:
        assert len({record.label for record in group}) == 1
        assert {record.domain for record in group} == {"a", "b", "c"}
    # each round over the classes takes every class once
    for turn in (groups[:5], groups[5:]):
        assert sorted(group[0].label for group in turn) == list(range(5))
    assert [g[0].label for g in groups[:5]] != [g[0].label for g in groups[5:]]


def test_groups_of_uneven_classes_leave_no_image_alone() -> None:
    own = shots({(0, "a"): 5, (1, "a"): 1, (1, "b"): 4, (2, ""): 2, (3, "a"): 9})
    order = grouped_order(own, 4, (3, 2))
    assert sorted(order) == list(range(21))
    runs = [[own[order[0]].label, 0]]
    for index in order:
        if own[index].label != runs[-1][0]:
            runs.append([own[index].label, 0])
        runs[-1][1] += 1
    assert all(2 <= length <= 4 for _, length in runs if length != 6)
    assert runs[0][1] <= 4


def test_groups_are_a_function_of_seed_and_epoch() -> None:
    own = shots({(label, domain): 3 for label in range(4) for domain in "ab"})
    first = grouped_order(own, 4, (1, 5))
    torch.manual_seed(7)
    assert grouped_order(own, 4, (1, 5)) == first
    assert grouped_order(own, 4, (1, 6)) != first
    assert grouped_order(own, 4, (2, 5)) != first


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_that_are_given(records: list[Record], workers: int) -> None:
    order, given = [4, 1, 6, 0, 2, 5, 3], [[4, 1], [6, 0, 2, 5], [3]]
    parts = list(
        batches(records, AUGMENT, 3, shuffle_seed=(1, 5), index_batches=given, workers=workers)
    )
    assert [len(labels) for _, labels in parts] == [2, 4, 1]
    assert torch.cat([labels for _, labels in parts]).tolist() == order
    images, labels = epoch(records, 1, 5)
    # what is drawn for a sample does not depend on its place
    assert torch.equal(parts[0][0][0], images[labels == 4][0])
