"""Between Arrow tables of a release's days and the functions of ``releases``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

import releases
from arrow_tables import DAY_WINDOW_FIELDS, histograms, table_of
from intervals import rate
from performance_tables import LABEL_VIEWS, UNIT
from releases import Measured
from shadow_tables import days_of
from slice_tables import LEAST_DAYS

# A comparison of less of the old traffic is none.
LEAST_COVERAGE = 0.5
QUANTILES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}
COUNTS = (
    "labeled_count",
    "positive_count",
    "true_positive_count",
    "false_positive_count",
    "true_negative_count",
    "false_negative_count",
)
# Shares of labelled predictions: of what, among what.
SHARES = {
    "positive_rate": (("positive",), ("labeled",)),
    "accuracy": (("true_positive", "true_negative"), ("labeled",)),
    "true_positive_rate": (("true_positive",), ("positive",)),
    "false_positive_rate": (("false_positive",), ("false_positive", "true_negative")),
    "precision": (("true_positive",), ("true_positive", "false_positive")),
    "selection_rate": (("true_positive", "false_positive"), ("labeled",)),
}
# What a class that is missing, or a missing decision, leaves without a denominator.
WITHOUT_DENOMINATOR = {"precision": "not_estimable"}
NUMBERS = (
    "previous_value",
    "value",
    "difference",
    "relative_change",
    "comparable_previous_value",
    "adjusted_value",
    "adjusted_difference",
    "adjusted_relative_change",
    "lower",
    "upper",
)
COMPARISON = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("previous_version", pa.string()),
        pa.field("released_at", pa.timestamp("us")),
        pa.field("previous_start", pa.date32()),
        pa.field("previous_end", pa.date32()),
        pa.field("metric", pa.string()),
        pa.field("label_view", pa.string()),
        *[pa.field(name, pa.float64()) for name in NUMBERS],
        pa.field("is_flagged", pa.bool_()),
        pa.field("mix_slice_keys", pa.string()),
        pa.field("mix_coverage", pa.float64()),
        pa.field("design_effect", pa.float64()),
        pa.field("previous_sample_count", pa.int64()),
        pa.field("sample_count", pa.int64()),
        pa.field("previous_day_count", pa.int64()),
        pa.field("day_count", pa.int64()),
        pa.field("adjusted_status", pa.string()),
        pa.field("data_status", pa.string()),
    ]
)


@dataclass(frozen=True)
class Entries:
    """Summaries of one version; arrays of shape (n_entries,).

    Attributes
    ----------
    day : ndarray of int
        In days since 1970.
    cell : ndarray of int
        Positions in the list of all cells of the release.
    columns : dict of str to ndarray
    """

    day: np.ndarray
    cell: np.ndarray
    columns: dict[str, np.ndarray]

    def where(self, chosen: np.ndarray) -> Entries:
        """Give some of them."""
        return Entries(
            self.day[chosen],
            self.cell[chosen],
            {name: values[chosen] for name, values in self.columns.items()},
        )

    def between(self, start: int, end: int) -> Entries:
        """Give those of the days in [start, end)."""
        return self.where((self.day >= start) & (self.day < end))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]


@dataclass(frozen=True)
class Metric:
    """How a metric is measured.

    Attributes
    ----------
    sizes : function
        Of entries: the members that are reweighted, by entry.
    denominators : function
        Of entries: how many there are of each kind that the metric needs.
    measure : function
        Of entries, their weights, days from 0 and a number of days: the metric.
    """

    name: str
    sizes: Callable[[Entries], np.ndarray]
    denominators: Callable[[Entries], list[np.ndarray]]
    measure: Callable[[Entries, np.ndarray, np.ndarray, int], Measured]


def service_entries(table: pa.Table, cells: dict[str, int]) -> tuple[Entries, Entries]:
    """Read rows of ``int_release_days``: by day and cell, and by latency bin too."""
    day = days_of(table, "event_date").astype(np.int64)
    cell = cell_numbers(table, cells)
    columns = {
        name: table[name].to_numpy().astype(float if name == "latency_sum_ms" else np.int64)
        for name in ("request_count", "error_count", "latency_count", "latency_sum_ms")
    }
    slow = table["slow_count"]
    columns["slow_count"] = slow.fill_null(0).to_numpy().astype(np.int64)
    columns["has_threshold"] = slow.is_valid().to_numpy()
    parts = histograms(table["latency_histogram"].fill_null({}))
    # The squares are those of the values that stand for the bins.
    values = np.where(parts.bin <= releases.ZERO_BIN, 0.0, releases.GROWTH ** (parts.bin - 0.5))
    columns["square_sum"] = np.bincount(parts.summary, parts.count * values**2, len(table))
    columns["latency_sum_of_bins"] = np.bincount(parts.summary, parts.count * values, len(table))
    by_bin = Entries(
        day[parts.summary], cell[parts.summary], {"number": parts.bin, "count": parts.count}
    )
    return Entries(day, cell, columns), by_bin


def label_entries(table: pa.Table, cells: dict[str, int], calibration_bins: np.ndarray) -> Entries:
    """Read rows of ``int_release_label_days``."""
    columns = {name.removesuffix("_count"): table[name].to_numpy() for name in COUNTS}
    columns = {name: values.astype(np.int64) for name, values in columns.items()}
    number = table["score_bin"].fill_null(-1).to_numpy().astype(np.int64)
    columns |= {
        "number": number,
        "calibration_bin": calibration_bins[number],
        "scored": np.where(number >= 0, columns["labeled"], 0),
        "known_on": days_of(table, "known_on"),
        "replaced_on": days_of(table, "replaced_on"),
    }
    for name in ("score_sum", "squared_error_sum", "squared_error_square_sum"):
        columns[name] = table[name].to_numpy() * UNIT
    return Entries(
        days_of(table, "event_date").astype(np.int64), cell_numbers(table, cells), columns
    )


def cell_numbers(table: pa.Table, cells: dict[str, int]) -> np.ndarray:
    """Give the number of the cell of each row."""
    codes = table["mix_cell"].combine_chunks().dictionary_encode()
    numbers = np.array([cells[text] for text in codes.dictionary.to_pylist()], np.int64)
    return numbers[codes.indices.to_numpy()]


def service_metrics() -> list[Metric]:
    """Metrics of requests that are counted by day and cell."""

    def share(hits: str, members: str) -> Callable:
        return lambda part, weight, day, n_days: releases.rate_of(
            weight, day, part[members], part[hits], n_days=n_days
        )

    def mean(part: Entries, weight: np.ndarray, day: np.ndarray, n_days: int) -> Measured:
        # The spread about the mean of the bins, moved to the exact mean: never below 0.
        count, total, of_bins = (
            part[name] for name in ("latency_count", "latency_sum_ms", "latency_sum_of_bins")
        )
        squares = part["square_sum"] + rate(total**2 - of_bins**2, count)
        return releases.mean_of(weight, day, count, total, np.nan_to_num(squares), n_days=n_days)

    def column(name: str) -> Callable:
        return lambda part: part[name]

    def alone(name: str) -> Callable:
        return lambda part: [part[name]]

    return [
        Metric("error_rate", column("request_count"), alone("request_count"),
               share("error_count", "request_count")),
        Metric("slow_rate", column("latency_count"), alone("latency_count"),
               share("slow_count", "latency_count")),
        Metric("latency_mean_ms", column("latency_count"), alone("latency_count"), mean),
    ]  # fmt: skip


def quantile_metrics() -> list[Metric]:
    """Metrics of latencies by bin."""

    def quantile(q: float) -> Callable:
        return lambda part, weight, day, n_days: releases.quantile_of(
            weight, day, part["number"], part["count"], q=q, n_days=n_days
        )

    return [
        Metric(name, lambda part: part["count"], lambda part: [part["count"]], quantile(q))
        for name, q in QUANTILES.items()
    ]


def label_metrics(n_bins: int) -> list[Metric]:
    """Metrics of labelled predictions, by score bin."""

    def added(part: Entries, names: tuple[str, ...]) -> np.ndarray:
        return sum(part[name] for name in names)

    def share(name: str) -> Metric:
        hits, members = SHARES[name]
        return Metric(
            name,
            lambda part: part["labeled"],
            lambda part: [part["labeled"], added(part, members)],
            lambda part, weight, day, n_days: releases.rate_of(
                weight, day, added(part, members), added(part, hits), n_days=n_days
            ),
        )

    def scored(part: Entries) -> np.ndarray:
        return part["scored"]

    def classes(part: Entries) -> list[np.ndarray]:
        hits = np.where(part["number"] >= 0, part["positive"], 0)
        return [part["scored"], hits, part["scored"] - hits]

    def auc(part: Entries, weight: np.ndarray, day: np.ndarray, n_days: int) -> Measured:
        _, positives, negatives = classes(part)
        return releases.auc_of(weight, day, part["number"], negatives, positives, n_days=n_days)

    def brier(part: Entries, weight: np.ndarray, day: np.ndarray, n_days: int) -> Measured:
        sums = part["squared_error_sum"], part["squared_error_square_sum"]
        return releases.mean_of(weight, day, part["scored"], *sums, n_days=n_days)

    def ece(part: Entries, weight: np.ndarray, day: np.ndarray, n_days: int) -> Measured:
        return releases.ece_of(
            weight,
            day,
            part["calibration_bin"],
            part["scored"],
            part["score_sum"],
            classes(part)[1],
            n_days=n_days,
            n_bins=n_bins,
        )

    return [
        *[share(name) for name in SHARES],
        Metric("roc_auc", scored, classes, auc),
        Metric("brier_score", scored, lambda part: [part["scored"]], brier),
        Metric("ece", scored, lambda part: [part["scored"]], ece),
    ]


@dataclass(frozen=True)
class Window:
    """The days of both sides, in days since 1970, and where the longest one before begins."""

    size: int
    previous_end: int
    start: int
    first: int

    @property
    def previous_start(self) -> int:
        """The first day before."""
        return self.previous_end - self.size

    @property
    def end(self) -> int:
        """The day after the last one."""
        return self.start + self.size


def release_table(
    release: dict,
    service: tuple[pa.Table, pa.Table],
    labelled: tuple[pa.Table, pa.Table],
    calibration_bins: np.ndarray,
    *,
    as_of: datetime,
    settings: dict,
) -> pa.Table:
    """Compare the two versions of a release.

    Parameters
    ----------
    release : dict
        A row of ``int_releases`` with the ``task``, ``label_grace_hours`` and
        ``min_label_coverage`` of the model.
    service, labelled : two Tables
        Rows of ``int_release_days`` and ``int_release_label_days`` of the old version's and of
        the new version's days, ordered.
    calibration_bins : ndarray of int, shape (n_bins,)
        The calibration bin of each score bin.
    as_of : datetime
        Windows that end later are not closed.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``COMPARISON``.
    """
    texts = sorted({text for table in service for text in table["mix_cell"].to_pylist()})
    cells = {text: number for number, text in enumerate(texts)}
    slices = [[tuple(part.values()) for part in json.loads(text)] for text in texts]
    both = [service_entries(table, cells) for table in service]
    of_service, of_latency = ([side[part] for side in both] for part in (0, 1))
    of_labels = [label_entries(table, cells, calibration_bins) for table in labelled]
    is_classifier = release["task"] == "binary_classification"
    families = label_metrics(int(calibration_bins.max()) + 1) if is_classifier else []
    previous_end, start = (day_number(release[name]) for name in ("previous_end", "window_start"))
    last = day_number(as_of.date())
    first = day_number(release["previous_start"])
    rows = []
    for key, value in sorted({part for cell in slices for part in cell}):
        in_slice = np.array([(key, value) in cell for cell in slices], bool)
        parts = [
            [side.where(in_slice[side.cell]) for side in sides]
            for sides in (of_service, of_latency, of_labels)
        ]
        mix_keys = [name for name, _ in slices[0][1:] if name != key]
        shared = {
            "slice_key": key,
            "slice_value": value,
            "mix_slice_keys": ", ".join(mix_keys) or None,
        }
        references: dict = {}
        for size in settings["performance_windows_days"]:
            window = Window(size, previous_end, start, first)
            if window.end > last:
                continue
            rows += [
                shared | row | {"size": size}
                for row in slice_rows(
                    parts, families, window, len(texts), references, release, as_of, settings
                )
            ]
    return as_table(rows, release, previous_end, start)


def slice_rows(
    parts: list[list[Entries]],
    families: list[Metric],
    window: Window,
    n_cells: int,
    references: dict,
    release: dict,
    as_of: datetime,
    settings: dict,
) -> list[dict]:
    """Compare one slice in one window: a row for each metric, and label view where it has such."""
    of_service, of_latency, of_labels = parts
    windowed = in_window(of_service, window)
    if not any(len(side.day) for side in windowed):
        return []
    rows = [volume_row(windowed, settings)]
    for metrics, sides in (
        (service_metrics(), of_service),
        (quantile_metrics(), of_latency),
    ):
        for metric in metrics:
            if metric.name == "slow_rate" and not all(
                side["has_threshold"].all() for side in of_service
            ):
                continue
            chosen = in_window(sides, window)
            rows.append(metric_row(metric, sides, chosen, window, n_cells, references, settings))
    predictions = [int((side["request_count"] - side["error_count"]).sum()) for side in windowed]
    closed_at = datetime(1970, 1, 1) + timedelta(days=window.end)
    is_growing = closed_at + timedelta(hours=release["label_grace_hours"]) > as_of
    for label_view in LABEL_VIEWS if families else ():
        counted = [
            counted_labels(side, end, label_view)
            for side, end in zip(of_labels, (window.previous_end, window.end), strict=True)
        ]
        sides = in_window(counted, window)
        is_immature = (is_growing and label_view == "as_known") or any(
            side["labeled"].sum() < release["min_label_coverage"] * count
            for side, count in zip(sides, predictions, strict=True)
        )
        for metric in families:
            row = metric_row(
                metric,
                counted,
                sides,
                window,
                n_cells,
                references,
                settings,
                label_view=label_view,
                is_immature=is_immature,
            )
            rows.append(row)
    return rows


def counted_labels(side: Entries, end: int, label_view: str) -> Entries:
    """Those that a label view counts in a window that ends at a day."""
    replaced = side["replaced_on"]
    if label_view == "as_known":
        return side.where((side["known_on"] <= end) & ~(replaced <= end))
    return side.where(np.isnan(replaced))


def in_window(sides: list[Entries], window: Window) -> list[Entries]:
    """Give the entries of both sides that are in a window."""
    return [
        sides[0].between(window.previous_start, window.previous_end),
        sides[1].between(window.start, window.end),
    ]


def volume_row(sides: list[Entries], settings: dict) -> dict:
    """Compare the requests per minute, of the days with requests: a mix has no part in that."""
    counts = [int(side["request_count"].sum()) for side in sides]
    days = [len(np.unique(side.day)) for side in sides]
    previous, value = (
        float(rate(count, day_count * 1440.0))
        for count, day_count in zip(counts, days, strict=True)
    )
    status = status_of([[counts[0]], [counts[1]]], "requests_per_minute", settings)
    return {
        "metric": "requests_per_minute",
        **raw_numbers(previous, value, status),
        "adjusted_status": "not_applicable",
        "data_status": status,
        **sample_columns(counts, days),
    }


def metric_row(
    metric: Metric,
    sides: list[Entries],
    windowed: list[Entries],
    window: Window,
    n_cells: int,
    references: dict,
    settings: dict,
    *,
    label_view: str | None = None,
    is_immature: bool = False,
) -> dict:
    """Compare one metric, as it is and with the mix of before.

    ``references`` keeps, for all windows of a slice, the metric of all days before.
    """
    needed = [[int(part.sum()) for part in metric.denominators(side)] for side in windowed]
    counted = [metric.sizes(side) for side in windowed]
    days = [
        len(np.unique(side.day[size > 0])) for side, size in zip(windowed, counted, strict=True)
    ]
    status = status_of(needed, metric.name, settings, is_immature)
    row = {
        "metric": metric.name,
        "label_view": label_view,
        "data_status": status,
        "adjusted_status": status,
        **sample_columns([members[-1 if metric.name in SHARES else 0] for members in needed], days),
    }
    if status != "ok":
        return row

    def measured(number: int, weight_of_cell: np.ndarray) -> Measured:
        side = windowed[number]
        begin = (window.previous_start, window.start)[number]
        return metric.measure(side, weight_of_cell[side.cell], side.day - begin, window.size)

    previous, value = (measured(number, np.ones(n_cells)) for number in (0, 1))
    row |= raw_numbers(previous.value, value.value, status)
    by_cell = [
        np.bincount(side.cell, size, n_cells).astype(np.int64)
        for side, size in zip(windowed, counted, strict=True)
    ]
    previous_weight, weight, coverage = releases.mix_weights(*by_cell)
    row["mix_coverage"] = coverage
    before, after = measured(0, previous_weight), measured(1, weight)
    difference = after.value - before.value
    if coverage < LEAST_COVERAGE or not np.isfinite(difference):
        return row | {"adjusted_status": "insufficient_data"}
    row |= {
        "comparable_previous_value": before.value,
        "adjusted_value": after.value,
        "adjusted_difference": difference,
        "adjusted_relative_change": float(rate(difference, before.value)),
    }
    # How much days differ by themselves is learnt from all days before.
    if (metric.name, label_view) not in references:
        reference = sides[0].between(window.first, window.previous_end)
        references[metric.name, label_view] = metric.measure(
            reference,
            np.ones(len(reference.day)),
            reference.day - window.first,
            window.previous_end - window.first,
        )
    of_reference = references[metric.name, label_view]
    reference_days = of_reference.estimate.n_days
    if reference_days < LEAST_DAYS:
        return row | {"adjusted_status": "insufficient_data"}
    effects = [of_reference.day_effect] * 2
    if after.estimate.n_days >= LEAST_DAYS:
        effects[1] = max(effects[1], after.day_effect)
    row["design_effect"] = max(effects)
    factor = releases.student_factor(reference_days)
    bounds = releases.difference_interval(
        after.value,
        after.bounds(effects[1] * factor),
        before.value,
        before.bounds(effects[0] * factor),
    )
    if not bounds[1] > bounds[0]:
        return row | {"adjusted_status": "not_estimable"}
    return row | {
        "lower": bounds[0],
        "upper": bounds[1],
        "is_flagged": releases.is_flagged(metric.name, difference, before.value, bounds),
    }


def status_of(
    needed: list[list[int]], metric: str, settings: dict, is_immature: bool = False
) -> str:
    """Say why a metric of two sides is not there; of each side the members, then their kinds."""
    if not needed[1][0]:
        return "no_data"
    if not needed[0][0]:
        return "no_baseline"
    if is_immature:
        return "immature"
    if min(side[0] for side in needed) < settings["min_samples"]:
        return "insufficient_data"
    kinds = [count for side in needed for count in side[1:]]
    if kinds and not min(kinds):
        return WITHOUT_DENOMINATOR.get(metric, "single_class")
    least = settings["min_samples_per_class"]
    return "insufficient_data" if kinds and min(kinds) < least else "ok"


def raw_numbers(previous: float, value: float, status: str) -> dict:
    """Give the values as they are, and their difference."""
    if status != "ok":
        return {}
    return {
        "previous_value": previous,
        "value": value,
        "difference": value - previous,
        "relative_change": float(rate(value - previous, previous)),
    }


def sample_columns(counts: list[int], days: list[int]) -> dict:
    """Say how many members and days both sides have."""
    return {
        "previous_sample_count": counts[0],
        "sample_count": counts[1],
        "previous_day_count": days[0],
        "day_count": days[1],
    }


def day_number(date: object) -> int:
    """Give a date in days since 1970."""
    return int(np.datetime64(date, "D").astype(np.int64))


def as_table(rows: list[dict], release: dict, previous_end: int, start: int) -> pa.Table:
    """Make a table of the rows of a release; the size of a window is that of its row."""
    columns: dict = {}
    for field in COMPARISON:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_floating(field.type):
            values = np.array([np.nan if value is None else value for value in values], float)
        else:
            values = pa.array(values, field.type)
        columns[field.name] = values
    sizes = np.array([row["size"] for row in rows], np.int64)
    columns |= {name: release[name] for name in ("model_name", "model_version")}
    columns |= {
        "role": "live",
        "previous_version": release["previous_version"],
        "released_at": pa.array([release["released_at"]] * len(rows), pa.timestamp("us")),
        "window_size": pa.array([f"{size}d" for size in sizes.tolist()], pa.string()),
    }
    for name, days in (
        ("window_start", np.full(len(rows), start)),
        ("window_end", start + sizes),
        ("previous_start", previous_end - sizes),
        ("previous_end", np.full(len(rows), previous_end)),
    ):
        columns[name] = pa.array(days, pa.int32()).cast(pa.date32())
    return table_of(columns, COMPARISON, len(rows))
