import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from calibration import (
    CLIP,
    calibration_line,
    calibration_line_interval,
    ece_interval,
    ece_noise_floor,
    expected_calibration_error,
    maximum_calibration_error,
)


def bin_sums(scores, labels, n_bins):
    """Count, sum of scores, positives and sum of s(1 - s) of each bin, by a loop."""
    sums = np.zeros((4, n_bins))
    for score, label in zip(scores, labels, strict=True):
        place = max(k for k in range(n_bins) if k / n_bins <= score)
        sums[:, place] += 1, score, label, score * (1 - score)
    return sums


@pytest.mark.parametrize(
    ("scores", "labels", "n_bins", "expected"),
    [
        ([0.1, 0.3, 0.9, 0.7, 0.2, 0.8], [0, 0, 1, 1, 0, 1], 5, 0.20),
        ([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1], 2, 0.29),
        ([1.0, 1.0], [0, 0], 10, 1.0),
    ],
)
def test_known_calibration_errors(scores, labels, n_bins, expected):
    found = expected_calibration_error(*bin_sums(scores, labels, n_bins)[:3])
    assert found == pytest.approx(expected, abs=1e-12)


PREDICTIONS = st.lists(
    st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0, 0.1, 0.3, 0.5, 1])), st.booleans()),
    max_size=40,
)


@given(PREDICTIONS, st.integers(1, 12), st.integers(1, 6))
def test_errors_equal_their_definition(predictions, n_bins, min_samples):
    scores = np.array([score for score, _ in predictions], float)
    labels = np.array([label for _, label in predictions], float)
    sums = bin_sums(scores, labels, n_bins)
    places = np.array([max(k for k in range(n_bins) if k / n_bins <= s) for s in scores], int)
    ece, floor, gaps = 0.0, 0.0, []
    for place in set(places.tolist()):
        inside = places == place
        gap = abs(labels[inside].mean() - scores[inside].mean())
        ece += inside.mean() * gap
        variance = np.sum(scores[inside] * (1 - scores[inside]))
        floor += np.sqrt(2 / np.pi * variance) / len(scores)
        if inside.sum() >= min_samples:
            gaps.append(gap)
    found = (
        expected_calibration_error(*sums[:3]),
        ece_noise_floor(sums[0], sums[3]),
        maximum_calibration_error(*sums[:3], min_samples=min_samples),
    )
    expected = (ece, floor) if predictions else (np.nan, np.nan)
    expected += (max(gaps, default=np.nan),)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_largest_error_is_that_of_a_bin_that_holds_enough():
    count, positives = [49, 50, 51, 0], [49, 20, 30, 0]
    score_sum = [0.0, 15.0, 30.5, np.nan]
    assert maximum_calibration_error(count, score_sum, positives) == pytest.approx(0.1)
    assert maximum_calibration_error(count, score_sum, positives, min_samples=49) == 1
    assert np.isnan(maximum_calibration_error(count, score_sum, positives, min_samples=52))


def test_the_scores_of_empty_bins_do_not_matter():
    error = expected_calibration_error([2, 0, 2], [0.5, np.nan, 1.5], [0, 0, 2])
    assert error == 0.25
    assert ece_noise_floor([2, 0], [0.5, np.nan]) == ece_noise_floor([2], [0.5])


@pytest.mark.parametrize(
    ("n", "bias", "floor"), [(50, 0.138, 0.137), (200, 0.071, 0.070), (1000, 0.031, 0.032)]
)
def test_noise_floor_predicts_the_error_of_a_calibrated_model(n, bias, floor):
    rng = np.random.default_rng(0)
    shape = 2000, 10
    sums = np.zeros((4, *shape))
    scores = rng.random((shape[0], n))
    labels = rng.random(scores.shape) < scores
    at = np.arange(shape[0])[:, None], np.searchsorted(np.arange(1, 10) / 10, scores, "right")
    for place, values in enumerate((1, scores, labels, scores * (1 - scores))):
        np.add.at(sums[place], at, values)
    assert expected_calibration_error(*sums[:3]).mean() == pytest.approx(bias, abs=0.002)
    assert ece_noise_floor(sums[0], sums[3]).mean() == pytest.approx(floor, abs=0.001)


