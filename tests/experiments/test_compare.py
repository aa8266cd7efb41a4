"""Summaries of a comparison, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

import interlace
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec, run_cell
from interlace.experiments.compare import ComparedCell, summarize_comparison
from interlace.experiments.reading import parse_cell
from interlace.protocols.base_to_novel import BaseNovelScores
from tests.report import making


def cell(method, seed, base, novel):
    scores = BaseNovelScores(base, novel, None if novel is None else novel / 2, 10, 10)
    values = {"base": base, "novel": novel, "joint": scores.joint}
    metrics = {name: {"top1": value} for name, value in values.items() if value is not None}
    record = making.cell(method, seed, metrics, protocol="base_to_novel")
    return ComparedCell(parse_cell(record), scores)


CELLS = [
    cell("zero_shot", 1, 0.4, 0.6),
    cell("zero_shot", 2, 0.4, 0.6),
    cell("mine", 1, 0.5, 0.6),
    cell("mine", 2, 0.7, 0.4),
    cell("bound", 1, 0.9, None),
    cell("bound", 2, 0.8, None),
]


def test_the_harmonic_mean_is_that_of_the_averages():
    found = summarize_comparison(CELLS)["mine", "hm"]
    assert found.mean == pytest.approx(2 * 0.6 * 0.5 / 1.1)
    mean_of_means = (2 * 0.5 * 0.6 / 1.1 + 2 * 0.7 * 0.4 / 1.1) / 2
    assert found.comparison.paired.difference.mean == pytest.approx(mean_of_means - 0.48)


def test_gains_are_paired_with_zero_shot():
    found = summarize_comparison(CELLS)["mine", "base"]
    assert found.mean == pytest.approx(0.6)
    assert found.comparison.paired.difference.mean == pytest.approx(0.2)
    # t of one degree of freedom is 12.706; the deviation of 0.1 and 0.3 over root two is 0.1
    assert found.comparison.paired.difference.half_width == pytest.approx(1.2706, abs=1e-4)
    paired = found.comparison.paired
    assert (paired.wins, paired.losses) == (2, 0)


def test_a_method_without_novel_classes_has_no_such_summary():
    found = summarize_comparison(CELLS)
    assert [target for method, target in found if method == "bound"] == ["base"]
    assert found["bound", "base"].mean == pytest.approx(0.85)


def test_a_method_may_stand_twice_with_settings_of_its_own():
    clip = interlace.load("picto")
    cells = interlace.compare(
        clip,
        lambda seed: interlace.FewShotTask.load("picto/activities", 1, seed),
        ["mail", "mail:rank=0:lr=1e-3"],
        [1],
        settings={"epochs": 1, "rank": 4, "lr": 2e-4},
    )
    assert [cell.method for cell in cells] == ["zero_shot", "mail", "mail:rank=0:lr=1e-3"]
    _, mail, alone = cells
    assert (mail.run["arguments"]["rank"], alone.run["arguments"]["rank"]) == (4, 0)
    assert (mail.run["train"]["lr"], alone.run["train"]["lr"]) == (2e-4, 1e-3)
    assert alone.run["train"]["epochs"] == mail.run["train"]["epochs"] == 1
    assert alone.parameters < mail.parameters
    with pytest.raises(InterlaceError, match="no setting 'rang'"):
        interlace.compare(clip, lambda seed: None, ["mail:rang=0"], [1])


def test_a_comparison_and_a_grid_give_the_same_cells():
    spec = CellSpec("base_to_novel", "picto/activities", "mail", 1, 2, settings={"epochs": 1})
    alone = run_cell(spec)
    _, compared = interlace.compare(
        interlace.load("picto"),
        lambda seed: interlace.FewShotTask.load("picto/activities", 1, seed),
        ["mail"],
        [2],
        settings={"epochs": 1},
    )
    record = compared.cell.record
    for part in ("run", "split_hash", "backbone", "parameters", "tuned"):
        assert record[part] == alone[part], part
    assert {t: m["top1"] for t, m in record["metrics"].items()} == {
        t: m["top1"] for t, m in alone["metrics"].items()
    }
    assert compared.to_dict()["scores"]["joint"] == alone["metrics"]["joint"]["top1"]


def test_numbers_of_numpy_are_settings():
    cells = interlace.compare(
        interlace.load("picto"),
        lambda seed: interlace.FewShotTask.load("picto/activities", 1, seed),
        ["clip_adapter"],
        [np.int64(1)],
        settings={"epochs": np.int64(1), "lr": np.float64(1e-3)},
    )
    assert cells[1].run["train"]["lr"] == 1e-3
