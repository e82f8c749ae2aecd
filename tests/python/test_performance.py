import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sklearn_metrics

from intervals import wilson_interval
from performance import (
    average_precision,
    average_precision_error_bound,
    average_precision_interval,
    confusion_metrics,
    roc_auc,
    roc_auc_error_bound,
    roc_auc_interval,
)
from score_bins import score_edges

SMALL = st.integers(0, 4)
ANY = st.one_of(SMALL, st.just(0), st.integers(0, 10**9))


def histograms(count, max_bins=12):
    """Counts of negatives and positives by bin."""
    return st.lists(st.tuples(count, count), min_size=1, max_size=max_bins).map(
        lambda bins: np.array(bins, np.int64).T
    )


def expanded(negatives, positives):
    """The label and the bin of each prediction."""
    bins = np.arange(len(negatives))
    labels = np.repeat([0, 1], [negatives.sum(), positives.sum()])
    return labels, np.concatenate([np.repeat(bins, negatives), np.repeat(bins, positives)])


def weighted(negatives, positives):
    """The same for large counts: label, bin and weight, without those of no weight."""
    labels = np.repeat([0, 1], len(negatives))
    bins = np.tile(np.arange(len(negatives)), 2)
    weights = np.concatenate([negatives, positives])
    return labels[weights > 0], bins[weights > 0], weights[weights > 0]


@given(histograms(ANY))
def test_roc_auc_equals_scikit_learn(histogram):
    labels, bins, weights = weighted(*histogram)
    found = roc_auc(*histogram)
    if len(set(labels)) < 2:
        assert np.isnan(found)
    else:
        expected = sklearn_metrics.roc_auc_score(labels, bins, sample_weight=weights)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@given(histograms(st.one_of(ANY, st.integers(0, 10**12))))
def test_roc_auc_is_exact(histogram):
    negatives, positives = (counts.tolist() for counts in histogram)
    won, below = Fraction(0), 0
    for negative, positive in zip(negatives, positives, strict=True):
        won += positive * (below + Fraction(negative, 2))
        below += negative
    pairs = sum(negatives) * sum(positives)
    if pairs:
        exact = float(won / pairs)
        error = abs(roc_auc(*histogram) - exact)
        assert error <= (0 if pairs <= 2**52 else 1e-14 * exact)


@given(histograms(ANY))
def test_average_precision_equals_scikit_learn(histogram):
    labels, bins, weights = weighted(*histogram)
    found = average_precision(*histogram)
    if 1 not in labels:
        assert np.isnan(found)
    else:
        expected = sklearn_metrics.average_precision_score(labels, bins, sample_weight=weights)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def binned(labels, scores, edges):
    """Count each class by bin, and say which bins hold a single value."""
    bins = np.searchsorted(edges, scores, side="left")
    n_bins = len(edges) + 1
    negatives, positives = (np.bincount(bins[labels == c], minlength=n_bins) for c in (0, 1))
    single = np.array([len(np.unique(scores[bins == b])) < 2 for b in range(n_bins)])
    return negatives, positives, single


def test_the_example_of_four_scores():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    negatives, positives, single = binned(labels, scores, score_edges())
    assert single.all()
    assert roc_auc(negatives, positives) == 0.75
    assert average_precision(negatives, positives) == pytest.approx(5 / 6, abs=1e-15)
    assert roc_auc_error_bound(negatives, positives, single) == 0
    assert average_precision_error_bound(negatives, positives, single) == 0


SCORES = st.one_of(
    st.floats(0, 1), st.floats(0, 1e-5), st.sampled_from([0, 0.1, 0.25, 0.3, 0.5, 0.9, 1])
)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.booleans(), SCORES), min_size=2, max_size=60),
    st.sampled_from(
        [(), (0.5,), (0.25, 0.5, 0.75), tuple(score_edges(7)), tuple(score_edges(100))]
    ),
)
def test_the_scores_own_values_are_within_the_bounds(predictions, edges):
    labels, scores = np.array([p[0] for p in predictions]), np.array([p[1] for p in predictions])
    counts = binned(labels, scores, np.array(edges, float))
    if not labels.any():
        assert np.isnan(average_precision_error_bound(*counts))
        assert np.isnan(roc_auc_error_bound(*counts))
        return
    exact = sklearn_metrics.average_precision_score(labels, scores)
    error = abs(average_precision(*counts[:2]) - exact)
    assert error <= average_precision_error_bound(*counts) + 1e-12
    if labels.all():
        assert np.isnan(roc_auc_error_bound(*counts))
        return
    error = abs(roc_auc(*counts[:2]) - sklearn_metrics.roc_auc_score(labels, scores))
    assert error <= roc_auc_error_bound(*counts) + 1e-12


