"""The rule by which Evidently 0.7 tells drift when it is asked for nothing else.

Written anew from its documentation and from what it computes
(https://docs.evidentlyai.com/metrics/explainer_drift; ``legacy/calculations/stattests`` of
0.7.23), because a report of it takes seconds. ``check_evidently.py`` compares the two.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats
from scipy.spatial import distance

SMALL_REFERENCE = 1000
FEW_VALUES = 5
ALPHA = 0.05
LEAST_DISTANCE = 0.1


def is_drift(reference: np.ndarray, current: np.ndarray, *, is_categorical: bool) -> bool:
    """Tell whether it would report drift of a column.

    Parameters
    ----------
    reference, current : ndarray of float, shape (n,)
        NaN and infinite values are left out; the reference without them must be sorted.
    is_categorical : bool
    """
    reference, current = (side[np.isfinite(side)] for side in (reference, current))
    if not len(reference) or not len(current):
        return False
    values = np.unique(current)
    # Only few values are ever told apart by their number.
    values = np.union1d(values, distinct(reference))
    is_small = len(reference) <= SMALL_REFERENCE
    if not is_categorical and len(values) > FEW_VALUES:
        if is_small:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return bool(stats.ks_2samp(reference, current).pvalue <= ALPHA)
        deviation = max(float(np.std(reference)), 0.001)
        return wasserstein(reference, np.sort(current)) / deviation >= LEAST_DISTANCE
    counts = [
        np.searchsorted(side, values, "right") - np.searchsorted(side, values, "left")
        for side in (reference, np.sort(current))
    ]
    if is_small:
        pvalue = chi_square(*counts) if len(values) > 2 else two_shares(*counts)
        return bool(pvalue < ALPHA)
    return bool(distance.jensenshannon(*counts) >= LEAST_DISTANCE)


def distinct(ordered: np.ndarray) -> np.ndarray:
    """Give the values of a sorted array."""
    return ordered[np.append(True, ordered[1:] != ordered[:-1])]


def wasserstein(reference: np.ndarray, current: np.ndarray) -> float:
    """Wasserstein-1 of two sorted samples; ``scipy.stats.wasserstein_distance``, but faster."""
    both = np.concatenate([reference, current])
    both.sort(kind="stable")
    f, g = (np.searchsorted(side, both[:-1], "right") / len(side) for side in (reference, current))
    return float(np.sum(np.abs(f - g) * np.diff(both)))


def chi_square(reference: np.ndarray, current: np.ndarray) -> float:
    """Goodness of fit to the reference as if it were exact; 0 with a value that it has not."""
    if np.any(reference == 0):
        return 0.0
    expected = reference * (current.sum() / reference.sum())
    return float(stats.chisquare(current, expected).pvalue)


def two_shares(reference: np.ndarray, current: np.ndarray) -> float:
    """Z-test of the difference of two shares, pooled."""
    if len(reference) == 1:
        return 1.0
    n, m = reference.sum(), current.sum()
    p, q = reference[0] / n, current[0] / m
    pooled = (reference[0] + current[0]) / (n + m)
    z = (p - q) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float(2 * stats.norm.sf(abs(z)))
