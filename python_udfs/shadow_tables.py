"""Between Arrow tables of a shadow's days and the functions of ``paired``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import chi2, fisher_exact, norm

import paired
from arrow_tables import day_windows, histograms, parts_of, table_of
from drift import benjamini_hochberg
from intervals import normal_quantile, rate, wilson_interval
from latency import bin_values, histogram_quantiles
from paired import Cells, Estimate, PairedCounts
from performance import roc_auc_error_bound
from performance_tables import LABEL_VIEWS, UNIT

SERIES = ("model_name", "model_version", "live_version", "slice_key", "slice_value")
# In how many parts the bins of the fine grid are divided; the macro divided_bins says the same.
DIVIDED_BINS = 16
QUANTILES = np.array([0.5, 0.95, 0.99])
LATENCIES = ("latency_p50", "latency_p95", "latency_p99")
# Shares by which groups are compared: of which labels, and the gap that they make.
GROUP_RATES = {
    "selection_rate": (("positive", "negative"), "demographic_parity_difference"),
    "true_positive_rate": (("positive",), "equal_opportunity_difference"),
    "false_positive_rate": (("negative",), "predictive_equality_difference"),
}
COUNTS = (
    "live_count",
    "paired_count",
    "shadow_only_count",
    "answered_count",
    "decided_count",
    "disagreement_count",
    "labeled_count",
    "live_only_right_count",
    "shadow_only_right_count",
)
# What needs no label.
SERVICE = (
    "partner_rate",
    "partner_rate_lower",
    "partner_rate_upper",
    "missing_pvalue",
    "missing_qvalue",
    "disagreement_rate",
    *(
        part
        for name in LATENCIES
        for part in (f"live_{name}_ms", f"shadow_{name}_ms", f"{name}_ratio")
    ),
    "live_error_rate",
    "shadow_error_rate",
    "error_rate_difference",
    "error_rate_difference_lower",
    "error_rate_difference_upper",
    "error_rate_pvalue",
)
LABELLED = (
    "live_roc_auc",
    "shadow_roc_auc",
    "roc_auc_difference",
    "roc_auc_difference_lower",
    "roc_auc_difference_upper",
    "roc_auc_difference_error_bound",
    "roc_auc_pvalue",
    "live_accuracy",
    "shadow_accuracy",
    "accuracy_difference",
    "accuracy_difference_lower",
    "accuracy_difference_upper",
    "accuracy_pvalue",
    "live_ece",
    "shadow_ece",
    "ece_difference",
    "ece_difference_lower",
    "ece_difference_upper",
    *(f"{side}_{name}" for name in GROUP_RATES for side in ("live", "shadow")),
    *(f"{side}_{gap}" for _, gap in GROUP_RATES.values() for side in ("live", "shadow")),
)
COMPARISON = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in SERIES],
        pa.field("window_size", pa.string()),
        pa.field("window_start", pa.date32()),
        pa.field("window_end", pa.date32()),
        pa.field("label_view", pa.string()),
        *[pa.field(name, pa.int64()) for name in COUNTS],
        *[pa.field(name, pa.float64()) for name in SERVICE],
        *[pa.field(name, pa.float64()) for name in LABELLED],
        pa.field("performance_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class ServiceDays:
    """How two versions answered the same requests, by day; arrays of shape (n_days, ...).

    Attributes
    ----------
    day : ndarray of int
        In days since 1970.
    counts : dict of str to ndarray of int
    live_latency, shadow_latency : ndarray of int, shape (n_days, n_latency_bins)
    latency_bins : ndarray of int, shape (n_latency_bins,)
    quantiles : ndarray of float, shape (2, n_days, 3)
        Exact ones of each day, live and shadow; NaN without latencies.
    """

    day: np.ndarray
    counts: dict[str, np.ndarray]
    latency_bins: np.ndarray
    live_latency: np.ndarray
    shadow_latency: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def of(cls, table: pa.Table) -> ServiceDays:
        """Read rows of ``int_shadow_days`` of one series, by day."""
        table = table.sort_by("event_date")
        parts = [
            histograms(table[f"{side}_latency_histogram"].fill_null({}))
            for side in ("live", "shadow")
        ]
        filled = np.concatenate([part.bin for part in parts])
        bins = np.arange(filled.min(initial=0), filled.max(initial=0) + 1)
        dense = []
        for part in parts:
            counts = np.zeros((len(table), len(bins)), np.int64)
            np.add.at(counts, (part.summary, part.bin - bins[0]), part.count)
            dense.append(counts)
        exact = [
            [values or [np.nan] * 3 for values in table[f"{side}_latency_quantiles"].to_pylist()]
            for side in ("live", "shadow")
        ]
        names = [name for name in table.column_names if name.endswith("_count")]
        return cls(
            day=days_of(table, "event_date").astype(np.int64),
            counts={name: table[name].to_numpy().astype(np.int64) for name in names},
            latency_bins=bins,
            live_latency=dense[0],
            shadow_latency=dense[1],
            quantiles=np.array(exact, float).reshape(2, len(table), 3),
        )

    def between(self, start: int, end: int) -> ServiceDays:
        """Give the days in [start, end), in days since 1970."""
        where = (self.day >= start) & (self.day < end)
        return ServiceDays(
            self.day[where],
            {name: values[where] for name, values in self.counts.items()},
            self.latency_bins,
            self.live_latency[where],
            self.shadow_latency[where],
            self.quantiles[:, where],
        )

    @property
    def failures(self) -> PairedCounts:
        """The paired requests that were answered with an error."""
        return PairedCounts(
            self.counts["live_only_error_count"],
            self.counts["shadow_only_error_count"],
            self.counts["both_error_count"],
            self.counts["paired_count"],
        )


@dataclass(frozen=True)
class LabelledDays:
    """Labelled requests that both versions scored; arrays of shape (n_cells,).

    Attributes
    ----------
    day, known_on : ndarray of int
        In days since 1970.
    replaced_on : ndarray of float
        NaN where the label is the newest.
    cells : Cells
        ``day`` as above.
    variance_sums : two ndarrays of float
    score_ranges : ndarray of float, shape (2, 2, n_cells)
        Smallest and largest score, live and shadow.
    selected : dict of (str, str) to ndarray of int
        By label (``positive``, ``negative``) and by who said yes (``both``, ``live_only``,
        ``shadow_only``).
    """

    day: np.ndarray
    known_on: np.ndarray
    replaced_on: np.ndarray
    cells: Cells
    variance_sums: tuple[np.ndarray, np.ndarray]
    score_ranges: np.ndarray
    selected: dict[tuple[str, str], np.ndarray]

    @classmethod
    def of(cls, table: pa.Table) -> LabelledDays:
        """Read rows of ``int_shadow_label_days`` of one series, in their order."""

        def column(name: str) -> np.ndarray:
            return table[name].to_numpy()

        day = days_of(table, "event_date").astype(np.int64)
        positives = column("positive_count").astype(np.int64)
        return cls(
            day=day,
            known_on=days_of(table, "known_on"),
            replaced_on=days_of(table, "replaced_on"),
            cells=Cells(
                day,
                column("live_bin").astype(np.int64),
                column("shadow_bin").astype(np.int64),
                column("labeled_count").astype(np.int64) - positives,
                positives,
                column("live_score_sum") * UNIT,
                column("shadow_score_sum") * UNIT,
            ),
            variance_sums=tuple(
                column(f"{side}_variance_sum") * UNIT for side in ("live", "shadow")
            ),
            score_ranges=np.array(
                [
                    [column(f"{side}_score_{end}") for end in ("min", "max")]
                    for side in ("live", "shadow")
                ]
            ),
            selected={
                (label, who): column(f"{label}_{who}_count").astype(np.int64)
                for label in ("positive", "negative")
                for who in ("both", "live_only", "shadow_only")
            },
        )

    def counted(self, start: int, end: int, label_view: str) -> LabelledDays:
        """Those of the days in [start, end) that a label view counts; ``day`` from 0."""
        where = (self.day >= start) & (self.day < end)
        if label_view == "as_known":
            where &= (self.known_on <= end) & ~(self.replaced_on <= end)
        else:
            where &= np.isnan(self.replaced_on)
        cells = Cells(*(part[where] for part in vars(self.cells).values()))
        cells = Cells(cells.day - start, *list(vars(cells).values())[1:])
        return LabelledDays(
            self.day[where],
            self.known_on[where],
            self.replaced_on[where],
            cells,
            tuple(part[where] for part in self.variance_sums),
            self.score_ranges[..., where],
            {name: part[where] for name, part in self.selected.items()},
        )

    def by_day(self, values: np.ndarray, n_days: int) -> np.ndarray:
        """Add up counts by day."""
        return np.bincount(self.cells.day, values, n_days).astype(np.int64)

    def hits(self, n_days: int) -> PairedCounts:
        """Count what was decided rightly, by day."""
        yes = self.selected
        both_no = self.cells.negatives - sum(
            yes["negative", who] for who in ("both", "live_only", "shadow_only")
        )
        return PairedCounts(
            *(
                self.by_day(part, n_days)
                for part in (
                    yes["positive", "live_only"] + yes["negative", "shadow_only"],
                    yes["positive", "shadow_only"] + yes["negative", "live_only"],
                    yes["positive", "both"] + both_no,
                    self.cells.count,
                )
            )
        )

    def selections(self, labels: tuple[str, ...], n_days: int) -> PairedCounts:
        """Count what was decided with a yes, among some labels, by day."""
        members = {"positive": self.cells.positives, "negative": self.cells.negatives}
        return PairedCounts(
            *(
                self.by_day(sum(self.selected[label, who] for label in labels), n_days)
                for who in ("live_only", "shadow_only", "both")
            ),
            self.by_day(sum(members[label] for label in labels), n_days),
        )


def days_of(table: pa.Table, name: str) -> np.ndarray:
    """Give dates as days since 1970, NaN for null."""
    return table[name].cast(pa.int32()).to_numpy().astype(float)


def comparison_table(
    days: pa.Table,
    labelled: pa.Table,
    ends: pa.Table,
    calibration_bins: np.ndarray,
    protected: dict[str, list[str]],
    *,
    size: int,
    settings: dict,
) -> pa.Table:
    """Compare shadow versions with live ones in windows of one size.

    Parameters
    ----------
    days : Table
        Rows of ``int_shadow_days``, from ``size`` days before the first end.
    labelled : Table
        Rows of ``int_shadow_label_days``, the same, ordered.
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    calibration_bins : ndarray of int, shape (n_bins,)
        The calibration bin of each score bin of ``int_shadow_label_days``.
    protected : dict of str to list of str
        The protected attributes of each model.
    size : int
        The length of the windows in days.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``COMPARISON``: one row for each window, series and label view with
        requests; and for each protected attribute one with the gaps of its groups.
    """
    end_days, revisions = day_windows(ends)
    labels_of = {key: LabelledDays.of(part) for key, part in parts_of(labelled, SERIES)}
    nothing = LabelledDays.of(labelled.slice(0, 0))
    rows = []
    for key, part in parts_of(days, SERIES):
        service = ServiceDays.of(part)
        labels = labels_of.get(key, nothing)
        for end in end_days.tolist():
            in_window = service.between(end - size, end)
            if not len(in_window.day):
                continue
            answered = service_metrics(in_window, size)
            for label_view in LABEL_VIEWS:
                counted = labels.counted(end - size, end, label_view)
                row = dict(zip(SERIES, key, strict=True)) | {
                    "window_end": end,
                    "label_view": label_view,
                    **answered,
                    **labelled_metrics(counted, calibration_bins, size, settings),
                }
                rows.append(row)
    group_rows = gap_rows(rows, protected, settings["min_samples"])
    missing_at_random(rows)
    return as_table(rows + group_rows, revisions, size)


def service_metrics(days: ServiceDays, size: int) -> dict:
    """Measure what needs no label, of one series in one window."""
    counts = {name: int(values.sum()) for name, values in days.counts.items()}
    found = {name: counts[name] for name in COUNTS if name in counts}
    lower, upper = wilson_interval(counts["paired_count"], counts["live_count"])
    found |= {
        "partner_rate": rate(counts["paired_count"], counts["live_count"]),
        "partner_rate_lower": lower,
        "partner_rate_upper": upper,
        "missing_pvalue": np.nan,
        "missing_qvalue": np.nan,
        "disagreement_rate": rate(counts["disagreement_count"], counts["decided_count"]),
    }
    quantiles = days.quantiles[:, 0] if size == 1 else window_quantiles(days)
    for number, name in enumerate(LATENCIES):
        live, shadow = quantiles[:, number]
        found |= {
            f"live_{name}_ms": live,
            f"shadow_{name}_ms": shadow,
            f"{name}_ratio": rate(shadow, live),
        }
    live, shadow, difference = paired.share_difference(days.failures)
    return found | {
        "live_error_rate": live,
        "shadow_error_rate": shadow,
        **with_interval("error_rate_difference", difference),
        "error_rate_pvalue": pvalue_of(days.failures),
    }


def window_quantiles(days: ServiceDays) -> np.ndarray:
    """Quantiles of latencies of several days, as service_levels_rolling has them, shape (2, 3)."""
    pooled = np.stack([days.live_latency.sum(axis=0), days.shadow_latency.sum(axis=0)])
    return histogram_quantiles(pooled, bin_values(days.latency_bins), QUANTILES)


def labelled_metrics(
    labels: LabelledDays, calibration_bins: np.ndarray, n_days: int, settings: dict
) -> dict:
    """Measure what needs labels, of one series in one window, with the status of the AUC."""
    cells = labels.cells
    hits = labels.hits(n_days).total()
    found = {
        "labeled_count": int(hits.count),
        "live_only_right_count": int(hits.only_a),
        "shadow_only_right_count": int(hits.only_b),
        **dict.fromkeys(LABELLED, np.nan),
    }
    n_classes = [int(cells.negatives.sum()), int(cells.positives.sum())]
    rates = {name: labels.selections(members, n_days) for name, (members, _) in GROUP_RATES.items()}
    # For the gaps of the groups, whether or not there is enough of each.
    found |= {name: rates[name].total() for name in rates}
    if hits.count < settings["min_samples"]:
        return found | {"performance_status": "insufficient_data" if hits.count else "no_data"}

    live, shadow, difference = paired.share_difference(labels.hits(n_days))
    found |= {
        "live_accuracy": live,
        "shadow_accuracy": shadow,
        **with_interval("accuracy_difference", difference),
        "accuracy_pvalue": pvalue_of(labels.hits(n_days)),
    }
    for name, counts in rates.items():
        found[f"live_{name}"], found[f"shadow_{name}"], _ = paired.share_difference(counts)
    live, shadow, difference = paired.ece_difference(
        cells, labels.variance_sums, calibration_bins, n_days=n_days
    )
    found |= {
        "live_ece": live,
        "shadow_ece": shadow,
        **with_interval("ece_difference", difference),
    }
    if not all(n_classes):
        return found | {"performance_status": "single_class"}
    if min(n_classes) < settings["min_samples_per_class"]:
        return found | {"performance_status": "insufficient_data"}
    live, shadow, difference = paired.roc_auc_difference(cells, n_days=n_days)
    found |= {
        "live_roc_auc": live,
        "shadow_roc_auc": shadow,
        **with_interval("roc_auc_difference", difference),
        "roc_auc_difference_error_bound": auc_error_bound(labels),
        "roc_auc_pvalue": 2 * norm.sf(abs(rate(difference.value, np.sqrt(difference.variance)))),
        "performance_status": "ok",
    }
    return found


def with_interval(name: str, estimate: Estimate) -> dict[str, float]:
    """Name a difference and the ends of its 95 % interval, of independent requests."""
    reach = normal_quantile(0.95) * np.sqrt(estimate.variance)
    return {
        name: estimate.value,
        f"{name}_lower": np.maximum(estimate.value - reach - estimate.bias_below, -1.0),
        f"{name}_upper": np.minimum(estimate.value + reach + estimate.bias_above, 1.0),
    }


def pvalue_of(counts: PairedCounts) -> float:
    """McNemar's test; NaN without requests."""
    total = counts.total()
    return float(paired.mcnemar_pvalue(total.only_a, total.only_b)) if total.count else np.nan


