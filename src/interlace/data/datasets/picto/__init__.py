"""picto: the embedded model and data set.

A small CLIP trained on pictograms, and drawings of 861 emoji concepts by several hands, most of
them in styles that the model never saw: enough to try, test and compare adaptation methods on
real images without a network. Behind these *core* drawings the table has those of 576 further
concepts (smileys, people, symbols), none of which the model was trained on. ``docs/picto.md`` is
the data and model card; ``LICENSES.md`` beside this file gives the licence of every drawing set.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CORE_GROUPS", "core_images", "images", "model_dir", "task", "task_names"]

CORE_GROUPS = ("animals-nature", "food-drink", "travel-places", "activities", "objects")

_HERE = Path(__file__).parent


def model_dir() -> Path:
    """Folder of the checkpoint, in open_clip's local-dir format."""
    return _HERE / "model"


@cache
def images() -> pa.Table:
    """All packaged drawings; row i has image_id i.

    ``twins`` is the same number for drawings that are (nearly) the same picture, ``seen`` tells
    that pretraining saw the drawing or one of its twins.
    """
    import pyarrow.parquet as pq

    return pq.read_table(_HERE / "images.parquet")


@cache
def core_images() -> pa.Table:
    """Return the drawings of the core concepts, which the tasks and ``styles`` are about."""
    import pyarrow.compute as pc

    return images().filter(pc.field("group").isin(CORE_GROUPS))


def task(name: str) -> dict[str, Any]:
    """Read one task, or the description of the drawing styles under the name "styles".

    Raises:
        KeyError: if there is no such task.
    """
    path = _HERE / "tasks" / f"{name}.json"
    if Path(name).name != name or not path.is_file():
        raise KeyError(f"picto has no task {name!r}; it has {', '.join(task_names())}")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def task_names() -> list[str]:
    """Names of the classification tasks."""
    return sorted(p.stem for p in (_HERE / "tasks").glob("*.json") if p.stem != "styles")
