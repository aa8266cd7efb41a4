"""Record retrieval across classes and domains: ``quality/<name>.json``, one fit per setting."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from run import circumstances

import interlace
from interlace.adapted import Adapted
from interlace.cli.compare import parse_seeds
from interlace.config import read_settings
from interlace.data import RetrievalSet, RetrievalTask, open_retrieval
from interlace.evaluation.plots import hits_png
from interlace.protocols.ucdr import PROTOCOLS, score
from interlace.protocols.ucdr_sheet import hit_rows

HERE = Path(__file__).parent


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the record")
    parser.add_argument("data", nargs="?", default="picto/retrieval")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--methods", default="mail", help="zero-shot is scored in any case")
    parser.add_argument("--model", default="picto")
    parser.add_argument("--shots", type=int, default=2)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--conditions", default="all", help="settings by held-out domain")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--sheet", help="PNG to draw, of what the last fit finds")
    return parser.parse_args()


def plans_of(data: RetrievalSet, shots: int, seed: int, condition: str) -> list[RetrievalTask]:
    """The plan of every protocol that has this setting; all are fitted on the same shots."""
    return [
        protocol.plan(data, shots, seed, condition)
        for protocol in PROTOCOLS.values()
        if condition in protocol.conditions(data)
    ]


def scored(adapted: Adapted, plans: list[RetrievalTask], measures: tuple[str, str]) -> Any:
    """The results on all targets of the plans, printed as they come."""
    results = {}
    for plan in plans:
        results |= score(adapted, plan)
    for target, row in results.items():
        shown = "  ".join(f"{measure} {100 * row[measure]:.1f}" for measure in measures)
        print(f"{adapted.method.key:18s} {target:44s} {shown}", flush=True)
    return results


def main() -> None:
    """Fit every method on every setting and seed, score all protocols, write the record."""
    arguments = parse()
    path = HERE / f"{arguments.name}.json"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    clip = interlace.load(arguments.model)
    data = open_retrieval(arguments.data, root=arguments.data_root)
    conditions = [setting.name for setting in data.settings]
    if arguments.conditions != "all":
        conditions = arguments.conditions.split(",")
    settings = read_settings(None, arguments.settings)
    preset = None if arguments.preset == "none" else arguments.preset
    started, cells = time.perf_counter(), []
    runs = [(c, seed) for c in conditions for seed in parse_seeds(arguments.seeds)]
    for condition, seed in runs:
        plans = plans_of(data, arguments.shots, seed, condition)
        for method in ("zero_shot", *arguments.methods.split(",")):
            own = {} if method == "zero_shot" else settings
            clock = time.perf_counter()
            adapted = interlace.fit(clip, plans[0].fit, method, seed=seed, preset=preset, **own)
            cells.append(
                {
                    "method": method,
                    "condition": condition,
                    "seed": seed,
                    "config": adapted.config.to_dict(),
                    "fit_seconds": time.perf_counter() - clock,
                    "split_hashes": [plan.split_hash for plan in plans],
                    "targets": scored(adapted, plans, data.measures),
                }
            )
    record = {
        "command": vars(arguments),
        **circumstances(),
        "model": {"source": clip.source, "fingerprint": clip.fingerprint()},
        "measures": data.measures,
        "seconds": time.perf_counter() - started,
        "cells": cells,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"recorded in {path}")
    if arguments.sheet is not None:
        target = list(plans[0].targets)[-1]
        rows = hit_rows(adapted.zero_shot(), adapted, plans[0], target)
        hits_png(arguments.sheet, rows, f"{target}: before and after {method}")


if __name__ == "__main__":
    main()
