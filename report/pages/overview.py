"""The first page: whether each model is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from report.database import Database, Row
from report.models import Model
from report.site import Page

DAYS = 365
# What a day of the strip says, the worst thing that was.
QUIET, TICKET, PAGE, SILENT = 0, 1, 2, 3


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give the overview."""
    (clock,) = database.rows("select max(window_end) as as_of from {public}.service_levels_minute")
    slos = database.rows("""
        select * from {public}.slo_status
        order by
            is_breached desc, severity = 'page' desc, slo_name, model_version, slice_key,
            slice_value
    """)
    alerts = database.rows("""
        select * from {public}.alerts
        where state = 'firing'
        order by severity = 'page' desc, fired_at desc, alert_id
    """)
    days = database.rows("""
        select model_name, window_start::date as day, sum(request_count)::bigint as requests
        from {public}.service_levels
        where slice_key = 'all' and window_size = '1d' and role = 'live'
        group by all
    """)
    fired = database.rows("""
        select model_name, severity, fired_at, resolved_at
        from {public}.alerts
        where state <> 'pending' and severity in ('page', 'ticket')
    """)
    labels = database.rows("""
        select model_name, max(window_end) as last_label
        from {public}.label_coverage
        where slice_key = 'all' and label_view = 'latest' and window_size = '1d'
            and labeled_count > 0
        group by all
    """)
    events = database.rows("""
        select model_name, max(window_end) as last_request
        from {public}.service_levels_minute
        where request_count > 0
        group by all
    """)
    as_of = clock["as_of"]
    cards = []
    for model in models:
        own = [row for row in slos if row["model_name"] == model.name]
        firing = [row for row in alerts if row["model_name"] == model.name]
        cards.append(
            {
                "model": model,
                "slos": own,
                "alerts": firing,
                "budget": least_budget(own),
                "state": state_of(own, firing),
                "last_request": _of(events, model, "last_request"),
                "last_label": _of(labels, model, "last_label"),
                "strip": strip(model.name, days, fired, as_of) if as_of else [],
            }
        )
        cards[-1]["strip_words"] = strip_words(cards[-1]["strip"])
    order = ["page", "ticket", "unknown", "well"]
    cards.sort(key=lambda card: (order.index(card["state"]), card["model"].name))
    yield Page(
        "index.html", "Overview", "overview.html", {"cards": cards, "as_of": as_of},
        {"strips": {card["model"].name: card["strip"] for card in cards}},
    )  # fmt: skip


def _of(rows: list[Row], model: Model, name: str) -> datetime | None:
    return next((row[name] for row in rows if row["model_name"] == model.name), None)


def least_budget(slos: list[Row]) -> Row | None:
    """Give the objective that has least of its error budget left; None where none has one."""
    known = [row for row in slos if row["error_budget_remaining"] is not None]
    return min(known, key=lambda row: row["error_budget_remaining"], default=None)


def state_of(slos: list[Row], alerts: list[Row]) -> str:
    """Say how a model is: ``page``, ``ticket``, ``well``, or ``unknown`` without a judgement."""
    bad = {row["severity"] for row in alerts} | {
        row["severity"] for row in slos if row["is_breached"]
    }
    if "page" in bad:
        return "page"
    if "ticket" in bad:
        return "ticket"
    return "well" if any(row["data_status"] == "ok" for row in slos) else "unknown"


def strip_words(days: list[list]) -> str:
    """Say what a strip shows, for people who do not see it."""
    count = Counter(worst for _, worst, _ in days)
    return (
        f"The last {len(days)} days: {count[PAGE]} with a page, {count[TICKET]} with a ticket,"
        f" {count[SILENT]} without a request"
    )


def strip(name: str, days: list[Row], fired: list[Row], as_of: datetime) -> list[list]:
    """Give the last year of a model by day: the date, the worst that was, requests."""
    requests = {row["day"]: row["requests"] for row in days if row["model_name"] == name}
    own = [row for row in fired if row["model_name"] == name]
    last = (as_of - timedelta(microseconds=1)).date()
    first = max(min(requests, default=last), last - timedelta(days=DAYS - 1))
    found = []
    for number in range((last - first).days + 1):
        date = first + timedelta(days=number)
        start = datetime(date.year, date.month, date.day)
        worst = SILENT if not requests.get(date) else QUIET
        for row in own:
            ended = row["resolved_at"] or datetime.max
            if row["fired_at"] < start + timedelta(days=1) and ended > start:
                level = PAGE if row["severity"] == "page" else TICKET
                worst = level if worst == SILENT else max(worst, level)
        found.append([date, worst, requests.get(date, 0)])
    return found
