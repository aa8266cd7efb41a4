"""Make a folder of photo tiles, one sub-folder per surface, from pictures scikit-image carries.

A small real data set of one's own kind: ``python tools/textures.py textures/`` and then
``interlace fit textures/ --shots 4 -o run/``. Tiles of a picture do not overlap.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

#: Class name to the picture it is cut from, all within scikit-image's own package.
PICTURES = {
    "bricks": data.brick,
    "grass": data.grass,
    "gravel": data.gravel,
    "stars": data.hubble_deep_field,
    "stained tissue": data.immunohistochemistry,
    "cat fur": data.chelsea,
    "printed text": data.page,
    "moon surface": data.moon,
}


def tiles(picture: np.ndarray, side: int, count: int) -> list[Image.Image]:
    """Return the first ``count`` non-overlapping square tiles with any contrast, row by row."""
    image = Image.fromarray(picture).convert("RGB")
    found = []
    for top in range(0, image.height - side + 1, side):
        for left in range(0, image.width - side + 1, side):
            tile = image.crop((left, top, left + side, top + side))
            if np.asarray(tile).std() > 4:
                found.append(tile)
    return found[:count]


def main() -> None:
    """Write the tiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--count", type=int, default=24, help="tiles per class, at most")
    arguments = parser.parse_args()
    for name, read in PICTURES.items():
        folder = arguments.folder / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        cut = tiles(read(), arguments.side, arguments.count)
        for i, tile in enumerate(cut):
            tile.save(folder / f"{i:02d}.jpg", quality=92)
        print(f"{name}: {len(cut)} tiles of {arguments.side} px")


if __name__ == "__main__":
    main()
