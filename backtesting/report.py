"""What a backtest has found, as text for people, and as JSON or CSV for machines."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from backtest import SEVERITIES, AlertResult, Backtest, IncidentResult
from rca.markdown import plain as on_one_line

#: In the text; JSON and CSV have them all.
MOST_FALSE_ALARMS_SHOWN = 10


def text_report(found: Backtest) -> str:
    """Write the tables of alerts and incidents, and what they come to."""
    parts = [
        text_table(
            ["alert", "severity", "alerts#", "a week#", "false#", "a week#", "side effects#",
             "caught#", "to detect#", "to resolve#"],
            [
                [
                    of.alert_name, of.severity, of.alerts, f"{of.alerts_a_week:.2f}",
                    of.false_alarms, f"{of.false_alarms_a_week:.2f}", of.side_effects,
                    f"{of.caught} of {of.expected}" if of.expected else "–",
                    duration(of.median_detect), resolved(of),
                ]
                for of in found.alerts
            ],
        ),
        text_table(
            ["incident", "started", "outcome", "should be caught by", "caught by", "to detect#",
             "side effects"],
            [
                [
                    of.incident.incident_id, moment(of.incident.started_at), of.outcome,
                    expected_by(of), ", ".join(name for name, _ in of.caught_by),
                    duration(of.time_to_detect), ", ".join(of.side_effects),
                ]
                for of in found.incidents
            ],
        ) if found.incidents else "No incident started in this time.",
    ]  # fmt: skip
    if found.false_alarms:
        shown = found.false_alarms[:MOST_FALSE_ALARMS_SHOWN]
        more = len(found.false_alarms) - len(shown)
        parts.append(
            text_table(
                ["false alarm", "severity", "model", "fired", "resolved"],
                [
                    [
                        alert.alert_name,
                        severity,
                        alert.model_name,
                        moment(alert.fired_at),
                        moment(alert.resolved_at) if alert.resolved_at else "firing",
                    ]
                    for severity, alert in shown
                ],
            )
            + (f"\n… and {more} more: JSON=path or CSV=folder has all" if more else "")
        )
    return "\n\n".join([*parts, summary_lines(found)])


def summary_lines(found: Backtest) -> str:
    """Sum it up in a few lines."""
    no_rule = len(found.incidents) - found.expected
    lines = [
        f"Incidents caught: {found.caught} of {found.expected}"
        + (f"; {no_rule} more that no rule can catch" if no_rule else "")
    ]
    for severity in SEVERITIES:
        if any(of.severity == severity for of in found.alerts):
            lines.append(
                f"False alarms of severity {severity}: {found.false_alarms_a_week(severity):.2f}"
                f" a week, at most {found.most_in_a_week(severity)} in seven days"
            )
    return "\n".join(lines)


# The columns of each table, with what is in them.
SUMMARY = {
    "period_start": lambda found: found.period.start,
    "period_end": lambda found: found.period.end,
    "weeks": lambda found: found.period.weeks,
    "incidents": lambda found: len(found.incidents),
    "incidents_expected": lambda found: found.expected,
    "incidents_caught": lambda found: found.caught,
    "false_pages_a_week": lambda found: found.false_alarms_a_week("page"),
    "false_tickets_a_week": lambda found: found.false_alarms_a_week("ticket"),
    "false_infos_a_week": lambda found: found.false_alarms_a_week("info"),
    "most_false_pages_in_seven_days": lambda found: found.most_in_a_week("page"),
}
ALERTS = {
    "alert_name": lambda of: of.alert_name,
    "severity": lambda of: of.severity,
    "alerts": lambda of: of.alerts,
    "alerts_a_week": lambda of: of.alerts_a_week,
    "false_alarms": lambda of: of.false_alarms,
    "false_alarms_a_week": lambda of: of.false_alarms_a_week,
    "side_effects": lambda of: of.side_effects,
    "incidents_expected": lambda of: of.expected,
    "incidents_caught": lambda of: of.caught,
    "median_hours_to_detect": lambda of: hours(of.median_detect),
    "median_hours_to_resolve": lambda of: hours(of.median_resolve),
    "still_firing": lambda of: of.still_firing,
}
INCIDENTS = {
    "incident_id": lambda of: of.incident.incident_id,
    "started_at": lambda of: of.incident.started_at,
    "ended_at": lambda of: of.incident.ended_at,
    "model_name": lambda of: of.incident.model_name,
    "outcome": lambda of: of.outcome,
    "detected_by": lambda of: ";".join(of.incident.detected_by),
    "seen_in": lambda of: ";".join(of.incident.seen_in),
    "caught_by": lambda of: ";".join(name for name, _ in of.caught_by),
    "hours_to_detect": lambda of: hours(of.time_to_detect),
    "side_effects": lambda of: ";".join(of.side_effects),
}
FALSE_ALARMS = {
    "alert_name": lambda of: of[1].alert_name,
    "severity": lambda of: of[0],
    "model_name": lambda of: of[1].model_name,
    "fired_at": lambda of: of[1].fired_at,
    "resolved_at": lambda of: of[1].resolved_at,
}


def tables(found: Backtest) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return the same as tables of columns and rows: times in UTC, durations in hours."""
    return {
        name: (list(columns), [[value(row) for value in columns.values()] for row in rows])
        for name, columns, rows in [
            ("summary", SUMMARY, [found]),
            ("alerts", ALERTS, found.alerts),
            ("incidents", INCIDENTS, found.incidents),
            ("false_alarms", FALSE_ALARMS, found.false_alarms),
        ]
    }


