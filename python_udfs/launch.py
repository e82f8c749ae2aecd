"""Whether a shadow version may go live: intervals that hold however often people look.

Each criterion says how much worse than the live version the new one may be. Looks are daily, and
the error must not grow with them: a version that is worse by the margin of any one criterion is
let through with a chance of at most ``alpha`` over all looks together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm, t

import paired
from paired import Cells, Estimate, PairedCounts

# (1 + 1/x)(log(1 + x) + 2 log(1/(2 alpha))) is smallest near this x for alpha from 0.01 to 0.1.
BEST_X = 6.0
MOST_LOG_RATIO = 10.0
# What is worse of a difference, new version less live one.
WORSE = {
    "roc_auc": -1,
    "accuracy": -1,
    "ece": 1,
    "latency_p95_ms": 1,
    "error_rate": 1,
    "demographic_parity_difference": 1,
    "equal_opportunity_difference": 1,
    "predictive_equality_difference": 1,
}
# What there must be at least: counts and shares without an interval of their own.
AT_LEAST = ("labeled_pairs", "shadow_days", "partner_rate")


def standard_errors(count: int, least: int, *, alpha: float = 0.05) -> float:
    """How many standard errors an interval must reach that holds at all looks together.

    Parameters
    ----------
    count : int
        Requests of this look.
    least : int
        Requests that a decision takes at least.
    alpha : float
        In (0, 0.5): the chance that some look errs to one given side.

    Returns
    -------
    float
        Infinite without requests.

    Raises
    ------
    ValueError
        If alpha is outside (0, 0.5) or ``least`` is not positive.

    Notes
    -----
    Robbins' normal mixture for a running mean: with probability 1 - 2 alpha no count n ever finds
    the mean further from the truth than sqrt((1 + 1/x)(log(1 + x) + 2 log(1/(2 alpha)))) standard
    errors, x = n rho². Beyond sums of normal variables it holds for estimates that are nearly
    linear, such as AUC, and large counts (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals
    of Statistics 2024). Both sides err alike, hence alpha on one. rho is such that the interval is
    tightest at ``least``; it is hardly wider at a quarter or at four times as many.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must be in (0, 0.5), got {alpha}")
    if least <= 0:
        raise ValueError(f"least must be positive, got {least}")
    if count <= 0:
        return np.inf
    x = BEST_X * count / least
    return float(np.sqrt((1 + 1 / x) * (np.log1p(x) - 2 * np.log(2 * alpha))))


def reach(estimate: Estimate, errors: float) -> float:
    """How far an interval reaches to either side.

    Parameters
    ----------
    estimate : Estimate
    errors : float
        Standard errors, as ``standard_errors`` gives them.

    Returns
    -------
    float
        The larger of what independent requests and what days ask for. Of d days the variance is
        known from d values only: there Student's t with d - 1 degrees of freedom, at the same
        level, takes the place of the normal distribution. NaN where the variance is unknown or
        there are fewer than two days.
    """
    if not (estimate.n_days >= 2 and np.isfinite(errors)):
        return np.nan
    of_days = -t.ppf(norm.cdf(-errors), estimate.n_days - 1) * np.sqrt(estimate.variance_of_days)
    return float(np.maximum(errors * np.sqrt(estimate.variance), of_days))


def interval(estimate: Estimate, errors: float) -> tuple[float, float]:
    """Bounds of an estimate: its reach, and what bias it may have."""
    beyond = reach(estimate, errors)
    return (
        estimate.value - beyond - estimate.bias_below,
        estimate.value + beyond + estimate.bias_above,
    )


