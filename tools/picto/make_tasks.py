"""Write the packaged data of picto: images.parquet, tasks/*.json and tasks/styles.json.

    python tools/picto/make_tasks.py --work build/picto --out src/interlace/data/datasets/picto

``twins.py`` then adds its two columns to images.parquet. The tasks and styles.json are about the
core concepts; the drawings of further groups (MORE_GROUPS) lie behind these in the table.
Concept tasks take shots and tests from different families of styles, and pretraining saw no test
style; the subgroup task splits the concepts. No drawing and no twin of it is on both sides.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from sources import CORE_GROUPS, MORE_STYLES, SEEN_BY_TEACHER, STYLES
from store import Store, on_white
from torch import Tensor

# Styles in the package: those for tasks, and two training styles as further domains.
PACKAGED = (
    "fluent-flat", "fluent-3d", "fluent-hc", "noto-mono", "openmoji", "openmoji-black",
    "emojione-v1", "symbola", "streamline", "noto", "twemoji",
)  # fmt: skip
TASK_STYLES = tuple(s for s in PACKAGED if STYLES[s].role != "train")
SUBGROUP_TEST = ("fluent-3d", "fluent-hc", "openmoji")
TEMPLATE = "a drawing of {}"

DESCRIPTIONS = {
    "animals-nature": "Animals and plants",
    "food-drink": "Food and drink",
    "travel-places": "Travel, places, sky and time",
    "activities": "Sports, events, games and crafts",
    "objects": "Clothes, instruments, tools and other objects",
}

# Groups whose Fluent drawings alone are too few: the first Emoji One drawings are tests as well.
SMALL = ("food-drink", "activities")


def encode(pixels) -> bytes:
    """Return a 64 x 64 RGB image on white as WebP."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=85, method=6)
    return buffer.getvalue()


def is_faint(pixels: Tensor) -> bool:
    """Tell whether a drawing is nearly empty on white: few pixels, or no dark one."""
    return bool(pixels.min() > 200 or (255 - pixels.float()).mean() < 5)


def drawn(store: Store, styles: tuple[str, ...]) -> Iterator[tuple[dict, bytes]]:
    """Yield record and image of the drawings.

    Of the concepts outside the core groups, drawings that hardly show are left out.
    """
    for style in styles:
        rows = sorted(store.style_rows(style), key=lambda r: store.concept[r])
        for row in rows:
            concept = store.concepts[store.concept[row]]
            pixels = (on_white(store.images[row : row + 1])[0] * 255).round().byte()
            if concept["group"] not in CORE_GROUPS and is_faint(pixels):
                continue
            record = {
                "concept": concept["hexcode"],
                "name": concept["name"],
                "group": concept["group"],
                "subgroup": concept["subgroup"],
                "style": style,
                "family": STYLES[style].family,
                "tags": concept["tags"],
            }
            yield record, encode(pixels.permute(1, 2, 0).numpy())


def write_images(core: Store, more: Store, path: Path) -> list[dict]:
    """Write the parquet file, the core concepts first; return the records of these.

    The image_id of a record is its position.
    """
    found = [*drawn(core, PACKAGED), *drawn(more, MORE_STYLES)]
    records = [{"image_id": i, **record} for i, (record, _) in enumerate(found)]
    table = pa.table(
        {
            "image_id": pa.array([r["image_id"] for r in records], pa.int32()),
            "image": pa.array([blob for _, blob in found], pa.binary()),
            **{
                key: pa.array([r[key] for r in records])
                for key in ("concept", "name", "group", "subgroup", "style", "family", "tags")
            },
        }
    )
    pq.write_table(table, path, compression="zstd", compression_level=19)
    mine = [r for r in records if r["group"] in CORE_GROUPS]
    print(f"{len(mine)} drawings of core concepts, {len(records) - len(mine)} more")
    return mine


