"""Between Arrow tables of a shadow's days and the criteria of ``launch``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

import launch
from arrow_tables import parts_of, series_of, table_of
from launch import Criterion, Evidence
from paired import PairedCounts
from shadow_tables import GROUP_RATES, LabelledDays, ServiceDays, auc_error_bound

VERSIONS = ("model_name", "model_version", "live_version")
GAP_OF = {gap: labels for labels, gap in GROUP_RATES.values()}
CRITERIA = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in (*VERSIONS, "slice_key", "window_size")],
        pa.field("window_start", pa.date32()),
        pa.field("window_end", pa.date32()),
        pa.field("criterion", pa.string()),
        pa.field("margin", pa.float64()),
        pa.field("is_default", pa.bool_()),
        pa.field("live_value", pa.float64()),
        pa.field("shadow_value", pa.float64()),
        pa.field("difference", pa.float64()),
        pa.field("difference_lower", pa.float64()),
        pa.field("difference_upper", pa.float64()),
        pa.field("sample_count", pa.int64()),
        pa.field("verdict", pa.string()),
        pa.field("summary", pa.string()),
        pa.field("data_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)
# In words: what it is, and what is worse.
WORDS = {
    "roc_auc": ("AUC", "lower"),
    "accuracy": ("Accuracy", "lower"),
    "ece": ("Calibration error", "higher"),
    "latency_p95_ms": ("95th percentile of latency", "slower"),
    "error_rate": ("Error rate", "higher"),
    "demographic_parity_difference": ("Gap of selection rates by {}", "wider"),
    "equal_opportunity_difference": ("Gap of true positive rates by {}", "wider"),
    "predictive_equality_difference": ("Gap of false positive rates by {}", "wider"),
}


def criteria_table(
    days: pa.Table,
    labelled: pa.Table,
    looks: pa.Table,
    margins: pa.Table,
    calibration_bins: np.ndarray,
    *,
    settings: dict,
) -> pa.Table:
    """Judge every criterion at some looks.

    Parameters
    ----------
    days : Table
        Rows of ``int_shadow_days`` of whole models.
    labelled : Table
        Rows of ``int_shadow_label_days`` of whole models and protected attributes, ordered.
    looks : Table
        Rows of ``int_launch_looks``.
    margins : Table
        Rows of ``stg_launch_margins``.
    calibration_bins : ndarray of int, shape (n_bins,)
        The calibration bin of each score bin of ``labelled``.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``CRITERIA``: for each look, live version and margin a row.
    """
    service = {key: ServiceDays.of(part) for key, part in parts_of(days, VERSIONS)}
    labels: dict[tuple, dict[tuple, LabelledDays]] = {}
    for key, part in parts_of(labelled, (*VERSIONS, "slice_key", "slice_value")):
        labels.setdefault(key[:3], {})[key[3:]] = LabelledDays.of(part)
    nothing = {("all", "all"): LabelledDays.of(labelled.slice(0, 0))}
    margins_of = {
        key[0]: margins.take(pa.array(rows, pa.int64())).to_pylist()
        for key, rows in series_of(margins, ("model_name",)).items()
    }
    rows = []
    for look in looks.to_pylist():
        versions = [
            key for key in service if key[:2] == (look["model_name"], look["model_version"])
        ]
        start, end = (
            int(np.datetime64(look[name], "D").astype(int)) for name in ("first_date", "window_end")
        )
        asked = margins_of[look["model_name"]]
        for key in sorted(versions):
            in_window = service[key].between(start, end)
            if key[2] == "(none)" or not in_window.counts["live_count"].sum():
                continue
            known = {
                part: found.counted(start, end, "as_known")
                for part, found in labels.get(key, nothing).items()
            }
            known = {("all", "all"): nothing["all", "all"].counted(start, end, "as_known")} | known
            evidence = evidence_of(in_window, known, start, end, calibration_bins, settings)
            for row in judged(evidence, asked, settings):
                rows.append(
                    dict(zip(VERSIONS, key, strict=True))
                    | {"window_start": start, "window_end": end, "revision": look["revision"]}
                    | row
                )
    return as_table(rows)


def evidence_of(
    service: ServiceDays,
    labels: dict[tuple[str, str], LabelledDays],
    start: int,
    end: int,
    calibration_bins: np.ndarray,
    settings: dict,
) -> Evidence:
    """Gather what is known of the days in [start, end); ``labels`` by slice, counted already."""
    n_days = end - start
    position = service.day - start

    def spread(values: np.ndarray) -> np.ndarray:
        """Lay values of the days that are there out over all days."""
        found = np.zeros((n_days, *values.shape[1:]), np.int64)
        found[position] = values
        return found

    whole = labels["all", "all"]
    return Evidence(
        live_count=int(service.counts["live_count"].sum()),
        failures=PairedCounts(*(spread(part) for part in vars(service.failures).values())),
        latency_bins=service.latency_bins,
        latencies_a=spread(service.live_latency),
        latencies_b=spread(service.shadow_latency),
        hits=whole.hits(n_days),
        cells=whole.cells,
        variance_sums=whole.variance_sums,
        calibration_bins=calibration_bins,
        auc_error_bound=auc_error_bound(whole),
        groups=dict(group_rates(labels, n_days, settings["min_samples"])),
    )


def group_rates(
    labels: dict[tuple[str, str], LabelledDays], n_days: int, min_samples: int
) -> Iterator[tuple[tuple[str, str], PairedCounts]]:
    """Give the rates of the groups of each protected attribute that have labels enough."""
    for attribute in sorted({key[0] for key in labels} - {"all"}):
        groups = [
            labels[key]
            for key in sorted(labels)
            if key[0] == attribute and labels[key].cells.count.sum() >= min_samples
        ]
        for gap, members in GAP_OF.items():
            rates = [group.selections(members, n_days) for group in groups]
            rates = [part for part in rates if part.count.sum()]
            parts = zip(*(vars(part).values() for part in rates), strict=True)
            if rates:
                yield (gap, attribute), PairedCounts(*(np.stack(part) for part in parts))


def judged(evidence: Evidence, margins: list[dict], settings: dict) -> Iterator[dict]:
    """Judge each criterion of a model at one look."""
    wanted = [row for row in margins if row["criterion"] == "labeled_pairs" and not row["problem"]]
    least = int(wanted[0]["margin"]) if wanted else 1
    for row in sorted(margins, key=lambda row: (str(row["criterion"]), row["slice_key"])):
        criterion, slice_key, margin = row["criterion"], row["slice_key"], row["margin"]
        unknown = dict.fromkeys(
            ("live_value", "shadow_value", "difference", "difference_lower", "difference_upper"),
            np.nan,
        )
        found = {
            "slice_key": slice_key,
            "criterion": criterion,
            "margin": np.nan if margin is None else margin,
            "is_default": row["is_default"],
        } | unknown
        if row["problem"]:
            yield found | {
                "sample_count": 0,
                "verdict": "undecided",
                "summary": f"{criterion} cannot be judged: {row['problem']}",
                "data_status": "not_estimable",
            }
            continue
        measured = launch.measure(
            evidence, criterion, slice_key, least=least, alpha=settings["launch_alpha"]
        )
        status = status_of(evidence, criterion, measured, settings)
        if status == "ok":
            verdict = launch.verdict(criterion, margin, measured.lower, measured.upper)
            found |= {
                "live_value": measured.live_value,
                "shadow_value": measured.value,
                "difference": measured.difference,
                "difference_lower": measured.lower,
                "difference_upper": measured.upper,
            }
        else:
            verdict = "undecided"
        yield found | {
            "sample_count": measured.sample_count,
            "verdict": verdict,
            "summary": in_words(criterion, slice_key, margin, measured, status),
            "data_status": status,
        }


def status_of(evidence: Evidence, criterion: str, measured: Criterion, settings: dict) -> str:
    """Say whether there is a number."""
    if criterion in launch.AT_LEAST:
        return "no_data" if np.isnan(measured.value) else "ok"
    if not measured.sample_count:
        return "no_data"
    if criterion in ("roc_auc", "accuracy", "ece"):
        classes = evidence.cells.negatives.sum(), evidence.cells.positives.sum()
        if measured.sample_count < settings["min_samples"]:
            return "insufficient_data"
        if criterion == "roc_auc" and not min(classes):
            return "single_class"
        if criterion == "roc_auc" and min(classes) < settings["min_samples_per_class"]:
            return "insufficient_data"
    # One day says nothing of how days differ, one group nothing of a gap.
    return "insufficient_data" if np.isnan(measured.lower) else "ok"


def in_words(
    criterion: str, slice_key: str, margin: float, measured: Criterion, status: str
) -> str:
    """Say how a criterion stands, for people who decide."""
    if criterion == "labeled_pairs":
        return f"{measured.value:,.0f} labelled requests that both scored, {margin:,.0f} needed"
    if criterion == "shadow_days":
        return f"{measured.value:.0f} days in the shadow, {margin:.0f} needed"
    if criterion == "partner_rate":
        if status != "ok":
            return "no live request that could have reached it"
        return f"{measured.value:.1%} of the live requests reached it, {margin:.1%} needed"
    name, worse = WORDS[criterion]
    name = name.format(slice_key)
    allowed = f"{as_text(criterion, margin)} {worse} is allowed"
    if status != "ok":
        return f"{name}: not known yet ({status}), {allowed}"
    live, new = (
        f"{value:.0f} ms" if criterion == "latency_p95_ms" else as_text(criterion, value)
        for value in (measured.live_value, measured.value)
    )
    worst = measured.upper if launch.WORSE[criterion] > 0 else -measured.lower
    best = measured.lower if launch.WORSE[criterion] > 0 else -measured.upper
    if worst < 0:
        surely = f"better by at least {as_text(criterion, -worst)}"
    elif best > 0:
        surely = f"{as_text(criterion, best)} to {as_text(criterion, worst)} {worse}"
    else:
        surely = f"at worst {as_text(criterion, worst)} {worse}"
    return f"{name} {new} against {live}: {surely}, {allowed}"


def as_text(criterion: str, value: float) -> str:
    """Write a value of a metric, or a difference of two."""
    if criterion == "latency_p95_ms":
        return f"{value:.1%}"
    if criterion == "error_rate":
        return f"{value:.2%}"
    return f"{value:.3f}"


def as_table(rows: list[dict]) -> pa.Table:
    """Make a table of rows."""
    if not rows:
        return CRITERIA.empty_table()
    columns = {name: np.array([row.get(name) for row in rows]) for name in CRITERIA.names}
    start, end = columns["window_start"], columns["window_end"]
    columns |= {
        "window_size": pa.array([f"{days}d" for days in end - start]),
        "window_start": pa.array(start, pa.int32()).cast(pa.date32()),
        "window_end": pa.array(end, pa.int32()).cast(pa.date32()),
    }
    columns |= {
        name: pa.array([row[name] for row in rows], pa.string())
        for name in (*VERSIONS, "slice_key", "criterion", "verdict", "summary", "data_status")
    }
    columns["revision"] = pa.array([row["revision"] for row in rows], pa.uint64())
    return table_of(columns, CRITERIA, len(rows))
