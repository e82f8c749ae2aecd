"""What notifications say: to people in plain text, to machines as an event. Pure.

Slice values and names come from requests, so they may be hostile. In texts they are neutralised:
nothing in them starts a line, a mention, a link or a tag. In events they are as they are, since
JSON keeps data apart from itself.

What can be said is listed here, column by column: the public tables hold no raw feature values,
and a column that comes later is not sent before somebody has added it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from notifications import FIRING, RESOLVED, RETRACTED, RETRAINING, Change, Row

ALERT_COLUMNS = (
    "alert_id", "alert_name", "kind", "severity", "owner", "state", "model_name", "model_version",
    "role", "slice_key", "slice_value", "window_size", "window_start", "window_end", "started_at",
    "fired_at", "resolved_at", "line_count", "firing_line_count", "metric", "feature",
    "comparator", "compare_to", "threshold", "condition_count", "worst_value", "last_value",
    "runbook", "triggers_retraining", "data_status",
)  # fmt: skip
#: Of ``alert_board``: they decide whether something is told, and are not told.
BOARD_COLUMNS = ("is_silenced", "is_in_maintenance")
LINE_COLUMNS = (
    "slice_key", "slice_value", "feature", "state", "started_at", "fired_at", "resolved_at",
    "worst_value", "last_value",
)  # fmt: skip
REPORT_COLUMNS = ("summary", "likely_cause")
TRIGGER_COLUMNS = (
    "trigger_id", "model_name", "model_version", "role", "triggered_at", "alert_id", "alert_name",
    "reason", "evidence", "training_window_start", "training_window_end", "excluded_periods",
    "training_day_count", "labeled_count", "data_status",
)  # fmt: skip

#: The slices of an alert that an event lists; ``line_count`` has how many there are.
MOST_LINES = 20
#: Some receivers cut texts after a thousand characters.
NAME_LENGTH, TEXT_LENGTH = 100, 400
RETRACTION = (
    "With data that arrived later, or with rules as they are now, the condition does not hold."
)


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes
    ----------
    key : str
        What receivers de-duplicate by.
    subject : str
        What it is about: messages about one subject are delivered in order.
    channel : str
        Who gets it.
    kind : str
        ``failure``, ``warning``, ``info`` or ``success``, as apprise has them.
    title, body : str
        For people.
    event : dict
        For machines: ``{"event": ..., "idempotency_key": ..., ...}``.
    """

    key: str
    subject: str
    channel: str
    kind: str
    title: str
    body: str
    event: dict[str, Any]


def compose(change: Change, details: Mapping[str, Any], runbook_prefix: str = "") -> Message:
    """Put a change into words.

    Parameters
    ----------
    change : Change
        What is to be told.
    details : mapping
        Of an alert: ``summary`` and ``likely_cause`` of ``slo_report``, and ``lines``, some rows of
        ``alert_lines``. Any of them may be missing.
    runbook_prefix : str
        What comes before the path of a runbook, such as the address of a repository.

    Returns
    -------
    Message
    """
    if change.channel == RETRAINING:
        kind, title, parts, event = compose_trigger(change.row)
    else:
        kind, title, parts, event = compose_alert(change, details, runbook_prefix)
    parts.append(("Key", change.key))
    return Message(
        key=change.key,
        subject=change.subject,
        channel=change.channel,
        kind=kind,
        title=title,
        body="\n".join(f"{name}: {text}" for name, text in parts if text),
        event={"event": event.pop("event"), "idempotency_key": change.key, **event},
    )


