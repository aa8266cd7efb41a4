"""`interlace report` as a user runs it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.report.making import FAILURE, Grid, cell, write


@pytest.fixture
def runs(tmp_path):
    grid = Grid(("zero_shot", "mail", "mmrl"), data=["set_a"], seeds=(1, 2, 3))
    return write(tmp_path / "runs", [*grid.base_to_novel(), cell("mail", 4, error=FAILURE)])


def test_the_suffix_says_the_format(interlace_command, runs, tmp_path):
    starts = {"html": "<!doctype html>", "md": "# Results", "csv": "model,", "tex": "% Needs"}
    for suffix, start in starts.items():
        path = tmp_path / "deep" / f"report.{suffix}"
        code, out, err = interlace_command("report", runs, "-o", path)
        assert code == 0, err
        assert path.read_text(encoding="utf-8").startswith(start)
        assert "9 cells" in out and "warning: 1 cell failed" in err


def test_text_goes_to_the_terminal(interlace_command, runs):
    code, out, err = interlace_command("report", runs, "--title", "My runs")
    assert code == 0 and out.startswith("# My runs\n") and "warning" in err
    code, out, _ = interlace_command("report", runs, "--format", "csv", "--baseline", "mail")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and {row["baseline"] for row in rows} == {"mail", ""}
    code, out, _ = interlace_command("report", runs, "--format", "latex")
    assert code == 0 and r"\toprule" in out


def test_json(interlace_command, runs, tmp_path):
    code, out, _ = interlace_command("report", runs, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["cells"], found["failed"], found["baseline"]) == (9, 1, "zero_shot")
    assert {"failed", "seeds"} <= {notice["kind"] for notice in found["notices"]}
    hm = next(s for s in found["summaries"] if (s["method"], s["target"]) == ("mmrl", "hm"))
    assert hm["pairs"] == 3 and hm["low"] < hm["mean"] < hm["high"]
    code, out, _ = interlace_command("report", runs, "--json", "-o", tmp_path / "r.md")
    assert code == 0 and json.loads(out)["cells"] == 9 and (tmp_path / "r.md").exists()


def test_several_folders_and_files(interlace_command, runs, tmp_path):
    more = write(tmp_path / "more", [cell("coop", 1, 0.5)])
    code, out, _ = interlace_command("report", runs, next(more.glob("*.json")), "--json")
    assert code == 0 and json.loads(out)["cells"] == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "report.pdf"], "report.pdf: the suffix says no format"),
        (["-o", "."], "is a folder"),
        (["--format", "html"], "needs a file"),
        (["--baseline", "nothing"], "baseline 'nothing' has no cell: there are mail, mmrl"),
        (["gone"], "no file or folder 'gone'"),
    ],
)
def test_bad_input_is_one_line(interlace_command, runs, arguments, message):
    code, out, err = interlace_command("report", runs, *arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_a_folder_without_cells(interlace_command, tmp_path):
    (tmp_path / "x.json").write_text("[]")
    code, _, err = interlace_command("report", tmp_path)
    assert code == 2 and "no cell of interlace bench found" in err and err.count("\n") == 1
