"""Between Arrow tables of daily bins and the functions of ``integrity``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

import integrity
from arrow_tables import DAY_WINDOW_FIELDS
from inference_logger import canonical_json

ONE_DAY = timedelta(days=1)
# The whole model is also compared with the median of so many days before, if there are enough:
# a season moves slowly, another unit comes overnight.
EARLIER_DAYS = 14
LEAST_EARLIER_DAYS = 7
# With more beyond the bins of the baseline, quantiles are those of a sample.
MOST_BEYOND = 0.05
# Of two slices that differ nobody knows which is odd.
LEAST_SLICES = 3
VERSION = ("model_name", "model_version", "role")
INTEGRITY = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("feature", pa.string()),
        pa.field("integrity_check", pa.string()),
        pa.field("other_feature", pa.string()),
        pa.field("is_flagged", pa.bool_()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("factor", pa.float64()),
        pa.field("value_offset", pa.float64()),
        pa.field("fit_residual", pa.float64()),
        pa.field("sample_count", pa.int64()),
        pa.field("detail", pa.string()),
        pa.field("data_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)


def integrity_table(
    days: list[dict[str, Any]],
    baseline: list[dict[str, Any]],
    type_changes: dict[tuple, int],
    samples: list[dict[str, Any]],
    feature: dict[str, Any],
    ends: dict[date, int],
    settings: dict[str, Any],
) -> pa.Table:
    """Check one feature of one model in windows of a day.

    Parameters
    ----------
    days : list of dict
        Rows of ``int_feature_days`` of the windows and of the days before, in a fixed order.
    baseline : list of dict
        Rows of ``int_baseline_days`` of the current baseline_version.
    type_changes : dict
        Predictions with a value of the wrong type, by (event_date, model_version, role).
    samples : list of dict
        The feature's rows of ``int_integrity_days`` of the windows and of the days before.
    feature : dict
        The feature's row of ``int_baseline_bins``.
    ends : dict of date to int
        The ends of the windows and their revisions.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``INTEGRITY``.
    """
    bins = Bins(feature, days + baseline)
    whole = [row for row in days if row["slice_key"] == "all"]
    of_whole = [row for row in baseline if row["slice_key"] == "all"]
    reference = Reference(of_whole, bins, settings["min_samples"])
    sample_of = {key_of(row): row for row in samples}
    units = {}
    if bins.is_number:
        units = unit_findings(days, whole, baseline, sample_of, reference, bins, ends, settings)

    rows = []
    for row in whole:
        end = row["event_date"] + ONE_DAY
        if end not in ends:
            continue
        values = row["prediction_count"] - row["null_count"]
        common = {name: row[name] for name in VERSION} | {
            "slice_key": "all",
            "slice_value": "all",
            "window_size": "1d",
            "window_start": row["event_date"],
            "window_end": end,
            "feature": feature["feature"],
            "revision": ends[end],
        }
        wrong = type_changes.get((row["event_date"], row["model_version"], row["role"]), 0)
        rows.append(common | type_change(wrong, row["prediction_count"], settings))
        rows.append(common | stuck(row, values, reference, bins, settings))
        rows.append(common | duplicated(sample_of.get(key_of(row)), settings))
        if bins.is_number:
            status = status_of(values, reference.count, settings)
            if status == "ok" and not reference.span > 0:
                status = "not_applicable"
            found = units.get(key_of(row), {"value": 0.0}) if status == "ok" else {}
            rows.append(
                common | finding("unit_change", found.get("value"), 0.0, values, status) | found
            )
    return pa.Table.from_pylist(rows, INTEGRITY)


def key_of(row: dict[str, Any]) -> tuple:
    """Identify a day of a version."""
    return row["event_date"], row["model_version"], row["role"]


def status_of(count: int, baseline_count: int, settings: dict[str, Any]) -> str:
    """Say whether there is enough to compare, and what lacks."""
    if count == 0:
        return "no_data"
    if baseline_count == 0:
        return "no_baseline"
    least = settings["min_samples"]
    return "ok" if min(count, baseline_count) >= least else "insufficient_data"


def finding(
    check: str, value: float | None, threshold: float, sample_count: int, status: str
) -> dict[str, Any]:
    """Columns that all checks have; the value is kept only where it is known."""
    return {
        "integrity_check": check,
        "value": value if status == "ok" else None,
        "threshold": threshold,
        "is_flagged": bool(value > threshold) if status == "ok" else None,
        "sample_count": sample_count,
        "data_status": status,
    }


def type_change(wrong: int, count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Judge how many values are not of the declared type."""
    status = "ok" if count >= settings["min_samples"] else "insufficient_data"
    row = finding("type_change", wrong / count, integrity.TYPE_CHANGE_RATE, count, status)
    detail = f"{wrong} of {count} predictions had a value that is not of the declared type"
    return row | {"detail": detail if row["is_flagged"] else None}


