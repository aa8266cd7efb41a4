"""``interlace embed``: the vectors of many images in one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interlace.cli._many import image_bar, tell_skipped
from interlace.cli._options import (
    MODELS,
    BatchSize,
    DecodeThreads,
    Device,
    EngineName,
    Json,
    Strict,
)
from interlace.cli._output import out, print_json


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Folder of images, .parquet tables, .tar shards (WebDataset), or a pattern.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet file to write.")],
    model: Annotated[str, typer.Option(help=f"{MODELS}, or the folder of a fit.")],
    engine: Annotated[
        EngineName,
        typer.Option(help="This process, or Ray: the cluster of $RAY_ADDRESS or one started here."),
    ] = EngineName.local,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file, or parts of another run.")
    ] = False,
    strict: Strict = False,
    batch_size: BatchSize = 64,
    workers: DecodeThreads = None,
    unit: Annotated[int, typer.Option(help="Images per part file.", min=1)] = 2048,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write the vectors of many images to a Parquet file; interrupted runs resume.

    Example: interlace embed photos/ -o vectors.parquet --model run/ --engine ray
    """
    from interlace.search.embed import embed

    with image_bar("embed", "the same command resumes after the last finished part") as bar:
        report = embed(
            source,
            output,
            model,
            engine=engine.value,
            overwrite=overwrite,
            strict=strict,
            device=device,
            batch_size=batch_size,
            workers=workers,
            unit=unit,
            progress=bar,
        )
    if as_json:
        print_json(
            {
                "output": str(report.output),
                "images": report.count,
                "resumed": report.resumed,
                "model": report.model.to_dict(),
                "skipped": [{"key": item.key, "reason": item.reason} for item in report.skipped],
            }
        )
        return
    tell_skipped(report.skipped)
    resumed = f", {report.resumed} parts were there already" if report.resumed else ""
    out.print(
        f"{report.output}: {report.count:,} vectors of {report.model.dim} numbers, "
        f"{len(report.skipped):,} skipped{resumed}"
    )
