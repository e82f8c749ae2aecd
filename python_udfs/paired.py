"""Two models on the same requests: differences, and how sure they are.

Each difference is that of model B less model A, of estimates that are linear in the requests, or
nearly so. It comes as an ``Estimate``: its value, its variance were all requests independent of
each other, and what each day adds to it, since the requests of one day are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, chi2

from calibration import ece_noise_floor, expected_calibration_error
from intervals import rate
from latency import GROWTH, ZERO_BIN

# So much of a latency's logarithm is one bin.
LOG_GROWTH = np.log(GROWTH)


@dataclass(frozen=True)
class Estimate:
    """An estimate with its errors.

    Attributes
    ----------
    value : float
        NaN where it is undefined.
    variance : float
        Of independent requests.
    days : ndarray of float, shape (n_days,)
        What each day adds to the estimate beside its value; sums to 0. A day without requests
        adds 0 and is none of the days.
    bias_below, bias_above : float
        How far the value may be too high, and too low, apart from chance.
    n_days : int
        Days with requests.
    """

    value: float
    variance: float
    days: np.ndarray
    n_days: int
    bias_below: float = 0.0
    bias_above: float = 0.0

    @property
    def variance_of_days(self) -> float:
        """The variance from day to day, with n - 1; NaN for fewer than two days."""
        if self.n_days < 2:
            return np.nan
        return float(self.n_days / (self.n_days - 1) * np.sum(self.days**2))


UNDEFINED = Estimate(np.nan, np.nan, np.zeros(0), 0)


@dataclass(frozen=True)
class Cells:
    """Labelled requests that both models have scored, counted by day and both score bins.

    Attributes
    ----------
    day : ndarray of int, shape (n_cells,)
        From 0.
    bin_a, bin_b : ndarray of int, shape (n_cells,)
        Score bins, by rising score.
    negatives, positives : ndarray of int, shape (n_cells,)
    score_sum_a, score_sum_b : ndarray of float, shape (n_cells,)
    """

    day: np.ndarray
    bin_a: np.ndarray
    bin_b: np.ndarray
    negatives: np.ndarray
    positives: np.ndarray
    score_sum_a: np.ndarray
    score_sum_b: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Requests of each cell."""
        return self.negatives + self.positives


def roc_auc_difference(cells: Cells, *, n_days: int) -> tuple[float, float, Estimate]:
    """ROC AUC of both models, and the difference with DeLong's paired variance.

    Parameters
    ----------
    cells : Cells
    n_days : int

    Returns
    -------
    auc_a, auc_b : float
        NaN where a class is missing.
    difference : Estimate
        B less A. The variance is NaN where a class has fewer than two members.

    Notes
    -----
    A positive's placement is the share of negatives below it, a negative's the share of positives
    above it, ties one half. The variance of the difference is that of the differences of the
    placements of each class, with n - 1, over its size, summed (DeLong, DeLong and Clarke-Pearson,
    Biometrics 1988): for that the placements by both models of one request must be known, hence
    counts by both bins. Members of a cell share their placements.
    """
    n_positives, n_negatives = int(cells.positives.sum()), int(cells.negatives.sum())
    if not n_positives or not n_negatives:
        return np.nan, np.nan, UNDEFINED
    aucs, of_positives, of_negatives = [], [], []
    for bins in (cells.bin_a, cells.bin_b):
        negatives = np.bincount(bins, cells.negatives)
        positives = np.bincount(bins, cells.positives)
        below = (np.cumsum(negatives) - negatives / 2) / n_negatives
        above = (n_positives - np.cumsum(positives) + positives / 2) / n_positives
        auc = float(np.sum(positives * below) / n_positives)
        aucs.append(auc)
        of_positives.append(below[bins] - auc)
        of_negatives.append(above[bins] - auc)
    by_positive = of_positives[1] - of_positives[0]
    by_negative = of_negatives[1] - of_negatives[0]
    variance = rate(
        np.sum(cells.positives * by_positive**2), n_positives * (n_positives - 1.0)
    ) + rate(np.sum(cells.negatives * by_negative**2), n_negatives * (n_negatives - 1.0))
    days = np.bincount(
        cells.day,
        cells.positives * by_positive / n_positives + cells.negatives * by_negative / n_negatives,
        n_days,
    )
    difference = Estimate(
        aucs[1] - aucs[0], float(variance), days, _filled(cells.day, cells.count, n_days)
    )
    return aucs[0], aucs[1], difference


