"""Choosing settings on the sets that nothing reports: the rule, on records that are made up."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality" / "suite.py"


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("quality_suite", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(method, data, base, novel=None, error=None):
    metrics = {"base": {"top1": base}, "joint": {"top1": 0.1}}
    if novel is not None:
        metrics["novel"] = {"top1": novel}
    return {
        "spec": {"method": method, "data": data, "seed": 1},
        "status": "failed" if error else "done",
        "error": error and {"message": error},
        "metrics": metrics,
        "seconds": {"fit": 2.0, "fit_cpu": 1.0},
    }


def test_every_combination_is_named_as_a_grid_takes_it(suite):
    names = suite.combinations("mail:rank=8", ["lr=1e-3,2e-3", "epochs=5"])
    assert names == ["mail:rank=8:lr=1e-3:epochs=5", "mail:rank=8:lr=2e-3:epochs=5"]
    assert suite.combinations("mail", []) == ["mail"]


def test_the_best_harmonic_mean_over_the_sets_is_chosen(suite):
    found = suite.rows(
        [
            *(record("zero_shot", data, 0.4, 0.4) for data in ("a", "b")),
            record("mail:lr=1.0", "a", 0.9, 0.1),  # better on base alone
            record("mail:lr=1.0", "b", 0.9, 0.1),
            record("mail:lr=2.0", "a", 0.5, 0.5),
            record("mail:lr=2.0", "b", 0.6, 0.6),
            record("mail:lr=3.0", "a", 0.9, 0.9),
            record("mail:lr=3.0", "b", 0.9, 0.9, error="the loss is not finite"),
        ]
    )
    assert [row["settings"]["lr"] for row in found] == [2.0, 1.0, 3.0]
    assert found[0]["hm"] == pytest.approx(0.55)
    assert found[0]["hm_gain"] == pytest.approx(0.15)
    assert "not finite" in suite.told(found[2])


def test_a_method_without_novel_classes_is_chosen_by_its_base_classes(suite):
    found = suite.rows(
        [
            record("zero_shot", "a", 0.4, 0.4),
            record("linear_probe:lr=1.0", "a", 0.5),
            record("linear_probe:lr=2.0", "a", 0.6),
        ]
    )
    assert found[0]["settings"] == {"lr": 2.0}
    assert "novel" not in found[0]
    assert found[0]["base_gain"] == pytest.approx(0.2)


def test_the_block_is_what_a_preset_has(suite):
    settings = {"rank": 8, "lr": 1e-3, "train_projections": False, "select": "last"}
    assert suite.block("mail", settings) == (
        "mail:\n  method: {rank: 8, train_projections: false}\n  train: {lr: 0.001, select: last}"
    )


@pytest.mark.parametrize("data", ["suite", "suite/kinds", "suite-dev,suite-shifts/hard"])
def test_reported_sets_are_refused(suite, monkeypatch, data):
    monkeypatch.setattr("sys.argv", ["suite.py", "mail", "--data", data])
    with pytest.raises(SystemExit, match="is reported"):
        suite.main()
