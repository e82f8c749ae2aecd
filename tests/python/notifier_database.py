"""Rows of the tables of alerts, and databases that hold them, for the tests of notifications."""

from datetime import datetime

import duckdb

from notification_texts import (
    ALERT_COLUMNS,
    BOARD_COLUMNS,
    LINE_COLUMNS,
    REPORT_COLUMNS,
    TRIGGER_COLUMNS,
)

TYPES = {
    "bigint": {
        "line_count", "firing_line_count", "condition_count", "training_day_count",
        "labeled_count",
    },
    "double": {"threshold", "worst_value", "last_value"},
    "boolean": {"triggers_retraining", "is_silenced", "is_in_maintenance"},
    "timestamp": {
        "window_start", "window_end", "started_at", "fired_at", "resolved_at", "triggered_at",
        "training_window_start", "training_window_end",
    },
}  # fmt: skip
TABLES = {
    "alert_board": (*ALERT_COLUMNS, *BOARD_COLUMNS, "raw_feature"),
    "alert_lines": ("alert_id", *LINE_COLUMNS, "raw_feature"),
    "slo_report": ("alert_id", *REPORT_COLUMNS, "raw_feature"),
    "retraining_triggers": (*TRIGGER_COLUMNS, "raw_feature"),
}
#: Of a column that is in none of the lists: it must never get out.
RAW = "raw value 4711"


def at(text):
    return datetime.fromisoformat(f"2024-03-{text}")


def alert(**changes):
    """A row of alert_board: p95 of v1, which fires since 08:00."""
    return {
        "alert_id": "a1", "alert_name": "p95", "kind": "rule", "severity": "page", "owner": None,
        "state": "firing", "model_name": "churn", "model_version": "v1", "role": "live",
        "slice_key": "all", "slice_value": "all", "window_size": "1h",
        "window_start": at("01 08:00"), "window_end": at("01 09:00"),
        "started_at": at("01 08:00"), "fired_at": at("01 08:30"), "resolved_at": None,
        "line_count": 1, "firing_line_count": 1, "condition_count": 1, "data_status": "ok",
        "metric": "latency_p95_ms", "feature": None, "comparator": ">",
        "compare_to": "value", "threshold": 250.0, "worst_value": 512.0, "last_value": 430.0,
        "runbook": "docs/runbooks/latency.md", "triggers_retraining": False,
        "is_silenced": False, "is_in_maintenance": False,
    } | changes  # fmt: skip


def trigger(**changes):
    """A row of retraining_triggers."""
    return {
        "trigger_id": "t1", "model_name": "churn", "model_version": "v1", "role": "live",
        "triggered_at": at("01 08:30"), "alert_id": "a1", "alert_name": "p95",
        "reason": "AUC fell", "evidence": "roc_auc 0.61", "training_window_start": at("01"),
        "training_window_end": at("29"), "excluded_periods": None, "training_day_count": 28,
        "labeled_count": 12000, "data_status": "ok",
    } | changes  # fmt: skip


def write_database(path, as_of, alerts=(), triggers=(), lines=(), reports=(), schema="monitor"):
    """Write a published file, as a build would: a new one in the place of the old one."""
    partial = path.with_name(f".{path.name}")
    partial.unlink(missing_ok=True)
    rows = dict(zip(TABLES, (alerts, lines, reports, triggers), strict=True))
    with duckdb.connect(str(partial)) as connection:
        connection.execute(f"create schema {schema}")
        for table, columns in TABLES.items():
            types = [
                f"{column} {next((t for t, names in TYPES.items() if column in names), 'varchar')}"
                for column in columns
            ]
            connection.execute(f"create table {schema}.{table} ({', '.join(types)})")
            for row in rows[table]:
                values = [(row | {"raw_feature": RAW}).get(column) for column in columns]
                marks = ", ".join("?" * len(columns))
                connection.execute(f"insert into {schema}.{table} values ({marks})", values)
        connection.execute(
            f"create table {schema}.published_build as"
            " select 'alert_board' as relation_name, ?::timestamp as as_of",
            [as_of],
        )
    partial.replace(path)