def stuck(
    row: dict[str, Any],
    values: int,
    reference: Reference,
    bins: Bins,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Judge whether one value holds the day."""
    status = status_of(values, reference.count, settings)
    if status == "ok" and np.isnan(reference.largest_share):
        status = "insufficient_data"
    if status == "ok" and reference.largest_share > integrity.MAX_BASELINE_STUCK_SHARE:
        status = "not_applicable"
    (share,) = bins.stuck_shares([row])
    result = finding("stuck", float(share), integrity.STUCK_SHARE, values, status)
    if result["is_flagged"]:
        result["detail"] = (
            f"one value holds {100 * share:.0f} % of the day, "
            f"at most {100 * reference.largest_share:.0f} % of a day of the baseline"
        )
    return result


def duplicated(sample: dict[str, Any] | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Judge whether another feature has the same values."""
    count = sample["value_count"] if sample else 0
    status = "ok" if count >= settings["min_samples"] else "insufficient_data"
    if not count:
        status = "no_data"
    share = (sample and sample["equal_share"]) or 0.0
    percent = f"{100 * share:.1f} %"
    result = finding("duplicated", share, integrity.DUPLICATED_SHARE, count, status)
    if result["is_flagged"]:
        result["other_feature"] = sample["other_feature"]
        result["detail"] = (
            f"equals {sample['other_feature']} in {percent} of {count} sampled predictions"
        )
    return result


def hash_table(versions: list[tuple], hashed: list[tuple], ends: dict[date, int]) -> pa.Table:
    """Check that logged hashes are those of the logged features.

    Parameters
    ----------
    versions : list of tuple
        (model_name, model_version, role, event_date) of the days with predictions.
    hashed : list of tuple
        Of sampled predictions the same, ``feature_hash``, and ``features`` as JSON or None.
    ends : dict of date to int
        The ends of the windows and their revisions.

    Returns
    -------
    Table
        With the schema ``INTEGRITY``: a row for each of the versions.
    """
    checked, wrong = Counter(), Counter()
    for *key, feature_hash, features in hashed:
        checked[tuple(key)] += 1
        wrong[tuple(key)] += not is_hash_of(feature_hash, features)
    rows = []
    for *version, day in versions:
        if day + ONE_DAY not in ends:
            continue
        count, mismatches = checked[(*version, day)], wrong[(*version, day)]
        common = dict(zip(VERSION, version, strict=True)) | {
            "slice_key": "all",
            "slice_value": "all",
            "window_size": "1d",
            "window_start": day,
            "window_end": day + ONE_DAY,
            "feature": "all",
            "revision": ends[day + ONE_DAY],
        }
        # One is enough: a hash is not wrong by chance.
        status = "ok" if count else "no_data"
        row = finding("hash_mismatch", mismatches / max(count, 1), 0.0, count, status)
        detail = f"{mismatches} of {count} sampled predictions were not hashed as logged"
        rows.append(common | row | {"detail": detail if row["is_flagged"] else None})
    return pa.Table.from_pylist(rows, INTEGRITY)


def is_hash_of(feature_hash: str, features: str | None) -> bool:
    """Say whether a hash is the SHA-256 of the canonical JSON (RFC 8785) of some features."""
    try:
        canonical = canonical_json(json.loads(features or "null"))
    except (ValueError, RecursionError):
        # JSON that has no canonical form, such as half an emoji, or that is a thousand levels deep.
        return False
    return hashlib.sha256(canonical.encode()).hexdigest() == feature_hash


class Bins:
    """The bins of a feature, and rows of daily counts as arrays."""

    def __init__(self, feature: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        self.is_number = feature["feature_type"] in ("numerical", "timestamp")
        self.edges = np.array(feature["edges"] or [], float)
        highest = max((key for row in rows for key, _ in row["bin_counts"]), default=0)
        self.size = len(self.edges) + 1 if self.is_number else highest + 1

    def counts(self, rows: list[dict[str, Any]]) -> np.ndarray:
        """Count predictions by row and bin."""
        counts = np.zeros((len(rows), self.size), np.int64)
        for position, row in enumerate(rows):
            for number, count in row["bin_counts"]:
                counts[position, number] = count
        return counts

    def quantiles(
        self, rows: list[dict[str, Any]], reach: list[tuple[float | None, float | None]]
    ) -> np.ndarray:
        """Quantiles by row; ``reach`` is the smallest and largest value of each."""
        low, high = np.array(reach, float).reshape(-1, 2).T
        return integrity.bin_quantiles(self.counts(rows), self.edges, low, high)

    def stuck_shares(self, rows: list[dict[str, Any]]) -> np.ndarray:
        """Share of the fullest bin, by row."""
        if not self.is_number:
            return integrity.stuck_shares(self.counts(rows))
        reach = np.array([reach_of(row) for row in rows], float).reshape(-1, 2)
        return integrity.stuck_shares(self.counts(rows), *reach.T)


def reach_of(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Smallest and largest value of a row."""
    return row["value_min"], row["value_max"]


class Reference:
    """What the baseline says of the whole model."""

    def __init__(self, rows: list[dict[str, Any]], bins: Bins, least: int) -> None:
        self.count = sum(row["prediction_count"] - row["null_count"] for row in rows)
        # Of days with enough predictions: of one prediction one value holds all.
        full = [row for row in rows if row["prediction_count"] - row["null_count"] >= least]
        shares = bins.stuck_shares(full)
        self.largest_share = float(shares.max()) if full else np.nan
        self.quantiles = np.full(len(integrity.PROBABILITIES), np.nan)
        known = [row for row in rows if row["value_min"] is not None]
        if bins.is_number and known:
            self.quantiles = pooled(known, known, bins)
        self.span = float(integrity.span(self.quantiles))


def pooled(rows: list[dict[str, Any]], whole: list[dict[str, Any]], bins: Bins) -> np.ndarray:
    """Quantiles of rows taken together."""
    low = min(row["value_min"] for row in whole)
    high = max(row["value_max"] for row in whole)
    counts = bins.counts(rows).sum(axis=0)[None]
    return integrity.bin_quantiles(counts, bins.edges, np.array([low]), np.array([high]))[0]


def unit_findings(
    days: list[dict[str, Any]],
    whole: list[dict[str, Any]],
    baseline: list[dict[str, Any]],
    sample_of: dict[tuple, dict[str, Any]],
    reference: Reference,
    bins: Bins,
    ends: dict[date, int],
    settings: dict[str, Any],
) -> dict[tuple, dict[str, Any]]:
    """Find changes of unit, by (event_date, model_version, role)."""
    least = settings["min_samples"]
    known = [
        row
        for row in whole
        if row["value_min"] is not None and row["prediction_count"] - row["null_count"] >= least
    ]
    if not known or not reference.span > 0:
        return {}
    quantiles = bins.quantiles(known, [reach_of(row) for row in known])
    beyond = bins.counts(known)[:, [0, -1]].sum(axis=1)
    for position, row in enumerate(known):
        sample = sample_of.get(key_of(row))
        # Beyond the edges the bins keep no shape.
        if beyond[position] > MOST_BEYOND * row["prediction_count"] and sample:
            quantiles[position] = sample["quantiles"] or np.nan
    by_day: dict[date, list[np.ndarray]] = {}
    for row, values in zip(known, quantiles, strict=True):
        by_day.setdefault(row["event_date"], []).append(values)
    day_quantiles = {day: np.median(values, axis=0) for day, values in by_day.items()}

    found = slice_findings(days, known, baseline, reference, bins, ends, settings)
    from_baseline = integrity.unit_changes(
        quantiles, np.tile(reference.quantiles, (len(quantiles), 1)), reference.span
    )
    for position in np.flatnonzero(from_baseline.is_flagged):
        row = known[position]
        if row["event_date"] + ONE_DAY not in ends:
            continue
        earlier = [
            day_quantiles[day]
            for before in range(1, EARLIER_DAYS + 1)
            if (day := row["event_date"] - before * ONE_DAY) in day_quantiles
        ]
        if len(earlier) < LEAST_EARLIER_DAYS:
            continue
        late = integrity.unit_changes(
            quantiles[position], np.median(earlier, axis=0), reference.span
        )
        if not late.is_flagged[0] or late.names[0] != from_baseline.names[position]:
            continue
        found[key_of(row)] = described("all predictions", 1.0, from_baseline, position)
    return found


def slice_findings(
    days: list[dict[str, Any]],
    whole: list[dict[str, Any]],
    baseline: list[dict[str, Any]],
    reference: Reference,
    bins: Bins,
    ends: dict[date, int],
    settings: dict[str, Any],
) -> dict[tuple, dict[str, Any]]:
    """Compare the slices of a day with each other, where they are alike in the baseline."""
    least = settings["min_samples"]
    of_whole = {key_of(row): row for row in whole}
    windows: dict[tuple, list[dict[str, Any]]] = {}
    for row in days:
        if (
            row["slice_key"] != "all"
            and key_of(row) in of_whole
            and row["event_date"] + ONE_DAY in ends
            and row["prediction_count"] - row["null_count"] >= least
        ):
            windows.setdefault((*key_of(row), row["slice_key"]), []).append(row)
    alike = slices_alike(baseline, reference, bins)

    keys, compared = [], []
    for key, rows in sorted(windows.items()):
        rows = [row for row in rows if (key[-1], row["slice_value"]) in alike]
        if len(rows) >= LEAST_SLICES:
            keys += [key] * len(rows)
            compared += rows
    if not compared:
        return {}
    current = bins.quantiles(compared, [reach_of(of_whole[key[:-1]]) for key in keys])

    # Most windows have no slice that is far from the others.
    odd, peers, spread = [], [], []
    starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        together = current[start:stop]
        gap = root_mean_square(together - np.median(together, axis=0))
        if gap.max() >= integrity.LEAST_CHANGE / 2 * reference.span:
            others, distance = integrity.peers(together)
            odd += range(start, stop)
            peers.append(others)
            spread.append(distance)
    if not odd:
        return {}
    current, peers, spread = current[odd], np.concatenate(peers), np.concatenate(spread)
    changes = integrity.unit_changes(current, peers, reference.span)
    is_known = np.array([name != "" for name in changes.names])
    gap = root_mean_square(current - peers) * np.fmin(1, 1 / changes.factor)
    is_odd = changes.is_flagged & is_known & (gap >= integrity.LEAST_GAIN * spread)

    by_key: dict[tuple, list[int]] = {}
    for position in np.flatnonzero(is_odd):
        by_key.setdefault(keys[odd[position]], []).append(int(position))
    found: dict[tuple, dict[str, Any]] = {}
    for (*key, slice_key), positions in by_key.items():
        rows = [compared[odd[position]] for position in positions]
        share = sum(row["prediction_count"] - row["null_count"] for row in rows)
        every = of_whole[tuple(key)]
        share /= every["prediction_count"] - every["null_count"]
        # The slice_key that most predictions are found by; the first by name where equal.
        if share > found.get(tuple(key), {"value": 0.0})["value"]:
            where = f"{slice_key} = {', '.join(row['slice_value'] for row in rows)}"
            found[tuple(key)] = described(where, share, changes, positions[0])
    return found


def root_mean_square(gaps: np.ndarray) -> np.ndarray:
    """Root mean square along the last axis."""
    return np.sqrt(np.mean(gaps**2, axis=-1))


def slices_alike(
    baseline: list[dict[str, Any]], reference: Reference, bins: Bins
) -> set[tuple[str, str]]:
    """Slices whose values in the baseline are those of the whole model."""
    whole = [r for r in baseline if r["slice_key"] == "all" and r["value_min"] is not None]
    slices: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in baseline:
        if row["slice_key"] != "all":
            slices.setdefault((row["slice_key"], row["slice_value"]), []).append(row)
    alike = set()
    for key, rows in slices.items():
        gap = pooled(rows, whole, bins) - reference.quantiles
        if root_mean_square(gap) <= integrity.MAX_BASELINE_DIFFERENCE * reference.span:
            alike.add(key)
    return alike


def described(
    where: str, share: float, changes: integrity.UnitChanges, position: int
) -> dict[str, Any]:
    """Columns of a change of unit."""
    name = changes.names[position] or "an unknown factor"
    return {
        "value": float(share),
        "factor": float(changes.factor[position]),
        "value_offset": float(changes.offset[position]),
        "fit_residual": float(changes.residual[position]),
        "detail": f"{where}: values as if converted, {name}",
    }
