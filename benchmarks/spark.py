"""Time a build on Spark by one worker and by two: ``python -m benchmarks.spark --events N``.

A standalone cluster on this machine, of workers with one core each, over Spark Connect; beside it
the same build without Spark. The memory is that of the driver: the process of dbt.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.builds import landing_of, new_database, run_dbt
from benchmarks.measure import (
    BenchmarkError,
    arguments_of,
    run_part,
    say,
    size_of,
    table,
)

WORKERS = (1, 2)


def measure(arguments: argparse.Namespace) -> dict:
    """Build on one machine, then on Spark with each number of workers."""
    try:
        from benchmarks.cluster import standalone_cluster
    except ImportError as error:
        raise BenchmarkError("pyspark is not installed: make test-spark installs it") from error
    landing = landing_of(arguments.folder, arguments.events)
    folder = arguments.folder / "spark"
    figures = {"events": arguments.events, "files": size_of(landing), "runs": {}}
    title = "DuckDB alone"
    say(f"{title}, {arguments.events:,} events")
    figures["runs"][title] = run_dbt(["run"], new_database(folder), landing)
    figures["runs"][title].print(title)
    for workers in WORKERS:
        title = f"Spark, {workers} worker{'s' * (workers > 1)}"
        say(title)
        database = new_database(folder)
        logs = Path(folder / "cluster")
        logs.mkdir()
        with standalone_cluster(logs, workers) as remote:
            figures["runs"][title] = run_dbt(
                ["run", "--target", "spark"], database, landing, ML_MONITORING_SPARK=remote
            )
        figures["runs"][title].print(title)
    shutil.rmtree(folder)
    return figures


def report(figures: dict) -> str:
    """Write the table of what was measured."""
    return (f"{figures['events']:,} events, {figures['files']:.2f} GiB of files:\n\n") + table(
        ["", "wall", "peak memory of the driver", "its database"],
        [
            [title, f"{run['wall']:.1f} s", f"{run['peak']:.2f} GiB", f"{run['disk']:.2f} GiB"]
            for title, run in figures["runs"].items()
        ],
    )


if __name__ == "__main__":
    sys.exit(run_part("spark", arguments_of(__doc__).parse_args(), measure, report))
