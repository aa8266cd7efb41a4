"""Choose a method's settings without the reported test images: ``quality/tuning/<name>.json``.

With ``--on validation`` the base classes of each task are halved once more; the method is fitted on
the shots of the first half and scored on the validation shots of both halves, as base and novel.
Neither a test image nor a novel class of the task is looked at.

With ``--on development`` it is scored like a reported run, base and novel on the test images, but
on data sets that are set aside for this and whose figures are not reported. That is the better
guide where shots and tests differ in style, as in picto: validation shots share the styles of the
shots.

With ``--on retrieval`` it is fitted and scored by the three retrieval protocols, on the training
classes of ``picto/retrieval`` alone: half of them are unseen here, and queries and gallery are in
styles in which the benchmark neither asks nor searches for these classes. So no image that the
benchmark asks with or searches is scored.

    python benchmarks/quality/tune.py mmrl++ --grid lr=1e-3,2e-3 --grid epochs=10,20
    python benchmarks/quality/tune.py mail --on retrieval --preset picto-retrieval --grid lr=1e-3
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import interlace
from interlace import protocols
from interlace.cli._options import numbers
from interlace.config import read_settings
from interlace.data.datasets.embedded import PICTO_UNSEEN_SHARE
from interlace.data.datasets.retrieval_sets import open_retrieval
from interlace.data.retrieval import RetrievalSet, RetrievalSetting, unseen_by_hash
from interlace.errors import InterlaceError
from interlace.experiments.compare import summarize_comparison
from interlace.experiments.cost import environment

HERE = Path(__file__).parent / "tuning"
#: The retrieval protocols that are run on one fit.
KEYS = ("ucdr", "uccdr", "udcdr")
#: Data sets of picto that are set aside for choosing settings.
TASKS = "picto/food-drink,picto/travel-places"


def validation_task(data: str, shots: int, seed: int) -> interlace.FewShotTask:
    """Return the base classes of a task, with validation shots in the place of test images."""
    base = interlace.FewShotTask.load(data, shots, seed).classes_subset("base")
    return replace(base, test=base.val, val=())


@cache
def retrieval_set() -> RetrievalSet:
    """Return the training classes of ``picto/retrieval``, divided anew, with other styles on trial.

    The gallery's style takes no part in the benchmark. Those that ask train there, and ask there
    for unseen classes only.
    """
    data = open_retrieval("picto/retrieval")
    classes = [name for name in data.source.classes if name not in data.unseen]
    label_of = {name: label for label, name in enumerate(classes)}
    own = [(data.source.classes[record.label], record) for record in data.source.records()]
    records = [replace(r, label=label_of[name]) for name, r in own if name in label_of]
    return replace(
        data,
        source=replace(data.source, classes=tuple(classes), pools={"train": records}),
        unseen=unseen_by_hash(classes, PICTO_UNSEEN_SHARE),
        gallery="fluent-flat",
        settings=(
            RetrievalSetting("openmoji", "noto-mono"),
            RetrievalSetting("noto-mono", "openmoji"),
        ),
    )


def grid(axes: list[str]) -> list[dict[str, Any]]:
    """All combinations of ``name=value,value`` axes."""
    lists = [
        [f"{axis.split('=')[0]}={value}" for value in axis.partition("=")[2].split(",")]
        for axis in axes
    ]
    return [read_settings(None, combination) for combination in itertools.product(*lists)]


def score(clip: interlace.DualEncoder, arguments: argparse.Namespace, settings: dict) -> dict:
    """Mean base, novel and harmonic accuracy over tasks and seeds, and the gains."""
    task = validation_task if arguments.on == "validation" else interlace.FewShotTask.load
    found: dict[str, list[float]] = {}
    seconds = []
    for data in arguments.data.split(","):
        cells = interlace.compare(
            clip,
            lambda seed, data=data: task(data, arguments.shots, seed),
            [arguments.method],
            numbers(arguments.seeds, "seeds"),
            settings=settings,
            preset=None if arguments.preset == "none" else arguments.preset,
        )
        seconds += [cell.seconds for cell in cells if cell.method == arguments.method]
        summaries = summarize_comparison(cells)
        for measure, target in (("base", "base"), ("novel", "novel"), ("harmonic", "hm")):
            summary = summaries.get((arguments.method, target))
            if summary is not None:
                gain = (
                    0.0 if summary.comparison is None else summary.comparison.paired.difference.mean
                )
                found.setdefault(measure, []).append(summary.mean)
                found.setdefault(f"{measure}_gain", []).append(gain)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    return {"settings": settings, "seconds": sum(seconds) / len(seconds), **means}


@cache
def frozen_score(
    clip: interlace.DualEncoder, protocol: str, shots: int, seed: int, setting: str
) -> dict[str, dict[str, float]]:
    """Return what the frozen model finds, which no row of a grid changes."""
    plan = protocols.get(protocol).plan_for(retrieval_set(), shots, seed, setting)
    results = plan.score(interlace.fit(clip, plan.task, "zero_shot"))
    return {target: dict(found.values) for target, found in results.items()}


def retrieval_score(
    clip: interlace.DualEncoder, arguments: argparse.Namespace, settings: dict
) -> dict:
    """Mean AP of what each protocol searches, over settings and seeds, and the gains."""
    data = retrieval_set()
    found: dict[str, list[float]] = {}
    seconds = []
    for setting, seed in itertools.product(data.settings, numbers(arguments.seeds, "seeds")):
        plans = [
            protocols.get(key).plan_for(data, arguments.shots, seed, setting.name) for key in KEYS
        ]
        started = time.perf_counter()
        adapted = interlace.fit(
            clip,
            plans[0].task,
            arguments.method,
            seed=seed,
            preset=None if arguments.preset == "none" else arguments.preset,
            **settings,
        )
        seconds.append(time.perf_counter() - started)
        for key, plan in zip(KEYS, plans, strict=True):
            before = frozen_score(clip, key, arguments.shots, seed, setting.name)
            for name, result in plan.score(adapted).items():
                found.setdefault(name, []).append(result.values["map_all"])
                gain = result.values["map_all"] - before[name]["map_all"]
                found.setdefault(f"{name}_gain", []).append(gain)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    gains = [value for name, value in means.items() if name.endswith("_gain")]
    mean = {"gain": sum(gains) / len(gains)}
    return {"settings": settings, "seconds": sum(seconds) / len(seconds), **mean, **means}


def main() -> None:
    """Score the grid and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method")
    parser.add_argument("--grid", action="append", default=[], help="name=value,value; repeatable")
    parser.add_argument(
        "--on", choices=("validation", "development", "retrieval"), default="development"
    )
    parser.add_argument("--data", default=TASKS)
    parser.add_argument("--model", default="picto")
    parser.add_argument("--shots", type=int, default=2)
    parser.add_argument("--seeds", default="101")
    parser.add_argument("--preset", default="none")
    parser.add_argument("--name", help="name of the record; none writes nothing")
    arguments = parser.parse_args()
    path = HERE / f"{arguments.name}.json"
    if arguments.name and path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    clip = interlace.load(arguments.model)
    scored = retrieval_score if arguments.on == "retrieval" else score
    rows = []
    for settings in grid(arguments.grid):
        try:
            row = scored(clip, arguments, settings)
        except InterlaceError as error:  # such as a loss that is not finite: part of the finding
            row = {"settings": settings, "error": str(error)}
        rows.append(row)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    if arguments.name:
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "command": vars(arguments),
            **environment(torch.get_num_threads()),
            "rows": rows,
        }
        record["model"] = {"source": clip.source, "fingerprint": clip.fingerprint()}
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
