"""``interlace embed``: the vectors of many images in one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interlace.cli._many import image_bar, tell_skipped
from interlace.cli._options import Json
from interlace.cli._output import out, print_json
from interlace.errors import InterlaceError

NAME = "embed"
ENGINES = ("local", "ray")


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Folder of images, .parquet tables, .tar shards (WebDataset), or a pattern.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet file to write.")],
    model: Annotated[
        str, typer.Option(help="picto, ViT-B-16:openai, hf:NAME, a path, or the folder of a fit.")
    ],
    engine: Annotated[
        str, typer.Option(help="local, or ray: the cluster of $RAY_ADDRESS, or one started here.")
    ] = "local",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file, or parts of another run.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="An image that cannot be used is an error.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Images encoded at a time.", min=1)] = 64,
    workers: Annotated[
        int | None, typer.Option(help="Threads that decode; chosen by default.", min=1)
    ] = None,
    unit: Annotated[int, typer.Option(help="Images of a part file.", min=1)] = 2048,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: Json = False,
) -> None:
    """Write the vectors of many images to a Parquet file; an interrupted run goes on.

    Example: interlace embed photos/ -o vectors.parquet --model run/ --engine ray
    """
    if engine not in ENGINES:
        raise InterlaceError(f"--engine {engine}: must be {' or '.join(ENGINES)}")
    from interlace.search.embed import embed

    with image_bar("embed", "the same command goes on after the last finished part") as bar:
        report = embed(
            source,
            output,
            model,
            engine="ray" if engine == "ray" else "local",
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
    went_on = f", {report.resumed} parts were there already" if report.resumed else ""
    out.print(
        f"{report.output}: {report.count:,} vectors of {report.model.dim} numbers, "
        f"{len(report.skipped):,} skipped{went_on}"
    )
