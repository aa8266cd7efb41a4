"""What tests of the gallery share: the embedded model and a folder of its drawings."""

from __future__ import annotations

import pytest

import interlace
from interlace.data import picto

CLASSES = {"dog face": 0, "guitar": 0, "rocket": 0}
PER_CLASS = 5


@pytest.fixture(scope="session")
def clip():
    return interlace.load("picto")


def drawings():
    """Encoded drawings of a few concepts: (concept, image)."""
    table = picto.images()
    for name, image in zip(
        table["name"].to_pylist(), table["image"].to_pylist(), strict=True
    ):
        if name in CLASSES:
            yield name, image


@pytest.fixture(scope="session")
def drawn():
    """Five drawings of each of three concepts, by name."""
    found = {name: [] for name in CLASSES}
    for name, image in drawings():
        found[name].append(image)
    assert all(len(images) >= PER_CLASS + 1 for images in found.values())
    return {name: images[: PER_CLASS + 1] for name, images in found.items()}


@pytest.fixture
def photos(tmp_path, drawn):
    """A folder with one sub-folder per concept; the sixth drawing of each stays outside."""
    root = tmp_path / "photos"
    for name, images in drawn.items():
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images[:PER_CLASS]):
            (root / name / f"{number}.png").write_bytes(image)
    return root
