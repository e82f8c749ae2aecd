"""Print what the last build found: ``python -m demo.summary``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rca.markdown import plain

DATABASE = Path(os.environ.get("ML_MONITORING_PATH", "warehouse.duckdb"))

INGESTED = """
    select
        input, count(*) as files, sum(line_count) as lines, sum(accepted_count) as accepted,
        sum(duplicate_count) as duplicate, sum(rejected_count) as rejected,
        sum(held_count) as held, sum(superseded_count) as superseded,
        sum(unmatched_count) as unmatched
    from ml_monitoring.ingestion_reconciliation
    group by input
    order by input
"""
FIELD_ISSUES = """
    select field || ' ' || issue, count(*) from ml_monitoring.field_issues
    group by all order by all
"""
SLOS = """
    select
        slo_name, severity, model_version
        || case when 'all' in (slice_key, slice_value) then ''
            else ', ' || slice_key || ' = ' || slice_value end,
        metric || coalesce(' of ' || feature, '') || ' ' || comparator || ' '
        || format('{:g}', objective),
        window_size, sli_value,
        case when is_breached then 'BREACHED' when data_status = 'ok' then 'met'
            else 'not judged' end,
        error_budget_remaining
    from ml_monitoring.slo_status
    order by is_breached desc, severity, slo_name, model_version, slice_value
"""
ALERTS = """
    select
        alert_name, severity, model_version, state, strftime(fired_at, '%Y-%m-%d %H:%M'),
        strftime(resolved_at, '%Y-%m-%d %H:%M'), worst_value, line_count
    from ml_monitoring.alerts
    where state <> 'pending'
    order by state, coalesce(resolved_at, fired_at) desc, alert_name
    limit 8
"""
VERSIONS = """
    with days as (
        select * from ml_monitoring.service_levels
        where slice_key = 'all' and window_size = '1d'
    ),
    coverage as (
        select * from ml_monitoring.label_coverage
        where slice_key = 'all' and window_size = '30d' and label_view = 'as_known'
            and data_status = 'ok'
        qualify row_number() over (
            partition by model_name, model_version, role order by window_end desc
        ) = 1
    )
    select
        days.model_name || ' ' || days.model_version, days.role,
        strftime(min(days.window_start), '%Y-%m-%d'), strftime(max(days.window_end), '%Y-%m-%d'),
        sum(days.request_count), sum(days.error_count) / sum(days.request_count),
        median(days.latency_p95_ms), arg_max(days.latency_p95_ms, days.window_end),
        any_value(coverage.label_coverage), any_value(coverage.label_delay_p50_hours)
    from days
    left join coverage using (model_name, model_version, role)
    group by all
    order by 3, 2
"""
# The version of each model that answered last.
LIVE = """
    live as (
        select model_name, arg_max(model_version, (window_end, request_count)) as model_version
        from ml_monitoring.service_levels_minute
        where role = 'live' and request_count > 0
        group by model_name
    )
"""
DRIFT = f"""
    with {LIVE},
    weeks as (
        select
            *,
            greatest(psi_noise_q95, psi_own_windows_q95) as noise,
            case drift_level when 'significant' then 2 when 'moderate' then 1 else 0 end as rank
        from ml_monitoring.feature_drift
        inner join live using (model_name, model_version)
        where role = 'live' and slice_key = 'all' and window_size = '7d'
        qualify window_end = max(window_end) over (partition by model_name)
    )
    select
        model_name || ' ' || model_version, feature,
        {{columns}}
    from weeks
    group by all
    order by sum(rank) desc, max(psi / nullif(noise, 0)) desc nulls last, feature
    limit 5
