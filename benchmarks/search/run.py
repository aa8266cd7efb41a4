"""Record what a search costs: ``search/<name>.json`` with commit, machine and versions.

Vectors are made up, because no collection of a million photos comes with this project. Those called
``clustered`` behave like embeddings: 2,000 centres and the spread around them are drawn with
standard deviations that fall as ``i ** -0.5`` over the principal directions, as the spectra of
trained models do, all are shifted by a common mean, and queries are new draws, not copies of what
is searched. They are asked with images and with ``words``, which lie in a cone of their own as the
texts of CLIP do: the cosine of two images, or of two texts, is 0.68 in the mean, that of an image
and a text 0.22. Seen from there images differ little, which is harder on an index. ``uniform``
vectors lie evenly on the sphere, where every index does worst: neighbours are hardly nearer than
strangers, and no trained model makes such vectors.

The table holds no thumbnails here; a query never reads them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from interlace import DualEncoder, Gallery
from interlace.backbone.load import load
from interlace.backbone.spec import VIT_B_16
from interlace.data.images.decode import open_image
from interlace.experiments.cost import environment
from interlace.search import index
from interlace.search.encoder import Encoder, ModelId
from interlace.search.table import GalleryState, PhotoTable

HERE = Path(__file__).parent
DIM = 512
K = 10
CENTRES = 2000
SPREAD = 0.7
#: Of words: cosine of the means of words and images, and how much of an image's centre they have.
GAP = 0.25
LIKENESS = 0.6
PART = 50_000


def git(*arguments: str) -> str:
    """Output of a git command in this checkout."""
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def vectors(kind: str, count: int, seed: int) -> Iterator[np.ndarray]:
    """Made-up vectors of length 1 in parts, float32 [at most PART, DIM]."""
    fixed, drawn = np.random.default_rng(0), np.random.default_rng([1, seed])
    deviation = (1 + np.arange(DIM, dtype=np.float32)) ** -0.5
    mean = 0.2 * fixed.standard_normal(DIM, dtype=np.float32)
    rotation = np.linalg.qr(fixed.standard_normal((DIM, DIM)))[0].astype(np.float32)
    centres = fixed.standard_normal((CENTRES, DIM), dtype=np.float32) * deviation
    spread, likeness = SPREAD, 1.0
    if kind == "words":
        other = 0.2 * fixed.standard_normal(DIM, dtype=np.float32)
        mean = GAP * mean + np.sqrt(1 - GAP**2) * other
        # as long as images are, but with less of their centre
        spread, likeness = np.sqrt(1 + SPREAD**2 - LIKENESS**2), LIKENESS
    for start in range(0, count, PART):
        part = drawn.standard_normal((min(PART, count - start), DIM), dtype=np.float32)
        if kind != "uniform":
            part *= np.float32(spread) * deviation
            part += np.float32(likeness) * centres[drawn.integers(0, CENTRES, len(part))]
            part = part @ rotation + mean.astype(np.float32)
        yield part / np.linalg.norm(part, axis=1, keepdims=True)


def filled(folder: Path, kind: str, count: int) -> PhotoTable:
    """Return a gallery's table of made-up vectors."""
    table = PhotoTable(folder)
    table.create(ModelId("model", "", "made up", DIM))
    table.set_about(GalleryState("photos"))
    schema = table.table.schema.remove_metadata()
    start = 0
    for part in vectors(kind, count, seed=1):
        keys = pa.array([f"{start + i:07d}.jpg" for i in range(len(part))])
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), DIM)
        filler = {"path": keys, "vector": column}
        arrays = [filler.get(field.name, pa.nulls(len(part), field.type)) for field in schema]
        table.add(pa.table(arrays, schema=schema))
        start += len(part)
    return table


