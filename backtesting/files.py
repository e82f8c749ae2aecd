"""The files that a backtest reads: rules, targets and incidents, as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from backtest import Incident
from backtesting import PACKAGE_DIR, BacktestError

#: What a file must have; other columns of the seeds count as empty where they are missing.
REQUIRED = {
    "alert_rules": [
        "alert_name", "model_name", "metric", "window_size", "comparator", "threshold", "runbook",
    ],
    "slo_targets": [
        "slo_name", "model_name", "metric", "window_size", "comparator", "objective", "runbook",
    ],
    "incidents": ["incident_id", "started_at", "ended_at"],
}  # fmt: skip


def read_rows(path: Path, kind: str) -> list[dict[str, str]]:
    """Read a CSV file whose columns are those of ``kind``, a key of ``REQUIRED``."""
    if not path.is_file():
        raise BacktestError(f"there is no file {path} ({kind})")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise BacktestError(f"{path} is no CSV file in UTF-8: {error}") from None
    missing = [name for name in REQUIRED[kind] if name not in header]
    if missing:
        raise BacktestError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(header)}"
        )
    known = seed_columns(kind) if kind != "incidents" else header
    unknown = [name for name in header if name not in known]
    if unknown:
        raise BacktestError(
            f"{path} has the column {', '.join(unknown)}, which nobody reads; known are"
            f" {', '.join(known)}"
        )
    for line, row in rows:
        if None in row:
            raise BacktestError(f"{path}, line {line}: more fields than columns")
    return [row for _, row in rows]


def seed_columns(kind: str) -> list[str]:
    """Return the columns of a seed."""
    with (PACKAGE_DIR / "seeds" / f"{kind}.csv").open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def parse_moment(text: str, where: str) -> datetime:
    """Read a date or time as UTC without a zone; one without an offset is in UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BacktestError(
            f"{where} is {text!r}, which is no time such as 2013-05-07T18:05:00Z or 2013-05-07"
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def read_incidents(
    path: Path, alert_names: Collection[str] = (), tables: Collection[str] = ()
) -> list[Incident]:
    """Read incidents.

    Parameters
    ----------
    path : Path
        A CSV file with ``incident_id``, ``started_at``, ``ended_at`` (empty: it lasts) and, where
        you have them, ``model_name``, ``detected_by`` and ``seen_afterwards_in``: the tables that
        show what data that came later has hidden from all rules.
    alert_names : collection of str
        The alerts that there are: the name of one may hold spaces.
    tables : collection of str
        What in ``detected_by`` is no alert, but a table that shows the incident.
    """
    incidents: dict[str, Incident] = {}
    for row in read_rows(path, "incidents"):
        name = row["incident_id"].strip()
        where = f"{path}, incident {name!r}"
        if not name or name in incidents:
            raise BacktestError(f"{where}: incident_id must be there and unique")
        started_at = parse_moment(row["started_at"], f"{where}: started_at")
        ended_at = None
        if row["ended_at"].strip():
            ended_at = parse_moment(row["ended_at"], f"{where}: ended_at")
            if ended_at < started_at:
                raise BacktestError(f"{where}: ended_at is before started_at")
        hidden = split_names(row.get("seen_afterwards_in", ""), ())
        named = hidden or split_names(row.get("detected_by", ""), alert_names)
        incidents[name] = Incident(
            name,
            started_at,
            ended_at,
            row.get("model_name", "").strip() or None,
            detected_by=()
            if hidden
            else tuple(word for word in named if word in alert_names or word not in tables),
            seen_in=tuple(hidden)
            or tuple(word for word in named if word in tables and word not in alert_names),
        )
    return list(incidents.values())


def split_names(text: str, alert_names: Collection[str]) -> list[str]:
    """Split at semicolons, and at spaces what is not the name of one alert."""
    parts = [part.strip() for part in text.split(";")]
    return [
        word
        for part in parts
        if part
        for word in ([part] if part in alert_names else re.split(r"\s+", part))
    ]
