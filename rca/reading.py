"""What a report is made of, read from a built database."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from built_database import open_to_read
from rca import RcaError
from root_cause_tables import RELATIONS, contributions
from sql_text import quoted

Row = dict[str, Any]


class Database:
    """A built database, opened for reading.

    Parameters
    ----------
    path : Path
    schema : str
        The public schema; internal tables are in ``<schema>_internal``.

    Raises
    ------
    RcaError
        If there is no such database, it cannot be opened, or it was built by an earlier version.
    """

    def __init__(self, path: Path, schema: str = "ml_monitoring"):
        self.path, self.schema = path, schema
        # It reads internal tables, which the published copy does not have.
        self.connection = open_to_read(path, RcaError, cure="wait until it is done.")
        self.need("root_cause_suspects")

    def need(self, table: str) -> None:
        """Stop where a table is missing."""
        found = self.rows(
            "select 1 as found from information_schema.tables"
            " where table_schema = $schema and table_name = $table",
            schema=self.schema, table=table,
        )  # fmt: skip
        if not found:
            raise RcaError(
                f"{self.path} has no table {self.schema}.{table}. It was built by an earlier"
                " version of the project, or its build did not get through: run `make build`."
            )

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """Give the rows of a query; ``{public}`` and ``{internal}`` in it are the schemas."""
        query = query.replace("{public}", quoted(self.schema))
        query = query.replace("{internal}", quoted(f"{self.schema}_internal"))
        return self.connection.sql(query, params=parameters or None).to_arrow_table().to_pylist()

    def relation(self, table: str) -> Any:
        """Give an internal table as a relation."""
        return self.connection.sql(f"from {quoted(self.schema + '_internal')}.{quoted(table)}")


@dataclass
class Incident:
    """All that a report says of an alert.

    Attributes
    ----------
    alert : dict
        A row of ``alerts``, with ``event_from`` and ``event_to`` of ``int_suspect_alerts``, and
        ``ended_at``: when the last known breach had ended.
    lines, impact, labels, deployments, contributions, suspects, normal : list of dict
    """

    alert: Row
    lines: list[Row]
    impact: list[Row]
    labels: list[Row]
    deployments: list[Row]
    contributions: list[Row]
    suspects: list[Row]
    normal: list[Row]


def newest_alerts(database: Database, count: int = 20) -> list[Row]:
    """Give the newest alerts, with their first suspect."""
    return database.rows(
        """
        select
            alerts.alert_id, alerts.alert_name, alerts.model_name, alerts.model_version,
            alerts.severity, alerts.state, alerts.started_at, alerts.resolved_at,
            suspects.suspect_kind, suspects.suspect
        from {public}.alerts as alerts
        left join {public}.root_cause_suspects as suspects
            on alerts.alert_id = suspects.alert_id and suspects.suspect_rank = 1
        order by alerts.started_at desc, alerts.alert_id
        limit $count
        """,
        count=count,
    )


def read_incident(database: Database, alert_id: str) -> Incident:
    """Read all that is known of an alert.

    Raises
    ------
    RcaError
        If there is no such alert; names similar ones.
    """
    found = database.rows(
        """
        select alerts.*, spans.event_from, spans.event_to
        from {public}.alerts as alerts
        inner join {internal}.int_suspect_alerts as spans on alerts.alert_id = spans.alert_id
        where alerts.alert_id = $alert_id
        """,
        alert_id=alert_id,
    )
    if not found:
        raise RcaError(unknown_alert(database, alert_id))
    (alert,) = found
    alert["ended_at"] = alert["resolved_at"] or max(
        filter(None, (alert["event_to"], alert["window_end"], alert["fired_at"]))
    )
    series = {name: alert[name] for name in ("model_name", "model_version", "role")}
    span = {"start": alert["event_from"], "end": alert["ended_at"]}
    of_series = """
        model_name = $model_name and $model_version in ('all', model_version)
        and $role in ('all', role)
    """
    of_alert = {"alert_id": alert_id}
    return Incident(
        alert=alert,
        lines=database.rows(
            """
            select * from {public}.alert_lines where alert_id = $alert_id
            order by started_at, slice_key, slice_value, feature
            """,
            **of_alert,
        ),
        impact=database.rows(
            f"""
            with hours as (
                select *, window_start >= $start as is_incident
                from {{public}}.service_levels
                where {of_series} and window_size = '1h' and slice_key = 'all' and (
                    window_end > $start and window_start < $end
                    or window_end > $start - interval '7 days'
                    and window_start < $end - interval '7 days'
                )
            )
            select
                case when window_end > $start then 'incident' else 'a week before' end as span,
                model_version, role, sum(request_count)::bigint as requests,
                sum(error_count)::bigint as errors, sum(slow_count)::bigint as slow,
                max(latency_p95_ms) as worst_p95_ms
            from hours group by all order by span desc, model_version, role
            """,
            **series, **span,
        ),
        labels=database.rows(
            f"""
            select
                model_version, role, window_start::date as day, prediction_count, labeled_count
            from {{public}}.label_coverage
            where {of_series} and window_size = '1d' and slice_key = 'all'
                and label_view = 'latest' and window_end > $start and window_start < $end
            order by day, model_version, role
            """,
            **series, **span,
        ),
        deployments=database.rows(
            """
            select * from {internal}.stg_deployments
            where model_name = $model_name and problem is null
            order by deployed_from, model_version, role
            """,
            model_name=alert["model_name"],
        ),
        contributions=database.rows(
            """
            select * from {public}.root_cause_contributions where alert_id = $alert_id
            order by cause_rank nulls last, contribution_rank nulls last, slice_key, slice_value
            """,
            **of_alert,
        ),
        suspects=database.rows(
            """
            select * from {public}.root_cause_suspects where alert_id = $alert_id
            order by suspect_rank
            """,
            **of_alert,
        ),
        normal=database.rows(
            """
            select suspect_kind, count(*) as checked, arg_min(suspect, suspect_rank) as nearest,
                arg_min(evidence, suspect_rank) as evidence
            from {internal}.int_root_cause_suspects
            where alert_id = $alert_id and suspect_kind not in (
                select suspect_kind from {public}.root_cause_suspects where alert_id = $alert_id
            )
            group by suspect_kind order by suspect_kind
            """,
            **of_alert,
        ),
    )  # fmt: skip


def unknown_alert(database: Database, alert_id: str) -> str:
    """Say that there is no such alert, and which ones are like it."""
    known = database.rows(
        "select alert_id, alert_name, started_at from {public}.alerts order by started_at desc"
    )
    names = {row["alert_name"] for row in known}
    like = difflib.get_close_matches(alert_id, [row["alert_id"] for row in known], 3, 0.6)
    like_names = difflib.get_close_matches(alert_id, sorted(names), 2, 0.6)
    similar = [
        row for row in known
        if row["alert_id"] in like or row["alert_id"].startswith(alert_id[:4] or "-")
        or row["alert_name"] in like_names
    ][:5] or known[:5]  # fmt: skip
    listed = "".join(
        f"\n  {row['alert_id']}  {row['alert_name']}, {row['started_at']:%Y-%m-%d %H:%M} UTC"
        for row in similar
    )
    there = f" Similar, or the newest:{listed}" if similar else " There is no alert at all."
    return f"{database.path} has no alert `{alert_id}`.{there}\n`make rca` lists the newest alerts."


def read_contributions(
    database: Database,
    *,
    model_name: str,
    model_version: str,
    role: str,
    metric: str,
    reference: tuple[datetime, datetime],
    current: tuple[datetime, datetime],
) -> list[Row]:
    """Split the change of any metric between two windows among slices.

    Raises
    ------
    RcaError
        If there is no such model version, or the metric cannot be split.
    """
    versions = database.rows(
        """
        select distinct model_name, model_version, role from {internal}.int_service_hours
        order by all
        """
    )
    if (model_name, model_version, role) not in {tuple(row.values()) for row in versions}:
        listed = "".join(f"\n  {' '.join(row.values())}" for row in versions[:20])
        raise RcaError(
            f"There are no requests of {model_name} {model_version} {role}, but of:{listed}"
        )
    try:
        table = contributions(
            database.connection,
            model_name=model_name, model_version=model_version, role=role, metric=metric,
            reference=reference, current=current,
            relations={name: database.relation(table) for name, table in RELATIONS.items()},
        )  # fmt: skip
    except ValueError as error:
        raise RcaError(str(error)) from error
    rows = table.to_pylist()
    rows.sort(
        key=lambda row: (
            row["cause_rank"] is None, row["cause_rank"], row["slice_key"], row["slice_value"]
        )
    )  # fmt: skip
    return rows


def parse_moment(text: str, option: str) -> datetime:
    """Read a date or an RFC 3339 time as UTC without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RcaError(
            f"{option}={text} is no date or time; write 2013-05-07 or 2013-05-07T16:00:00Z."
        ) from None
    if moment.tzinfo is not None:
        moment = (moment - moment.utcoffset()).replace(tzinfo=None)
    return moment


def window_before(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Give the window of the same length a whole number of days before."""
    days = max(-((start - end) // timedelta(days=1)), 1)
    return start - timedelta(days=days), end - timedelta(days=days)
