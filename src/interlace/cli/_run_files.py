"""What commands write besides the model: figures first, then a picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlace._util.files import write_json
from interlace._util.text import count_of, first_line, listed
from interlace.cli._output import err
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.backbone.dual import DualEncoder
    from interlace.data.task import FewShotTask


def note(line: str) -> None:
    """Print a note on the results."""
    err.print(f"note: {line}")


def drawn(picture: Path, draw: Callable[[], str]) -> bool:
    """Draw a picture; a failure is a note, since the figures are what was asked for.

    Args:
        picture: the file.
        draw: what writes it; returns a note or "".
    """
    try:
        told = draw()
    except Exception as error:  # fonts, sizes, memory, a folder that takes no files
        note(f"{picture} could not be drawn: {first_line(error)}")
        return False
    if told:
        note(told)
    return True


@contextmanager
def written(path: Path | None, record: Any) -> Iterator[None]:
    """Write results as JSON, and print them (the context) even where that fails.

    Raises:
        InterlaceError: if they could not be written; after the context.
    """
    failed = None
    try:
        if path is not None:
            write_json(path, record)
    except InterlaceError as error:
        failed = error
    yield
    if failed is not None:
        raise failed


def picture_of(data: str) -> str:
    """Name the picture of an evaluation on ``data``, differently from that of the fit."""
    name = re.sub(r"[^\w.-]+", "-", Path(data).name or data).strip(".-")[:80]
    return f"confusion-{name or 'data'}.png"


def prompted(
    task: FewShotTask, clip: DualEncoder, data: str, root: Path | None, template: str | None
) -> FewShotTask:
    """Give the model's own prompt to images of the user's own that were given none.

    Args:
        task: the task as it was read.
        clip: the model.
        data: what the task was read from.
        root: the data root.
        template: the prompt that was asked for, or None.
    """
    from interlace.adaptation.templates import choose_template

    chosen = choose_template(template, data, root, clip.template)
    return task if chosen is None else replace(task, template=chosen)


def tell_twins(clip: DualEncoder, tasks: Iterable[FewShotTask]) -> None:
    """Say which published names of standard data sets are the same to the model.

    Args:
        clip: the model.
        tasks: any; of one data set, the halves add nothing to the whole.
    """
    from interlace.methods.inference import shared_prompts

    told = set()
    for task in sorted(tasks, key=lambda own: -len(own.classes)):
        data = task.name.removesuffix(":base").removesuffix(":novel")
        if not task.published or data in told:
            continue
        told.add(data)
        pairs = shared_prompts(clip.prompts(task.classes, task.template))
        names = dict.fromkeys(task.classes[second] for _, second in pairs)
        if names:
            note(
                f"{count_of(len(names), 'class name')} of {data} "
                f"{'stands' if len(names) == 1 else 'stand'} for more than one class, as "
                f"published: {listed(list(names))}"
            )
