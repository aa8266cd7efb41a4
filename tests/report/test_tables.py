import csv
import io
import shutil
import subprocess

import pytest
from rich.console import Console

from interlace.report import flat, results_of, tables
from interlace.report.findings import finding
from interlace.report.grids import by_data, grids
from tests.report.making import Grid, cell

METHODS = ("zero_shot", "tip_adapter", "mail", "mmrl++")


@pytest.fixture
def small(results):
    grid = Grid(METHODS, data=["set_a", "set_b"], seeds=(1, 2, 3))
    return results([*grid.base_to_novel(), *grid.few_shot((1, 4)), *grid.robustness()])


def of(results, protocol, data=None):
    return grids(results, results.setups[0], protocol, "top1", data)


def test_columns_follow_from_what_was_run(small):
    (grid,) = of(small, "base_to_novel")
    assert [column.label for column in grid.columns] == ["base", "novel", "HM", "joint"]
    assert grid.main.label == "HM" and grid.rows[-1] == "tip_adapter"
    assert [label for label, _ in grid.extras] == ["mean of HMs", "W/T/L", "Wilcoxon p"]
    (grid,) = of(small, "few_shot", "set_a")
    assert [column.label for column in grid.columns] == ["1 shot", "4 shots"]
    first, second = of(small, "robustness")
    assert first.title == "image noise, 4 shots"
    assert [column.label for column in second.columns] == ["clean", "0.1", "0.2", "0.4"]
    (grid,) = by_data(small, small.setups[0], "base_to_novel", "top1")
    assert [column.label for column in grid.columns] == ["set_a", "set_b", "average"]


def test_columns_of_a_transfer(results):
    grid = Grid(("zero_shot", "mail"), data=["s", "x", "y"], seeds=(1, 2))
    (found,) = of(results(grid.transfer()), "cross_dataset")
    assert [column.label for column in found.columns] == ["source", "x", "y", "average"]
    assert found.main.label == "average"


@pytest.mark.parametrize(
    "key, title, divided",
    [
        ("map_200", "mAP@200", "among the first k"),
        ("standard_map_200", "Standard mAP@200", "in the gallery"),
        ("map_all", "mAP@all", None),
        ("prec_100", "Precision@100", None),
    ],
)
def test_tables_of_retrieval_say_which_ap_they_show(results, key, title, divided):
    cells = [
        cell(method, seed, {"ucdr": {key: value}, "ucdr/mixed": {key: value}}, protocol="ucdr")
        for method, value in (("zero_shot", 0.4), ("mail", 0.5))
        for seed in (1, 2)
    ]
    found = results(cells)
    (grid,) = grids(found, found.setups[0], "ucdr", key)
    assert grid.notes[0].startswith(f"{title} in %")
    said = [note for note in grid.notes if "AP@k" in note]
    assert [divided in note for note in said] == ([True] if divided else [])


def test_shots_that_one_data_set_lacks_are_not_averaged(results):
    cells = [cell("mail", 1, 0.5, data=data, shots=k) for data, k in (("a", 1), ("b", 1), ("a", 8))]
    found = results(cells)
    (grid,) = of(found, "few_shot")
    assert [column.label for column in grid.columns] == ["1 shot"]
    (grid,) = of(found, "few_shot", "a")
    assert [column.label for column in grid.columns] == ["1 shot", "8 shots"]


def test_the_best_is_the_least_where_less_is_better(small):
    (grid,) = grids(small, small.setups[0], "base_to_novel", "ece")
    column = grid.columns[0]
    means = {method: s.mean for method, s in column.cells.items()}
    assert grid.is_best(column.cells[min(means, key=means.get)], column)
    assert not grid.is_best(column.cells[max(means, key=means.get)], column)
    assert "Less is better" in grid.notes[0]


def test_finding_says_how_sure_it_is(results):
    values = {"zero_shot": [0.5] * 3, "mail": [0.60, 0.62, 0.64], "coop": [0.59, 0.62, 0.66]}
    cells = [cell(m, s, v) for m, own in values.items() for s, v in enumerate(own, 1)]
    said = finding(of(results(cells), "few_shot")[0])
    # coop: mean .623333 against .62; differences to mail .01, 0, -.02
    assert said.best == "coop" and " 62.3 %, +12.3 points over zero_shot" in said.lead
    assert "Not significantly different from it: mail." in said.rest
    assert said.rest.endswith("All of the 2 other methods are better than zero_shot.")
    cells = [
        cell(m, s, 0.5 + d * s) for m, d in (("zero_shot", 0), ("mail", 0.0001)) for s in (1, -1)
    ]
    assert "it may be chance" in finding(of(results(cells), "few_shot")[0]).rest


def test_no_finding_of_one_method(results):
    assert finding(of(results([cell("mail", 1, 0.5)]), "few_shot")[0]) is None


def test_markdown_has_whole_tables_and_defines_hm(small):
    text = tables.markdown(small, "A | title_")
    assert text.startswith("# A \\| title\\_\n")
    assert "**Warning.** Some means rest on fewer than five seeds (3)." in text
    lines = text.splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    widths = [row.count("|") for row in rows]
    starts = [i for i, row in enumerate(rows) if row.startswith("| method")]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        assert len(set(widths[start:end])) == 1 and end - start > 2
    blocks = text.split("\n## ")[1:]
    for block in blocks:
        assert (" HM " in block.split("\n\n")[1:][0]) <= ("harmonic mean of the averaged" in block)


