"""Watch the database over many runs: ``python -m benchmarks.file_growth --runs 100``.

Each run has new events, and a late file of three days before, so that older rows are rebuilt:
DuckDB writes them anew and has to use the space of the old ones again. In the end the files are
compared with those of one build of the same events from nothing. With ``--retention`` raw events
of over 60 days before are dropped on the way.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks.builds import new_database, run_dbt
from benchmarks.generate_events import INPUTS, START, write_days
from benchmarks.measure import arguments_of, run_part, say, size_of, table

RETENTION = {"raw_retention_days": 60}
LATE_DAYS = 3


def measure(arguments: argparse.Namespace) -> dict:
    """Build a day after the other; return the sizes after each, and those of one build of all."""
    folder = arguments.folder / "file_growth"
    landing, ahead = folder / "landing", folder / "ahead"
    shutil.rmtree(folder, ignore_errors=True)
    database = new_database(folder / "steps")
    write_days(ahead, 0, arguments.runs, arguments.runs * arguments.events_per_day)
    sizes = []
    for day in range(arguments.runs):
        arrive(ahead, landing, day, lambda hour: hour != 12)
        if day >= LATE_DAYS:
            arrive(ahead, landing, day - LATE_DAYS, lambda hour: hour == 12)
        run_dbt(["run"], database, landing, as_of(day), arguments.vars)
        sizes.append({"day": day + 1} | sizes_of(database))
        if day % 10 == 9:
            say(f"run {day + 1}: {sizes[-1]['database']:.3f} GiB")
    for day in range(arguments.runs - LATE_DAYS, arguments.runs):
        arrive(ahead, landing, day, lambda hour: hour == 12)
    run_dbt(["run"], database, landing, as_of(day), arguments.vars)
    sizes.append({"day": arguments.runs} | sizes_of(database))
    at_once = new_database(folder / "at_once")
    run_dbt(["run"], at_once, landing, as_of(day), arguments.vars)
    return {"runs": arguments.runs, "sizes": sizes, "at_once": sizes_of(at_once)}


def arrive(ahead: Path, landing: Path, day: int, is_here) -> None:
    """Move the files of some hours of a day to the landing folder."""
    date = f"{START + timedelta(days=day):%Y-%m-%d}"
    for name in INPUTS:
        for path in sorted((ahead / name / date).glob("*")):
            if is_here(int(path.name[:2])):
                target = landing / name / date / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)


def as_of(day: int) -> str:
    """Return the moment of the build of a day."""
    return f"{START + timedelta(days=day + 1):%Y-%m-%d}"


def sizes_of(database: Path) -> dict[str, float]:
    """Return the sizes of the database and of the published file, in GiB."""
    published = database.with_name("warehouse_published.duckdb")
    return {"database": size_of(database), "published": size_of(published)}


def report(figures: dict) -> str:
    """Write the table of what was measured."""

    def row(title: str, sizes: dict[str, float]) -> list[str]:
        return [title, *(f"{sizes[name] * 1024:.0f} MiB" for name in ("database", "published"))]

    steps = [row(f"{sizes['day']} runs", sizes) for sizes in figures["sizes"][19::20]]
    rows = [*steps, row("one build of the same", figures["at_once"])]
    return table(["", "database", "published file"], rows)


def main() -> int:
    """Measure and report; returns the exit code."""
    parser = arguments_of(__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--events-per-day", type=int, default=2_000)
    parser.add_argument("--retention", action="store_true", help="drop raw events after 60 days")
    arguments = parser.parse_args()
    arguments.vars = RETENTION if arguments.retention else {}
    key = f"{arguments.runs}_runs_of_{arguments.events_per_day}_{arguments.retention}"
    return run_part("file_growth", arguments, measure, report, key)


if __name__ == "__main__":
    sys.exit(main())
