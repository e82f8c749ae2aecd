"""The figures of the marts computed anew: plain Python and pandas, from the landing files alone."""

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

MOMENT = re.compile(r"[2-9]\d{3}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def read_records(folder: Path):
    """Yield every record of a landing folder as a dict, or None where a line is not JSON."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            yield from pq.read_table(path).to_pylist()
        elif path.suffix in (".jsonl", ".gz"):
            content = path.read_bytes()
            text = gzip.decompress(content) if path.suffix == ".gz" else content
            for line in text.decode().splitlines():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    yield None


def moment(value) -> datetime | None:
    """Read a contract timestamp as naive UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return None


def number(value, low=float("-inf"), high=float("inf")) -> float | None:
    """Give a number within bounds as it is, anything else as None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and low <= value <= high else None


def is_name(value) -> bool:
    return isinstance(value, str) and value != ""


def read_events(folder: Path, as_of: datetime, slice_value) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read accepted events, one row each, and count what became of all lines.

    ``slice_value(record)`` gives a dict of slice_key to slice_value.
    """
    counts = {"lines": 0, "rejected": 0, "held": 0, "duplicate": 0}
    winners: dict[tuple, dict] = {}
    for record in read_records(folder / "inference_events"):
        counts["lines"] += 1
        ts = moment(record.get("ts")) if isinstance(record, dict) else None
        status = number(record.get("status"), 100, 599) if ts else None
        role = (record.get("role") or "live") if ts else None
        if (
            status is None
            or status % 1
            or role not in ("live", "shadow")
            or not all(is_name(record.get(key)) for key in ("request_id", "model", "model_version"))
        ):
            counts["rejected"] += 1
            continue
        if ts > as_of + timedelta(minutes=60):
            counts["held"] += 1
            continue
        event = {
            "model_name": record["model"],
            "model_version": record["model_version"],
            "role": role,
            "request_id": record["request_id"],
            "ts": ts,
            "status": status,
            "latency_ms": number(record.get("latency_ms"), 0, 1e9),
            "inference_time_ms": number(record.get("inference_time_ms"), 0, 1e9),
            "slices": {"all": "all"} | slice_value(record),
        }
        identity = tuple(list(event.values())[:4])
        if identity in winners:
            counts["duplicate"] += 1
        if identity not in winners or ts < winners[identity]["ts"]:
            winners[identity] = event
    return pd.DataFrame(list(winners.values())), counts


def by_slice(events: pd.DataFrame) -> pd.DataFrame:
    """One row for each event and slice that it is in."""
    exploded = events.assign(slices=events["slices"].map(lambda slices: list(slices.items())))
    exploded = exploded.explode("slices", ignore_index=True)
    exploded["slice_key"] = exploded["slices"].str[0]
    exploded["slice_value"] = exploded["slices"].str[1]
    return exploded.drop(columns="slices")


SERIES = ["model_name", "model_version", "role", "slice_key", "slice_value"]


def service_levels(
    events: pd.DataFrame, frequency: str, thresholds: dict[str, float | None]
) -> pd.DataFrame:
    """Service levels of the hours ("h"), days ("D") or minutes ("min") with requests.

    ``thresholds`` says by model_name above which latency a request is slow.
    """
    rows = by_slice(events)
    rows["window_start"] = rows["ts"].dt.floor(frequency)
    rows["is_error"] = rows["status"] >= 400
    threshold = rows["model_name"].map(thresholds).astype(float)
    rows["is_slow"] = (rows["latency_ms"].astype(float) > threshold).where(threshold.notna())
    rows["is_slow"] = rows["is_slow"].astype(float)
    groups = rows.groupby([*SERIES, "window_start"])
    latency, inference = groups["latency_ms"], groups["inference_time_ms"]
    return pd.DataFrame(
        {
            "request_count": groups.size(),
            "error_count": groups["is_error"].sum(),
            "error_rate": groups["is_error"].mean(),
            "slow_count": groups["is_slow"].sum(min_count=1),
            "slow_rate": groups["is_slow"].sum(min_count=1) / latency.count().replace(0, np.nan),
            "latency_p50_ms": latency.quantile(0.5),
            "latency_p95_ms": latency.quantile(0.95),
            "latency_p99_ms": latency.quantile(0.99),
            "latency_mean_ms": latency.mean(),
            "latency_max_ms": latency.max(),
            "inference_time_p50_ms": inference.quantile(0.5),
            "inference_time_p95_ms": inference.quantile(0.95),
        }
    ).reset_index()


def read_labels(folder: Path, as_of: datetime) -> pd.DataFrame:
    """Read valid labels that are not held: request_id, model (None: not named), labeled_at."""
    rows = []
    for record in read_records(folder / "labels"):
        labeled_at = moment(record.get("labeled_at")) if isinstance(record, dict) else None
        if labeled_at is None or labeled_at > as_of + timedelta(minutes=60):
            continue
        if is_name(record.get("request_id")):
            rows.append(
                {
                    "request_id": record["request_id"],
                    "label_model": record.get("model"),
                    "label": record["label"],
                    "labeled_at": labeled_at,
                }
            )
    return pd.DataFrame(rows, columns=["request_id", "label_model", "label", "labeled_at"])


def label_versions(
    events: pd.DataFrame, labels: pd.DataFrame, fits_task
) -> dict[tuple[str, str], set[tuple[datetime, str | float]]]:
    """Give (labeled_at, label) of all versions of the label of each (request_id, model_name)."""
    models_of = events.groupby("request_id")["model_name"].unique()
    versions: dict[tuple[str, str], set] = {}
    for label in labels.itertuples():
        models = models_of.get(label.request_id, [])
        named = [m for m in models if pd.isna(label.label_model) or m == label.label_model]
        if len(named) == 1 and fits_task(named[0], label.label):
            key = (label.request_id, named[0])
            versions.setdefault(key, set()).add((label.labeled_at, label.label))
    return versions


def label_corrections(
    events: pd.DataFrame, labels: pd.DataFrame, frequency: str, fits_task
) -> pd.DataFrame:
    """Labels and corrections by the hour ("h") or day ("D") in which they became known."""
    rows = []
    for (_, model), versions in label_versions(events, labels, fits_task).items():
        before = None
        for labeled_at, label in sorted(versions):
            rows.append((model, labeled_at, before is not None and label != before))
            before = label
    table = pd.DataFrame(rows, columns=["model_name", "window_start", "is_correction"])
    table["window_start"] = table["window_start"].dt.floor(frequency)
    groups = table.groupby(["model_name", "window_start"])["is_correction"]
    return groups.agg(label_count="size", corrected_label_count="sum").reset_index()


def label_coverage(
    events: pd.DataFrame,
    labels: pd.DataFrame,
    days: int,
    as_of: datetime,
    grace_hours: float,
    fits_task,
) -> pd.DataFrame:
    """Coverage of all closed windows of ``days`` days in both label views, window by window."""
    versions = label_versions(events, labels, fits_task)
    first = {key: min(labeled_at for labeled_at, _ in known) for key, known in versions.items()}
    predictions = events[events["status"] < 400].copy()
    predictions["labeled_at"] = pd.to_datetime(
        [
            first.get(key)
            for key in zip(predictions["request_id"], predictions["model_name"], strict=True)
        ]
    )
    predictions = by_slice(predictions)
    results = []
    day = predictions["ts"].min().normalize() + timedelta(days=1)
    while day <= min(as_of, predictions["ts"].max() + timedelta(days=days + 1)):
        inside = predictions[
            (predictions["ts"] < day) & (predictions["ts"] >= day - timedelta(days=days))
        ]
        for view in ("as_known", "latest"):
            known = inside["labeled_at"].notna()
            if view == "as_known":
                known &= inside["labeled_at"] <= day + timedelta(hours=grace_hours)
            groups = inside.assign(is_known=known).groupby(SERIES)["is_known"]
            results.append(
                groups.agg(prediction_count="size", labeled_count="sum")
                .reset_index()
                .assign(window_end=day, label_view=view)
            )
        day += timedelta(days=1)
    return pd.concat(results, ignore_index=True)