def test_floor_takes_a_sum_of_zeros_that_rounding_made_negative():
    assert ece_noise_floor([2, 2], [-1e-17, 0.5]) == pytest.approx(np.sqrt(1 / np.pi) / 4)


@st.composite
def fits(draw):
    """Scores, negatives and positives of bins; the scores may repeat and be extreme."""
    score = st.one_of(
        st.floats(0, 1),
        st.sampled_from([0.0, 1e-300, CLIP, 1e-6, 0.1, 0.5, 0.9, 1 - CLIP, 1.0]),
    )
    count = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 10**9))
    bins = draw(st.lists(st.tuples(score, count, count), min_size=1, max_size=12))
    return tuple(np.array(part) for part in zip(*bins, strict=True))


def has_fit(scores, negatives, positives):
    """Whether no threshold separates the classes, ties at it allowed (Albert and Anderson)."""
    clipped = logit(np.clip(scores, CLIP, 1 - CLIP))
    of_positives, of_negatives = clipped[positives > 0], clipped[negatives > 0]
    if not len(of_positives) or not len(of_negatives):
        return False
    for threshold in clipped:
        for side in (1, -1):
            above = (side * of_positives >= side * threshold).all()
            under = (side * of_negatives <= side * threshold).all()
            if above and under:
                return False
    return True


@settings(max_examples=300, deadline=None)
@given(fits())
@example((np.array([0.4, 0.6]), np.array([10**9, 1]), np.array([1, 10**9])))
@example((np.array([0.0, 1.0]), np.array([10**9, 1]), np.array([1, 10**9])))
@example((np.array([0.0, 1.0]), np.array([1, 10**9]), np.array([10**9, 1])))
@example((np.array([0.4, 0.5, 0.6]), np.array([9, 1, 0]), np.array([0, 1, 9])))
@example((np.array([0.1, 0.5, 0.5 + 1e-9, 1]), np.array([10**9, 0, 1, 0]), np.array([0, 1, 0, 9])))
@example((np.array([0.5, np.nextafter(0.5, 1)]), np.array([3, 1]), np.array([1, 3])))
def test_lines_exist_where_they_should_and_solve_the_score_equations(fit):
    scores, negatives, positives = fit
    slope, intercept = calibration_line(scores, negatives, positives)
    if not has_fit(scores, negatives, positives):
        assert np.isnan([slope, intercept]).all()
        return
    assert np.isfinite([slope, intercept]).all()
    filled = negatives + positives > 0
    negatives, positives = negatives[filled], positives[filled]
    x = logit(np.clip(scores, CLIP, 1 - CLIP))[filled]
    line = intercept + slope * x
    up, down = negatives * expit(line), positives * expit(-line)
    # Where slope and intercept are huge, their sum has few digits.
    rounding = 1e-15 * np.max(np.abs(intercept) + np.abs(slope * x))
    for factor in (1, x - np.average(x, weights=up + down)):
        scale = np.sum(np.abs(factor) * (up + down))
        assert abs(np.sum(factor * (up - down))) <= (1e-9 + rounding) * scale


@pytest.mark.parametrize("seed", range(8))
def test_lines_equal_scikit_learn_on_raw_scores(seed):
    rng = np.random.default_rng(seed)
    scores = rng.beta(*rng.uniform(0.3, 4, 2), 400)
    scores[:4] = 0, 1, 0, 1
    odds = logit(np.clip(scores, CLIP, 1 - CLIP))
    labels = rng.random(400) < expit(rng.normal() + rng.normal(0.5, 1) * odds)
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(odds[:, None], labels)
    # Each its own bin; and the same scores in bins of single values.
    found = calibration_line(scores, (~labels).astype(int), labels.astype(int))
    np.testing.assert_allclose(
        found, (model.coef_[0, 0], model.intercept_[0]), rtol=1e-6, atol=1e-7
    )
    values, places = np.unique(scores, return_inverse=True)
    counts = [np.bincount(places[labels == label], minlength=len(values)) for label in (0, 1)]
    np.testing.assert_allclose(calibration_line(values, *counts), found, rtol=1e-9, atol=1e-9)


