"""Which data sets published protocols cover is written down, not inferred."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from interlace.data.datasets import benchmark_table, benchmarks
from interlace.data.datasets.benchmark_table import (
    BENCHMARKS,
    CROSS_DATASET_TARGETS,
    DOMAIN_GENERALIZATION_TARGETS,
    FEW_SHOT_DATA_SETS,
    SOURCE_DATA_SET,
)
from interlace.experiments.reproduce import all_reproductions
from interlace.protocols import Setting, cross_dataset, domain_generalization


def test_the_published_sets_are_benchmarks() -> None:
    assert len(FEW_SHOT_DATA_SETS) == 11 and FEW_SHOT_DATA_SETS[0] == SOURCE_DATA_SET
    covered = (*FEW_SHOT_DATA_SETS, *DOMAIN_GENERALIZATION_TARGETS)
    assert covered == tuple(BENCHMARKS)  # in the order of the published tables
    for name in FEW_SHOT_DATA_SETS:
        assert BENCHMARKS[name].totals.train
    for name in DOMAIN_GENERALIZATION_TARGETS:
        assert BENCHMARKS[name].totals.train is None


def published() -> dict[str, object]:
    found: dict[str, object] = {one.name: one.data_sets for one in all_reproductions()}
    imagenet = Setting("imagenet")
    found["cross_dataset"] = cross_dataset.default_targets(imagenet)
    found["domain_generalization"] = domain_generalization.default_targets(imagenet)
    return found


@pytest.mark.parametrize("train", [1_000, None])
def test_another_data_set_changes_no_published_protocol(
    monkeypatch: pytest.MonkeyPatch, train: int | None
) -> None:
    before = published()
    new = replace(BENCHMARKS["eurosat"], name="gulls", title="Gulls", aliases=())
    new = replace(new, totals=replace(new.totals, train=train, val=train))
    more = MappingProxyType({**BENCHMARKS, "gulls": new})
    for module in (benchmark_table, benchmarks):
        monkeypatch.setattr(module, "BENCHMARKS", more)
    assert "gulls" in benchmarks.benchmark_names()
    assert published() == before
    assert before["cross_dataset"] == CROSS_DATASET_TARGETS
    assert before["domain_generalization"] == DOMAIN_GENERALIZATION_TARGETS
