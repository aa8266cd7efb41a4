"""Numbers that are worked out by hand in the comments."""

import pytest

from interlace.experiments.reading import parse_cell
from interlace.experiments.summaries import mean_costs, not_different
from tests.report.making import cell


def few_shot(values, **spec):
    return [
        cell(method, seed, value, **spec)
        for method, own in values.items()
        for seed, value in enumerate(own, 1)
    ]


def base_to_novel(values, **spec):
    return [
        cell(
            method,
            seed,
            {"base": {"top1": base}, **({} if novel is None else {"novel": {"top1": novel}})},
            protocol="base_to_novel",
            **spec,
        )
        for method, own in values.items()
        for seed, (base, novel) in enumerate(own, 1)
    ]


def one(results, method, target="all", measure="top1", **choice):
    found = [
        s for s in results.summaries(measure, **choice) if (s.method, s.target) == (method, target)
    ]
    assert len(found) == 1
    return found[0]


def test_mean_interval_and_paired_test(results):
    found = results(
        few_shot(
            {"zero_shot": [0.5, 0.5, 0.5], "mail": [0.60, 0.62, 0.64], "coop": [0.51, 0.49, 0.5]}
        )
    )
    mail, coop = one(found, "mail"), one(found, "coop")
    # mean .62, deviation .02; t(2 degrees of freedom, 97.5 %) = 4.302653: 4.302653 * .02 / sqrt(3)
    assert mail.mean == pytest.approx(0.62)
    assert mail.interval.half_width == pytest.approx(0.0496827, abs=1e-6)
    # difference .12: t = .12 / (.02 / sqrt(3)) = sqrt(108). For two degrees of freedom the
    # two-sided p is 1 - t / sqrt(t^2 + 2) = 1 - sqrt(108 / 110) = .0091326
    assert mail.comparison.paired.difference.mean == pytest.approx(0.12)
    assert mail.comparison.paired.p == pytest.approx(0.0091326, abs=1e-6)
    # coop differs by .01, -.01, 0: mean 0, p 1
    assert coop.comparison.paired.p == pytest.approx(1)
    # Holm over the two methods: 2 * .0091326, and 1
    assert mail.comparison.p_holm == pytest.approx(0.0182652, abs=1e-6)
    assert coop.comparison.p_holm == pytest.approx(1)
    assert (mail.verdict, coop.verdict) == ("better", "")
    assert one(found, "zero_shot").comparison is None
    drawn = mail.comparison.bootstrap()
    assert drawn.mean == pytest.approx(0.12) and 0 < drawn.half_width < 0.021


def test_less_calibration_error_is_better(results):
    cells = [
        cell(method, seed, {"all": {"top1": 0.5, "ece": ece + seed / 1000 * (method == "mail")}})
        for method, ece in (("zero_shot", 0.2), ("mail", 0.1))
        for seed in (1, 2, 3)
    ]
    found = results(cells)
    assert one(found, "mail", measure="ece").verdict == "better"
    assert not [s for s in found.summaries("ece") if s.target == "hm"]


def test_harmonic_mean_is_that_of_the_means(results):
    found = results(
        base_to_novel(
            {
                "zero_shot": [(0.5, 0.5)] * 2,
                "mail": [(0.8, 0.4), (0.6, 0.6)],
                "tip": [(0.9, None)] * 2,
            }
        )
    )
    mail = one(found, "mail", "hm")
    # means .7 and .5: 2 * .35 / 1.2 = .583333
    assert mail.mean == pytest.approx(0.583333, abs=1e-6)
    # per seed 2 * .32 / 1.2 = .533333 and .6: mean .566667, deviation .0471405;
    # t(1, 97.5 %) = 12.706205: 12.706205 * .0471405 / sqrt(2) = .423540
    assert mail.values == pytest.approx((0.533333, 0.6), abs=1e-6)
    assert mail.mean_of_seeds == pytest.approx(0.566667, abs=1e-6)
    assert mail.interval.half_width == pytest.approx(0.423540, abs=1e-5)
    # against zero-shot, whose HM is .5: .033333 and .1
    assert mail.comparison.paired.difference.mean == pytest.approx(0.066667, abs=1e-6)
    assert not [s for s in found.summaries() if s.method == "tip" and s.target != "base"]


def test_average_over_data_sets(results):
    cells = []
    for data, base, novel in (("a", 0.8, 0.4), ("b", 0.6, 0.6)):
        own = {"zero_shot": [(0.5, 0.5)] * 2, "mail": [(base, novel), (base + 0.02, novel)]}
        cells += base_to_novel(own, data=data)
    found = results(cells)
    base, hm = (one(found, "mail", target, averaged=True) for target in ("base", "hm"))
    # seed 1: (.8 + .6) / 2 = .7; seed 2: .72
    assert base.values == pytest.approx((0.7, 0.72))
    assert base.data == ("a", "b")
    # of the means .71 and .5: 2 * .355 / 1.21; the mean of the data sets' HM would be .5712
    assert hm.mean == pytest.approx(0.586777, abs=1e-6)
    # seeds: 2 * .35 / 1.2 and 2 * .36 / 1.22
    assert hm.values == pytest.approx((0.583333, 0.590164), abs=1e-6)
    assert (hm.comparison.over.wins, hm.comparison.over.losses) == (2, 0)
    assert hm.comparison.over.p == pytest.approx(2 / 4)  # the best that two data sets can do


