"""Between Arrow tables of what was counted around alerts and the rule of ``suspects``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

import suspects
from suspects import LEAST_SENSITIVITY, OTHER_FEATURE, Comparison, beyond

# Latencies and PSI are counted in units of 2^-20.
UNIT = 1 << 20
# A release is thought of for a day; half of it after six hours.
RELEASE_HOURS, HALF_LIFE_HOURS = 24.0, 6.0
# What another version in another role can do, such as one that goes shadow to the live one.
OTHER_ROLE = 0.2
SUSPECTS = pa.schema(
    [
        *[
            pa.field(name, pa.string())
            for name in ("alert_id", "suspect_kind", "suspect", "slice_key", "slice_value")
        ],
        pa.field("started_at", pa.timestamp("us")),
        pa.field("evidence", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("suspect_rank", pa.int64()),
        pa.field("runbook", pa.string()),
    ]
)
RUNBOOKS = {
    "deployment": "release",
    "upstream": "latency",
    "service_errors": "error_rate",
    "preprocessing": "drift",
    "feature_integrity": "drift",
    "feature_drift": "drift",
    "null_rate": "drift",
    "field_issues": "field_issues",
    "rejected_lines": "reject_rate",
    "duplicate_lines": "duplicates",
    "ingestion_gap": "silence",
    "label_delay": "label_coverage",
    "label_corrections": "label_corrections",
    "latency_of_model": "latency",
    "slice": None,
}


@dataclass(frozen=True)
class Measure:
    """What is counted of a kind of suspect.

    Attributes
    ----------
    kind : str
    words : str
        With `{now}`.
    unit : str
        ``%``, ``ms``, something ``an hour``, or nothing.
    base : str or None
        The measure whose numerator is the denominator here; None where there is one.
    direction : {1, -1}
        Whether a rise or a fall is suspicious.
    scale : float
        What a numerator is divided by.
    floor, relative_floor : float
        A difference that is no news, and one as a share of what is normal.
    is_daily : bool
        Whether periods before are the days before; else the same hours of days before.
    """

    kind: str
    words: str
    unit: str = "%"
    base: str | None = None
    direction: int = 1
    scale: float = 1.0
    floor: float = 0.0
    relative_floor: float = 0.0
    is_daily: bool = False


MEASURES = {
    "upstream_latency": Measure(
        "upstream", "answered in {now} on average", "ms", scale=UNIT, floor=1, relative_floor=0.1
    ),
    "upstream_errors": Measure("upstream", "failed in {now} of the calls", floor=0.002),
    "inference_time": Measure(
        "latency_of_model", "{now} on average", "ms", scale=UNIT, floor=0.5, relative_floor=0.1
    ),
    "preprocessing": Measure(
        "preprocessing", "set in {now} of the requests", base="requests", floor=0.005
    ),
    "service_errors": Measure(
        "service_errors", "{now} of the requests", base="requests", floor=0.002
    ),
    "field_issues": Measure("field_issues", "{now} of the lines", base="lines", floor=0.002),
    "rejected_lines": Measure("rejected_lines", "{now} of the lines", base="lines", floor=0.002),
    "duplicate_lines": Measure("duplicate_lines", "{now} of the lines", base="lines", floor=0.005),
    "late_files": Measure(
        "ingestion_gap", "{now} of the lines came more than a day late", base="lines", floor=0.01
    ),
    "requests": Measure(
        "ingestion_gap", "{now} arrived", "requests an hour", direction=-1, relative_floor=0.1
    ),
    "labels": Measure(
        "label_delay", "{now} arrived", "labels an hour", direction=-1, relative_floor=0.1
    ),
    "label_corrections": Measure("label_corrections", "{now} of the labels", floor=0.01),
    "null_rate": Measure("null_rate", "missing in {now} of the predictions", floor=0.005,
                         is_daily=True),
    "feature_integrity": Measure(
        "feature_integrity", "flagged on {now} of the days", floor=0.1, is_daily=True
    ),
    "feature_drift": Measure(
        "feature_drift", "PSI {now} by day", "", scale=UNIT, floor=0.05, relative_floor=0.2,
        is_daily=True,
    ),
}  # fmt: skip
KINDS = tuple(dict.fromkeys(["deployment", *(m.kind for m in MEASURES.values()), "slice"]))
# Whose suspects are features, by what is before the last colon.
OF_FEATURES = {"null_rate", "feature_integrity", "feature_drift", "field_issues"}


@dataclass
class Series:
    """What was counted of a suspect: numerators and denominators by period, and bins of the breach.

    Period 0 is the breach.
    """

    numerators: dict[int, float]
    denominators: dict[int, float]
    bins: dict[datetime, tuple[float, float]]
    detail: str | None = None


def suspects_table(
    alerts: list[dict[str, Any]],
    counts: list[dict[str, Any]],
    deployments: list[dict[str, Any]],
    importances: list[dict[str, Any]],
    contributions: list[dict[str, Any]],
) -> pa.Table:
    """Rank what else changed when alerts began, by how far it may explain them.

    Parameters
    ----------
    alerts : list of dict
        Rows of ``int_suspect_alerts``.
    counts : list of dict
        Rows of ``int_suspect_counts``.
    deployments : list of dict
        ``model_name``, ``model_version``, ``role``, ``deployed_from`` and ``deployed_to``.
    importances : list of dict
        ``model_name``, ``model_version``, ``feature`` and ``weight`` of features of known weight.
    contributions : list of dict
        ``alert_id``, ``slice_key``, ``slice_value``, ``share``, ``contribution_share`` and
        ``zscore`` of slices.

    Returns
    -------
    Table
        With the schema ``SUSPECTS``: all that was looked at, also what has a score of 0.
    """
    of_alert = defaultdict(list)
    for row in counts:
        of_alert[row["alert_id"]].append(row)
    slices = defaultdict(list)
    for row in contributions:
        slices[row["alert_id"]].append(row)
    weights = defaultdict(dict)
    for row in importances:
        weights[row["model_name"], row["model_version"]][row["feature"]] = row["weight"]
        # An alert of all versions: what matters to one of them.
        known = weights[row["model_name"], "all"]
        known[row["feature"]] = max(row["weight"], known.get(row["feature"], 0.0))
    rows = []
    for alert in alerts:
        sensitivity = weights.get((alert["model_name"], alert["model_version"]), {})
        found = [
            *counted_suspects(alert, of_alert[alert["alert_id"]], sensitivity),
            *deployment_suspects(alert, deployments),
            *slice_suspects(alert, slices[alert["alert_id"]]),
        ]
        # Of what is no suspect, the nearest to being one first.
        found.sort(
            key=lambda row: (
                -row["score"],
                -row.pop("deviations", 0.0),
                row["suspect_kind"],
                row["suspect"],
            )
        )
        for place, row in enumerate(found, 1):
            runbook = RUNBOOKS[row["suspect_kind"]]
            row |= {
                "alert_id": alert["alert_id"],
                "suspect_rank": place,
                "runbook": f"docs/runbooks/{runbook}.md" if runbook else alert["runbook"],
            }
        rows += found
    return pa.Table.from_pylist(rows, schema=SUSPECTS)


def counted_suspects(
    alert: dict[str, Any], counts: list[dict[str, Any]], sensitivity: dict[str, float]
) -> list[dict[str, Any]]:
    """Compare what was counted in the breach with the periods before; the best span of each."""
    series: dict[tuple[str, str, str], Series] = {}
    for row in counts:
        key = (row["measure"], row["suspect"], row["span"])
        one = series.setdefault(key, Series({}, {}, {}))
        numerator, denominator = row["numerator"] or 0, row["denominator"] or 0
        period = row["period_number"]
        one.numerators[period] = one.numerators.get(period, 0) + numerator
        one.denominators[period] = one.denominators.get(period, 0) + denominator
        if period == 0:
            one.bins[row["bin"]] = (numerator, denominator)
            one.detail = one.detail or row["detail"]
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for (name, suspect, span), one in series.items():
        measure = MEASURES.get(name)
        if measure is None:
            continue
        based = one
        if measure.base:
            base = series.get((measure.base, measure.base, span))
            if base is None:
                continue
            based = Series(
                one.numerators,
                base.numerators,
                {bin_: (one.bins.get(bin_, (0, 0))[0], of[0]) for bin_, of in base.bins.items()},
                one.detail,
            )
        found = compared(based, measure)
        if found is None:
            continue
        now, comparison = found
        factor = suspects.weight(alert["metric"], measure.kind) * feature_factor(
            alert, measure.kind, suspect, sensitivity
        )
        row = {
            "suspect_kind": measure.kind,
            "suspect": suspect,
            "slice_key": "all",
            "slice_value": "all",
            "started_at": began_at(based, measure, now, comparison),
            "evidence": evidence(measure, now, comparison, one.detail, len(based.denominators) - 1),
            "score": round(comparison.score * factor, 6),
            "deviations": comparison.deviations,
        }
        key = (measure.kind, suspect)
        if key not in best or (row["score"], row["evidence"]) > (
            best[key]["score"], best[key]["evidence"]
        ):  # fmt: skip
            best[key] = row
    return list(best.values())


def compared(series: Series, measure: Measure) -> tuple[float, Comparison] | None:
    """Give the ratio of the breach and how it compares with that of the periods before."""
    periods = sorted(period for period in series.denominators if period > 0)
    ratios = np.array([_ratio(series, measure, period) for period in periods])
    now = _ratio(series, measure, 0)
    trials = series.denominators.get(0, 0)
    before = sum(series.denominators[period] for period in periods)
    counted = sum(series.numerators.get(period, 0) for period in periods)
    error = 0.0
    if measure.unit == "%":
        error = suspects.proportion_error(counted, before, trials)
    elif measure.unit.endswith("an hour") and before and trials:
        # Counts of independent events: their variance is their number.
        error = float(np.sqrt(max(counted / before, 1 / trials) / trials))
    floor = measure.floor
    if len(ratios) and not np.isnan(ratios).all():
        floor = max(floor, measure.relative_floor * abs(float(np.nanmedian(ratios))))
    found = suspects.compare(
        now, ratios, direction=measure.direction, sampling_error=error, floor=floor
    )
    return None if found is None else (now, found)


def began_at(
    series: Series, measure: Measure, now: float, comparison: Comparison
) -> datetime | None:
    """Give the first bin of the breach that is more than half way from normal to its value.

    None where the value is no worse than normal, or was so in the period before.
    """
    change = measure.direction * (now - comparison.before)
    if change <= 0 or comparison.fit < 1:
        return None
    for bin_, (numerator, denominator) in sorted(series.bins.items()):
        if not denominator:
            continue
        value = numerator / measure.scale / denominator
        if measure.direction * (value - comparison.before) > suspects.HALF_WAY * change:
            return bin_
    return None


def evidence(
    measure: Measure, now: float, comparison: Comparison, detail: str | None, periods: int
) -> str:
    """Say in words what was found, now and before."""
    usual = "days before" if measure.is_daily else "periods of the same hours before"
    text = (
        f"{measure.words.format(now=_amount(now, measure.unit))}; median of the {periods} {usual}"
        f" {_amount(comparison.before, measure.unit)} ({_amount(comparison.lowest, measure.unit)}"
        f" to {_amount(comparison.highest, measure.unit)})"
    )
    return f"{text}; {detail}" if detail else text


def feature_factor(
    alert: dict[str, Any], kind: str, suspect: str, sensitivity: dict[str, float]
) -> float:
    """How much a feature matters to the alert: 1 for suspects that are none.

    To a metric of one feature another one matters little; to the answers each does as the model
    depends on it, where that is known.
    """
    if kind not in OF_FEATURES:
        return 1.0
    feature = suspect.removeprefix("features.") if kind == "field_issues" else suspect
    if kind in ("field_issues", "feature_integrity"):
        feature = feature.rpartition(": ")[0]
    family = suspects.family_of(alert["metric"])
    is_of_output = alert["feature"] in ("score", "prediction") and feature != alert["feature"]
    if family == "inputs" and alert["feature"] and not is_of_output:
        return 1.0 if feature == alert["feature"] else OTHER_FEATURE
    if family == "performance" or is_of_output:
        known = sensitivity.get(feature)
        return 1.0 if known is None else LEAST_SENSITIVITY + (1 - LEAST_SENSITIVITY) * known
    return 1.0


def deployment_suspects(
    alert: dict[str, Any], deployments: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Give the versions that began or ended while the metric broke, or up to a day before."""
    rows = []
    deployments = [row for row in deployments if row["model_name"] == alert["model_name"]]
    begun = {(row["role"], row["deployed_from"]) for row in deployments}
    for row in deployments:
        # Where another takes over, its beginning says it all.
        ended = None if (row["role"], row["deployed_to"]) in begun else row["deployed_to"]
        for moment, verb in ((row["deployed_from"], "went"), (ended, "ended being")):
            if moment is None or not (
                alert["event_from"] - timedelta(hours=RELEASE_HOURS) < moment <= alert["event_to"]
            ):
                continue
            hours = max((alert["event_from"] - moment) / timedelta(hours=1), 0.0)
            is_near = "all" in (alert["role"], alert["model_version"]) or (
                row["role"] == alert["role"] or row["model_version"] == alert["model_version"]
            )
            side = "before" if moment <= alert["started_at"] else "after"
            gap = abs(alert["started_at"] - moment) / timedelta(hours=1)
            rows.append(
                {
                    "suspect_kind": "deployment",
                    "suspect": f"{row['model_version']} {verb} {row['role']}",
                    "slice_key": "all",
                    "slice_value": "all",
                    "started_at": moment,
                    "evidence": f"at {moment:%Y-%m-%d %H:%M} UTC, {gap:.1f} hours {side} the first"
                    " breach",
                    "score": round(
                        suspects.weight(alert["metric"], "deployment")
                        * (1.0 if is_near else OTHER_ROLE)
                        * 0.5 ** (hours / HALF_LIFE_HOURS),
                        6,
                    ),
                }
            )
    return rows


