"""Time a build from nothing and one further day: ``python -m benchmarks.cold_build --events N``.

30 days of events in .jsonl.gz files; then the next day with a thirtieth of them. From nothing the
models alone are timed too, up to a million events: above, the data tests add little.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks.builds import BUILD, DAYS, START, landing_of, new_database, run_dbt
from benchmarks.generate_events import INPUTS, write_days
from benchmarks.measure import arguments_of, run_part, say, size_of, table


def measure(arguments: argparse.Namespace) -> dict:
    """Build from nothing, then a further day."""
    events = arguments.events
    landing = landing_of(arguments.folder, events)
    folder = arguments.folder / "cold_build"
    first, second = (f"{START + timedelta(days=days):%Y-%m-%d}" for days in (DAYS, DAYS + 1))
    # Left by a run that was stopped.
    forget_day(landing, first)
    figures = {"events": events, "files": size_of(landing), "runs": {}}

    commands = {"`dbt run`, from nothing": ["run"]} if events <= 1_000_000 else {}
    for title, command in (commands | {"`dbt build`, from nothing": BUILD}).items():
        say(f"{title}, {events:,} events")
        database = new_database(folder)
        figures["runs"][title] = run_dbt(command, database, landing, first)
        figures["runs"][title].print(title)
    try:
        write_days(landing, DAYS, 1, events // DAYS)
        title = f"`dbt build`, a further day of {events // DAYS:,}"
        say(title)
        figures["runs"][title] = run_dbt(BUILD, database, landing, second)
        figures["runs"][title].print(title)
    finally:
        forget_day(landing, first)
        shutil.rmtree(folder)
    return figures


def forget_day(landing: Path, day: str) -> None:
    """Remove the files of a day."""
    for name in INPUTS:
        shutil.rmtree(landing / name / day, ignore_errors=True)


def report(figures: dict) -> str:
    """Write the tables of what was measured."""
    return (f"{figures['events']:,} events, {figures['files']:.2f} GiB of files:\n\n") + table(
        ["", "wall", "peak memory", "database"],
        [
            [title, f"{run['wall']:.1f} s", f"{run['peak']:.2f} GiB", f"{run['disk']:.2f} GiB"]
            for title, run in figures["runs"].items()
        ],
    )


if __name__ == "__main__":
    sys.exit(run_part("cold_build", arguments_of(__doc__).parse_args(), measure, report))
