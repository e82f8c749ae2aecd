"""How well scores rank and decisions hit, from counts per score bin and confusion counts.

``negatives`` and ``positives`` are integer counts per score bin, the bins along the last axis by
rising score. A bin counts as one tied score. Where a bin holds several scores, the functions
named ``*_error_bound`` say how far that can be from the value of the scores themselves.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, expit, logit

from intervals import normal_quantile, rate, wilson_interval


def roc_auc(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties counting one half.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)

    Returns
    -------
    ndarray of float, shape (...)
        NaN where a class is missing. All sums are exact up to 2^52 pairs; beyond, the relative
        error is under 1e-14.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape.

    Notes
    -----
    The share of positive-negative pairs in which the positive has the higher score (Mann-Whitney
    U), as ``sklearn.metrics.roc_auc_score`` gives it for the binned scores.
    """
    negatives, positives = _counts(negatives, positives)
    twice_below = 2 * np.cumsum(negatives, axis=-1) - negatives
    twice_won = np.sum(positives.astype(float) * twice_below, axis=-1)
    return rate(twice_won, 2 * _pairs(negatives, positives))


def roc_auc_error_bound(
    negatives: np.ndarray, positives: np.ndarray, is_single_value: np.ndarray
) -> np.ndarray:
    """How far ``roc_auc`` can be from that of the scores themselves.

    Half the share of positive-negative pairs that are in one bin of several scores: each such
    pair counts one half, and may be 0 or 1.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)
    is_single_value : ndarray of bool, shape (..., n_bins)
        Whether all scores in a bin are equal.

    Returns
    -------
    ndarray of float, shape (...)
        NaN where a class is missing.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape.
    """
    negatives, positives = _counts(negatives, positives)
    together = np.where(is_single_value, 0.0, positives.astype(float) * negatives)
    return rate(np.sum(together, axis=-1), 2 * _pairs(negatives, positives))