def search(kind: str, count: int, queries: int, exact: bool) -> dict[str, Any]:
    """Build time of a gallery of made-up vectors, and latency and recall of what is asked."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        table = filled(Path(folder) / "gallery", kind, count)
        record: dict[str, Any] = {"vectors": kind, "count": count, "dim": DIM, "k": K}
        if not exact:
            started = time.perf_counter()
            table.compact()
            index.ensure(table)
            record["build_seconds"] = time.perf_counter() - started
            record["probes"] = index.probes(index.partitions(count))
            record["refine"] = index.REFINE
            record["bits"] = index.BITS
        gallery = Gallery(table)
        record["index"] = gallery.index()
        kinds = ["clustered", "words"] if kind == "clustered" else [kind]
        record["asked"] = [ask(gallery, kind, count, asked, queries) for asked in kinds]
    return record


def ask(gallery: Gallery, kind: str, count: int, asked: str, queries: int) -> dict[str, Any]:
    """Latency and recall of one kind of queries, after a fifth of them as a warm-up."""
    vector = np.concatenate(list(vectors(asked, queries, seed=2)))
    started = time.perf_counter()
    gallery.nearest(vector[0], K)
    first = 1e3 * (time.perf_counter() - started)
    for query in vector[: queries // 5]:
        gallery.nearest(query, K)
    seconds, found = [], []
    for query in vector:
        started = time.perf_counter()
        hits = gallery.nearest(query, K)
        seconds.append(time.perf_counter() - started)
        found.append({int(hit.key[:7]) for hit in hits})
    return {
        "with": asked,
        "queries": queries,
        "first_query_ms": first,
        "median_ms": 1e3 * float(np.median(seconds)),
        "p99_ms": 1e3 * float(np.quantile(seconds, 0.99)),
        f"recall_at_{K}": recall(kind, count, vector, found),
    }


def recall(kind: str, count: int, asked: np.ndarray, found: list[set[int]]) -> float:
    """Share of the exact nearest that were found; the exact ones come from a plain product."""
    best = np.full((len(asked), K), -2, np.float32)
    who = np.zeros((len(asked), K), np.int64)
    start = 0
    for part in vectors(kind, count, seed=1):
        scores = np.hstack([best, asked @ part.T])
        names = np.hstack([who, np.tile(np.arange(start, start + len(part)), (len(asked), 1))])
        top = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        best, who = np.take_along_axis(scores, top, 1), np.take_along_axis(names, top, 1)
        start += len(part)
    hit = sum(len(own & set(exact)) for own, exact in zip(found, who.tolist(), strict=True))
    return hit / (K * len(asked))


def photograph(generator: np.random.Generator) -> bytes:
    """Return a made-up JPEG of 500 x 375 pixels, about as large as a photo of that size."""
    coarse = Image.fromarray(generator.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = smooth + generator.integers(-12, 12, smooth.shape, dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def building(name: str, count: int, rounds: int) -> dict[str, Any]:
    """Images per second of a build from files, against the encoder on images in memory.

    What is timed is the update of a gallery that is there: all of a build but loading the model and
    hashing its weights, which do not depend on the number of images.
    """
    torch.manual_seed(0)
    clip = DualEncoder(VIT_B_16, source=name) if name == "ViT-B/16" else load(name)
    encoder, generator = Encoder(clip), np.random.default_rng(0)
    transform, batch = clip.preprocess.eval_transform(), 32
    alone, built = [], []
    size = len(photograph(generator))
    with tempfile.TemporaryDirectory() as folder:
        photos, other = Path(folder) / "photos", Path(folder) / "other"
        photos.mkdir()
        other.mkdir()
        (other / "first.jpg").write_bytes(photograph(generator))
        for i in range(count):
            (photos / f"{i:05d}.jpg").write_bytes(photograph(generator))
        pixels = [transform(open_image(path)) for path in sorted(photos.iterdir())]
        batches = [torch.stack(pixels[i : i + batch]) for i in range(0, count, batch)]
        encoder.images(batches[0])
        for number in range(rounds):  # in turns, so that both meet the same neighbours
            started = time.perf_counter()
            for images in batches:
                encoder.images(images)
            alone.append(count / (time.perf_counter() - started))
            gallery = Gallery.build(Path(folder) / f"gallery{number}", other, clip)
            started = time.perf_counter()
            gallery.update(photos, batch_size=batch)
            built.append(count / (time.perf_counter() - started))
    return {
        "model": f"{name}, random weights" if name == "ViT-B/16" else name,
        "images": f"{count} JPEG files of 500 x 375 pixels and about {size:,} bytes",
        "encoder_images_per_second": alone,
        "build_images_per_second": built,
        "ratio_of_medians": float(np.median(built) / np.median(alone)),
    }


def main() -> None:
    """Run what is asked for and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the record")
    parser.add_argument("--size", type=int, default=1_000_000, help="vectors of the large gallery")
    parser.add_argument("--exact-size", type=int, default=index.EXACT_LIMIT)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--kinds", default="clustered,uniform", help="vectors of the large gallery")
    parser.add_argument("--images", type=int, default=256, help="files of the build; 0 for none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="ViT-B/16,picto")
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    path = arguments.output / f"{arguments.name}.json"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    command = {key: str(v) if key == "output" else v for key, v in vars(arguments).items()}
    record: dict[str, Any] = {
        "command": command,
        **environment(torch.get_num_threads()),
        "lancedb": version("lancedb"),
        "search": [],
        "build": [],
    }
    record["command"].pop("output")
    queries = arguments.queries
    tasks = [
        *((search, "clustered", n, queries, True) for n in (arguments.exact_size,) if n),
        *((search, kind, arguments.size, queries, False) for kind in arguments.kinds.split(",")),
    ]
    for task, kind, count, asked, exact in tasks if arguments.size else tasks[:1]:
        record["search"].append(task(kind, count, asked, exact))
        print(json.dumps(record["search"][-1], indent=1), flush=True)
    for name in arguments.models.split(",") if arguments.images else ():
        record["build"].append(building(name, arguments.images, arguments.rounds))
        print(json.dumps(record["build"][-1], indent=1), flush=True)
    record["machine"]["load_after"] = [round(value, 2) for value in os.getloadavg()]
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"recorded in {path}")


if __name__ == "__main__":
    main()
