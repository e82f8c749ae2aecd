"""Whether a slice has changed otherwise than the rest of the model: from counts.

A metric is a mean over members (a rate, or the mean of squared errors) or a ROC AUC. An array of
slices has them along its last axis (AUC: the last but one, before the score bins), and they are
all values of one slice_key, so that together they are the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr

import performance
from intervals import rate

# Metrics of decisions: what they count, and among what.
RATES = {
    "accuracy": (("tp", "tn"), ("tp", "fp", "tn", "fn")),
    "true_positive_rate": (("tp",), ("tp", "fn")),
    "false_positive_rate": (("fp",), ("fp", "tn")),
    "precision": (("tp",), ("tp", "fp")),
    "selection_rate": (("tp", "fp"), ("tp", "fp", "tn", "fn")),
}
METRICS = (*RATES, "brier_score", "roc_auc")
# Which direction is worse; of a selection rate neither is.
WORSE = {"accuracy": -1, "true_positive_rate": -1, "precision": -1, "roc_auc": -1} | {
    "false_positive_rate": 1,
    "brier_score": 1,
    "selection_rate": 0,
}


@dataclass(frozen=True)
class Estimates:
    """A metric of each slice and of the rest of the model.

    Attributes
    ----------
    value, rest_value : ndarray of float, shape (..., n_slices)
        NaN where there is nothing to take it of.
    spread, rest_spread : ndarray of float, shape (..., n_slices)
        The variance of the value of independent members, times their number.
    members, rest_members : ndarray of float, shape (..., n_slices)
        For AUC half the harmonic mean of the sizes of the classes.
    """

    value: np.ndarray
    spread: np.ndarray
    members: np.ndarray
    rest_value: np.ndarray
    rest_spread: np.ndarray
    rest_members: np.ndarray

    @property
    def gap_variance(self) -> np.ndarray:
        """The variance of the slice less the rest: they have no member in common."""
        return rate(self.spread, self.members) + rate(self.rest_spread, self.rest_members)


def rate_estimates(successes: np.ndarray, trials: np.ndarray) -> Estimates:
    """Rates of slices and of the rest.

    Parameters
    ----------
    successes, trials : ndarray of int, shape (..., n_slices)

    Returns
    -------
    Estimates
        The spread is p (1 - p) at p = (k + 1) / (n + 2): not 0 where a slice has no success or no
        failure.
    """
    parts = []
    for k, n in _and_rest(successes, trials):
        p = (k + 1) / (n + 2)
        parts += [rate(k, n), p * (1 - p), n]
    return Estimates(*parts)


def mean_estimates(total: np.ndarray, square_total: np.ndarray, count: np.ndarray) -> Estimates:
    """Means of slices and of the rest, from sums.

    Parameters
    ----------
    total, square_total : ndarray of float, shape (..., n_slices)
        Sums of the values and of their squares.
    count : ndarray of int, shape (..., n_slices)

    Returns
    -------
    Estimates
        The spread is the variance of the sample, with n - 1; NaN for fewer than two values.
    """
    parts = []
    for sums, squares, n in _and_rest(total, square_total, count):
        mean = rate(sums, n)
        parts += [mean, np.maximum(rate(squares - sums * mean, np.maximum(n - 1, 0)), 0), n]
    return Estimates(*parts)


def auc_estimates(negatives: np.ndarray, positives: np.ndarray) -> Estimates:
    """ROC AUC of slices and of the rest.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (..., n_slices, n_bins)

    Returns
    -------
    Estimates
        With DeLong's variance.
    """
    parts = []
    for counts in _and_rest(negatives, positives, axis=-2):
        n_negatives, n_positives = (part.sum(axis=-1).astype(float) for part in counts)
        members = rate(n_negatives * n_positives, n_negatives + n_positives)
        parts += [
            performance.roc_auc(*counts),
            performance.roc_auc_variance(*counts) * members,
            members,
        ]
    return Estimates(*parts)


def mean_influence(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Give what each day adds to the mean of a slice less that of the rest.

    Parameters
    ----------
    total, count : ndarray, shape (n_days, n_slices)

    Returns
    -------
    ndarray of float, shape (n_days, n_slices)
        Sums to 0 over the days.

    Notes
    -----
    A day with total t and count n moves the mean m of N members by (t - m n) / N.
    """
    found = []
    for sums, n in _and_rest(total, count):
        mean = rate(sums.sum(axis=0), n.sum(axis=0))
        found.append(rate(sums - mean * n, n.sum(axis=0)))
    return found[0] - found[1]


