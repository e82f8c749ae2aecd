"""Time a further day on top of a history: ``python -m benchmarks.further_day --history-days 100``.

The cost of a day should follow the day, not the history: compare the figures of 100 and of 400
days. The files and the database of the history are kept in the folder and used again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks import generate_events
from benchmarks.builds import prepare, run_dbt

PARTS = ["inference_events", "labels"]


def main() -> int:
    """Build the history if need be, add a day, and print the figures of its build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--history-days", type=int, default=100)
    parser.add_argument("--events-per-day", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("data/benchmark/further_day"))
    arguments = parser.parse_args()
    days, per_day = arguments.history_days, arguments.events_per_day
    folder = arguments.folder / f"{days}_days_of_{per_day}"
    landing, history = folder / "landing", folder / "history.duckdb"
    database = folder / "warehouse.duckdb"
    today = f"{generate_events.START + timedelta(days=days):%Y-%m-%d}"
    tomorrow = f"{generate_events.START + timedelta(days=days + 1):%Y-%m-%d}"

    if not history.exists():
        shutil.rmtree(folder, ignore_errors=True)
        generate_events.write_days(landing, 0, days, days * per_day)
        prepare(database)
        run_dbt(["run"], database, landing, today).print(f"{days} days of history")
        shutil.copy(database, history)
    for part in PARTS:
        shutil.rmtree(landing / part / today, ignore_errors=True)
    generate_events.write_days(landing, days, 1, per_day)
    shutil.copy(history, database)
    day = run_dbt(["run"], database, landing, tomorrow)
    day.print(f"a further day after {days}", 25)
    nothing = run_dbt(["run"], database, landing, tomorrow)
    nothing.print("nothing new", 25)
    return day.exit_code or nothing.exit_code


if __name__ == "__main__":
    sys.exit(main())