def finish(task: dict) -> dict:
    """Add the hash over everything that decides a result."""
    decided = {k: task[k] for k in ("template", "classes", "train", "test")}
    text = json.dumps(decided, sort_keys=True, separators=(",", ":"))
    return {**task, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def concept_task(records: list[dict], group: str) -> dict:
    """Concepts of a group; shots and tests come from different families."""
    test_families = {"fluent", "emojione-v1"} if group in SMALL else {"fluent"}
    mine = [r for r in records if r["group"] == group and r["style"] in TASK_STYLES]
    train = [r for r in mine if r["family"] not in test_families]
    test = [r for r in mine if r["family"] in test_families]
    classes = sorted({r["name"] for r in train} & {r["name"] for r in test})
    label = {name: i for i, name in enumerate(classes)}

    def pairs(side: list[dict]) -> list[list[int]]:
        return [[r["image_id"], label[r["name"]]] for r in side if r["name"] in label]

    shots = ", ".join(sorted({r["style"] for r in train}))
    tests = ", ".join(sorted({r["style"] for r in test}))
    return finish(
        {
            "name": group,
            "description": f"{DESCRIPTIONS[group]}: {len(classes)} concepts. Shots are drawings "
            f"in {shots}; tests are drawings in {tests}. Pretraining saw no test style.",
            "template": TEMPLATE,
            "classes": classes,
            "train": pairs(train),
            "test": pairs(test),
        }
    )


def look_alikes(store: Store, limit: float = 0.03) -> list[set[str]]:
    """Group concepts of one subgroup that some style draws (nearly) alike.

    Disks of several colours or the hours of a clock: such concepts must not be split. Two
    drawings are alike when their grey 16 x 16 thumbnails differ by less than ``limit`` on average.
    """
    parent = list(range(len(store.concepts)))

    def find(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for style in TASK_STYLES:
        rows = store.style_rows(style)
        grey = on_white(store.images[rows]).mean(1, keepdim=True)
        thumbs = F.adaptive_avg_pool2d(grey, 16).flatten(1)
        distance = torch.cdist(thumbs, thumbs, p=1) / thumbs.shape[1]
        for a, b in torch.nonzero(torch.triu(distance < limit, 1)).tolist():
            first, second = (int(store.concept[rows[i]]) for i in (a, b))
            if store.concepts[first]["subgroup"] == store.concepts[second]["subgroup"]:
                parent[find(first)] = find(second)
    groups: dict[int, set[str]] = {}
    for i, concept in enumerate(store.concepts):
        groups.setdefault(find(i), set()).add(concept["hexcode"])
    return list(groups.values())


def subgroup_task(records: list[dict], alike: list[set[str]], seed: int = 3) -> dict:
    """Subgroups as classes; the concepts of a subgroup are split between shots and tests."""
    rng = random.Random(seed)
    members: dict[str, set[str]] = {}
    for r in records:
        members.setdefault(r["subgroup"], set()).add(r["concept"])
    tested: set[str] = set()
    for subgroup in sorted(members):
        clusters = sorted(sorted(c) for c in alike if c & members[subgroup])
        rng.shuffle(clusters)
        clusters.sort(key=len)
        wanted, taken = max(1, round(0.5 * len(members[subgroup]))), 0
        for cluster in clusters[:-1]:  # the largest cluster is for shots, unless all are single
            if taken + len(cluster) <= wanted:
                tested.update(cluster)
                taken += len(cluster)
    classes = sorted(s.replace("-", " ") for s in members if len(members[s]) >= 3)
    label = {name: i for i, name in enumerate(classes)}
    train, test = [], []
    for r in records:
        name = r["subgroup"].replace("-", " ")
        if r["style"] not in TASK_STYLES or name not in label:
            continue
        if r["concept"] not in tested:
            train.append([r["image_id"], label[name]])
        elif r["style"] in SUBGROUP_TEST:
            test.append([r["image_id"], label[name]])
    return finish(
        {
            "name": "subgroups",
            "description": f"{len(classes)} subgroups such as 'animal bird' or 'tool'. Shots are "
            "concepts of a subgroup in nine styles, tests are other concepts of it in "
            f"{', '.join(SUBGROUP_TEST)}; a concept, in whatever style, is on one side only, and "
            "so are concepts that some style draws alike.",
            "template": TEMPLATE,
            "classes": classes,
            "train": train,
            "test": test,
        }
    )


def styles_file(records: list[dict]) -> dict:
    """Return the styles as domains: family, seen in pretraining or not, colour or line."""
    domains = {}
    for style in PACKAGED:
        about = STYLES[style]
        ids = [r["image_id"] for r in records if r["style"] == style]
        domains[style] = {
            "family": about.family,
            "seen": about.role == "train" or style in SEEN_BY_TEACHER,
            "role": about.role,
            "ink": about.ink,
            "licence": about.licence,
            "origin": about.origin,
            "images": len(ids),
            "first_image_id": ids[0],
            "last_image_id": ids[-1],
        }
    return {
        "name": "styles",
        "description": "Drawing styles as domains for cross-domain and retrieval tasks. `seen` "
        "tells whether pretraining, the teacher's included, used the style; styles of one family "
        "may share geometry "
        "(noto-mono is unseen but drawn over the same shapes as the seen noto). Styles with the "
        "role 'validation' chose the recipe and were not trained on by these scripts.",
        "domains": domains,
    }


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/picto"))
    parser.add_argument("--more", type=Path, help="the second store; by default <work>/more")
    parser.add_argument("--out", type=Path, default=Path("src/interlace/data/datasets/picto"))
    args = parser.parse_args()
    (args.out / "tasks").mkdir(parents=True, exist_ok=True)
    store = Store.load(args.work)
    more = Store.load(args.more or args.work / "more")
    records = write_images(store, more, args.out / "images.parquet")
    alike = look_alikes(store)
    print("alike:", [len(c) for c in alike if len(c) > 1])
    documents = [concept_task(records, group) for group in CORE_GROUPS]
    documents.append(subgroup_task(records, alike))
    for task in documents:
        shots = [0] * len(task["classes"])
        for _, label in task["train"]:
            shots[label] += 1
        few = sum(n < 4 for n in shots)
        spread = f"{min(shots)}-{max(shots)} a class, {few} below 4"
        counts = f"{len(task['train'])} train ({spread}), {len(task['test'])} test"
        print(f"{task['name']}: {len(task['classes'])} classes, {counts}")
    documents.append(styles_file(records))
    for document in documents:
        path = args.out / "tasks" / f"{document['name']}.json"
        path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    size = (args.out / "images.parquet").stat().st_size / 1e6
    print(f"images.parquet: {size:.1f} MB")


if __name__ == "__main__":
    main()