def compose_alert(
    change: Change, details: Mapping[str, Any], runbook_prefix: str
) -> tuple[str, str, list[tuple[str, str]], dict[str, Any]]:
    """Return kind, title, the parts of the body, and the event of an alert."""
    alert, is_firing = change.row, change.state == FIRING
    name, served = plain(alert["alert_name"]), name_model(alert)
    title = f"[{change.channel.upper()}] {name} {change.state}: {served}"
    kinds = {"page": "failure", "ticket": "warning", "info": "info"}
    runbook = link_runbook(alert["runbook"], runbook_prefix)
    parts = [
        ("What", (is_firing and plain(details.get("summary"), TEXT_LENGTH)) or describe(alert)),
        ("Since", describe_time(change)),
        ("How bad", describe_values(alert)),
        ("Where", describe_slices(alert, details.get("lines", ()))),
        ("Likely cause", plain(details.get("likely_cause"), TEXT_LENGTH) if is_firing else ""),
        ("Runbook", runbook),
        ("Owner", plain(alert["owner"])),
        ("Alert", f"{plain(alert['alert_id'])}, incident {change.subject}-{change.ordinal}"),
    ]
    if change.state == RETRACTED:
        parts.insert(0, ("Retracted", RETRACTION))
    elif change.state == RESOLVED and change.is_first:
        parts.insert(0, ("Resolved", "It is over already; nothing was sent while it fired."))
    event = {
        "event": "alert",
        "state": change.state,
        "incident_id": change.subject,
        "ordinal": change.ordinal,
        "alert": as_json(alert, ALERT_COLUMNS),
        "lines": [as_json(line, LINE_COLUMNS) for line in details.get("lines", ())],
        "summary": details.get("summary"),
        "likely_cause": details.get("likely_cause"),
        "runbook": runbook or None,
    }
    return (kinds[change.channel] if is_firing else "success"), title, parts, event


def compose_trigger(trigger: Row) -> tuple[str, str, list[tuple[str, str]], dict[str, Any]]:
    """Return kind, title, the parts of the body, and the event of a retraining trigger."""
    served = f"{plain(trigger['model_name'])} {plain(trigger['model_version'])}"
    window = " to ".join(
        write_time(trigger[column]) or "?"
        for column in ("training_window_start", "training_window_end")
    )
    size = [
        f"{trigger[column]:,} {what}"
        for column, what in (("training_day_count", "days"), ("labeled_count", "labels"))
        if trigger[column] is not None
    ]
    if trigger["data_status"] != "ok":
        size.append(plain(trigger["data_status"]).replace("_", " "))
    parts = [
        ("What", f"{served} should be trained anew"),
        ("Why", plain(trigger["reason"], TEXT_LENGTH)),
        ("Evidence", plain(trigger["evidence"], TEXT_LENGTH)),
        ("Triggered", write_time(trigger["triggered_at"])),
        ("Train on", ", ".join([window, *size])),
        ("Without", plain(trigger["excluded_periods"], TEXT_LENGTH)),
        ("Alert", f"{plain(trigger['alert_name'])} {plain(trigger['alert_id'])}".strip()),
        ("Trigger", plain(trigger["trigger_id"])),
    ]
    event = {"event": "retraining_trigger", **as_json(trigger, TRIGGER_COLUMNS)}
    return "info", f"[RETRAINING] {served}: {plain(trigger['alert_name'])}", parts, event


def name_model(alert: Row) -> str:
    """Return model, version and role; ``all`` versions or roles are not worth a word."""
    parts = [alert["model_name"], alert["model_version"], alert["role"]]
    return " ".join(plain(part) for part in parts if part and part != "all")


def describe(alert: Row) -> str:
    """Say what an alert is about."""
    of_feature = f" of {plain(alert['feature'])}" if alert["feature"] else ""
    over = f" over {plain(alert['window_size'])}" if alert["window_size"] else ""
    return f"{plain(alert['metric']) or plain(alert['alert_name'])}{of_feature}{over}"


def describe_time(change: Change) -> str:
    """Say when an alert began, and if it is over, when and after how long."""
    alert = change.row
    start, end = alert["started_at"] or alert["fired_at"], alert["resolved_at"]
    text = f"{write_time(start)}, fired {write_time(alert['fired_at'])}"
    if change.state == RESOLVED and start and end:
        text += f", resolved {write_time(end)} after {write_span(end - start)}"
    elif change.state == FIRING and change.ordinal > 1:
        text += f", for the {change.ordinal}. time"
    return text


