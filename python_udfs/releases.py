"""A version against the one before it, with the difference in traffic mix taken out.

Both sides are counted by cells: combinations of slice values, such as carrier and origin. Each
member of the new side has the weight of its cell that gives the new side the mix of the old one;
members of the old side have the weight 1, or 0 where the new side has none like them. Arrays of
entries have one value for each group of members that are alike in day, cell and bin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from calibration import ece_noise_floor
from intervals import normal_quantile, rate, wilson_interval
from latency import GROWTH, ZERO_BIN
from paired import UNDEFINED, Estimate

CONFIDENCE = 0.95
Z = float(normal_quantile(CONFIDENCE))
# Which direction is worse, and the least change that is flagged. Of the others neither is.
WORSE = {
    "error_rate": 1,
    "slow_rate": 1,
    "latency_p50_ms": 1,
    "latency_p95_ms": 1,
    "latency_p99_ms": 1,
    "latency_mean_ms": 1,
    "roc_auc": -1,
    "accuracy": -1,
    "true_positive_rate": -1,
    "false_positive_rate": 1,
    "precision": -1,
    "brier_score": 1,
    "ece": 1,
}
# Of latencies a ratio, of the others a difference.
LEAST_CHANGE = {
    "error_rate": 0.002,
    "slow_rate": 0.005,
    "latency_p50_ms": 0.2,
    "latency_p95_ms": 0.2,
    "latency_p99_ms": 0.2,
    "latency_mean_ms": 0.2,
    "roc_auc": 0.01,
    "accuracy": 0.02,
    "true_positive_rate": 0.02,
    "false_positive_rate": 0.02,
    "precision": 0.02,
    "brier_score": 0.005,
    "ece": 0.01,
}


@dataclass(frozen=True)
class Measured:
    """A metric of one side.

    Attributes
    ----------
    estimate : Estimate
        Its value; its variance and what each day adds to it, or of a quantile to the share of
        members under it.
    bounds : function
        From a design effect to the lower and upper bound of the value.
    """

    estimate: Estimate
    bounds: Callable[[float], tuple[float, float]]

    @property
    def value(self) -> float:
        """The value; NaN where it is undefined."""
        return self.estimate.value

    @property
    def day_effect(self) -> float:
        """How many times the variance is that of independent members, at least 1.

        With days as clusters the variance is D / (D - 1) times the sum of the squares of what
        the days add (Kish, Survey Sampling, 1965). 1 where it cannot be told.
        """
        effect = float(rate(self.estimate.variance_of_days, self.estimate.variance))
        return max(effect, 1.0) if np.isfinite(effect) else 1.0


NOTHING = Measured(UNDEFINED, lambda effect: (np.nan, np.nan))  # noqa: ARG005


def mix_weights(
    previous_count: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights of cells by which the new side has the mix of the old one.

    Parameters
    ----------
    previous_count, count : ndarray of int, shape (n_cells,)
        Members of each cell, before and after.

    Returns
    -------
    previous_weight, weight : ndarray of float, shape (n_cells,)
        0 in cells that one side lacks. The mean weight of the members that count is 1.
    coverage : float
        The share of the members before that have their like after; NaN without members before.

    Notes
    -----
    Direct standardisation to the old side: weight P / N of a cell with P members before and N
    after, over the same ratio of all comparable cells.
    """
    is_comparable = (previous_count > 0) & (count > 0)
    before, after = previous_count[is_comparable].sum(), count[is_comparable].sum()
    weight = np.zeros(len(count))
    weight[is_comparable] = (previous_count[is_comparable] * float(after)) / (
        count[is_comparable] * float(before)
    )
    return is_comparable.astype(float), weight, float(rate(before, previous_count.sum()))


