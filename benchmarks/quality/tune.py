"""Choose a method's settings without the reported test images: ``quality/tuning/<name>.json``.

With ``--on validation`` the base classes of each task are halved once more; the method is fitted on
the shots of the first half and scored on the validation shots of both halves, as base and novel.
Neither a test image nor a novel class of the task is looked at.

With ``--on development`` it is scored like a reported run, base and novel on the test images, but
on data sets that are set aside for this and whose figures are not reported. That is the better
guide where shots and tests differ in style, as in picto: validation shots share the styles of the
shots.

    python benchmarks/quality/tune.py mmrl++ --grid lr=1e-3,2e-3 --grid epochs=10,20
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import interlace
from interlace.bench.measure import circumstances
from interlace.cli._options import numbers
from interlace.comparing import summarize
from interlace.config import read_settings
from interlace.errors import InterlaceError

HERE = Path(__file__).parent / "tuning"
#: Data sets of picto that are set aside for choosing settings.
TASKS = "picto/food-drink,picto/travel-places"


def validation_task(data: str, shots: int, seed: int) -> interlace.FewShotTask:
    """The base classes of a task, with their validation shots in the place of test images."""
    base = interlace.FewShotTask.load(data, shots, seed).classes_subset("base")
    return replace(base, test=base.val, val=())


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
        for measure in ("base", "novel", "harmonic"):
            summary = summarize(cells, arguments.method, measure)
            if summary is not None:
                found.setdefault(measure, []).append(summary.mean)
                found.setdefault(f"{measure}_gain", []).append(summary.gain.difference.mean)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    return {"settings": settings, "seconds": sum(seconds) / len(seconds), **means}


def main() -> None:
    """Score the grid and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method")
    parser.add_argument("--grid", action="append", default=[], help="name=value,value; repeatable")
    parser.add_argument("--on", choices=("validation", "development"), default="development")
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
    rows = []
    for settings in grid(arguments.grid):
        try:
            row = score(clip, arguments, settings)
        except InterlaceError as error:  # such as a loss that is no number: part of the finding
            row = {"settings": settings, "error": str(error)}
        rows.append(row)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    if arguments.name:
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "command": vars(arguments),
            **circumstances(torch.get_num_threads()),
            "rows": rows,
        }
        record["model"] = {"source": clip.source, "fingerprint": clip.fingerprint()}
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
