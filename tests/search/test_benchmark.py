"""The recorded run of the search benchmark works at a tiny size."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "search" / "run.py"


def test_a_tiny_run_records_what_the_real_one_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("interlace.search.index.EXACT_LIMIT", 1500)
    sizes = ["--size", "2000", "--exact-size", "600", "--queries", "10", "--kinds", "clustered"]
    build = ["--images", "3", "--rounds", "1", "--models", "picto"]
    arguments = [str(RUN), "tiny", *sizes, *build, "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(RUN), run_name="__main__")
    record = json.loads((tmp_path / "tiny.json").read_text())
    exact, indexed = record["search"]
    assert exact["index"] == "exact" and indexed["index"].startswith("IVF")
    assert [one["recall_at_10"] for one in exact["asked"]] == [1, 1]
    assert [one["with"] for one in indexed["asked"]] == ["clustered", "words"]
    assert indexed["asked"][0]["recall_at_10"] >= 0.9 and indexed["build_seconds"] > 0
    assert all(0 < one["median_ms"] <= one["p99_ms"] for one in indexed["asked"])
    assert record["build"][0]["ratio_of_medians"] > 0 and record["commit"]
    with pytest.raises(SystemExit, match="records are added, never edited"):
        runpy.run_path(str(RUN), run_name="__main__")