def weighted_mean(
    weight: np.ndarray,
    day: np.ndarray,
    count: np.ndarray,
    total: np.ndarray,
    square_total: np.ndarray,
    *,
    n_days: int,
) -> Estimate:
    """Mean of weighted members.

    Parameters
    ----------
    weight : ndarray of float, shape (n_entries,)
    day : ndarray of int, shape (n_entries,)
        From 0.
    count : ndarray of int, shape (n_entries,)
    total, square_total : ndarray of float, shape (n_entries,)
        Sums of the values of the members, and of their squares; of a rate the successes, twice.
    n_days : int

    Returns
    -------
    Estimate
        NaN without members.

    Notes
    -----
    With the mean m the variance is the sum of w² (x - m)² over the square of the sum of w, times
    n / (n - 1): that of a ratio of two weighted sums, linearised (Kish, Survey Sampling, 1965).
    """
    size = np.sum(weight * count)
    members = int(np.sum(count[weight > 0]))
    if not members:
        return UNDEFINED
    value = float(np.sum(weight * total) / size)
    squares = np.maximum(square_total - 2 * value * total + value**2 * count, 0.0)
    variance = rate(np.sum(weight**2 * squares) * members, size**2 * (members - 1.0))
    days = np.bincount(day, weight * (total - value * count) / size, n_days)
    return Estimate(value, float(variance), days, days_filled(weight, day, count, n_days))


def mean_of(*entries: np.ndarray, n_days: int) -> Measured:
    """Measure a mean, with normal bounds; parameters as of ``weighted_mean``."""
    estimate = weighted_mean(*entries, n_days=n_days)

    def bounds(effect: float) -> tuple[float, float]:
        reach = Z * np.sqrt(effect * estimate.variance)
        return estimate.value - reach, estimate.value + reach

    return Measured(estimate, bounds)


def rate_of(
    weight: np.ndarray,
    day: np.ndarray,
    count: np.ndarray,
    successes: np.ndarray,
    *,
    n_days: int,
) -> Measured:
    """Measure a share, with Wilson's bounds.

    Parameters
    ----------
    weight, day, count, successes : ndarray, shape (n_entries,)
        As of ``weighted_mean``.
    n_days : int

    Returns
    -------
    Measured

    Notes
    -----
    Wilson's interval of the effective number of members (Korn and Graubard, Survey Methodology
    1998): the smaller of Kish's, (sum of w)² / (sum of w²), and p (1 - p) / variance, over the
    design effect.
    """
    estimate = weighted_mean(weight, day, count, successes, successes, n_days=n_days)
    size = kish_size(weight, count)

    def bounds(effect: float) -> tuple[float, float]:
        return share_bounds(estimate.value, estimate.variance, size, effect)

    return Measured(estimate, bounds if np.isfinite(estimate.value) else NOTHING.bounds)


def kish_size(weight: np.ndarray, count: np.ndarray) -> float:
    """Give Kish's effective number of weighted members, (sum of w)² / (sum of w²)."""
    return float(rate(np.sum(weight * count) ** 2, np.sum(weight**2 * count)))


def share_bounds(share: float, variance: float, size: float, effect: float) -> tuple[float, float]:
    """Wilson's bounds of a share, of the effective number of members; see ``rate_of``."""
    p = min(max(share, 0.0), 1.0)
    by_variance = rate(p * (1 - p), variance)
    trials = np.fmin(size, np.where(by_variance > 0, by_variance, np.nan)) / effect
    lower, upper = wilson_interval(np.minimum(p * trials, trials), trials)
    return float(lower), float(upper)


def auc_of(
    weight: np.ndarray,
    day: np.ndarray,
    number: np.ndarray,
    negatives: np.ndarray,
    positives: np.ndarray,
    *,
    n_days: int,
) -> Measured:
    """Measure a ROC AUC.

    Parameters
    ----------
    weight : ndarray of float, shape (n_entries,)
    day, number, negatives, positives : ndarray of int, shape (n_entries,)
        ``number`` is that of the score bin, by rising score.
    n_days : int

    Returns
    -------
    Measured
        NaN where a class is missing. Bounds are cut off at 0 and 1.

    Notes
    -----
    The share of weighted pairs that are in order, ties one half, as
    ``sklearn.metrics.roc_auc_score`` has it with ``sample_weight``. The variance is DeLong's
    (Biometrics 1988) with weighted placements: of each class the sum of w² times the squared
    deviation, over the square of the sum of w, times n / (n - 1).
    """
    filled = weight > 0
    weight, day, number = weight[filled], day[filled], number[filled]
    negatives, positives = negatives[filled], positives[filled]
    counts = int(negatives.sum()), int(positives.sum())
    if not all(counts):
        return NOTHING
    _, place = np.unique(number, return_inverse=True)
    of_bins = [np.bincount(place, weight * part) for part in (negatives, positives)]
    sizes = [part.sum() for part in of_bins]
    below = (np.cumsum(of_bins[0]) - of_bins[0] / 2) / sizes[0]
    above = 1 - (np.cumsum(of_bins[1]) - of_bins[1] / 2) / sizes[1]
    value = float(np.sum(of_bins[1] * below) / sizes[1])
    variance, days = 0.0, np.zeros(n_days)
    for placement, members, size, count in zip(
        (above, below), (negatives, positives), sizes, counts, strict=True
    ):
        deviation = placement[place] - value
        squares = np.sum(weight**2 * members * deviation**2) / size**2
        variance += float(rate(squares * count, count - 1.0))
        days += np.bincount(day, weight * members * deviation / size, n_days)
    estimate = Estimate(
        value, variance, days, days_filled(weight, day, negatives + positives, n_days)
    )

    def bounds(effect: float) -> tuple[float, float]:
        reach = Z * np.sqrt(effect * variance)
        return max(value - reach, 0.0), min(value + reach, 1.0)

    return Measured(estimate, bounds)


