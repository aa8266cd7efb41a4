"""``interlace data``: list, check, draw from and download data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from interlace._util.files import check_writable
from interlace.cli._many import tell_notes, tell_skipped
from interlace.cli._options import (
    Data,
    DataRoot,
    IgnoreColumns,
    ImageColumn,
    Json,
    LabelColumn,
    SplitColumn,
    columns_of,
)
from interlace.cli._output import err, out, print_json
from interlace.errors import InterlaceError

app = typer.Typer(
    name="data",
    help="List, check, draw from and download data sets.\n\nExample: interlace data check eurosat",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command("list")
def list_sets(data_root: DataRoot = None, as_json: Json = False) -> None:
    """List the data sets that are known by name, and which of them are there.

    Example: interlace data list --data-root DATA
    """
    from interlace.data.datasets.benchmark_table import BENCHMARKS
    from interlace.data.datasets.benchmarks import data_root as root_of
    from interlace.data.datasets.extensions import problems
    from interlace.data.datasets.registry import added_names, embedded_names

    base = root_of(data_root)
    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "title": entry.title,
            "classes": entry.totals.classes,
            "test images": entry.totals.test,
            "folder": entry.folder,
            "template": entry.template,
            "there": None if base is None else not entry.missing(base),
        }
        for entry in BENCHMARKS.values()
    ]
    known = {"embedded": embedded_names(), "added": added_names()}
    faults = problems()
    if as_json:
        names = {kind: list(own) for kind, own in known.items()}
        root = base and str(base)
        print_json({"root": root, **names, "benchmarks": rows, "problems": list(faults)})
        return
    where = "the data root" if base is None else str(base)
    table = Table(title=f"standard benchmarks, read from {where}", title_justify="left")
    for heading in ("name", "classes", "test images", "folder", "there"):
        table.add_column(
            heading, justify="right" if heading in ("classes", "test images") else "left"
        )
    for row in rows:
        there = {None: "?", True: "yes", False: "no"}[row["there"]]
        counts = (f"{row['classes']:,}", f"{row['test images']:,}")
        table.add_row(row["name"], *counts, row["folder"], there)
    out.print(table)
    for kind, title in (("embedded", "embedded"), ("added", "added by installed packages")):
        if known[kind]:
            out.print(f"{title}: {', '.join(known[kind])}")
    tell_notes(faults)


@app.command("check")
def check_set(
    data: Data,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image to find broken ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that a data set is complete, and name what is missing.

    A standard benchmark is compared with the published counts; of other data the images are
    counted. Exit code 2 if something is missing.

    Example: interlace data check eurosat --data-root DATA
    """
    from interlace.data.check import check

    report = check(
        data,
        data_root,
        decode,
        columns_of(image_column, label_column, split_column, ignore_columns),
    )
    if as_json:
        print_json(report.to_dict())
    elif report.findings:
        table = Table(title=report.name, title_justify="left")
        table.add_column("")
        for heading in ("found", "expected") if report.known else ("found",):
            table.add_column(heading, justify="right")
        for finding in report.findings:
            expected = "-" if finding.expected is None else f"{finding.expected:,}"
            cells = (finding.what, f"{finding.found:,}", expected)[: len(table.columns)]
            table.add_row(*cells, style=None if finding.ok else "bold red")
        out.print(table)
        tell_notes(report.notes)
        tell_skipped(report.skipped, report.hidden)
    if not report.ok:
        raise InterlaceError(report.summary())
    if not as_json:
        read = "every image was decoded" if report.decoded else "no image was decoded (--decode)"
        out.print(f"{report.summary()}; {read}")


@app.command("split")
def draw_split(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write the split to.")
    ] = Path("split.json"),
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 1,
    draw: Annotated[
        Path | None,
        typer.Option("--import", help="Import this draw instead: shot_k-seed_s.pkl, or .jsonl."),
    ] = None,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
    strict: Annotated[bool, typer.Option("--strict", help="Fail on unreadable images.")] = False,
    as_json: Json = False,
) -> None:
    """Draw shots, or import a draw, and store it as a file that ``fit --split`` reads.

    Example: interlace data split eurosat --shots 16 --seed 1 -o split.json
    """
    from interlace.data.task import FewShotTask

    check_writable(output, folder=False)
    columns = columns_of(image_column, label_column, split_column, ignore_columns)
    task = FewShotTask.load(
        data, shots, seed, root=data_root, strict=strict, split=draw, columns=columns
    )
    split = task.split()
    split.save(output)
    if as_json:
        counts = {part: len(getattr(split, part)) for part in ("train", "val", "test")}
        facts = {"name": split.name, "shots": split.shots, "seed": split.seed, **counts}
        print_json({**facts, "file": str(output), "sha256": split.sha256})
        return
    out.print(task.describe())
    tell_notes(task.notes)
    tell_skipped(task.skipped, task.hidden)
    out.print(f"{output}: sha256 {split.sha256}")


@app.command("get")
def get_set(
    name: Annotated[str, typer.Argument(help="Name of a standard benchmark.")],
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Download the images of a benchmark with torchvision into the data root.

    Split lists cannot be downloaded this way; what is still missing is listed.

    Example: interlace data get dtd --data-root DATA
    """
    from interlace.data.datasets.benchmarks import benchmark_names, find_benchmark
    from interlace.data.datasets.download import download

    entry = find_benchmark(name)
    if entry is None:
        raise InterlaceError(f"no data set '{name}': there are {', '.join(benchmark_names())}")
    err.print(f"downloading {entry.title} ...")
    missing = download(entry, data_root)
    if as_json:
        print_json({"name": entry.name, "missing": list(missing)})
        return
    out.print(f"{entry.title}: the images are in place")
    for item in missing:
        out.print(f"still missing: {item}")