def roc_auc_interval(
    negatives: np.ndarray, positives: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's interval for the ROC AUC of the binned scores.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)
    confidence : float
        In (0, 1).

    Returns
    -------
    lower, upper : ndarray of float, shape (...)
        Cut off at 0 and 1. NaN where a class has fewer than two members. Where every positive
        is above every negative the variance is 0 and so is the width.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape, or the confidence is
        outside (0, 1).

    Notes
    -----
    The placement of a positive is the share of negatives under it, that of a negative the share
    of positives above it, ties counting one half. The variance is that of the placements of
    each class, with n - 1, over the size of the class, summed (DeLong, DeLong and
    Clarke-Pearson, Biometrics 1988). Members of a bin share their placement.
    """
    z = normal_quantile(confidence)
    auc = roc_auc(negatives, positives)
    reach = z * np.sqrt(roc_auc_variance(negatives, positives))
    return np.maximum(auc - reach, 0), np.minimum(auc + reach, 1)


def roc_auc_variance(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """DeLong's variance of the ROC AUC of the binned scores.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)

    Returns
    -------
    ndarray of float, shape (...)
        NaN where a class has fewer than two members; 0 where every positive is above every
        negative, or below.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape.
    """
    negatives, positives = _counts(negatives, positives)
    of_positives, of_negatives = roc_auc_deviations(negatives, positives)
    return _mean_variance(of_positives**2, positives) + _mean_variance(of_negatives**2, negatives)


def roc_auc_deviations(
    negatives: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far the placements of the members of each bin are from the ROC AUC.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)

    Returns
    -------
    of_positives, of_negatives : ndarray of float, shape (..., n_bins)
        NaN where a class is missing.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape.
    """
    negatives, positives = _counts(negatives, positives)
    auc = roc_auc(negatives, positives)[..., None]
    n_negatives = np.sum(negatives, axis=-1, keepdims=True)
    n_positives = np.sum(positives, axis=-1, keepdims=True)
    below = 2 * np.cumsum(negatives, axis=-1) - negatives
    above = 2 * (n_positives - np.cumsum(positives, axis=-1)) + positives
    return rate(below, 2 * n_negatives) - auc, rate(above, 2 * n_positives) - auc


def average_precision(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Mean over the positives of the precision at their score.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)

    Returns
    -------
    ndarray of float, shape (...)
        NaN where there are no positives.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape.

    Notes
    -----
    As ``sklearn.metrics.average_precision_score`` gives it for the binned scores: no
    interpolation, and a bin's scores are one threshold.
    """
    negatives, positives = _counts(negatives, positives)
    n_positives = np.sum(positives, axis=-1)
    true_positives = _from_above(positives)
    precision = rate(true_positives, true_positives + _from_above(negatives))
    found = np.where(positives > 0, positives * precision, 0.0)
    return rate(np.sum(found, axis=-1), n_positives)


def average_precision_error_bound(
    negatives: np.ndarray, positives: np.ndarray, is_single_value: np.ndarray
) -> np.ndarray:
    """How far ``average_precision`` can be from that of the scores themselves.

    The larger of the distances to what the best and the worst order inside the bins of several
    scores would give.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_bins)
    is_single_value : ndarray of bool, shape (..., n_bins)
        Whether all scores in a bin are equal.

    Returns
    -------
    ndarray of float, shape (...)
        NaN where there are no positives. The absolute error is under 1e-13.

    Raises
    ------
    ValueError
        If the counts are not integers, are negative, or differ in shape.

    Notes
    -----
    Let T positives and F negatives be above a bin of p and n. At the score of any positive in
    it at most T + p positives and at least F negatives are counted, and all p of them reach that
    precision where they are tied above the bin's negatives: p (T + p) / (T + p + F) is the most
    that a bin can add. At the score of its i-th positive at least T + i positives and at most
    F + n negatives are counted, and all reach that where they follow the negatives one by one:
    with M = T + F + n the least is the sum over i of (T + i) / (M + i), which is
    p - (F + n) (H(M + p) - H(M)) with harmonic numbers H.
    """
    negatives, positives = _counts(negatives, positives)
    n_positives = np.sum(positives, axis=-1)
    several = (positives > 0) & ~np.asarray(is_single_value, bool)
    p, n = positives.astype(float), negatives.astype(float)
    true_positives = _from_above(positives).astype(float)
    false_positives = _from_above(negatives).astype(float)
    # Both distances to the tied p (T + p) / (T + p + F + n), written without the terms that
    # cancel. Where there is nothing to order, any denominator will do.
    ahead = np.where(several, true_positives + false_positives - n, 1.0)
    tied = np.where(several, true_positives + false_positives, 1.0)
    rise = p * true_positives * n / (ahead * tied)
    fall = false_positives * (_harmonic_sum(np.where(several, tied - p, 1.0), p) - p / tied)
    best = np.sum(np.where(several, rise, 0.0), axis=-1)
    worst = np.sum(np.where(several, np.maximum(fall, 0.0), 0.0), axis=-1)
    return rate(np.maximum(best, worst), n_positives)


def average_precision_interval(
    average_precision: np.ndarray, n_positives: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Logit interval for the average precision.

    Parameters
    ----------
    average_precision : ndarray of float, shape (...)
        In [0, 1], or NaN.
    n_positives : ndarray of int, shape (...)
    confidence : float
        In (0, 1).

    Returns
    -------
    lower, upper : ndarray of float, shape (...)
        Within (0, 1) and around the value, except that it has no width at 0 and 1. NaN where the
        value is, or there are no positives.

    Raises
    ------
    ValueError
        If the confidence is outside (0, 1).

    Notes
    -----
    expit(logit(AP) ± z / sqrt(n AP (1 - AP))) with n positives (Boyd, Eng and Page, ECML 2013),
    who found it the interval that keeps its level best, also where positives are few.
    """
    z = normal_quantile(confidence)
    spread = np.sqrt(n_positives * average_precision * (1 - average_precision))
    centre = logit(average_precision)
    reach = z * rate(1.0, spread)
    is_extreme = (average_precision == 0) | (average_precision == 1)
    # Infinite log odds, and nothing to add to them.
    reach = np.where(is_extreme & (np.asarray(n_positives) > 0), 0.0, reach)
    return expit(centre - reach), expit(centre + reach)


