"""Service levels of windows of any length, from mergeable summaries of minutes or hours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from latency import bin_values, histogram_quantiles
from windows import window_sums

LATENCY_QUANTILES = np.array([0.5, 0.95, 0.99])
INFERENCE_TIME_QUANTILES = np.array([0.5, 0.95])
LATENCY_UNIT = 2.0**20


@dataclass(frozen=True)
class Histograms:
    """The filled bins of the histograms of some summaries.

    Attributes
    ----------
    summary : ndarray of int, shape (n,)
        Which summary a bin belongs to.
    bin, count : ndarray of int, shape (n,)
    """

    summary: np.ndarray
    bin: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class Summaries:
    """The summaries of one series, such as a model's minutes with requests.

    Attributes
    ----------
    step : ndarray of int, shape (n,)
        The place in time of each, in steps (minutes or hours) from the first window's start.
    sums : ndarray of int, shape (n, 7)
        Request count, error count, count of latencies, of slow ones, and of those of which nobody
        knows whether they were slow; and the sum of latencies in units of 2^-20 ms, as its
        remainder and its quotient by 2^32.
    latency_max_ms : ndarray of float, shape (n,)
        NaN where there is no latency.
    latency, inference_time : Histograms
    """

    step: np.ndarray
    sums: np.ndarray
    latency_max_ms: np.ndarray
    latency: Histograms
    inference_time: Histograms


def rolling_service_levels(
    summaries: Summaries, *, n_windows: int, width: int
) -> dict[str, np.ndarray]:
    """Service levels of the windows that begin at steps 0 to ``n_windows - 1``.

    Parameters
    ----------
    summaries : Summaries
        Those of all steps from 0 to ``n_windows + width - 2``; a step without one is silent.
    n_windows : int
    width : int
        The length of a window in steps.

    Returns
    -------
    dict of str to ndarray, shape (n_windows,)
        ``request_count``, ``error_count``, ``latency_count``, ``slow_count``, and
        ``latency_p50_ms``, ``latency_p95_ms``, ``latency_p99_ms``, ``latency_mean_ms``,
        ``latency_max_ms``, ``inference_time_p50_ms``, ``inference_time_p95_ms``: quantiles within
        2 % (see ``latency``), all else exact. NaN where a window has nothing of the kind;
        ``slow_count`` where it is not known of every latency whether it was slow.
    """
    last = summaries.step
    first = last - width + 1
    n_sums = summaries.sums.shape[1]
    sums = window_sums(
        np.repeat(first, n_sums),
        np.repeat(last, n_sums),
        np.tile(np.arange(n_sums), len(last)),
        summaries.sums.ravel(),
        n_windows=n_windows,
        n_columns=n_sums,
    )
    requests, errors, latencies, slow, unjudged, low, high = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (high * (2.0**32 / LATENCY_UNIT) + low / LATENCY_UNIT) / latencies
    largest = rolling_max(last, summaries.latency_max_ms, n_windows=n_windows, width=width)

    levels = {
        "request_count": requests,
        "error_count": errors,
        "latency_count": latencies,
        "slow_count": np.where(unjudged > 0, np.nan, slow),
    }
    for histograms, quantiles, names in (
        (summaries.latency, LATENCY_QUANTILES, ("p50", "p95", "p99")),
        (summaries.inference_time, INFERENCE_TIME_QUANTILES, ("p50", "p95")),
    ):
        kind = "latency" if histograms is summaries.latency else "inference_time"
        bins, column = np.unique(histograms.bin, return_inverse=True)
        counts = window_sums(
            first[histograms.summary],
            last[histograms.summary],
            column,
            histograms.count,
            n_windows=n_windows,
            n_columns=len(bins),
        )
        found = histogram_quantiles(counts, bin_values(bins), quantiles)
        if kind == "latency":
            # The middle of the last bin may lie above the greatest latency, which is known.
            found = np.fmin(found, largest[:, None])
        for index, name in enumerate(names):
            levels[f"{kind}_{name}_ms"] = found[:, index]
    levels["latency_mean_ms"] = np.where(latencies > 0, mean, np.nan)
    levels["latency_max_ms"] = largest
    return levels


def rolling_max(step: np.ndarray, value: np.ndarray, *, n_windows: int, width: int) -> np.ndarray:
    """Greatest value of the steps in each window; NaN where there is none.

    Parameters
    ----------
    step : ndarray of int, shape (n,)
    value : ndarray of float, shape (n,)
        NaN counts as no value.
    n_windows, width : int
        As in ``rolling_service_levels``.

    Returns
    -------
    ndarray of float, shape (n_windows,)
    """
    series = np.full(n_windows + width - 1, -np.inf)
    known = ~np.isnan(value) & (step >= 0) & (step < len(series))
    np.maximum.at(series, step[known], value[known])
    # The filter's window is centred on a step; the origin shifts it to begin there.
    largest = maximum_filter1d(series, width, mode="constant", cval=-np.inf, origin=-(width // 2))[
        :n_windows
    ]
    return np.where(np.isneginf(largest), np.nan, largest)
