"""What changes between the two label views: from Arrow tables of labelled days."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrow_tables import DAY_WINDOW_FIELDS, SERIES, day_windows, parts_of, table_of
from intervals import rate
from label_views import two_rates_pvalue
from performance_tables import counted_windows, metrics, sums_of_windows
from windows import window_sums

# Of which status each metric is.
STATUS_OF = {
    "roc_auc": "performance_status",
    "average_precision": "performance_status",
    "f1": None,
    "precision": None,
    "recall": None,
    "accuracy": None,
    "selection_rate": None,
    "false_positive_rate": None,
    "positive_rate": None,
    "brier_score": "calibration_status",
    "log_loss": "calibration_status",
    "ece": "calibration_status",
}
COUNTS = (
    "labeled_count_as_known",
    "labeled_count_latest",
    "corrected_count",
    "turned_positive_count",
    "turned_negative_count",
    "late_count",
)
LATE = (
    "early_positive_rate",
    "late_positive_rate",
    "late_positive_rate_pvalue",
    "early_accuracy",
    "late_accuracy",
    "late_accuracy_pvalue",
)
DIFFERENCES = (
    "value_as_known",
    "value_corrected",
    "value_latest",
    "difference",
    "difference_by_corrections",
    "difference_by_late_labels",
)
LABEL_VIEW_CHANGES = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("metric", pa.string()),
        *[pa.field(name, pa.float64()) for name in DIFFERENCES],
        *[pa.field(name, pa.int64()) for name in COUNTS],
        *[pa.field(name, pa.float64()) for name in LATE],
        pa.field("late_status", pa.string()),
        pa.field("change_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)


def label_view_table(
    days: pa.Table,
    views: pa.Table,
    ends: pa.Table,
    calibration_bins: np.ndarray,
    *,
    size: int,
    settings: dict,
) -> pa.Table:
    """Split what separates the two label views of whole models in windows of one size.

    Parameters
    ----------
    days : Table
        Rows of ``int_labelled_days`` of whole models, from ``size`` days before the first end.
    views : Table
        Rows of ``int_performance`` of whole models in these windows, of both label views.
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    calibration_bins : ndarray of int, shape (n_bins,)
        The calibration bin of each score bin.
    size : int
        The length of the windows in days.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``LABEL_VIEW_CHANGES``: a row for each window, series and metric.
    """
    end_days, _ = day_windows(ends)
    view_of = dict(parts_of(views))
    tables = [LABEL_VIEW_CHANGES.empty_table()]
    for key, part in parts_of(days):
        if key in view_of:
            latest = of_view(view_of[key], "latest")
            as_known = of_view(view_of[key], "as_known")
            tables += series_tables(
                key, part, latest, as_known, end_days, calibration_bins, size, settings
            )
    return pa.concat_tables(tables)


def of_view(table: pa.Table, label_view: str) -> pa.Table:
    """Give the rows of one label view by window_end."""
    found = table.filter(pa.compute.equal(table["label_view"], label_view))
    return found.sort_by("window_end")


def series_tables(
    key: tuple[str, ...],
    part: pa.Table,
    latest: pa.Table,
    as_known: pa.Table,
    end_days: np.ndarray,
    calibration_bins: np.ndarray,
    size: int,
    settings: dict,
) -> list[pa.Table]:
    """Make the rows of one series: a table for each metric."""
    if not len(latest):
        return []
    # Whoever has a label known then has one now.
    ends = latest["window_end"].cast(pa.int32()).to_numpy()
    known_row = np.searchsorted(ends, as_known["window_end"].cast(pa.int32()).to_numpy())
    origin = int(end_days[0])

    def counted(label_view: str) -> dict[str, np.ndarray]:
        """Sum a label view by window."""
        first, last = counted_windows(part, label_view, origin, size)
        return {
            name: window_sums(
                first,
                last,
                np.zeros(len(part), np.int64),
                part[f"{name}_count"].fill_null(0).to_numpy(),
                n_windows=int(end_days[-1]) - origin + 1,
                n_columns=1,
            )[ends - origin, 0]
            for name in (
                "labeled", "positive", "true_positive", "false_positive", "true_negative",
                "false_negative", "turned_positive", "turned_negative",
            )
        }  # fmt: skip

    then, early, now = (counted(view) for view in ("as_known", "corrected", "latest"))
    late = {name: now[name] - early[name] for name in now}
    corrected = then["turned_positive"] + then["turned_negative"]
    columns = dict(zip(SERIES, key, strict=True)) | {
        name: latest[name].combine_chunks()
        for name in ("window_size", "window_start", "window_end", "revision")
    }
    columns |= {
        "labeled_count_as_known": then["labeled"],
        "labeled_count_latest": now["labeled"],
        "corrected_count": corrected,
        "turned_positive_count": then["turned_positive"],
        "turned_negative_count": then["turned_negative"],
        "late_count": late["labeled"],
    }
    columns |= late_columns(early, late)

    found = {
        name: {"as_known": np.full(len(ends), np.nan), "latest": column_of(latest, name)}
        for name in STATUS_OF
    }
    for name, values in found.items():
        values["as_known"][known_row] = column_of(as_known, name)
        values["corrected"] = values["as_known"].copy()
    touched = np.flatnonzero(corrected)
    if len(touched):
        sums = sums_of_windows(
            part,
            "corrected",
            origin,
            size,
            ends[touched] - origin,
            int(end_days[-1]) - origin + 1,
            len(calibration_bins),
        )
        applied = metrics(sums, np.arange(len(touched)), calibration_bins, settings)
        for name, values in found.items():
            values["corrected"][touched] = applied[name]

    tables = []
    for name, values in found.items():
        statuses = {
            "as_known": np.full(len(ends), "no_data", object),
            "latest": status_of(latest, name),
        }
        statuses["as_known"][known_row] = status_of(as_known, name)
        is_known = ~np.isnan(np.sum(list(values.values()), axis=0))
        # The first that is missing; corrections can take the last of a class away.
        status = np.select(
            [is_known, statuses["as_known"] != "ok", statuses["latest"] != "ok"],
            ["ok", statuses["as_known"], statuses["latest"]],
            "no_data",
        ).astype(object)
        rows = {
            "metric": name,
            "value_as_known": values["as_known"],
            "value_corrected": values["corrected"],
            "value_latest": values["latest"],
            "difference": values["latest"] - values["as_known"],
            "difference_by_corrections": values["corrected"] - values["as_known"],
            "difference_by_late_labels": values["latest"] - values["corrected"],
        }
        rows = {
            column: part if isinstance(part, str) else np.where(is_known, part, np.nan)
            for column, part in rows.items()
        }
        rows["change_status"] = status
        tables.append(table_of(columns | rows, LABEL_VIEW_CHANGES, len(ends)))
    return tables


def column_of(table: pa.Table, name: str) -> np.ndarray:
    """Give a metric, NaN where it is null."""
    return table[name].to_numpy().astype(float)


def status_of(table: pa.Table, name: str) -> np.ndarray:
    """Why a metric of ``int_performance`` is null; ``ok`` where it is not."""
    values = np.isnan(column_of(table, name))
    column = STATUS_OF[name] or "calibration_status"
    reasons = table[column].to_numpy().astype(object)
    # Rates have no status of their own: too few labels, or nothing to divide by.
    reasons = np.where(reasons == "ok", "no_data", reasons)
    return np.where(values, reasons, "ok")


def late_columns(early: dict[str, np.ndarray], late: dict[str, np.ndarray]) -> dict:
    """Compare the labels that came late with the others, both as they are now."""
    found: dict = {}
    tests = []
    for name, hits, members in (
        ("positive_rate", ("positive",), ("labeled",)),
        (
            "accuracy",
            ("true_positive", "true_negative"),
            ("true_positive", "false_positive", "true_negative", "false_negative"),
        ),
    ):
        counts = [
            sum(side[part] for part in parts) for side in (early, late) for parts in (hits, members)
        ]
        pvalue = two_rates_pvalue(*counts)
        found |= {
            f"early_{name}": rate(counts[0], counts[1]),
            f"late_{name}": rate(counts[2], counts[3]),
            f"late_{name}_pvalue": pvalue,
        }
        tests.append(pvalue)
    found["late_status"] = np.select(
        [
            (early["labeled"] == 0) | (late["labeled"] == 0),
            np.isnan(tests[0]) & np.isnan(tests[1]),
        ],
        ["no_data", "insufficient_data"],
        "ok",
    ).astype(object)
    return found
