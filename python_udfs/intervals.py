"""Rates, and intervals for them and their differences."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri


def rate(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Divide, with NaN where the denominator is 0.

    Parameters
    ----------
    successes, trials : array_like, shapes that broadcast

    Returns
    -------
    ndarray of float, shape (...)
    """
    successes, trials = np.broadcast_arrays(successes, trials)
    return np.divide(
        successes, trials, out=np.full(trials.shape, np.nan), where=np.asarray(trials != 0)
    )


def normal_quantile(confidence: np.ndarray) -> np.ndarray:
    """How many standard errors a two-sided normal interval reaches to either side.

    Parameters
    ----------
    confidence : array_like
        In (0, 1).

    Returns
    -------
    ndarray of float, shape of ``confidence``

    Raises
    ------
    ValueError
        If a confidence is outside (0, 1).
    """
    confidence = np.asarray(confidence, float)
    if not ((confidence > 0) & (confidence < 1)).all():
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    return -ndtri((1 - confidence) / 2)


def wilson_interval(
    successes: np.ndarray, trials: np.ndarray, *, confidence: float | np.ndarray = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval for a rate.

    Parameters
    ----------
    successes, trials : array_like of int, shapes that broadcast
    confidence : float or ndarray
        In (0, 1); an array broadcasts with the counts.

    Returns
    -------
    lower, upper : ndarray of float, shape (...)
        NaN where there are no trials. ``lower`` is exactly 0 where there are no successes,
        ``upper`` exactly 1 where there is nothing else.

    Raises
    ------
    ValueError
        If successes are outside [0, trials] or a confidence is outside (0, 1).

    Notes
    -----
    With k successes in n trials and z the normal quantile: (k + z²/2 ± z sqrt(k(n - k)/n + z²/4))
    / (n + z²), without continuity correction (Wilson, JASA 1927).
    """
    z = normal_quantile(confidence)
    successes, trials, z = np.broadcast_arrays(successes, trials, z)
    if ((successes < 0) | (successes > trials)).any():
        raise ValueError(
            "successes must be between 0 and trials, got "
            f"{np.min(successes)} to {np.max(successes)} of {np.min(trials)} to {np.max(trials)}"
        )
    observed = rate(successes, trials)
    middle = successes + z**2 / 2
    reach = z * np.sqrt(np.nan_to_num(observed) * (trials - successes) + z**2 / 4)
    lower = np.where(successes == 0, 0.0, (middle - reach) / (trials + z**2))
    upper = np.where(successes == trials, 1.0, (middle + reach) / (trials + z**2))
    # Rounding must not push a bound past the rate; without trials that rate, NaN, is the answer.
    return np.minimum(lower, observed), np.maximum(upper, observed)


def mean_interval(
    total: np.ndarray, square_total: np.ndarray, count: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Give the normal interval for a mean, from sums.

    Parameters
    ----------
    total, square_total : array_like of float, shapes that broadcast
        Sums of the values and of their squares.
    count : array_like of int
    confidence : float
        In (0, 1).

    Returns
    -------
    lower, upper : ndarray of float, shape (...)
        NaN for fewer than two values.

    Raises
    ------
    ValueError
        If the confidence is outside (0, 1).

    Notes
    -----
    Mean plus and minus z sqrt(s² / n), with s² over n - 1. Rounding of nearly equal values does
    not take s² below 0.
    """
    z = normal_quantile(confidence)
    total, square_total, count = np.broadcast_arrays(total, square_total, count)
    mean = rate(total, count)
    spread = np.maximum(rate(square_total - total * mean, np.maximum(count - 1, 0)), 0)
    reach = z * np.sqrt(rate(spread, count))
    return mean - reach, mean + reach


def newcombe_interval(
    successes_a: np.ndarray,
    trials_a: np.ndarray,
    successes_b: np.ndarray,
    trials_b: np.ndarray,
    *,
    confidence: float | np.ndarray = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Newcombe's hybrid score interval for the difference of two independent rates, a - b.

    Parameters
    ----------
    successes_a, trials_a, successes_b, trials_b : array_like of int, shapes that broadcast
    confidence : float or ndarray
        In (0, 1); an array broadcasts with the counts.

    Returns
    -------
    lower, upper : ndarray of float, shape (...)
        In [-1, 1]; NaN where either has no trials.

    Raises
    ------
    ValueError
        If successes are outside [0, trials] or a confidence is outside (0, 1).

    Notes
    -----
    With Wilson intervals [l, u] of the rates p: the difference less sqrt((p_a - l_a)² +
    (u_b - p_b)²), and plus sqrt((u_a - p_a)² + (p_b - l_b)²) (Newcombe, Statistics in Medicine
    1998, method 10).
    """
    lower_a, upper_a = wilson_interval(successes_a, trials_a, confidence=confidence)
    lower_b, upper_b = wilson_interval(successes_b, trials_b, confidence=confidence)
    rate_a, rate_b = rate(successes_a, trials_a), rate(successes_b, trials_b)
    difference = rate_a - rate_b
    lower = difference - np.sqrt((rate_a - lower_a) ** 2 + (upper_b - rate_b) ** 2)
    upper = difference + np.sqrt((upper_a - rate_a) ** 2 + (rate_b - lower_b) ** 2)
    return lower, upper
