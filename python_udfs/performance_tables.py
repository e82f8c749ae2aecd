"""Between Arrow tables of labelled days and the arrays of ``performance`` and ``calibration``.

Those of the other tasks are in ``regression_tables`` and ``multiclass_tables``; all make rows of
``PERFORMANCE``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import calibration
import multiclass
import performance
import regression
from arrow_tables import (
    DAY_WINDOW_FIELDS,
    SERIES,
    day_window_columns,
    day_windows,
    parts_of,
    table_of,
)
from intervals import mean_interval, rate, wilson_interval
from windows import window_maxima, window_sums

# What sums of scores are counted in; the macro fixed_sum writes them.
UNIT = 2.0**-30
# The square of a log loss is up to 1300: in such a unit it is as small as the other summands.
LOG_LOSS_SQUARE_UNIT = 1024.0
LABEL_VIEWS = ("as_known", "latest")
COUNTS = (
    "labeled_count",
    "scored_count",
    "positive_count",
    "true_positive_count",
    "false_positive_count",
    "true_negative_count",
    "false_negative_count",
)
RATES = (
    "positive_rate",
    "precision",
    "recall",
    "accuracy",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
)
PERFORMANCE_METRICS = (
    "roc_auc",
    "roc_auc_error_bound",
    "roc_auc_lower",
    "roc_auc_upper",
    "average_precision",
    "average_precision_error_bound",
    "average_precision_lower",
    "average_precision_upper",
    "f1",
    "f1_lower",
    "f1_upper",
    *(f"{name}{bound}" for name in RATES for bound in ("", "_lower", "_upper")),
    "brier_score",
    "brier_score_lower",
    "brier_score_upper",
    "log_loss",
    "log_loss_lower",
    "log_loss_upper",
)
CALIBRATION_METRICS = (
    "ece",
    "ece_lower",
    "ece_upper",
    "ece_noise_floor",
    "mce",
    "mean_score",
    "calibration_slope",
    "calibration_slope_lower",
    "calibration_slope_upper",
    "calibration_intercept",
    "calibration_intercept_lower",
    "calibration_intercept_upper",
)
# Of the other tasks; accuracy is among the rates.
REGRESSION_METRICS = tuple(
    f"{name}{bound}" for name in regression.METRICS for bound in ("", "_lower", "_upper")
)
MULTICLASS_METRICS = tuple(
    f"{name}{bound}" for name in multiclass.METRICS for bound in ("", "_lower", "_upper")
)
RELIABILITY_BIN = pa.struct(
    [
        pa.field("bin", pa.int32()),
        pa.field("score_lower", pa.float64()),
        pa.field("score_upper", pa.float64()),
        pa.field("mean_score", pa.float64()),
        pa.field("positive_rate", pa.float64()),
        pa.field("positive_rate_lower", pa.float64()),
        pa.field("positive_rate_upper", pa.float64()),
        pa.field("labeled_count", pa.int64()),
    ]
)
PERFORMANCE = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("label_view", pa.string()),
        *[pa.field(name, pa.int64()) for name in COUNTS],
        *[pa.field(name, pa.float64()) for name in PERFORMANCE_METRICS],
        *[pa.field(name, pa.float64()) for name in CALIBRATION_METRICS],
        *[pa.field(name, pa.float64()) for name in REGRESSION_METRICS],
        pa.field("zero_label_count", pa.int64()),
        *[pa.field(name, pa.float64()) for name in MULTICLASS_METRICS],
        pa.field("performance_status", pa.string()),
        pa.field("calibration_status", pa.string()),
        pa.field("line_status", pa.string()),
        pa.field("reliability_curve", pa.list_(RELIABILITY_BIN)),
        pa.field("revision", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class Sums:
    """Sums of labelled days over windows.

    Attributes
    ----------
    counts : dict of str to ndarray of int, shape (n_windows,)
        ``COUNTS``.
    negatives, positives : ndarray of int, shape (n_windows, n_bins)
        By score bin.
    is_single_value : ndarray of bool, shape (n_windows, n_bins)
        Whether all scores of a bin are equal.
    score_sum, variance_sum : ndarray of float, shape (n_windows, n_bins)
        Of the scores s, and of s (1 - s).
    squared_error_sum, log_loss_sum : ndarray of float, shape (n_windows,)
    squared_error_square_sum, log_loss_square_sum : ndarray of float, shape (n_windows,)
        Of their squares.
    """

    counts: dict[str, np.ndarray]
    negatives: np.ndarray
    positives: np.ndarray
    is_single_value: np.ndarray
    score_sum: np.ndarray
    variance_sum: np.ndarray
    squared_error_sum: np.ndarray
    log_loss_sum: np.ndarray
    squared_error_square_sum: np.ndarray
    log_loss_square_sum: np.ndarray


def performance_table(
    days: pa.Table, ends: pa.Table, grids: dict[str, np.ndarray], *, size: int, settings: dict
) -> pa.Table:
    """Compute performance and calibration of every series in all windows of one size.

    Parameters
    ----------
    days : Table
        Rows of ``int_labelled_days``, from ``size`` days before the first end.
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    grids : dict of str to ndarray of int, shape (n_bins,)
        The calibration bin of each score bin: of the grid ``fine`` for whole models, of
        ``coarse`` for slices.
    size : int
        The length of the windows in days.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``PERFORMANCE``: one row for each window, series and label view with
        labelled predictions.
    """
    end_days, revisions = day_windows(ends)
    origin = int(end_days[0])
    n_windows = int(end_days[-1]) - origin + 1

    tables = []
    for key, part in parts_of(days):
        calibration_bins = grids["fine" if key[3] == "all" else "coarse"]
        for label_view in LABEL_VIEWS:
            sums = sums_of_windows(
                part, label_view, origin, size, end_days - origin, n_windows, len(calibration_bins)
            )
            rows = np.flatnonzero(sums.counts["labeled_count"])
            if len(rows):
                found = metrics(sums, rows, calibration_bins, settings)
                window_end = end_days[rows]
                tables.append(as_table(key, label_view, size, window_end, revisions, found))
    return pa.concat_tables(tables or [PERFORMANCE.empty_table()])


def windows_of_labels(
    part: pa.Table, label_view: str, origin: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Say which windows each row of labelled days counts in.

    Parameters
    ----------
    part : Table
        ``event_date``, ``known_on`` and ``replaced_on``.
    label_view : str
        ``as_known`` or ``latest``.
    origin : int
        The end of window 0, in days since 1970.
    size : int
        The length of the windows in days.

    Returns
    -------
    first, last : ndarray of int, shape (n_rows,)
        As ``windows.window_sums`` takes them.
    """
    day, known, replaced = (
        part[name].cast(pa.int32()).to_numpy().astype(float) - origin
        for name in ("event_date", "known_on", "replaced_on")
    )
    first, last = day + 1, day + size
    if label_view == "as_known":
        first, last = np.maximum(first, known), np.fmin(last, replaced - 1)
    else:
        last = np.where(np.isnan(replaced), last, first - 1)
    return first.astype(np.int64), last.astype(np.int64)


