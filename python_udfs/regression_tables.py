"""Between Arrow tables of labelled days and the arrays of ``regression``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrow_tables import day_windows, parts_of
from performance_tables import LABEL_VIEWS, PERFORMANCE, as_table, windows_of_labels
from regression import PARTS, ErrorSums, merge, regression_metrics
from windows import window_entries, window_sums

# Their names in int_regression_days, where they are others.
COLUMNS = {
    "count": "scored_count",
    "nonzero_count": "nonzero_label_count",
    "absolute": "absolute_error_sum",
    "squared": "squared_error_sum",
    "fourth": "fourth_power_error_sum",
    "squared_label": "squared_error_label_sum",
    "squared_squared_label": "squared_error_squared_label_sum",
    "percentage": "percentage_error_sum",
    "percentage_squared": "percentage_error_square_sum",
}


def regression_table(days: pa.Table, ends: pa.Table, *, size: int, settings: dict) -> pa.Table:
    """Compute the performance of every series of regressions in all windows of one size.

    Parameters
    ----------
    days : Table
        Rows of ``int_regression_days``, from ``size`` days before the first end, in a fixed order.
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    size : int
        The length of the windows in days.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``performance_tables.PERFORMANCE``: one row for each window, series and
        label view with labelled predictions.
    """
    end_days, revisions = day_windows(ends)
    origin = int(end_days[0])
    n_windows = int(end_days[-1]) - origin + 1

    tables = []
    for key, part in parts_of(days):
        scored = part["scored_count"].to_numpy() > 0
        parts = ErrorSums(*(part[COLUMNS.get(name, name)].to_numpy()[scored] for name in PARTS))
        for label_view in LABEL_VIEWS:
            first, last = windows_of_labels(part, label_view, origin, size)
            labeled_count = window_sums(
                first,
                last,
                np.zeros(len(part), np.int64),
                part["labeled_count"].to_numpy(),
                n_windows=n_windows,
                n_columns=1,
            )[:, 0]
            rows = (end_days - origin)[labeled_count[end_days - origin] > 0]
            if not len(rows):
                continue
            window, entry = window_entries(first[scored], last[scored], n_windows=n_windows)
            entries = ErrorSums(*(getattr(parts, name)[entry] for name in PARTS))
            sums = merge(entries, window, n_windows)
            sums = ErrorSums(*(getattr(sums, name)[rows] for name in PARTS))
            found = regression_metrics(sums)
            is_enough = sums.count >= settings["min_samples"]
            status = np.where(np.isnan(found["mae"]), "not_estimable", "ok").astype(object)
            status[~is_enough] = "insufficient_data"
            found = {name: np.where(is_enough, values, np.nan) for name, values in found.items()}
            found |= {
                "labeled_count": labeled_count[rows],
                "scored_count": sums.count,
                "zero_label_count": sums.count - sums.nonzero_count,
                "performance_status": status,
                "calibration_status": "not_applicable",
                "line_status": "not_applicable",
            }
            window_end = rows + origin
            tables.append(as_table(key, label_view, size, window_end, revisions, found))
    return pa.concat_tables(tables or [PERFORMANCE.empty_table()])
