"""What tests of the gallery share: the embedded model and a folder of its drawings."""

from __future__ import annotations

import pytest

import interlace
from interlace.data.datasets import picto

CLASSES = ("rocket", "guitar", "banana")
PER_CLASS = 4


@pytest.fixture(scope="session")
def clip():
    return interlace.load("picto")


@pytest.fixture(scope="session")
def drawn():
    """Encoded drawings of three concepts, by name: four for the folder, and two more."""
    table = picto.images()
    found = {name: [] for name in CLASSES}
    for name, image in zip(table["name"].to_pylist(), table["image"].to_pylist(), strict=True):
        if name in found and len(found[name]) < PER_CLASS + 2:
            found[name].append(image)
    return found


@pytest.fixture
def photos(tmp_path, drawn):
    """A folder with one sub-folder per concept, and a picture beside them."""
    root = tmp_path / "photos"
    for name, images in drawn.items():
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images[:PER_CLASS]):
            (root / name / f"{number}.webp").write_bytes(image)
    (root / "loose.webp").write_bytes(drawn["rocket"][PER_CLASS])
    return root


@pytest.fixture
def encoded(monkeypatch):
    """How many images were encoded, as a list that grows."""
    from interlace.search.encoder import Encoder

    seen, images = [], Encoder.images

    def count(self, pixels):
        seen.extend([1] * len(pixels))
        return images(self, pixels)

    monkeypatch.setattr(Encoder, "images", count)
    return seen