""".format(
    columns=", ".join(
        f"max({column}) filter (where comparison = '{comparison}')"
        for comparison in ("previous", "baseline")
        for column in ("psi", "noise", "drift_level")
    )
)
# The newest month that can be judged, and the month before it of whichever version was live then.
# Equalized odds is the wider of two of the other gaps; the ratio is on another scale.
QUALITY = """
    with measures as (
        select
            model_name, model_version, role, window_size, window_end, label_view, data_status,
            labeled_count, slice_key, 'ROC AUC' as measure, 1 as place, roc_auc as value,
            roc_auc_lower as lower, roc_auc_upper as upper, null as floor, '' as "groups"
        from ml_monitoring.model_performance
        where slice_key = 'all'
        union all
        select
            model_name, model_version, role, window_size, window_end, label_view, data_status,
            labeled_count, slice_key, 'ECE', 2, ece, null, null, ece_noise_floor, ''
        from ml_monitoring.calibration
        where slice_key = 'all'
        union all
        select
            model_name, model_version, role, window_size, window_end, label_view, data_status,
            labeled_count, slice_key, replace(replace(metric, 'difference', 'gap'), '_', ' '), 3,
            value, value_lower, value_upper, null, ', ' || lowest_group || ' to ' || highest_group
        from ml_monitoring.fairness
        where metric like '%difference' and metric <> 'equalized_odds_difference'
    ),
    months as (
        select * from measures
        where role = 'live' and window_size = '30d' and label_view = 'as_known'
            and data_status = 'ok'
    ),
    newest as (
        select *
        from months
        qualify row_number() over (
            partition by model_name, place order by window_end desc, labeled_count desc, value desc
        ) = 1
    )
    select
        newest.model_name || ' ' || newest.model_version, newest.measure || newest."groups",
        strftime(newest.window_end, '%Y-%m-%d'), newest.value, newest.lower, newest.upper,
        newest.floor, before.value, before.lower, before.upper, before.floor
    from newest
    left join months as before
        on newest.model_name = before.model_name and newest.measure = before.measure
            and newest.slice_key = before.slice_key
            and before.window_end = newest.window_end - interval '30 days'
    qualify row_number() over (
        partition by newest.model_name, newest.place order by before.labeled_count desc
    ) = 1
    order by newest.model_name, newest.place
"""

LAUNCHES = """
    select
        criteria.model_name || ': ' || criteria.model_version || ' for ' || criteria.live_version,
        strftime(criteria.window_end, '%Y-%m-%d'), decisions.decision, criteria.verdict,
        criteria.summary
    from ml_monitoring.launch_criteria as criteria
    inner join ml_monitoring.launch_decision as decisions
        using (model_name, model_version, live_version, window_end)
    where decisions.is_newest
    order by all
"""


def table(title: str, *columns: str) -> Table:
    """Make an empty table; columns that end with # are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left")
    return made


def number(value: float | None, form: str = ",.0f") -> str:
    """Format a number; unknown is a dash, not a 0."""
    return "–" if value is None else format(value, form)


def certainty(lower: float | None, upper: float | None, floor: float | None) -> str:
    """Format the interval of a measure, or what chance alone would make of it."""
    if floor is not None:
        return f"noise floor {floor:.3f}"
    return "–" if lower is None else f"{lower:.3f} to {upper:.3f}"


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple]:
    """Rows of a query, with texts that neither steer the terminal nor are taken for markup."""
    return [
        tuple(escape(plain(value)) if isinstance(value, str) else value for value in row)
        for row in connection.execute(query).fetchall()
    ]


