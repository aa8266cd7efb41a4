import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from interlace.data.check import check
from interlace.data.datasets import benchmarks
from interlace.data.datasets.benchmark_table import BENCHMARKS, Totals
from interlace.errors import InterlaceError
from tests.data.trees import MAKERS, put, split_json

# what issue trackers and papers say a complete copy has: base and novel images
KNOWN = {
    "eurosat": (4200, 3900),
    "dtd": (864, 828),
    "ucf101": (1934, 1849),
    "oxford_pets": (1881, 1788),
    "caltech101": (1549, 916),
    "oxford_flowers": (1053, 1410),
    "fgvc_aircraft": (1666, 1667),
    "stanford_cars": (4002, 4039),
    "food101": (15300, 15000),
    "sun397": (9950, 9900),
    "imagenet": (25000, 25000),
}
TESTS_ONLY = {
    "imagenetv2": 10000,
    "imagenet-sketch": 50889,
    "imagenet-a": 7500,
    "imagenet-r": 30000,
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the numbers of the tiny trees the expected ones of EuroSAT."""
    totals = Totals(classes=3, train=9, val=6, base=4, novel=2, test=6)
    entry = replace(BENCHMARKS["eurosat"], totals=totals)
    monkeypatch.setattr(
        benchmarks, "BENCHMARKS", MappingProxyType({**BENCHMARKS, "eurosat": entry})
    )


def test_the_known_totals() -> None:
    assert {
        name: (BENCHMARKS[name].totals.base, BENCHMARKS[name].totals.novel) for name in KNOWN
    } == KNOWN
    assert {name: BENCHMARKS[name].totals.test for name in TESTS_ONLY} == TESTS_ONLY
    assert set(KNOWN) | set(TESTS_ONLY) == set(BENCHMARKS)


def test_a_complete_copy(tmp_path: Path, tiny: None) -> None:
    split_json(tmp_path, "eurosat")
    report = check("eurosat", tmp_path, decode=True)
    assert report.ok and report.decoded
    assert report.summary() == "EuroSAT: complete"
    assert {finding.what: finding.found for finding in report.findings} == {
        "classes": 3,
        "training images": 9,
        "validation images": 6,
        "test images": 6,
        "test images of base classes": 4,
        "test images of novel classes": 2,
    }


def test_an_image_that_is_lost(tmp_path: Path, tiny: None) -> None:
    split_json(tmp_path, "eurosat")
    (tmp_path / "eurosat/2750/SeaLake/test_0.jpg").unlink()
    report = check("eurosat", tmp_path)
    wrong = {f.what: (f.found, f.expected) for f in report.findings if not f.ok}
    assert wrong == {"test images": (5, 6), "test images of novel classes": (1, 2)}
    assert not report.ok
    assert report.summary() == (
        "EuroSAT: 5 test images instead of 6; 1 test images of novel classes instead of 2; "
        "1 images cannot be used, the first is SeaLake/test_0.jpg (no such file)"
    )


def test_an_image_that_is_broken_is_found_by_decoding(tmp_path: Path, tiny: None) -> None:
    split_json(tmp_path, "eurosat")
    (tmp_path / "eurosat/2750/SeaLake/train_0.jpg").write_bytes(b"")
    assert check("eurosat", tmp_path).ok
    report = check("eurosat", tmp_path, decode=True)
    assert not report.ok
    assert [(s.key, s.reason) for s in report.skipped] == [
        ("SeaLake/train_0.jpg", "the file is empty")
    ]


def test_another_split_than_the_published_one(tmp_path: Path) -> None:
    split_json(tmp_path, "eurosat")
    report = check("eurosat", tmp_path)
    assert not report.ok
    assert "3 classes instead of 10" in report.summary()
    assert "4 test images of base classes instead of 4,200" in report.summary()


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_not_there_at_all(tmp_path: Path, name: str) -> None:
    report = check(name, tmp_path)
    assert not report.ok and not report.findings
    entry = BENCHMARKS[name]
    assert all(any(item in line for line in report.missing) for item in entry.lists)
    assert all("http" in line for line in report.missing)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False
    MAKERS[name](tmp_path)
    assert check(name, tmp_path).missing == ()


def test_only_the_list_is_missing(tmp_path: Path) -> None:
    split_json(tmp_path, "dtd")
    path = tmp_path / "dtd" / "split_zhou_DescribableTextures.json"
    path.unlink()
    report = check("dtd", tmp_path)
    assert report.missing == (f"{path}: get it from {BENCHMARKS['dtd'].lists_from}",)


def test_images_of_ones_own(tmp_path: Path) -> None:
    for folder, count in (("cat", 3), ("dog", 2)):
        for number in range(count):
            put(tmp_path / "photos" / folder / f"{number}.png", number)
    (tmp_path / "photos" / "dog" / "empty.png").touch()
    report = check(tmp_path / "photos")
    assert [(f.what, f.found) for f in report.findings] == [
        ("classes", 2),
        ("train images", 5),
        ("train images of 'dog', the fewest", 2),
    ]
    # a broken file in a folder of one's own is said, and no reason to stop
    assert [s.key for s in report.skipped] == ["dog/empty.png"]
    assert report.ok and report.decoded
    with pytest.raises(InterlaceError, match="no such folder"):
        check(tmp_path / "nowhere")