def sums_of_windows(
    part: pa.Table,
    label_view: str,
    origin: int,
    size: int,
    wanted: np.ndarray,
    n_windows: int,
    n_bins: int,
) -> Sums:
    """Sum one series over the wanted windows, as one label view knows its labels."""
    first, last = windows_of_labels(part, label_view, origin, size)

    def total(name: str, where: np.ndarray | None = None, column=None, n_columns=1) -> np.ndarray:
        where = np.ones(len(part), bool) if where is None else where
        column = np.zeros(len(part), np.int64) if column is None else column
        found = window_sums(
            first[where],
            last[where],
            column[where],
            part[name].to_numpy().astype(np.int64)[where],
            n_windows=n_windows,
            n_columns=n_columns,
        )[wanted]
        return found if n_columns > 1 else found[:, 0]

    bins = part["score_bin"].fill_null(-1).to_numpy().astype(np.int64)
    has_score = bins >= 0
    by_bin = {"where": has_score, "column": bins, "n_columns": n_bins}
    labels, positives = (total(name, **by_bin) for name in ("labeled_count", "positive_count"))
    scores = {
        name: window_maxima(
            first[has_score],
            last[has_score],
            bins[has_score],
            sign * part[name].to_numpy()[has_score],
            n_windows=n_windows,
            n_columns=n_bins,
        )[wanted]
        for name, sign in (("score_min", -1.0), ("score_max", 1.0))
    }
    counts = {name: total(name) for name in COUNTS if name != "scored_count"}
    return Sums(
        counts=counts | {"scored_count": total("labeled_count", has_score)},
        negatives=labels - positives,
        positives=positives,
        is_single_value=-scores["score_min"] == scores["score_max"],
        score_sum=total("score_sum", **by_bin) * UNIT,
        variance_sum=total("variance_sum", **by_bin) * UNIT,
        squared_error_sum=total("squared_error_sum") * UNIT,
        log_loss_sum=total("log_loss_sum") * UNIT,
        squared_error_square_sum=total("squared_error_square_sum") * UNIT,
        log_loss_square_sum=total("log_loss_square_sum") * UNIT * LOG_LOSS_SQUARE_UNIT,
    )


