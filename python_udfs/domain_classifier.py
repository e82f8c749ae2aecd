"""Drift of all features at once, by a classifier that tells the window from the baseline.

Each feature may keep its distribution while what they are together changes. So a classifier is
trained to tell rows of one side from rows of the other, and judged on rows that it has not seen
(Lopez-Paz and Oquab, ICLR 2017). Where nothing has changed its AUC is one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from intervals import normal_quantile
from performance import roc_auc, roc_auc_variance

FOLDS = 3
# Of a side in a fold of consecutive days.
LEAST_ROWS = 10
# As much as a thousand rows a side can bear; a fit takes some 30 ms.
TREES = {"max_iter": 30, "max_leaf_nodes": 16, "learning_rate": 0.15, "early_stopping": False}
# The most categories that the trees tell apart.
MOST_CATEGORIES = 254


@dataclass(frozen=True)
class Separation:
    """How well a classifier tells two samples apart.

    Attributes
    ----------
    auc : float
        Of rows that the classifier has not seen; 0.5 where it cannot tell.
    auc_lower, auc_upper : float
        The 95 % interval.
    pvalue : float
        How probable such an AUC or a higher one is where nothing has changed.
    importance : ndarray of float, shape (n_features,)
        By how much ``auc`` falls where the feature is shuffled among the unseen rows.
    """

    auc: float
    auc_lower: float
    auc_upper: float
    pvalue: float
    importance: np.ndarray


def day_folds(day: np.ndarray) -> np.ndarray:
    """Put rows into folds of consecutive days.

    What is measured by the hour, such as the weather, is the same for many rows: were some of them
    seen and others not, any window could be told from any other by heart.

    Parameters
    ----------
    day : ndarray of int, shape (n_rows,)

    Returns
    -------
    ndarray of int, shape (n_rows,)
        From 0 to ``FOLDS`` - 1. By every third row where days do not make folds of at least
        ``LEAST_ROWS`` rows.
    """
    days, place = np.unique(day, return_inverse=True)
    fold = place * FOLDS // max(len(days), 1)
    if len(days) < FOLDS or np.bincount(fold, minlength=FOLDS).min() < LEAST_ROWS:
        return np.arange(len(day)) % FOLDS
    return fold


def separation(
    baseline: np.ndarray,
    current: np.ndarray,
    is_category: np.ndarray,
    baseline_fold: np.ndarray,
    current_fold: np.ndarray,
) -> Separation:
    """Train classifiers to tell two samples apart, and judge them on rows that they have not seen.

    Parameters
    ----------
    baseline, current : ndarray of float, shape (n_rows, n_features)
        Numbers, or their bins; of categories their codes from 0. NaN where missing.
    is_category : ndarray of bool, shape (n_features,)
    baseline_fold, current_fold : ndarray of int, shape (n_rows,)
        As ``day_folds`` gives them.

    Returns
    -------
    Separation
        The same for the same rows, on any machine and number of threads.

    Raises
    ------
    ValueError
        If a fold has fewer than two rows of a side, or there are no features.

    Notes
    -----
    The AUC is the mean over folds, each of the classifier that was fitted on the other folds: in
    pooled scores of several classifiers nothing would be comparable. Where nothing has changed, the
    AUC of a fold with m and n rows has the variance (m + n + 1) / (12 m n) of Mann and Whitney, or
    less with ties; the interval takes DeLong's. Folds share what they were fitted on: the variance
    of their mean is that of a fold times 1/k + 1/(k - 1) (Nadeau and Bengio, Machine Learning
    2003). Simulated, that of the mean is 0.45 to 0.8 of it, so both are on the safe side.
    """
    sizes = [np.bincount(fold, minlength=FOLDS) for fold in (baseline_fold, current_fold)]
    if np.min(sizes) < 2 or not baseline.shape[1]:
        raise ValueError(
            f"needs two rows of each side in each fold and a feature, got {sizes} rows and "
            f"{baseline.shape[1]} features"
        )
    rows = np.concatenate([baseline, current]).astype(float)
    # The trees know few codes: the rarest are together in the last.
    rows[:, is_category] = np.fmin(rows[:, is_category], MOST_CATEGORIES)
    is_current = np.repeat([0, 1], [len(baseline), len(current)])
    fold = np.concatenate([baseline_fold, current_fold])
    aucs, variances, null_variances, falls = [], [], [], []
    # Threads cost more than they bring to so few rows.
    with threadpool_limits(1):
        for left_out in range(FOLDS):
            fitted, unseen = fold != left_out, fold == left_out
            # scikit-learn cannot make bins of nothing.
            is_empty = np.isnan(rows[fitted]).all(axis=0)
            filled = np.where(is_empty, 0.0, rows)
            classifier = HistGradientBoostingClassifier(
                **TREES, categorical_features=is_category, random_state=0
            ).fit(filled[fitted], is_current[fitted])
            truth = is_current[unseen]
            auc, variance = _auc(classifier.predict_proba(filled[unseen])[:, 1], truth)
            m, n = np.bincount(truth)
            aucs.append(auc)
            variances.append(variance)
            null_variances.append((m + n + 1) / (12 * m * n))
            falls.append(_falls(classifier, filled[unseen], truth, auc))
    auc = float(np.mean(aucs))
    shared = 1 / FOLDS + 1 / (FOLDS - 1)
    reach = normal_quantile(0.95) * np.sqrt(shared * np.mean(variances))
    deviation = np.sqrt(shared * np.mean(null_variances))
    return Separation(
        auc=auc,
        auc_lower=float(max(auc - reach, 0.0)),
        auc_upper=float(min(auc + reach, 1.0)),
        pvalue=float(ndtr((0.5 - auc) / deviation)),
        importance=np.mean(falls, axis=0),
    )


def _auc(scores: np.ndarray, is_current: np.ndarray) -> tuple[float, float]:
    """Give the AUC of scores and DeLong's variance of it."""
    _, place = np.unique(scores, return_inverse=True)
    counts = [np.bincount(place[is_current == side], minlength=place.max() + 1) for side in (0, 1)]
    return float(roc_auc(*counts)), float(roc_auc_variance(*counts))


def _falls(
    classifier: HistGradientBoostingClassifier,
    rows: np.ndarray,
    is_current: np.ndarray,
    auc: float,
) -> np.ndarray:
    """By how much the AUC falls when one feature after the other is shuffled."""
    n_rows, n_features = rows.shape
    order = np.random.default_rng(0).permutation(n_rows)
    # All at once: a prediction costs more for its start than for its rows.
    shuffled = np.repeat(rows[None], n_features, axis=0)
    feature = np.arange(n_features)
    shuffled[feature, :, feature] = rows[order].T
    scores = classifier.predict_proba(shuffled.reshape(-1, n_features))[:, 1]
    return np.array(
        [auc - _auc(part, is_current)[0] for part in scores.reshape(n_features, n_rows)]
    )
