"""``interlace predict``: classify images with an adapted model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from interlace._util.text import printable
from interlace.cli._many import tell_skipped
from interlace.cli._options import Device, Json, RunFolder, Strict
from interlace.cli._output import out, percent, print_json
from interlace.errors import InterlaceError, UnreadableImage

if TYPE_CHECKING:
    from interlace.adaptation.model import AdaptedModel, Prediction
    from interlace.data.records import Skipped

#: Images whose pixels are held at a time.
_BATCH = 64


def run(
    bundle: RunFolder,
    images: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    top: Annotated[int, typer.Option(help="Classes to show per image.", min=1)] = 3,
    classes: Annotated[
        str | None, typer.Option(help="Other classes, separated by commas; no training is needed.")
    ] = None,
    strict: Strict = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Classify images, with probabilities.

    Files that cannot be read are left out and listed.

    Example: interlace predict run/ new.jpg
    """
    from interlace.adaptation.load import load_adapted

    names = None if classes is None else _names(classes)
    asked = _expand(images)
    if strict:
        _refuse_first(asked)
    if all(reason for _, reason in asked):
        _refuse_all([_skipped(path, reason) for path, reason in asked])
    adapted = load_adapted(bundle, device=device)
    if names is not None:
        adapted.set_classes(names)
    answers = list(_answers(adapted, asked, top, strict))
    answered = [(path, found) for path, found in answers if not isinstance(found, str)]
    skipped = [_skipped(path, found) for path, found in answers if isinstance(found, str)]
    if not answered:
        _refuse_all(skipped)
    if as_json:
        print_json([_entry(path, found) for path, found in answers])
    else:
        _show(answered)
    tell_skipped(skipped)


def _answers(
    adapted: AdaptedModel, asked: Sequence[tuple[Path, str]], top: int, strict: bool
) -> Iterator[tuple[Path, Prediction | str]]:
    """Go through the files with their predictions, or the reasons why there are none."""
    import torch

    from interlace.data.images.decode import open_image

    transform = adapted.clip.preprocess.eval_transform()
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        found: dict[int, Prediction | str] = {}
        pixels = []
        for place, (path, reason) in enumerate(batch):
            if reason:
                found[place] = reason
                continue
            try:
                pixels.append((place, transform(open_image(path))))
            except UnreadableImage as error:
                if strict:
                    raise
                found[place] = error.reason
        if pixels:
            own_paths = [batch[place][0] for place, _ in pixels]
            stacked = torch.stack([own for _, own in pixels])
            predictions = adapted.predict_pixels(stacked, top, own_paths)
            found |= {place: own for (place, _), own in zip(pixels, predictions, strict=True)}
        yield from ((path, found[place]) for place, (path, _) in enumerate(batch))


def _expand(images: Sequence[Path]) -> list[tuple[Path, str]]:
    """List files, and the files in folders, each with the reason if it cannot be used.

    Raises:
        InterlaceError: if a folder holds no image, or nothing can be found under a name.
    """
    from interlace._util.reading import as_path, check_regular
    from interlace.data.readers.walk import EXTENSIONS, walk

    asked: list[tuple[Path, str]] = []
    for path in map(as_path, images):
        if not path.is_dir():
            try:
                check_regular(path, "image")
            except InterlaceError as error:
                asked.append((path, str(error).removeprefix(f"{printable(str(path))}: ")))
            else:
                asked.append((path, ""))
            continue
        found = walk(path)
        left = [(path / item.key, item.reason) for item in found.skipped]
        left += [
            (path / item.key, item.reason)
            for item in found.hidden
            if Path(item.key).suffix.lower() in EXTENSIONS
        ]
        if not found.images:
            reason = f" ({left[0][0].name}: {left[0][1]})" if left else ""
            raise InterlaceError(f"no images in {printable(str(path))}{printable(reason)}")
        asked += [(own, "") for own in found.images] + left
    return asked


def _refuse_first(asked: Sequence[tuple[Path, str]]) -> None:
    """Check, for ``--strict``, that all files can be used; hidden ones are left out on purpose.

    Raises:
        InterlaceError: naming the first that cannot.
    """
    for path, reason in asked:
        if reason and reason != "hidden":
            raise InterlaceError(f"{path}: {reason}")


def _refuse_all(skipped: Sequence[Skipped]) -> NoReturn:
    """Refuse a call of which no image can be used.

    Raises:
        InterlaceError: always.
    """
    if len(skipped) == 1:
        raise InterlaceError(f"{skipped[0].key}: {skipped[0].reason}")
    tell_skipped(skipped)
    raise InterlaceError(f"none of the {len(skipped):,} images can be used")


def _names(text: str) -> list[str]:
    """Read class names that are separated by commas.

    Raises:
        InterlaceError: if one is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InterlaceError(f"--classes {text!r}: a name between two commas is empty")
    return names


def _skipped(path: Path, reason: str) -> Skipped:
    from interlace.data.records import Skipped

    return Skipped(str(path), reason)


def _entry(path: Path, found: Prediction | str) -> dict[str, object]:
    if isinstance(found, str):
        return {"image": str(path), "error": found}
    return {
        "image": str(path),
        "label": found.label,
        "ranking": [list(ranked) for ranked in found.ranking],
    }


def _show(answered: Sequence[tuple[Path, Prediction | str]]) -> None:
    table = Table()
    table.add_column("image", overflow="fold")
    table.add_column("class")
    table.add_column("%", justify="right")
    table.add_column("runners-up")
    for path, found in answered:
        if isinstance(found, str):
            continue
        others = ", ".join(f"{name} {percent(p)}" for name, p in found.ranking[1:])
        row = (str(path), found.label, percent(found.probability), others)
        table.add_row(*map(printable, row))
    out.print(table)