def ece_difference(
    cells: Cells,
    variance_sums: tuple[np.ndarray, np.ndarray],
    calibration_bins: np.ndarray,
    *,
    n_days: int,
) -> tuple[float, float, Estimate]:
    """Give the expected calibration error of both models, and the difference.

    Parameters
    ----------
    cells : Cells
    variance_sums : two ndarrays of float, shape (n_cells,)
        Of the scores s of A and of B, the sums of s (1 - s).
    calibration_bins : ndarray of int, shape (n_bins,)
        The calibration bin of each score bin.
    n_days : int

    Returns
    -------
    ece_a, ece_b : float
        NaN without requests.
    difference : Estimate
        B less A. ``bias_above`` is the noise floor of A: an ECE is too high by up to that, the
        more so the smaller it is, so the difference may be too low by as much; ``bias_below``
        that of B.

    Notes
    -----
    The ECE is the mean over requests of (score - label) times the sign of the mean of that in the
    calibration bin. So the difference is the mean of a difference that every request has, and
    where both signs agree the label cancels. Within a cell each class has the mean scores of the
    cell.
    """
    count = cells.count
    total = int(count.sum())
    if not total:
        return np.nan, np.nan, UNDEFINED
    n_calibration_bins = int(calibration_bins.max()) + 1
    eces, floors, signed = [], [], []
    for bins, score_sum, variance_sum in zip(
        (cells.bin_a, cells.bin_b),
        (cells.score_sum_a, cells.score_sum_b),
        variance_sums,
        strict=True,
    ):
        number = calibration_bins[bins]
        in_bins = [
            np.bincount(number, values, n_calibration_bins)
            for values in (count, score_sum, cells.positives, variance_sum)
        ]
        eces.append(float(expected_calibration_error(*in_bins[:3])))
        floors.append(float(ece_noise_floor(in_bins[0], in_bins[3])))
        sign = np.where(in_bins[1] >= in_bins[2], 1.0, -1.0)[number]
        signed.append((sign * rate(score_sum, count), sign))
    (score_a, sign_a), (score_b, sign_b) = signed
    of_negatives = score_b - score_a
    of_positives = of_negatives - (sign_b - sign_a)
    value = eces[1] - eces[0]
    squares = np.sum(cells.negatives * of_negatives**2 + cells.positives * of_positives**2)
    variance = rate(max(squares - total * value**2, 0.0), total * (total - 1.0))
    each = cells.negatives * of_negatives + cells.positives * of_positives - count * value
    days = np.bincount(cells.day, each / total, n_days)
    difference = Estimate(
        value,
        float(variance),
        days,
        _filled(cells.day, count, n_days),
        bias_below=floors[1],
        bias_above=floors[0],
    )
    return eces[0], eces[1], difference


@dataclass(frozen=True)
class PairedCounts:
    """Requests that count in a share of one model or of both, such as the errors.

    Attributes
    ----------
    only_a, only_b, both, count : ndarray of int, shape (..., n_days)
        Those that count for A only, for B only and for both, and all.
    """

    only_a: np.ndarray
    only_b: np.ndarray
    both: np.ndarray
    count: np.ndarray

    def total(self) -> PairedCounts:
        """Add up the days."""
        return PairedCounts(
            *(part.sum(axis=-1) for part in (self.only_a, self.only_b, self.both, self.count))
        )


def share_difference(counts: PairedCounts) -> tuple[float, float, Estimate]:
    """Shares of both models, such as error rates or accuracies, and their difference.

    Parameters
    ----------
    counts : PairedCounts
        Arrays of shape (n_days,).

    Returns
    -------
    share_a, share_b : float
        NaN without requests.
    difference : Estimate
        B less A. The variance is that of ``share_difference_variance``.
    """
    total = counts.total()
    if not total.count:
        return np.nan, np.nan, UNDEFINED
    value = (total.only_b - total.only_a) / total.count
    days = (counts.only_b - counts.only_a - counts.count * value) / total.count
    difference = Estimate(
        float(value),
        float(share_difference_variance(total)),
        days,
        int(np.count_nonzero(counts.count)),
    )
    share_a, share_b = (
        float((total.both + only) / total.count) for only in (total.only_a, total.only_b)
    )
    return share_a, share_b, difference


def share_difference_variance(total: PairedCounts) -> np.ndarray:
    """Variance of the difference of two shares of the same, independent requests.

    Parameters
    ----------
    total : PairedCounts
        Arrays of shape (...).

    Returns
    -------
    ndarray of float, shape (...)
        With half a request added to each of the four cells: not 0 where the two never differ
        (Agresti and Min, Statistics in Medicine 2005).
    """
    apart, count = total.only_a + total.only_b + 1, total.count + 2
    return (apart - (total.only_b - total.only_a) ** 2 / count) / count**2


