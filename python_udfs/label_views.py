"""Whether labels that come late are other than those that come early."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc

from intervals import rate


def two_rates_pvalue(
    successes_a: np.ndarray, trials_a: np.ndarray, successes_b: np.ndarray, trials_b: np.ndarray
) -> np.ndarray:
    """Two-sided p-value of the hypothesis that two independent rates are equal.

    Parameters
    ----------
    successes_a, trials_a, successes_b, trials_b : array_like of int, shapes that broadcast

    Returns
    -------
    ndarray of float, shape (...)
        NaN where fewer than 5 successes or failures are expected on a side: there the
        approximation does not hold (Cochran, Biometrics 1954).

    Raises
    ------
    ValueError
        If successes are outside [0, trials].

    Notes
    -----
    Pearson's chi-square of the 2 x 2 table, without continuity correction:
    N (a d - b c)^2 over the product of the margins, one degree of freedom.
    """
    k_a, n_a, k_b, n_b = (
        np.asarray(part, float)
        for part in np.broadcast_arrays(successes_a, trials_a, successes_b, trials_b)
    )
    for k, n in ((k_a, n_a), (k_b, n_b)):
        if ((k < 0) | (k > n)).any():
            raise ValueError(
                "successes must be between 0 and trials, got "
                f"{k.min():g} to {k.max():g} of {n.min():g} to {n.max():g}"
            )
    total, successes = n_a + n_b, k_a + k_b
    pooled = rate(successes, total)
    expected = np.minimum(n_a, n_b) * np.minimum(pooled, 1 - pooled)
    variance = pooled * (1 - pooled) * (rate(1.0, n_a) + rate(1.0, n_b))
    statistic = rate((rate(k_a, n_a) - rate(k_b, n_b)) ** 2, variance)
    return np.where(expected >= 5, chdtrc(1, statistic), np.nan)
