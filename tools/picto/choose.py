"""Score the candidates of the suite before any method runs: zero-shot and 16-shot linear probe.

    python tools/picto/choose.py --out benchmarks/quality/picto/candidates.json

The probe is logistic regression on frozen features, its penalty chosen by two folds of the shots,
mean of three seeds. Zero-shot has the set's own template. The eleven data sets of ``suite`` are
chosen from this table alone (docs/suite.md has the rule).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from adaptability import Checkpoint, logistic
from store import git_commit

from interlace import FewShotTask
from interlace.data.datasets import picto
from interlace.data.datasets.registry import siblings
from interlace.data.images.decode import open_image
from interlace.data.records import Record

SEEDS = (1, 2, 3)
#: Sorts of candidates, how many of each are taken, and the one that is taken in any case.
SORTS = (
    (("animals", "food", "places", "tools"), 3),
    (("groups", "kinds", "people", "signs", "smileys"), 3),
    (("capture", "colours", "hands", "prints", "textures"), 3),
    (("counting", "layouts", "positions", "turn"), 2),
)
SETTLED = "kinds"


def pixels(records: list[Record]) -> np.ndarray:
    """Decode images of the model's size, N x 48 x 48 x 3."""
    return np.stack([np.asarray(open_image(r.image).convert("RGB")) for r in records])


def score(checkpoint: Checkpoint, name: str) -> dict:
    """Return zero-shot (all, base, novel classes) and linear probe of a data set in percent."""
    task = FewShotTask.load(name, 16, SEEDS[0])
    labels = np.array([r.label for r in task.test])
    test = checkpoint.images(pixels(list(task.test)))
    bank = checkpoint.texts(task.classes, (task.template,))
    logits = (test @ bank.T).numpy()
    half = (len(task.classes) + 1) // 2
    base = labels < half
    hits = {
        "all": logits.argmax(1) == labels,
        "base": logits[base][:, :half].argmax(1) == labels[base],
        "novel": logits[~base][:, half:].argmax(1) + half == labels[~base],
    }
    probes = []
    for seed in SEEDS:
        shots = FewShotTask.load(name, 16, seed).train
        x = checkpoint.images(pixels(list(shots))).numpy()
        probes.append(logistic(x, np.array([r.label for r in shots]), test.numpy(), labels))
    out: dict = {"classes": len(task.classes), "test": len(labels)}
    out["zero_shot"] = {k: round(100 * float(v.mean()), 1) for k, v in hits.items()}
    out["linear_probe"] = round(100 * float(np.mean(probes)), 1)
    out["gain"] = round(out["linear_probe"] - out["zero_shot"]["all"], 1)
    return out


def choose(sets: Mapping[str, Mapping]) -> list[str]:
    """Apply the rule of docs/suite.md: of each sort those whose probe is farthest above chance."""
    own = {name.partition("/")[2]: found for name, found in sets.items()}

    def above_chance(name: str) -> float:
        chance = 1 / own[name]["classes"]
        return (own[name]["linear_probe"] / 100 - chance) / (1 - chance)

    taken: list[str] = []
    for sort, count in SORTS:
        order = sorted(sort, key=lambda name: (name != SETTLED, -above_chance(name)))
        taken += order[:count]
    return sorted(taken)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=picto.model_dir())
    parser.add_argument("--only", nargs="*", help="data sets; all candidates without")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    checkpoint = Checkpoint(args.model)
    names = args.only or [*siblings("suite/"), *siblings("suite-dev/")]
    sets = {}
    for name in names:
        sets[name] = score(checkpoint, name)
        zero = sets[name]["zero_shot"]
        print(f"{name:22} {sets[name]['classes']:3} classes  zero-shot {zero['all']:5} "
              f"({zero['base']}/{zero['novel']})  probe {sets[name]['linear_probe']:5}  "
              f"gain {sets[name]['gain']:+}", flush=True)  # fmt: skip
    record: dict = {"shots": 16, "seeds": list(SEEDS), "sets": sets}
    if not args.only:
        record["chosen"] = choose(sets)
        gains = [v["gain"] for k, v in sets.items() if k.partition("/")[2] in record["chosen"]]
        record["mean_gain"] = round(float(np.mean(gains)), 1)
        print(f"{', '.join(record['chosen'])}: mean gain {record['mean_gain']:+.1f}")
    if args.out:
        args.out.write_text(json.dumps({"git_commit": git_commit(), **record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
