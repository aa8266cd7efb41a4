"""Search galleries with queries, by image features alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from interlace.adaptation.model import AdaptedModel
from interlace.data.images.loader import batches
from interlace.data.records import Record
from interlace.data.retrieval_task import RetrievalTarget
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.evaluation.retrieval import metrics_at
from interlace.methods.inference import NotFinite, encode_prompts

#: Lengths of the list at which every target is measured.
LENGTHS = (1, 100, 200)

EncodeProgress = Callable[[int, int], None]


def search(
    adapted: AdaptedModel,
    targets: Sequence[RetrievalTarget],
    classes: Sequence[str],
    used: Used,
    report: EncodeProgress | None = None,
) -> dict[str, dict[str, float]]:
    """Search galleries with queries, by image features alone.

    Images that the fit has used, or the model, are left out, whatever their names: so every model
    is scored on the same images. One that stands in several targets is encoded once.

    Args:
        adapted: the fitted or the frozen model.
        targets: queries and galleries.
        classes: the classes of the fit.
        used: the images of the fit.
        report: called with the number of images encoded, and of all, after each batch.

    Returns:
        For each target ``map_200``, ``standard_map_200``, ``prec_200`` and the like at 1 and 100,
        ``map_all``, and the counts ``n_queries``, ``n_gallery`` and ``n_left_out``.

    Raises:
        InterlaceError: if a target has no queries or no gallery left.
    """
    records = {
        record.key: record for target in targets for record in (*target.queries, *target.gallery)
    }
    fitted = adapted.used | used
    left_out = {key for key, record in records.items() if record in fitted}
    kept = [record for key, record in records.items() if key not in left_out]
    features = retrieval_features(adapted, kept, classes, report)
    row = {record.key: position for position, record in enumerate(kept)}
    results: dict[str, dict[str, float]] = {}
    for target in targets:
        queries, query_labels = _side(target.name, "queries", target.queries, features, row)
        gallery, labels = _side(target.name, "gallery images", target.gallery, features, row)
        means: dict[str, float] = {}
        for scores in metrics_at(queries, query_labels, gallery, labels, LENGTHS):
            means |= scores.means()
        results[target.name] = {
            **means,
            "n_queries": len(queries),
            "n_gallery": len(gallery),
            "n_left_out": sum(r.key in left_out for r in (*target.queries, *target.gallery)),
        }
    return results


def _side(
    name: str, what: str, records: Sequence[Record], features: Tensor, row: Mapping[str, int]
) -> tuple[Tensor, Tensor]:
    """Features and labels of the records that are left, which have a row."""
    left = [record for record in records if record.key in row]
    if not left:
        raise InterlaceError(f"{name}: all {len(records)} {what} were used to fit this model")
    labels = torch.tensor([record.label for record in left], device=features.device)
    return features[[row[record.key] for record in left]], labels


@torch.no_grad()
def retrieval_features(
    adapted: AdaptedModel,
    records: Sequence[Record],
    classes: Sequence[str],
    report: EncodeProgress | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Return the image features that a method searches with: [N, E], normalised.

    They are the ``image_features`` of its output, as for classes it has not been trained on. So a
    method that decouples (MMRL) searches by its class features, and one that adapts features
    (CLIP-Adapter) by the adapted ones. No class name is needed, but for a method whose image
    features look at the classes (Multi-Modal Adapter): it looks at those it was fitted on.

    Args:
        adapted: the model.
        records: N images.
        classes: the classes of the fit.
        report: called with the number of images encoded, and N, after each batch.
        batch_size: images encoded at a time.
    """
    method = adapted.method.eval()
    edits = method.edits()
    text = encode_prompts(method, method.prompts(classes, adapted.template))
    parts: list[Tensor] = []
    done = 0
    for pixels, _ in batches(records, adapted.clip.preprocess.eval_transform(), batch_size):
        image = method.encode_image(pixels.to(adapted.clip.device), edits=edits)
        parts.append(method.score(image, text, seen=False).image_features.float())
        done += len(pixels)
        if report is not None:
            report(done, len(records))
    found = torch.cat(parts)
    wrong = ~torch.isfinite(found).all(dim=1)
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        raise NotFinite("image", index, records[index].key)
    return found
