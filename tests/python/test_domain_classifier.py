"""The domain classifier: its level without drift, and that it sees what no single feature shows."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import PredefinedSplit

import domain_classifier
from domain_classifier import FOLDS, LEAST_ROWS, TREES, day_folds

NUMBERS = np.zeros(4, bool)


def separation(baseline, current, is_category):
    """Tell rows apart whose order says nothing."""
    folds = [np.arange(len(rows)) % FOLDS for rows in (baseline, current)]
    return domain_classifier.separation(baseline, current, is_category, *folds)


def test_oracle():
    """As scikit-learn's own parts put together, category and missing values included."""
    generator = np.random.default_rng(1)
    baseline, current = generator.normal(size=(2, 200, 4))
    current[:, 2] += 0.5
    current[::5, 1] = np.nan
    baseline[:, 3], current[:, 3] = generator.integers(0, 9, (2, 200))
    is_category = np.array([False, False, False, True])
    found = separation(baseline, current, is_category)
    rows, side = np.concatenate([baseline, current]), np.repeat([0, 1], 200)
    aucs = []
    for fitted, unseen in PredefinedSplit(np.tile(np.arange(200) % FOLDS, 2)).split():
        model = HistGradientBoostingClassifier(**TREES, categorical_features=[3], random_state=0)
        scores = model.fit(rows[fitted], side[fitted]).predict_proba(rows[unseen])[:, 1]
        aucs.append(metrics.roc_auc_score(side[unseen], scores))
    assert found.auc == pytest.approx(np.mean(aucs), abs=1e-12)
    assert found.auc_lower < found.auc < found.auc_upper
    assert np.argmax(found.importance) in (1, 2)
    again = separation(baseline, current, is_category)
    assert again.auc == found.auc
    np.testing.assert_array_equal(again.importance, found.importance)


@pytest.mark.parametrize(("n", "repeats"), [(60, 150), (300, 80)])
def test_without_drift_the_level_is_kept(n, repeats):
    """At most 5 % of p-values are under 0.05, and 95 % of intervals hold one half."""
    generator = np.random.default_rng(n)
    found = [separation(*generator.normal(size=(2, n, 4)), NUMBERS) for _ in range(repeats)]
    assert np.mean([one.pvalue < 0.05 for one in found]) <= 0.05
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.015)
    assert np.mean([one.auc_lower <= 0.5 <= one.auc_upper for one in found]) >= 0.95


def test_a_changed_correlation_shows_though_no_feature_moves():
    generator = np.random.default_rng(3)
    baseline, current = generator.normal(size=(2, 1000, 4))
    current[:, 1] = 0.8 * current[:, 0] + 0.6 * current[:, 1]
    for feature in range(4):
        assert stats.ks_2samp(baseline[:, feature], current[:, feature]).pvalue > 0.01
    found = separation(baseline, current, NUMBERS)
    assert found.auc > 0.6
    assert found.pvalue < 1e-6
    assert set(np.argsort(found.importance)[-2:]) == {0, 1}


def test_nasty_values():
    generator = np.random.default_rng(4)
    rows = generator.normal(size=(60, 4))
    rows[:, 0] = np.nan
    rows[:, 1] = 7
    rows[:, 2] = generator.integers(0, 1000, 60)
    is_category = np.array([False, False, True, False])
    found = separation(rows, rows, is_category)
    assert 0 <= found.auc_lower <= found.auc <= found.auc_upper <= 1
    assert found.importance[0] == found.importance[1] == 0
    apart = separation(np.zeros((30, 1)), np.ones((30, 1)), np.zeros(1, bool))
    assert apart.auc == apart.auc_lower == apart.auc_upper == 1


@pytest.mark.parametrize("shape", [(5, 4), (50, 0)])
def test_too_little_is_refused(shape):
    with pytest.raises(ValueError, match="two rows of each side in each fold and a feature"):
        separation(np.zeros(shape), np.zeros((50, shape[1])), np.zeros(shape[1], bool))


def test_folds_of_days():
    week = np.repeat(np.arange(7) + 19000, 20)
    folds = day_folds(week)
    assert [set(folds[week == day]) for day in np.unique(week)] == [
        {fold} for fold in (0, 0, 0, 1, 1, 2, 2)
    ]
    for day in (np.zeros(60, int), np.repeat([1, 2, 3], [50, LEAST_ROWS - 1, 50])):
        np.testing.assert_array_equal(day_folds(day), np.arange(len(day)) % FOLDS)
    assert len(day_folds(np.zeros(0, int))) == 0


def test_what_is_known_by_heart_is_no_drift():
    """Each hour has a value of its own, so hours that were seen give themselves away."""
    generator = np.random.default_rng(6)
    aucs = {}
    for folds in (day_folds, lambda day: np.arange(len(day)) % FOLDS):
        sides = []
        for _ in range(2):
            hour = np.sort(generator.integers(0, 7 * 24, 600))
            weather = generator.normal(size=(7 * 24, 4))[hour]
            order = generator.permutation(600)
            sides.append((weather[order], folds(hour[order] // 24)))
        (baseline, baseline_fold), (current, current_fold) = sides
        aucs[folds is day_folds] = domain_classifier.separation(
            baseline, current, NUMBERS, baseline_fold, current_fold
        ).auc
    assert abs(aucs[True] - 0.5) < 0.15
    assert aucs[False] > 0.8
