"""How far apart the rates of groups are, and how much of that chance explains.

Groups are along the last axis. The largest of many differences grows with the number of groups
also where there are none (50 identical groups of 50 show 0.29), so every gap comes with bounds
that hold for all pairs of groups at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intervals import rate, wilson_interval


@dataclass(frozen=True)
class Gap:
    """The difference, or the ratio, of the groups with the lowest and the highest rate.

    Attributes
    ----------
    value, lower, upper : ndarray of float, shape (...)
        The gap and its simultaneous bounds; NaN where it is undefined.
    lowest_group, highest_group : ndarray of int, shape (...)
        Positions of the two groups, of equal ones the first; -1 where the gap is undefined.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lowest_group: np.ndarray
    highest_group: np.ndarray


def group_gap(
    successes: np.ndarray,
    trials: np.ndarray,
    *,
    takes_part: np.ndarray,
    confidence: float = 0.95,
    comparisons: int = 1,
) -> Gap:
    """Difference of the largest and the smallest rate of the groups.

    Parameters
    ----------
    successes, trials : ndarray of int, shape (..., n_groups)
    takes_part : ndarray of bool, shape (..., n_groups)
        Which groups count; those without trials never do.
    confidence : float
        In (0, 1): the chance that both bounds hold.
    comparisons : int
        How many gaps are to have bounds that hold together with this confidence.

    Returns
    -------
    Gap
        Undefined where fewer than two groups count.

    Raises
    ------
    ValueError
        If successes are outside [0, trials] or the confidence is outside (0, 1).

    Notes
    -----
    Newcombe's interval of every pair of groups, each at confidence 1 - (1 - confidence) /
    (comparisons x pairs), so that all hold at once with at least ``confidence`` (Bonferroni, as
    far as that interval, an approximation, keeps its own level). The true gap is the largest of
    the true differences p_a - p_b over the ordered pairs. Where all intervals hold, it is
    therefore at least the largest of their lower bounds, and at most the largest of their upper
    bounds.
    """
    successes, trials, counts = _groups(successes, trials, takes_part)
    rates = np.where(counts, rate(successes, trials), np.nan)
    defined, lowest_group, highest_group = _extreme_groups(rates)

    n_groups = np.sum(counts, axis=-1, keepdims=True)
    n_pairs = np.maximum(n_groups * (n_groups - 1) // 2, 1)
    lower, upper = wilson_interval(
        successes, trials, confidence=1 - (1 - confidence) / (comparisons * n_pairs)
    )
    below, above = (rates - lower) ** 2, (upper - rates) ** 2
    largest_lower = smallest_lower = np.full(defined.shape, np.nan)
    # A pair's upper bound is the lower bound of the pair in reverse, negated.
    for group in range(rates.shape[-1]):
        bounds = rates[..., group, None] - rates - np.sqrt(below[..., group, None] + above)
        bounds[..., group] = np.nan
        largest_lower = np.fmax(largest_lower, np.fmax.reduce(bounds, axis=-1))
        smallest_lower = np.fmin(smallest_lower, np.fmin.reduce(bounds, axis=-1))
    return Gap(
        value=np.where(defined, _at(rates, highest_group) - _at(rates, lowest_group), np.nan),
        lower=np.maximum(largest_lower, 0),
        upper=-smallest_lower,
        lowest_group=lowest_group,
        highest_group=highest_group,
    )


def group_ratio(
    successes: np.ndarray,
    trials: np.ndarray,
    *,
    takes_part: np.ndarray,
    confidence: float = 0.95,
) -> Gap:
    """Ratio of the smallest to the largest rate of the groups.

    Parameters
    ----------
    successes, trials : ndarray of int, shape (..., n_groups)
    takes_part : ndarray of bool, shape (..., n_groups)
        Which groups count; those without trials never do.
    confidence : float
        In (0, 1): the chance that both bounds hold.

    Returns
    -------
    Gap
        Undefined where fewer than two groups count, or all rates are 0.

    Raises
    ------
    ValueError
        If successes are outside [0, trials] or the confidence is outside (0, 1).

    Notes
    -----
    Wilson's interval [l, u] of every group at confidence 1 - (1 - confidence) / groups, so that
    all hold at once with at least ``confidence`` (Bonferroni). Where they do:

    - The true ratio is p_a / p_b of two different groups a and b (if all are equal, any two
      will do), so it is at least l_a / u_b, and so at least the smallest l_a / u_b of different
      groups. The smallest l and the largest u are often those of one small group, whose own
      l / u bounds nothing; then the second smallest l or the second largest u is in it.
    - The smallest true rate is at most the smallest u and the largest at least the largest l,
      so the ratio is at most min(u) / max(l), and never over 1.
    """
    successes, trials, counts = _groups(successes, trials, takes_part)
    rates = np.where(counts, rate(successes, trials), np.nan)
    defined, lowest_group, highest_group = _extreme_groups(rates)
    largest = np.where(defined, _at(rates, highest_group), 0.0)
    defined = largest > 0

    n_groups = np.maximum(np.sum(counts, axis=-1, keepdims=True), 1)
    lower, upper = wilson_interval(successes, trials, confidence=1 - (1 - confidence) / n_groups)
    lower, upper = np.where(counts, lower, np.inf), np.where(counts, upper, -np.inf)
    weakest, widest = np.argmin(lower, axis=-1), np.argmax(upper, axis=-1)
    other_lower = np.min(_without(lower, weakest, np.inf), axis=-1)
    other_upper = np.max(_without(upper, widest, -np.inf), axis=-1)
    smallest_lower, largest_upper = np.min(lower, axis=-1), np.max(upper, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(
            weakest == widest,
            np.minimum(other_lower / largest_upper, smallest_lower / other_upper),
            smallest_lower / largest_upper,
        )
        most = np.min(np.where(counts, upper, np.inf), axis=-1) / np.max(
            np.where(counts, lower, 0.0), axis=-1
        )
    return Gap(
        value=np.where(defined, rate(_at(rates, lowest_group), largest), np.nan),
        lower=np.where(defined, np.clip(least, 0, 1), np.nan),
        upper=np.where(defined, np.clip(most, 0, 1), np.nan),
        lowest_group=np.where(defined, lowest_group, -1),
        highest_group=np.where(defined, highest_group, -1),
    )


def larger_gap(a: Gap, b: Gap) -> Gap:
    """Give the larger of two gaps, as equalized odds asks for.

    Parameters
    ----------
    a, b : Gap
        Of ``group_gap`` with ``comparisons=2``, so that the bounds of both hold together.

    Returns
    -------
    Gap
        With the groups of the larger one, of equal ones those of ``a``. Undefined where either
        is: the larger of a known and an unknown gap is unknown.

    Notes
    -----
    Where all four bounds hold, the larger true gap is at least either lower bound, and at most
    the larger of the upper bounds.
    """
    value = np.maximum(a.value, b.value)
    undefined = np.isnan(value)
    from_a = a.value >= b.value
    return Gap(
        value=value,
        lower=np.maximum(a.lower, b.lower),
        upper=np.maximum(a.upper, b.upper),
        lowest_group=np.where(undefined, -1, np.where(from_a, a.lowest_group, b.lowest_group)),
        highest_group=np.where(undefined, -1, np.where(from_a, a.highest_group, b.highest_group)),
    )


def fairness_metrics(
    true_positives: np.ndarray,
    false_positives: np.ndarray,
    true_negatives: np.ndarray,
    false_negatives: np.ndarray,
    *,
    takes_part: np.ndarray,
    confidence: float = 0.95,
) -> dict[str, Gap]:
    """Gaps between groups, from their confusion counts.

    Parameters
    ----------
    true_positives, false_positives, true_negatives, false_negatives : ndarray of int
        Shape (..., n_groups).
    takes_part : ndarray of bool, shape (..., n_groups)
        Which groups count. A group without the denominator of a rate, such as one without
        positives for the true positive rate, does not count for that rate.
    confidence : float
        In (0, 1): the chance that both bounds of one gap hold, for each gap by itself.

    Returns
    -------
    dict of str to Gap
        ``demographic_parity_difference`` and ``demographic_parity_ratio`` (selection rate),
        ``equal_opportunity_difference`` (true positive rate), ``predictive_equality_difference``
        (false positive rate), ``equalized_odds_difference`` (the larger of those two) and
        ``predictive_parity_difference`` (precision).

    Raises
    ------
    ValueError
        If a count is negative or the confidence is outside (0, 1).

    Notes
    -----
    The gaps are those of ``fairlearn.metrics``, except that there a rate without a denominator
    is 0, and the group with it the worst one.
    """
    selected = np.add(true_positives, false_positives)
    actual_positives = np.add(true_positives, false_negatives)
    actual_negatives = np.add(true_negatives, false_positives)
    total = actual_positives + actual_negatives
    options = {"takes_part": takes_part, "confidence": confidence}
    return {
        "demographic_parity_difference": group_gap(selected, total, **options),
        "demographic_parity_ratio": group_ratio(selected, total, **options),
        "equal_opportunity_difference": group_gap(true_positives, actual_positives, **options),
        "predictive_equality_difference": group_gap(false_positives, actual_negatives, **options),
        "equalized_odds_difference": larger_gap(
            group_gap(true_positives, actual_positives, comparisons=2, **options),
            group_gap(false_positives, actual_negatives, comparisons=2, **options),
        ),
        "predictive_parity_difference": group_gap(true_positives, selected, **options),
    }


def _groups(
    successes: np.ndarray, trials: np.ndarray, takes_part: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Broadcast, and say which groups count."""
    successes, trials, takes_part = np.broadcast_arrays(
        successes, trials, np.asarray(takes_part, bool)
    )
    return successes, trials, takes_part & (trials > 0)


def _extreme_groups(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Say where there are two groups to compare, and which have the lowest and highest rate."""
    counts = ~np.isnan(rates)
    defined = np.sum(counts, axis=-1) >= 2
    lowest = np.argmin(np.where(counts, rates, np.inf), axis=-1)
    highest = np.argmax(np.where(counts, rates, -np.inf), axis=-1)
    return defined, np.where(defined, lowest, -1), np.where(defined, highest, -1)


def _at(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Pick one group's value from each row."""
    return np.take_along_axis(values, group[..., None], axis=-1)[..., 0]


def _without(values: np.ndarray, group: np.ndarray, stand_in: float) -> np.ndarray:
    """Replace one group's value in each row."""
    return np.where(np.arange(values.shape[-1]) == group[..., None], stand_in, values)