def orders(negatives, positives):
    """Every order, ties included, of a bin's labels: the tied groups, from the highest."""
    labels = [0] * negatives + [1] * positives
    for ranks in itertools.product(range(max(len(labels), 1)), repeat=len(labels)):
        groups = {}
        for label, place in zip(labels, ranks, strict=True):
            groups.setdefault(place, [0, 0])[label] += 1
        yield [tuple(groups[place]) for place in sorted(groups)]


def extremes(histogram, is_single_value, metric):
    choices = []
    for negatives, positives, single in zip(*histogram.tolist(), is_single_value, strict=True):
        tied = [[(negatives, positives)]]
        unique = set(map(tuple, orders(negatives, positives)))
        choices.append(tied if single else unique)
    values = []
    for choice in itertools.product(*choices[::-1]):
        thresholds = np.array([group for bin_groups in choice for group in bin_groups]).T
        values.append(metric(*expanded(*thresholds[:, ::-1])))
    return min(values), max(values)


def plain_average_precision(labels, scores):
    total = 0.0
    for score in scores[labels == 1]:
        total += labels[scores >= score].mean()
    return total / labels.sum()


def plain_roc_auc(labels, scores):
    wins = [np.sign(p - n) / 2 + 0.5 for p in scores[labels == 1] for n in scores[labels == 0]]
    return np.mean(wins)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()).filter(
            lambda b: b[0] + b[1] < 4 or b[2]
        ),
        min_size=1,
        max_size=3,
    ).filter(lambda bins: math.prod(1 if b[2] else 4 ** (b[0] + b[1] - 1) for b in bins) <= 300)
)
def test_the_bounds_are_those_of_the_best_and_the_worst_order(bins):
    negatives, positives, single = np.array(bins, int).T
    histogram = np.array([negatives, positives])
    single = single.astype(bool)
    if not positives.any():
        return
    lowest, highest = extremes(histogram, single, plain_average_precision)
    value = average_precision(negatives, positives)
    bound = average_precision_error_bound(negatives, positives, single)
    assert bound == pytest.approx(max(value - lowest, highest - value), abs=1e-12)
    if negatives.any():
        lowest, highest = extremes(histogram, single, plain_roc_auc)
        value = roc_auc(negatives, positives)
        bound = roc_auc_error_bound(negatives, positives, single)
        assert bound == pytest.approx(max(value - lowest, highest - value), abs=1e-12)


def exact_average_precision_bound(negatives, positives, single):
    """The bound by its definition, with fractions where all is small and fsum elsewhere."""
    best = worst = Fraction(0)
    above_positives = above_negatives = 0
    bins = np.array([negatives, positives, single])[:, ::-1].T.tolist()
    for n, p, one in bins:
        total = above_positives + above_negatives
        if p and not one:
            tied = Fraction(p * (above_positives + p), total + p + n)
            best += Fraction(p * (above_positives + p), total + p) - tied
            if p <= 200:
                steps = range(1, p + 1)
                least = sum(Fraction(above_positives + i, total + n + i) for i in steps)
            else:
                i = np.arange(1, p + 1)
                least = Fraction(math.fsum((above_positives + i) / (total + n + i)))
            worst += tied - least
        above_positives, above_negatives = above_positives + p, above_negatives + n
    return float(max(best, worst) / above_positives)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(ANY, st.one_of(SMALL, st.integers(0, 200)), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_average_precision_bound_does_not_cancel(bins):
    negatives, positives, single = np.array(bins, np.int64).T
    if positives.any():
        found = average_precision_error_bound(negatives, positives, single.astype(bool))
        expected = exact_average_precision_bound(negatives, positives, single)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("above", [0, 1, 60, 61, 62, 63, 64, 65, 1000, 10**9])
@pytest.mark.parametrize("positives", [1, 2, 100, 10**6])
@pytest.mark.parametrize("negatives", [1, 10**9])
def test_average_precision_bound_across_its_series(above, positives, negatives):
    counts = np.array([[negatives, above], [positives, 3]])
    single = np.array([False, True])
    found = average_precision_error_bound(*counts, single)
    expected = exact_average_precision_bound(*counts, single)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-13)


def test_average_precision_bound_of_a_billion_positives():
    # One negative on top of 1e9 positives: the least is p less the harmonic number H(p + 1) - 1.
    p = 10**9
    harmonic = math.log(p + 1) + 0.5772156649015329 + 1 / (2 * (p + 1))
    value = average_precision([1], [p])
    assert value == pytest.approx(p / (p + 1), abs=1e-15)
    least = (p - (harmonic - 1)) / p
    found = average_precision_error_bound([1], [p], [False])
    assert found == pytest.approx(value - least, abs=1e-15)
    assert found == pytest.approx(1.93e-8, rel=0.01)


