import re

import pytest

from interlace.errors import InterlaceError
from interlace.experiments.reading import parse_cell
from interlace.report import labels, plots
from interlace.report.confusion import confusion
from interlace.report.svg import new_figure, shade, styles, swatch, to_svg, with_number
from tests.report.making import DATA, METHODS, Grid, cell


def top1(results, target="all"):
    return {s.method: s for s in results.summaries("top1") if s.target == target}


def test_thirteen_methods_have_looks_of_their_own():
    looks = styles(METHODS, "zero_shot")
    assert len({(s.color, s.marker, s.filled, s.line) for s in looks.values()}) == 13
    assert len({(s.color, s.filled, s.line) for s in looks.values()}) == 13  # without the marker
    assert len({s.marker for name, s in looks.items() if name != "zero_shot"}) == 12
    for style in looks.values():
        assert "var(--" in swatch(style) and "nan" not in swatch(style)


def test_svg_takes_everything_from_the_page():
    figure = new_figure(100)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    style = styles(["a"], "b")["a"]
    axes.plot([0, 1], [0, 1], color=style.color, marker="o", markerfacecolor=shade(0.4))
    axes.set_title("<$x$> & y", color=style.color, parse_math=False, fontweight="bold")
    svg = to_svg(figure, 'a "b" <c>')
    assert 'aria-label="a &#34;b&#34; &lt;c&gt;"' in svg and 'role="img"' in svg
    assert "&lt;$x$&gt; &amp; y</text>" in svg  # text is text, and a dollar is a dollar
    assert "var(--m0)" in svg and "color-mix(in srgb, var(--accent) 40%" in svg
    for forbidden in ("http", "<style", "<metadata", "font-family", "xlink", "#0200", "#0300"):
        assert forbidden not in svg
    one, two = with_number(svg, 1), with_number(svg, 2)
    for numbered in (one, two):
        ids = re.findall(r'\bid="([^"]+)"', numbered)
        assert ids and len(ids) == len(set(ids))
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', numbered)
        assert {a or b for a, b in used} <= set(ids)
    assert not set(re.findall(r'\bid="([^"]+)"', one)) & set(re.findall(r'\bid="([^"]+)"', two))


@pytest.mark.parametrize("wanted", [[5, 5, 5], [0, 1, 2, 99], [1, 50, 52, 53], [98, 99, 100], []])
def test_names_at_line_ends_keep_their_distance(wanted):
    found = labels._apart(wanted, 10, 0, 100)
    assert len(found) == len(wanted)
    assert all(b - a >= 10 - 1e-9 for a, b in zip(found, found[1:], strict=False))
    assert not found or (found[0] >= -1e-9 and found[-1] <= 100 + 1e-9)


def test_names_stay_where_there_is_room():
    assert labels._apart([10, 40, 80], 10, 0, 100) == [10, 40, 80]


def test_curves_draw_every_method_with_two_places(results):
    grid = Grid(METHODS, data=DATA[:1], seeds=(1, 2))
    found = results(grid.few_shot((1, 16)))
    columns = [
        (k, {s.method: s for s in found.summaries("top1") if s.panel.shots == k}) for k in (1, 16)
    ]
    looks = styles(found.methods, "zero_shot")
    chart = plots.curves(columns, looks, title="t", x_label="shots", y_label="%", doubling=True)
    for method in METHODS:
        assert f">{method}</text>" in chart.svg
    assert plots.curves(columns[:1], looks, title="t", x_label="", y_label="") is None


def test_intervals_wider_than_what_is_possible_do_not_stretch_the_axes(results):
    cells = [
        cell(m, s, 0.1 + 0.8 * (s - 1), shots=k)
        for m in ("zero_shot", "mail")
        for s in (1, 2)
        for k in (1, 2)
    ]
    found = results(cells)
    columns = [
        (k, {s.method: s for s in found.summaries("top1") if s.panel.shots == k}) for k in (1, 2)
    ]
    looks = styles(found.methods, "zero_shot")
    assert columns[0][1]["mail"].interval.half_width > 1
    curves = plots.curves(columns, looks, title="t", x_label="", y_label="")
    costs = {"zero_shot": 0.0, "mail": 100.0}
    cost = plots.cost(costs, columns[0][1], looks, title="", x_label="", y_label="")
    for chart in (curves, cost):
        heights = [float(n) for n in re.findall(r">(-?\d+)</text>", chart.svg)]
        assert heights and -4 <= min(heights) <= max(heights) <= 104


def test_charts_that_have_nothing_to_show(results):
    found = results([cell("zero_shot", 1, 0.5), cell("mail", 1, 0.6)])
    cells, looks = top1(found), styles(found.methods, "zero_shot")
    free = {"zero_shot": 0.0, "mail": 0.0}
    assert plots.cost(free, cells, looks, title="", x_label="", y_label="") is None
    assert plots.base_and_novel(cells, {}, looks, title="") is None
    own = {"zero_shot": cells["zero_shot"]}
    assert plots.gains(own, ["zero_shot"], title="", baseline="zero_shot", limit=0.1) is None


def test_equal_numbers_can_be_drawn(results):
    cells = [
        cell(m, s, {t: {"top1": 0.5} for t in ("base", "novel")}, protocol="base_to_novel")
        for m in ("zero_shot", "mail")
        for s in (1, 2)
    ]
    found = results(cells)
    looks = styles(found.methods, "zero_shot")
    base, novel = (top1(found, target) for target in ("base", "novel"))
    assert plots.base_and_novel(base, novel, looks, title="") is not None
    costs = {"zero_shot": 0.0, "mail": 100.0}
    assert "0</text>" in plots.cost(costs, base, looks, title="", x_label="", y_label="").svg
    assert plots.gains(base, ["mail"], title="", baseline="zero_shot", limit=0.01) is not None


def details(names, counts, mistakes=()):
    return {
        "all": {
            "top1": 0.5,
            "details": {"classes": names, "confusion": counts, "mistakes": list(mistakes)},
        }
    }


def test_confusions_are_summed_over_seeds():
    wrong = {"key": "k", "truth": "a", "answer": "b", "probability": 0.6, "thumbnail": "<script>"}
    cells = [
        parse_cell(cell("mail", 1, details(["a", "b"], [[3, 1], [0, 2]], [wrong]))),
        parse_cell(
            cell("mail", 2, details(["a", "b"], [[1, 3], [2, 0]], [wrong | {"probability": 0.9}]))
        ),
        parse_cell(cell("mail", 3, details(["a", "c"], [[9, 9], [9, 9]]))),  # other classes
        parse_cell(cell("mail", 4, 0.5)),
    ]
    found = confusion(cells, "all")
    assert found.seeds == (1, 2)
    assert "6 of 12 right (50.0 %)" in found.chart.caption
    assert found.pairs == (("a", "b", 4), ("b", "a", 2))
    (mistake,) = found.mistakes
    assert mistake.probability == 0.9 and mistake.thumbnail == ""  # no JPEG
    assert confusion(cells[3:], "all") is None
    with pytest.raises(InterlaceError, match="the confusion matrix does not fit the classes"):
        parse_cell(cell("mail", 1, details(["a", "b"], [[3, 1], [0]])))


def test_a_confusion_of_many_classes_stays_small():
    names = [f"class number {i}" for i in range(300)]
    counts = [[5 * (i == j) + (j == i + 1) for j in range(300)] for i in range(300)]
    found = confusion([parse_cell(cell("mail", 1, details(names, counts)))], "all")
    assert len(found.chart.svg) < 400_000
