from collections.abc import Callable
from pathlib import Path

import pytest
import torchvision.datasets

from interlace.data.datasets.benchmarks import BENCHMARKS
from interlace.data.datasets.download import DOWNLOADS, download
from interlace.errors import InterlaceError

# where torchvision's classes unpack, below the folder they are given
UNPACKED = {
    "caltech101": "caltech101/101_ObjectCategories/accordion/image_0001.jpg",
    "oxford_pets": "oxford-iiit-pet/images/Abyssinian_1.jpg",
    "oxford_flowers": "flowers-102/jpg/image_00001.jpg",
    "food101": "food-101/images/apple_pie/1.jpg",
    "fgvc_aircraft": "fgvc-aircraft-2013b/data/images/0034309.jpg",
    "sun397": "SUN397/a/abbey/sun_a.jpg",
    "dtd": "dtd/dtd/images/banded/banded_0002.jpg",
    "eurosat": "eurosat/2750/Forest/Forest_1.jpg",
}


def stand_in(file: str) -> Callable[..., None]:
    """Does what a class of torchvision does to the disk."""

    def make(root: str, download: bool) -> None:
        assert download
        path = Path(root) / file
        path.parent.mkdir(parents=True)
        path.write_bytes(b"image")

    return make


@pytest.mark.parametrize("name", DOWNLOADS)
def test_images_go_where_the_field_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    entry, file = BENCHMARKS[name], UNPACKED[name]
    monkeypatch.setattr(torchvision.datasets, DOWNLOADS[name].name, stand_in(file))
    missing = download(entry, tmp_path)
    images = tmp_path / entry.folder / entry.images
    assert [path.name for path in images.rglob("*.jpg")] == [Path(file).name]
    # torchvision has no split lists of benchmarks
    assert [Path(item.split(": ")[0]).name for item in missing] == list(entry.lists)
    assert [path.name for path in tmp_path.iterdir()] == [entry.folder]
    with pytest.raises(InterlaceError, match="is there already"):
        download(entry, tmp_path)


def test_without_a_network_there_is_one_line_and_nothing_in_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(root: str, download: bool) -> None:
        raise OSError("<urlopen error [Errno -3]\nTemporary failure in name resolution>")

    monkeypatch.setattr(torchvision.datasets, "DTD", fail)
    with pytest.raises(InterlaceError, match="DTD could not be downloaded .*get it from https"):
        download(BENCHMARKS["dtd"], tmp_path)
    assert not (tmp_path / "dtd").exists()


def test_an_archive_of_another_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "DTD", stand_in("dtd-r2/images/banded.jpg"))
    with pytest.raises(InterlaceError, match="otherwise than it used to: look in .*download/dtd"):
        download(BENCHMARKS["dtd"], tmp_path)
    assert not (tmp_path / "dtd").exists()


def test_what_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InterlaceError, match="StanfordCars cannot be downloaded: get it from"):
        download(BENCHMARKS["stanford_cars"], tmp_path)
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    with pytest.raises(InterlaceError, match="where to"):
        download(BENCHMARKS["dtd"])


@pytest.mark.network
def test_a_real_download(tmp_path: Path) -> None:
    missing = download(BENCHMARKS["eurosat"], tmp_path)
    assert len(missing) == 1
    assert sum(1 for _ in (tmp_path / "eurosat" / "2750").rglob("*.jpg")) == 27_000


@pytest.mark.parametrize("name", DOWNLOADS)
def test_torchvision_has_the_class(name: str) -> None:
    assert callable(getattr(torchvision.datasets, DOWNLOADS[name].name))