def test_wilcoxon_over_data_sets_and_holm(results):
    cells = []
    for number in range(6):
        own = {
            "zero_shot": [0.5],
            "mail": [0.51 + number / 100],  # ahead on all six: p = 2 / 2**6
            "coop": [0.5 + (number + 1) / 100 * (-1 if number < 1 else 1)],  # ranks 1 against 2..6
        }
        cells += few_shot(own, data=f"set{number}")
    found = results(cells)
    mail, coop = (one(found, name, averaged=True).comparison for name in ("mail", "coop"))
    assert mail.over.p == pytest.approx(2 / 64)
    assert mail.over_p_holm == pytest.approx(4 / 64)
    # a sum of at most 1 has two of 64 sign patterns: {} and {1}
    assert coop.over.p == pytest.approx(4 / 64)
    assert coop.over_p_holm == pytest.approx(4 / 64)
    assert (coop.over.wins, coop.over.ties, coop.over.losses) == (5, 0, 1)
    assert mail.paired.p is None and mail.p_holm is None  # one seed says nothing


def test_average_over_targets_leaves_out_the_source(results):
    metrics = {"source": {"top1": 0.9}, "b": {"top1": 0.5}, "c": {"top1": 0.7}}
    found = results([cell("mail", 1, metrics, protocol="cross_dataset", data="a")])
    assert one(found, "mail", "average").mean == pytest.approx(0.6)


def test_pairs_need_the_same_shots(results):
    cells = few_shot({"zero_shot": [0.5] * 4, "mail": [0.6, 0.7, 0.8, 0.9]})
    cells[1]["split_hash"] = "other"  # zero_shot, seed 2
    cells[7]["split_hash"] = ""  # mail, seed 4: not known
    mail = one(results(cells), "mail")
    assert mail.seeds == (1, 2, 3, 4) and mail.mean == pytest.approx(0.75)
    assert mail.comparison.unpaired == (2, 4)
    assert mail.comparison.after == (0.6, 0.8)
    assert mail.comparison.paired.difference.mean == pytest.approx(0.2)


def test_an_average_pairs_only_where_all_data_sets_do(results):
    cells = few_shot({"zero_shot": [0.5] * 3, "mail": [0.6] * 3}, data="a")
    other = few_shot({"zero_shot": [0.5] * 3, "mail": [0.6] * 3}, data="b")
    other[0]["split_hash"] = "other"
    assert one(results(cells + other), "mail", averaged=True).comparison.unpaired == (1,)


def test_a_method_with_less_is_marked(results):
    cells = few_shot({"zero_shot": [0.5] * 3, "mail": [0.6] * 3, "coop": [0.7] * 3}, data="a")
    cells += few_shot({"zero_shot": [0.5] * 3, "mail": [0.6] * 2}, data="b")
    found = results(cells)
    assert not one(found, "zero_shot", averaged=True).partial
    assert one(found, "mail", averaged=True).partial
    assert one(found, "mail", averaged=True).seeds == (1, 2)
    coop = one(found, "coop", averaged=True)
    assert coop.partial and coop.data == ("a",)
    # it is compared on its own data sets
    assert coop.comparison.paired.difference.mean == pytest.approx(0.2)


def test_another_baseline(results):
    cells = few_shot({"zero_shot": [0.5] * 3, "mail": [0.6, 0.61, 0.62]})
    found = results(cells, "mail")
    assert one(found, "zero_shot").verdict == "worse"
    assert one(found, "mail").comparison is None


def test_what_a_paired_test_does_not_tell_from_the_best(results):
    found = results(
        few_shot(
            {
                "best": [0.60, 0.62, 0.64],
                "near": [0.60, 0.63, 0.63],  # differences 0, .01, -.01: p = 1
                "far": [0.50, 0.52, 0.54001],
                "once": [0.7],
            }
        )
    )
    best, *others = (one(found, name) for name in ("best", "near", "far", "once"))
    assert not_different(best, others) == ({"near"}, 2)
    assert not_different(best, []) == (set(), 0)


def test_costs_are_means_of_what_is_known():
    cells = [parse_cell(cell("mail", seed, 0.5)) for seed in (1, 2)]
    cells += [parse_cell(cell("mail", 3, 0.5, seconds={"fit": 2.5}, peak_memory=None))]
    assert mean_costs(cells) == {
        "mail": {
            "parameters": 61000.0,
            "peak_memory": 512_000_000.0,
            "fit": pytest.approx((12.5 + 12.5 + 2.5) / 3),
            "fit_cpu": 12.0,
            "score": 0.8,
        }
    }