def ece_of(
    weight: np.ndarray,
    day: np.ndarray,
    number: np.ndarray,
    count: np.ndarray,
    score_sum: np.ndarray,
    positives: np.ndarray,
    *,
    n_days: int,
    n_bins: int,
) -> Measured:
    """Measure an expected calibration error.

    Parameters
    ----------
    weight : ndarray of float, shape (n_entries,)
    day, number, count, positives : ndarray of int, shape (n_entries,)
        ``number`` is that of the calibration bin, from 0.
    score_sum : ndarray of float, shape (n_entries,)
    n_days, n_bins : int

    Returns
    -------
    Measured

    Notes
    -----
    Value and bounds are those of ``calibration.ece_interval``, conservative about the bias of the
    error: bins have weighted counts, and the variance of the labels of a bin has w² in place of w.
    What a day adds are its scores less labels, times the sign of their sum in the bin.
    """
    size = np.sum(weight * count)
    if not size:
        return NOTHING

    def in_bins(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, values, n_bins)

    counts, hits = in_bins(weight * count), in_bins(weight * positives)
    excess = in_bins(weight * score_sum) - hits
    value = float(np.sum(np.abs(excess)) / size)
    share = (hits + 2) / (counts + 4)
    variances = in_bins(weight**2 * count) * share * (1 - share)
    variance = float(variances.sum() / size**2)
    signed = np.where(excess >= 0, 1.0, -1.0)[number] * (score_sum - positives)
    days = np.bincount(day, weight * (signed - value * count) / size, n_days)
    bias = float(ece_noise_floor(counts, variances))
    estimate = Estimate(value, variance, days, days_filled(weight, day, count, n_days), bias)

    def bounds(effect: float) -> tuple[float, float]:
        spread = np.sqrt(effect)
        reach = Z * spread * np.sqrt(variance)
        return max(value - bias * spread - reach, 0.0), min(value + reach, 1.0)

    return Measured(estimate, bounds)


