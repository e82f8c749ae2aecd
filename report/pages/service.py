"""How fast, how many, how many errors: from a year to a minute."""

from __future__ import annotations

from collections.abc import Iterator

from report.database import Database, Row, grouped
from report.models import Model
from report.site import Page

COLUMNS = """
    window_start as time, model_version as version, role, request_count as requests,
    error_rate, latency_p50_ms as p50, latency_p95_ms as p95, latency_p99_ms as p99
"""


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model; its hours and minutes are loaded when somebody zooms in."""
    for model in models:
        days = database.columns(
            f"""
            select {COLUMNS} from {{public}}.service_levels
            where model_name = $name and slice_key = 'all' and window_size = '1d'
            order by version, role, time
            """,
            name=model.name,
        )
        alerts = database.rows(
            """
            select
                alert_id, alert_name, severity, metric, fired_at, resolved_at, model_version,
                runbook
            from {public}.alerts
            where model_name = $name and state <> 'pending'
                and metric in (
                    'error_rate', 'slow_rate', 'latency_p95_ms', 'latency_p50_ms',
                    'latency_p99_ms', 'requests_vs_week_before', 'is_unexpectedly_silent'
                )
            order by fired_at
            """,
            name=model.name,
        )
        releases = database.rows(
            """
            select model_version, role, min(window_start) as first_day
            from {public}.service_levels
            where model_name = $name and slice_key = 'all' and window_size = '1d'
            group by all order by first_day
            """,
            name=model.name,
        )
        files = dict(_months(database, model))
        yield Page(
            f"{model.folder}/service.html",
            f"Service of {model.name}",
            "service.html",
            {"model": model, "alerts": alerts},
            {
                "days": days,
                "alerts": alerts,
                "releases": releases,
                "months": {name.rsplit("/", 1)[1][:-3]: name for name in files},
            },
            files,
        )


def _months(database: Database, model: Model) -> Iterator[tuple[str, dict]]:
    """Give the hours and minutes of each month, by the path of their file."""
    where = "slice_key = 'all' and window_size = '1h'"
    hours = grouped(_lines(database, model, "service_levels", where), "month")
    # Silent minutes are those that are not there.
    where = "request_count > 0"
    minutes = grouped(_lines(database, model, "service_levels_minute", where), "month")
    for month in sorted(hours):
        content = {"hours": hours[month], "minutes": minutes.get(month, [])}
        yield f"{model.folder}/service/{month}.js", content


def _lines(database: Database, model: Model, table: str, where: str) -> list[Row]:
    """Give a row for each month and version, with a list for each measure: much is in few words.

    Times are minutes since 1970, latencies have what can be seen of them in a chart.
    """
    return database.rows(
        f"""
        select
            strftime(window_start, '%Y-%m') as month, model_version as version, role,
            list(epoch(window_start)::bigint // 60 order by window_start) as minute,
            list(request_count order by window_start) as requests,
            list(round(error_rate, 5) order by window_start) as error_rate,
            list(round(latency_p50_ms, 2) order by window_start) as p50,
            list(round(latency_p95_ms, 2) order by window_start) as p95,
            list(round(latency_p99_ms, 2) order by window_start) as p99
        from {{public}}.{table}
        where model_name = $name and {where}
        group by month, version, role
        order by month, version, role
        """,
        name=model.name,
    )
