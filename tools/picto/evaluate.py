"""Zero-shot tables of a picto checkpoint: per style over names and subgroups, per group, per task.

    python tools/picto/evaluate.py --work build/picto \
        --model src/interlace/data/datasets/picto/model --data src/interlace/data/datasets/picto \
        --out benchmarks/quality/picto/zero_shot.json

The checkpoint is loaded with stock open_clip. Without ``--work`` only packaged tasks are scored.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
from pathlib import Path

import numpy as np
import open_clip
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from sources import CORE_GROUPS, STYLES
from store import Store, canonical, git_commit
from torch import Tensor

TEMPLATES = (
    "{}", "a drawing of {}", "an icon of {}", "a picture of {}", "an emoji of {}",
    "a sketch of {}",
)  # fmt: skip
COLOUR = ("fluent-flat", "fluent-3d", "emojione-v1")
LINE = ("fluent-hc", "noto-mono", "openmoji")


class Scorer:
    """A checkpoint with its features of texts and images."""

    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder}"
        self.model, self.preprocess = open_clip.create_model_from_pretrained(name)
        self.model.eval()
        self.tokenise = open_clip.get_tokenizer(name, bpe_path=str(folder / "bpe_merges.txt.gz"))
        size = self.model.visual.image_size
        self.size = size[0] if isinstance(size, tuple) else size

    @torch.no_grad()
    def texts(self, names: list[str], templates: tuple[str, ...]) -> Tensor:
        """Mean of the normalised features over the templates, normalised."""
        total = torch.zeros(())
        for template in templates:
            ids = self.tokenise([template.format(n) for n in names])
            total = total + torch.cat(
                [self.model.encode_text(part, normalize=True) for part in ids.split(256)]
            )
        return F.normalize(total, dim=-1)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """Normalised features of preprocessed images."""
        return torch.cat(
            [self.model.encode_image(part, normalize=True) for part in pixels.split(256)]
        )


def top(features: Tensor, bank: Tensor, labels: Tensor, k: int = 5) -> list[float]:
    """Top-1 and top-k in percent, rounded to tenths."""
    best = (features @ bank.T).topk(min(k, len(bank)), 1)[1] == labels[:, None]
    scores = (best[:, 0], best.any(1))
    return [round(100 * s.float().mean().item(), 1) for s in scores]


def style_tables(scorer: Scorer, store: Store, templates: tuple[str, ...]) -> dict:
    """Per style: all concept names, all subgroups, and each group by itself."""
    concepts = store.concepts
    names = scorer.texts([c["name"] for c in concepts], templates)
    subgroups = list(dict.fromkeys(c["subgroup"] for c in concepts))
    kinds = scorer.texts([s.replace("-", " ") for s in subgroups], templates)
    member = torch.tensor([subgroups.index(c["subgroup"]) for c in concepts])
    group = np.array([c["group"] for c in concepts])
    out = {}
    for style in STYLES:
        rows = store.style_rows(style)
        if not len(rows):
            continue
        features = scorer.images(canonical(store.images[rows], scorer.size))
        labels = torch.from_numpy(store.concept[rows]).long()
        entry: dict[str, object] = {
            "role": STYLES[style].role,
            "images": len(rows),
            "names": top(features, names, labels),
            "subgroups": top(features, kinds, member[labels]),
        }
        for one in CORE_GROUPS:
            allowed = torch.from_numpy(np.flatnonzero(group == one))
            mine = torch.isin(labels, allowed)
            entry[one] = top(
                features[mine], names[allowed], torch.searchsorted(allowed, labels[mine])
            )
        out[style] = entry
    return out


def task_table(scorer: Scorer, data: Path) -> dict:
    """Zero-shot accuracy of each packaged task: all classes, base half, novel half."""
    table = pq.read_table(data / "images.parquet", columns=["image_id", "image"])
    blobs = dict(zip(table["image_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    out = {}
    for path in sorted((data / "tasks").glob("*.json")):
        task = json.loads(path.read_text())
        if "classes" not in task:
            continue
        pixels = torch.stack(
            [scorer.preprocess(Image.open(io.BytesIO(blobs[i]))) for i, _ in task["test"]]
        )
        features = scorer.images(pixels)
        labels = torch.tensor([label for _, label in task["test"]])
        bank = scorer.texts(task["classes"], (task["template"],))
        half = (len(task["classes"]) + 1) // 2
        base = labels < half
        out[task["name"]] = {
            "classes": len(task["classes"]),
            "test": len(labels),
            "all": top(features, bank, labels)[0],
            "base": top(features[base], bank[:half], labels[base])[0],
            "novel": top(features[~base], bank[half:], labels[~base] - half)[0],
            "base_test": int(base.sum()),
            "novel_test": int((~base).sum()),
        }
    return out


def means(styles: dict) -> dict[str, float]:
    """Mean top-1 over the reported colour and line styles."""
    return {
        name: round(float(np.mean([styles[s]["names"][0] for s in members])), 1)
        for name, members in (("unseen colour", COLOUR), ("unseen line", LINE))
    }


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder of build.py's store")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("src/interlace/data/datasets/picto"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--single", action="store_true", help="one template, not six")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scorer = Scorer(args.model)
    templates = ("a drawing of {}",) if args.single else TEMPLATES
    result: dict[str, object] = {
        "git_commit": git_commit(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "templates": list(templates),
    }
    if args.work:
        styles = style_tables(scorer, Store.load(args.work), templates)
        result["styles"], result["means"] = styles, means(styles)
        print("| style | role | images | 861 names top-1 / 5 | subgroups top-1 / 5 | "
              + " | ".join(CORE_GROUPS) + " |")  # fmt: skip
        print("|---" * (5 + len(CORE_GROUPS)) + "|")
        for style, entry in styles.items():
            cells = [f"{entry[k][0]} / {entry[k][1]}" for k in ("names", "subgroups")]
            cells += [str(entry[g][0]) for g in CORE_GROUPS]
            print(f"| {style} | {entry['role']} | {entry['images']} | {' | '.join(cells)} |")
        print(result["means"])
    result["tasks"] = task_table(scorer, args.data)
    for name, entry in result["tasks"].items():
        print(name, entry)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
