"""Estimates of how good a model is, before its labels are known.

Of a classifier: confidence-based performance estimation, CBPE. Labelled predictions of late say
how often a score comes true; then the scores of a window say how many true and false answers to
expect. Of a regression: its errors of late at such predictions. Neither sees a change of the
relation between inputs and labels (concept drift).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import stdtrit

from intervals import rate

CLASSIFIER_METRICS = ("roc_auc", "accuracy", "f1", "precision", "recall", "positive_rate")
REGRESSION_METRICS = ("mae", "rmse")


def calibrated_probabilities(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """How often each score bin comes true, as far as labels tell.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (n_bins,)
        Labelled predictions of the reference, by rising score.

    Returns
    -------
    ndarray of float, shape (n_bins,)
        In [0, 1], not falling. NaN throughout where there is no label.

    Raises
    ------
    ValueError
        If the counts are negative or differ in shape.

    Notes
    -----
    Isotonic regression of the rates, weighted by their counts (Zadrozny and Elkan, KDD 2002).
    Bins between filled ones are interpolated by their number, those beyond them have the
    probability of the outermost filled bin.
    """
    negatives, positives = np.asarray(negatives), np.asarray(positives)
    if negatives.shape != positives.shape or negatives.ndim != 1:
        raise ValueError(
            f"counts must be of one shape (n_bins,), got {negatives.shape} and {positives.shape}"
        )
    if (negatives < 0).any() or (positives < 0).any():
        raise ValueError("counts must not be negative")
    count = negatives + positives
    filled = np.flatnonzero(count)
    if not len(filled):
        return np.full(len(count), np.nan)
    fitted = isotonic_regression(positives[filled] / count[filled], weights=count[filled]).x
    return np.clip(np.interp(np.arange(len(count)), filled, fitted), 0.0, 1.0)


def expected_metrics(negatives: np.ndarray, positives: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of a classifier from counts of its predictions, which may be expected ones.

    Parameters
    ----------
    negatives, positives : ndarray, shape (..., 2, n_bins)
        How many predictions are or should be of each class: those of 0 and those of 1, by rising
        score. Not negative.

    Returns
    -------
    dict of str to ndarray of float, shape (...)
        For each of ``CLASSIFIER_METRICS``; in [0, 1], NaN where a denominator is 0.

    Raises
    ------
    ValueError
        If the counts are negative or differ in shape.

    Notes
    -----
    As if each prediction were counted twice: as a positive with the weight of its probability, and
    as a negative with the rest. AUC counts a bin as one tied score.
    """
    negatives, positives = (
        np.ascontiguousarray(counts, float) for counts in (negatives, positives)
    )
    if negatives.shape != positives.shape or negatives.ndim < 2 or negatives.shape[-2] != 2:
        raise ValueError(
            f"counts must be of one shape (..., 2, n_bins), got {negatives.shape} and "
            f"{positives.shape}"
        )
    if (negatives < 0).any() or (positives < 0).any():
        raise ValueError("counts must not be negative")
    true_negatives, false_positives = np.moveaxis(negatives.sum(axis=-1), -1, 0)
    false_negatives, true_positives = np.moveaxis(positives.sum(axis=-1), -1, 0)
    all_positives = true_positives + false_negatives
    selected = true_positives + false_positives
    total = all_positives + true_negatives + false_positives
    by_bin = negatives.sum(axis=-2), positives.sum(axis=-2)
    below = np.cumsum(by_bin[0], axis=-1) - by_bin[0] / 2
    found = {
        "roc_auc": rate(
            (by_bin[1] * below).sum(axis=-1),
            all_positives * (true_negatives + false_positives),
        ),
        "accuracy": rate(true_positives + true_negatives, total),
        "f1": rate(2 * true_positives, selected + all_positives),
        "precision": rate(true_positives, selected),
        "recall": rate(true_positives, all_positives),
        "positive_rate": rate(all_positives, total),
    }
    return {name: np.clip(values, 0.0, 1.0) for name, values in found.items()}


