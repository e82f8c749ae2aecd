"""Between Arrow tables of score bins and the functions of ``recalibration``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

import calibration
import recalibration
from intervals import rate
from performance_tables import UNIT

VERSION = ("model_name", "model_version", "role")
PARTS = ("fit", "judged", "baseline")
PLAN = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in VERSION],
        pa.field("method", pa.string()),
        pa.field("parameters", pa.string()),
        pa.field("fit_labeled_count", pa.int64()),
        pa.field("judged_labeled_count", pa.int64()),
        pa.field("baseline_labeled_count", pa.int64()),
        *[
            pa.field(name, pa.float64())
            for name in (
                "baseline_ece",
                "ece",
                "ece_noise_floor",
                "recalibrated_ece",
                "brier_score",
                "recalibrated_brier_score",
            )
        ],
        pa.field("is_needed", pa.bool_()),
        pa.field("is_recommended", pa.bool_()),
        pa.field("data_status", pa.string()),
    ]
)


def plan_table(bins: pa.Table, settings: dict[str, Any]) -> pa.Table:
    """Plan the recalibration of each version of a model.

    Parameters
    ----------
    bins : Table
        The columns of ``VERSION``, ``part`` (one of ``PARTS``), ``score_bin``, ``negatives``,
        ``positives``, and in units of 2^-30 ``score_sum`` and ``variance_sum``; one row for each
        filled bin.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``PLAN``: a row for each version and method.
    """
    versions: dict[tuple[str, ...], dict[str, list[dict]]] = {}
    for row in bins.to_pylist():
        parts = versions.setdefault(tuple(row[name] for name in VERSION), {})
        parts.setdefault(row["part"], []).append(row)
    rows = [
        dict(zip(VERSION, version, strict=True)) | row
        for version, parts in sorted(versions.items())
        for row in plans_of(*(columns_of(parts.get(part, [])) for part in PARTS), settings)
    ]
    return pa.Table.from_pylist(rows, PLAN)


def columns_of(rows: list[dict]) -> dict[str, np.ndarray]:
    """Make arrays of the bins of one part, by rising score."""
    rows = sorted(rows, key=lambda row: row["score_bin"])
    columns = {
        name: np.array([row[name] for row in rows], np.int64)
        for name in ("negatives", "positives", "score_sum", "variance_sum")
    }
    count = columns["negatives"] + columns["positives"]
    # Summed over so many days the unit is small enough for a mean to stay in its bin.
    return columns | {
        "count": count,
        "variance_sum": columns["variance_sum"] * UNIT,
        "score": np.clip(rate(columns["score_sum"] * UNIT, count), 0.0, 1.0),
    }


def plans_of(fitted: dict, judged: dict, baseline: dict, settings: dict) -> list[dict]:
    """Plan one version: a row for each method."""
    n_bins = settings["calibration_bins"]
    min_samples, per_class = settings["min_samples"], settings["min_samples_per_class"]
    status = "ok"
    if not judged["count"].sum():
        status = "no_data"
    elif baseline["count"].sum() < min_samples:
        status = "no_baseline"
    elif min(part["count"].sum() for part in (fitted, judged)) < min_samples:
        status = "insufficient_data"
    elif not (fitted["negatives"].sum() and fitted["positives"].sum()):
        status = "single_class"
    elif min(fitted[name].sum() for name in ("negatives", "positives")) < per_class:
        status = "insufficient_data"
    common = {
        "fit_labeled_count": int(fitted["count"].sum()),
        "judged_labeled_count": int(judged["count"].sum()),
        "baseline_labeled_count": int(baseline["count"].sum()),
    }
    if status != "ok":
        return [
            common | {"method": method, "is_recommended": False, "data_status": status}
            for method in recalibration.METHODS
        ]

    ece = ece_of(judged, judged["score"], n_bins)
    baseline_ece = ece_of(baseline, baseline["score"], n_bins)
    noise_floor = float(
        calibration.ece_noise_floor(
            *(spread(judged[name], judged["score"], n_bins) for name in ("count", "variance_sum"))
        )
    )
    is_needed = recalibration.has_doubled(ece, noise_floor, baseline_ece)
    common |= {
        "baseline_ece": baseline_ece,
        "ece": ece,
        "ece_noise_floor": noise_floor,
        "brier_score": brier_of(judged, judged["score"]),
        "is_needed": is_needed,
    }
    rows = []
    for method in recalibration.METHODS:
        parameters = recalibration.fit(
            method, fitted["score"], fitted["negatives"], fitted["positives"]
        )
        if parameters is None:
            rows.append({"method": method, "data_status": "not_estimable"})
            continue
        mapped = recalibration.apply(method, parameters, judged["score"])
        rows.append(
            {
                "method": method,
                "parameters": json.dumps(parameters),
                "recalibrated_ece": ece_of(judged, mapped, n_bins),
                "recalibrated_brier_score": brier_of(judged, mapped),
                "data_status": "ok",
            }
        )
    best = recommended(rows, is_needed, noise_floor, baseline_ece)
    return [common | row | {"is_recommended": row is best} for row in rows]


def recommended(
    rows: list[dict], is_needed: bool, noise_floor: float, baseline_ece: float
) -> dict | None:
    """Choose the method that lowers the Brier score most, of those that mend the error."""
    mending = [
        row
        for row in rows
        if is_needed
        and row["data_status"] == "ok"
        and not recalibration.has_doubled(row["recalibrated_ece"], noise_floor, baseline_ece)
    ]
    # Of equal ones the first, which has the fewest parameters.
    return min(mending, key=lambda row: row["recalibrated_brier_score"], default=None)


def spread(values: np.ndarray, scores: np.ndarray, n_bins: int) -> np.ndarray:
    """Add up score bins by the calibration bin that some scores fall into."""
    edges = np.arange(1, n_bins) / n_bins
    place = np.searchsorted(edges, scores, side="right")
    return np.bincount(place, values, minlength=n_bins)


def ece_of(part: dict, scores: np.ndarray, n_bins: int) -> float:
    """Calibration error of a part, were these the scores of its bins."""
    return float(
        calibration.expected_calibration_error(
            *(
                spread(values, scores, n_bins)
                for values in (part["count"], part["count"] * scores, part["positives"])
            )
        )
    )


def brier_of(part: dict, scores: np.ndarray) -> float:
    """Mean squared error of a part, were these the scores of its bins."""
    errors = part["negatives"] * scores**2 + part["positives"] * (1 - scores) ** 2
    return float(errors.sum() / part["count"].sum())
