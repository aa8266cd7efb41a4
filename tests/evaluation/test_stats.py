import pytest
from scipy.stats import ttest_rel

from interlace.errors import InterlaceError
from interlace.evaluation.statistics import (
    holm,
    mean_interval,
    over_data_sets,
    paired_bootstrap,
    paired_difference,
)


def test_interval_by_hand() -> None:
    # mean 2, deviation 1, t(2 degrees of freedom, 97.5 %) = 4.302653 from a printed table
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.n, interval.mean) == (3, 2.0)
    assert interval.half_width == pytest.approx(4.302653 / 3**0.5, abs=1e-6)
    assert interval.low == pytest.approx(2 - 2.484138, abs=1e-5)
    assert interval.high == pytest.approx(2 + 2.484138, abs=1e-5)
    # t(2, 95 %) = 2.919986
    assert mean_interval([1, 2, 3], 0.9).half_width == pytest.approx(2.919986 / 3**0.5, abs=1e-6)


def test_a_single_value_has_no_interval() -> None:
    interval = mean_interval([0.7])
    assert (interval.mean, interval.half_width, interval.low, interval.high) == (
        0.7,
        None,
        None,
        None,
    )


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean_interval([0.5] * 3).half_width == 0


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [([], 0.95, "no value"), ([1, 2], 1.0, "confidence = 1.0"), ([1, 2], 95, "confidence = 95")],
)
def test_intervals_that_cannot_be(values: list[float], confidence: float, message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        mean_interval(values, confidence)


def test_paired_difference_equals_scipy() -> None:
    a, b = [0.50, 0.55, 0.61, 0.48], [0.56, 0.54, 0.70, 0.53]
    result = paired_difference(a, b)
    reference = ttest_rel(b, a)
    assert result.p == pytest.approx(reference.pvalue)
    assert result.difference.mean == pytest.approx(0.0475)
    interval = reference.confidence_interval(0.95)
    assert result.difference.low == pytest.approx(interval.low)
    assert result.difference.high == pytest.approx(interval.high)
    assert (result.wins, result.ties, result.losses) == (3, 0, 1)


def test_paired_difference_of_one_pair_or_of_equal_differences() -> None:
    assert paired_difference([0.5], [0.6]).p is None
    assert paired_difference([0.5], [0.6]).difference.half_width is None
    same = paired_difference([0.5, 0.7], [0.5, 0.7])
    assert (same.p, same.ties) == (1.0, 2)
    assert paired_difference([1, 2], [2, 3]).p == 0.0


def test_pairs_must_match() -> None:
    with pytest.raises(InterlaceError, match="2 and 1 values"):
        paired_difference([1, 2], [1])


def test_paired_bootstrap_by_hand():
    a, b = [0.5, 0.5, 0.5, 0.5], [0.6, 0.7, 0.8, 0.9]
    interval = paired_bootstrap(a, b)
    assert interval.mean == pytest.approx(0.25)
    # four draws of .1 .2 .3 .4: the mean's deviation is sqrt(0.0125 / 4) = 0.056
    assert 1.5 * 0.056 < interval.half_width < 2.2 * 0.056
    assert paired_bootstrap(a, b) == interval
    assert paired_bootstrap(a, b, confidence=0.5).half_width < interval.half_width / 2
    assert paired_bootstrap(a[:1], b[:1]).half_width is None
    assert paired_bootstrap([0.0, 0.0], [0.1, 0.1]).half_width == 0
    with pytest.raises(InterlaceError, match="4 and 3 values"):
        paired_bootstrap(a, b[:3])


def test_wilcoxon_by_hand():
    zero = [0.0] * 6
    # six of six ahead: one of 2 ** 6 sign patterns on each side
    assert over_data_sets(zero, [1, 2, 3, 4, 5, 6]).p == pytest.approx(2 / 64)
    # ranks 1..5 with rank 1 negative: sums 1 and 14; patterns with a sum of at most 1: {}, {1}
    found = over_data_sets(zero[:5], [-1, 2, 3, 4, 5])
    assert found.p == pytest.approx(2 * 2 / 32)
    assert (found.wins, found.ties, found.losses) == (4, 0, 1)
    # a tie is left out of the test and counted
    found = over_data_sets(zero, [0, -1, 2, 3, 4, 5])
    assert found.p == pytest.approx(4 / 32) and found.ties == 1
    assert over_data_sets([0.5], [0.5]).p is None
    with pytest.raises(InterlaceError, match="0 and 0 values"):
        over_data_sets([], [])


def test_holm_by_hand():
    found = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.6})
    # 0.01 * 4, 0.03 * 3, max(0.09, 0.04 * 2), 0.6
    assert list(found) == ["a", "b", "c", "d"]
    assert list(found.values()) == pytest.approx([0.09, 0.04, 0.09, 0.6])
    assert holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    with pytest.raises(InterlaceError, match="p-value of a = 2"):
        holm({"a": 2})
