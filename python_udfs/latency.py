"""Quantiles from mergeable histograms of latencies and delays.

Bin ``b`` holds the values in (1.04^(b-1), 1.04^b] and is read as its geometric middle, which is
within 2 % of every value in it (DDSketch; Masson, Rim and Lee, VLDB 2019). Values of at most
0.001 are in the lowest bin and read as 0. The SQL counterpart is the macro ``latency_bin``.
"""

from __future__ import annotations

import numpy as np

GROWTH = 1.04
ZERO_BIN = -177
RELATIVE_ERROR = GROWTH**0.5 - 1


def bin_values(bins: np.ndarray) -> np.ndarray:
    """Give the value that stands for each bin.

    Parameters
    ----------
    bins : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of float, shape (n,)
        In the unit of what was binned.
    """
    return np.where(bins <= ZERO_BIN, 0.0, GROWTH ** (bins - 0.5))


def histogram_quantiles(counts: np.ndarray, values: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Quantiles of many histograms that share their bins.

    Interpolates linearly between the two nearest ranks, as ``numpy.quantile`` does by default,
    so the error of a quantile is at most that of the bins: ``RELATIVE_ERROR``.

    Parameters
    ----------
    counts : ndarray of int, shape (n_histograms, n_bins)
    values : ndarray of float, shape (n_bins,)
        The value of each bin, rising.
    q : ndarray of float, shape (n_quantiles,)
        In [0, 1].

    Returns
    -------
    ndarray of float, shape (n_histograms, n_quantiles)
        NaN where a histogram is empty.

    Raises
    ------
    ValueError
        If a quantile is outside [0, 1] or the shapes do not fit.
    """
    q = np.asarray(q, float)
    if q.size and (q.min() < 0 or q.max() > 1):
        raise ValueError(f"quantiles must be in [0, 1], got {q.tolist()}")
    if counts.shape[1:] != values.shape:
        raise ValueError(f"counts of {counts.shape[1:]} bins for values of {values.shape}")
    below = np.cumsum(counts, axis=1)
    totals = below[:, -1] if counts.shape[1] else np.zeros(len(counts), np.int64)
    result = np.full((len(counts), len(q)), np.nan)
    filled = totals > 0
    # The bin of rank r is the first with more than r values up to it. All histograms are searched
    # in one rising line: each begins where the one before has ended.
    start = np.arange(filled.sum(), dtype=np.int64) * (totals.max(initial=0) + 1)
    line = (below[filled] + start[:, None]).ravel()
    first_bin = np.arange(filled.sum()) * len(values)
    for index, quantile in enumerate(q):
        rank = (totals[filled] - 1) * quantile
        lower = np.floor(rank)
        low, high = (
            values[np.searchsorted(line, start + place.astype(np.int64), "right") - first_bin]
            for place in (lower, np.ceil(rank))
        )
        result[filled, index] = low + (high - low) * (rank - lower)
    return result
