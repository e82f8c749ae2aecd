"""Describe the landing files: `python -m demo.report`.

Reads the files as they are, independently of the dbt project: what a month looks like, and what
is normal outside the incidents, which is what the demo's targets are set from.
"""

import argparse
import gzip
import json
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from demo.incidents import Incident, read_incidents

EVENT_FIELDS = ["request_id", "ts", "model_version", "role", "status", "latency_ms", "score"]
LABEL_FIELDS = ["request_id", "label", "labeled_at"]
LABEL_GRACE = timedelta(hours=48)


def read_lines(path: Path) -> list[dict | str]:
    """Read the records of a file; a line that is no JSON stays text."""
    if path.suffix == ".parquet":
        return pq.read_table(path, partitioning=None).to_pylist()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [_parse(line) for line in file]


def _parse(line: str) -> dict | str:
    try:
        return json.loads(line)
    except ValueError:
        return line


def read_events(landing: Path) -> pd.DataFrame:
    """All well-formed events, without their duplicates, in the order of `ts`."""
    events = _read(landing / "inference_events", EVENT_FIELDS)
    events["ts"] = pd.to_datetime(events["ts"], utc=True, format="ISO8601", errors="coerce")
    for name in ("status", "latency_ms", "score"):
        events[name] = pd.to_numeric(events[name], errors="coerce")
    events = events.dropna(subset=["request_id", "ts", "status"])
    events = events.sort_values(["ts", "role", "request_id"], ignore_index=True)
    return events.drop_duplicates(["request_id", "model_version", "role"])


def read_labels(landing: Path) -> pd.DataFrame:
    """All versions of all labels, in the order in which they became known."""
    labels = _read(landing / "labels", LABEL_FIELDS)
    labels["labeled_at"] = pd.to_datetime(labels["labeled_at"], utc=True, format="ISO8601")
    return labels.sort_values(["labeled_at", "request_id"], ignore_index=True)


def _read(folder: Path, fields: list[str]) -> pd.DataFrame:
    rows = [
        [line.get(field) for field in fields]
        for path in sorted(folder.rglob("*.*"))
        for line in read_lines(path)
        if isinstance(line, dict)
    ]
    return pd.DataFrame(rows, columns=fields)


def months(events: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """One row per month, version and role: traffic, errors, latency, and how good the scores are.

    With the newest label of each request.
    """
    newest = labels.drop_duplicates("request_id", keep="last")
    events = events.merge(newest[["request_id", "label"]], on="request_id", how="left")
    rows = []
    month = events["ts"].dt.strftime("%Y-%m").rename("month")
    for (month_, version, role), group in events.groupby([month, "model_version", "role"]):
        scored = group[group["score"].between(0, 1) & group["label"].notna()]
        rows.append(
            {
                "month": month_,
                "version": version,
                "role": role,
                "requests": len(group),
                "error rate": (group["status"] >= 400).mean(),
                "p50 ms": group["latency_ms"].quantile(0.5),
                "p95 ms": group["latency_ms"].quantile(0.95),
                "labelled": group["label"].notna().mean(),
                "late": scored["label"].mean(),
                "mean score": scored["score"].mean(),
                "AUC": roc_auc_score(scored["label"], scored["score"]),
            }
        )
    return pd.DataFrame(rows)


def healthy(
    events: pd.DataFrame, labels: pd.DataFrame, incidents: list[Incident]
) -> dict[str, float]:
    """Return how hours and days look at their worst that no incident touches."""
    live = events[events["role"] == "live"]
    hours = live.groupby(live["ts"].dt.floor("h")).agg(
        requests=("status", "size"),
        error_rate=("status", lambda status: (status >= 400).mean()),
        p95=("latency_ms", lambda latency: latency.quantile(0.95)),
    )
    hours = hours.asfreq("h")
    hours["requests"] = hours["requests"].fillna(0)
    quiet = ~_touched(hours.index, timedelta(hours=1), incidents)
    week_before = hours["requests"].shift(7 * 24)
    comparable = quiet & quiet.shift(7 * 24, fill_value=False)
    ratio = (hours["requests"] / week_before)[comparable]

    days = live.groupby(live["ts"].dt.floor("D"))["request_id"].agg(set)
    first = labels.drop_duplicates("request_id").set_index("request_id")["labeled_at"]
    coverage = pd.Series(
        {
            day: (first.reindex(list(ids)) <= day + timedelta(days=1) + LABEL_GRACE).mean()
            for day, ids in days.items()
        }
    )
    # An outage holds the labels of the evening before back, too.
    quiet_days = ~_touched(coverage.index, timedelta(days=2), incidents)
    is_closed = coverage.index + timedelta(days=1) + LABEL_GRACE <= labels["labeled_at"].max()

    busy = hours["requests"] >= 20
    figures = {
        "highest p95 of an hour of 20 requests, ms": hours["p95"][quiet & busy].max(),
        "lowest label coverage of a day, known after 48 h": coverage[quiet_days & is_closed].min(),
    }
    for least in (20, 50):
        enough = quiet & (hours["requests"] >= least)
        figures[f"hours of {least} requests with over 1 % errors"] = (
            hours["error_rate"][enough] > 0.01
        ).mean()
        figures[f"highest error rate of an hour of {least} requests"] = hours["error_rate"][
            enough
        ].max()
        figures[f"lowest requests against the week before's {least}"] = ratio[
            week_before >= least
        ].min()
    return figures


def _touched(starts: pd.DatetimeIndex, length: timedelta, incidents: list[Incident]) -> pd.Series:
    touched = pd.Series(False, index=starts)
    for incident in incidents:
        touched |= (starts < incident.ended_at) & (starts + length > incident.started_at)
    return touched


def print_report(landing: Path) -> None:
    """Print both tables."""
    events, labels = read_events(landing), read_labels(landing)
    print(months(events, labels).to_string(index=False, float_format="{:.4g}".format))
    print("\nOutside the incidents")
    for name, value in healthy(events, labels, read_incidents()).items():
        print(f"  {name:<56}{value:.4g}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.report", description=__doc__)
    parser.add_argument("--landing", type=Path, default=Path("data/landing"))
    print_report(parser.parse_args().landing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