def auc_error_bound(labels: LabelledDays) -> float:
    """How far the difference of the AUCs can be from that of the scores themselves."""
    bounds = []
    for bins, (low, high) in zip(
        (labels.cells.bin_a, labels.cells.bin_b), labels.score_ranges, strict=True
    ):
        n_bins = int(bins.max(initial=0)) + 1
        negatives, positives = (
            np.bincount(bins, counts, n_bins).astype(np.int64)
            for counts in (labels.cells.negatives, labels.cells.positives)
        )
        lowest, highest = np.full(n_bins, np.inf), np.full(n_bins, -np.inf)
        np.minimum.at(lowest, bins, low)
        np.maximum.at(highest, bins, high)
        bounds.append(roc_auc_error_bound(negatives, positives, lowest == highest))
    return float(sum(bounds))


def gap_rows(rows: list[dict], protected: dict[str, list[str]], min_samples: int) -> list[dict]:
    """Make the rows of the gaps, one for each protected attribute, and drop what they are from."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        rates = {name: row.pop(name) for name in GROUP_RATES}
        if row["live_count"] and row["slice_key"] in protected.get(row["model_name"], []):
            key = (*(row[name] for name in SERIES[:4]), row["window_end"], row["label_view"])
            groups.setdefault(key, []).append({"labels": row["labeled_count"], **rates})
    found = []
    for key, members in groups.items():
        taking_part = [member for member in members if member["labels"] >= min_samples]
        row = dict.fromkeys((*SERVICE, *LABELLED), np.nan) | dict.fromkeys(COUNTS, 0)
        row |= dict(zip((*SERIES[:4], "window_end", "label_view"), key, strict=True))
        row |= {"slice_value": "all", "labeled_count": sum(member["labels"] for member in members)}
        for name, (_, gap) in GROUP_RATES.items():
            counts = [member[name] for member in taking_part if member[name].count]
            if len(counts) < 2:
                continue
            for side, own in (("live", "only_a"), ("shadow", "only_b")):
                shares = [(part.both + getattr(part, own)) / part.count for part in counts]
                row[f"{side}_{gap}"] = max(shares) - min(shares)
        row["performance_status"] = (
            "no_data"
            if not row["labeled_count"]
            else "insufficient_data"
            if np.isnan(row["live_demographic_parity_difference"])
            else "ok"
        )
        found.append(row)
    return found


def missing_at_random(rows: list[dict]) -> None:
    """Test for each slice whether its requests reach the shadow less or more often than others.

    By chi-square, or Fisher's exact test where fewer than five are expected in a cell; with
    Benjamini-Hochberg's q-values within the slices of one slice_key, version and window.
    """
    families: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["slice_key"] != "all" and row["live_count"]:
            key = (*(row[name] for name in SERIES[:4]), row["window_end"], row["label_view"])
            families.setdefault(key, []).append(row)
    for family in families.values():
        paired_count = np.array([row["paired_count"] for row in family])
        live_count = np.array([row["live_count"] for row in family])
        if len(family) < 2:
            continue
        pvalues = missing_pvalues(paired_count, live_count - paired_count)
        qvalues = benjamini_hochberg(pvalues, np.zeros(len(family), int))
        for row, pvalue, qvalue in zip(family, pvalues, qvalues, strict=True):
            row |= {"missing_pvalue": pvalue, "missing_qvalue": qvalue}


def missing_pvalues(reached: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Give each slice's p-value against all others together.

    Parameters
    ----------
    reached, missing : ndarray of int, shape (n_slices,)

    Returns
    -------
    ndarray of float, shape (n_slices,)
        1 where all requests reached the shadow, or none did.
    """
    totals = np.array([reached.sum(), missing.sum()], float)
    pvalues = np.ones(len(reached))
    if not totals.all():
        return pvalues
    for number, own in enumerate(zip(reached, missing, strict=True)):
        table = np.array([own, totals - own])
        expected = table.sum(axis=1, keepdims=True) * totals / totals.sum()
        if not table.sum(axis=1).all():
            continue
        if expected.min() < 5:
            pvalues[number] = fisher_exact(table.astype(int)).pvalue
        else:
            pvalues[number] = chi2.sf(np.sum((table - expected) ** 2 / expected), 1)
    return pvalues


def as_table(rows: list[dict], revisions: dict[int, int], size: int) -> pa.Table:
    """Make a table of rows."""
    if not rows:
        return COMPARISON.empty_table()
    ends = np.array([row["window_end"] for row in rows])
    columns = {
        name: np.array([row[name] for row in rows]) for name in (*COUNTS, *SERVICE, *LABELLED)
    } | {
        name: pa.array([row[name] for row in rows], pa.string())
        for name in (*SERIES, "label_view", "performance_status")
    }
    columns |= {
        "window_size": f"{size}d",
        "window_start": pa.array(ends - size, pa.int32()).cast(pa.date32()),
        "window_end": pa.array(ends, pa.int32()).cast(pa.date32()),
        "revision": pa.array([revisions[end] for end in ends.tolist()], pa.uint64()),
    }
    return table_of(columns, COMPARISON, len(rows))
