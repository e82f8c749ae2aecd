"""Metrics of several classes against scikit-learn and a bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from multiclass import AVERAGED, METRICS, multiclass_metrics

ORACLES = {
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1": metrics.f1_score,
}


def counted(label, predicted, n_classes):
    """Give the pairs of some predictions and how often each occurs."""
    pairs, count = np.unique(np.stack([label, predicted]), axis=1, return_counts=True)
    return multiclass_metrics(*pairs, count, n_classes=n_classes)


@given(st.integers(1, 300), st.integers(1, 6), st.integers(0, 2**31), st.floats(0, 1))
def test_scikit_learn(n, n_classes, seed, share_of_hits):
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.full(n_classes, 0.5))
    label, other = generator.choice(n_classes, (2, n), p=weights)
    predicted = np.where(generator.random(n) < share_of_hits, label, other)
    found = counted(label, predicted, n_classes)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(label, predicted), abs=1e-12)
    assert found["macro_recall"] == pytest.approx(
        metrics.recall_score(label, predicted, average="macro", zero_division=np.nan), abs=1e-12
    )
    for name, score in ORACLES.items():
        for average in ("macro", "weighted"):
            expected = score(label, predicted, average=average, zero_division=np.nan)
            got = found[f"{average}_{name}"]
            if (average, name) == ("weighted", "precision") and not set(label) & set(predicted):
                # No class with labels was predicted: scikit-learn has a 0 for a mean of nothing.
                assert np.isnan(got)
            else:
                assert got == pytest.approx(expected, abs=1e-12), (average, name)
    for name in ("accuracy", *METRICS):
        value, lower, upper = (found[f"{name}{end}"] for end in ("", "_lower", "_upper"))
        assert np.isnan(value) or 0 <= lower <= value <= upper <= 1


def test_a_class_without_a_denominator_takes_no_part():
    # Class 2 is never predicted, class 3 never true.
    found = counted(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3]), 4)
    assert found["macro_precision"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["macro_recall"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    # sklearn's default would count a 0 for each of them.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)


def test_nothing():
    empty = np.zeros(0, np.int64)
    found = multiclass_metrics(empty, empty, empty, n_classes=0)
    assert all(np.isnan(value) for value in found.values())
    assert set(found) == {
        f"{name}{end}" for name in ("accuracy", *METRICS) for end in ("", "_lower", "_upper")
    }
    assert {name.split("_")[1] for name in METRICS} == set(AVERAGED)


@pytest.mark.parametrize("name", METRICS)
def test_intervals_are_as_wide_as_a_bootstrap_says(name):
    generator = np.random.default_rng(5)
    n, n_classes = 2000, 4
    cells = generator.dirichlet(np.full(n_classes**2, 0.7)) * 0.5
    cells[:: n_classes + 1] += 0.5 / n_classes
    pair = generator.choice(n_classes**2, n, p=cells)
    found = counted(pair // n_classes, pair % n_classes, n_classes)
    drawn = [
        counted(sample // n_classes, sample % n_classes, n_classes)[name]
        for sample in generator.choice(pair, (600, n))
    ]
    width = found[f"{name}_upper"] - found[f"{name}_lower"]
    assert width == pytest.approx(2 * 1.959964 * np.std(drawn), rel=0.12)


@given(hnp.arrays(np.int64, 5, elements=st.integers(-2, 6)))
def test_numbers_out_of_range_are_refused(count):
    ones = np.ones(5, np.int64)
    if (count < 0).any():
        with pytest.raises(ValueError, match="counts must not be negative"):
            multiclass_metrics(ones, ones, count, n_classes=2)
    if ((count < 0) | (count > 3)).any():
        with pytest.raises(ValueError, match="label must be from 0 to 3"):
            multiclass_metrics(count, ones, ones, n_classes=4)
        with pytest.raises(ValueError, match="predicted must be from 0 to 3"):
            multiclass_metrics(ones, count, ones, n_classes=4)