def gap_difference(
    rates: PairedCounts, *, count: int, least: int, alpha: float = 0.05
) -> tuple[float, float, float, float, float]:
    """Largest gap of the groups by both models, and how much larger that of B is.

    Parameters
    ----------
    rates : PairedCounts
        Arrays of shape (n_groups, n_days), of the groups that take part.
    count, least : int
    alpha : float
        As ``standard_errors`` takes them.

    Returns
    -------
    gap_a, gap_b : float
        Largest less smallest rate; NaN for fewer than two groups.
    difference, lower, upper : float
        Of the gaps, B less A.

    Notes
    -----
    ``upper``: the gap of B is that of some pair of groups, and A's gap is at least A's difference
    of that pair. So the gap has grown by no more than the largest growth of any pair, and by a
    margin or more only if some pair has: each pair may be tested at the level alpha itself, as all
    must pass (an intersection-union test; Berger, Technometrics 1982).

    ``lower``: any pair bounds the gap of B from below, so there the pairs share alpha / 2; the
    gap of A is at most the largest upper bound of its pairs, each at alpha / 2.
    """
    total = rates.total()
    n_groups = len(total.count)
    if n_groups < 2 or not total.count.all():
        return (np.nan,) * 5
    rate_a, rate_b = ((total.both + only) / total.count for only in (total.only_a, total.only_b))
    gaps = float(np.ptp(rate_a)), float(np.ptp(rate_b)), float(np.ptp(rate_b) - np.ptp(rate_a))
    n_days = int(np.count_nonzero(rates.count.sum(axis=0)))
    if n_days < 2 or count <= 0:
        return (*gaps, np.nan, np.nan)

    def pairs(of_groups: np.ndarray) -> np.ndarray:
        return of_groups[:, None] - of_groups

    def bounded(own: np.ndarray, variance: np.ndarray, share: np.ndarray, level: float):
        """How far the intervals of the differences of all pairs reach."""
        of_days = (own - rates.count * share[:, None]) / total.count[:, None]
        errors = standard_errors(count, least, alpha=level)
        return _pair_reach(variance, of_days, n_days, errors)

    each_pair = {"where": ~np.eye(n_groups, dtype=bool), "initial": -np.inf}
    change = rate_b - rate_a
    variance = paired.share_difference_variance(total)
    growth = bounded(rates.only_b - rates.only_a, variance, change, alpha)
    upper = np.max(pairs(change) + growth, **each_pair)

    def spread(share: np.ndarray) -> np.ndarray:
        smoothed = (share * total.count + 1) / (total.count + 2)
        return smoothed * (1 - smoothed) / total.count

    level = alpha / 2 / (n_groups * (n_groups - 1))
    of_b = pairs(rate_b) - bounded(rates.only_b + rates.both, spread(rate_b), rate_b, level)
    of_a = pairs(rate_a) + bounded(rates.only_a + rates.both, spread(rate_a), rate_a, alpha / 2)
    lower = np.max(of_b, **each_pair) - np.max(of_a, **each_pair)
    return (*gaps, float(np.clip(lower, -1, 1)), float(np.clip(upper, -1, 1)))


def _pair_reach(
    variance: np.ndarray, of_days: np.ndarray, n_days: int, errors: float
) -> np.ndarray:
    """How far intervals of the differences of all pairs reach, shape (n_groups, n_groups)."""
    products = of_days @ of_days.T
    own = np.diag(products)
    between = np.maximum(own[:, None] + own - 2 * products, 0) * n_days / (n_days - 1)
    by_days = -t.ppf(norm.cdf(-errors), n_days - 1) * np.sqrt(between)
    return np.maximum(errors * np.sqrt(variance[:, None] + variance), by_days)


@dataclass(frozen=True)
class Evidence:
    """What is known of two versions on the same requests; A is live, B its shadow.

    Attributes
    ----------
    live_count : int
        Requests that A had while B was in the shadow.
    failures : PairedCounts
        Of the requests that reached both, by day: those answered with an error.
    latency_bins : ndarray of int, shape (n_latency_bins,)
    latencies_a, latencies_b : ndarray of int, shape (n_days, n_latency_bins)
    hits : PairedCounts
        Of the labelled requests that both answered, by day: those decided rightly.
    cells : Cells
    variance_sums : two ndarrays of float, shape (n_cells,)
        As ``paired.ece_difference`` takes them.
    calibration_bins : ndarray of int, shape (n_bins,)
    auc_error_bound : float
        How far the difference of the AUCs may be off because scores are in bins.
    groups : dict of (str, str) to PairedCounts
        By fairness metric and protected attribute, arrays of shape (n_groups, n_days): the rate of
        which the metric is the gap. Without groups that have labels there is none.
    """

    live_count: int
    failures: PairedCounts
    latency_bins: np.ndarray
    latencies_a: np.ndarray
    latencies_b: np.ndarray
    hits: PairedCounts
    cells: Cells
    variance_sums: tuple[np.ndarray, np.ndarray]
    calibration_bins: np.ndarray
    auc_error_bound: float
    groups: dict[tuple[str, str], PairedCounts]


@dataclass(frozen=True)
class Criterion:
    """A criterion at one look.

    Attributes
    ----------
    live_value, value : float
        Of the live version and of the new one.
    difference, lower, upper : float
        New less live, with the interval that holds at all looks together; of a latency the
        relative difference; of ``AT_LEAST`` the value itself.
    sample_count : int
        Requests that it was computed from.
    """

    live_value: float
    value: float
    difference: float
    lower: float
    upper: float
    sample_count: int


UNKNOWN = Criterion(*(np.nan,) * 5, 0)


