"""What came in: lines and what became of them, labels, baselines, custom metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from report.database import Database, Row, grouped
from report.models import Model
from report.site import Page

# Reasons in a chart or table; what is beyond stays in the warehouse, and the page says so.
MOST = 30


def pages(database: Database, models: list[Model]) -> Iterator[Page]:
    """Give a page for each model. Lines that name no model are on all of them."""
    inputs, troubled = _inputs(database)
    rejected = grouped(_rejected(database), "model_name")
    quality = grouped(
        database.rows("""
            select
                model_name, window_start as day, line_count as lines,
                line_count - duplicate_count - rejected_count as accepted,
                duplicate_count as duplicates, rejected_count as rejected, duplicate_rate,
                reject_rate, field_issue_rate
            from {public}.data_quality
            where window_size = '1d'
            order by model_name, day
        """),
        "model_name",
    )
    issues = grouped(
        database.rows("""
            select
                model_name, concat(field, ': ', replace(issue, '_', ' ')) as reason,
                ts::date as day, count(*) as count
            from {public}.field_issues
            group by all order by model_name, reason, day
        """),
        "model_name",
    )
    labels = grouped(_labels(database), "model_name")
    corrections = grouped(
        database.rows("""
            select
                model_name, window_start as day, label_count as labels,
                corrected_label_count as corrected, label_correction_rate as rate
            from {public}.label_corrections
            where window_size = '1d'
            order by model_name, day
        """),
        "model_name",
    )
    baselines = grouped(
        database.rows("""
            select * from {public}.baselines
            order by model_name, is_in_force desc, kind, model_version, baseline_version
        """),
        "model_name",
    )
    custom = grouped(_custom(database), "model_name")
    for model in models:
        reasons = rejected.get(model.name, []) + rejected.get(None, [])
        own = custom.get(model.name, [])
        shortest = [row for row in own if row["window_size"] == own[0]["window_size"]]
        yield Page(
            f"{model.folder}/data.html",
            f"Data of {model.name}",
            "data.html",
            {
                "model": model,
                "inputs": inputs,
                "troubled": troubled,
                "most": MOST,
                "quality": quality.get(model.name, []),
                "rejected": totals(reasons),
                "issues": totals(issues.get(model.name, [])),
                "labels": labels.get(model.name, []),
                "corrections": corrections.get(model.name, []),
                "baselines": baselines.get(model.name, []),
                "custom": newest(own),
            },
            {
                "days": {
                    "quality": columns(quality.get(model.name, [])),
                    "rejected": frequent(reasons),
                    "issues": frequent(issues.get(model.name, [])),
                    "labels": columns(labels.get(model.name, [])),
                    "corrections": columns(corrections.get(model.name, [])),
                    "custom": columns(shortest, "metric", "version", "day", "value"),
                },
                "window": shortest[0]["window_size"] if shortest else None,
            },
        )


def _inputs(database: Database) -> tuple[list[Row], list[Row]]:
    """Give what became of the lines of each input, and the files that were not well."""
    inputs = database.rows("""
        select
            input, count(*) as files, sum(line_count)::bigint as lines,
            sum(accepted_count)::bigint as accepted, sum(duplicate_count)::bigint as duplicates,
            sum(rejected_count)::bigint as rejected, sum(held_count)::bigint as held,
            sum(superseded_count)::bigint as superseded,
            sum(unmatched_count)::bigint as unmatched, max(modified_at) as newest,
            count(file_problem) as problems
        from {public}.ingestion_reconciliation
        group by input order by input
    """)
    troubled = database.rows(
        """
        select input, file_path, modified_at, line_count, file_problem
        from {public}.ingestion_reconciliation
        where file_problem is not null
        order by modified_at desc nulls last, file_path
        limit $most
        """,
        most=MOST,
    )
    return inputs, troubled


def _rejected(database: Database) -> list[Row]:
    """Count rejected lines by day: their own, or where they say none, that of their file."""
    return database.rows("""
        select
            records.model_name,
            concat(
                replace(records.input, '_', ' '), ': ', replace(records.reject_reason, '_', ' '),
                if(records.model_name is null, ' (names no model)', '')
            ) as reason,
            coalesce(records.ts, files.modified_at)::date as day, count(*) as count
        from {public}.rejected_records as records
        left join {public}.ingestion_reconciliation as files using (input, file_path)
        group by all order by records.model_name, reason, day
    """)


def _labels(database: Database) -> list[Row]:
    """Give label coverage by day, and what of it was known when it was judged."""
    return database.rows("""
        select
            model_name, concat(model_version, ' ', role) as version, window_start as day,
            max(prediction_count) as predictions,
            max(labeled_count) filter (where label_view = 'latest') as labeled,
            max(label_coverage) filter (where label_view = 'latest') as latest,
            max(label_coverage) filter (where label_view = 'as_known') as as_known,
            max(label_delay_p50_hours) filter (where label_view = 'latest') as p50,
            max(label_delay_p95_hours) filter (where label_view = 'latest') as p95,
            max(data_status) filter (where label_view = 'as_known') as status
        from {public}.label_coverage
        where slice_key = 'all' and window_size = '1d'
        group by all order by model_name, version, day
    """)


def _custom(database: Database) -> list[Row]:
    """Give custom metrics of whole models, the shortest windows first."""
    return database.rows("""
        select
            model_name, metric, concat(model_version, ' ', role) as version, window_size,
            window_start as day, window_end, value, sample_count, better, problem, data_status
        from {public}.custom_metrics
        where slice_key = 'all' and label_view is distinct from 'as_known'
        order by
            model_name, try_cast(rtrim(window_size, 'd') as integer), metric, version, day
    """)


def columns(rows: list[Row], *names: str) -> dict[str, list[Any]]:
    """Give rows as columns, for a chart: all but the model's name, or those of these names."""
    names = names or tuple(name for name in (rows[0] if rows else ()) if name != "model_name")
    return {name: [row[name] for row in rows] for name in names}


def totals(rows: list[Row]) -> list[Row]:
    """Sum counts by reason, with the first and last day; the most frequent come first."""
    found = []
    for reason, own in grouped(rows, "reason").items():
        days = [row["day"] for row in own if row["day"]]
        found.append(
            {
                "reason": reason,
                "count": sum(row["count"] for row in own),
                "first": min(days, default=None),
                "last": max(days, default=None),
            }
        )
    return sorted(found, key=lambda row: (-row["count"], row["reason"]))


def frequent(rows: list[Row]) -> dict[str, list[Any]]:
    """Give the counts of the most frequent reasons as columns: a chart has a row for each."""
    kept = {row["reason"] for row in totals(rows)[:MOST]}
    return columns([row for row in rows if row["reason"] in kept], "reason", "day", "count")


def newest(rows: list[Row]) -> list[Row]:
    """Give the newest window of each custom metric, version and window size."""
    found = {(row["metric"], row["version"], row["window_size"]): row for row in rows}
    return [found[key] for key in sorted(found, key=lambda key: key[:2])]
