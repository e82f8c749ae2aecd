"""What fired, when, on what evidence, and what else changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from report.database import Database, Row, grouped
from report.models import Model
from report.site import Page, number, share

# So many of the newest alerts have all that is known of them; older ones have a line each.
DETAILED = 300
# Of each alert: what is beyond stays in the tables, and the page says so.
LINES, CONTRIBUTIONS, TOGETHER = 10, 6, 10


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model."""
    (clock,) = database.rows("select max(window_end) as as_of from {public}.service_levels_minute")
    alerts = grouped(
        database.rows("""
            select *, coalesce(fired_at, started_at) as began
            from {public}.alert_board
            order by state = 'resolved', began desc, alert_name, alert_id
        """),
        "model_name",
    )
    lines = grouped(
        database.rows(
            """
            select
                alert_id, slice_key, slice_value, feature, state, started_at, fired_at,
                resolved_at, breached_windows, worst_value, last_value, data_status,
                row_number() over (
                    partition by alert_id
                    order by
                        state = 'firing' desc, breached_windows desc, slice_key, slice_value,
                        feature, fired_at
                ) as place
            from {public}.alert_lines
            qualify place <= $count
            order by alert_id, place
            """,
            count=LINES,
        ),
        "alert_id",
    )
    contributions = grouped(
        database.rows(
            """
            select
                alert_id, metric, slice_key, slice_value, reference_start, reference_end,
                current_start, current_end, reference_value, value, change, reference_share, share,
                reference_slice_value, slice_metric_value, contribution_share, cause_rank,
                is_distinct, data_status
            from {public}.root_cause_contributions
            where cause_rank <= $count or data_status <> 'ok'
            order by alert_id, cause_rank
            """,
            count=CONTRIBUTIONS,
        ),
        "alert_id",
    )
    suspects = grouped(
        database.rows("""
            select
                alert_id, suspect_kind, suspect, started_at, evidence, score, suspect_rank, runbook
            from {public}.root_cause_suspects
            order by alert_id, suspect_rank
        """),
        "alert_id",
    )
    for model in models:
        own = alerts.get(model.name, [])
        for alert in own:
            alert["until"] = alert["resolved_at"] or clock["as_of"]
        for alert in own[:DETAILED]:
            key = alert["alert_id"]
            alert["details"] = {
                "lines": lines.get(key, []),
                "contributions": contributions.get(key, []),
                "suspects": suspects.get(key, []),
                "together": together(alert, own[:DETAILED]),
            }
        yield Page(
            f"{model.folder}/alerts.html",
            f"Alerts of {model.name}",
            "alerts.html",
            {
                "model": model,
                "alerts": own,
                "names": sorted({alert["alert_name"] for alert in own}),
                "as_of": clock["as_of"],
                "measured": measured,
                "duration": duration,
                "where": where,
            },
            {"alerts": [_mark(alert) for alert in own]},
        )


def _mark(alert: Row) -> Row:
    """Give what the timeline needs of an alert."""
    return {
        "id": alert["alert_id"],
        "name": alert["alert_name"],
        "severity": alert["severity"],
        "state": alert["state"],
        "from": alert["began"],
        "to": alert["until"],
    }


def together(alert: Row, others: list[Row]) -> list[Row]:
    """Give the alerts that fired at the same time, those that began closest to it first."""
    found = [
        other
        for other in others
        if other is not alert
        and other["began"] <= alert["until"]
        and other["until"] >= alert["began"]
    ]
    return sorted(found, key=lambda other: abs(other["began"] - alert["began"]))[:TOGETHER]


def where(row: Row) -> str:
    """Say what a row is about: the whole model, or a slice and a feature."""
    part = "" if row["slice_key"] == "all" else f"{row['slice_key']} = {row['slice_value']}"
    return ", ".join(filter(None, [row.get("feature"), part])) or "the whole model"


def measured(value: float | None, metric: str, compare_to: str = "value") -> str:
    """Write a value of a metric with its unit.

    Parameters
    ----------
    value : float or None
    metric : str
    compare_to : str
        A ratio has no unit; a change of a share is in percentage points.
    """
    if value is None or compare_to.startswith("ratio"):
        return number(value) + (" times" if value is not None else "")
    if metric.endswith("_rate") or metric in ("label_coverage", "accuracy"):
        if compare_to.startswith("change"):
            return f"{100 * value:+,.3g} points"
        return share(value, 2)
    unit = next((unit for end, unit in UNITS.items() if metric.endswith(end)), "")
    return number(value, "+,.4g" if compare_to.startswith("change") else ",.4g") + unit


UNITS = {"_ms": " ms", "_hours": " h"}


def duration(start: datetime | None, end: datetime | None) -> str:
    """Write how long something took."""
    if start is None or end is None:
        return "–"
    time: timedelta = end - start
    parts: list[tuple[int, str]] = [
        (time.days, "d"),
        (time.seconds // 3600, "h"),
        (time.seconds // 60 % 60, "min"),
    ]
    shown: list[Any] = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(shown[:2]) or "under a minute"
