"""Estimates of performance against sums over single predictions, and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    precision_score,
    recall_score,
    roc_auc_score,
)

from estimation import (
    CLASSIFIER_METRICS,
    calibrated_probabilities,
    estimated_error,
    estimated_metrics,
    expected_metrics,
    mean_errors,
    past_reach,
)

COUNTS = st.integers(0, 5) | st.integers(0, 100_000)
LABELLED = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*[st.lists(COUNTS, min_size=n, max_size=n)] * 2)
)
#: Predictions of 0 and of 1 in each bin, and how often the bin comes true.
WINDOWS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        *[st.lists(COUNTS, min_size=n, max_size=n)] * 2,
        st.lists(st.sampled_from([0.0, 1.0, 0.001]) | st.floats(0, 1), min_size=n, max_size=n),
    )
)


# --- Calibration ---------------------------------------------------------------------------------


@given(LABELLED)
@example(([0], [0]))
@example(([0, 0, 0], [0, 4, 0]))
@example(([1, 0, 5, 0], [3, 0, 1, 0]))
@example(([99_900, 0, 900], [0, 0, 100]))
def test_calibration_is_isotonic_regression_of_single_labels(counts):
    negatives, positives = map(np.array, counts)
    found = calibrated_probabilities(negatives, positives)
    assert found.shape == negatives.shape
    if not (negatives + positives).any():
        assert np.isnan(found).all()
        return
    bins = np.arange(len(negatives))
    # Each label by itself, as scikit-learn would be given them: a positive and a negative part.
    oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
        np.concatenate([bins, bins]),
        np.repeat([0.0, 1.0], len(bins)),
        sample_weight=np.concatenate([negatives, positives]) + 0.0,
    )
    np.testing.assert_allclose(found, oracle.predict(bins), atol=1e-9)
    assert (np.diff(found) >= -1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()
    # A pool has the rate of its labels, so all of them together are met.
    total = ((negatives + positives) * found).sum()
    assert total == pytest.approx(positives.sum(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("negatives", "positives"), [([1, -1], [1, 1]), ([1, 1], [1, -1]), ([1], [1, 1]), (1, 1)]
)
def test_bad_counts_are_refused(negatives, positives):
    with pytest.raises(ValueError, match="counts must"):
        calibrated_probabilities(negatives, positives)


# --- Classifiers ---------------------------------------------------------------------------------


def twice(counts, probabilities):
    """Each prediction twice: as a positive with its probability, as a negative with the rest."""
    rows = [
        (label, score, predicted, counts[predicted][score] * weight)
        for predicted in (0, 1)
        for score, probability in enumerate(probabilities)
        for label, weight in ((1, probability), (0, 1 - probability))
    ]
    return (np.array(column) for column in zip(*rows, strict=True))


@given(WINDOWS)
@example(([0], [0], [0.5]))
@example(([3, 2], [0, 0], [0.2, 0.4]))
@example(([0, 0], [3, 2], [1.0, 1.0]))
@example(([99_999, 500], [0, 1], [0.0005, 0.05]))
def test_estimates_are_those_of_scikit_learn_with_weights(window):
    *counts, probabilities = window
    found = estimated_metrics(np.array(counts), np.array(probabilities))
    label, score, predicted, weight = twice(counts, probabilities)
    positives, negatives = weight[label == 1].sum(), weight[label == 0].sum()
    assert found["expected_positives"] == pytest.approx(positives, rel=1e-9)
    assert found["expected_negatives"] == pytest.approx(negatives, rel=1e-9, abs=1e-6)
    selected = weight[predicted == 1].sum()

    def check(name, is_defined, oracle, **more):
        if is_defined:
            expected = oracle(label, predicted, sample_weight=weight, **more)
            assert found[name] == pytest.approx(expected, abs=1e-9), name
        else:
            assert np.isnan(found[name]), name

    total = positives + negatives
    check("accuracy", total > 0, accuracy_score)
    check("precision", selected > 0, precision_score, zero_division=0)
    # Shares of next to nothing are rounding.
    if positives == 0 or positives > 1e-6:
        check("recall", positives > 0, recall_score, zero_division=0)
        check("f1", positives + selected > 0, f1_score, zero_division=0)
        if negatives == 0 or negatives > 1e-6:
            check(
                "roc_auc",
                min(positives, negatives) > 0,
                lambda y, _, sample_weight: roc_auc_score(y, score, sample_weight=sample_weight),
            )
    if total > 0:
        assert found["positive_rate"] == pytest.approx(positives / total, abs=1e-12)


def test_expected_answers_one_by_one():
    rng = np.random.default_rng(3)
    scores, predicted = rng.integers(0, 7, 400), rng.integers(0, 2, 400)
    probability = np.sort(rng.random(7))
    counts = np.zeros((2, 7), int)
    true_positives = false_positives = true_negatives = false_negatives = 0.0
    for score, decision in zip(scores.tolist(), predicted.tolist(), strict=True):
        counts[decision, score] += 1
        if decision:
            true_positives += probability[score]
            false_positives += 1 - probability[score]
        else:
            false_negatives += probability[score]
            true_negatives += 1 - probability[score]
    found = estimated_metrics(counts, probability)
    assert found["accuracy"] == pytest.approx((true_positives + true_negatives) / 400)
    assert found["precision"] == pytest.approx(true_positives / (true_positives + false_positives))
    assert found["recall"] == pytest.approx(true_positives / (true_positives + false_negatives))
    assert found["f1"] == pytest.approx(
        2 * true_positives / (2 * true_positives + false_positives + false_negatives)
    )


@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_near_what_is_drawn(seed):
    """Labels drawn by the calibrated probabilities have the estimated metrics on average."""
    rng = np.random.default_rng(seed)
    probability = np.sort(rng.beta(1, 4, 50))
    counts = rng.integers(0, 200, (2, 50))
    found = estimated_metrics(counts, probability)
    drawn = rng.binomial(counts, probability, (2000, 2, 50))
    realised = expected_metrics(counts - drawn, drawn)
    for name in CLASSIFIER_METRICS:
        error = realised[name].std() / math.sqrt(2000)
        assert found[name] == pytest.approx(realised[name].mean(), abs=5 * error + 2e-4), name


@given(WINDOWS, st.integers(0, 3))
def test_a_row_alone_is_as_in_a_batch(window, row):
    *counts, probabilities = window
    rng = np.random.default_rng(row)
    many = rng.integers(0, 1000, (4, 2, len(probabilities)))
    chances = rng.random((4, len(probabilities)))
    many[row], chances[row] = counts, probabilities
    alone = estimated_metrics(many[row], chances[row])
    together = estimated_metrics(many, chances)
    for name, values in together.items():
        np.testing.assert_array_equal(values[row], alone[name])


def test_without_labels_there_is_no_estimate():
    unknown = calibrated_probabilities(np.zeros(3, int), np.zeros(3, int))
    found = estimated_metrics(np.ones((2, 3), int), unknown)
    assert all(np.isnan(values) for values in found.values())


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 3)])
def test_counts_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="one shape"):
        expected_metrics(np.ones(shape), np.ones(shape))


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        expected_metrics(np.ones((2, 3)), -np.ones((2, 3)))


# --- Regressions ---------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    st.lists(st.integers(0, 5), max_size=60),
)
@example([(0, 0.0)], [])
@example([(2, 1e-300)], [0, 5])
def test_errors_are_those_of_single_predictions(reference, window):
    bins = np.array([place for place, _ in reference])
    errors = np.array([error for _, error in reference])
    count = np.bincount(bins, minlength=6)
    by_bin = mean_errors(count, np.bincount(bins, np.abs(errors), minlength=6))
    filled = np.unique(bins)
    means = {
        place: mean_absolute_error(errors[bins == place], 0 * errors[bins == place])
        for place in filled
    }
    assert by_bin[filled] == pytest.approx(list(means.values()))
    assert by_bin.min() >= min(means.values()) * (1 - 1e-9)
    assert by_bin.max() <= max(means.values()) * (1 + 1e-9)
    found = estimated_error(
        np.bincount(window, minlength=6) if window else np.zeros(6, int), by_bin
    )
    if not window:
        assert np.isnan(found)
        return
    assert found == pytest.approx(np.mean([by_bin[place] for place in window]))
    # A window like the reference has its error.
    alike = estimated_error(count, by_bin)
    assert alike == pytest.approx(np.abs(errors).mean())


def test_empty_bins_are_interpolated_and_outer_ones_flat():
    found = mean_errors(np.array([0, 2, 0, 0, 1, 0]), np.array([0, 4, 0, 0, 8, 0.0]))
    assert found.tolist() == [2, 2, 4, 6, 8, 8]
    assert np.isnan(mean_errors(np.zeros(3, int), np.zeros(3))).all()


# --- Intervals -----------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.integers(0, 60), st.sampled_from([np.nan, 0.0]) | st.floats(-10, 10), max_size=40
    ),
    st.integers(1, 30),
    st.integers(0, 10),
    st.integers(1, 40),
)
def test_reach_is_that_of_plain_python(off, size, lag, span):
    ends = sorted(off)
    found, counts = past_reach(
        ends, [off[end] for end in ends], size=size, lag=lag, span=span, least=3
    )
    for end, reach, count in zip(ends, found, counts, strict=True):
        told = [
            (other, off[other])
            for other in ends
            if end - lag - span < other <= end - lag and not math.isnan(off[other])
        ]
        assert count == len(told)
        if len(told) < 3:
            assert math.isnan(reach)
            continue
        mean_square = sum(error**2 for _, error in told) / len(told)
        freedom = 1 + (told[-1][0] - told[0][0]) / size
        expected = stats.t.ppf(0.975, freedom) * math.sqrt(mean_square)
        assert reach == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_nothing_later_moves_a_reach():
    rng = np.random.default_rng(5)
    ends, errors = np.arange(100), rng.normal(size=100)
    before, _ = past_reach(ends, errors, size=7, lag=3, span=90)
    errors[48:] = 1e6
    after, _ = past_reach(ends, errors, size=7, lag=3, span=90)
    np.testing.assert_array_equal(before[:51], after[:51])
    assert (after[51:] > 1e4).all()


@pytest.mark.parametrize("size", [1, 7])
def test_reach_covers_the_next_error(size):
    """Errors of windows that overlap: means of the same independent days."""
    covered = []
    for seed in range(300):
        days = np.random.default_rng(seed).normal(size=60 + size)
        errors = np.convolve(days, np.full(size, 1 / size), "valid")
        reach, _ = past_reach(np.arange(len(errors)), errors, size=size, lag=size, span=50)
        covered.append(abs(errors[-1]) <= reach[-1])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize(
    ("ends", "confidence", "message"), [([2, 1], 0.95, "rise"), ([1, 2], 1.0, "confidence")]
)
def test_bad_arguments_are_refused(ends, confidence, message):
    with pytest.raises(ValueError, match=message):
        past_reach(ends, [0.0, 0.0], size=1, lag=0, span=1, confidence=confidence)
