"""Paired statistics against plain definitions, statsmodels, scikit-learn and the bootstrap."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

import latency
import paired
from paired import Cells, PairedCounts


def cells_of(day, bin_a, bin_b, label, score_a=None, score_b=None) -> Cells:
    """A cell for each request."""
    label = np.asarray(label)
    zeros = np.zeros(len(label))
    return Cells(
        np.asarray(day),
        np.asarray(bin_a),
        np.asarray(bin_b),
        1 - label,
        label,
        zeros if score_a is None else np.asarray(score_a, float),
        zeros if score_b is None else np.asarray(score_b, float),
    )


def merged(cells: Cells) -> Cells:
    """The same requests, those with equal bins and days in one cell."""
    keys = np.stack([cells.day, cells.bin_a, cells.bin_b])
    found, place = np.unique(keys, axis=1, return_inverse=True)
    sums = [
        np.bincount(place.ravel(), getattr(cells, name), found.shape[1])
        for name in ("negatives", "positives", "score_sum_a", "score_sum_b")
    ]
    return Cells(*found, *(part.astype(int) for part in sums[:2]), *sums[2:])


def delong(scores: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of several models and their covariance, as DeLong et al. (1988) write them."""
    x, y = scores[:, label == 1], scores[:, label == 0]
    m, n = x.shape[1], y.shape[1]
    psi = (x[:, :, None] > y[:, None, :]) + 0.5 * (x[:, :, None] == y[:, None, :])
    auc = psi.mean(axis=(1, 2))
    v10, v01 = psi.mean(axis=2), psi.mean(axis=1)
    return auc, np.cov(v10) / m + np.cov(v01) / n


requests = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.integers(0, 1)),
    min_size=4,
    max_size=60,
)


@given(requests)
def test_auc_difference_is_that_of_delong(rows):
    day, bin_a, bin_b, label = np.array(rows).T
    found = paired.roc_auc_difference(cells_of(day, bin_a, bin_b, label), n_days=4)
    if label.min() == label.max():
        assert np.isnan(found[:2]).all() and np.isnan(found[2].value)
        return
    auc_a, auc_b, difference = found
    assert auc_a == pytest.approx(roc_auc_score(label, bin_a))
    assert auc_b == pytest.approx(roc_auc_score(label, bin_b))
    assert difference.value == pytest.approx(auc_b - auc_a, abs=1e-12)
    if min(label.sum(), (1 - label).sum()) < 2:
        assert np.isnan(difference.variance)
        return
    _, covariance = delong(np.stack([bin_a, bin_b]).astype(float), label)
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert difference.variance == pytest.approx(expected, abs=1e-12)


@given(requests)
def test_auc_difference_does_not_depend_on_how_requests_are_counted(rows):
    day, bin_a, bin_b, label = np.array(rows).T
    one_by_one = cells_of(day, bin_a * 1000, bin_b * 7 + 3, label)
    found = paired.roc_auc_difference(one_by_one, n_days=4)
    again = paired.roc_auc_difference(merged(one_by_one), n_days=4)
    assert found[:2] == pytest.approx(again[:2], nan_ok=True)
    assert found[2].variance == pytest.approx(again[2].variance, nan_ok=True, abs=1e-12)
    assert found[2].days == pytest.approx(again[2].days, abs=1e-12)
    assert found[2].n_days == again[2].n_days
    if len(again[2].days):
        assert again[2].n_days == len(set(day.tolist()))
        assert again[2].days.sum() == pytest.approx(0, abs=1e-12)


def test_auc_of_equal_models_has_no_difference_and_no_variance():
    rng = np.random.default_rng(0)
    bins, label = rng.integers(0, 50, 500), rng.integers(0, 2, 500)
    _, _, difference = paired.roc_auc_difference(
        cells_of(np.zeros(500, int), bins, bins, label), n_days=1
    )
    assert (difference.value, difference.variance) == (0, 0)
    assert np.isnan(difference.variance_of_days)


def draw(rng, n_days=20, a_day=300, day_effect=0.0):
    """Requests with two correlated scores, and days that differ."""
    day = np.repeat(np.arange(n_days), a_day)
    label = rng.integers(0, 2, len(day))
    shared = rng.normal(size=len(day)) + label
    effect = rng.normal(0, day_effect, n_days)[day]
    score_a = shared + rng.normal(size=len(day)) * 0.5
    score_b = shared + rng.normal(size=len(day)) * 0.5 + effect * label
    return day, score_a, score_b, label


def bootstrap_error(statistic, day, parts, rng, by_day):
    """Standard error of a statistic over resampled requests, or days."""
    values = []
    n_days = day.max() + 1
    of_day = [np.flatnonzero(day == d) for d in range(n_days)]
    for _ in range(300):
        if by_day:
            rows = np.concatenate([of_day[d] for d in rng.integers(0, n_days, n_days)])
        else:
            rows = rng.integers(0, len(day), len(day))
        values.append(statistic(*(part[rows] for part in parts)))
    return np.std(values, ddof=1)