def metrics(
    sums: Sums, rows: np.ndarray, calibration_bins: np.ndarray, settings: dict
) -> dict[str, np.ndarray | pa.Array]:
    """Every metric of some windows, NaN where it is unknown, and the status of the main ones.

    Parameters
    ----------
    sums : Sums
    rows : ndarray of int
        The windows to compute.
    calibration_bins : ndarray of int, shape (n_bins,)
        The calibration bin of each score bin.
    settings : dict

    Returns
    -------
    dict
        The columns of ``PERFORMANCE`` from ``labeled_count`` to ``reliability_curve``.
    """
    counts = {name: values[rows] for name, values in sums.counts.items()}
    negatives, positives = sums.negatives[rows], sums.positives[rows]
    is_single_value = sums.is_single_value[rows]
    n_labels, n_scores = counts["labeled_count"], counts["scored_count"]
    n_classes = np.stack([negatives.sum(axis=1), positives.sum(axis=1)])

    confusion = [
        counts[f"{name}_count"]
        for name in ("true_positive", "false_positive", "true_negative", "false_negative")
    ]
    found = performance.confusion_metrics(*confusion)
    lower, upper = wilson_interval(counts["positive_count"], n_labels)
    found |= {
        "positive_rate": rate(counts["positive_count"], n_labels),
        "positive_rate_lower": lower,
        "positive_rate_upper": upper,
    }
    # Few labels make any of them a matter of luck.
    found = {
        name: np.where(n_labels >= settings["min_samples"], values, np.nan)
        for name, values in found.items()
    }

    auc_lower, auc_upper = performance.roc_auc_interval(negatives, positives)
    ranking = {
        "roc_auc": performance.roc_auc(negatives, positives),
        "roc_auc_error_bound": performance.roc_auc_error_bound(
            negatives, positives, is_single_value
        ),
        "roc_auc_lower": auc_lower,
        "roc_auc_upper": auc_upper,
        "average_precision": performance.average_precision(negatives, positives),
        "average_precision_error_bound": performance.average_precision_error_bound(
            negatives, positives, is_single_value
        ),
    }
    ranking["average_precision_lower"], ranking["average_precision_upper"] = (
        performance.average_precision_interval(ranking["average_precision"], n_classes[1])
    )
    is_enough = n_scores >= settings["min_samples"]
    performance_status = np.select(
        [
            ~is_enough,
            (n_classes == 0).any(axis=0),
            (n_classes < settings["min_samples_per_class"]).any(axis=0),
        ],
        ["insufficient_data", "single_class", "insufficient_data"],
        "ok",
    ).astype(object)
    found |= {
        name: np.where(performance_status == "ok", values, np.nan)
        for name, values in ranking.items()
    }

    score_sum = sums.score_sum[rows]
    in_bins = {
        "count": by_calibration_bin(negatives + positives, calibration_bins),
        "score_sum": by_calibration_bin(score_sum, calibration_bins),
        "positives": by_calibration_bin(positives, calibration_bins),
    }
    mean_scores = rate(score_sum, negatives + positives)
    slope, intercept = calibration.calibration_line(mean_scores, negatives, positives)
    line_interval = calibration.calibration_line_interval(
        mean_scores, negatives, positives, slope, intercept
    )
    ece_lower, ece_upper = calibration.ece_interval(*in_bins.values())
    scored = {
        "brier_score": rate(sums.squared_error_sum[rows], n_scores),
        "log_loss": rate(sums.log_loss_sum[rows], n_scores),
        "mean_score": rate(in_bins["score_sum"].sum(axis=1), n_scores),
        "ece": calibration.expected_calibration_error(*in_bins.values()),
        "ece_lower": ece_lower,
        "ece_upper": ece_upper,
        "ece_noise_floor": calibration.ece_noise_floor(
            in_bins["count"], by_calibration_bin(sums.variance_sum[rows], calibration_bins)
        ),
        "mce": calibration.maximum_calibration_error(
            *in_bins.values(), min_samples=settings["min_samples"]
        ),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        **{f"calibration_{name}": values for name, values in line_interval.items()},
    }
    for name, highest in (("squared_error", 1.0), ("log_loss", np.inf)):
        lower, upper = mean_interval(
            getattr(sums, f"{name}_sum")[rows], getattr(sums, f"{name}_square_sum")[rows], n_scores
        )
        metric = "brier_score" if name == "squared_error" else name
        scored[f"{metric}_lower"] = np.maximum(lower, 0.0)
        scored[f"{metric}_upper"] = np.minimum(upper, highest)
    found |= {name: np.where(is_enough, values, np.nan) for name, values in scored.items()}
    calibration_status = np.where(is_enough, "ok", "insufficient_data").astype(object)
    has_line = ~np.isnan(found["calibration_slope"])
    line_status = np.where(has_line | ~is_enough, calibration_status, "not_estimable")
    line_status[is_enough & (n_classes == 0).any(axis=0)] = "single_class"
    return {
        **counts,
        **found,
        "performance_status": performance_status,
        "calibration_status": calibration_status,
        "line_status": line_status,
        "reliability_curve": reliability_curve(**in_bins),
    }