def confusion_metrics(
    true_positives: np.ndarray,
    false_positives: np.ndarray,
    true_negatives: np.ndarray,
    false_negatives: np.ndarray,
    *,
    confidence: float = 0.95,
) -> dict[str, np.ndarray]:
    """Metrics of yes-or-no predictions, and Wilson intervals for those that are rates.

    Parameters
    ----------
    true_positives, false_positives, true_negatives, false_negatives : ndarray of int, shape (...)
    confidence : float
        In (0, 1).

    Returns
    -------
    dict of str to ndarray of float, shape (...)
        ``precision``, ``recall``, ``f1``, ``accuracy``, ``selection_rate``,
        ``true_positive_rate`` and ``false_positive_rate``; and for each also ``<name>_lower``
        and ``<name>_upper``. NaN where the denominator is 0.

    Raises
    ------
    ValueError
        If a count is negative or the confidence is outside (0, 1).

    Notes
    -----
    F1 is no rate, but rises with one: 2 J / (1 + J), where J = tp / (tp + fp + fn) is the share of
    hits among the predictions that are not true negatives. So its interval is that of J.
    """
    actual_positives = np.add(true_positives, false_negatives)
    actual_negatives = np.add(true_negatives, false_positives)
    selected = np.add(true_positives, false_positives)
    total = actual_positives + actual_negatives
    rates = {
        "precision": (true_positives, selected),
        "recall": (true_positives, actual_positives),
        "accuracy": (np.add(true_positives, true_negatives), total),
        "selection_rate": (selected, total),
        "true_positive_rate": (true_positives, actual_positives),
        "false_positive_rate": (false_positives, actual_negatives),
    }
    metrics = {"f1": rate(np.multiply(2, true_positives), selected + actual_positives)}
    not_passed_over = np.add(selected, false_negatives)
    for bound, jaccard in zip(
        ("lower", "upper"),
        wilson_interval(true_positives, not_passed_over, confidence=confidence),
        strict=True,
    ):
        metrics[f"f1_{bound}"] = 2 * jaccard / (1 + jaccard)
    for name, (successes, trials) in rates.items():
        metrics[name] = rate(successes, trials)
        metrics[f"{name}_lower"], metrics[f"{name}_upper"] = wilson_interval(
            successes, trials, confidence=confidence
        )
    return metrics


def _counts(negatives: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check counts, and lay them out so that a row's sums are the same alone and in a batch."""
    negatives, positives = np.asarray(negatives), np.asarray(positives)
    if negatives.shape != positives.shape or not negatives.ndim:
        raise ValueError(
            "negatives and positives must have one shape (..., n_bins), got "
            f"{negatives.shape} and {positives.shape}"
        )
    for name, counts in (("negatives", negatives), ("positives", positives)):
        if counts.dtype.kind not in "iu":
            raise ValueError(f"{name} must be integers, got {counts.dtype}")
        if (counts < 0).any():
            raise ValueError(f"{name} must not be negative, got {counts.min()}")
    return (
        np.ascontiguousarray(negatives, np.int64),
        np.ascontiguousarray(positives, np.int64),
    )


def _pairs(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Count the positive-negative pairs, as a float: they may be too many for int64."""
    return np.sum(negatives, axis=-1).astype(float) * np.sum(positives, axis=-1)


def _from_above(counts: np.ndarray) -> np.ndarray:
    """Count what is in each bin or above it."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def _mean_variance(squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Variance of a mean, from squared deviations by bin; NaN for fewer than two members."""
    total = np.sum(counts, axis=-1)
    squares = np.where(counts > 0, counts * squares, 0.0)
    return rate(np.sum(squares, axis=-1), total * (total - 1.0))


def _harmonic_sum(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Sum 1 / (start + i) over i = 1 to steps.

    The difference of two digammas, ψ(y) - ψ(x) with x = start + 1, y = x + steps. At large x
    they nearly cancel (ψ(1e9) is about 20.7, the sum of one step 1e-9), so there it comes from
    their asymptotic series, each pair of terms as one (NIST DLMF 5.11.2). From 64 on the first
    term left out is under 2e-17.
    """
    x = start + 1
    y = x + steps
    u, v = 1 / x**2, 1 / y**2
    series = (
        np.log1p(steps / x)
        + steps / (2 * x * y)
        + (u - v) / 12
        - (u**2 - v**2) / 120
        + (u**3 - v**3) / 252
    )
    return np.where(x < 64, digamma(y) - digamma(x), series)
