"""``interlace export``: a plain checkpoint from an adapted model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from interlace.cli._options import Json, RunFolder
from interlace.cli._output import out, print_json


def run(
    bundle: RunFolder,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write the checkpoint to.")
    ],
    format: Annotated[
        Literal["open_clip", "hf"], typer.Option(help="Format of open_clip or of transformers.")
    ] = "open_clip",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: Json = False,
) -> None:
    """Merge an adapted model into plain weights that open_clip or transformers load.

    Methods that insert tokens or work on the features cannot be merged.

    Example: interlace export run/ -o merged/ --format hf
    """
    from interlace._util.reading import as_path
    from interlace.adaptation.load import load_adapted
    from interlace.backbone.checkpoints.save import check_free

    check_free(as_path(output, "output"), overwrite)
    merged = load_adapted(bundle, device="cpu").merge()
    folder = merged.save(output, format=format, overwrite=overwrite)
    if as_json:
        print_json({"folder": str(folder), "format": format, "fingerprint": merged.fingerprint()})
        return
    out.print(f"plain {format} checkpoint in {folder}")