def describe_values(alert: Row) -> str:
    """Say how far a metric went, and what the rule is."""
    if alert["data_status"] != "ok":
        return "it could not be judged, for want of data"
    texts = [
        f"{name} {write_number(alert[column])}"
        for name, column in (("worst", "worst_value"), ("last", "last_value"))
        if alert[column] is not None
    ]
    if alert["threshold"] is not None:
        rule = f"rule: {plain(alert['metric'])} {plain(alert['comparator'])}"
        rule += f" {write_number(alert['threshold'])}"
        if alert["compare_to"] not in (None, "value"):
            rule += f" ({plain(alert['compare_to']).replace('_', ' ')})"
        if (alert["condition_count"] or 1) > 1:
            rule += f" and {alert['condition_count'] - 1} more"
        texts.append(rule)
    return ", ".join(texts)


def describe_slices(alert: Row, lines: Any) -> str:
    """Say where: the worst slice, and which others."""
    worst = name_slice(alert)
    others = list(dict.fromkeys(name_slice(line) for line in lines))
    others = [name for name in others if name != worst]
    more = (alert["line_count"] or 0) - 1
    if more <= 0:
        return worst
    named = f": {', '.join(others[:3])}" if others else ""
    return f"{worst}; {more} more{named}{', ...' if named and more > len(others[:3]) else ''}"


def name_slice(row: Row) -> str:
    """Return a slice, and the feature where there is one, in words."""
    key, value = row["slice_key"], row["slice_value"]
    name = "all requests" if key in (None, "all") else f"{plain(key)} = {plain(value)}"
    return f"{name}, {plain(row['feature'])}" if row["feature"] else name


def link_runbook(runbook: str | None, prefix: str) -> str:
    """Return where the runbook is to be found."""
    if not runbook:
        return ""
    if re.match(r"https?://", runbook):
        return plain(runbook, TEXT_LENGTH, is_link=True)
    path = plain(runbook, TEXT_LENGTH)
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if prefix else path


def plain(value: Any, length: int = NAME_LENGTH, *, is_link: bool = False) -> str:
    """Return text that stays on its line and means nothing but itself to any receiver.

    Parameters
    ----------
    value : object
        What may come from anywhere. None is no text.
    length : int
        How many characters are left of it at the most.
    is_link : bool
        Whether it is an address that may be followed.
    """
    text = "" if value is None else str(value)
    # Control and format characters: new lines, terminal escapes, reversed and invisible text.
    text = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter
        for letter in text
    )
    text = " ".join(text.split())
    text = text.replace("@", "＠").replace("`", "'")  # mentions, code
    text = re.sub(r"<(?=[!@#/a-zA-Z])", "‹", text)  # <!channel>, <@U1>, <b>
    text = re.sub(r"&(?=#?\w+;)", "＆", text)  # &lt;
    text = text.replace("](", "] (")  # [text](address)
    if not is_link:
        text = text.replace("://", ": //").replace("www.", "www .")
    return text if len(text) <= length else text[: length - 1] + "…"


def write_time(moment: datetime | None) -> str:
    """Return a time in UTC, without the zeros of a day."""
    if moment is None:
        return ""
    if moment == datetime(moment.year, moment.month, moment.day):
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def write_span(span: timedelta) -> str:
    """Return a length of time in its two largest units."""
    minutes = round(span.total_seconds() / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    texts = [f"{days} d" * bool(days), f"{hours} h" * bool(hours), f"{minutes} min" * bool(minutes)]
    return " ".join([text for text in texts if text][:2]) or "under a minute"


def write_number(number: float) -> str:
    """Return a number with four digits, and no fewer than it has before the point."""
    return f"{number:.4g}" if abs(number) < 1000 else f"{number:,.0f}"


def as_json(row: Row, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return what JSON can hold of a row: times with their zone, no NaN."""
    return {column: as_json_value(row.get(column)) for column in columns}


def as_json_value(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
