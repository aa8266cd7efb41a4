"""What a handful of seeds and data sets allow to say: intervals, differences, corrections."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from interlace.errors import InterlaceError


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its t-interval, in the unit of the values.

    Attributes:
        n: number of values.
        mean: their mean.
        half_width: half the width of the interval; None for a single value, which has none.
        confidence: probability that such an interval holds the true mean.
    """

    n: int
    mean: float
    half_width: float | None
    confidence: float = 0.95

    @property
    def low(self) -> float | None:
        """Lower end."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end."""
        return None if self.half_width is None else self.mean + self.half_width


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much the second of two paired lists exceeds the first.

    Attributes:
        difference: mean of the differences b - a and its t-interval.
        p: Two-sided p-value of the paired t-test; None for a single pair.
        wins: pairs where b is greater; ``ties`` and ``losses`` likewise.
    """

    difference: Interval
    p: float | None
    wins: int
    ties: int
    losses: int


def harmonic_mean(base: float, novel: float) -> float:
    """Return the harmonic mean of the base and the novel accuracy: 0 if either is 0.

    Over several seeds, published tables give the HM of the two averages, not the average of HMs.
    """
    return 2 * base * novel / (base + novel) if base and novel else 0.0


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean and its t-interval: mean +- t * s / sqrt(n), with the sample deviation s.

    Args:
        values: one value per seed.
        confidence: probability that such an interval holds the true mean, in (0, 1).

    Returns:
        The interval, without a width for a single value.

    Raises:
        InterlaceError: there is no value, or the confidence is out of range.
    """
    if not values:
        raise InterlaceError("no value to average: there must be at least one")
    if not 0 < confidence < 1:
        raise InterlaceError(f"confidence = {confidence}: must lie between 0 and 1")
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return Interval(n, mean, None, confidence)
    return Interval(n, mean, _quantile(confidence, n) * _standard_error(values), confidence)


def paired_difference(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95
) -> PairedDifference:
    """Compare two methods on identical shots: the paired t-test of b against a.

    Args:
        a: one value per seed, of the baseline.
        b: one value per seed, of the other method, in the same order.
        confidence: as in ``mean_interval``.

    Returns:
        The mean difference b - a, its interval and its p-value. Differences that are all equal
        leave no doubt: p is 1 if they are 0, and 0 otherwise.

    Raises:
        InterlaceError: the lengths differ or are 0.
    """
    if len(a) != len(b):
        raise InterlaceError(f"{len(a)} and {len(b)} values: a paired comparison needs as many")
    differences = [after - before for before, after in zip(a, b, strict=True)]
    interval = mean_interval(differences, confidence)
    return PairedDifference(
        interval,
        _p_value(differences),
        wins=sum(value > 0 for value in differences),
        ties=sum(value == 0 for value in differences),
        losses=sum(value < 0 for value in differences),
    )


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Compare two methods on identical shots without assuming a normal distribution.

    The pairs are drawn anew with replacement, 9,999 times; the interval holds the middle of the
    mean differences. With few pairs it is too narrow: believe ``paired_difference`` then.

    Args:
        a: one value per seed, of the baseline.
        b: one value per seed, of the other method, in the same order.
        confidence: as in ``mean_interval``.
        seed: of the draws.

    Returns:
        The mean difference b - a; half the width of its percentile interval.

    Raises:
        InterlaceError: the lengths differ or are 0.
    """
    from scipy.stats import bootstrap  # slow to import, like wilcoxon below

    mean = paired_difference(a, b, confidence).difference
    differences = np.subtract(b, a)
    if len(differences) == 1 or not differences.std():
        return Interval(mean.n, mean.mean, None if mean.n == 1 else 0.0, confidence)
    drawn = bootstrap(
        (differences,),
        np.mean,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = drawn.confidence_interval
    return Interval(mean.n, mean.mean, float(high - low) / 2, confidence)


@dataclass(frozen=True, slots=True)
class OverDataSets:
    """How often the second of two methods is ahead, one value per data set.

    Attributes:
        p: Two-sided p-value of Wilcoxon's signed-rank test; None where all values are equal.
        wins: data sets where b is greater; ``ties`` and ``losses`` likewise.
    """

    p: float | None
    wins: int
    ties: int
    losses: int


def over_data_sets(a: Sequence[float], b: Sequence[float]) -> OverDataSets:
    """Compare two methods over data sets by Wilcoxon's signed-rank test.

    Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006. Equal
    values are left out, as Wilcoxon does; the p-value is exact for up to 50 different ones without
    equal ranks. Fewer than six data sets cannot reach p < 0.05.

    Args:
        a: one value per data set, of the baseline: means over seeds.
        b: one value per data set, of the other method, in the same order.

    Raises:
        InterlaceError: the lengths differ or are 0.
    """
    if len(a) != len(b) or not a:
        raise InterlaceError(f"{len(a)} and {len(b)} values: a paired comparison needs as many")
    from scipy.stats import wilcoxon

    differences = np.subtract(b, a)
    apart = differences[differences != 0]
    return OverDataSets(
        p=float(wilcoxon(apart).pvalue) if len(apart) else None,
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for being the smallest among several (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, and is no smaller than the one before it.

    Args:
        p_values: one per comparison, by name.

    Returns:
        The corrected ones in the same order, at most 1.

    Raises:
        InterlaceError: a value is no probability.
    """
    corrected: dict[str, float] = {}
    least = 0.0
    for i, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        if not 0 <= p_values[name] <= 1:
            raise InterlaceError(f"p-value of {name} = {p_values[name]}: must lie in 0..1")
        least = max(least, min(1.0, (len(p_values) - i) * p_values[name]))
        corrected[name] = least
    return {name: corrected[name] for name in p_values}


@cache
def _quantile(confidence: float, n: int) -> float:
    from scipy.special import stdtrit  # what scipy.stats.t.ppf computes, without its import

    return float(stdtrit(n - 1, (1 + confidence) / 2))


def _p_value(differences: Sequence[float]) -> float | None:
    from scipy.special import stdtr  # what scipy.stats.t.cdf computes

    n = len(differences)
    if n == 1:
        return None
    error = _standard_error(differences)
    mean = statistics.fmean(differences)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(n - 1, -abs(mean) / error))


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5