def slice_suspects(
    alert: dict[str, Any], contributions: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Give the slices that carry more of the change than their share of the members."""
    rows = []
    for row in contributions:
        part, share, deviations = (row[name] for name in ("contribution_share", "share", "zscore"))
        if part is None or deviations is None:
            continue
        excess = min(max(part - (share or 0.0), 0.0), 1.0)
        rows.append(
            {
                "suspect_kind": "slice",
                "suspect": f"{row['slice_key']} = {row['slice_value']}",
                "slice_key": row["slice_key"],
                "slice_value": row["slice_value"],
                "started_at": None,
                "evidence": f"carries {part:.1%} of the change and has {share or 0.0:.1%} of what"
                " it is taken of".replace("%", " %"),
                "score": round(
                    suspects.weight(alert["metric"], "slice") * excess * beyond(abs(deviations)), 6
                ),
            }
        )
    return rows


def _ratio(series: Series, measure: Measure, period: int) -> float:
    trials = series.denominators.get(period, 0)
    if not trials:
        return np.nan
    return series.numerators.get(period, 0) / measure.scale / trials


def _amount(value: float, unit: str) -> str:
    """Write a value with its unit, short enough to read."""
    if unit == "%":
        return f"{100 * value:.2f}".rstrip("0").rstrip(".") + " %"
    number = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}".strip()
