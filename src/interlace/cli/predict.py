"""``interlace predict``: classify images with an adapted model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from interlace.cli._output import out, percent, print_json
from interlace.errors import InterlaceError

NAME = "predict"


def run(
    bundle: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `fit` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    top: Annotated[int, typer.Option(help="Classes to show per image.", min=1)] = 3,
    classes: Annotated[
        str | None, typer.Option(help="Other classes, separated by commas: no training needed.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say what is on each image, with probabilities.

    Example: interlace predict run/ new.jpg
    """
    from interlace.export.bundle import load_adapted

    paths = _expand(images)
    adapted = load_adapted(bundle, device=device)
    if classes is not None:
        adapted.set_classes([name.strip() for name in classes.split(",")])
    predictions = adapted.predict(paths, top)
    if as_json:
        print_json(
            [
                {"image": str(path), "label": p.label, "ranking": [list(r) for r in p.ranking]}
                for path, p in zip(paths, predictions, strict=True)
            ]
        )
        return
    table = Table()
    table.add_column("image", overflow="fold")
    table.add_column("answer")
    table.add_column("%", justify="right")
    table.add_column("then")
    for path, prediction in zip(paths, predictions, strict=True):
        others = ", ".join(f"{name} {percent(p)}" for name, p in prediction.ranking[1:])
        table.add_row(str(path), prediction.label, percent(prediction.probability), others)
    out.print(table)


def _expand(images: list[Path]) -> list[Path]:
    """Files as they are, folders as the images in them."""
    from interlace.data.walk import EXTENSIONS

    paths: list[Path] = []
    for path in images:
        if not path.is_dir():
            paths.append(path)
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS)
        if not found:
            raise InterlaceError(f"no images in {path}")
        paths += found
    return paths