def mcnemar_pvalue(only_a: np.ndarray, only_b: np.ndarray) -> np.ndarray:
    """McNemar's test of two shares of the same requests.

    Parameters
    ----------
    only_a, only_b : ndarray of int, shape (...)
        Requests that count for one of them and not for the other.

    Returns
    -------
    ndarray of float, shape (...)
        Two-sided. Exact, from the binomial distribution, for up to 1,000 requests that differ;
        beyond from chi-square without continuity correction. 1 where none differs.

    Notes
    -----
    McNemar, Psychometrika 1947; exact as ``statsmodels.stats.contingency_tables.mcnemar``.
    """
    only_a, only_b = np.broadcast_arrays(np.asarray(only_a), np.asarray(only_b))
    discordant = only_a + only_b
    exact = np.minimum(2 * binom.cdf(np.minimum(only_a, only_b), discordant, 0.5), 1.0)
    statistic = rate((only_b - only_a).astype(float) ** 2, discordant)
    return np.where(discordant <= 1000, exact, chi2.sf(np.nan_to_num(statistic), 1))


def log_quantile(bins: np.ndarray, counts: np.ndarray, q: float) -> float:
    """Logarithm of a quantile of a latency histogram, its bins filled evenly in the logarithm.

    Parameters
    ----------
    bins : ndarray of int, shape (n_bins,)
        Rising; bin b holds (1.04^(b - 1), 1.04^b].
    counts : ndarray of int, shape (n_bins,)
    q : float

    Returns
    -------
    float
        Within one bin, 4 %, of that of the values; NaN of an empty histogram.
    """
    total = counts.sum()
    if not total:
        return np.nan
    wanted = np.clip(q, 0, 1) * total
    below = np.cumsum(counts)
    place = min(int(np.searchsorted(below, wanted)), len(bins) - 1)
    if not counts[place]:
        place = int(np.flatnonzero(counts)[0])
    inside = (wanted - below[place] + counts[place]) / counts[place]
    return float((bins[place] - 1 + inside) * LOG_GROWTH)


def latency_ratio(
    bins: np.ndarray, counts_a: np.ndarray, counts_b: np.ndarray, *, q: float, reach: float
) -> tuple[float, float, Estimate]:
    """Quantiles of the latencies of both models, and the logarithm of their ratio.

    Parameters
    ----------
    bins : ndarray of int, shape (n_bins,)
        Rising, as ``log_quantile`` takes them.
    counts_a, counts_b : ndarray of int, shape (n_days, n_bins)
    q : float
        In (0, 1), such as 0.95.
    reach : float
        Over how many standard errors the density at the quantile is taken: that of the interval
        that is wanted.

    Returns
    -------
    latency_a, latency_b : float
    log_ratio : Estimate
        ln(B / A).

    Notes
    -----
    Near its quantile x the distribution function F is taken for a line: ln x moves by
    slope x (q - F(x)), with the slope of ln x between the quantiles of q ± reach standard errors
    of F (Woodruff, JASA 1952). That the latencies of one request go together makes the variance
    smaller than this one, which takes them for independent; the days have it in.
    """
    parts = []
    for counts in (counts_a, counts_b):
        total = counts.sum()
        if not total:
            return np.nan, np.nan, UNDEFINED
        pooled = counts.sum(axis=0)
        error = np.sqrt(q * (1 - q) / total)
        low, high = max(q - reach * error, 0.0), min(q + reach * error, 1.0)
        log_value = log_quantile(bins, pooled, q)
        slope = (log_quantile(bins, pooled, high) - log_quantile(bins, pooled, low)) / (high - low)
        # What of each bin is above the quantile.
        position = log_value / LOG_GROWTH
        above = np.clip(bins - position, 0, 1)
        of_day = counts.sum(axis=1)
        days = slope * (counts @ above - (1 - q) * of_day) / total
        parts.append((log_value, slope**2 * q * (1 - q) / total, days, of_day))
    (log_a, variance_a, days_a, of_day_a), (log_b, variance_b, days_b, of_day_b) = parts
    has_both = (of_day_a > 0) | (of_day_b > 0)
    days = days_b - days_a
    log_ratio = Estimate(
        log_b - log_a, variance_a + variance_b, days, int(np.count_nonzero(has_both))
    )
    return _latency(log_a), _latency(log_b), log_ratio


def _latency(log_value: float) -> float:
    """Give the latency of a logarithm; what is in the lowest bin is 0."""
    return 0.0 if log_value <= ZERO_BIN * LOG_GROWTH else float(np.exp(log_value))


def _filled(day: np.ndarray, count: np.ndarray, n_days: int) -> int:
    """Count the days with requests."""
    return int(np.count_nonzero(np.bincount(day, count, n_days)))
