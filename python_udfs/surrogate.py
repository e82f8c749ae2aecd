"""How much a model depends on each of its features, from what it answered.

Nobody has to hand over the model: another one is fitted to its logged scores (a surrogate), and
judged by how much worse it does where one feature after the other is shuffled (permutation
importance; Breiman, Machine Learning 2001; Fisher, Rudin and Dominici, JMLR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from domain_classifier import FOLDS, MOST_CATEGORIES

TREES = {"max_iter": 120, "max_leaf_nodes": 24, "learning_rate": 0.1, "early_stopping": False}
# A surrogate that explains less of the scores is not trusted.
LEAST_R2 = 0.3


@dataclass(frozen=True)
class Surrogate:
    """What a model that was fitted to scores says.

    Attributes
    ----------
    r2 : float
        Share of the variance of the score that it explains, on rows that it has not seen.
    importance : ndarray of float, shape (n_features,)
        By how much its squared error grows where the feature is shuffled among the unseen rows,
        over the variance of the score; at least 0. A linear term of independent features has twice
        its share of the variance.
    """

    r2: float
    importance: np.ndarray

    @property
    def is_trusted(self) -> bool:
        """Whether the surrogate explains enough for its importances to mean something."""
        return self.r2 >= LEAST_R2


def surrogate(
    values: np.ndarray, score: np.ndarray, is_category: np.ndarray, fold: np.ndarray
) -> Surrogate:
    """Fit trees to scores, and say what they depend on.

    Parameters
    ----------
    values : ndarray of float, shape (n_rows, n_features)
        Numbers, or their bins; of categories their codes from 0. NaN where missing.
    score : ndarray of float, shape (n_rows,)
        What the model answered, or its rank.
    is_category : ndarray of bool, shape (n_features,)
    fold : ndarray of int, shape (n_rows,)
        As ``domain_classifier.day_folds`` gives them.

    Returns
    -------
    Surrogate
        The same for the same rows, on any machine and number of threads. Scores that are all alike
        depend on nothing: r2 and importances are 0.

    Raises
    ------
    ValueError
        If a fold has fewer than two rows, or there are no features.

    Notes
    -----
    Errors are pooled over the folds, each of the trees that were fitted on the others. Of two
    features that say the same, each has but a part of what they have together.
    """
    n_features = values.shape[1]
    sizes = np.bincount(fold, minlength=FOLDS)
    if sizes.min() < 2 or not n_features:
        raise ValueError(
            f"needs two rows in each fold and a feature, got {sizes} rows and {n_features} features"
        )
    variance = np.var(score)
    if not variance > 0:
        return Surrogate(r2=0.0, importance=np.zeros(n_features))
    rows = np.array(values, float)
    # The trees know few codes: the rarest are together in the last.
    rows[:, is_category] = np.fmin(rows[:, is_category], MOST_CATEGORIES)
    errors = np.zeros(1 + n_features)
    # Threads cost more than they bring to so few rows.
    with threadpool_limits(1):
        for left_out in range(FOLDS):
            fitted, unseen = fold != left_out, fold == left_out
            # scikit-learn cannot make bins of nothing.
            is_empty = np.isnan(rows[fitted]).all(axis=0)
            filled = np.where(is_empty, 0.0, rows)
            trees = HistGradientBoostingRegressor(
                **TREES, categorical_features=is_category, random_state=0
            ).fit(filled[fitted], score[fitted])
            errors += _errors(trees, filled[unseen], score[unseen])
    errors /= len(score) * variance
    return Surrogate(r2=float(1 - errors[0]), importance=np.maximum(errors[1:] - errors[0], 0.0))


def _errors(
    trees: HistGradientBoostingRegressor, rows: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """Squared errors, shape (1 + n_features,): as it is, then with each feature shuffled."""
    n_rows, n_features = rows.shape
    order = np.random.default_rng(0).permutation(n_rows)
    # All at once: a prediction costs more for its start than for its rows.
    shuffled = np.repeat(rows[None], 1 + n_features, axis=0)
    feature = np.arange(n_features)
    shuffled[1 + feature, :, feature] = rows[order].T
    found = trees.predict(shuffled.reshape(-1, n_features)).reshape(1 + n_features, n_rows)
    return ((found - score) ** 2).sum(axis=1)
