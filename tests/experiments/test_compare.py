"""Summaries of a comparison, worked by hand."""

from __future__ import annotations

import pytest

import interlace
from interlace.errors import InterlaceError
from interlace.experiments.compare import Cell, summarize
from interlace.protocols.base_to_novel import BaseNovelScores


def cell(method, seed, base, novel):
    scores = BaseNovelScores(base, novel, None if novel is None else novel / 2, 10, 10)
    return Cell(method, seed, scores, 0, 1.0, {}, "")


CELLS = [
    cell("zero_shot", 1, 0.4, 0.6),
    cell("zero_shot", 2, 0.4, 0.6),
    cell("mine", 1, 0.5, 0.6),
    cell("mine", 2, 0.7, 0.4),
    cell("bound", 1, 0.9, None),
    cell("bound", 2, 0.8, None),
]


def test_the_harmonic_mean_is_that_of_the_averages():
    found = summarize(CELLS, "mine", "harmonic")
    assert found.mean == pytest.approx(2 * 0.6 * 0.5 / 1.1)
    mean_of_means = (2 * 0.5 * 0.6 / 1.1 + 2 * 0.7 * 0.4 / 1.1) / 2
    assert found.gain.difference.mean == pytest.approx(mean_of_means - 0.48)


def test_gains_are_paired_with_zero_shot():
    found = summarize(CELLS, "mine", "base")
    assert found.mean == pytest.approx(0.6)
    assert found.gain.difference.mean == pytest.approx(0.2)
    # t of one degree of freedom is 12.706; the deviation of 0.1 and 0.3 over root two is 0.1
    assert found.gain.difference.half_width == pytest.approx(1.2706, abs=1e-4)
    assert (found.gain.wins, found.gain.losses) == (2, 0)


def test_a_method_without_novel_classes_has_no_such_summary():
    assert summarize(CELLS, "bound", "novel") is None
    assert summarize(CELLS, "bound", "harmonic") is None
    assert summarize(CELLS, "bound", "base").mean == pytest.approx(0.85)


def test_a_method_may_stand_twice_with_settings_of_its_own():
    clip = interlace.load("picto")
    cells = interlace.compare(
        clip,
        lambda seed: interlace.FewShotTask.load("picto/activities", 1, seed),
        ["mail", "mail:rank=0:lr=1e-3"],
        [1],
        settings={"epochs": 1},
    )
    assert [cell.method for cell in cells] == ["zero_shot", "mail", "mail:rank=0:lr=1e-3"]
    _, mail, alone = cells
    assert (mail.run["arguments"]["rank"], alone.run["arguments"]["rank"]) == (32, 0)
    assert alone.run["train"]["lr"] == 1e-3 and alone.run["train"]["epochs"] == 1
    assert alone.parameters < mail.parameters
    with pytest.raises(InterlaceError, match="no setting 'rang'"):
        interlace.compare(clip, lambda seed: None, ["mail:rang=0"], [1])
