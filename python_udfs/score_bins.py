"""Bins of scores that are probabilities.

Evenly spaced on the logit scale, so that a model of rare events, all of whose scores are small,
still has many bins: at a base rate of 0.1 % equal-width bins miss the ROC AUC by about 0.04.
"""

from __future__ import annotations

import math

import numpy as np

FINE_BINS = 1000
COARSE_BINS = 100
LEAST_PROBABILITY = 1e-6


def score_edges(n_bins: int = FINE_BINS, *, calibration_bins: int = 10) -> np.ndarray:
    """Edges of the bins of a probability.

    Bin ``i`` holds the scores in (edges[i - 1], edges[i]], so the bin of a score is the number
    of edges under it: ``numpy.searchsorted(edges, score, side="left")``. The first bin holds
    scores of exactly 0, the last one scores of exactly 1.

    Parameters
    ----------
    n_bins : int
        About how many bins: those on the logit scale between 1e-6 and 1 - 1e-6.
    calibration_bins : int
        The number of equal-width bins of which the score bins are to be parts.

    Returns
    -------
    ndarray of float, shape (n_edges,)
        Strictly rising, in [0, 1). There is one bin more than edges.

    Raises
    ------
    ValueError
        If a number of bins is not positive.

    Notes
    -----
    The edges are 0, 1 / (1 + exp(-x)) for ``n_bins + 1`` evenly spaced x, the last float under
    1, and the last float under each inner calibration edge: calibration bins are closed below,
    as in [0.1, 0.2), where score bins are closed above. The edges on the logit scale are
    rounded to 9 digits, so that they are the same on every machine, whatever its ``exp``. Those
    of ``n_bins`` are among those of any multiple of it: x comes from one correctly rounded
    quotient, which is the same for 3/100 and 30/1000.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    span = math.log((1 - LEAST_PROBABILITY) / LEAST_PROBABILITY)
    logits = [span * ((2 * index - n_bins) / n_bins) for index in range(n_bins + 1)]
    spaced = [float(f"{1 / (1 + math.exp(-logit)):.9g}") for logit in logits]
    return np.unique(
        np.concatenate(
            [
                [0.0, np.nextafter(1.0, 0.0)],
                spaced,
                np.nextafter(_inner_calibration_edges(calibration_bins), -np.inf),
            ]
        )
    )


def calibration_bin(edges: np.ndarray, calibration_bins: int) -> np.ndarray:
    """Give the calibration bin that each score bin is a part of.

    Calibration bin ``k`` of ``c`` holds the scores in [k / c, (k + 1) / c), the last one those
    in [(c - 1) / c, 1].

    Parameters
    ----------
    edges : ndarray of float, shape (n_edges,)
        As ``score_edges`` gives them for as many calibration bins.
    calibration_bins : int

    Returns
    -------
    ndarray of int, shape (n_edges + 1,)

    Raises
    ------
    ValueError
        If a score bin reaches across a calibration edge, or ``calibration_bins`` is not positive.
    """
    inner = _inner_calibration_edges(calibration_bins)
    highest = np.searchsorted(inner, np.append(edges, 1.0), side="right")
    lowest = np.searchsorted(inner, np.append(0.0, np.nextafter(edges, np.inf)), side="right")
    if (lowest != highest).any():
        split = np.unique(inner[lowest[lowest != highest]]).tolist()
        raise ValueError(
            f"score bins must be parts of {calibration_bins} calibration bins, got some that "
            f"reach across {split}"
        )
    return highest


def _inner_calibration_edges(calibration_bins: int) -> np.ndarray:
    if calibration_bins < 1:
        raise ValueError(f"calibration_bins must be at least 1, got {calibration_bins}")
    return np.arange(1, calibration_bins) / calibration_bins
