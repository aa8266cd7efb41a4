"""Time the default step of two checkouts of Interlace in turns: ``speed/<name>.json``.

    git worktree add ../before v0.1
    python benchmarks/speed/versions.py NAME --before ../before --threads 2    # 3 minutes

Each checkout runs in a process of its own, with its own ``steps.py``, and they take turns step by
step, the order of the two changing from round to round: what else the machine does slows both. The
figure is the median over the rounds of after / before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
METHODS = "mmrl,mmrl++,mail,mail++,multimodal_adapter,coop,maple,clip_lora,clip_adapter"


class Worker:
    """A process that runs the steps of one checkout when asked to."""

    def __init__(self, checkout: Path, threads: int) -> None:
        places = [checkout / "src", checkout / "benchmarks" / "speed"]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            "OMP_NUM_THREADS": str(threads),
        }
        self.commit = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, *words: object) -> Any:
        """Send a request and return its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve() -> None:
    """Answer requests: ``[method, classes, batch, model]`` prepares, ``[]`` times a step in ms."""
    answers, sys.stdout = sys.stdout, sys.stderr
    import torch
    from instruments import timed
    from run import both_paths
    from steps import make_cell, make_clip

    clips: dict[str, Any] = {}
    cell = default = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any = True
        if asked:
            name, classes, batch, model = asked
            if model not in clips:
                clips[model] = make_clip(model, torch.device("cpu"))
            cell, _ = make_cell(clips[model], name, classes, batch, "float32")
            default = both_paths(cell)[0]
            answer = timed(cell, default)["total"]  # the first step warms up
        else:
            answer = timed(cell, default)["total"]
        print(json.dumps(answer), file=answers, flush=True)


def compare(workers: list[Worker], seconds: float, cell: tuple[Any, ...]) -> dict[str, Any]:
    """Time one cell in both checkouts, in turns."""
    first = [worker.ask(*cell) for worker in workers]
    rounds = max(5, min(60, int(1e3 * seconds / max(sum(first), 1))))
    samples: list[list[float]] = [[], []]
    for i in range(rounds):
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            samples[which].append(workers[which].ask())
    ratios = [after / before for before, after in zip(*samples, strict=True)]
    return {
        "method": cell[0],
        "classes": cell[1],
        "batch": cell[2],
        "rounds": rounds,
        "before_ms": median(samples[0]),
        "after_ms": median(samples[1]),
        "after_over_before": median(ratios),
        "of_medians": median(samples[1]) / median(samples[0]),
        "of_fastest": min(samples[1]) / min(samples[0]),
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="name of the record")
    parser.add_argument("--before", type=Path, help="the other checkout")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--classes", type=int, nargs="+", default=[50])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--model", default="vit-b-16")
    parser.add_argument("--seconds", type=float, default=12, help="for each method")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return serve()
    if arguments.name is None or arguments.before is None:
        parser.error("NAME and --before are needed")
    from interlace.experiments.cost import environment

    workers = [
        Worker(place, arguments.threads) for place in (arguments.before.resolve(), HERE.parents[1])
    ]
    cells = []
    for name in arguments.methods.split(","):
        for classes in arguments.classes:
            try:
                found = compare(
                    workers, arguments.seconds, (name, classes, arguments.batch, arguments.model)
                )
            except (ValueError, json.JSONDecodeError):
                raise SystemExit(f"{name}: a checkout failed, see above") from None
            cells.append(found)
            print(
                f"{name}, {classes} classes: {found['before_ms']:.1f} -> {found['after_ms']:.1f} "
                f"ms, x {found['after_over_before']:.3f}",
                flush=True,
            )
    for worker in workers:
        worker.close()
    record = {
        "model": arguments.model,
        "before": workers[0].commit,
        "cells": cells,
        **environment(arguments.threads),
    }
    path = HERE / f"{arguments.name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"record in {path}")


if __name__ == "__main__":
    main()