def by_calibration_bin(values: np.ndarray, calibration_bins: np.ndarray) -> np.ndarray:
    """Add up score bins, shape (n_windows, n_bins), by calibration bin."""
    # Bins that follow each other belong together, so each sum runs over a stretch.
    starts = np.flatnonzero(np.diff(calibration_bins, prepend=-1))
    return np.add.reduceat(values, starts, axis=1)


def reliability_curve(
    count: np.ndarray, score_sum: np.ndarray, positives: np.ndarray
) -> pa.ListArray:
    """List the filled calibration bins of each window."""
    n_bins = count.shape[1]
    row, number = np.nonzero(count)
    filled = count[row, number]
    lower, upper = wilson_interval(positives[row, number], filled)
    values = [
        number,
        number / n_bins,
        (number + 1) / n_bins,
        score_sum[row, number] / filled,
        positives[row, number] / filled,
        lower,
        upper,
        filled,
    ]
    offsets = np.concatenate([[0], np.cumsum((count > 0).sum(axis=1))])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.StructArray.from_arrays(
            [
                pa.array(part, field.type)
                for part, field in zip(values, RELIABILITY_BIN, strict=True)
            ],
            fields=list(RELIABILITY_BIN),
        ),
    )


def as_table(
    key: tuple[str, ...],
    label_view: str,
    size: int,
    window_end: np.ndarray,
    revisions: dict[int, int],
    found: dict,
) -> pa.Table:
    """Make rows of ``PERFORMANCE`` for some windows of one series; null is what was not found."""
    columns = {
        **dict.fromkeys(PERFORMANCE.names),
        **dict(zip(SERIES, key, strict=True)),
        **day_window_columns(window_end, revisions, size=size),
        "label_view": label_view,
        **found,
    }
    return table_of(columns, PERFORMANCE, len(window_end))
