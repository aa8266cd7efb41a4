"""Retrieval metrics: by hand, against reference numbers, and in blocks of any size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from interlace.errors import InterlaceError
from interlace.evaluation import retrieval as retrieve
from interlace.evaluation.retrieval import metrics_at, retrieval_metrics, top_hits

GOLDEN = Path(__file__).parents[1] / "golden" / "retrieval.npz"


def at_angles(*degrees: float) -> Tensor:
    """Features in the plane, of different lengths."""
    angle = torch.tensor(degrees).deg2rad()
    length = torch.arange(1, len(degrees) + 1) / 3
    return torch.stack([angle.cos(), angle.sin()], dim=1) * length[:, None]


def plain(query: Tensor, ql: Tensor, gallery: Tensor, gl: Tensor, k: int) -> list[list[float]]:
    """The definitions written down item by item; no ties."""
    rows = []
    unit = torch.nn.functional.normalize
    for similarity, label in zip(unit(query) @ unit(gallery).T, ql, strict=True):
        hit = (gl[similarity.argsort(descending=True)] == label).tolist()
        precision = [sum(hit[: i + 1]) / (i + 1) for i in range(len(hit))]

        def total(n: int, hit: list = hit, precision: list = precision) -> float:
            return sum(p for p, h in zip(precision[:n], hit[:n], strict=True) if h)

        near, every = sum(hit[:k]), sum(hit)
        rows.append(
            [
                total(k) / near if near else 0.0,
                total(k) / every if every else 0.0,
                total(len(hit)) / every if every else 0.0,
                near / min(k, len(hit)),
            ]
        )
    return rows


def random_case(seed: int = 0, q: int = 37, g: int = 211, classes: int = 9) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(q, 6, generator=generator),
        # the gallery has none of the last two classes, and the queries none of the first
        torch.randint(1, classes + 2, (q,), generator=generator),
        torch.randn(g, 6, generator=generator),
        torch.randint(0, classes, (g,), generator=generator),
    )


def test_a_ranking_worked_by_hand() -> None:
    # from the query at 0 degrees the gallery stands 7 0 7 7 0 7
    gallery = at_angles(60, 10, 20, 40, 30, 50)
    labels = torch.tensor([7, 7, 0, 7, 7, 0])
    scores = retrieval_metrics(at_angles(0), torch.tensor([7]), gallery, labels, 3)
    assert scores.relevant.tolist() == [4]
    assert scores.precision.item() == pytest.approx(2 / 3)
    assert scores.ap.item() == pytest.approx((1 + 2 / 3) / 2)
    assert scores.standard_ap.item() == pytest.approx((1 + 2 / 3) / 4)
    assert scores.ap_all.item() == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 6) / 4)
    assert scores.means() == {
        "map_3": scores.ap.item(),
        "standard_map_3": scores.standard_ap.item(),
        "prec_3": scores.precision.item(),
        "map_all": scores.ap_all.item(),
    }


def test_reference_numbers() -> None:
    golden = {name: torch.from_numpy(array) for name, array in np.load(GOLDEN).items()}
    arguments = [golden[n] for n in ("query", "query_labels", "gallery", "gallery_labels")]
    at_100, at_200, over_all = metrics_at(*arguments, (100, 200, None))
    for own, name in (
        (at_200.ap, "ap200"),
        (at_200.ap_all, "apall"),
        (over_all.ap, "apall"),
        (over_all.standard_ap, "apall"),
        (at_100.precision, "p100"),
        (at_200.precision, "p200"),
    ):
        assert own.shape == golden[name].shape
        assert (own - golden[name]).abs().max() < 1e-6, name
    assert (at_200.standard_ap < at_200.ap - 1e-3).any()


@pytest.mark.parametrize("k", [1, 5, 50, 1000])
def test_the_definitions(k: int) -> None:
    case = random_case()
    scores = retrieval_metrics(*case, k)
    own = torch.stack([scores.ap, scores.standard_ap, scores.ap_all, scores.precision], dim=1)
    assert torch.allclose(own, torch.tensor(plain(*case, k), dtype=torch.double), atol=1e-12)
    none = scores.relevant == 0
    assert none.any() and not own[none].any()
    assert torch.equal(scores.relevant, (case[1][:, None] == case[3]).sum(1))


@pytest.mark.parametrize("memory", [1, 4_000, 50_000])
def test_blocks_give_what_one_block_gives(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case(1)
    whole = retrieval_metrics(*case, 20)
    widest = 0
    distances = retrieve._distances

    def watched(q: Tensor, gallery: Tensor) -> Tensor:
        nonlocal widest
        result = distances(q, gallery)
        widest = max(widest, result.numel())
        return result

    monkeypatch.setattr(retrieve, "_distances", watched)
    blocks = retrieval_metrics(*case, 20, memory=memory)
    for name in ("ap", "standard_ap", "ap_all", "precision", "relevant"):
        assert torch.equal(getattr(blocks, name), getattr(whole, name)), name
    # never the whole matrix; a single query and its relevant items are the least
    assert widest <= max(memory / 40, int(whole.relevant.max()))
    assert widest < len(case[0]) * len(case[2])


def test_ties_count_against_the_ranking_in_any_order() -> None:
    # one relevant item and three others at the same place, one other behind
    gallery = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 3.0], [0.0, 5.0], [0.0, -1.0]])
    labels = torch.tensor([1, 0, 0, 0, 0])
    query = torch.tensor([[1.0, 1.0]])
    for order in (torch.arange(5), torch.arange(5).flip(0), torch.tensor([2, 0, 4, 1, 3])):
        scores = retrieval_metrics(query, torch.tensor([1]), gallery[order], labels[order], 3)
        assert scores.ap_all.item() == 1 / 4
        assert scores.ap.item() == scores.precision.item() == 0
    # among relevant items a tie decides nothing
    same = retrieval_metrics(query, torch.tensor([0]), gallery[1:], labels[1:], None)
    assert same.ap.item() == 1


def test_features_that_tell_nothing_apart_score_worst() -> None:
    ones = torch.ones(6, 4)
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    scores = retrieval_metrics(ones[:1], labels[:1], ones, labels, 4)
    assert scores.ap_all.item() == pytest.approx((1 / 5 + 2 / 6) / 2)
    assert scores.precision.item() == 0


def test_a_list_longer_than_the_gallery() -> None:
    case = random_case(2, g=12)
    longer, whole = metrics_at(*case, (200, None))
    for name in ("ap", "standard_ap", "ap_all", "precision"):
        assert torch.equal(getattr(longer, name), getattr(whole, name))
    assert torch.allclose(longer.precision, longer.relevant.double() / 12)


def test_length_of_features_does_not_matter() -> None:
    query, ql, gallery, gl = random_case(3)
    scale = torch.arange(1, len(gallery) + 1)[:, None] * 0.37
    first = retrieval_metrics(query, ql, gallery, gl, 10)
    assert torch.equal(retrieval_metrics(query * 9, ql, gallery * scale, gl, 10).ap, first.ap)


@pytest.mark.parametrize("memory", [1, 3_000, 1 << 28])
def test_top_hits(memory: int) -> None:
    query, _, gallery, _ = random_case(4)
    cosine = torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gallery).T
    expected = cosine.topk(10).indices
    assert torch.equal(top_hits(query, gallery, 10, memory=memory), expected)
    assert top_hits(query, gallery, 500, memory=memory).shape == (37, 211)
    ties = top_hits(query[:1], gallery[:1].repeat(9, 1), 4, memory=memory)
    assert ties.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.randn(37, 5)}, "width 5 and gallery features of width 6"),
        ({1: torch.zeros(36)}, r"query features of shape \[37, 6\] and labels of shape \[36\]"),
        ({2: torch.randn(211)}, r"gallery features of shape \[211\]"),
        ({0: torch.empty(0, 6), 1: torch.empty(0)}, "no query image"),
        ({2: torch.empty(0, 6), 3: torch.empty(0)}, "no gallery image"),
        ({2: torch.full((211, 6), torch.nan)}, "gallery features of 211 of 211 images are not"),
        ({4: 0}, "k = 0: must be 1 or more"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    arguments = [*random_case(), 10]
    for position, value in change.items():
        arguments[position] = value
    with pytest.raises(InterlaceError, match=message):
        retrieval_metrics(*arguments)
