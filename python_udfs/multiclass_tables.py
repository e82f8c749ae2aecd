"""Between Arrow tables of labelled days and the arrays of ``multiclass``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arrow_tables import day_windows, parts_of
from multiclass import multiclass_metrics
from performance_tables import LABEL_VIEWS, PERFORMANCE, as_table, windows_of_labels
from windows import window_entries


def multiclass_table(days: pa.Table, ends: pa.Table, *, size: int, settings: dict) -> pa.Table:
    """Compute the performance of every series of multiclass models in all windows of one size.

    Parameters
    ----------
    days : Table
        Rows of ``int_multiclass_days``, from ``size`` days before the first end.
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
        classes = pc.unique(
            pa.concat_arrays(
                [part[name].combine_chunks() for name in ("label_class", "predicted_class")]
            ).drop_null()
        ).sort()
        label, predicted = (
            pc.index_in(part[name].combine_chunks(), classes).fill_null(-1).to_numpy()
            for name in ("label_class", "predicted_class")
        )
        count = part["labeled_count"].to_numpy().astype(np.int64)
        for label_view in LABEL_VIEWS:
            first, last = windows_of_labels(part, label_view, origin, size)
            window, entry = window_entries(first, last, n_windows=n_windows)
            rows = np.intersect1d(window, end_days - origin)
            if not len(rows):
                continue
            starts, stops = (np.searchsorted(window, rows, side) for side in ("left", "right"))
            found = [
                metrics_of(label[entries], predicted[entries], count[entries], settings)
                for entries in (
                    entry[start:stop] for start, stop in zip(starts, stops, strict=True)
                )
            ]
            columns = {name: np.array([row[name] for row in found]) for name in found[0]}
            columns |= {"calibration_status": "not_applicable", "line_status": "not_applicable"}
            tables.append(as_table(key, label_view, size, rows + origin, revisions, columns))
    return pa.concat_tables(tables or [PERFORMANCE.empty_table()])


def metrics_of(
    label: np.ndarray, predicted: np.ndarray, count: np.ndarray, settings: dict
) -> dict[str, float | int | str]:
    """Give the metrics of one window, and their status."""
    labeled_count = int(count.sum())
    # What has no predicted class is neither right nor wrong, as for classifiers of two classes.
    known = predicted >= 0
    label, predicted, count = label[known], predicted[known], count[known]
    classes, place = np.unique(np.stack([label, predicted]), return_inverse=True)
    # A pair of several days is one.
    pairs, position = np.unique(place.reshape(2, len(label)), axis=1, return_inverse=True)
    pair_count = np.bincount(position.ravel(), count, minlength=pairs.shape[1]).astype(np.int64)
    found = multiclass_metrics(*pairs, pair_count, n_classes=len(classes))
    is_enough = pair_count.sum() >= settings["min_samples"]
    return {name: value if is_enough else np.nan for name, value in found.items()} | {
        "labeled_count": labeled_count,
        "scored_count": int(pair_count.sum()),
        "performance_status": "ok" if is_enough else "insufficient_data",
    }
