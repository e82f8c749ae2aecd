import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, ttest_1samp

from intervals import (
    mean_interval,
    newcombe_interval,
    normal_quantile,
    rate,
    wilson_interval,
)

# Successes, trials (twice) and the interval: Newcombe, Statistics in Medicine 17 (1998),
# 873-890, table II, method 10.
NEWCOMBE_1998 = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]
CONFIDENCES = st.one_of(st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.floats(1e-9, 1 - 1e-9))


@st.composite
def counts(draw):
    trials = draw(st.one_of(st.integers(0, 30), st.integers(0, 10**9)))
    return draw(st.one_of(st.sampled_from([0, trials]), st.integers(0, trials))), trials


@given(counts().filter(lambda pair: pair[1] > 0), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_equals_scipy(pair, confidence):
    successes, trials = pair
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    found = wilson_interval(successes, trials, confidence=confidence)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


@given(counts(), CONFIDENCES)
def test_wilson_holds_the_rate(pair, confidence):
    lower, upper = wilson_interval(*pair, confidence=confidence)
    if pair[1] == 0:
        assert np.isnan(lower)
        assert np.isnan(upper)
    else:
        assert 0 <= lower <= pair[0] / pair[1] <= upper <= 1
        assert lower < upper or confidence < 0.01  # then rounding is the wider one
        assert (lower == 0) == (pair[0] == 0)
        assert (upper == 1) == (pair[0] == pair[1])


@pytest.mark.parametrize("trials", [1, 3, 10, 1000, 10**9])
def test_wilson_ends_exactly_at_0_and_1(trials):
    assert wilson_interval(0, trials)[0] == 0
    assert wilson_interval(trials, trials)[1] == 1


@given(st.lists(counts(), min_size=1, max_size=20), CONFIDENCES)
def test_wilson_of_an_array_is_that_of_each(pairs, confidence):
    successes, trials = np.array(pairs).T
    found = wilson_interval(successes, trials, confidence=confidence)
    each = [wilson_interval(*pair, confidence=confidence) for pair in pairs]
    np.testing.assert_array_equal(found, np.array(each).T)


def test_confidence_may_differ_by_row():
    confidence = np.array([[0.9], [0.99]])
    lower, upper = wilson_interval([3, 5, 0], 10, confidence=confidence)
    for row, level in enumerate((0.9, 0.99)):
        expected = wilson_interval([3, 5, 0], 10, confidence=level)
        np.testing.assert_array_equal((lower[row], upper[row]), expected)


@pytest.mark.parametrize(("a", "n_a", "b", "n_b", "lower", "upper"), NEWCOMBE_1998)
def test_newcombe_equals_the_paper(a, n_a, b, n_b, lower, upper):
    assert newcombe_interval(a, n_a, b, n_b) == pytest.approx((lower, upper), abs=5.1e-5)


@given(counts(), counts(), CONFIDENCES)
def test_newcombe_holds_the_difference_both_ways(a, b, confidence):
    lower, upper = newcombe_interval(*a, *b, confidence=confidence)
    back_lower, back_upper = newcombe_interval(*b, *a, confidence=confidence)
    np.testing.assert_array_equal((lower, upper), (-back_upper, -back_lower))
    if a[1] == 0 or b[1] == 0:
        assert np.isnan([lower, upper]).all()
    else:
        assert -1 <= lower <= a[0] / a[1] - b[0] / b[1] <= upper <= 1


def test_newcombe_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    a, b = rng.binomial(40, 0.3, 20_000), rng.binomial(60, 0.15, 20_000)
    lower, upper = newcombe_interval(a, 40, b, 60, confidence=0.9)
    assert np.mean((lower <= 0.15) & (upper >= 0.15)) == pytest.approx(0.9, abs=0.02)


def test_rates_without_a_denominator_are_nan():
    np.testing.assert_array_equal(rate([1, 0, 0], [2, 3, 0]), [0.5, 0, np.nan])
    assert np.isnan(rate(0, 0))


@given(CONFIDENCES)
def test_normal_quantiles_equal_scipy(confidence):
    np.testing.assert_allclose(normal_quantile(confidence), norm.isf((1 - confidence) / 2))


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, np.nan, [0.5, 1.0]])
def test_confidence_is_between_0_and_1(confidence):
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got"):
        wilson_interval(1, 2, confidence=confidence)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), got"):
        newcombe_interval(1, 2, 1, 2, confidence=confidence)


@pytest.mark.parametrize("pair", [(-1, 2), (3, 2), (0, -1)])
def test_successes_are_a_part_of_the_trials(pair):
    with pytest.raises(ValueError, match="successes must be between 0 and trials, got"):
        wilson_interval(*pair)
    with pytest.raises(ValueError, match="successes must be between 0 and trials, got"):
        newcombe_interval(1, 2, *pair)


@given(st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), max_size=40))
def test_mean_interval_is_of_the_standard_error(values):
    values = np.array(values, float)
    lower, upper = mean_interval(values.sum(), (values**2).sum(), len(values))
    if len(values) < 2:
        assert np.isnan([lower, upper]).all()
        return
    reach = norm.ppf(0.975) * values.std(ddof=1) / np.sqrt(len(values))
    np.testing.assert_allclose(
        [lower, upper], [values.mean() - reach, values.mean() + reach], atol=1e-4
    )


def test_mean_interval_is_that_of_a_large_t_test():
    values = np.random.default_rng(2).exponential(3, 5000)
    found = mean_interval(values.sum(), (values**2).sum(), len(values), confidence=0.9)
    oracle = ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(found, (oracle.low, oracle.high), rtol=1e-5)


def test_equal_values_have_an_interval_of_no_width():
    lower, upper = mean_interval([0.7 * 3, 0.0], [0.49 * 3, 0.0], [3, 5])
    np.testing.assert_allclose(lower, [0.7, 0], atol=1e-7)
    np.testing.assert_allclose(upper, [0.7, 0], atol=1e-7)