@pytest.mark.parametrize("by_day", [False, True])
def test_errors_of_the_auc_difference_are_those_of_the_bootstrap(by_day):
    rng = np.random.default_rng(3)
    day, score_a, score_b, label = draw(rng, day_effect=0.6 if by_day else 0.0)
    ranks = [stats.rankdata(score).astype(int) for score in (score_a, score_b)]
    _, _, difference = paired.roc_auc_difference(cells_of(day, *ranks, label), n_days=20)
    expected = bootstrap_error(
        lambda a, b, y: roc_auc_score(y, b) - roc_auc_score(y, a),
        day,
        (score_a, score_b, label),
        rng,
        by_day,
    )
    variance = difference.variance_of_days if by_day else difference.variance
    assert np.sqrt(variance) == pytest.approx(expected, rel=0.15)
    if by_day:
        assert variance > 2 * difference.variance


def plain_ece(score, label, number):
    """By bins, from single requests."""
    return sum(
        abs(np.mean(score[number == b]) - np.mean(label[number == b])) * np.mean(number == b)
        for b in np.unique(number)
    )


def ece_arguments(day, score_a, score_b, label, n_bins=10):
    fine = 100
    bins = [np.minimum((score * fine).astype(int), fine - 1) for score in (score_a, score_b)]
    cells = cells_of(day, *bins, label, score_a, score_b)
    variances = tuple(score * (1 - score) for score in (score_a, score_b))
    return cells, variances, np.arange(fine) // (fine // n_bins), bins


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(2, 200))
def test_ece_difference_is_that_of_single_requests(seed, n):
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, 5, n))
    score_a, score_b = rng.beta(1, 3, n), rng.beta(2, 2, n)
    label = rng.integers(0, 2, n)
    cells, variances, grid, bins = ece_arguments(day, score_a, score_b, label)
    ece_a, ece_b, difference = paired.ece_difference(cells, variances, grid, n_days=5)
    of_request = []
    for ece, score, number in (
        (ece_a, score_a, grid[bins[0]]),
        (ece_b, score_b, grid[bins[1]]),
    ):
        assert ece == pytest.approx(plain_ece(score, label, number))
        sign = np.array([np.sign(np.sum((score - label)[number == b])) or 1 for b in number])
        of_request.append(sign * (score - label))
    each = of_request[1] - of_request[0]
    assert difference.value == pytest.approx(each.mean(), abs=1e-12)
    assert difference.variance == pytest.approx(np.var(each, ddof=1) / n, abs=1e-12)
    days = np.bincount(day, each - each.mean(), 5) / n
    assert difference.days == pytest.approx(days, abs=1e-12)
    for bias, score, number in (
        (difference.bias_above, score_a, grid[bins[0]]),
        (difference.bias_below, score_b, grid[bins[1]]),
    ):
        spread = [np.sqrt(np.sum((score * (1 - score))[number == b])) for b in np.unique(number)]
        assert bias == pytest.approx(np.sqrt(2 / np.pi) * sum(spread) / n)


def test_errors_of_the_ece_difference_are_those_of_the_bootstrap():
    rng = np.random.default_rng(5)
    n = 6000
    score_a = rng.beta(1, 3, n)
    label = (rng.random(n) < np.clip(score_a * 0.7, 0, 1)).astype(int)
    score_b = np.clip(score_a * 0.8 + rng.normal(0, 0.05, n), 0.001, 0.999)
    day = np.arange(n) % 20
    cells, variances, grid, bins = ece_arguments(day, score_a, score_b, label)
    _, _, difference = paired.ece_difference(cells, variances, grid, n_days=20)
    expected = bootstrap_error(
        lambda a, b, y, i, j: plain_ece(b, y, j) - plain_ece(a, y, i),
        day,
        (score_a, score_b, label, grid[bins[0]], grid[bins[1]]),
        rng,
        by_day=False,
    )
    assert np.sqrt(difference.variance) == pytest.approx(expected, rel=0.15)


def test_nothing_is_known_of_no_requests():
    empty = cells_of([], [], [], np.zeros(0, int))
    empty = replace(
        empty, **{name: part.astype(int) for name, part in list(vars(empty).items())[:5]}
    )
    assert np.isnan(paired.roc_auc_difference(empty, n_days=3)[0])
    assert np.isnan(paired.ece_difference(empty, (np.zeros(0),) * 2, np.zeros(9, int), n_days=3)[0])
    none = PairedCounts(*(np.zeros(3, int),) * 4)
    share_a, share_b, difference = paired.share_difference(none)
    assert np.isnan([share_a, share_b, difference.value, difference.variance]).all()
    assert np.isnan(
        paired.latency_ratio(
            np.arange(3), np.zeros((2, 3), int), np.ones((2, 3), int), q=0.95, reach=2
        )[0]
    )


