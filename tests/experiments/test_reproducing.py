"""Our numbers beside the published ones, on cells whose figures are made up."""

from __future__ import annotations

import pytest

from interlace.config import PUBLISHED
from interlace.data.datasets.benchmarks import BENCHMARKS
from interlace.errors import InterlaceError
from interlace.evaluation.statistics import Interval
from interlace.experiments import reproduce as reproducing
from interlace.experiments.cell import CellSpec
from interlace.experiments.published import Value
from interlace.experiments.reproduce import (
    Reproduction,
    ReproductionRow,
    all_reproductions,
    find,
    rows,
)
from tests.data import trees


def cell(protocol, data, seed, shots=16, status="done", **top1):
    spec = CellSpec(protocol, data, "mmrl", shots, seed)
    metrics = {name: {"top1": value} for name, value in top1.items()}
    head = {"format": "interlace.cell/1", "id": spec.id}
    return {**head, "spec": spec.to_dict(), "status": status, "metrics": metrics}


def by_place(found):
    return {(row.data, row.shots, row.measure): row for row in found}


def test_base_to_novel_by_hand():
    """Base 0.90, 0.92, 0.94: mean 92, s = 2, t(2) = 4.3027, half width 4.3027 * 2 / sqrt(3)."""
    records = [
        cell("base_to_novel", "EuroSAT", seed, base=base, novel=novel, joint=0.1)
        for seed, base, novel in ((1, 0.90, 0.70), (2, 0.92, 0.74), (3, 0.94, 0.78))
    ]
    found = by_place(rows(find("mmrl/base_to_novel"), records))
    assert list(found) == [("eurosat", 16, measure) for measure in ("base", "novel", "HM")]
    base, novel, harmonic = found.values()
    assert base.ours.mean == pytest.approx(92)
    assert base.ours.half_width == pytest.approx(4.9683, abs=1e-3)
    assert [v.value for v in base.published] == [95.60, 96.10]
    assert [base.difference(v) for v in base.published] == pytest.approx([-3.60, -4.10])
    # 92 + 4.97 = 96.97
    assert [base.inside(v) for v in base.published] == [True, True]
    # novel 74 +- 9.94: 80.17 and 72.33 both inside
    assert [novel.difference(v) for v in novel.published] == pytest.approx([-6.17, 1.67])
    assert [novel.inside(v) for v in novel.published] == [True, True]
    # 2 * 92 * 74 / 166, and not the mean of 78.75, 82.02 and 85.26
    assert harmonic.ours.mean == pytest.approx(82.0241, abs=1e-3)
    assert harmonic.ours.n == 3
    assert [v.value for v in harmonic.published] == [87.21]


def test_a_value_outside_and_a_single_seed():
    value = Value("dtd", 16, "base", 80.0, "s", "paper")
    row = ReproductionRow("dtd", 16, "base", Interval(3, 70.0, 9.9), (value,))
    assert row.inside(value) is False and row.difference(value) == 10 - 20
    assert ReproductionRow("dtd", 16, "base", Interval(3, 70.0, 10.0), ()).inside(value) is True
    single = ReproductionRow("dtd", 16, "base", Interval(1, 80.0, None), (value,))
    assert single.inside(value) is None and single.difference(value) == 0
    none = ReproductionRow("dtd", 16, "base", None, (value,))
    assert none.to_dict()["published"][0] | {"source": "s"} == {
        **none.to_dict()["published"][0],
        "difference": None,
        "inside": None,
    }


def test_the_average_stands_only_where_all_data_sets_are_there():
    asked = find("mmrl/base_to_novel")
    records = [
        cell("base_to_novel", data, seed, base=0.5 + i / 100, novel=0.4 + seed / 100)
        for i, data in enumerate(asked.data_sets)
        for seed in (1, 2)
    ]
    found = by_place(rows(asked, records))
    base, novel, harmonic = (found["average", 16, m].ours for m in ("base", "novel", "HM"))
    assert (base.n, base.mean) == (2, pytest.approx(55))  # i = 0..10 average to 5
    assert novel.mean == pytest.approx(41.5)
    assert harmonic.mean == pytest.approx(2 * 55 * 41.5 / 96.5)
    assert [v.value for v in found["average", 16, "HM"].published] == [81.20, 80.72, 80.83]
    assert len(found) == 12 * 3
    assert ("average", 16, "base") not in by_place(rows(asked, records[:-2]))
    assert ("average", 16, "base") not in by_place(rows(asked, records[:-1]))  # one seed lacks
    failed = {**records[-1], "status": "failed"}
    assert ("average", 16, "HM") not in by_place(rows(asked, [*records[:-1], failed]))


def test_cross_dataset_averages_the_targets_without_the_source():
    asked = find("mmrl/cross_dataset")
    scores = {name: 0.6 for name in asked.data_sets} | {"source": 0.9, "dtd": 0.7}
    found = by_place(rows(asked, [cell("cross_dataset", "imagenet", 1, **scores)]))
    assert found["imagenet", 16, "accuracy"].ours.mean == pytest.approx(90)
    assert found["average", 16, "accuracy"].ours.mean == pytest.approx(61)
    (published,) = found["average", 16, "accuracy"].published
    assert found["average", 16, "accuracy"].difference(published) == pytest.approx(61 - 67.25)
    assert len(found) == 12


