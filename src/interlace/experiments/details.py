"""What a cell keeps of a user's own images: what it confuses, and its most confident errors."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

from interlace.data.images.decode import open_image
from interlace.errors import InterlaceError
from interlace.protocols.classification import Scored

MISTAKES = 12
_SIDE = 112


def details(scored: Scored) -> dict[str, Any]:
    """Count the images of each class by answer, and pick the most confident errors.

    Args:
        scored: a model's answers on N images.

    Returns:
        Plain data for JSON; ``counts`` are rows of a class, an answer and a number of images that
        is not 0. A mistake has the image's key, both classes, the probability of the answer and a
        thumbnail as base64 of a JPEG, "" where there is none.
    """
    task = scored.target.task
    sure, answers = scored.answers.confidence.tolist(), scored.answers.classes.tolist()
    wrong = [i for i, record in enumerate(task.test) if answers[i] != record.label]
    wrong.sort(key=lambda i: -sure[i])
    return {
        "classes": list(task.classes),
        "counts": scored.scores.to_dict()["confusion"],
        "mistakes": [
            {
                "key": task.test[i].key,
                "truth": task.classes[task.test[i].label],
                "answer": task.classes[answers[i]],
                "probability": sure[i],
                "thumbnail": _thumbnail(task.test[i].image),
            }
            for i in wrong[:MISTAKES]
        ],
    }


def _thumbnail(source: Any) -> str:
    """Return a small picture, or "" where the image has gone, which must not cost the results."""
    try:
        image = open_image(source, _SIDE)
    except InterlaceError:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    written = BytesIO()
    image.save(written, "JPEG", quality=80)
    return base64.b64encode(written.getvalue()).decode()
