"""Compare with plain SQL on the same Parquet files: ``python -m benchmarks.raw_sql --events N``.

The project makes its daily and hourly summaries from nothing; the queries of raw_queries.py make
the like of them in one process. A few figures of both are compared, so that they are of the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import duckdb

from benchmarks.builds import AS_OF, Measured, landing_of, new_database, run_dbt
from benchmarks.generate_events import MODEL, START
from benchmarks.measure import (
    BenchmarkError,
    Process,
    arguments_of,
    median_run,
    run_part,
    run_process,
    say,
    table,
)

SUMMARIES = [
    "int_service_hours",
    "int_service_days",
    "int_feature_days",
    "int_labelled_days",
    "int_label_coverage_days",
]
BASELINE_END = f"{START + timedelta(days=MODEL['baseline']['days']):%Y-%m-%d}"
REPEATS = 3


def measure(arguments: argparse.Namespace) -> dict:
    """Time both in turn, and what dbt takes to start."""
    landing = landing_of(arguments.folder, arguments.events, "parquet")
    folder = arguments.folder / "raw_sql"
    starts, ours, raw = [], [], []
    for repeat in range(REPEATS):
        start = new_database(folder / "start")
        starts.append(run_dbt(["run", "--select", "int_as_of"], start, landing))
        raw.append(run_queries(landing, folder))
        ours.append(run_summaries(landing, folder))
        say(
            f"{repeat + 1}: plain SQL {raw[-1].wall:.1f} s, the project {ours[-1].wall:.1f} s, "
            f"of which dbt's start {starts[-1].wall:.1f} s"
        )
    differences = compare(folder)
    shutil.rmtree(folder)
    if differences:
        raise BenchmarkError("Both do not compute the same: " + "; ".join(differences))
    queries = json.loads(median_run(raw).output)
    return {
        "events": arguments.events,
        "raw": median_run(raw),
        "queries": queries,
        "project": median_run(ours),
        "dbt_start": median_run(starts),
        "walls": {
            "raw": [run.wall for run in raw],
            "project": [run.wall for run in ours],
            "dbt_start": [run.wall for run in starts],
        },
    }


def run_queries(landing: Path, folder: Path) -> Process:
    """Run the plain queries on a database of their own."""
    database = folder / "raw.duckdb"
    database.unlink(missing_ok=True)
    words = ["--database", database, "--landing", landing, "--as-of", AS_OF]
    process = run_process(
        [sys.executable, "-m", "benchmarks.raw_queries", *words, "--baseline-end", BASELINE_END],
        keep_output=True,
    )
    if process.exit_code:
        raise BenchmarkError("The plain queries failed; their error is above.")
    return process


def run_summaries(landing: Path, folder: Path) -> Measured:
    """Make the project's summaries from nothing, beside what else is in the folder."""
    database = new_database(folder / "project")
    selected = [f"+{model}" for model in SUMMARIES]
    return run_dbt(["run", "--select", *selected], database, landing)


#: What is compared: a name, the project's figures, and the same from the plain queries.
CHECKS = [
    (
        "requests, errors and p95 by hour and slice",
        """
        select window_start, slice_key, slice_value, request_count, error_count,
            round(latency_quantiles[2], 9)
        from {internal}.int_service_hours
        """,
        """
        select window_start, {slice}, request_count, error_count, round(latency_quantiles[2], 9)
        from raw.service_hours
        """,
    ),
    (
        "predictions and known values by day, slice and numerical feature",
        """
        select event_date::timestamp, slice_key, slice_value, prediction_count - null_count
        from {internal}.int_feature_days where feature = 'number_07'
        """,
        """
        select window_start, {slice}, list_sum(map_values(number_07))::bigint from raw.histograms
        """,
    ),
    (
        "the largest categories by day and slice",
        """
        select event_date::timestamp, slice_key, slice_value, bin_counts[0], bin_counts[1]
        from {internal}.int_feature_days where feature = 'category_0'
        """,
        """
        select window_start, {slice}, category_0[names[1]], category_0[names[2]]
        from raw.histograms
        cross join (
            select categories as names from {internal}.int_baseline_bins
            where feature = 'category_0'
        )
        """,
    ),
    (
        "labels, positives and true positives by day and slice",
        """
        select event_date::timestamp, slice_key, slice_value, sum(labeled_count),
            sum(positive_count), sum(true_positive_count)
        from {internal}.int_labelled_days where replaced_on is null group by all
        """,
        """
        select window_start, {slice}, sum(labeled_count), sum(positive_count),
            sum(true_positive_count)
        from raw.score_bins group by all
        """,
    ),
    (
        "predictions with and without a label by day and slice",
        """
        select event_date::timestamp, slice_key, slice_value, sum(prediction_count),
            sum(labeled_count)
        from {internal}.int_label_coverage_days group by all
        """,
        "select window_start, {slice}, prediction_count, labeled_count from raw.coverage",
    ),
]
SLICE = """
    case when country is not null then 'country' when device is not null then 'device'
        else 'all' end as slice_key,
    coalesce(country, device, 'all') as slice_value
"""


def compare(folder: Path) -> list[str]:
    """Return which figures differ between the two databases."""
    names = {"internal": "ml_monitoring_internal", "slice": SLICE}
    differences = []
    project = folder / "project" / "warehouse.duckdb"
    with duckdb.connect(str(project), read_only=True) as connection:
        connection.execute(f"attach '{folder / 'raw.duckdb'}' as raw (read_only)")
        for name, ours, theirs in CHECKS:
            ours, theirs = ours.format(**names), theirs.format(**names)
            rows = connection.execute(f"select count(*) from ({ours})").fetchone()[0]
            different = connection.execute(
                f"""
                select count(*) from (
                    (({ours}) except all ({theirs})) union all (({theirs}) except all ({ours}))
                )
                """
            ).fetchone()[0]
            say(f"compared {rows:,} rows of {name}: {different:,} differ")
            if different or not rows:
                differences.append(f"{different:,} rows of {name}")
    return differences


def report(figures: dict) -> str:
    """Write the tables of what was measured."""
    raw, project, start = (figures[name] for name in ("raw", "project", "dbt_start"))
    rows = [
        ["plain SQL, one process", f"{raw['wall']:.1f} s", "1.0", f"{raw['peak']:.2f} GiB"],
        [
            "the project's summaries, `dbt run`",
            f"{project['wall']:.1f} s",
            f"{project['wall'] / raw['wall']:.1f}",
            f"{project['peak']:.2f} GiB",
        ],
        [
            "the same without dbt's start",
            f"{project['wall'] - start['wall']:.1f} s",
            f"{(project['wall'] - start['wall']) / raw['wall']:.1f}",
            "",
        ],
        ["`dbt run` of one row", f"{start['wall']:.1f} s", "", f"{start['peak']:.2f} GiB"],
    ]
    slowest = sorted(project["models"].items(), key=lambda item: -item[1])[:8]
    return "\n\n".join(
        [
            f"{figures['events']:,} events in Parquet, medians of {REPEATS}:",
            table(["", "wall", "times plain SQL", "peak memory"], rows),
            table(
                ["plain query", "s"],
                [[name, f"{seconds:.2f}"] for name, seconds in figures["queries"].items()],
            ),
            table(["model", "s"], [[f"`{name}`", f"{seconds:.1f}"] for name, seconds in slowest]),
        ]
    )


if __name__ == "__main__":
    sys.exit(run_part("raw_sql", arguments_of(__doc__).parse_args(), measure, report))
