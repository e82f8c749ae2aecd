"""How fast, how many, how many errors: from a year to a minute."""

from __future__ import annotations

from collections.abc import Iterator

from report.database import Database
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
    months = database.rows(
        """
        select distinct strftime(window_start, '%Y-%m') as month
        from {public}.service_levels
        where model_name = $name and slice_key = 'all' and window_size = '1h'
        order by month
        """,
        name=model.name,
    )
    for row in months:
        parameters = {"name": model.name, "month": row["month"]}
        where = "model_name = $name and strftime(window_start, '%Y-%m') = $month"
        yield (
            f"{model.folder}/service/{row['month']}.js",
            {
                "hours": database.columns(
                    f"""
                select {COLUMNS} from {{public}}.service_levels
                where {where} and slice_key = 'all' and window_size = '1h'
                order by version, role, time
                """,
                    **parameters,
                ),
                # Silent minutes are those that are not there.
                "minutes": database.columns(
                    f"""
                select {COLUMNS} from {{public}}.service_levels_minute
                where {where} and request_count > 0
                order by version, role, time
                """,
                    **parameters,
                ),
            },
        )