def test_a_calibrated_model_has_slope_1_and_an_overconfident_one_half():
    scores = np.linspace(0.01, 0.99, 99)
    positives = np.round(scores * 100).astype(int) * 1000
    negatives = 100_000 - positives
    np.testing.assert_allclose(calibration_line(scores, negatives, positives), (1, 0), atol=1e-9)
    overconfident = expit(2 * logit(scores) - 1)
    found = calibration_line(overconfident, negatives, positives)
    np.testing.assert_allclose(found, (0.5, 0.5), atol=1e-9)
    found = calibration_line(scores[::-1], negatives, positives)
    np.testing.assert_allclose(found, (-1, 0), atol=1e-9)


def test_lines_do_not_depend_on_the_sample_size():
    scores, negatives, positives = [0.2, 0.5, 0.7], np.array([5, 3, 1]), np.array([1, 2, 4])
    few = calibration_line(scores, negatives, positives)
    many = calibration_line(scores, negatives * 10**8, positives * 10**8)
    np.testing.assert_allclose(few, many, rtol=1e-12)


@pytest.mark.parametrize(
    ("scores", "negatives", "positives"),
    [
        ([0.2, 0.8], [0, 0], [0, 0]),  # nothing
        ([0.2, 0.8], [0, 0], [3, 4]),  # one class
        ([0.2, 0.8], [3, 4], [0, 0]),
        ([0.3, 0.3], [3, 4], [2, 5]),  # one score
        ([0.3], [3], [2]),
        ([0.2, 0.3, 0.7, 0.8], [3, 4, 0, 0], [0, 0, 1, 1]),  # separated
        ([0.2, 0.3, 0.7, 0.8], [0, 0, 1, 1], [3, 4, 0, 0]),
        ([0.2, 0.5, 0.8], [3, 4, 0], [0, 2, 1]),  # separated but for a tie
        ([0.2, 0.5, 0.8], [0, 4, 7], [3, 2, 0]),
        ([0.5, 0.8], [4, 0], [2, 1]),
        ([1e-300, 0.0, 0.5], [1, 0, 0], [0, 1, 1]),  # equal once clipped
        ([1 - CLIP / 2, 1.0], [1, 0], [0, 1]),
    ],
)
def test_lines_that_do_not_exist_are_nan(scores, negatives, positives):
    found = calibration_line(scores, np.array(negatives), np.array(positives))
    assert np.isnan(found).all()


def test_empty_bins_may_hold_any_score():
    scores = np.array([0.2, np.nan, 0.5, np.inf, 0.7, -3.0])
    negatives, positives = np.array([5, 0, 3, 0, 1, 0]), np.array([1, 0, 2, 0, 4, 0])
    found = calibration_line(scores, negatives, positives)
    filled = negatives > 0
    expected = calibration_line(scores[filled], negatives[filled], positives[filled])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