days_of_counts = st.lists(st.tuples(*(st.integers(0, 40),) * 4), min_size=1, max_size=6).map(
    np.array
)


@given(days_of_counts)
def test_shares_and_their_difference_are_those_of_single_requests(rows):
    only_a, only_b, both, neither = rows.T
    counts = PairedCounts(only_a, only_b, both, rows.sum(axis=1))
    n = rows.sum()
    if not n:
        return
    share_a, share_b, difference = paired.share_difference(counts)
    a = np.repeat([1, 0, 1, 0], [only_a.sum(), only_b.sum(), both.sum(), neither.sum()])
    b = np.repeat([0, 1, 1, 0], [only_a.sum(), only_b.sum(), both.sum(), neither.sum()])
    assert (share_a, share_b) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
    assert difference.value == pytest.approx((b - a).mean(), abs=1e-12)
    # Two more requests, half a one in each cell.
    added = np.concatenate([b - a, [0.0]])
    weight = np.concatenate([np.ones(n), [1.0]])
    squares = np.sum(weight * added**2) + 1.0
    mean = np.sum(added) / (n + 2)
    assert difference.variance == pytest.approx((squares / (n + 2) - mean**2) / (n + 2), abs=1e-12)
    assert difference.days.sum() == pytest.approx(0, abs=1e-12)
    assert difference.n_days == np.count_nonzero(rows.sum(axis=1))


@given(st.integers(0, 500), st.integers(0, 500))
def test_mcnemar_is_that_of_statsmodels(only_a, only_b):
    expected = mcnemar([[9, only_a], [only_b, 9]], exact=True).pvalue if only_a + only_b else 1.0
    assert float(paired.mcnemar_pvalue(only_a, only_b)) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 4000), st.integers(1001, 4000))
def test_mcnemar_of_many_is_chi_square(only_a, only_b):
    expected = mcnemar([[9, only_a], [only_b, 9]], exact=False, correction=False).pvalue
    assert float(paired.mcnemar_pvalue(only_a, only_b)) == pytest.approx(expected, abs=1e-12)


def histogram(values, day, n_days, bins):
    found = np.zeros((n_days, len(bins)), int)
    np.add.at(found, (day, np.ceil(np.log(values) / np.log(1.04)).astype(int) - bins[0]), 1)
    return found


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.floats(0.3, 3), st.floats(0.2, 1.5))
def test_quantiles_of_latencies_are_within_a_bin(seed, ratio, sigma):
    rng = np.random.default_rng(seed)
    a = rng.lognormal(4, sigma, 2000)
    b = rng.lognormal(4, sigma, 2000) * ratio
    day = np.arange(2000) % 7
    bins = np.arange(-100, 400)
    p95_a, p95_b, log_ratio = paired.latency_ratio(
        bins, histogram(a, day, 7, bins), histogram(b, day, 7, bins), q=0.95, reach=2.0
    )
    for found, values in ((p95_a, a), (p95_b, b)):
        low, high = np.quantile(values, [0.95 - 1 / 2000, 0.95 + 1 / 2000])
        assert low / latency.GROWTH <= found <= high * latency.GROWTH
    assert log_ratio.value == pytest.approx(np.log(p95_b / p95_a))
    # What is above the quantile is known to a request or so.
    assert log_ratio.days.sum() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("by_day", [False, True])
def test_errors_of_a_latency_ratio_are_those_of_the_bootstrap(by_day):
    rng = np.random.default_rng(11)
    n_days, a_day = 24, 400
    day = np.repeat(np.arange(n_days), a_day)
    effect = rng.normal(0, 0.2 if by_day else 0, (2, n_days))
    a, b = (rng.lognormal(4, 0.6, len(day)) * np.exp(part[day]) for part in effect)
    bins = np.arange(-100, 400)
    _, _, log_ratio = paired.latency_ratio(
        bins, histogram(a, day, n_days, bins), histogram(b, day, n_days, bins), q=0.95, reach=2.0
    )
    expected = bootstrap_error(
        lambda a, b: np.log(np.quantile(b, 0.95) / np.quantile(a, 0.95)), day, (a, b), rng, by_day
    )
    variance = log_ratio.variance_of_days if by_day else log_ratio.variance
    assert np.sqrt(variance) == pytest.approx(expected, rel=0.2)


def test_latencies_under_a_microsecond_are_nothing():
    counts = np.array([[5, 0, 0]])
    live, new, _ = paired.latency_ratio(
        np.array([latency.ZERO_BIN, 0, 1]), counts, counts, q=0.5, reach=1
    )
    assert (live, new) == (0, 0)