def auc_influence(negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Give what each day adds to the ROC AUC of a slice less that of the rest.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (n_days, n_slices, n_bins)

    Returns
    -------
    ndarray of float, shape (n_days, n_slices)
        Sums to 0 over the days.

    Notes
    -----
    The deviations of the placements of the day's members, over the size of their class: the terms
    whose squares are DeLong's variance.
    """
    found = []
    for of_negatives, of_positives in _and_rest(negatives, positives, axis=-2):
        deviations = performance.roc_auc_deviations(of_negatives.sum(0), of_positives.sum(0))
        parts = [
            rate(np.einsum("dsb,sb->ds", counts, deviation), counts.sum(axis=(0, 2)))
            for counts, deviation in zip((of_positives, of_negatives), deviations, strict=True)
        ]
        found.append(parts[0] + parts[1])
    return found[0] - found[1]


def design_effect(influence: np.ndarray, gap_variance: np.ndarray, n_days: int) -> np.ndarray:
    """How many times the variance is that of independent members, at least 1.

    Parameters
    ----------
    influence : ndarray of float, shape (n_days, n_slices)
        From ``mean_influence`` or ``auc_influence``.
    gap_variance : ndarray of float, shape (n_slices,)
        Of the same days, were members independent.
    n_days : int
        Days with members.

    Returns
    -------
    ndarray of float, shape (n_slices,)
        NaN for fewer than two days, or where the variance is 0 or undefined.

    Notes
    -----
    Flights of one day share its weather, so days differ by more than chance would have it. With
    days as clusters the variance is D / (D - 1) times the sum of the squared influences
    (Kish, Survey Sampling, 1965; Liang and Zeger, Biometrika 1986).
    """
    clustered = rate((influence**2).sum(axis=0) * n_days, float(max(n_days - 1, 0)))
    return np.maximum(rate(clustered, gap_variance), 1.0)


def two_sided_pvalue(
    difference: np.ndarray, standard_error: np.ndarray, degrees: int
) -> np.ndarray:
    """Two-sided p-value of a difference, by Student's t.

    Parameters
    ----------
    difference, standard_error : ndarray of float, shape (...)
    degrees : int
        Of freedom, at least 1.

    Returns
    -------
    ndarray of float, shape (...)
        NaN where the standard error is 0 or undefined.
    """
    return np.minimum(2 * stdtr(degrees, -np.abs(rate(difference, standard_error))), 1.0)


def compare(
    now: Estimates, reference: Estimates, influence: np.ndarray, n_days: int
) -> dict[str, np.ndarray]:
    """Compare the changes of slices with those of the rest of the model.

    Parameters
    ----------
    now : Estimates, shape (..., n_slices)
    reference : Estimates, shape (n_slices,)
    influence : ndarray of float, shape (n_days, n_slices)
        Of the days of the reference.
    n_days : int
        Days of the reference with members.

    Returns
    -------
    dict of str to ndarray of float, shape (..., n_slices)
        ``change`` of the slice, ``rest_change``, ``difference_in_changes``, its
        ``standard_error``, the ``design_effect`` in it, and the two-sided ``pvalue``, by
        Student's t with one degree less than days. NaN where undefined; a standard error of 0 has
        no p-value.

    Notes
    -----
    The spread of the window is the mean of the one found and the one expected: that of the
    reference, changed as the other part of the model has changed its own. Found alone, it is small
    just where chance has taken a rate near 0 or 1, or has left no large error in a small slice, and
    up to 23 % of the windows without any change would hold a slice that is flagged at a q-value of
    5 % (tests/python/test_slice_changes.py).
    """
    change, rest_change = now.value - reference.value, now.rest_value - reference.rest_value
    ratio = _ratio(now.spread, reference.spread)
    rest_ratio = _ratio(now.rest_spread, reference.rest_spread)
    steady = replace(
        now,
        spread=(now.spread + reference.spread * rest_ratio) / 2,
        rest_spread=(now.rest_spread + reference.rest_spread * ratio) / 2,
    )
    effect = design_effect(influence, reference.gap_variance, n_days)
    error = np.sqrt(effect * (steady.gap_variance + reference.gap_variance))
    difference = change - rest_change
    return {
        "change": change,
        "rest_change": rest_change,
        "difference_in_changes": difference,
        "standard_error": error,
        "design_effect": np.broadcast_to(effect, difference.shape),
        "pvalue": two_sided_pvalue(difference, error, max(n_days - 1, 1)),
    }


def least_expected(now: Estimates, reference: Estimates) -> np.ndarray:
    """How many successes or failures, whichever are fewer, a comparison of rates rests on.

    Parameters
    ----------
    now : Estimates, shape (..., n_slices)
        From ``rate_estimates``.
    reference : Estimates, shape (n_slices,)

    Returns
    -------
    ndarray of float, shape (..., n_slices)
        The least of those found in the reference and in the rest, and of those expected in the
        slice now: had it changed as the rest. Not those found in it, or chance would choose what
        is compared. NaN where a rate is.
    """
    expected = np.clip(reference.value + now.rest_value - reference.rest_value, 0, 1)
    sides = (
        (expected, now.members),
        (now.rest_value, now.rest_members),
        (reference.value, reference.members),
        (reference.rest_value, reference.rest_members),
    )
    fewest = [members * np.minimum(value, 1 - value) for value, members in sides]
    return np.minimum.reduce(np.broadcast_arrays(*fewest))


def contributions(
    value: np.ndarray,
    weight: np.ndarray,
    reference_value: np.ndarray,
    reference_weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the change of the whole among its slices, and each part in two.

    Parameters
    ----------
    value, weight : ndarray of float, shape (..., n_slices)
        The mean of each slice now, and how many members it is of.
    reference_value, reference_weight : ndarray of float, shape (n_slices,) or (..., n_slices)

    Returns
    -------
    rate_effect : ndarray of float, shape (..., n_slices)
        What the slice itself has changed: the mean of its two shares times its change.
    mix_effect : ndarray of float, shape (..., n_slices)
        What its share has changed: the change of the share times how far the slice is from the
        whole, both in the mean of now and the reference. That of a slice which is new or gone is
        all there is of it.
    whole_change : ndarray of float, shape (...)
        The sum of both over the slices. NaN, as the effects are, where a side has no members.

    Notes
    -----
    With shares w, values v and V̄ the mean of the two values of the whole: the sum over slices of
    w (v - V̄) changes by as much as the whole does, since shares add up to 1 at both times. No
    time comes first, so that now and the reference can change places (Kitagawa, JASA 1955).
    """
    reference_value, reference_weight = (
        np.broadcast_to(part, np.shape(value)) for part in (reference_value, reference_weight)
    )
    share = rate(weight, np.sum(weight, axis=-1, keepdims=True))
    reference_share = rate(reference_weight, np.sum(reference_weight, axis=-1, keepdims=True))
    filled = np.where(np.asarray(weight) > 0, value, 0.0)
    reference_filled = np.where(reference_weight > 0, reference_value, 0.0)
    whole = np.sum(share * filled, axis=-1, keepdims=True)
    reference_whole = np.sum(reference_share * reference_filled, axis=-1, keepdims=True)
    middle = (whole + reference_whole) / 2
    both = share * (filled - middle) - reference_share * (reference_filled - middle)
    is_in_both = (np.asarray(weight) > 0) & (reference_weight > 0)
    own = (share + reference_share) / 2 * (filled - reference_filled)
    undefined = np.isnan(share) | np.isnan(reference_share)
    own = np.where(undefined, np.nan, np.where(is_in_both, own, 0.0))
    return own, both - own, (whole - reference_whole)[..., 0]


def _ratio(spread: np.ndarray, reference_spread: np.ndarray) -> np.ndarray:
    """By what a spread has changed; 1 where that cannot be said, and at most fourfold."""
    ratio = rate(spread, reference_spread)
    return np.clip(np.where(np.isnan(ratio), 1.0, ratio), 0.25, 4.0)


def _and_rest(*counts: np.ndarray, axis: int = -1) -> list[list[np.ndarray]]:
    """Give the counts of each slice, and those of all others."""
    counts = [np.asarray(part) for part in counts]
    return [list(counts), [part.sum(axis=axis, keepdims=True) - part for part in counts]]