def plain_delong(labels, scores, confidence):
    """DeLong's interval from placements by comparing every pair."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    auc = wins.mean()
    variance = wins.mean(axis=1).var(ddof=1) / len(positives)
    variance += wins.mean(axis=0).var(ddof=1) / len(negatives)
    reach = norm.ppf(0.5 + confidence / 2) * math.sqrt(variance)
    return max(auc - reach, 0), min(auc + reach, 1)


@given(histograms(SMALL), st.sampled_from([0.8, 0.95, 0.999]))
def test_roc_auc_interval_equals_delong_on_every_pair(histogram, confidence):
    found = roc_auc_interval(*histogram, confidence=confidence)
    if histogram.sum(axis=1).min() < 2:
        assert np.isnan(found).all()
    else:
        expected = plain_delong(*expanded(*histogram), confidence)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_roc_auc_interval_on_raw_scores_of_single_value_bins():
    rng = np.random.default_rng(0)
    labels = rng.random(300) < 0.3
    scores = np.round(rng.normal(labels * 0.7, 1), 1)
    values = np.unique(scores)
    negatives, positives, _ = binned(labels, scores, values[:-1])
    expected = plain_delong(labels, scores, 0.95)
    np.testing.assert_allclose(roc_auc_interval(negatives, positives), expected, rtol=1e-12)


@given(histograms(ANY), st.integers(2, 1000))
def test_roc_auc_interval_holds_the_value_and_narrows_with_counts(histogram, times):
    lower, upper = roc_auc_interval(*histogram)
    if histogram.sum(axis=1).min() >= 2:
        assert 0 <= lower <= roc_auc(*histogram) <= upper <= 1
        more_lower, more_upper = roc_auc_interval(*(histogram * times))
        assert more_upper - more_lower <= upper - lower + 1e-12


def test_roc_auc_interval_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    chances = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    true = plain_roc_auc(*expanded(*(chances * 10).round().astype(int)))
    negatives, positives = (rng.multinomial(80, chance, 5000) for chance in chances)
    lower, upper = roc_auc_interval(negatives, positives, confidence=0.9)
    assert np.mean((lower <= true) & (upper >= true)) == pytest.approx(0.9, abs=0.02)


CELLS = st.one_of(st.integers(0, 4), st.just(0), st.integers(0, 10**9))


@settings(max_examples=60, deadline=None)
@given(st.tuples(CELLS, CELLS, CELLS, CELLS))
def test_confusion_metrics_equal_scikit_learn(cells):
    tp, fp, tn, fn = cells
    found = confusion_metrics(*cells)
    y_true, y_pred, weights = np.array([[1, 1, tp], [0, 1, fp], [0, 0, tn], [1, 0, fn]]).T
    kept = weights > 0
    y_true, y_pred, weights = y_true[kept], y_pred[kept], weights[kept]
    options = {"sample_weight": weights, "zero_division": np.nan}
    expected = (
        {
            "precision": sklearn_metrics.precision_score(y_true, y_pred, **options),
            "recall": sklearn_metrics.recall_score(y_true, y_pred, **options),
            "f1": sklearn_metrics.f1_score(y_true, y_pred, **options),
        }
        if kept.any()
        else dict.fromkeys(("precision", "recall", "f1"), np.nan)
    )
    expected["accuracy"] = (
        sklearn_metrics.accuracy_score(y_true, y_pred, sample_weight=weights)
        if kept.any()
        else np.nan
    )
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)
    total = tp + fp + tn + fn
    trials = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "accuracy": (tp + tn, total),
        "selection_rate": (tp + fp, total),
        "true_positive_rate": (tp, tp + fn),
        "false_positive_rate": (fp, fp + tn),
    }
    assert set(found) == {f"{n}{s}" for n in ["f1", *trials] for s in ("", "_lower", "_upper")}
    # 1 / F1 = (1 + 1 / J) / 2, and J is a share.
    for bound, jaccard in zip(("lower", "upper"), wilson_interval(tp, tp + fp + fn), strict=True):
        expected_bound = 2 / (1 + 1 / jaccard) if jaccard else jaccard
        np.testing.assert_allclose(found[f"f1_{bound}"], expected_bound, atol=1e-12)
    for name, (successes, denominator) in trials.items():
        value = successes / denominator if denominator else np.nan
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        interval = found[f"{name}_lower"], found[f"{name}_upper"]
        np.testing.assert_array_equal(interval, wilson_interval(successes, denominator))


def test_confusion_metrics_take_arrays_and_a_confidence():
    cells = np.array([[[3, 0], [5, 2]], [[1, 0], [2, 2]], [[9, 0], [0, 7]], [[2, 0], [1, 0]]])
    found = confusion_metrics(*cells, confidence=0.5)
    assert {value.shape for value in found.values()} == {(2, 2)}
    assert np.isnan([value[0, 1] for value in found.values()]).all()
    np.testing.assert_array_equal(
        found["recall_upper"], wilson_interval(cells[0], cells[0] + cells[3], confidence=0.5)[1]
    )
    assert found["f1"][0, 0] == 6 / 9


FUNCTIONS = {
    "roc_auc": lambda n, p, _: roc_auc(n, p),
    "roc_auc_error_bound": roc_auc_error_bound,
    "roc_auc_interval": lambda n, p, _: np.stack(roc_auc_interval(n, p), axis=-1),
    "average_precision": lambda n, p, _: average_precision(n, p),
    "average_precision_error_bound": average_precision_error_bound,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("n_bins", [1, 2, 9, 130, 1013])
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(function, n_bins):
    rng = np.random.default_rng(0)
    negatives, positives = rng.integers(0, 10 ** rng.integers(1, 9, (2, 12, 1)), (2, 12, n_bins))
    single = rng.random((12, n_bins)) < 0.3
    arrays = negatives, positives, single
    together = function(*arrays)
    alone = np.array([function(*(array[row] for array in arrays)) for row in range(12)])
    np.testing.assert_array_equal(together, alone)
    fortran = function(*(np.asfortranarray(array) for array in arrays))
    np.testing.assert_array_equal(together, fortran)
    strided = function(*(np.repeat(array, 3, axis=1)[:, ::3] for array in arrays))
    np.testing.assert_array_equal(together, strided)
    folded = function(*(array.reshape(3, 4, n_bins) for array in arrays))
    np.testing.assert_array_equal(together, folded.reshape(together.shape))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_nothing_in_gives_nan(function):
    empty = np.zeros((2, 5), int)
    assert np.isnan(function(empty, empty, empty == 1)).all()
    assert function(empty[:0], empty[:0], empty[:0] == 1).shape[0] == 0
    assert np.isnan(function(empty[:, :0], empty[:, :0], empty[:, :0] == 1)).all()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_counts_are_checked(function):
    ones = np.ones(3, int)
    with pytest.raises(ValueError, match=r"one shape \(..., n_bins\), got \(3,\) and \(2,\)"):
        function(ones, ones[:2], ones == 1)
    with pytest.raises(ValueError, match=r"one shape \(..., n_bins\), got \(\) and \(\)"):
        function(1, 1, True)
    with pytest.raises(ValueError, match="negatives must be integers, got float64"):
        function(ones * 0.5, ones, ones == 1)
    with pytest.raises(ValueError, match="positives must not be negative, got -1"):
        function(ones, -ones, ones == 1)


def test_rates_and_confidence_are_checked():
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\)"):
        roc_auc_interval([1], [1], confidence=95)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\)"):
        confusion_metrics(1, 1, 1, 1, confidence=95)
    for position in range(4):
        cells = [3, 3, 3, 3]
        cells[position] = -1
        with pytest.raises(ValueError, match="successes must be between 0 and trials"):
            confusion_metrics(*cells)


@given(histograms(ANY))
def test_average_precision_interval_is_on_the_log_odds(counts):
    negatives, positives = counts
    value = average_precision(negatives, positives)
    lower, upper = average_precision_interval(value, positives.sum())
    if np.isnan(value):
        assert np.isnan([lower, upper]).all()
    elif 0 < value < 1:
        reach = norm.ppf(0.975) / math.sqrt(positives.sum() * value * (1 - value))
        odds, factor = value / (1 - value), math.exp(-reach)
        assert lower == pytest.approx(odds * factor / (1 + odds * factor), abs=1e-9)
        assert upper == pytest.approx(1 / (1 + factor / odds), abs=1e-9)
    else:
        assert lower == upper == value


@pytest.mark.parametrize("rate_of_positives", [0.001, 0.05, 0.4])
def test_average_precision_interval_covers(rate_of_positives):
    """About 95 % of samples, also of rare events; the truth from a large sample."""
    rng = np.random.default_rng(8)
    chances = np.exp(-((np.arange(30) - 18) ** 2) / 60), np.exp(-((np.arange(30) - 10) ** 2) / 60)
    positive, negative = (part / part.sum() for part in chances)
    n = int(80 / rate_of_positives)
    truth = average_precision(
        np.round(1e9 * (1 - rate_of_positives) * negative).astype(np.int64),
        np.round(1e9 * rate_of_positives * positive).astype(np.int64),
    )
    n_positives = rng.binomial(n, rate_of_positives, 500)
    positives = rng.multinomial(n_positives, positive)
    negatives = rng.multinomial(n - n_positives, negative)
    lower, upper = average_precision_interval(average_precision(negatives, positives), n_positives)
    assert 0.9 < np.mean((lower <= truth) & (truth <= upper)) <= 1
