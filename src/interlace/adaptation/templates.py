"""Which prompt a data set is read with."""

from __future__ import annotations

from pathlib import Path

from interlace.backbone.prompts import Template
from interlace.data.datasets.registry import is_known


def choose_template(
    template: Template | None, data: str, root: Path | str | None, own: Template | None
) -> Template | None:
    """Choose the prompt of a data set: the caller's, else the data set's, else the model's.

    Args:
        template: what the caller asks for, or None.
        data: a folder, a table or the name of a data set.
        root: the data root.
        own: the model's own prompt, for images of the user's own; None leaves them theirs.

    Returns:
        The prompt; None for the one the data comes with.
    """
    return own if template is None and not is_known(data, root) else template
