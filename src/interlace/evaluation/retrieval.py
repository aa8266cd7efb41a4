"""Retrieval metrics as pure functions: values are fractions in [0, 1], not percent.

Shapes: Q queries, G gallery items, E embedding, R relevant items (those of the query's class).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from interlace.errors import InterlaceError

DEFAULT_MEMORY = 256 << 20
"""Bytes that the similarities and what is computed from them may take at a time."""

_BYTES_PER_CELL = 40  # a similarity in float64, in float32 and masked, its place and its cell
_MOST_COLUMNS = 8192


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """What each of Q queries found in the gallery, ranked by cosine similarity.

    Attributes:
        k: length of the list that is looked at; None for the whole gallery.
        ap: [Q], float64: AP@k as papers on cross-domain retrieval publish it, the sum of
            precision@i * relevant@i over the first k, divided by the number of relevant items
            *among the first k*; 0 where there is none.
        standard_ap: [Q], float64: the same sum divided by the number of relevant items *in the
            gallery*; 0 where there is none.
        ap_all: [Q], float64: AP over the whole gallery, where the two are the same.
        precision: [Q], float64: share of relevant items among the first min(k, G).
        relevant: [Q], int64: number of relevant items in the gallery.
    """

    k: int | None
    ap: Tensor
    standard_ap: Tensor
    ap_all: Tensor
    precision: Tensor
    relevant: Tensor

    def means(self) -> dict[str, float]:
        """Return means over the queries by their labels: ``map_200``, ``standard_map_200``, ..."""
        at = "all" if self.k is None else str(self.k)
        return {
            f"map_{at}": self.ap.mean().item(),
            f"standard_map_{at}": self.standard_ap.mean().item(),
            f"prec_{at}": self.precision.mean().item(),
            "map_all": self.ap_all.mean().item(),
        }


def retrieval_metrics(
    query: Tensor,
    query_labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    k: int | None,
    *,
    memory: int = DEFAULT_MEMORY,
) -> RetrievalScores:
    """Score a ranking of the gallery for every query: see ``metrics_at``.

    Args:
        query: [Q, E].
        query_labels: [Q], int64.
        gallery: [G, E].
        gallery_labels: [G], int64.
        k: length of the list that is looked at; None for the whole gallery.
        memory: bound in bytes on what is held at a time beside the arguments.

    Raises:
        InterlaceError: as ``metrics_at``.
    """
    return metrics_at(query, query_labels, gallery, gallery_labels, (k,), memory=memory)[0]


def metrics_at(
    query: Tensor,
    query_labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    ks: Sequence[int | None],
    *,
    memory: int = DEFAULT_MEMORY,
) -> tuple[RetrievalScores, ...]:
    """Score the same ranking for several lengths of the list at once.

    Features are normalised, compared in float64, and the cosines rounded to float32. Equal cosines
    count against the ranking: an item of another class stands before a relevant one. So ties are
    decided without regard to the order of the gallery, and features that tell nothing apart score
    worst.

    Nothing is sorted but the relevant items. Their ranks follow from counting the items of other
    classes that are as similar, block by block, so memory does not grow with Q * G.

    Args:
        query: [Q, E].
        query_labels: [Q], int64.
        gallery: [G, E].
        gallery_labels: [G], int64.
        ks: lengths; None for the whole gallery.
        memory: bound in bytes on what is held at a time beside the arguments.

    Returns:
        The scores for each of ``ks``, on the CPU.

    Raises:
        InterlaceError: the shapes do not fit, there is no query or no gallery item, a feature is
            not a number, or a ``k`` is below 1.
    """
    _check(query, query_labels, gallery, gallery_labels, ks)
    if not ks:
        return ()
    count, total = len(query), len(gallery)
    # one row per measure: published, standard and precision of each k, and AP over all
    values = torch.zeros(3 * len(ks) + 1, count, dtype=torch.double)
    relevant = torch.zeros(count, dtype=torch.long)
    for rows, ranks, valid in _ranked(query, query_labels, gallery, gallery_labels, memory):
        number = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)
        precision = valid * number / ranks.double()
        n_relevant = valid.sum(1)
        at_rows = rows.cpu()
        relevant[at_rows] = n_relevant.cpu()
        for column, k in enumerate(ks):
            among = valid & (ranks <= (total if k is None else k))
            hits, total_precision = among.sum(1), (precision * among).sum(1)
            values[3 * column, at_rows] = (total_precision / hits.clamp_min(1)).cpu()
            values[3 * column + 1, at_rows] = (total_precision / n_relevant.clamp_min(1)).cpu()
            length = total if k is None else min(k, total)
            values[3 * column + 2, at_rows] = hits.double().cpu() / length
        values[-1, at_rows] = (precision.sum(1) / n_relevant.clamp_min(1)).cpu()
    by_length = zip(ks, values[:-1].unflatten(0, (-1, 3)), strict=True)
    return tuple(
        RetrievalScores(k, ap, standard_ap, values[-1], precision, relevant)
        for k, (ap, standard_ap, precision) in by_length
    )


def top_hits(query: Tensor, gallery: Tensor, count: int, *, memory: int = DEFAULT_MEMORY) -> Tensor:
    """Find the gallery items that are nearest to each query.

    Args:
        query: [Q, E].
        gallery: [G, E].
        count: how many; at most G are given.
        memory: bound in bytes on what is held at a time beside the arguments.

    Returns:
        Rows of the gallery [Q, count], int64, best first; of equal ones the first comes first.

    Raises:
        InterlaceError: as ``metrics_at``.
    """
    none = query.new_zeros(max(len(query), len(gallery)), dtype=torch.long)
    _check(query, none[: len(query)], gallery, none[: len(gallery)], (count,))
    found: list[Tensor] = []
    columns, height = _block(len(gallery), count, memory)
    for rows in query.split(height):
        q = F.normalize(rows.double(), dim=-1)
        best = torch.empty(len(q), 0, device=q.device)
        index = torch.empty(len(q), 0, dtype=torch.long, device=q.device)
        for start in range(0, len(gallery), columns):
            distance = _distances(q, gallery[start : start + columns])
            own = torch.arange(start, start + distance.shape[1], device=q.device)
            # earlier items stand in front, and sorting is stable
            distance = torch.cat([best, distance], dim=1)
            index = torch.cat([index, own.expand(len(q), -1)], dim=1)
            order = distance.sort(dim=1, stable=True).indices[:, :count]
            best, index = distance.gather(1, order), index.gather(1, order)
        found.append(index)
    return torch.cat(found)


def _block(n_gallery: int, beside: int, memory: int) -> tuple[int, int]:
    """Return the columns and the rows of a block, with so many cells beside each row's own."""
    columns = min(n_gallery, _MOST_COLUMNS, max(1, memory // _BYTES_PER_CELL))
    return columns, max(1, memory // (_BYTES_PER_CELL * (columns + beside)))


def _ranked(
    query: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor, memory: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Return the ranks of the relevant items, some queries at a time.

    Yields:
        The rows [q] of the queries, the ranks [q, R] from 1 on of their relevant items, best
        first and padded to the most of these queries, and which are no padding [q, R].
    """
    by_label = gallery_labels.argsort(stable=True)
    sorted_labels = gallery_labels[by_label]
    asked = query_labels.argsort(stable=True)
    first = torch.searchsorted(sorted_labels, query_labels)
    last = torch.searchsorted(sorted_labels, query_labels, right=True)
    most = max(1, int((last - first).max()))
    columns, height = _block(len(gallery), most, memory)
    for rows in asked.split(height):
        q, labels = F.normalize(query[rows].double(), dim=-1), query_labels[rows]
        own = _own_distances(q, labels, first[rows], last[rows], gallery, by_label)
        before = torch.zeros(len(rows), own.shape[1] + 1, dtype=torch.long, device=q.device)
        for start in range(0, len(gallery), columns):
            part = slice(start, start + columns)
            distance = _distances(q, gallery[part])
            distance[labels[:, None] == gallery_labels[None, part]] = torch.inf
            # the first relevant item that is no nearer: this one stands before it and the rest
            place = torch.searchsorted(own, distance)
            before.scatter_add_(1, place, torch.ones_like(place))
        number = torch.arange(1, own.shape[1] + 1, device=q.device)
        yield rows, before.cumsum(1)[:, :-1] + number, own.isfinite()


def _own_distances(
    q: Tensor, labels: Tensor, first: Tensor, last: Tensor, gallery: Tensor, by_label: Tensor
) -> Tensor:
    """Distances [q, R] of the relevant items, nearest first, then infinity as padding.

    Args:
        q: [q, E], normalised.
        labels: [q], ascending.
        first: [q], where the row's class begins in ``by_label``.
        last: [q], where it ends.
        gallery: [G, E].
        by_label: [G], the gallery's rows by class.
    """
    own = q.new_full((len(q), max(1, int((last - first).max()))), torch.inf, dtype=torch.float)
    end = 0
    for size in labels.unique_consecutive(return_counts=True)[1].tolist():
        rows, start, stop = slice(end, end + size), int(first[end]), int(last[end])
        end += size
        own[rows, : stop - start] = _distances(q[rows], gallery[by_label[start:stop]])
    return own.sort(dim=1).values


def _distances(q: Tensor, gallery: Tensor) -> Tensor:
    """Negative cosines [q, g], float32, of normalised queries with gallery items."""
    return -(q @ F.normalize(gallery.double(), dim=-1).T).float()


def _check(
    query: Tensor,
    query_labels: Tensor,
    gallery: Tensor,
    gallery_labels: Tensor,
    ks: Sequence[int | None],
) -> None:
    for name, features, labels in (
        ("query", query, query_labels),
        ("gallery", gallery, gallery_labels),
    ):
        if features.dim() != 2 or labels.shape != features.shape[:1]:
            raise InterlaceError(
                f"{name} features of shape {list(features.shape)} and labels of shape "
                f"{list(labels.shape)}: must be [N, E] and [N]"
            )
        if not len(features):
            raise InterlaceError(f"no {name} image: there must be at least one")
        # in parts: the answer for all of them at once would be a matrix as large as the features
        rows = sum(int((~part.isfinite()).any(1).sum()) for part in features.split(_MOST_COLUMNS))
        if rows:
            raise InterlaceError(
                f"{name} features of {rows} of {len(features)} images are not numbers"
            )
    if query.shape[1] != gallery.shape[1]:
        raise InterlaceError(
            f"query features of width {query.shape[1]} and gallery features of width "
            f"{gallery.shape[1]}: they must come from the same model"
        )
    for k in ks:
        if k is not None and k < 1:
            raise InterlaceError(f"k = {k}: must be 1 or more, or None for the whole gallery")
