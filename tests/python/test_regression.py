"""Errors of regressions against scikit-learn, exact fractions and a simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from regression import METRICS, PARTS, ErrorSums, merge, regression_metrics


def sums_of(label, predicted) -> ErrorSums:
    """Give the sums of one part, as the warehouse makes them."""
    label, error = np.asarray(label, float), np.subtract(predicted, label)
    d = label - label.mean()
    share = np.abs(error[label != 0] / label[label != 0])
    values = {
        "count": len(label),
        "nonzero_count": np.count_nonzero(label),
        "label_min": label.min(),
        "label_max": label.max(),
        "label_mean": label.mean(),
        "label_m2": np.sum(d**2),
        "label_m3": np.sum(d**3),
        "label_m4": np.sum(d**4),
        "error_mean": error.mean(),
        "error_m2": np.sum((error - error.mean()) ** 2),
        "absolute": np.sum(np.abs(error)),
        "squared": np.sum(error**2),
        "fourth": np.sum(error**4),
        "squared_label": np.sum(error**2 * d),
        "squared_squared_label": np.sum(error**2 * d**2),
        "percentage": share.sum(),
        "percentage_squared": np.sum(share**2),
    }
    assert set(values) == set(PARTS)
    return ErrorSums(**{name: np.array([value]) for name, value in values.items()})


def merged(label, predicted, n_parts, seed=0) -> dict[str, float]:
    """Give the metrics from parts, in which the predictions are at random."""
    label, predicted = np.asarray(label, float), np.asarray(predicted, float)
    part = np.random.default_rng(seed).integers(0, n_parts, len(label))
    parts = [sums_of(label[part == p], predicted[part == p]) for p in np.unique(part)]
    joined = ErrorSums(*(np.concatenate([getattr(p, name) for p in parts]) for name in PARTS))
    sums = merge(joined, np.zeros(len(parts), np.int64), 1)
    return {name: value.item() for name, value in regression_metrics(sums).items()}


@given(
    st.integers(2, 400),
    st.integers(1, 9),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 1.0, -1e6, 1e9]),
    st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_scikit_learn(n, n_parts, seed, offset, unit):
    generator = np.random.default_rng(seed)
    label = (generator.normal(size=n) + offset) * unit
    predicted = label + generator.normal(0.1, 0.5, n) * unit
    found = merged(label, predicted, n_parts)
    expected = {
        "mae": metrics.mean_absolute_error(label, predicted),
        "rmse": metrics.root_mean_squared_error(label, predicted),
        "mape": metrics.mean_absolute_percentage_error(label, predicted),
        "mean_error": np.mean(predicted - label),
    }
    if unit < 1:
        del expected["mape"]  # scikit-learn divides by at least 2e-16
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12 * unit), name
    # Exactly, since scikit-learn's own sums are doubles too.
    exact_label = [Fraction(value) for value in label]
    mean = sum(exact_label) / n
    variance = sum((value - mean) ** 2 for value in exact_label)
    errors = [Fraction(p) - y for p, y in zip(predicted, exact_label, strict=True)]
    r2 = float(1 - sum(e**2 for e in errors) / variance)
    # Labels have 16 digits: of 1e9 those after the sixth decimal place are lost.
    assert found["r2"] == pytest.approx(r2, rel=1e-6, abs=1e-6)


@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 2**31))
def test_intervals_do_not_depend_on_the_parts(n, n_parts, seed):
    generator = np.random.default_rng(seed)
    label = generator.normal(5, 1, n)
    predicted = label + generator.normal(0, 1, n)
    whole, parts = merged(label, predicted, 1), merged(label, predicted, n_parts, seed)
    assert parts == pytest.approx(whole, rel=1e-7, abs=1e-7, nan_ok=True)


def test_influence_of_each_prediction_on_r2():
    """The variance of r2 is that of what each prediction does to it, by leaving it out."""
    generator = np.random.default_rng(3)
    n = 500
    label = generator.gamma(2, 3, n)
    predicted = label * 0.8 + generator.normal(0, 1 + label / 5, n)
    keep = ~np.eye(n, dtype=bool)
    left_out = np.array([metrics.r2_score(label[row], predicted[row]) for row in keep])
    jackknife = math.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    found = merged(label, predicted, 3)
    assert (found["r2"] - found["r2_lower"]) / 1.959964 == pytest.approx(jackknife, rel=0.05)


@pytest.fixture(scope="module")
def samples() -> tuple[dict[str, float], list[dict[str, float]]]:
    """The metrics of a world with skewed labels, and those of 1,000 samples of 300 from it."""
    generator = np.random.default_rng(1)
    label = generator.gamma(4, 2, (1000, 300)) + 1
    predicted = 1 + 0.9 * label + generator.normal(0, 1.5, label.shape)
    huge = generator.gamma(4, 2, 4_000_000) + 1
    truth = merged(huge, 1 + 0.9 * huge + generator.normal(0, 1.5, huge.shape), 1)
    return truth, [merged(*sample, 1) for sample in zip(label, predicted, strict=True)]


@pytest.mark.parametrize("name", METRICS)
def test_coverage(samples, name):
    """95 % intervals hold the truth in 92 to 97.5 % of samples."""
    truths, found = samples
    truth = truths[name]
    covered = np.mean([row[f"{name}_lower"] <= truth <= row[f"{name}_upper"] for row in found])
    assert 0.92 <= covered <= 0.975


def test_undefined():
    constant = merged([0.1] * 30, np.linspace(0, 1, 30), 4)
    assert math.isnan(constant["r2"])
    assert math.isnan(constant["r2_lower"])
    assert constant["mae"] > 0
    zeros = merged([0, 0, 0], [1, 2, 3], 1)
    assert math.isnan(zeros["mape"])
    assert zeros["mean_error"] == 2
    one = merged([1], [3], 1)
    assert one["mae"] == 2
    assert math.isnan(one["mae_lower"])


def test_overflow_is_not_a_number():
    found = merged([1e200, -1e200, 5], [-1e200, 1e200, 5], 2)
    assert found["mae"] == pytest.approx(4e200 / 3)
    assert math.isnan(found["rmse"])
    assert math.isnan(found["r2"])
    found = merged([1.7e308, -1.7e308], [-1.7e308, 1.7e308], 1)
    assert all(math.isnan(found[name]) for name in METRICS if name != "mape")
    assert not any(math.isinf(value) for value in found.values())


def test_empty_groups():
    sums = merge(sums_of([1, 2], [2, 2]), np.array([1]), 3)
    found = regression_metrics(sums)
    assert all(np.isnan(values[[0, 2]]).all() for values in found.values())
    assert found["mae"][1] == 0.5