def estimated_metrics(counts: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Estimate the metrics of a classifier from its scores and decisions.

    Parameters
    ----------
    counts : ndarray of int, shape (..., 2, n_bins)
        Predictions of 0 and of 1, by rising score.
    probabilities : ndarray of float, shape (..., n_bins)
        As ``calibrated_probabilities`` gives them.

    Returns
    -------
    dict of str to ndarray of float, shape (...)
        For each of ``CLASSIFIER_METRICS``, and ``expected_positives`` and ``expected_negatives``.
        NaN where a denominator is 0 or the probabilities are NaN.

    Notes
    -----
    Each is the metric of the expected counts, as in NannyML's CBPE; that of a quotient differs
    from its expectation by a term of the order of 1 / n.
    """
    counts = np.asarray(counts)
    probabilities = np.asarray(probabilities, float)[..., None, :]
    is_known = ~np.isnan(probabilities).any(axis=(-2, -1))
    positives = counts * np.where(np.isnan(probabilities), 0.0, probabilities)
    # A product is at most its count; the difference may miss 0 by nothing else.
    negatives = counts - positives
    found = expected_metrics(negatives, positives) | {
        "expected_positives": positives.sum(axis=-1).sum(axis=-1),
        "expected_negatives": negatives.sum(axis=-1).sum(axis=-1),
    }
    return {name: np.where(is_known, values, np.nan) for name, values in found.items()}


def mean_errors(count: np.ndarray, error_sum: np.ndarray) -> np.ndarray:
    """Mean error of a regression in each bin of its predicted values.

    Parameters
    ----------
    count : ndarray of int, shape (n_bins,)
        Labelled predictions of the reference.
    error_sum : ndarray of float, shape (n_bins,)
        Sum of their absolute or squared errors.

    Returns
    -------
    ndarray of float, shape (n_bins,)
        Bins between filled ones are interpolated by their number, those beyond them have the
        error of the outermost filled bin. NaN throughout where there is no label.
    """
    count, error_sum = np.asarray(count), np.asarray(error_sum, float)
    filled = np.flatnonzero(count)
    if not len(filled):
        return np.full(len(count), np.nan)
    return np.interp(np.arange(len(count)), filled, error_sum[filled] / count[filled])


def estimated_error(counts: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Estimate the mean error of a regression from its predicted values.

    Parameters
    ----------
    counts : ndarray of int, shape (..., n_bins)
        Predictions by bin of the predicted value.
    errors : ndarray of float, shape (..., n_bins)
        As ``mean_errors`` gives them.

    Returns
    -------
    ndarray of float, shape (...)
        NaN where there is no prediction.

    Notes
    -----
    Direct loss estimation with the predicted value as its only input and a step function as its
    model. NannyML's DLE fits gradient boosting on all inputs instead.
    """
    counts = np.asarray(counts)
    return rate((counts * np.asarray(errors, float)).sum(axis=-1), counts.sum(axis=-1))


def past_reach(
    ends: np.ndarray,
    errors: np.ndarray,
    *,
    size: int,
    lag: int,
    span: int,
    least: int = 7,
    confidence: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """How far estimates have to reach, judged by how far earlier ones were off.

    Parameters
    ----------
    ends : ndarray of int, shape (n,)
        The day on which each window ends, rising.
    errors : ndarray of float, shape (n,)
        By how much the estimate of each was off, NaN where that is unknown.
    size : int
        The length of the windows in days.
    lag : int
        An error counts from so many days after its window's end.
    span : int
        And for so many days.
    least : int
        Of fewer errors nothing is said.
    confidence : float
        In (0, 1).

    Returns
    -------
    reach : ndarray of float, shape (n,)
        Half the width of a prediction interval; NaN where fewer than ``least`` errors count.
    count : ndarray of int, shape (n,)
        The errors that count.

    Raises
    ------
    ValueError
        If the ends do not rise, or the confidence is outside (0, 1).

    Notes
    -----
    The root of the mean squared error of the past times a quantile of Student's t: the interval of
    a next error that is normal around 0. A lasting bias widens it, as it should. Errors of windows
    that overlap are not independent, so the degrees of freedom are not their number but that of the
    windows that fit side by side: one, and the days from the first end to the last by ``size``.
    """
    ends, errors = np.asarray(ends, np.int64), np.asarray(errors, float)
    if (np.diff(ends) <= 0).any():
        raise ValueError("ends must rise")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    first = np.searchsorted(ends, ends - lag - span, side="right")
    last = np.searchsorted(ends, ends - lag, side="right")
    is_known = ~np.isnan(errors)
    reach, count = np.full(len(ends), np.nan), np.zeros(len(ends), np.int64)
    for row, (start, stop) in enumerate(zip(first, last, strict=True)):
        counts = is_known[start:stop]
        count[row] = counts.sum()
        if count[row] >= max(least, 1):
            told = ends[start:stop][counts]
            reach[row] = np.sqrt(np.mean(errors[start:stop][counts] ** 2))
            reach[row] *= student_quantile(confidence, 1 + (told[-1] - told[0]) / size)
    return reach, count


def student_quantile(confidence: float, freedom: float) -> float:
    """How many standard errors a two-sided interval of Student's t reaches to either side."""
    return float(stdtrit(freedom, (1 + confidence) / 2))
