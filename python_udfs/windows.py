"""Sums over many overlapping windows at once."""

from __future__ import annotations

import numpy as np


def window_sums(
    first: np.ndarray,
    last: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    *,
    n_windows: int,
    n_columns: int,
) -> np.ndarray:
    """Sum weights over the windows in which they count.

    Rolling windows are the plain case: an entry of step ``t`` counts in the windows of width
    ``w`` that end after steps ``t`` to ``t + w - 1``. An entry may also begin to count later, as
    a label does that is not known at first.

    Parameters
    ----------
    first, last : ndarray of int, shape (n_entries,)
        The first and the last window, both included, in which an entry counts. What reaches
        beyond [0, n_windows) is cut off; an entry with ``last < first`` counts nowhere.
    column : ndarray of int, shape (n_entries,)
        The column, such as a histogram bin, that an entry adds to.
    weight : ndarray of int, shape (n_entries,)
        What it adds.
    n_windows, n_columns : int
        The shape of the result.

    Returns
    -------
    ndarray of int64, shape (n_windows, n_columns)
        Exact sums. The cost is that of the entries plus the size of the result, whatever the
        width of the windows.
    """
    first = np.maximum(first, 0)
    last = np.minimum(last, n_windows - 1)
    counts = first <= last
    first, last, column, weight = (part[counts] for part in (first, last, column, weight))
    changes = np.zeros((n_windows + 1, n_columns), np.int64)
    np.add.at(changes, (first, column), weight)
    np.subtract.at(changes, (last + 1, column), weight)
    return np.cumsum(changes, axis=0)[:-1]


def window_maxima(
    first: np.ndarray,
    last: np.ndarray,
    column: np.ndarray,
    value: np.ndarray,
    *,
    n_windows: int,
    n_columns: int,
) -> np.ndarray:
    """Take the largest value in each window, as ``window_sums`` adds weights.

    Parameters
    ----------
    first, last, column : ndarray of int, shape (n_entries,)
        As in ``window_sums``.
    value : ndarray of float, shape (n_entries,)
    n_windows, n_columns : int

    Returns
    -------
    ndarray of float, shape (n_windows, n_columns)
        NaN where nothing counts. The cost is that of the entries times the windows that each
        counts in.
    """
    first = np.maximum(first, 0)
    last = np.minimum(last, n_windows - 1)
    maxima = np.full((n_windows, n_columns), -np.inf)
    counts = first <= last
    while counts.any():
        first, last, column, value = (part[counts] for part in (first, last, column, value))
        np.maximum.at(maxima, (first, column), value)
        first = first + 1
        counts = first <= last
    return np.where(np.isneginf(maxima), np.nan, maxima)


def window_entries(
    first: np.ndarray, last: np.ndarray, *, n_windows: int
) -> tuple[np.ndarray, np.ndarray]:
    """List which entries count in which windows, for what is no plain sum or maximum.

    Parameters
    ----------
    first, last : ndarray of int, shape (n_entries,)
        As in ``window_sums``.
    n_windows : int

    Returns
    -------
    window, entry : ndarray of int, shape (n_pairs,)
        By window, and in it by entry: so a sum of floats in this order is the same whatever
        other windows are asked for.
    """
    first = np.maximum(first, 0)
    reach = np.maximum(np.minimum(last, n_windows - 1) - first + 1, 0)
    entry = np.repeat(np.arange(len(first)), reach)
    steps = np.arange(len(entry)) - np.repeat(np.cumsum(reach) - reach, reach)
    window = first[entry] + steps
    order = np.argsort(window, kind="stable")
    return window[order], entry[order]


def consecutive_runs(starts: np.ndarray, step: int, longest: int) -> list[range]:
    """Join buckets that follow each other.

    Parameters
    ----------
    starts : ndarray of int, shape (n,)
        The start of each bucket, rising, all multiples of ``step``.
    step : int
        The length of a bucket.
    longest : int
        The most buckets that a run may have.

    Returns
    -------
    list of range
        For each run the range from its start to its end, by ``step``.
    """
    runs: list[range] = []
    for start in starts.tolist():
        if runs and runs[-1].stop == start and len(runs[-1]) < longest:
            runs[-1] = range(runs[-1].start, start + step, step)
        else:
            runs.append(range(start, start + step, step))
    return runs
