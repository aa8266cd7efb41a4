from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Photos = Callable[[dict[str, int]], Path]


def write_photo(path: Path, seed: int, size: tuple[int, int] = (48, 36)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Makes a folder with so many images in each class folder, and gives its path."""

    def make(counts: dict[str, int], root: str = "photos") -> Path:
        seed = 0
        for folder, count in counts.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                write_photo(tmp_path / root / folder / f"{number:02}.jpg", seed)
                seed += 1
        return tmp_path / root

    return make
