"""Find twins among the packaged drawings, and which of them pretraining saw.

    python tools/picto/twins.py --work build/picto --out src/interlace/data/datasets/picto \
        --signatures tests/data/picto_pretraining.npy

A twin is (nearly) the same picture: the same shapes in another finish, or drawn alike by another
project. Adds two columns to images.parquet: ``twins``, the least image_id among a drawing and its
twins, and ``seen``, whether one of them was in a training pool. Also writes the difference hashes
of all training drawings, with which a test checks the second column.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from make_tasks import look_alikes
from PIL import Image
from sources import CORE_GROUPS, SEEN_BY_TEACHER, STYLES
from store import LUMA, Store, on_white
from torch import Tensor

# Correlations of outlines, chosen by looking at pairs: from there on pairs are the same picture,
# drawings of one concept are drawn alike, a training drawing may well be the same picture.
TWIN = 0.92
SAME_CONCEPT = 0.86
SEEN = 0.88
# A training drawing with a difference hash of no more other bits may be the same picture, too. Most
# such pairs are not, but a drawing in doubt is better called seen.
HASH_BITS = 2
# Greatest relative squared distance of grey thumbnails of the same picture.
THUMBNAIL = 0.012

SIDE = 48
STEP = 1000


def unpack(blobs: list[bytes]) -> np.ndarray:
    """Decode images of one size to N x H x W x 3."""
    return np.stack([np.asarray(Image.open(io.BytesIO(b)).convert("RGB")) for b in blobs])


def training_drawings(store: Store) -> tuple[np.ndarray, list[str]]:
    """Pixels of all drawings of the training pools on white, and the concept of each or ''."""
    rows = np.sort(np.concatenate(list(store.pools().values())))
    parts = [on_white(store.images[part]).mul(255).round() for part in np.array_split(rows, 100)]
    pixels = torch.cat([part.byte() for part in parts]).permute(0, 2, 3, 1).numpy()
    known = [int(store.concept[row]) for row in rows]
    return pixels, [store.concepts[i]["hexcode"] if i >= 0 else "" for i in known]


def crop(pixels: np.ndarray) -> np.ndarray:
    """Cut the smallest square around what is not white, scaled to SIDE."""
    rows, columns = np.where((255 - pixels.astype(np.int16)).max(2) > 24)
    if not len(rows):
        return np.full((SIDE, SIDE, 3), 255, np.uint8)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    half, margin = max(bottom - top, right - left) / 2, len(pixels)
    x, y = (left + right) / 2 + margin, (top + bottom) / 2 + margin
    wide = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), constant_values=255)
    box = (x - half, y - half, x + half, y + half)
    how = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(wide).resize((SIDE, SIDE), how, box=box))


def _normalised(flat: Tensor) -> Tensor:
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)


def outlines(pixels: np.ndarray, mirrored: bool = False) -> Tensor:
    """Compute the steps between neighbouring pixels of cropped drawings, as unit vectors."""
    found = []
    for start in range(0, len(pixels), STEP):
        cut = np.stack([crop(p) for p in pixels[start : start + STEP]])
        x = torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 255
        x = x.flip(3) if mirrored else x
        across = F.pad((x[..., 1:] - x[..., :-1]).abs().amax(1, keepdim=True), (0, 1))
        down = F.pad((x[..., 1:, :] - x[..., :-1, :]).abs().amax(1, keepdim=True), (0, 0, 0, 1))
        steps = torch.maximum(across, down).clamp(max=0.5)
        found.append(_normalised(F.avg_pool2d(F.pad(steps, (1, 1, 1, 1)), 4, 2).flatten(1)))
    return torch.cat(found)


def thumbnails(pixels: np.ndarray) -> Tensor:
    """Grey 16 x 16 thumbnails of the whole pictures, ink positive."""
    found = []
    for start in range(0, len(pixels), STEP):
        x = torch.from_numpy(pixels[start : start + STEP]).permute(0, 3, 1, 2).float()
        grey = (x * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        found.append(F.adaptive_avg_pool2d(255 - grey, 16).flatten(1))
    return torch.cat(found)


def relative_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of rows over the sum of their squares, A x B."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None]
    return 1 - 2 * (a @ b.T) / squares.clamp(min=1)


class Alike:
    """Compares the packaged drawings with themselves or with others."""

    def __init__(self, pixels: np.ndarray, concepts: list[str]) -> None:
        self.sides = outlines(pixels), outlines(pixels, mirrored=True)
        self.thumbs = thumbnails(pixels)
        self.numbers = {concept: i for i, concept in enumerate(sorted({*concepts, ""}))}
        self.concepts = self._number(concepts)

    def _number(self, concepts: list[str]) -> Tensor:
        return torch.tensor([self.numbers.get(c, -1) if c else -1 for c in concepts])

    def with_others(
        self, outline: Tensor, thumbs: Tensor, concepts: list[str], limit: float
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the first row of a block and which others are alike, block x others."""
        other = self._number(concepts)
        for start in range(0, len(self.thumbs), STEP):
            rows = slice(start, start + STEP)
            score = torch.maximum(*(side[rows] @ outline.T for side in self.sides))
            same = self.concepts[rows, None] == other[None]
            alike = (score > limit) | (same & (score > SAME_CONCEPT))
            yield start, alike | (relative_distance(self.thumbs[rows], thumbs) < THUMBNAIL)


