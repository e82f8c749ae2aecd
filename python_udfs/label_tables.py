"""Label coverage of overlapping windows, from Arrow tables of daily summaries."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrow_tables import (
    DAY_WINDOW_FIELDS,
    SERIES,
    day_window_columns,
    day_windows,
    histograms,
    parts_of,
    table_of,
)
from latency import bin_values, histogram_quantiles
from windows import window_sums

QUANTILES = np.array([0.5, 0.95])
COVERAGE = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("label_view", pa.string()),
        pa.field("prediction_count", pa.int64()),
        pa.field("labeled_count", pa.int64()),
        pa.field("label_delay_p50_hours", pa.float64()),
        pa.field("label_delay_p95_hours", pa.float64()),
        pa.field("revision", pa.uint64()),
    ]
)


def coverage_table(days: pa.Table, ends: pa.Table) -> pa.Table:
    """Label coverage of the windows of one size, in both label views.

    Parameters
    ----------
    days : Table
        Daily summaries: the columns of ``SERIES``, ``event_date``, ``known_on`` (the first
        window_end at which labels count as known, null for predictions without one),
        ``prediction_count``, ``labeled_count`` and ``delay_histogram`` (in hours).
    ends : Table
        The windows: ``days``, ``window_end`` and ``revision``.

    Returns
    -------
    Table
        With the schema ``COVERAGE``; a window in which a series has no prediction has no row.
    """
    size = ends["days"][0].as_py()
    end_days, revisions = day_windows(ends)
    origin = int(end_days[0])
    n_windows = int(end_days[-1]) - origin + 1

    tables = []
    for key, part in parts_of(days):
        event_day = part["event_date"].cast(pa.int32()).to_numpy() - origin
        known_day = part["known_on"].cast(pa.int32()).to_numpy().astype(float) - origin
        last = event_day + size
        for label_view in ("as_known", "latest"):
            # A label counts from the window that ends when it was known; `latest` knows them all.
            first = event_day + 1
            if label_view == "as_known":
                first_known = np.fmax(first, np.where(np.isnan(known_day), first, known_day))
            else:
                first_known = first
            first_known = np.minimum(first_known, last + 1).astype(np.int64)
            found = window_counts(part, first, first_known, last, n_windows)
            rows = np.flatnonzero(found["prediction_count"])
            rows = rows[np.isin(rows + origin, end_days)]
            window_end = rows + origin
            columns = {
                **dict(zip(SERIES, key, strict=True)),
                **day_window_columns(window_end, revisions, size=size),
                "label_view": label_view,
                **{name: values[rows] for name, values in found.items()},
            }
            tables.append(table_of(columns, COVERAGE, len(rows)))
    return pa.concat_tables(tables or [COVERAGE.empty_table()])


def window_counts(
    part: pa.Table, first: np.ndarray, first_known: np.ndarray, last: np.ndarray, n_windows: int
) -> dict[str, np.ndarray]:
    """Predictions, labels and delay quantiles of each window of one series.

    Parameters
    ----------
    part : Table
        The daily summaries of the series.
    first, first_known, last : ndarray of int, shape (n_summaries,)
        The first and last window that a summary's predictions count in, and the first that its
        labels count in.
    n_windows : int
    """
    size = {"n_windows": n_windows, "n_columns": 1}
    column = np.zeros(len(part), np.int64)
    predictions = part["prediction_count"].to_numpy().astype(np.int64)
    labels = part["labeled_count"].to_numpy().astype(np.int64)
    delays = histograms(part["delay_histogram"])
    bins, delay_column = np.unique(delays.bin, return_inverse=True)
    counts = window_sums(
        first_known[delays.summary],
        last[delays.summary],
        delay_column,
        delays.count,
        n_windows=n_windows,
        n_columns=len(bins),
    )
    quantiles = histogram_quantiles(counts, bin_values(bins), QUANTILES)
    return {
        "prediction_count": window_sums(first, last, column, predictions, **size)[:, 0],
        "labeled_count": window_sums(first_known, last, column, labels, **size)[:, 0],
        "label_delay_p50_hours": quantiles[:, 0],
        "label_delay_p95_hours": quantiles[:, 1],
    }