FUNCTIONS = {
    "expected_calibration_error": lambda s, n, p: expected_calibration_error(n + p, s * (n + p), p),
    "maximum_calibration_error": lambda s, n, p: maximum_calibration_error(n + p, s * (n + p), p),
    "ece_noise_floor": lambda s, n, p: ece_noise_floor(n + p, s * (1 - s) * (n + p)),
    "calibration_line": lambda s, n, p: np.stack(calibration_line(s, n, p), axis=-1),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("n_bins", [1, 2, 10, 130, 1013])
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(function, n_bins):
    rng = np.random.default_rng(0)
    scores = rng.random((12, n_bins))
    negatives, positives = rng.integers(0, 10 ** rng.integers(1, 9, (2, 12, 1)), (2, 12, n_bins))
    positives[3], negatives[4] = 0, 0
    arrays = scores, negatives, positives
    together = function(*arrays)
    alone = np.array([function(*(array[row] for array in arrays)) for row in range(12)])
    np.testing.assert_array_equal(together, alone)
    fortran = function(*(np.asfortranarray(array) for array in arrays))
    np.testing.assert_array_equal(together, fortran)
    folded = function(*(array.reshape(3, 4, n_bins) for array in arrays))
    np.testing.assert_array_equal(together, folded.reshape(together.shape))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_nothing_in_gives_nan(function):
    empty = np.zeros((2, 5), int)
    assert np.isnan(function(empty * np.nan, empty, empty)).all()
    assert function(empty[:0] * 0.5, empty[:0], empty[:0]).shape[0] == 0


def test_bad_input_is_refused():
    ones = np.ones(3, int)
    with pytest.raises(ValueError, match=r"one shape .* got {'count': \(3,\), 'variance_sum': \(2"):
        ece_noise_floor(ones, ones[:2])
    with pytest.raises(ValueError, match=r"one shape \(..., n_bins\), got"):
        expected_calibration_error(1, 1, 1)
    with pytest.raises(ValueError, match="count must not be negative, got -1"):
        ece_noise_floor(-ones, ones)
    for function in (expected_calibration_error, maximum_calibration_error):
        with pytest.raises(ValueError, match="positives must be between 0 and count, got 2 to 2"):
            function(ones, ones, ones * 2)
        with pytest.raises(ValueError, match="positives must be between 0 and count, got -1"):
            function(ones, ones, -ones)
    with pytest.raises(ValueError, match="negatives must not be negative, got -1"):
        calibration_line(ones * 0.5, -ones, ones)
    for score in (1.1, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"scores of filled bins must be in \[0, 1\], got"):
            calibration_line(np.array([0.5, 0.7, score]), ones, ones)


@pytest.mark.parametrize("n", [50, 300, 5000])
@pytest.mark.parametrize("shift", [0.0, 0.03, 0.15])
def test_ece_interval_covers_the_true_error(n, shift):
    """In at least 95 % of samples, whether the scores are right or not."""
    rng = np.random.default_rng(n)
    found = []
    for _ in range(300):
        scores = rng.uniform(0, 0.8, n)
        labels = rng.random(n) < scores + shift
        count, score_sum, positives, _ = bin_sums(scores, labels, 10)
        lower, upper = ece_interval(count.astype(int), score_sum, positives.astype(int))
        # Each score is too low by the shift, and so is each bin.
        found.append(lower <= shift <= upper)
    assert np.mean(found) >= 0.95


def test_ece_interval_narrows_to_the_error():
    """It is of use only if it leaves 0 and comes near the error."""
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 0.8, 50_000)
    count, score_sum, positives, _ = bin_sums(scores, rng.random(50_000) < scores + 0.1, 10)
    lower, upper = ece_interval(count.astype(int), score_sum, positives.astype(int))
    assert 0.08 < lower < 0.1 < upper < 0.12


@pytest.mark.parametrize(
    ("count", "score_sum", "positives", "expected"),
    [
        ([0, 0], [0.0, 0.0], [0, 0], (np.nan, np.nan)),
        # r = 1/3 and s = 2/3: 1 less (sqrt(2/π) + 1.96) / 3.
        ([0, 2], [0.0, 2.0], [0, 0], (1 - (np.sqrt(2 / np.pi) + 1.959963984540054) / 3, 1.0)),
    ],
)
def test_ece_interval_of_next_to_nothing(count, score_sum, positives, expected):
    found = ece_interval(*map(np.array, (count, score_sum, positives)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_line_interval_is_from_the_information_matrix():
    rng = np.random.default_rng(9)
    scores = np.sort(rng.uniform(0.01, 0.99, (5, 30)), axis=1)
    counts = rng.integers(0, 50, (5, 30))
    positives = rng.binomial(counts, expit(0.3 + 0.7 * logit(scores)))
    negatives = counts - positives
    slope, intercept = calibration_line(scores, negatives, positives)
    found = calibration_line_interval(scores, negatives, positives, slope, intercept)
    for row in range(5):
        x = logit(scores[row])
        chance = expit(intercept[row] + slope[row] * x)
        design = np.stack([x, np.ones(30)])
        covariance = np.linalg.inv((design * counts[row] * chance * (1 - chance)) @ design.T)
        for name, value, variance in zip(
            ("slope", "intercept"), (slope, intercept), np.diag(covariance), strict=True
        ):
            reach = 1.959963984540054 * np.sqrt(variance)
            assert found[f"{name}_lower"][row] == pytest.approx(value[row] - reach)
            assert found[f"{name}_upper"][row] == pytest.approx(value[row] + reach)


def test_line_interval_of_no_line_and_of_extreme_scores():
    scores = np.array([[0.0, 1.0], [0.2, 0.8], [np.nan, np.nan]])
    negatives, positives = np.array([[3, 1], [5, 0], [0, 0]]), np.array([[1, 3], [0, 5], [0, 0]])
    line = calibration_line(scores, negatives, positives)
    found = np.array(list(calibration_line_interval(scores, negatives, positives, *line).values()))
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, 1:]).all()
