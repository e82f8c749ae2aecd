"""One slice against the rest of the model, from its members one by one."""

import math

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score


def of_members(values) -> tuple[float, float, int]:
    """Value, spread and size of a mean."""
    return np.mean(values), np.var(values, ddof=1), len(values)


def of_rate(values) -> tuple[float, float, int]:
    """Value, spread and size of a rate."""
    p = (sum(values) + 1) / (len(values) + 2)
    return np.mean(values), p * (1 - p), len(values)


def placements(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """The share of the other class that each positive is above, and each negative below."""
    wins = (np.sign(scores[labels][:, None] - scores[~labels][None, :]) + 1) / 2
    return wins.mean(axis=1), wins.mean(axis=0)


def of_scores(scores, labels) -> tuple[float, float, float]:
    """Value, spread and size of a ROC AUC, by DeLong."""
    v10, v01 = placements(scores, labels)
    variance = np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01)
    members = len(v10) * len(v01) / (len(v10) + len(v01))
    return roc_auc_score(labels, scores), variance * members, members


def influence_on_mean(values, days, n_days: int) -> np.ndarray:
    """What each day adds to a mean."""
    return np.bincount(days, values - np.mean(values), n_days) / len(values)


def influence_on_auc(scores, labels, days, n_days: int) -> np.ndarray:
    """What each day adds to a ROC AUC."""
    auc = roc_auc_score(labels, scores)
    return sum(
        np.bincount(days[chosen], part - auc, n_days) / chosen.sum()
        for part, chosen in zip(placements(scores, labels), (labels, ~labels), strict=True)
    )


def comparison(now, reference, gaps, n_days: int) -> dict[str, float]:
    """Compare (value, spread, size) of slice and rest, now and in the reference.

    ``gaps``: what each day of the reference adds to the slice less the rest.
    """
    (v1, s1, n1), (w1, t1, m1) = now
    (v0, s0, n0), (w0, t0, m0) = reference
    ratio = min(max(s1 / s0, 0.25), 4) if s0 else 1
    rest_ratio = min(max(t1 / t0, 0.25), 4) if t0 else 1
    variance = (s1 + s0 * rest_ratio) / 2 / n1 + (t1 + t0 * ratio) / 2 / m1 + s0 / n0 + t0 / m0
    clustered = n_days / (n_days - 1) * sum(gap**2 for gap in gaps)
    effect = max(clustered / (s0 / n0 + t0 / m0), 1)
    error = math.sqrt(effect * variance)
    difference = (v1 - v0) - (w1 - w0)
    return {
        "change": v1 - v0,
        "rest_change": w1 - w0,
        "difference_in_changes": difference,
        "standard_error": error,
        "design_effect": effect,
        "pvalue": 2 * stats.t.sf(abs(difference) / error, n_days - 1),
    }
