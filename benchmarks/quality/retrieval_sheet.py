"""Draw what queries find before and after a model is adapted: rows of first hits, side by side.

``python benchmarks/quality/retrieval_sheet.py picto/retrieval:symbola mail --preset picto-retrieval
-o sheet.png``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import interlace
from interlace import protocols
from interlace.config import read_settings
from interlace.evaluation.plots import hits_png
from interlace.experiments.cell import settings_of
from interlace.protocols import Setting
from interlace.protocols.retrieval_sheet import hit_rows


def main() -> None:
    """Fit one method and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a data set and what it holds out: picto/retrieval:symbola")
    parser.add_argument("method", help="as for interlace bench: mail:rank=8")
    parser.add_argument("--protocol", default="ucdr", help="ucdr, uccdr or udcdr")
    parser.add_argument("--model", default="picto")
    parser.add_argument("--shots", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("-o", "--output", type=Path, default=Path("sheet.png"))
    arguments = parser.parse_args()
    setting = Setting(arguments.data, arguments.shots, arguments.seed)
    plan = protocols.get(arguments.protocol).plan(setting)
    settings = settings_of(arguments.method, read_settings(None, arguments.settings))
    key = arguments.method.partition(":")[0]
    clip = interlace.load(arguments.model)
    preset = None if arguments.preset == "none" else arguments.preset
    adapted = interlace.fit(clip, plan.task, key, seed=arguments.seed, preset=preset, **settings)
    target = plan.targets[0].name
    rows = hit_rows(adapted.zero_shot(), adapted, plan, target)
    hits_png(
        arguments.output, rows, f"{setting.data}, {target}: before and after {arguments.method}"
    )
    print(f"{target}: {arguments.output}")


if __name__ == "__main__":
    main()
