"""Between Arrow tables of sampled predictions and the arrays of ``domain_classifier``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from arrow_tables import (
    DAY_WINDOW_FIELDS,
    SERIES,
    day_window_columns,
    day_windows,
    parts_of,
    table_of,
)
from domain_classifier import Separation, day_folds, separation

# What int_feature_samples keeps of a day, model version and role; the macro daily_sample_size too.
DAILY_SAMPLE_SIZE = 300
# Rows of a side: with so many, an AUC of 0.53 is already more than chance.
SAMPLE_SIZE = 1000
# An AUC of 0.6 is that of one number which has moved by 0.36 standard deviations, 0.7 by 0.74.
MODERATE, SIGNIFICANT = 0.6, 0.7
SIGNIFICANCE = 0.05
# Fewer own windows say little about the next.
LEAST_OWN_WINDOWS = 4
IMPORTANCE = pa.struct([pa.field("feature", pa.string()), pa.field("importance", pa.float64())])
MULTIVARIATE = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("baseline_version", pa.string()),
        pa.field("baseline_count", pa.int64()),
        pa.field("current_count", pa.int64()),
        *[
            pa.field(name, pa.float64())
            for name in (
                "domain_classifier_auc",
                "domain_classifier_auc_lower",
                "domain_classifier_auc_upper",
                "pvalue",
                "auc_own_windows_q95",
            )
        ],
        pa.field("importances", pa.list_(IMPORTANCE)),
        pa.field("drift_level", pa.string()),
        pa.field("data_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)


def multivariate_table(
    current: pa.Table, baseline: pa.Table, ends: pa.Table, model: dict, settings: dict
) -> pa.Table:
    """Tell the windows of one model from its baseline.

    Parameters
    ----------
    current : Table
        Rows of ``int_feature_samples``, by rising ``request_hash``.
    baseline : Table
        Rows of ``int_baseline_samples``, likewise.
    ends : Table
        ``days``, ``window_end`` and ``revision`` of the windows to compute, all of one length.
    model : dict
        ``baseline_version``, and ``features``: a list of dicts of ``name`` and ``type``.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``MULTIVARIATE``.
    """
    size = ends["days"][0].as_py()
    end_days, revisions = day_windows(ends)
    # A feature that came after the baseline was frozen would give each window away.
    known = baseline["features"][0].as_py() if len(baseline) else model["features"]
    features = [feature for feature in model["features"] if feature in known]
    is_category = np.array(
        [feature["type"] in ("categorical", "boolean") for feature in features], bool
    )
    reference = Sample.of(baseline, features)
    own_q95 = own_windows_q95(reference, size, is_category, settings)
    chosen = reference.uniform(SAMPLE_SIZE)

    rows = []
    for version, rows_of_version in parts_of(current, SERIES[:3]):
        key = (*version, "all", "all")
        part = Sample.of(rows_of_version, features)
        for end in end_days.tolist():
            window = part.within(end - size, end)
            if not len(window.day):
                continue
            status = "ok"
            sampled = window.uniform(SAMPLE_SIZE)
            # A window of the baseline itself is told from the rest of it.
            is_inside = (reference.day >= end - size) & (reference.day < end)
            compared = chosen
            if is_inside.any():
                compared = reference.take(~is_inside).uniform(SAMPLE_SIZE)
            if not features:
                status = "not_applicable"
            elif not len(compared.day):
                status = "no_baseline"
            elif min(len(compared.day), len(sampled.day)) < settings["min_samples"]:
                status = "insufficient_data"
            found = None
            if status == "ok":
                found = separation_of(compared, sampled, is_category)
            rows.append((key, end, len(compared.day), len(sampled.day), status, found))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 6
    keys, window_end, baseline_counts, counts, statuses, found = columns
    aucs = {
        name: np.array([np.nan if one is None else getattr(one, name) for one in found])
        for name in ("auc", "auc_lower", "auc_upper", "pvalue")
    }
    has_auc = np.array([one is not None for one in found], bool)
    series = zip(*keys, strict=True) if keys else [[]] * len(SERIES)
    return table_of(
        {
            **{
                name: pa.array(values, pa.string())
                for name, values in zip(SERIES, series, strict=True)
            },
            **day_window_columns(np.array(window_end, np.int64), revisions, size=size),
            "baseline_version": model["baseline_version"],
            "baseline_count": np.array(baseline_counts, np.int64),
            "current_count": np.array(counts, np.int64),
            "domain_classifier_auc": aucs["auc"],
            "domain_classifier_auc_lower": aucs["auc_lower"],
            "domain_classifier_auc_upper": aucs["auc_upper"],
            "pvalue": aucs["pvalue"],
            "auc_own_windows_q95": np.where(has_auc, own_q95, np.nan),
            "importances": pa.array(
                [importances(one, features) for one in found], pa.list_(IMPORTANCE)
            ),
            "drift_level": pa.array([level(one, own_q95) for one in found], pa.string()),
            "data_status": pa.array(statuses, pa.string()),
        },
        MULTIVARIATE,
        len(rows),
    )


@dataclass(frozen=True)
class Sample:
    """Sampled predictions by rising hash.

    Attributes
    ----------
    day : ndarray of int, shape (n,)
        In days since 1970.
    source : ndarray of int, shape (n,)
        Which sample of a day, version and role a row is from.
    request_hash : ndarray of uint64, shape (n,)
    values : ndarray of float, shape (n, n_features)
        Bins; NaN where missing.
    """

    day: np.ndarray
    source: np.ndarray
    request_hash: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, table: pa.Table, features: list[dict[str, str]]) -> Sample:
        """Read some features of rows of ``int_feature_samples``."""
        day = table["event_date"].cast(pa.int32()).to_numpy().astype(np.int64)
        parts = [table[name].to_numpy(zero_copy_only=False) for name in ("model_version", "role")]
        keys = list(zip(day.tolist(), *(part.tolist() for part in parts), strict=True))
        number = {key: place for place, key in enumerate(sorted(set(keys)))}
        held = table["features"][0].as_py() if len(table) else features
        bins = table["feature_bins"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = bins.astype(float).reshape(len(table), len(held))
        return cls(
            day=day,
            source=np.array([number[key] for key in keys], np.int64),
            request_hash=table["request_hash"].to_numpy(),
            values=values[:, [held.index(feature) for feature in features]],
        )

    def take(self, rows: np.ndarray) -> Sample:
        """Keep some rows."""
        return Sample(self.day[rows], self.source[rows], self.request_hash[rows], self.values[rows])

    def within(self, first: int, stop: int) -> Sample:
        """Keep the days from first to the one before stop."""
        return self.take((self.day >= first) & (self.day < stop))

    def uniform(self, size: int) -> Sample:
        """Take at most ``size`` rows, in which each prediction of all days is as likely."""
        return self.take(self.uniform_rows(size))

    def uniform_rows(self, size: int) -> np.ndarray:
        """Positions of at most ``size`` rows, in which each prediction of all days is as likely.

        A day keeps its smallest hashes. Beyond the largest hash of a full day others of that day
        may be missing, so nothing is taken from there on.
        """
        if not len(self.day):
            return np.arange(0)
        kept = np.bincount(self.source)
        largest = np.zeros(len(kept), np.uint64)
        np.maximum.at(largest, self.source, self.request_hash)
        full = largest[kept >= DAILY_SAMPLE_SIZE]
        until = full.min() if len(full) else np.iinfo(np.uint64).max
        return np.flatnonzero(self.request_hash <= until)[:size]


def separation_of(baseline: Sample, current: Sample, is_category: np.ndarray) -> Separation:
    """Tell a sample of a window from one of the baseline."""
    return separation(
        baseline.values,
        current.values,
        is_category,
        day_folds(baseline.day),
        day_folds(current.day),
    )


def own_windows_q95(reference: Sample, size: int, is_category: np.ndarray, settings: dict) -> float:
    """AUC that one more window like the baseline's own stays under, in 95 of 100 cases.

    Windows that follow each other, each against the rest of the baseline: real traffic has weather
    and seasons, and a classifier tells any week from others. NaN of fewer than
    ``LEAST_OWN_WINDOWS`` windows. The quantile is at 0.95 (m + 1) of the m windows in order, and
    at the largest of fewer than 19.
    """
    if not len(reference.day) or not len(is_category):
        return np.nan
    found = []
    for start in range(int(reference.day.min()), int(reference.day.max()) + 2 - size, size):
        is_inside = (reference.day >= start) & (reference.day < start + size)
        inside, rest = (
            reference.take(rows).uniform(SAMPLE_SIZE) for rows in (is_inside, ~is_inside)
        )
        if min(len(inside.day), len(rest.day)) >= settings["min_samples"]:
            found.append(separation_of(rest, inside, is_category).auc)
    if len(found) < LEAST_OWN_WINDOWS:
        return np.nan
    return float(np.quantile(found, 0.95, method="weibull"))


def level(found: Separation | None, own_q95: float) -> str | None:
    """Say how far the window is from the baseline, as ``drift_level`` of one feature does."""
    if found is None:
        return None
    # Without own windows only chance is left to exceed.
    if found.pvalue >= SIGNIFICANCE or found.auc_lower <= np.nan_to_num(own_q95, nan=0.0):
        return "none"
    if found.auc < MODERATE:
        return "none"
    return "significant" if found.auc >= SIGNIFICANT else "moderate"


def importances(found: Separation | None, features: list[dict]) -> list[dict] | None:
    """Features by falling importance; those of equal importance by name."""
    if found is None:
        return None
    names = [feature["name"] for feature in features]
    ranked = sorted(zip(-found.importance, names, strict=True))
    return [{"feature": name, "importance": -fall} for fall, name in ranked]
