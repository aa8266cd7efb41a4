"""Tell what the frozen features of a checkpoint know: 16-shot linear probes and zero-shot.

    python tools/picto/adaptability.py MODEL --out benchmarks/quality/picto/adaptability.json
    python tools/picto/adaptability.py MODEL --work build/picto      # the validation hands

MODEL is an open_clip folder. Without ``--work`` the drawings are the packaged ones in hands that
pretraining never saw: a bar says for every task what a model worth adapting reaches. With it, they
are the hands set apart for choosing recipes and checkpoints (``scenes.VALIDATION_SETS``), from
build.py's store. Train and test images show different concepts (names, for icon sets).
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from batches import descriptors, normalised
from captions import BACKGROUND_WORDS, GROUP_WORDS, GROUPS
from PIL import Image
from scenes import (
    BACKGROUNDS,
    COUNTS,
    HUES,
    PLACES,
    QUALITIES,
    SIZES,
    TURNS,
    VALIDATION_SETS,
    VALIDATION_STYLES,
    Composer,
    Drawings,
    cut_out,
    on_white,
)
from sklearn.linear_model import LogisticRegression
from store import git_commit
from torch import Tensor

HELD = {
    "emojione-v1": "glossy emoji", "fluent-3d": "shaded three dimensional drawing",
    "fluent-flat": "flat drawing", "fluent-hc": "solid black icon",
    "noto-mono": "black and white print", "openmoji": "drawing with a thin outline",
    "openmoji-black": "thin line drawing", "streamline": "cute two tone cartoon",
    "symbola": "black symbol",
}  # fmt: skip
VALIDATION = {s: s.replace("-", " ") for s in (*VALIDATION_SETS, *VALIDATION_STYLES)}
UNSEEN_COLOUR = ("fluent-flat", "fluent-3d", "emojione-v1")
BARS = {"hand": 50, "background": 78, "colour": 70, "place": 85, "count": 50, "group": 55,
        "quality": 78, "names": 50}  # fmt: skip
NAME_TEMPLATES = ("{}", "a drawing of {}", "an icon of {}", "a picture of {}", "an emoji of {}",
                  "an image of {}")  # fmt: skip
SHOTS, DRAWS, POOL, TEST = 16, 3, 40, 100
TASKS: dict[str, tuple[tuple[str, ...], str]] = {  # classes, template; hands come per run
    "background": (BACKGROUNDS, "a drawing on {}"),
    "colour": (HUES, "a {} drawing"),
    "place": (PLACES, "a drawing at the {}"),
    "count": (COUNTS, "{} things"),
    "group": (GROUPS, "a drawing of {}"),
    "quality": (QUALITIES[:4], "a {} picture"),
    "ground": (HUES, "a drawing on a {} background"),
    "size": (SIZES, "a {} drawing"),
    "turn": (TURNS, "a drawing {}"),
}  # fmt: skip


def packaged() -> Drawings:
    """Read the packaged core drawings in held-out hands, cut out of their white ground."""
    from interlace.data.datasets import picto

    table = picto.images().to_pydict()
    codes = [c for c, g in zip(table["concept"], table["group"], strict=True) if g in GROUPS]
    index = {code: i for i, code in enumerate(dict.fromkeys(codes))}
    first = {code: table["concept"].index(code) for code in index}
    rows = [i for i, s in enumerate(table["style"]) if s in HELD and table["concept"][i] in index]
    images = [np.asarray(Image.open(io.BytesIO(table["image"][i])).convert("RGB")) for i in rows]
    return Drawings(
        rgba=np.stack([cut_out(a) for a in images]),
        concept=np.array([index[table["concept"][i]] for i in rows]),
        name=[table["name"][i] for i in rows],
        style=[table["style"][i] for i in rows],
        kind=np.full(len(rows), "emoji"),
        concepts=[{"name": table["name"][i], "group": table["group"][i],
                   "subgroup": table["subgroup"][i]} for i in first.values()],
    )  # fmt: skip


@dataclass
class Part:
    """Images (uint8, N x 48 x 48 x 3) and labels of one side of a task."""

    images: np.ndarray
    labels: np.ndarray


class Suite:
    """Composes the tasks from drawings of some hands; half of the names are for training."""

    def __init__(self, drawings: Drawings, hands: dict[str, str]) -> None:
        self.drawings, self.hands = drawings, hands
        self.rows = drawings.rows(tuple(hands))
        names = sorted({drawings.name[r] for r in self.rows})
        random.Random(5).shuffle(names)
        self.first = set(names[: len(names) // 2])
        self.scene_rows = [r for r in self.rows if drawings.concept[r] >= 0
                           and drawings.style[r] not in VALIDATION_SETS]  # fmt: skip

    def plain(self, row: int) -> np.ndarray:
        """Return a drawing on white, as large as the model takes it."""
        picture = Image.fromarray(on_white(np.asarray(self.drawings.rgba[row])))
        return np.asarray(picture.resize((48, 48), Image.Resampling.BICUBIC))

    def task(self, name: str, part: str) -> Part:
        """Compose one side of a task."""
        drawings, train = self.drawings, part == "train"
        classes = tuple(self.hands) if name == "hand" else TASKS[name][0]
        composer = Composer(drawings, sum(map(ord, name + part)), hands=False)
        images, labels = [], []
        for label, value in enumerate(classes):
            pool = [r for r in (self.rows if name == "hand" else self.scene_rows)
                    if (drawings.name[r] in self.first) == train]  # fmt: skip
            if name == "hand":
                pool = [r for r in pool if drawings.style[r] == value]
            elif name == "group":
                pool = [r for r in pool
                        if drawings.concepts[drawings.concept[r]]["group"] == value]  # fmt: skip
            rng = random.Random(label + 17 * len(name) + train)
            for row in rng.sample(pool, min(POOL if train else TEST, len(pool))):
                images.append(self.image(composer, name, value, row))
                labels.append(label)
        return Part(np.stack(images), np.array(labels))

    def image(self, composer: Composer, name: str, value: str, row: int) -> np.ndarray:
        """One image of a class."""
        if name in ("hand", "group"):
            return self.plain(row)
        rng, fixed = composer.rng, {"effect": None, "background": None}
        fixed["background"] = rng.choice((*BACKGROUNDS, "white"))
        if fixed["background"] == "white":
            fixed |= {"background": "flat", "first": "white"}
        fixed["quality"] = rng.choice(QUALITIES[1:]) if rng.random() < 0.3 else "clean"
        kind = {"count": "count", "quality": rng.choice(("plain", "single"))}.get(name, "single")
        if name in ("colour", "background", "quality"):
            fixed[name] = value
        if name == "background":
            fixed.pop("first", None)
        if name == "ground":
            fixed |= {"background": "flat", "first": value}
        manner = composer.manner(**fixed)
        content = {name: value} if name in ("place", "count", "turn") else {}
        while True:
            scene = composer.compose(row, manner, kind, **content)
            if name != "size" or scene.facts["size"] == value:
                return scene.image


class Checkpoint:
    """An open_clip folder, read by open_clip."""

    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder}"
        self.model = open_clip.create_model_from_pretrained(name)[0].eval()
        self.tokenise = open_clip.get_tokenizer(name, bpe_path=str(folder / "bpe_merges.txt.gz"))

    @torch.no_grad()
    def images(self, images: np.ndarray) -> Tensor:
        """Normalised features."""
        return torch.cat([self.model.encode_image(part, normalize=True)
                          for part in normalised(images).split(256)])  # fmt: skip

    @torch.no_grad()
    def texts(self, names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """Mean of the normalised features over the templates, normalised."""
        total = torch.zeros(())
        for template in templates:
            ids = self.tokenise([template.format(n) for n in names])
            total = total + torch.cat([self.model.encode_text(part, normalize=True)
                                       for part in ids.split(256)])  # fmt: skip
        return F.normalize(total, dim=-1)

    @torch.no_grad()
    def inner(self, images: np.ndarray) -> list[Tensor]:
        """Class token and mean patch after every image block, each normalised."""
        blocks = self.model.visual.transformer.resblocks
        kept: list[list[Tensor]] = [[] for _ in blocks]

        def keep(index: int):
            def hook(_module, _inputs, tokens) -> None:
                both = (tokens[:, 0], tokens[:, 1:].mean(1))
                kept[index].append(torch.cat([F.normalize(t, dim=-1) for t in both], 1))

            return hook

        hooks = [block.register_forward_hook(keep(i)) for i, block in enumerate(blocks)]
        self.images(images)
        for hook in hooks:
            hook.remove()
        return [torch.cat(parts) for parts in kept]


def logistic(x: np.ndarray, y: np.ndarray, test: np.ndarray, wanted: np.ndarray) -> float:
    """Return the accuracy of logistic regression; its C is chosen by two folds of the shots."""
    halves = (np.arange(len(y)) % 2 == 0, np.arange(len(y)) % 2 == 1)
    best = (-1.0, 1.0)
    for c in (1.0, 10.0, 100.0, 1000.0):
        hits = sum(
            LogisticRegression(C=c, max_iter=500).fit(x[a], y[a]).score(x[b], y[b])
            for a, b in (halves, halves[::-1])
        )
        best = max(best, (hits, c))
    return LogisticRegression(C=best[1], max_iter=500).fit(x, y).score(test, wanted)


def probe(train: Tensor, labels: np.ndarray, test: Tensor, wanted: np.ndarray) -> float:
    """Return the accuracy of a linear probe on 16 shots in percent, the mean of three draws."""
    scores = []
    for draw in range(DRAWS):
        rng, rows = random.Random(draw), []
        for label in range(int(labels.max()) + 1):
            rows += rng.sample(np.flatnonzero(labels == label).tolist(), SHOTS)
        scores.append(logistic(train.numpy()[rows], labels[rows], test.numpy(), wanted))
    return round(100 * float(np.mean(scores)), 1)


def word(name: str, value: str, hands: dict[str, str]) -> str:
    """Return a class in words."""
    if name == "hand":
        return hands[value]
    if name == "background":
        return BACKGROUND_WORDS[value][-1]
    return GROUP_WORDS[value] if name == "group" else value


def bounds(checkpoint: Checkpoint, train: Part, test: Part) -> dict:
    """Probe what a feature is made from: the tokens after every block, and raw statistics."""
    inner = zip(checkpoint.inner(train.images), checkpoint.inner(test.images), strict=True)
    raw = [descriptors(part.images, 8)[0] for part in (train, test)]
    return {
        "blocks": [probe(a, train.labels, b, test.labels) for a, b in inner],
        "statistics": probe(raw[0], train.labels, raw[1], test.labels),
    }


def report(checkpoint: Checkpoint, suite: Suite, layers: bool) -> dict:
    """Linear probe and zero-shot of every task, and of the names per hand."""
    out: dict[str, dict] = {"probe": {}, "zero_shot": {}, "names": {}}
    for name in ("hand", *TASKS):
        train, test = suite.task(name, "train"), suite.task(name, "test")
        known, features = checkpoint.images(train.images), checkpoint.images(test.images)
        out["probe"][name] = probe(known, train.labels, features, test.labels)
        classes, template = (tuple(suite.hands), "{}") if name == "hand" else TASKS[name]
        bank = checkpoint.texts([word(name, c, suite.hands) for c in classes], (template,))
        hits = (features @ bank.T).argmax(1).numpy() == test.labels
        out["zero_shot"][name] = round(100 * float(hits.mean()), 1)
        if layers and name in ("hand", "quality", "group"):
            found = logistic(known.numpy(), train.labels, features.numpy(), test.labels)
            out.setdefault("bounds", {})[name] = {
                "all 40 images": round(100 * found, 1),
                **bounds(checkpoint, train, test),
            }
        print(name, out["probe"][name], out["zero_shot"][name], flush=True)
    drawings = suite.drawings
    bank = checkpoint.texts([c["name"] for c in drawings.concepts], NAME_TEMPLATES)
    for style in dict.fromkeys(drawings.style[r] for r in suite.scene_rows):
        rows = drawings.rows((style,))
        found = (checkpoint.images(np.stack([suite.plain(r) for r in rows])) @ bank.T).argmax(1)
        out["names"][style] = round(
            100 * float((found.numpy() == drawings.concept[rows]).mean()), 1
        )
    print(out["names"])
    return out


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, help="build.py's folder: score the validation hands")
    parser.add_argument(
        "--layers",
        action="store_true",
        help="also probe every image block, with all 40 images of a class, and raw statistics",
    )
    parser.add_argument("--label", default="", help="what the record calls the checkpoint")
    parser.add_argument("--out", type=Path, help="JSON file; other labels in it are kept")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    hands = VALIDATION if args.work else HELD
    suite = Suite(Drawings.load(args.work) if args.work else packaged(), hands)
    result = report(Checkpoint(args.model), suite, args.layers)
    if not args.work:
        names = float(np.mean([result["names"][s] for s in UNSEEN_COLOUR]))
        reached = result["probe"] | {"names": round(names, 1)}
        result["bars"] = {k: {"reached": reached[k], "bar": bar, "met": reached[k] >= bar}
                          for k, bar in BARS.items()}  # fmt: skip
        print(
            "\n".join(f"{k:12}{v['reached']:6} bar {v['bar']}" for k, v in result["bars"].items())
        )
    result |= {"git_commit": git_commit(),
               "machine": f"{platform.machine()}, {args.threads} threads",
               "torch": torch.__version__, "open_clip": open_clip.__version__}  # fmt: skip
    if args.out:
        known = json.loads(args.out.read_text()) if args.out.exists() else {}
        known[args.label or args.model.name] = result
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
