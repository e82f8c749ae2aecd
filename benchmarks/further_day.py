"""Time a further day on top of histories: ``python -m benchmarks.further_day``.

The cost of a day should follow the day, not the history: the same day is built after 100 and
after 400 days, several times, each time from a copy of the history's database. The files and the
databases of the histories are kept in the folder and used again.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks.builds import Measured, new_database, prepare, run_dbt
from benchmarks.generate_events import INPUTS, START, write_days
from benchmarks.measure import (
    BenchmarkError,
    arguments_of,
    median_run,
    require_disk,
    run_part,
    say,
    table,
)


class History:
    """So many days of events, built; and the day after them."""

    def __init__(self, folder: Path, days: int, per_day: int):
        self.days = days
        self.per_day = per_day
        self.folder = folder / f"{days}_days_of_{per_day}"
        self.landing = self.folder / "landing"
        self.kept = self.folder / "history.duckdb"
        self.database = self.folder / "warehouse.duckdb"
        self.today = f"{START + timedelta(days=days):%Y-%m-%d}"
        self.tomorrow = f"{START + timedelta(days=days + 1):%Y-%m-%d}"

    def build(self) -> None:
        """Build the history if it is not there, or bring it up to the models as they are now."""
        self.remove_day()
        if not self.kept.exists():
            needed = self.days * self.per_day * 1500 / 2**30 + 0.5
            require_disk(self.folder, needed, f"A history of {self.days} days")
            say(f"building {self.days} days of history")
            database = new_database(self.folder)
            write_days(self.landing, 0, self.days, self.days * self.per_day)
        else:
            say(f"bringing {self.days} days of history up to date")
            database = self.database
            self.put_back()
            prepare(database)
        try:
            run_dbt(["run"], database, self.landing, self.today)
        except BenchmarkError as error:
            raise BenchmarkError(f"{error} Remove {self.folder} to build it anew.") from error
        shutil.copy(database, self.kept)

    def put_back(self) -> None:
        """Make the database that of the history again."""
        self.database.with_suffix(".duckdb.wal").unlink(missing_ok=True)
        shutil.copy(self.kept, self.database)

    def write_day(self) -> None:
        """Write the files of the further day."""
        write_days(self.landing, self.days, 1, self.per_day)

    def remove_day(self) -> None:
        """Remove them again."""
        for name in INPUTS:
            shutil.rmtree(self.landing / name / self.today, ignore_errors=True)

    def build_day(self) -> Measured:
        """Build the further day."""
        self.put_back()
        return run_dbt(["run"], self.database, self.landing, self.tomorrow)

    def build_again(self) -> Measured:
        """Build once more, with nothing new."""
        return run_dbt(["run"], self.database, self.landing, self.tomorrow)


def measure(arguments: argparse.Namespace) -> dict:
    """Build each history, and the further day on each of them in turn."""
    folder = arguments.folder / "further_day"
    histories = [
        History(folder, days, arguments.events_per_day) for days in sorted(arguments.history_days)
    ]
    for history in histories:
        history.build()
    runs: dict[int, list[Measured]] = {history.days: [] for history in histories}
    again = {}
    try:
        for history in histories:
            history.write_day()
        for repeat in range(arguments.repeats):
            for history in histories:
                measured = history.build_day()
                runs[history.days].append(measured)
                say(f"{repeat + 1}: a day after {history.days}: {measured.wall:.1f} s")
        for history in histories:
            again[history.days] = history.build_again()
            median_run(runs[history.days]).print(f"a further day after {history.days}", 10)
    finally:
        for history in histories:
            history.remove_day()
    return {
        "events_per_day": arguments.events_per_day,
        "runs": runs,
        "nothing_new": again,
        "median": {days: median_run(of_days) for days, of_days in runs.items()},
    }


def report(figures: dict) -> str:
    """Write the table of what was measured."""
    days = list(figures["runs"])
    walls = {key: [run["wall"] for run in figures["runs"][key]] for key in days}
    medians = [statistics.median(walls[key]) for key in days]
    rows = [
        [
            f"{key} days",
            f"{median:.1f} s",
            ", ".join(f"{wall:.1f}" for wall in walls[key]),
            f"{sum(figures['median'][key]['models'].values()):.1f} s",
            f"{figures['nothing_new'][key]['wall']:.1f} s",
            f"{figures['median'][key]['peak']:.2f} GiB",
            f"{figures['median'][key]['disk']:.2f} GiB",
        ]
        for key, median in zip(days, medians, strict=True)
    ]
    header = ["history", "median", "each", "models", "nothing new", "peak memory", "database"]
    return (
        f"A further day of {figures['events_per_day']:,} events:\n\n{table(header, rows)}\n\n"
        f"After {days[-1]} days it takes {medians[-1] / medians[0]:.2f} times as long as after "
        f"{days[0]} (goal: at most 1.2)."
    )


def main() -> int:
    """Measure and report; returns the exit code."""
    parser = arguments_of(__doc__)
    parser.add_argument("--history-days", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--events-per-day", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    key = f"{'_'.join(map(str, arguments.history_days))}_days_of_{arguments.events_per_day}"
    return run_part("further_day", arguments, measure, report, key)


if __name__ == "__main__":
    sys.exit(main())