def weighted_quantile(bins: np.ndarray, counts: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Quantiles of a weighted latency histogram, its bins filled evenly in the logarithm.

    Parameters
    ----------
    bins : ndarray of int, shape (n_bins,)
        Rising; bin b holds (1.04^(b - 1), 1.04^b].
    counts : ndarray of float, shape (n_bins,)
        The weights of the members of each bin; at least one is above 0.
    q : array_like of float
        Cut off at 0 and 1.

    Returns
    -------
    ndarray of float, shape of ``q``
        Within 4 % of the smallest latency that the share q of the weights is not above; 0 in
        the lowest bin.
    """
    filled = counts > 0
    bins, counts = bins[filled], counts[filled]
    below = np.cumsum(counts)
    wanted = np.clip(q, 0, 1) * below[-1]
    place = np.minimum(np.searchsorted(below, wanted), len(bins) - 1)
    inside = np.clip((wanted - below[place] + counts[place]) / counts[place], 0, 1)
    return np.where(bins[place] <= ZERO_BIN, 0.0, GROWTH ** (bins[place] - 1 + inside))


def quantile_of(
    weight: np.ndarray,
    day: np.ndarray,
    number: np.ndarray,
    count: np.ndarray,
    *,
    q: float,
    n_days: int,
) -> Measured:
    """Measure a quantile of latencies.

    Parameters
    ----------
    weight : ndarray of float, shape (n_entries,)
    day, number, count : ndarray of int, shape (n_entries,)
        ``number`` is the latency bin.
    q : float
        In (0, 1).
    n_days : int

    Returns
    -------
    Measured
        The bounds are NaN where fewer than one member is beyond them: the largest latency of few
        is far too low.

    Notes
    -----
    The bounds are the quantiles at the bounds of the share of members under the quantile
    (Woodruff, JASA 1952), with Wilson's for the share, as ``rate_of`` has them.
    """
    filled = weight > 0
    weight, day, number, count = weight[filled], day[filled], number[filled], count[filled]
    if not count.sum():
        return NOTHING
    size = kish_size(weight, count)
    bins, place = np.unique(number, return_inverse=True)
    histogram = np.bincount(place, weight * count)
    value = float(weighted_quantile(bins, histogram, np.array(q)))
    if value > 0:
        under = np.clip(np.log(value) / np.log(GROWTH) - (number - 1), 0, 1)
    else:
        under = (number <= ZERO_BIN).astype(float)
    # Near the quantile a bin is divided evenly; its members are on one side or the other.
    of_share = weighted_mean(weight, day, count, count * under, count * under, n_days=n_days)
    estimate = Estimate(value, of_share.variance, of_share.days, of_share.n_days)

    def bounds(effect: float) -> tuple[float, float]:
        shares = share_bounds(q, of_share.variance, size, effect)
        if not size * min(shares[0], 1 - shares[1]) >= 1:
            return np.nan, np.nan
        lower, upper = weighted_quantile(bins, histogram, np.array(shares))
        return min(float(lower), value), max(float(upper), value)

    return Measured(estimate, bounds)


def days_filled(weight: np.ndarray, day: np.ndarray, count: np.ndarray, n_days: int) -> int:
    """Count the days with members that have a weight."""
    return int(np.count_nonzero(np.bincount(day, weight * count, n_days)))


def student_factor(n_days: int) -> float:
    """By how much a variance from so many days grows, so that normal bounds are Student's.

    Parameters
    ----------
    n_days : int
        At least 2.

    Returns
    -------
    float
        The square of the quantile of Student's t with one degree less than days, over that of
        the normal distribution.
    """
    return float((stdtrit(n_days - 1, (1 + CONFIDENCE) / 2) / Z) ** 2)


def difference_interval(
    value: float, bounds: tuple[float, float], previous: float, previous_bounds: tuple[float, float]
) -> tuple[float, float]:
    """Interval of the difference of two independent estimates, from their own intervals.

    Parameters
    ----------
    value, previous : float
    bounds, previous_bounds : tuple of float
        The lower and upper bounds of both.

    Returns
    -------
    lower, upper : float

    Notes
    -----
    With d = value - previous, from d - sqrt((value - lower)² + (previous upper - previous)²) to
    d + sqrt((upper - value)² + (previous - previous lower)²): of rates that is Newcombe's
    (Statistics in Medicine 1998, method 10; for others Zou and Donner, Statistics in Medicine
    2008).
    """
    difference = value - previous
    lower = difference - np.hypot(value - bounds[0], previous_bounds[1] - previous)
    upper = difference + np.hypot(bounds[1] - value, previous - previous_bounds[0])
    return float(lower), float(upper)


def is_flagged(
    metric: str, difference: float, previous: float, bounds: tuple[float, float]
) -> bool | None:
    """Whether a metric is worse by enough, and for certain.

    Parameters
    ----------
    metric : str
    difference, previous : float
        The adjusted difference, and the value that it is from.
    bounds : tuple of float
        The interval of the difference.

    Returns
    -------
    bool or None
        None where neither direction is worse.
    """
    if metric not in WORSE:
        return None
    sign, least = WORSE[metric], LEAST_CHANGE[metric]
    if metric.startswith("latency_"):
        least *= previous
    # Ends of the interval that is worse than no change.
    nearest = bounds[0] if sign > 0 else -bounds[1]
    return bool(sign * difference > least and nearest > 0)
