"""Choose a method's settings on ``suite-dev``, whose figures nothing reports.

Every combination of a grid is run base to novel on all sets of ``suite-dev``, as cells of a grid
like those of ``interlace bench``: in several processes, and the same command resumes. The rule is
the same for every method: of the combinations, the one with the best mean over sets and seeds of
the harmonic mean of base and novel accuracy is taken; of a method that answers only for the classes
of its fit, the one with the best base accuracy. No set of ``suite`` is looked at.

    python benchmarks/quality/suite.py mail --grid lr=1e-3,2e-3 --grid epochs=5,10 --name suite-mail

prints the rows and the block for the preset, and writes ``quality/tuning/suite-mail.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from interlace.backbone.load import load
from interlace.cli._options import numbers
from interlace.config import TRAINING, read_settings
from interlace.data.datasets.registry import expand
from interlace.evaluation.statistics import harmonic_mean
from interlace.experiments.cell import CellSpec
from interlace.experiments.cost import environment
from interlace.experiments.engines.local import Local
from interlace.experiments.grid import check_results, list_cells, run_grid
from interlace.experiments.store import Store
from interlace.experiments.summaries import BASELINE

HERE = Path(__file__).parent / "tuning"
#: Seconds of a fit that a row has the means of: wall clock, and of the processor.
_COSTS = ("fit", "fit_cpu")


def combinations(method: str, axes: Sequence[str]) -> list[str]:
    """Name the method with every combination of ``name=value,value`` axes, as a grid takes it."""
    lists = [
        [f"{axis.partition('=')[0]}={value}" for value in axis.partition("=")[2].split(",")]
        for axis in axes
    ]
    return [":".join([method, *combination]) for combination in itertools.product(*lists)]


def score(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the base and novel accuracy of a cell and their harmonic mean, as far as it has them.

    Args:
        record: the cell's record.
    """
    found = {name: own["top1"] for name, own in record["metrics"].items() if name != "joint"}
    if "novel" in found:
        found["hm"] = harmonic_mean(found["base"], found["novel"])
    return found


def rows(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum the cells of each combination up, the best first.

    Args:
        records: cells; those of zero-shot give what gains are counted from. A combination with a
            cell that failed has no score and comes last.
    """
    own: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        own.setdefault(record["spec"]["method"], []).append(record)
    frozen = [record for record in own.pop(BASELINE, []) if record["status"] == "done"]
    before = {_place(record): score(record) for record in frozen}
    found = [_row(name, cells, before) for name, cells in own.items()]
    return sorted(found, key=lambda row: -row.get("hm", row.get("base", -1.0)))


def _place(record: Mapping[str, Any]) -> tuple[str, int]:
    return record["spec"]["data"], record["spec"]["seed"]


def _row(
    name: str, cells: Sequence[Mapping[str, Any]], before: Mapping[Any, Mapping[str, float]]
) -> dict[str, Any]:
    """Average the cells of one combination."""
    row: dict[str, Any] = {"settings": read_settings(None, name.split(":")[1:])}
    failed = [cell["error"]["message"] for cell in cells if cell["status"] != "done"]
    if failed:  # such as a loss that is not finite: part of the finding
        return {**row, "error": failed[0]}
    scores = {_place(cell): score(cell) for cell in cells}
    for measure in next(iter(scores.values())):
        row[measure] = statistics.fmean(own[measure] for own in scores.values())
        gains = [own[measure] - before[place][measure] for place, own in scores.items()]
        row[f"{measure}_gain"] = statistics.fmean(gains)
    for cost in _COSTS:
        row[cost] = statistics.fmean(cell["seconds"][cost] for cell in cells)
    row["sets"] = {f"{data}, seed {seed}": own for (data, seed), own in scores.items()}
    return row


def block(method: str, settings: Mapping[str, Any]) -> str:
    """Write settings as a preset has them.

    Args:
        method: the method's key.
        settings: what the grid changed.
    """
    parts = {
        "method": {name: value for name, value in settings.items() if name not in TRAINING},
        "train": {name: value for name, value in settings.items() if name in TRAINING},
    }
    lines = [
        f"  {part}: {{{', '.join(f'{n}: {_yaml(v)}' for n, v in own.items())}}}"
        for part, own in parts.items()
        if own
    ]
    return "\n".join([f"{method}:", *lines])


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def told(row: Mapping[str, Any]) -> str:
    """Return a row as a line."""
    settings = ", ".join(f"{name}={value}" for name, value in row["settings"].items())
    if "error" in row:
        return f"{settings}: {row['error']}"
    names = [name for name in ("base", "novel", "hm") if name in row]
    values = [f"{n} {100 * row[n]:.1f} ({100 * row[f'{n}_gain']:+.1f})" for n in names]
    return f"{settings}: {', '.join(values)}; {row['fit_cpu']:.0f} s"


def main() -> None:
    """Run the grid, print what it gives and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", help="settings that do not vary may follow: mail:rank=32")
    parser.add_argument("--grid", action="append", default=[], help="name=value,value; repeatable")
    parser.add_argument("--data", default="suite-dev", help="collections or sets, with commas")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--preset", default="none", help="what the grid starts from")
    parser.add_argument("--runs", type=Path, default=Path("runs/suite-dev"), help="of the cells")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--name", help="name of the record; none writes nothing")
    arguments = parser.parse_args()
    path = HERE / f"{arguments.name}.json"
    if arguments.name and path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    key = arguments.method.partition(":")[0]
    data = [one for name in arguments.data.split(",") for one in expand(name)]
    if reported := [name for name in data if name.partition("/")[0] in ("suite", "suite-shifts")]:
        sys.exit(f"{reported[0]} is reported: settings are chosen on other sets")
    preset = None if arguments.preset == "none" else arguments.preset
    specs = list_cells(
        "base_to_novel",
        data,
        combinations(arguments.method, arguments.grid),
        [arguments.shots],
        numbers(arguments.seeds, "seeds"),
        preset=preset,
    )
    store = Store(arguments.runs)
    check_results(specs, store, load(specs[0].model))
    records = run_grid(specs, store, Local(arguments.workers), finished=_said(specs))
    found = rows(records)
    for row in found:
        print(told(row))
    if "error" in found[0]:
        sys.exit("no combination ran to its end")
    print(f"\n# {len(found)} combinations, {arguments.data}, seeds {arguments.seeds}")
    print(block(key, found[0]["settings"]))
    if arguments.name:
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "command": {**vars(arguments), "runs": str(arguments.runs)},
            **environment(1),
            "model": next(cell["backbone"] for cell in records if cell["status"] == "done"),
            "chosen": found[0]["settings"],
            "rows": found,
        }
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _said(specs: Sequence[CellSpec]) -> Any:
    """Print a line for each cell that is done."""
    count = itertools.count(1)

    def say(record: Mapping[str, Any]) -> None:
        line = f"{next(count)} of at most {len(specs)}: {CellSpec.from_dict(record['spec'])}"
        print(line if record["status"] == "done" else f"{line}: failed", flush=True)

    return say


if __name__ == "__main__":
    main()