def join(count: int, pairs: Iterator[tuple[int, int]]) -> list[int]:
    """Least member of the set of each number, once the pairs are joined."""
    parent = list(range(count))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    return [find(i) for i in range(count)]


def twin_pairs(
    records: list[dict], alike: Alike, concepts: list[str], kin: list[set[str]]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of twins: of one family and concept (or look-alike concepts), or drawn alike."""
    name = {concept: min(cluster) for cluster in kin for concept in cluster}
    first: dict[tuple[str, str], int] = {}
    for i, r in enumerate(records):
        yield first.setdefault((r["family"], name.get(r["concept"], r["concept"])), i), i
    for start, block in alike.with_others(alike.sides[0], alike.thumbs, concepts, TWIN):
        for a, b in torch.nonzero(block).tolist():
            yield start + a, b


def difference_hashes(pixels: np.ndarray) -> np.ndarray:
    """64 bits for each image: whether a cell of 8 x 8 is darker than its right neighbour."""
    found = np.zeros(len(pixels), np.uint64)
    for i, p in enumerate(pixels):
        small = Image.fromarray(p).convert("L").resize((9, 8), Image.Resampling.BOX)
        cells = np.asarray(small).astype(np.int16)
        bits = (cells[:, 1:] - cells[:, :-1] > 2).ravel()
        found[i] = np.packbits(bits).view(">u8")[0]
    return found


def hashed_alike(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which hashes differ from one of the others in HASH_BITS bits or fewer."""

    def signs(numbers: np.ndarray) -> Tensor:
        octets = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
        return torch.from_numpy(np.unpackbits(octets, axis=1)).float() * 2 - 1

    bits = signs(others).T
    best = torch.cat([(part @ bits).amax(1) for part in signs(hashes).split(STEP)])
    return (best >= 64 - 2 * HASH_BITS).numpy()


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/picto"))
    parser.add_argument("--out", type=Path, default=Path("src/interlace/data/datasets/picto"))
    parser.add_argument("--signatures", type=Path, help="also write hashes of training drawings")
    args = parser.parse_args()
    path = args.out / "images.parquet"
    table = pq.read_table(path)
    table = table.drop_columns([c for c in ("twins", "seen") if c in table.column_names])
    records = table.drop_columns(["image"]).to_pylist()
    concepts = [r["concept"] for r in records]
    store = Store.load(args.work)
    packaged = unpack(table["image"].to_pylist())
    alike = Alike(packaged, concepts)
    twins = np.array(join(len(records), twin_pairs(records, alike, concepts, look_alikes(store))))

    pixels, trained = training_drawings(store)
    hashes = np.unique(difference_hashes(pixels))
    marked = [
        r["group"] in CORE_GROUPS
        and (STYLES[r["style"]].role == "train" or r["style"] in SEEN_BY_TEACHER)
        for r in records
    ]
    blocks = alike.with_others(outlines(pixels), thumbnails(pixels), trained, SEEN)
    direct = np.array(marked) | np.concatenate([block.any(1).numpy() for _, block in blocks])
    direct |= hashed_alike(difference_hashes(packaged), hashes)
    seen = np.isin(twins, twins[direct])
    table = table.append_column("twins", pa.array(twins, pa.int32()))
    table = table.append_column("seen", pa.array(seen, pa.bool_()))
    pq.write_table(table, path, compression="zstd", compression_level=19)
    sizes = np.unique(twins, return_counts=True)[1]
    print(f"{len(sizes)} sets of twins, the largest of {sorted(sizes)[-8:]}")
    print(f"{direct.sum()} drawings seen by themselves, {seen.sum()} with their twins")
    if args.signatures:
        np.save(args.signatures, hashes)


if __name__ == "__main__":
    main()