def test_csv_has_a_line_per_summary(small):
    found = list(csv.DictReader(io.StringIO(flat.to_csv(small))))
    assert len(found) == len(small.summaries())
    row = next(
        r
        for r in found
        if (r["method"], r["data"], r["target"], r["measure"], r["protocol"])
        == ("mail", "(average)", "hm", "top1", "base_to_novel")
    )
    assert (row["n"], row["pairs"], row["seeds"], row["data_sets"]) == (
        "3",
        "3",
        "1 2 3",
        "set_a set_b",
    )
    assert float(row["difference_low"]) < float(row["difference"]) < float(row["difference_high"])
    assert float(row["p"]) <= float(row["p_holm"])
    assert int(row["wins"]) + int(row["ties"]) + int(row["losses"]) == 2


def test_terminal_tables(small):
    console = Console(width=160, record=True, file=io.StringIO())
    for table in tables.terminal(small):
        console.print(table)
    text = console.export_text()
    assert text.count("Base to novel, 4 shots") == 1
    assert "mmrl++" in text and "mean of HMs" in text and "±" in text
    more = tables.terminal(small, per_data=True)
    assert len(more) > len(tables.terminal(small))


def test_a_table_of_many_data_sets_goes_on_below(results):
    names = [f"suite/{name}" for name in "animals capture food hands kinds people places".split()]
    metrics = {name: {"top1": 0.5} for name in names}
    cells = [
        cell(m, 1, metrics, protocol="cross_dataset") for m in ("zero_shot", "multimodal_adapter")
    ]
    found = results(cells)
    (whole,) = tables.terminal(found)
    parts = tables.terminal(found, width=80)
    assert len(parts) > 1
    headings = [[str(column.header) for column in part.columns] for part in parts]
    assert [h for part in headings for h in part[1:]] == [str(c.header) for c in whole.columns[1:]]
    assert all(part[0] == "method" for part in headings)
    assert [bool(part.caption) for part in parts] == [False] * (len(parts) - 1) + [True]
    console = Console(width=80, file=io.StringIO())
    for part in parts:
        console.print(part)
    assert "…" not in console.file.getvalue()
    assert all(name.rpartition("/")[2] in console.file.getvalue() for name in names)


def test_latex_escapes(results):
    found = results(
        [cell(r"mail:a_b=50%&{#}$x^~\y", s, 0.5 + s / 9, data="my_data") for s in (1, 2)]
    )
    text = tables.latex(found)
    assert r"mail:a\_b=50\%\&\{\#\}\$x\textasciicircum{}\textasciitilde{}\textbackslash{}y" in text
    assert r"my\_data" in text and r"\toprule" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(small, tmp_path):
    document = (
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        f"{tables.latex(small)}\n\\clearpage\\end{{document}}\n"
    )
    (tmp_path / "t.tex").write_text(document.replace("\\end{table}", "\\end{table}\\clearpage"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_findings_name_what_was_measured(results):
    grid = Grid(METHODS, data=["s", "x", "y"], seeds=(1, 2))
    found = results([*grid.robustness(), *grid.transfer(), *grid.few_shot((1, 4))])
    leads = [
        finding(grid).lead
        for p in ("robustness", "cross_dataset", "few_shot")
        for grid in of(found, p)
    ]
    for lead, what in zip(
        leads,
        ("at image noise 0.5:", "at label noise 0.4:", "accuracy (average):", "at 4 shots:"),
        strict=True,
    ):
        assert what in lead


def test_a_comparison_shows_accuracy_with_its_cost_and_the_gains():
    """Base .6 and .7 against .5 and .5: +15 points, t(1) = 12.706 times .05 to either side."""
    cells = [
        cell(
            *(method, seed, {"base": {"top1": base}, "novel": {"top1": 0.5}}),
            protocol="base_to_novel",
            parameters=parameters,
        )
        for method, parameters, bases in (("zero_shot", 0, (0.5, 0.5)), ("mail", 61000, (0.6, 0.7)))
        for seed, base in enumerate(bases, 1)
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    for table in tables.comparison(results_of(cells), "what was compared"):
        console.print(table)
    lines = console.export_text().splitlines()
    assert lines[0].strip() == "what was compared"
    (reached, gained) = (line for line in lines if line.startswith("│ mail"))
    # HM of .65 and .5; those of the seeds are .5455 and .5833: 12.706 * .0189
    assert [part.strip() for part in reached.strip("│").split("│")] == [
        *("mail", "65.0 ±63.5", "50.0 ±0.0", "56.5 ±24.1", "61,000", "12")
    ]
    assert [part.strip() for part in gained.strip("│").split("│")] == [
        *("mail", "+15.0 ±63.5", "0.0 ±0.0", "+6.4 ±24.1")
    ]
    alone = tables.comparison(results_of(cells[:2]), "zero-shot alone")
    assert len(alone) == 1
