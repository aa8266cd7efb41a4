"""An adapted model as a plain checkpoint, scored by open_clip itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from interlace.adaptation.model import AdaptedModel
from interlace.backbone.prompts import fill
from interlace.backbone.tokenizer import MERGES_FILE
from interlace.data.images.decode import open_image
from interlace.errors import InterlaceError
from interlace.protocols.classification import Target, scored_images

_BATCH = 64


def export_and_score(
    adapted: AdaptedModel,
    folder: Path,
    targets: Sequence[Target],
    expected: Mapping[str, float],
) -> dict[str, float]:
    """Merge a model, write it in open_clip's format, and see that stock open_clip agrees with us.

    Args:
        adapted: the model.
        folder: where the checkpoint goes; one that is there is replaced.
        targets: what to score.
        expected: the accuracy that this library found for each target.

    Returns:
        The accuracy that open_clip finds for each target.

    Raises:
        NotMergeable: if the method cannot be merged; nothing is written then.
        InterlaceError: if the checkpoint cannot be written, or open_clip finds another accuracy.
    """
    adapted.merge().save(folder, format="open_clip", overwrite=True)
    found = open_clip_top1(folder, targets)
    for name, accuracy in found.items():
        if abs(accuracy - expected[name]) > 1e-9:
            raise InterlaceError(
                f"{folder}: open_clip finds {100 * accuracy:.2f} % for {name}, and this library "
                f"{100 * expected[name]:.2f} %"
            )
    return found


def open_clip_top1(folder: Path, targets: Sequence[Target]) -> dict[str, float]:
    """Score a checkpoint by stock open_clip: its towers, its image transform and its tokenizer.

    Args:
        folder: a checkpoint in open_clip's format.
        targets: what to score; of this library they give the decoded images and the names alone.

    Returns:
        The accuracy of each target.
    """
    import open_clip

    name = f"local-dir:{folder}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    model.eval()
    merges = folder / MERGES_FILE
    # merges of the model's own: open_clip has the class, and no way to name them in its config
    tokenize = (
        open_clip.SimpleTokenizer(str(merges), context_length=model.context_length)
        if merges.is_file()
        else open_clip.get_tokenizer(name)
    )
    records = scored_images(targets)
    rows = {record.image: row for row, record in enumerate(records)}
    found = {}
    with torch.inference_mode():
        images = _encoded(model, preprocess, [record.image for record in records])
        for target in targets:
            task = target.task
            templates = [task.template] if isinstance(task.template, str) else task.template
            filled = [tokenize(fill(template, task.classes)) for template in templates]
            texts = torch.stack([normalize(model.encode_text(ids), dim=-1) for ids in filled])
            own = images[[rows[record.image] for record in task.test]]
            answers = (own @ normalize(texts.mean(dim=0), dim=-1).T).argmax(dim=1)
            labels = torch.tensor([record.label for record in task.test])
            found[target.name] = (answers == labels).double().mean().item()
    return found


def _encoded(model: Any, preprocess: Any, images: Sequence[Any]) -> torch.Tensor:
    """Return the normalised features of images, in their order."""
    parts = []
    for first in range(0, len(images), _BATCH):
        batch = [preprocess(open_image(image)) for image in images[first : first + _BATCH]]
        parts.append(normalize(model.encode_image(torch.stack(batch)), dim=-1))
    return torch.cat(parts)