def measure(
    evidence: Evidence, criterion: str, slice_key: str, *, least: int, alpha: float = 0.05
) -> Criterion:
    """Measure a criterion at one look.

    Parameters
    ----------
    evidence : Evidence
        Of all days from the first one in the shadow.
    criterion : str
        A key of ``WORSE`` or one of ``AT_LEAST``.
    slice_key : str
        ``all``, or the protected attribute of a gap.
    least : int
        Labelled requests that a decision takes at least.
    alpha : float
        In (0, 0.5).

    Returns
    -------
    Criterion
        NaN where there is nothing to compute it from.
    """
    failures, hits = evidence.failures, evidence.hits
    n_days = len(failures.count)
    n_paired, n_labelled = int(failures.count.sum()), int(hits.count.sum())
    if criterion == "labeled_pairs":
        return _plain(n_labelled, n_labelled)
    if criterion == "shadow_days":
        return _plain(int(np.count_nonzero(failures.count)), n_paired)
    if criterion == "partner_rate":
        return _partner_rate(n_paired, evidence.live_count, least, alpha)
    if slice_key != "all":
        rates = evidence.groups.get((criterion, slice_key))
        if rates is None:
            return UNKNOWN
        count = int(rates.count.sum())
        return Criterion(*gap_difference(rates, count=count, least=least, alpha=alpha), count)

    n_used = n_paired if criterion in ("latency_p95_ms", "error_rate") else n_labelled
    errors = standard_errors(n_used, least, alpha=alpha)
    if criterion == "latency_p95_ms":
        live, new, estimate = paired.latency_ratio(
            evidence.latency_bins,
            evidence.latencies_a,
            evidence.latencies_b,
            q=0.95,
            reach=min(errors, 10.0),
        )
        # Of two days a bound may be beyond all numbers.
        bounds = np.clip(interval(estimate, errors), -MOST_LOG_RATIO, MOST_LOG_RATIO)
        relative = np.expm1([estimate.value, *bounds])
        return Criterion(live, new, *relative.tolist(), n_used)
    if criterion == "error_rate":
        live, new, estimate = paired.share_difference(failures)
    elif criterion == "accuracy":
        live, new, estimate = paired.share_difference(hits)
    elif criterion == "roc_auc":
        live, new, estimate = paired.roc_auc_difference(evidence.cells, n_days=n_days)
        bound = evidence.auc_error_bound
        estimate = replace(estimate, bias_below=bound, bias_above=bound)
    else:
        live, new, estimate = paired.ece_difference(
            evidence.cells, evidence.variance_sums, evidence.calibration_bins, n_days=n_days
        )
    bounds = np.clip(interval(estimate, errors), -1.0, 1.0)
    return Criterion(live, new, estimate.value, *bounds.tolist(), n_used)


def _plain(value: int, sample_count: int) -> Criterion:
    """Take a count, of which nothing is unsure."""
    return Criterion(np.nan, float(value), float(value), float(value), float(value), sample_count)


def _partner_rate(n_paired: int, live_count: int, least: int, alpha: float) -> Criterion:
    """Share of the live requests that reached the new version too."""
    if not live_count:
        return UNKNOWN
    share, smoothed = n_paired / live_count, (n_paired + 1) / (live_count + 2)
    errors = standard_errors(live_count, least, alpha=alpha)
    beyond = float(errors * np.sqrt(smoothed * (1 - smoothed) / live_count))
    bounds = max(share - beyond, 0.0), min(share + beyond, 1.0)
    return Criterion(np.nan, share, share, *bounds, live_count)


def verdict(criterion: str, margin: float, lower: float, upper: float) -> str:
    """Whether a criterion is met.

    Parameters
    ----------
    criterion : str
        A key of ``WORSE`` or one of ``AT_LEAST``.
    margin : float
        How much worse is allowed, not negative; of ``AT_LEAST`` the least value.
    lower, upper : float
        The interval of the difference; of ``AT_LEAST`` of the value.

    Returns
    -------
    str
        ``pass``: all of the interval is within the margin; ``fail``: all of it is beyond;
        ``undecided``: neither, or nothing is known.

    Raises
    ------
    ValueError
        If there is no such criterion.
    """
    if criterion in AT_LEAST:
        if lower >= margin:
            return "pass"
        return "fail" if criterion == "partner_rate" and upper < margin else "undecided"
    if criterion not in WORSE:
        raise ValueError(f"criterion must be one of {[*WORSE, *AT_LEAST]}, got {criterion!r}")
    if WORSE[criterion] < 0:
        lower, upper = -upper, -lower
    if upper < margin:
        return "pass"
    return "fail" if lower > margin else "undecided"


def decision(verdicts: list[str]) -> str:
    """Give the decision of a look: ``ship``, ``hold`` or ``not_enough_evidence``."""
    if "fail" in verdicts:
        return "hold"
    return "ship" if verdicts and set(verdicts) == {"pass"} else "not_enough_evidence"
