"""From records of ``run.py``: the plot of step times, and the tables of ``docs/speed.md``.

python benchmarks/speed/plot.py NAME ...        # writes docs/images/speed.png, prints tables
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

HERE = Path(__file__).parent
TITLES = {
    "mmrl": "MMRL",
    "mmrl++": "MMRL++",
    "mail": "MAIL",
    "mail++": "MAIL++",
    "multimodal_adapter": "Multi-Modal Adapter",
}
PLAIN, DEFAULT, FLOOR = "#b5482a", "#1f6f8b", "#8a8a8a"

Cells = list[dict[str, Any]]


def drawn_cells(cells: Cells) -> dict[str, tuple[int, Cells]]:
    """Of each method the batch size that its panel shows, and its cells over C.

    That is the smallest batch; of a method on features its recipe's, the largest.
    """
    found = {}
    for method in dict.fromkeys(c["method"] for c in cells):
        own = [c for c in cells if c["method"] == method]
        pick = min if "tokens" in own[0]["default"] else max
        batch = pick(c["batch_asked"] for c in own)
        shown = [c for c in own if c["batch_asked"] == batch]
        found[method] = batch, sorted(shown, key=lambda c: c["classes"])
    return found


def plot(cells: Cells, path: Path) -> None:
    """Step time over C, a panel for each method."""
    panels = drawn_cells(cells)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.3 * columns, 2.9 * rows), squeeze=False, layout="constrained"
    )
    for axis, (method, (batch, own)) in zip(axes.flat, panels.items(), strict=False):
        ran = [c for c in own if "ms" in c["plain"]]
        missing = [c for c in own if "ms" not in c["plain"]]
        series = (
            ("plain", [(c["classes"], c["plain"]["ms"]["total"]) for c in ran], PLAIN, "o-"),
            (
                "plain, predicted (not run)",
                [(c["classes"], 1e3 * c["plain_predicted"]["seconds"]) for c in missing],
                PLAIN,
                "o",
            ),
            (
                "default",
                [(c["classes"], c["default"]["ms"]["total"]) for c in own],
                DEFAULT,
                "o-",
            ),
            ("arithmetic floor", [(c["classes"], c["floor"]["ms"]) for c in own], FLOOR, "-"),
        )
        for label, points, colour, style in series:
            axis.plot(
                [classes for classes, _ in points],
                [ms / 1e3 for _, ms in points],
                style,
                color=colour,
                label=label if points else None,
                linewidth=1 if label == "arithmetic floor" else 1.8,
                markersize=4,
                markerfacecolor="white" if "predicted" in label else colour,
            )
        axis.set(xscale="log", yscale="log", title=f"{TITLES.get(method, method)}, batch {batch}")
        ticks: list[int] = []
        for classes in reversed([c["classes"] for c in own]):
            if not ticks or classes < 0.7 * ticks[-1]:  # labels that touch say nothing
                ticks.append(classes)
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        low, high = axis.get_ylim()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 3) if high / low < 300 else (1,)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("classes")
    for row in axes:
        row[0].set_ylabel("seconds per step")
    spare = axes.flat[len(panels) :]
    for axis in spare:
        axis.axis("off")
    entries: dict[str, Any] = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if len(spare):
        spare[-1].legend(entries.values(), entries.keys(), loc="center", frameon=False)
    else:
        figure.legend(
            entries.values(), entries.keys(), loc="outside lower center", ncols=4, frameon=False
        )
    figure.savefig(path, dpi=160)
    plt.close(figure)


def duration(ms: float) -> str:
    """Milliseconds for people, in three digits."""
    return f"{ms / 1e3:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def title(cell: dict[str, Any]) -> str:
    """Return the method's name in print."""
    method: str = cell["method"]
    return TITLES.get(method, method)


def table(header: list[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; numbers stand right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def steps(cells: Cells) -> str:
    """Return the table of steps."""
    header = ["method", "classes", "batch", "plain", "default", "time", "memory", "tokens"]
    rows = []
    for cell in cells:
        default, plain = cell["default"], cell["plain"]
        shown = f"{duration(default['ms']['total'])}, {size(default['peak_bytes'])}"
        ratios = cell.get("plain_over_default")
        row = [title(cell), str(cell["classes"])]
        row.append(str(cell["batch"]))
        if ratios is None:
            expected = cell["plain_predicted"]
            guess = f"{duration(1e3 * expected['seconds'])}, {size(expected['peak'])}"
            rows.append([*row, f"not run (predicted {guess})", shown, "", "", ""])
            continue
        row.append(f"{duration(plain['ms']['total'])}, {size(plain['peak_bytes'])}")
        parts = [f"{ratios[k]:.1f} x" if k in ratios else "" for k in ("time", "peak", "tokens")]
        rows.append([*row, shown, *parts])
    return table(header, rows)


def split(cells: Cells) -> str:
    """Return the table of a default step's parts, and how far it is from the floor."""
    parts = ["edits", "image", "text", "score", "backward", "optimiser"]
    rows = []
    for cell in cells:
        ms = cell["default"]["ms"]
        row = [title(cell), str(cell["classes"])]
        row += [str(cell["batch"]), *(f"{ms[p]:.0f}" if p in ms else "" for p in parts)]
        rows.append([*row, f"{cell['floor']['default_over_floor']:.2f} x"])
    return table(["method", "classes", "batch", *parts, "over the floor"], rows)


def encoders(result: dict[str, Any]) -> str:
    """Return the table of inference."""
    rows = [
        [name, *(f"{result[tower][name]['over_open_clip']:.3f}" for tower in ("image", "text"))]
        for name in result["image"]
    ]
    header = [f"{result['images']} images", f"{result['texts']} prompts"]
    return table(["encoder, time over stock open_clip's", *header], rows)


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="names of records, or paths to them")
    default = HERE.parents[1] / "docs" / "images" / "speed.png"
    parser.add_argument("--image", type=Path, default=default, help="where the plot goes")
    arguments = parser.parse_args()
    found: dict[tuple[Any, ...], dict[str, Any]] = {}  # of a cell that ran twice, the last
    for name in arguments.names:
        path = Path(name) if name.endswith(".json") else HERE / f"{name}.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        for cell in record["cells"]:
            found[cell["method"], cell["classes"], cell["batch_asked"]] = cell
        if "inference" in record:
            print(encoders(record["inference"]), "", sep="\n")
        print(json.dumps(record["texts"], indent=1))
    order = list(TITLES)
    cells = sorted(found.values(), key=lambda c: (order.index(c["method"]), c["classes"]))
    if cells:
        plot(cells, arguments.image)
        print("", steps(cells), split(cells), sep="\n\n")


if __name__ == "__main__":
    main()