def test_domains_have_names_with_hyphens():
    scores = {"source": 0.7, "imagenet-a": 0.5, "imagenetv2": 0.6}
    record = cell("domain_generalization", "imagenet", 1, **scores)
    found = by_place(rows(find("mmrl/domain_generalization"), [record]))
    assert list(found) == [(d, 16, "accuracy") for d in ("imagenet", "imagenetv2", "imagenet-a")]
    assert [v.value for v in found["imagenet-a", 16, "accuracy"].published] == [51.20]


def test_few_shot_keeps_shots_apart():
    asked = find("clip_lora/few_shot")
    records = [
        cell("few_shot", data, 1, shots, all=shots / 20)
        for data in asked.data_sets
        for shots in (4, 16)
    ]
    found = by_place(rows(asked, records))
    four, sixteen = (found["average", shots, "accuracy"] for shots in (4, 16))
    assert (four.ours.mean, sixteen.ours.mean) == (pytest.approx(20), pytest.approx(80))
    assert [v.value for v in (*four.published, *sixteen.published)] == [77.32, 82.89]


def test_cells_are_those_of_the_method_alone():
    asked = find("MMRL/base-to-novel")
    cells = asked.cells(["eurosat", "dtd"], "picto", [1, 2], [16], {})
    assert {(c.method, c.preset, c.protocol) for c in cells} == {
        ("mmrl", PUBLISHED, "base_to_novel")
    }
    assert [(c.data, c.seed) for c in cells] == [
        ("eurosat", 1),
        ("eurosat", 2),
        ("dtd", 1),
        ("dtd", 2),
    ]
    (transfer,) = find("mmrl/cross_dataset").cells(["dtd"], "picto", [1], [16], {})
    assert (transfer.data, transfer.targets) == ("imagenet", ("dtd",))
    (drawn,) = find("mmrl/few_shot").cells(
        ["caltech101"], "picto", [2], [4], {}, "D/{data}/shot_{shots}-seed_{seed}.pkl"
    )
    assert drawn.split == "D/caltech-101/shot_4-seed_{seed}.pkl"  # the cell puts in its seed
    with pytest.raises(InterlaceError, match="epochz"):
        asked.cells(["dtd"], "picto", [1], [16], {"epochz": 1})


def test_names():
    known = {one.name: one for one in all_reproductions()}
    assert len(known["mmrl/base_to_novel"].values) == 3 + 8 * 3 + 11 * 2 + 3 + 3
    assert known["mail/base_to_novel"].values == ()
    assert known["maple/cross_dataset"].recipe is None
    assert not [name for name in known if name.startswith("multimodal_adapter")]
    for name, message in (
        ("mmrl/base_to_nvel", "did you mean 'mmrl/base_to_novel'"),
        ("mmrl", "nothing published of 'mmrl'"),
        ("x/y", "--list"),
    ):
        with pytest.raises(InterlaceError, match=message):
            find(name)
    with pytest.raises(InterlaceError, match="setting that reached them is not known"):
        find("maple/cross_dataset").setting()


def test_data_sets_outside_of_the_publication_are_refused():
    asked = find("mmrl/base_to_novel")
    assert asked.chosen([]) == asked.data_sets and len(asked.data_sets) == 11
    assert asked.chosen(["DescribableTextures", "dtd"]) == ("dtd",)
    for name in ("picto/food-drink", "imagenet-a", "photos/"):
        with pytest.raises(InterlaceError, match=f"not published on '{name}'"):
            asked.chosen([name])
    assert find("mmrl/cross_dataset").needed(["dtd"]) == ("imagenet", "dtd")
    assert asked.needed(["dtd"]) == ("dtd",)
    with pytest.raises(InterlaceError, match="imagenet"):
        find("mmrl/cross_dataset").chosen(["imagenet"])


def test_what_is_not_there_and_what_is_not_complete(tmp_path, monkeypatch):
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    trees.split_json(tmp_path, "dtd")
    assert reproducing.missing(["dtd", "eurosat"], tmp_path) == ["eurosat"]
    assert reproducing.incomplete(["dtd"], tmp_path) == ["DTD: 2 classes instead of 47"]
    with pytest.raises(InterlaceError, match="--data-root"):
        reproducing.missing(["dtd"], None)


def test_data_sets_of_the_protocols():
    assert set(find("mmrl/cross_dataset").data_sets) | {"imagenet"} == set(
        find("mmrl/few_shot").data_sets
    )
    assert len(find("mmrl/domain_generalization").data_sets) == 4
    assert Reproduction("maple", "few_shot", None, ()).data_sets == ()
    everything = {name for one in all_reproductions() for name in one.data_sets}
    assert everything == set(BENCHMARKS)
