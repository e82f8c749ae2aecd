"""A root-cause report in Markdown, in the order of docs/rca_template.md."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rca.markdown import escape, table
from rca.reading import Incident

TO_FILL = "*to fill in*"
MOST_CONTRIBUTIONS = 10
MOST_LINES = 20
KINDS = {
    "deployment": "releases",
    "upstream": "upstreams",
    "service_errors": "errors by status and stage",
    "latency_of_model": "the model's own time",
    "preprocessing": "flags of preprocessing",
    "feature_integrity": "integrity of features",
    "feature_drift": "drift of features",
    "null_rate": "missing values of features",
    "field_issues": "values that could not be used",
    "rejected_lines": "rejected lines",
    "duplicate_lines": "duplicate lines",
    "ingestion_gap": "requests and files that arrived",
    "label_delay": "labels that arrived",
    "label_corrections": "corrections of labels",
    "slice": "slices that stand out",
}


# What it means that there was nothing to look at, where that is not that there was none.
NOT_THERE = {
    "upstream": "none logged",
    "preprocessing": "none logged",
    "latency_of_model": "not logged",
    "slice": "none stands out, or the metric cannot be split",
    "ingestion_gap": "not known",
    "label_delay": "not known",
    "feature_integrity": "not known",
    "feature_drift": "not known",
}


def incident_report(incident: Incident) -> str:
    """Write the report of an alert."""
    alert = incident.alert
    name, version = escape(alert["alert_name"]), escape(alert["model_version"])
    parts = [
        f"# {name} of {escape(alert['model_name'])} {version}, {_moment(alert['started_at'])} UTC",
        "Made from the tables. Finish what is marked so, and take the draft out of its status.",
        table(
            ["", ""],
            [
                ("status", "draft"),
                ("author, reviewers", "to fill in"),
                ("first breach (UTC)", _moment(alert["started_at"])),
                ("fired (UTC)", _moment(alert["fired_at"]) or "not yet"),
                ("resolved (UTC)", _moment(alert["resolved_at"]) or "not yet"),
                ("severity", alert["severity"]),
                ("alert", f"{alert['alert_id']} {alert['alert_name']}"),
            ],
        ),
        "## Summary",
        _summary(incident),
        f"What users saw, and what ended it: {TO_FILL}.",
        "## Impact",
        _impact(incident),
        "## Timeline",
        table(["UTC", "what", "who"], [(_moment(at), what, "") for at, what in timeline(incident)]),
        f"What people did: {TO_FILL}.",
        "## Detection",
        _detection(alert),
        f"What could have noticed it sooner (docs/rca_template.md has the queries): {TO_FILL}.",
        "## Root cause",
        "### What else changed",
        _suspects(incident),
        "### Where the change came from",
        contributions_text(incident.contributions),
        "### Checked and found normal",
        _normal(incident),
        f"What broke, and why that was possible: {TO_FILL}.",
        "## Runbooks",
        "\n".join(f"- {escape(path)}" for path in runbooks(incident)),
        "## What went well, what went badly",
        f"- Well: {TO_FILL}\n- Badly: {TO_FILL}\n- Luck: {TO_FILL}",
        "## Actions",
        table(
            ["action", "kind", "owner", "until"],
            [("to fill in", kind, "", "") for kind in ("repair", "detect", "data", "document")],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def metric_report(rows: list[dict[str, Any]], *, metric: str, title: str, windows: str) -> str:
    """Write the contributions to the change of any metric between two windows."""
    head = f"# {escape(metric)} of {escape(title)}\n\n{escape(windows)}"
    return f"{head}\n\n{contributions_text(rows)}\n"


def timeline(incident: Incident) -> list[tuple[datetime, str]]:
    """Give what is known to have happened, in order."""
    alert = incident.alert
    found: list[tuple[datetime, str]] = []
    for line in incident.lines[:MOST_LINES]:
        where = _where(line)
        found += [
            (line["started_at"], f"{alert['alert_name']}{where}: the first breach begins"),
            (line["fired_at"], f"{alert['alert_name']}{where} fires ({alert['severity']})"),
            (line["resolved_at"], f"{alert['alert_name']}{where} resolves"),
        ]
    found += [
        (row["started_at"], f"{row['suspect_kind']} {row['suspect']}: {row['evidence']}")
        for row in incident.suspects
        if row["suspect_kind"] != "deployment"
    ]
    week = timedelta(days=7)
    for row in incident.deployments:
        version = f"{row['model_version']}"
        found += [
            (row["deployed_from"], f"{version} goes {row['role']}"),
            (row["deployed_to"], f"{version} ends being {row['role']}"),
        ]
    kept = [
        (at, what)
        for at, what in found
        if at is not None and alert["event_from"] - week <= at <= alert["ended_at"] + week
    ]
    return sorted(set(kept))


def runbooks(incident: Incident) -> list[str]:
    """Give the runbooks of the alert and of its suspects, each once."""
    paths = [incident.alert["runbook"], *(row["runbook"] for row in incident.suspects)]
    return [path for path in dict.fromkeys(paths) if path]


def contributions_text(rows: list[dict[str, Any]]) -> str:
    """Say what slices and pairs of them add to the change of the metric."""
    shown = [row for row in rows if row["contribution"] is not None]
    if not shown:
        status = rows[0]["data_status"] if rows else "not_applicable"
        return f"Its change cannot be split among slices (`{escape(status)}`)."
    first = shown[0]
    head = (
        f"{escape(first['metric'])} went from {_number(first['reference_value'])}"
        f" ({_span(first, 'reference')}) to {_number(first['value'])} ({_span(first, 'current')})."
    )
    distinct = sum(bool(row["is_distinct"]) for row in shown)
    said = (
        f"{distinct} of {len(shown)} slices and pairs have changed otherwise than the rest."
        if distinct
        else "No slice has changed otherwise than the rest: look at what all share."
    )
    return "\n\n".join(
        [
            f"{head} {said}",
            table(
                ["slice", "members#", "before#", "then#", "adds#", "of the change#", "by mix#",
                 "by its own change#", "stands out"],
                [
                    (
                        f"{row['slice_key']} = {row['slice_value']}",
                        _share(row["share"]),
                        _number(row["reference_slice_value"]),
                        _number(row["slice_metric_value"]),
                        _number(row["contribution"]),
                        _share(row["contribution_share"]),
                        _number(row["mix_effect"]),
                        _number(row["within_effect"]),
                        "yes" if row["is_distinct"] else "",
                    )
                    for row in shown[:MOST_CONTRIBUTIONS]
                ],
            ),
        ]
    )  # fmt: skip


def _summary(incident: Incident) -> str:
    alert = incident.alert
    feature = f" of {escape(alert['feature'])}" if alert["feature"] else ""
    text = (
        f"{escape(alert['metric'])}{feature} ({escape(alert['window_size'])}) was at worst"
        f" {_number(alert['worst_value'])}; it fires at"
        f" {escape(alert['comparator'])} {_number(alert['threshold'])}."
    )
    if not incident.suspects:
        return f"{text} Nothing else that the tables know of changed with it."
    first = incident.suspects[0]
    return (
        f"{text} First suspect: {escape(first['suspect_kind'])} {escape(first['suspect'])}"
        f" (score {first['score']:.2f}): {escape(first['evidence'])}."
    )


def _impact(incident: Incident) -> str:
    parts = []
    if incident.impact:
        parts.append(
            table(
                ["span", "version", "requests#", "errors#", "slow#", "worst hourly p95 ms#"],
                [
                    (
                        row["span"],
                        f"{row['model_version']} {row['role']}",
                        row["requests"],
                        _of(row["errors"], row["requests"]),
                        _of(row["slow"], row["requests"]),
                        _number(row["worst_p95_ms"]),
                    )
                    for row in incident.impact
                ],
            )
        )
    else:
        parts.append("No request was logged in that time, nor a week before.")
    predictions = sum(row["prediction_count"] for row in incident.labels)
    labelled = sum(row["labeled_count"] for row in incident.labels)
    if predictions:
        parts.append(
            f"Predictions on the days of it: {predictions}, of which {labelled} have a label by"
            " now."
        )
    slices = [line for line in incident.lines if line["slice_key"] != "all" or line["feature"]]
    if slices:
        parts.append(
            table(
                ["hit", "worst value#", "from", "to"],
                [
                    (
                        _where(line).removeprefix(", "),
                        _number(line["worst_value"]),
                        _moment(line["started_at"]),
                        _moment(line["resolved_at"]),
                    )
                    for line in slices[:MOST_LINES]
                ],
            )
        )
    parts.append(f"Who was hit, and what it cost them: {TO_FILL}.")
    return "\n\n".join(parts)


def _detection(alert: dict[str, Any]) -> str:
    if alert["fired_at"] is None:
        return "It has not fired yet."
    took = alert["fired_at"] - alert["started_at"]
    text = f"It could fire {_duration(took)} after the first breach began."
    if alert["resolved_at"] is not None:
        text += f" It was open for {_duration(alert['resolved_at'] - alert['fired_at'])}."
    return text


def _suspects(incident: Incident) -> str:
    if not incident.suspects:
        return "Nothing that was looked at changed when the metric did."
    return table(
        ["", "suspect", "since (UTC)", "score#", "evidence", "runbook"],
        [
            (
                row["suspect_rank"],
                f"{row['suspect_kind']}: {row['suspect']}",
                _moment(row["started_at"]),
                f"{row['score']:.2f}",
                row["evidence"],
                row["runbook"],
            )
            for row in incident.suspects
        ],
    )


def _normal(incident: Incident) -> str:
    looked_at = {row["suspect_kind"]: row for row in incident.normal}
    suspected = {row["suspect_kind"] for row in incident.suspects}
    rows = []
    for kind, words in KINDS.items():
        if kind in suspected:
            continue
        row = looked_at.get(kind)
        if row is None:
            rows.append((words, "", NOT_THERE.get(kind, "none in that time")))
        else:
            rows.append((words, row["checked"], f"{row['nearest']}: {row['evidence']}"))
    return table(["what", "looked at#", "nearest to a change"], rows)


def _where(line: dict[str, Any]) -> str:
    text = "" if line["slice_key"] == "all" else f", {line['slice_key']} = {line['slice_value']}"
    return text + (f", {line['feature']}" if line["feature"] else "")


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _duration(time: timedelta) -> str:
    hours = time / timedelta(hours=1)
    return (
        f"{time / timedelta(minutes=1):.0f} minutes"
        if hours < 2
        else (f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days")
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _of(count: int | None, whole: int) -> str:
    if count is None:
        return ""
    return f"{count} ({100 * count / whole:.1f} %)" if whole else f"{count}"


def _span(row: dict[str, Any], side: str) -> str:
    return f"{_moment(row[f'{side}_start'])} to {_moment(row[f'{side}_end'])}"
