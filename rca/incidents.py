"""How the true causes of known incidents rank among the suspects of their alerts."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rca import RcaError
from rca.markdown import table
from rca.reading import Database, parse_moment

# What each kind of incident of the demo really was, as a suspect would be named: a kind, and what
# its name begins with.
TRUTH = {
    "latency_incident": ("upstream", "weather_api"),
    "error_burst": ("service_errors", "status 503, the model did not run"),
    "unit_change": ("feature_integrity", "temperature_f: unit_change"),
    "stuck_feature": ("feature_integrity", "wind_speed_mph: stuck"),
    "label_outage": ("label_delay", "labels that arrived"),
    "label_correction": ("label_corrections", "labels that turned over"),
    "malformed_lines": ("rejected_lines", ""),
    "duplicated_lines": ("duplicate_lines", ""),
    "out_of_range_lines": ("field_issues", ""),
    "silent_hour": ("ingestion_gap", "requests"),
    "late_file": ("ingestion_gap", "requests"),
}
# An alert on labels may begin a day before and fire days after.
SLACK = timedelta(days=1)
COLUMNS = ["incident", "alert", "first suspect", "true cause", "rank#"]


def read_truth(path: Path) -> list[dict[str, Any]]:
    """Read incidents, each with the suspect that would be right.

    Raises
    ------
    RcaError
        If the file is missing, or a kind of incident is not known.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise RcaError(f"{path} cannot be read: {error.strerror}.") from error
    for row in rows:
        if row["kind"] not in TRUTH:
            raise RcaError(
                f"{path} has the kind {row['kind']!r}, of which the true cause is not known; known:"
                f" {', '.join(TRUTH)}."
            )
        row["truth_kind"], row["truth_suspect"] = TRUTH[row["kind"]]
        for name in ("started_at", "ended_at"):
            row[name] = parse_moment(row[name], name)
    return rows


def ranked_incidents(
    database: Database, incidents: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """For each incident the first alert that detects it, and the rank of its true cause.

    Returns
    -------
    list of dict
        ``incident_id``, ``alert_id``, ``alert_name``, ``first``, ``truth`` and ``rank``; the alert
        is None where there is none (any more), the rank where the cause is no suspect.
    """
    found = []
    for incident in incidents:
        alert = _alert_of(database, incident)
        suspects = database.rows(
            "select * from {public}.root_cause_suspects where alert_id = $alert_id"
            " order by suspect_rank",
            alert_id=alert["alert_id"] if alert else "",
        )
        ranks = [
            row["suspect_rank"] for row in suspects
            if row["suspect_kind"] == incident["truth_kind"]
            and row["suspect"].startswith(incident["truth_suspect"])
        ]  # fmt: skip
        first = f"{suspects[0]['suspect_kind']}: {suspects[0]['suspect']}" if suspects else None
        truth = incident["truth_kind"]
        if incident["truth_suspect"]:
            truth += f": {incident['truth_suspect']}"
        found.append(
            {
                "incident_id": incident["incident_id"],
                "alert_id": alert and alert["alert_id"],
                "alert_name": alert and alert["alert_name"],
                "first": first,
                "truth": truth,
                "rank": min(ranks, default=None),
            }
        )
    return found


def incidents_text(found: list[dict[str, Any]]) -> str:
    """Write the table, and how often the true cause is among the first."""
    rows = [
        (
            row["incident_id"],
            f"{row['alert_id']} {row['alert_name']}"
            if row["alert_id"]
            else "none in this database",
            row["first"],
            row["truth"],
            row["rank"] or ("not among them" if row["alert_id"] else ""),
        )
        for row in found
    ]
    with_alert = [row for row in found if row["alert_id"]]
    firsts = [sum((row["rank"] or 99) <= most for row in with_alert) for most in (1, 3)]
    return (
        f"{table(COLUMNS, rows)}\n\nOf {len(found)} incidents {len(with_alert)} have an alert; the"
        f" true cause is the first suspect of {firsts[0]}, and among the first three of"
        f" {firsts[1]}."
    )


def _alert_of(database: Database, incident: dict[str, Any]) -> dict[str, Any] | None:
    """Give the first alert, while the incident lasted, of the rule that detects it."""
    found = database.rows(
        """
        select alert_id, alert_name from {public}.alerts
        where model_name = $model_name and alert_name = $alert_name
            and started_at >= $from and started_at < $to
        order by started_at, alert_id
        """,
        **{
            "model_name": incident["model_name"],
            "alert_name": incident["detected_by"],
            "from": incident["started_at"] - SLACK,
            "to": incident["ended_at"] + SLACK,
        },
    )
    return found[0] if found else None


def has_begun(incident: dict[str, Any], as_of: datetime) -> bool:
    """Whether a database of that moment can know of the incident."""
    return incident["started_at"] < as_of
