"""Between Arrow tables of daily summaries and the functions of ``estimation``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

import estimation
from arrow_tables import day_window_columns, day_windows, table_of
from windows import window_sums

VERSION = ("model_name", "model_version", "role")
# What of int_labelled_days is needed.
LABELS = (
    *VERSION,
    "event_date",
    "known_on",
    "replaced_on",
    "score_bin",
    "true_positive_count",
    "false_positive_count",
    "true_negative_count",
    "false_negative_count",
)
# The past errors that tell how far an estimate reaches: of windows that ended in so many days.
PAST_DAYS = 90
ESTIMATES = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in (*VERSION, "window_size")],
        pa.field("window_start", pa.date32()),
        pa.field("window_end", pa.date32()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("reference_value", pa.float64()),
        pa.field("prediction_count", pa.int64()),
        pa.field("reference_labeled_count", pa.int64()),
        pa.field("data_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)
INTERVALS = {
    "value_lower": pa.float64(),
    "value_upper": pa.float64(),
    "past_window_count": pa.int64(),
    "interval_status": pa.string(),
}


def estimates_table(
    predictions: pa.Table,
    labels: pa.Table,
    errors: pa.Table,
    ends: pa.Table,
    *,
    size: int,
    models: list[dict[str, Any]],
    settings: dict[str, Any],
) -> pa.Table:
    """Estimate the performance of every version in all windows of one size.

    Parameters
    ----------
    predictions : Table
        Rows of ``int_estimation_days``, as the other two from ``size`` and
        ``estimation_reference_days`` before the first end.
    labels : Table
        Rows of ``int_labelled_days`` of whole models and with a score: ``LABELS``.
    errors : Table
        Rows of ``int_error_days``, in a fixed order, since it holds sums of doubles.
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    size : int
        The length of the windows in days.
    models : list of dict
        The rows of ``int_monitored_models``.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``ESTIMATES``: a row for each window, version in a role, and metric of its
        task.

    Notes
    -----
    The reference of a window is the ``estimation_reference_days`` before it, of the version in any
    role, with the labels that were known when it ended: those that count as known, grace included,
    at the last midnight that lies the whole grace before its end. So nothing that came later moves
    an estimate, and every day of the reference has had its grace.
    """
    end_days, revisions = day_windows(ends)
    tasks = {model["model_name"]: model["task"] for model in models}
    tables = [ESTIMATES.empty_table()]
    for key in sorted(set(zip(*(predictions[name].to_pylist() for name in VERSION), strict=True))):
        name, version, _ = key
        task = tasks[name]
        told = labels if task == "binary_classification" else errors
        windows = Windows(
            end_days, size, settings["estimation_reference_days"], lag_of(models, name)
        )
        found = ESTIMATES_OF[task](
            rows_of(predictions, dict(zip(VERSION, key, strict=True))),
            rows_of(told, {"model_name": name, "model_version": version}),
            windows,
            settings,
        )
        rows = np.flatnonzero(found.pop("has_prediction"))
        for metric, columns in found.pop("metrics").items():
            tables.append(
                table_of(
                    {
                        **dict(zip(VERSION, key, strict=True)),
                        **day_window_columns(end_days[rows], revisions, size=size),
                        "metric": f"estimated_{metric}",
                        **{name: values[rows] for name, values in (found | columns).items()},
                    },
                    ESTIMATES,
                    len(rows),
                )
            )
    return pa.concat_tables(tables)


def lag_of(models: list[dict[str, Any]], name: str) -> int:
    """Give the whole days that the grace of a model reaches into."""
    (hours,) = (model["label_grace_hours"] for model in models if model["model_name"] == name)
    return math.ceil(hours / 24)


def rows_of(table: pa.Table, key: dict[str, str]) -> pa.Table:
    """Rows that have these values."""
    for name, value in key.items():
        table = table.filter(pa.compute.equal(table[name], value))
    return table


class Windows:
    """Sums of daily summaries over the windows of one version, and over their references.

    Parameters
    ----------
    end_days : ndarray of int, shape (n_windows,)
        In days since 1970, rising.
    size, reference_days, lag : int
        In days: the length of the windows and of their references, and how long after a midnight
        what counts as known then is known for certain.
    """

    def __init__(self, end_days: np.ndarray, size: int, reference_days: int, lag: int) -> None:
        self.origin = int(end_days[0])
        self.wanted = end_days - self.origin
        self.size, self.reference_days, self.lag = size, reference_days, lag

    def of_windows(
        self, part: pa.Table, name: str, column: np.ndarray, n_columns: int
    ) -> np.ndarray:
        """Sum a column of predictions, shape (n_windows, n_columns)."""
        day = self.days(part, "event_date").astype(np.int64)
        return self.sums(part, name, column, n_columns, day + 1, day + self.size)

    def of_references(
        self, part: pa.Table, name: str, column: np.ndarray, n_columns: int
    ) -> np.ndarray:
        """Sum a column of labels as they were known, shape (n_windows, n_columns)."""
        day, known, replaced = (
            self.days(part, name) for name in ("event_date", "known_on", "replaced_on")
        )
        first = np.maximum(day + self.size + 1, known + self.lag)
        last = np.fmin(day + self.size + self.reference_days, replaced + self.lag - 1)
        return self.sums(
            part, name, column, n_columns, first.astype(np.int64), last.astype(np.int64)
        )

    def days(self, part: pa.Table, name: str) -> np.ndarray:
        """Give dates as the number of the window that ends then; NaN where there is none."""
        return part[name].cast(pa.int32()).to_numpy().astype(float) - self.origin

    def sums(self, part, name, column, n_columns, first, last) -> np.ndarray:
        """Sum a column over the windows from ``first`` to ``last``."""
        values = part[name].to_numpy()
        shape = {"n_windows": int(self.wanted[-1]) + 1, "n_columns": n_columns}
        if values.dtype.kind == "f":
            return float_sums(first, last, column, values, self.wanted, n_columns)
        return window_sums(first, last, column, values.astype(np.int64), **shape)[self.wanted]


def float_sums(
    first: np.ndarray,
    last: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    wanted: np.ndarray,
    n_columns: int,
) -> np.ndarray:
    """Sum over windows as ``window_sums``, numbers that must not leave a trace of rounding."""
    found = np.zeros((len(wanted), n_columns))
    for row, window in enumerate(wanted.tolist()):
        counts = (first <= window) & (window <= last)
        np.add.at(found[row], column[counts], weight[counts])
    return found


def classifier_estimates(
    predictions: pa.Table, labels: pa.Table, windows: Windows, settings: dict[str, Any]
) -> dict[str, Any]:
    """Estimates of a classifier of two classes; arrays of shape (n_windows,)."""
    bins = bins_of(predictions)
    is_scored = bins >= 0
    label_bins = bins_of(labels)
    n_bins = 1 + max(bins.max(initial=0), label_bins.max(initial=0))
    scored = predictions.filter(pa.array(is_scored))
    decided = scored["predicted"].to_numpy().astype(np.int64) * n_bins + bins[is_scored]
    counts = windows.of_windows(scored, "prediction_count", decided, 2 * n_bins)
    counts = counts.reshape(-1, 2, n_bins)

    # Those that were predicted as 0 and as 1, of each class.
    false_negatives, true_positives, true_negatives, false_positives = (
        windows.of_references(labels, f"{name}_count", label_bins, n_bins)
        for name in ("false_negative", "true_positive", "true_negative", "false_positive")
    )
    negatives = np.stack([true_negatives, false_positives], axis=1)
    positives = np.stack([false_negatives, true_positives], axis=1)
    reference = np.stack([negatives.sum(axis=(1, 2)), positives.sum(axis=(1, 2))])
    probabilities = np.array(
        [
            estimation.calibrated_probabilities(*pair)
            for pair in zip(negatives.sum(axis=1), positives.sum(axis=1), strict=True)
        ]
    )
    values = estimation.estimated_metrics(counts, probabilities)
    expected = np.stack([values["expected_negatives"], values["expected_positives"]])
    realised = estimation.expected_metrics(negatives, positives)

    prediction_count = counts.sum(axis=(1, 2))
    per_class, least = settings["min_samples_per_class"], settings["min_samples"]
    too_few = np.minimum(prediction_count, reference.sum(axis=0)) < least
    conclusions = [
        (prediction_count == 0, "no_data"),
        (reference.sum(axis=0) == 0, "no_baseline"),
        (too_few, "insufficient_data"),
        ((reference == 0).any(axis=0), "single_class"),
        ((reference < per_class).any(axis=0), "insufficient_data"),
    ]
    metrics = {}
    for metric in estimation.CLASSIFIER_METRICS:
        more = [
            ((expected < per_class).any(axis=0) & (metric == "roc_auc"), "insufficient_data"),
            (np.isnan(values[metric]), "no_data"),
        ]
        metrics[metric] = concluded(values[metric], realised[metric], conclusions + more)
    return {
        "has_prediction": has_prediction(predictions, windows),
        "prediction_count": prediction_count,
        "reference_labeled_count": reference.sum(axis=0),
        "metrics": metrics,
    }


def regression_estimates(
    predictions: pa.Table, errors: pa.Table, windows: Windows, settings: dict[str, Any]
) -> dict[str, Any]:
    """Estimates of a regression; arrays of shape (n_windows,)."""
    bins, error_bins = bins_of(predictions), bins_of(errors)
    is_scored = bins >= 0
    n_bins = 1 + max(bins.max(initial=0), error_bins.max(initial=0))
    scored = predictions.filter(pa.array(is_scored))
    counts = windows.of_windows(scored, "prediction_count", bins[is_scored], n_bins)
    told = windows.of_references(errors, "labeled_count", error_bins, n_bins)
    reference, prediction_count = told.sum(axis=1), counts.sum(axis=1)
    least = settings["min_samples"]
    conclusions = [
        (prediction_count == 0, "no_data"),
        (reference == 0, "no_baseline"),
        (np.minimum(prediction_count, reference) < least, "insufficient_data"),
    ]
    metrics = {}
    for metric, name in (("mae", "absolute_error_sum"), ("rmse", "squared_error_sum")):
        sums = windows.of_references(errors, name, error_bins, n_bins)
        by_bin = [estimation.mean_errors(*pair) for pair in zip(told, sums, strict=True)]
        value = estimation.estimated_error(counts, np.array(by_bin))
        realised = estimation.rate(sums.sum(axis=1), reference)
        if metric == "rmse":
            value, realised = np.sqrt(value), np.sqrt(realised)
        metrics[metric] = concluded(value, realised, conclusions)
    return {
        "has_prediction": has_prediction(predictions, windows),
        "prediction_count": prediction_count,
        "reference_labeled_count": reference,
        "metrics": metrics,
    }


def no_estimates(
    predictions: pa.Table,
    labels: pa.Table,  # noqa: ARG001
    windows: Windows,
    settings: dict[str, Any],  # noqa: ARG001
) -> dict[str, Any]:
    """Rows that say that a model of many classes has no estimates."""
    column = np.zeros(len(predictions), np.int64)
    counts = windows.of_windows(predictions, "prediction_count", column, 1)[:, 0]
    missing = np.full(len(counts), np.nan)
    return {
        "has_prediction": counts > 0,
        "prediction_count": counts,
        "reference_labeled_count": np.zeros(len(counts), np.int64),
        "metrics": {
            metric: concluded(missing, missing, [(counts >= 0, "not_applicable")])
            for metric in estimation.CLASSIFIER_METRICS
        },
    }


ESTIMATES_OF = {
    "binary_classification": classifier_estimates,
    "regression": regression_estimates,
    "multiclass_classification": no_estimates,
}


def bins_of(part: pa.Table) -> np.ndarray:
    """Bins of scores, -1 where there is no score."""
    return part["score_bin"].fill_null(-1).to_numpy().astype(np.int64)


def has_prediction(predictions: pa.Table, windows: Windows) -> np.ndarray:
    """Which windows have a prediction, with a score or without."""
    column = np.zeros(len(predictions), np.int64)
    return windows.of_windows(predictions, "prediction_count", column, 1)[:, 0] > 0


def concluded(
    value: np.ndarray, reference_value: np.ndarray, conclusions: list[tuple[np.ndarray, str]]
) -> dict[str, np.ndarray]:
    """Values as far as they mean something, and the first reason why they do not."""
    status = np.select(*zip(*conclusions, strict=True), "ok").astype(object)
    return {
        "value": np.where(status == "ok", value, np.nan),
        "reference_value": np.where(status == "ok", reference_value, np.nan),
        "data_status": status,
    }


def intervals_table(outcomes: pa.Table, models: list[dict[str, Any]]) -> pa.Table:
    """Add intervals to estimates, from how far earlier ones were off.

    Parameters
    ----------
    outcomes : Table
        Rows of ``int_estimate_outcomes``, by version, role, window_size, metric and window_end.
    models : list of dict
        The rows of ``int_monitored_models``.

    Returns
    -------
    Table
        With the columns of ``INTERVALS`` besides.
    """
    keys = list(
        zip(
            *(outcomes[name].to_pylist() for name in (*VERSION, "window_size", "metric")),
            strict=True,
        )
    )
    starts = [row for row, key in enumerate(keys) if not row or key != keys[row - 1]]
    ends = outcomes["window_end"].cast(pa.int32()).to_numpy()
    value, known = (
        outcomes[name].to_numpy(zero_copy_only=False).astype(float)
        for name in ("value", "known_value")
    )
    reach, count = np.full(len(keys), np.nan), np.zeros(len(keys), np.int64)
    for start, stop in zip(starts, [*starts, len(keys)][1:], strict=True):
        part = slice(start, stop)
        reach[part], count[part] = estimation.past_reach(
            ends[part],
            value[part] - known[part],
            size=int(keys[start][3].removesuffix("d")),
            lag=lag_of(models, keys[start][0]),
            span=PAST_DAYS,
        )
    is_share = np.array(
        [key[-1].removeprefix("estimated_") in estimation.CLASSIFIER_METRICS for key in keys], bool
    )
    status = outcomes["data_status"].to_numpy(zero_copy_only=False)
    columns = {
        "value_lower": np.maximum(value - reach, 0.0),
        "value_upper": np.minimum(value + reach, np.where(is_share, 1.0, np.inf)),
        "past_window_count": count,
        "interval_status": np.where(
            (status == "ok") & np.isnan(reach), "insufficient_data", status
        ).astype(object),
    }
    for name, kind in INTERVALS.items():
        column = pa.array(columns[name], kind, from_pandas=True)
        outcomes = outcomes.append_column(name, column)
    return outcomes
