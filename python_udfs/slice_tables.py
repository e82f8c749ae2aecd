"""Between Arrow tables of labelled days and the arrays of ``slice_changes``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import slice_changes
from arrow_tables import (
    DAY_WINDOW_FIELDS,
    SERIES,
    codes_of,
    day_window_columns,
    day_windows,
    parts_of,
    table_of,
)
from drift import benjamini_hochberg
from performance_tables import LABEL_VIEWS, UNIT, counted_windows
from windows import window_sums

ATTRIBUTE = ("model_name", "model_version", "role", "slice_key")
CONFUSION = ("tp", "fp", "tn", "fn")
COLUMN_OF = {
    "tp": "true_positive_count",
    "fp": "false_positive_count",
    "tn": "true_negative_count",
    "fn": "false_negative_count",
}
# What is read of int_labelled_days.
DAY_COLUMNS = (
    *SERIES,
    "event_date",
    "first_known_on",
    "known_on",
    "replaced_on",
    "score_bin",
    "labeled_count",
    "positive_count",
    *COLUMN_OF.values(),
    "squared_error_sum",
    "squared_error_square_sum",
)
# Days that the design effect needs at least.
LEAST_DAYS = 5
# How many counts by window, slice and bin are looked at at once.
MOST_CELLS = 2_000_000
VALUES = (
    "value",
    "reference_value",
    "change",
    "rest_change",
    "difference_in_changes",
    "standard_error",
    "design_effect",
    "pvalue",
)
EFFECTS = ("rate_effect", "mix_effect", "contribution", "whole_change")
SLICE_CHANGES = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("label_view", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("labeled_count", pa.int64()),
        pa.field("reference_labeled_count", pa.int64()),
        pa.field("sample_count", pa.int64()),
        pa.field("reference_sample_count", pa.int64()),
        *[pa.field(name, pa.float64()) for name in VALUES],
        pa.field("qvalue", pa.float64()),
        pa.field("slice_rank", pa.int64()),
        *[pa.field(name, pa.float64()) for name in EFFECTS],
        pa.field("reference_start", pa.date32()),
        pa.field("reference_end", pa.date32()),
        pa.field("change_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class Sums:
    """Labelled predictions by window or day (first axis) and slice (second).

    Attributes
    ----------
    counts : dict of str to ndarray of int, shape (n, n_slices)
        ``labels``, ``CONFUSION`` and ``scored``.
    negatives, positives : ndarray of int, shape (n, n_slices, n_bins)
    squared_errors, squares : ndarray of float, shape (n, n_slices)
        Sums of the squared errors, and of their squares.
    """

    counts: dict[str, np.ndarray]
    negatives: np.ndarray
    positives: np.ndarray
    squared_errors: np.ndarray
    squares: np.ndarray

    def each(self, function: Callable[[np.ndarray], np.ndarray]) -> Sums:
        """Apply a function to all of them."""
        others = self.negatives, self.positives, self.squared_errors, self.squares
        counts = {name: function(part) for name, part in self.counts.items()}
        return Sums(counts, *(function(part) for part in others))

    def at(self, rows: np.ndarray) -> Sums:
        """Give some windows."""
        return self.each(lambda part: part[rows])

    def total(self) -> Sums:
        """Sum all days."""
        return self.each(lambda part: part.sum(axis=0))


def slice_change_table(
    days: pa.Table,
    reference_days: pa.Table,
    periods: list[dict],
    covered: pa.Table,
    ends: pa.Table,
    *,
    size: int,
    n_bins: int,
    settings: dict,
) -> pa.Table:
    """Compare the slices of all models in windows of one size with their reference.

    Parameters
    ----------
    days : Table
        Rows of ``int_labelled_days`` of slices, from ``size`` days before the first end.
    reference_days : Table
        The same of the days of baselines.
    periods : list of dict
        ``model_name``, ``model_version``, ``baseline_start`` and ``baseline_end``.
    covered : Table
        ``ATTRIBUTE``, ``slice_value``, ``window_end``, ``label_view`` of slices with enough labels
        of their predictions.
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    size : int
        The length of the windows in days.
    n_bins : int
        Score bins of slices.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``SLICE_CHANGES``. Windows that begin before the baseline of the version is
        over, or are longer than it, have no rows.
    """
    end_days, revisions = day_windows(ends)
    references = dict(parts_of(reference_days, ATTRIBUTE[:2] + ATTRIBUTE[3:]))
    covers = dict(parts_of(covered, ATTRIBUTE))
    period_of = {(row["model_name"], row["model_version"]): row for row in periods}
    tables = []
    for key, part in parts_of(days, ATTRIBUTE):
        period = period_of.get(key[:2])
        if not period or length_of(period) < size:
            continue
        reference = references.get((*key[:2], key[3]), reference_days.slice(0, 0))
        names = np.unique(
            np.concatenate([part["slice_value"].to_numpy(), reference["slice_value"].to_numpy()])
        )
        cover = covers.get(key, covered.slice(0, 0))
        block = max(1, MOST_CELLS // (len(names) * n_bins))
        over = days_since_1970(period["baseline_end"])
        compared = end_days[end_days - size >= over]
        for label_view in LABEL_VIEWS:
            baseline = reference_sums(reference, period, label_view, names, size, n_bins)
            for start in range(0, len(compared), block):
                chosen = compared[start : start + block]
                origin = int(chosen[0])
                first, last = counted_windows(part, label_view, origin, size)
                sums = sums_of(part, first, last, chosen - origin, names, n_bins)
                rows = np.flatnonzero(sums.counts["labels"].sum(axis=1))
                if len(rows):
                    is_covered = cover_of(cover, label_view, chosen[rows], names)
                    tables += attribute_tables(
                        {**dict(zip(ATTRIBUTE, key, strict=True)), "label_view": label_view},
                        names, chosen[rows], sums.at(rows), baseline, is_covered, period, revisions,
                        size=size, settings=settings,
                    )  # fmt: skip
    return judged(pa.concat_tables(tables or [SLICE_CHANGES.empty_table()]))


def length_of(period: dict) -> int:
    """Give the length of a baseline in days."""
    return days_since_1970(period["baseline_end"]) - days_since_1970(period["baseline_start"])


def days_since_1970(date) -> int:
    """Give a date as a number."""
    return int(np.datetime64(date, "D").astype(np.int64))


def sums_of(
    part: pa.Table,
    first: np.ndarray,
    last: np.ndarray,
    wanted: np.ndarray,
    names: np.ndarray,
    n_bins: int,
) -> Sums:
    """Sum rows over windows, by slice."""
    n_windows = int(wanted[-1]) + 1
    n_slices = len(names)
    slices = np.searchsorted(names, part["slice_value"].to_numpy())
    bins = part["score_bin"].fill_null(-1).to_numpy().astype(np.int64)
    has_score = bins >= 0
    # What counts in none of these windows is passed over once, not for each sum.
    counts = (first <= np.minimum(last, n_windows - 1)) & (last >= 0)

    def total(name: str, where: np.ndarray = counts) -> np.ndarray:
        return window_sums(
            first[where],
            last[where],
            slices[where],
            part[name].to_numpy()[where],
            n_windows=n_windows,
            n_columns=n_slices,
        )[wanted]

    def by_bin(name: str) -> np.ndarray:
        where = counts & has_score
        return window_sums(
            first[where],
            last[where],
            slices[where] * n_bins + bins[where],
            part[name].to_numpy()[where],
            n_windows=n_windows,
            n_columns=n_slices * n_bins,
        )[wanted].reshape(len(wanted), n_slices, n_bins)

    scored, positives = by_bin("labeled_count"), by_bin("positive_count")
    return Sums(
        {name: total(COLUMN_OF[name]) for name in CONFUSION}
        | {"labels": total("labeled_count"), "scored": scored.sum(axis=-1)},
        negatives=scored - positives,
        positives=positives,
        squared_errors=total("squared_error_sum") * UNIT,
        squares=total("squared_error_square_sum") * UNIT,
    )


def reference_sums(
    part: pa.Table, period: dict, label_view: str, names: np.ndarray, size: int, n_bins: int
) -> Sums:
    """Sum the days of a baseline, each with the labels that windows of this size know of it.

    Windows follow each other without a gap and end with the baseline; days before the first of
    them are left out.
    """
    start, end = (days_since_1970(period[f"baseline_{name}"]) for name in ("start", "end"))
    n_days = (end - start) // size * size
    day = part["event_date"].cast(pa.int32()).to_numpy().astype(np.int64)
    window_end = end - (end - 1 - day) // size * size
    known, replaced = (
        part[name].cast(pa.int32()).to_numpy().astype(float) for name in ("known_on", "replaced_on")
    )
    if label_view == "as_known":
        counts = (known <= window_end) & ~(replaced <= window_end)
    else:
        counts = np.isnan(replaced)
    counts &= (day >= end - n_days) & (day < end)
    chosen = part.filter(pa.array(counts))
    number = day[counts] - (end - n_days)
    return sums_of(chosen, number, number, np.arange(n_days), names, n_bins)


def cover_of(
    cover: pa.Table, label_view: str, end_days: np.ndarray, names: np.ndarray
) -> np.ndarray:
    """Whether enough predictions of each window and slice are labelled."""
    found = np.zeros((len(end_days), len(names)), bool)
    window_end = cover["window_end"].cast(pa.int32()).to_numpy()
    values = cover["slice_value"].to_numpy()
    is_one = (cover["label_view"].to_numpy() == label_view) & np.isin(window_end, end_days)
    is_one &= np.isin(values, names)
    rows = np.searchsorted(end_days, window_end[is_one])
    found[rows, np.searchsorted(names, values[is_one])] = True
    return found


def estimates(sums: Sums) -> Iterator[tuple[str, slice_changes.Estimates, list, dict]]:
    """Give each metric of windows: its estimates, its counts, and what means and weights are of.

    The counts are all that have to be large enough; the first is the number of members.
    """
    counts = sums.counts
    for name, (hits, members) in slice_changes.RATES.items():
        successes = sum(counts[part] for part in hits)
        trials = sum(counts[part] for part in members)
        yield (
            name,
            slice_changes.rate_estimates(successes, trials),
            [trials],
            {
                "total": successes,
                "count": trials,
            },
        )
    scored = counts["scored"]
    yield (
        "brier_score",
        slice_changes.mean_estimates(sums.squared_errors, sums.squares, scored),
        [scored],
        {"total": sums.squared_errors, "count": scored},
    )
    classes = [part.sum(axis=-1) for part in (sums.negatives, sums.positives)]
    yield (
        "roc_auc",
        slice_changes.auc_estimates(sums.negatives, sums.positives),
        [scored, *classes],
        {},
    )


def influences(days: Sums) -> dict[str, np.ndarray]:
    """Give what each day of the reference adds to each metric of a slice less the rest."""
    found = {}
    for name, (hits, members) in slice_changes.RATES.items():
        successes = sum(days.counts[part] for part in hits)
        trials = sum(days.counts[part] for part in members)
        found[name] = slice_changes.mean_influence(successes, trials)
    found["brier_score"] = slice_changes.mean_influence(days.squared_errors, days.counts["scored"])
    found["roc_auc"] = slice_changes.auc_influence(days.negatives, days.positives)
    return found


def attribute_tables(
    key: dict[str, str],
    names: np.ndarray,
    end_days: np.ndarray,
    sums: Sums,
    baseline: Sums,
    is_covered: np.ndarray,
    period: dict,
    revisions: dict[int, int],
    *,
    size: int,
    settings: dict,
) -> list[pa.Table]:
    """Compare the slices of one slice_key in windows: a table for each metric."""
    before = baseline.total()
    n_days = int((baseline.counts["labels"].sum(axis=1) > 0).sum())
    influence_of = influences(baseline)
    labels, labels_before = sums.counts["labels"], before.counts["labels"]
    has_row = (labels > 0) | (labels_before > 0)
    window, number = np.nonzero(has_row)
    columns = key | {
        **day_window_columns(end_days[window], revisions, size=size),
        "slice_value": pa.array(names.tolist(), pa.string()).take(pa.array(number)),
    }
    for name in ("start", "end"):
        date = pa.scalar(period[f"baseline_{name}"], pa.date32())
        columns[f"reference_{name}"] = pa.repeat(date, len(number))

    def spread(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, has_row.shape)[has_row]

    tables = []
    both = zip(estimates(sums), estimates(before), strict=True)
    for (metric, now, sizes, mean_of), (_, then, sizes_before, mean_before) in both:
        found = {"value": now.value, "reference_value": then.value}
        found |= slice_changes.compare(now, then, influence_of[metric], n_days)
        has_members = np.array(n_days >= LEAST_DAYS)
        has_classes = is_enough = np.array(True)
        for members, *classes in (sizes, sizes_before):
            has_members = has_members & at_least(members, settings["min_samples"])
            for members_of_class in classes:
                has_classes = has_classes & at_least(members_of_class, 1)
                least = settings["min_samples_per_class"]
                is_enough = is_enough & at_least(members_of_class, least)
        if metric in slice_changes.RATES:
            # Of rarer ones the approximation does not hold (Cochran, Biometrics 1954).
            is_enough = is_enough & (slice_changes.least_expected(now, then) >= 5)
        status = first_of(
            {
                "no_data": labels == 0,
                "no_baseline": labels_before == 0,
                "immature": ~is_covered,
                "insufficient_data": ~has_members,
                "single_class": ~has_classes,
                " insufficient_data": ~is_enough,
                "not_estimable": ~(found["standard_error"] > 0),
            },
            has_row.shape,
        )
        found = {name: np.where(status == "ok", part, np.nan) for name, part in found.items()}
        found |= dict.fromkeys(EFFECTS, np.full(has_row.shape, np.nan))
        if mean_of:
            counts, counts_before = mean_of["count"], mean_before["count"]
            own, mix, whole_change = slice_changes.contributions(
                now.value, counts, then.value, counts_before
            )
            is_known = np.minimum(counts.sum(axis=-1, keepdims=True), counts_before.sum())
            is_known = is_known >= settings["min_samples"]
            parts = (own, mix, own + mix, whole_change[:, None])
            found |= {
                name: np.where(is_known, part, np.nan)
                for name, part in zip(EFFECTS, parts, strict=True)
            }
        values = {name: spread(part) for name, part in found.items()}
        values |= {
            "metric": metric,
            "labeled_count": spread(labels),
            "reference_labeled_count": spread(labels_before),
            "sample_count": spread(sizes[0]),
            "reference_sample_count": spread(sizes_before[0]),
            "qvalue": np.full(len(number), np.nan),
            "slice_rank": np.full(len(number), np.nan),
            "change_status": spread(status).astype(object),
        }
        tables.append(table_of(columns | values, SLICE_CHANGES, len(number)))
    return tables


def at_least(counts: np.ndarray, least: int) -> np.ndarray:
    """Whether each slice, and the rest of the model, have so many."""
    return (counts >= least) & (counts.sum(axis=-1, keepdims=True) - counts >= least)


def first_of(reasons: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Give the first reason that holds, or ``ok``; blanks around a name tell its uses apart."""
    holds = [np.broadcast_to(reason, shape) for reason in reasons.values()]
    return np.select(holds, [name.strip() for name in reasons], "ok")