def write_json(found: Backtest, path: Path) -> None:
    """Write all tables to one file."""
    records = {
        name: [dict(zip(columns, row, strict=True)) for row in rows]
        for name, (columns, rows) in tables(found).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records, indent=2, default=plain) + "\n", "utf-8")


def write_csv(found: Backtest, folder: Path) -> None:
    """Write a file for each table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (columns, rows) in tables(found).items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in rows:
                writer.writerow(
                    plain(value) if isinstance(value, datetime) else value for value in row
                )


def text_table(header: list[str], rows: list[list[Any]]) -> str:
    """Lay out a table; columns whose name ends with # are numbers."""
    names = [name.rstrip("#") for name in header]
    cells = [names, *([on_one_line(value) for value in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            text.rjust(width) if name.endswith("#") else text.ljust(width)
            for text, width, name in zip(row, widths, header, strict=True)
        ).rstrip()
        for row in cells
    )


def expected_by(of: IncidentResult) -> str:
    """Which alerts should catch an incident, in words."""
    if of.incident.is_for_rules:
        return ", ".join(of.incident.detected_by) or "any alert"
    return f"none: see {', '.join(of.incident.seen_in)}"


def resolved(of: AlertResult) -> str:
    """How long the alerts of a name go on after incidents, in words."""
    firing = f"{of.still_firing} firing" if of.still_firing else ""
    known = duration(of.median_resolve) if of.median_resolve is not None or not firing else ""
    return ", ".join(filter(None, [known, firing]))


def duration(value: timedelta | None) -> str:
    """Write a time span in its two largest units; unknown is a dash, not a 0."""
    if value is None:
        return "–"
    sign = "-" if value < timedelta(0) else ""
    minutes = round(abs(value) / timedelta(minutes=1))
    if minutes < 60:
        return f"{sign}{minutes} min"
    if minutes < 48 * 60:
        return f"{sign}{minutes // 60} h {minutes % 60:02d}"
    return f"{sign}{minutes // 1440} d {minutes % 1440 // 60:02d} h"


def moment(value: datetime) -> str:
    """Write a time to the minute."""
    return f"{value:%Y-%m-%d %H:%M}"


def hours(value: timedelta | None) -> float | None:
    """Return a time span in hours."""
    return None if value is None else value / timedelta(hours=1)


def plain(value: datetime) -> str:
    """Write a time as machines read it."""
    return value.isoformat() + "Z"
