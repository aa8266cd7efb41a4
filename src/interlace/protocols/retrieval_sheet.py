"""What queries find before and after a model is adapted, as a picture."""

from __future__ import annotations

from PIL import Image

from interlace.adaptation.model import AdaptedModel
from interlace.data.images.decode import open_image
from interlace.data.records import Record
from interlace.evaluation.plots.hits import HitRow
from interlace.evaluation.retrieval import top_hits
from interlace.protocols.retrieval import RetrievalPlan
from interlace.protocols.retrieval_search import retrieval_features


def hit_rows(
    before: AdaptedModel,
    after: AdaptedModel,
    plan: RetrievalPlan,
    target: str,
    queries: int = 8,
    hits: int = 10,
) -> list[HitRow]:
    """Return what some queries of a target find with two models, to be drawn with ``hits_png``.

    The queries are spread evenly over those of the target; no result decides which.

    Args:
        before: the frozen model.
        after: the adapted one.
        plan: its targets hold the queries and galleries.
        target: name of one of ``plan.targets``.
        queries: how many queries.
        hits: how many hits of each.

    Raises:
        InterlaceError: if there is no such target.
    """
    chosen = plan.target(target)
    asked, gallery = chosen.queries, chosen.gallery
    count = min(queries, len(asked))
    asked = tuple(asked[number * len(asked) // count] for number in range(count))
    found = []
    for adapted in (before, after):
        features = retrieval_features(adapted, (*asked, *gallery), plan.task.classes)
        found.append(top_hits(features[:count], features[count:], hits).tolist())

    def images(query: Record, rows: list[int]) -> list[tuple[Image.Image, bool]]:
        own = (gallery[row] for row in rows)
        return [(open_image(hit.image), hit.label == query.label) for hit in own]

    return [
        HitRow(open_image(q.image), plan.classes[q.label], images(q, first), images(q, then))
        for q, first, then in zip(asked, *found, strict=True)
    ]