def judged(table: pa.Table) -> pa.Table:
    """Fill in ``qvalue`` and ``slice_rank``, within the slices that are compared at once."""
    names = ("model_name", "model_version", "role", "window_size", "label_view", "metric")
    family = codes_of(table, (*names, "window_end"))
    pvalue = table["pvalue"].to_numpy()
    qvalue = benjamini_hochberg(pvalue, family)
    metrics = table["metric"].combine_chunks().dictionary_encode()
    worse = np.array([slice_changes.WORSE[name] for name in metrics.dictionary.to_pylist()], int)
    worse = worse[metrics.indices.to_numpy()]
    difference = table["difference_in_changes"].to_numpy()
    # From the worst on; where neither direction is worse, from the largest change. Of two slices
    # that are all of the model, one is the rest of the other: by name, not by rounding.
    badness = np.round(np.where(worse == 0, np.abs(difference), difference * worse), 12)
    tests = np.flatnonzero(~np.isnan(pvalue))
    value, slice_key = (
        table[name].combine_chunks().to_numpy(zero_copy_only=False)[tests]
        for name in ("slice_value", "slice_key")
    )
    order = tests[np.lexsort((value, slice_key, -badness[tests], family[tests]))]
    rank = np.full(len(table), np.nan)
    is_first = np.diff(family[order], prepend=-1) != 0
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    rank[order] = np.arange(len(order)) - start + 1
    for name, values in (("qvalue", qvalue), ("slice_rank", rank)):
        kind = SLICE_CHANGES.field(name).type
        position = SLICE_CHANGES.get_field_index(name)
        column = pa.array(values, pa.float64(), from_pandas=True).cast(kind)
        table = table.set_column(position, SLICE_CHANGES.field(name), column)
    return table