def main() -> int:
    """Print the summary; returns the exit code."""
    console = Console()
    # A pipe has no width of its own, and a table that wraps is hard to read.
    console.width = max(console.width, 136)
    if not DATABASE.exists():
        console.print(f"There is no {DATABASE} yet. Type: make demo")
        return 1
    with duckdb.connect(str(DATABASE), read_only=True) as connection:
        ingested = rows(connection, INGESTED)
        issues = rows(connection, FIELD_ISSUES)
        slos = rows(connection, SLOS)
        alerts = rows(connection, ALERTS)
        versions = rows(connection, VERSIONS)
        drifted = rows(connection, DRIFT)
        launches = rows(connection, LAUNCHES)
        quality = rows(connection, QUALITY)
        as_of = connection.execute("select as_of from ml_monitoring_internal.int_as_of").fetchone()

    console.print(f"\n[bold]What monitoring sees as of {as_of[0]} UTC[/bold]\n")
    lines = table("Ingested lines", "input", "files#", "read#", "accepted#", "duplicate#",
                  "rejected#", "held#", "superseded#", "unmatched#")  # fmt: skip
    for name, *counts in ingested:
        lines.add_row(name, *map(number, counts))
    console.print(lines)
    if issues:
        total = sum(count for _, count in issues)
        named = ", ".join(f"{name} ({count})" for name, count in issues)
        console.print(f"{total} field issues: {named}", markup=False)

    console.print()
    served = table("Versions (latency and status are simulated: flights have no servers)",
                   "version", "role", "from", "to", "requests#", "errors#", "p95 ms#",
                   "p95 last day#", "labels known#", "label delay h#")  # fmt: skip
    for name, role, start, end, requests, errors, p95, newest, coverage, delay in versions:
        served.add_row(
            name, role, start, end, number(requests), number(errors, ".2%"), number(p95),
            number(newest), number(coverage, ".1%"), number(delay, ".1f"),
        )  # fmt: skip
    console.print(served)

    console.print()
    features = table("What moved most in the last 7 days (noise: what chance or the baseline's own "
                     "weeks reach)", "model", "feature", "PSI to week before#", "noise#", "level",
                     "PSI to baseline#", "noise#", "level")  # fmt: skip
    for name, feature, week, week_noise, week_level, psi, noise, level in drifted:
        features.add_row(
            name, feature, number(week, ".3f"), number(week_noise, ".3f"), week_level or "–",
            number(psi, ".3f"), number(noise, ".3f"), level or "–",
        )  # fmt: skip
    console.print(features)

    console.print()
    measures = table("The newest 30 days that can be judged, with the labels known in time",
                     "model", "measure", "until", "value#", "95 % interval",
                     "30 days before#", "95 % interval")  # fmt: skip
    for name, measure, until, now, *of_now, before, lower, upper, floor in quality:
        measures.add_row(name, measure, until, number(now, ".3f"), certainty(*of_now),
                         number(before, ".3f"), certainty(lower, upper, floor))  # fmt: skip
    for measure in () if quality else ("ROC AUC", "ECE", "widest gap between groups"):
        measures.add_row("–", measure, *["–"] * 5)
    console.print(measures)

    if launches:
        console.print()
        decided = table("May what was in the shadow go live?", "shadow for live", "newest look",
                        "decision", "verdict", "criterion")  # fmt: skip
        for row in launches:
            decided.add_row(*row)
        console.print(decided)

    console.print()
    objectives = table("Objectives", "SLO", "severity", "of", "target", "window", "value#",
                       "state", "budget left#")  # fmt: skip
    for name, severity, where, target, window, value, state, budget in slos:
        style = {"BREACHED": "bold red", "met": "green"}.get(state, "yellow")
        objectives.add_row(name, severity, where, target, window, number(value, ".4g"),
                           f"[{style}]{state}[/{style}]", number(budget, ".0%"))  # fmt: skip
    console.print(objectives)

    console.print()
    fired = table("The newest alerts", "alert", "severity", "version", "state", "fired (UTC)",
                  "resolved (UTC)", "worst value#", "lines#")  # fmt: skip
    for name, severity, version, state, since, until, worst, count in alerts:
        style = "bold red" if state == "firing" else "green"
        fired.add_row(name, severity, version, f"[{style}]{state}[/{style}]", since, until or "–",
                      number(worst, ".4g"), number(count))  # fmt: skip
    console.print(fired)
    console.print(
        "\nNext:\n"
        "  make replay AT=latency-may      the same build in the middle of an incident: it fails\n"
        "  make replay AT=stuck-feature-august   a feature that has drifted\n"
        "  make replay AT=silence-june     (more in demo/incidents.csv)\n"
        "  make docs                       every table and column\n"
        f"  duckdb.connect('{DATABASE}', read_only=True) in Python, or any BI tool: the tables\n"
        "                                  are in the schema ml_monitoring (README)\n",
        markup=False,
        highlight=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
