"""Time streaming runs: ``python -m benchmarks.streaming --events-per-minute 100000``.

Writes a minute's files, runs ``dbt build --select tag:streaming``, and so on: for the first minutes
of a day, on an empty state, and for some after the lookback is full, late in the day. The minutes
between are written at once and read by one run, a catch-up after an outage; with ``--every-minute``
each has a run of its own. What the hours before would have left is put there without reading 144
million events: their files, empty and old, since a run lists them; and their rows of minutes.

The events of all minutes are those of one minute at other times.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import duckdb
import numpy as np

from benchmarks.builds import DBT, PROJECT, SEEDS, prepare
from benchmarks.generate_events import MODEL, write_hour

START = datetime(2024, 1, 31, 12)
MARK_TIME = "2024-01-01T00:00:"
MARK_ID = "minute-0-"


@dataclass
class Template:
    """The files of one minute, whose times and ids are replaced to make another one."""

    files: list[bytes]

    @classmethod
    def make(cls, events: int, files: int) -> Template:
        """Generate so many events of 25 features, in so many files."""
        with tempfile.TemporaryDirectory() as folder:
            hour = datetime(2024, 1, 1)
            write_hour(Path(folder), hour, events, np.random.default_rng(7))
            (path,) = Path(folder, "inference_events").rglob("*.gz")
            lines = gzip.decompress(path.read_bytes()).splitlines()
        made = []
        for number, line in enumerate(lines):
            event = json.loads(line)
            second = 60 * number / events
            event["ts"] = f"{MARK_TIME}{second:06.3f}Z"
            event["request_id"] = f"{MARK_ID}{number}"
            made.append(json.dumps(event).encode() + b"\n")
        return cls([b"".join(made[first::files]) for first in range(files)])

    def write(self, landing: Path, minute: datetime) -> None:
        """Write the files of a minute, last changed at its end."""
        folder = landing / "inference_events" / f"{minute:%Y-%m-%d}" / f"{minute:%H}"
        folder.mkdir(parents=True, exist_ok=True)
        changed = (minute + timedelta(minutes=1) - datetime(1970, 1, 1)).total_seconds()
        for number, content in enumerate(self.files):
            content = content.replace(MARK_TIME.encode(), f"{minute:%Y-%m-%dT%H:%M:}".encode())
            content = content.replace(MARK_ID.encode(), f"{minute:%d%H%M}-".encode())
            path = folder / f"{minute:%M}-{number:03}.jsonl.gz"
            path.write_bytes(gzip.compress(content, compresslevel=1))
            os.utime(path, (changed, changed))


@dataclass
class Streaming:
    """A database and a landing folder for streaming runs."""

    folder: Path

    @property
    def landing(self) -> Path:
        """The folder of its files."""
        return self.folder / "landing"

    @property
    def database(self) -> Path:
        """The database."""
        return self.folder / "warehouse.duckdb"

    def run(self, as_of: datetime) -> float:
        """Run the streaming path as a schedule would, and return the seconds that it took."""
        variables = {
            "monitored_models": [MODEL],
            "landing_path": str(self.landing.resolve()),
        } | {f"{name}_relation": f"own.{name}" for name in SEEDS}
        started = time.perf_counter()
        subprocess.run(
            [DBT, "--quiet", "build", "--select", "tag:streaming",
             "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables),
             "--target-path", self.folder / "target", "--log-path", self.folder / "logs"],
            cwd=PROJECT,
            check=True,
            env=os.environ | {
                "ML_MONITORING_PATH": str(self.database),
                "ML_MONITORING_AS_OF": as_of.isoformat() + "Z",
            },
        )  # fmt: skip
        return time.perf_counter() - started

    def models(self) -> str:
        """Return what each model of the last run took."""
        results = json.loads((self.folder / "target" / "run_results.json").read_text())["results"]
        return ", ".join(
            f"{result['unique_id'].split('.')[-1]} {result['execution_time']:.2f}"
            for result in results
            if result["unique_id"].startswith("model.")
        )

    def query(self, sql: str) -> list[tuple]:
        """Read from the database."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def put_hours_before(streaming: Streaming, files_per_minute: int, minutes: int) -> None:
    """Leave what so many minutes before would have left: old files, and rows of minutes."""
    for number in range(minutes):
        minute = START - timedelta(minutes=minutes - number)
        folder = streaming.landing / "inference_events" / "before" / f"{minute:%H}"
        folder.mkdir(parents=True, exist_ok=True)
        changed = (minute - datetime(1970, 1, 1)).total_seconds()
        for file in range(files_per_minute):
            path = folder / f"{minute:%M}-{file:03}.jsonl.gz"
            path.touch()
            os.utime(path, (changed, changed))
    with duckdb.connect(str(streaming.database)) as connection:
        connection.execute(
            f"""
            insert into ml_monitoring_internal.int_streamed_minutes
            select rows.* replace (rows.window_start - to_minutes(gap::bigint) as window_start)
            from (
                from ml_monitoring_internal.int_streamed_minutes order by window_start limit 1
            ) as rows
            cross join range(1, {minutes} + 1) as gaps (gap)
            """
        )


def day_of_minutes(streaming: Streaming, versions: int) -> float:
    """MiB that a day of minutes of so many versions takes, from thirty days in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"attach '{streaming.database}' as streamed (read_only)")
            connection.execute(
                f"""
                create table minutes as
                select rows.* replace (
                    timestamp '2024-01-01' + to_minutes(minute::bigint) as window_start,
                    rows.latency_p50_ms + random() as latency_p50_ms,
                    rows.latency_p95_ms + random() as latency_p95_ms,
                    rows.latency_p99_ms + random() as latency_p99_ms,
                    rows.latency_mean_ms + random() as latency_mean_ms,
                    rows.latency_max_ms + random() as latency_max_ms
                )
                from (from streamed.ml_monitoring_internal.int_streamed_minutes limit 1) as rows
                cross join range(30 * 1440) as minutes (minute)
                cross join range({versions}) as versions (version)
                """
            )
        return path.stat().st_size / 2**20 / 30


def main() -> int:
    """Run the minutes and print the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events-per-minute", type=int, default=100_000)
    parser.add_argument("--files-per-minute", type=int, default=60)
    parser.add_argument("--minutes", type=int, default=75)
    parser.add_argument("--measured", type=int, default=6, help="minutes at both ends with a run")
    parser.add_argument("--every-minute", action="store_true", help="a run for each minute")
    parser.add_argument("--hours-before", type=float, default=20, help="of old files and rows")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmark/streaming"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    streaming = Streaming(arguments.folder)
    streaming.landing.mkdir(parents=True)
    prepare(streaming.database)
    template = Template.make(arguments.events_per_minute, arguments.files_per_minute)
    size = sum(map(len, template.files)) / 2**20
    print(
        f"a minute: {arguments.events_per_minute:,} events in {arguments.files_per_minute} files,"
        f" {size:.0f} MiB of JSON before gzip"
    )
    streaming.run(START)  # reads the project, which later runs need not

    seconds: dict[int, float] = {}
    late = arguments.minutes - arguments.measured
    for number in range(1, arguments.minutes + 1):
        minute = START + timedelta(minutes=number - 1)
        template.write(streaming.landing, minute)
        is_measured = number <= arguments.measured or number > late or arguments.every_minute
        if not is_measured and number < late:
            continue
        seconds[number] = streaming.run(minute + timedelta(minutes=1, seconds=2))
        note = "" if is_measured else f" (reads {late - arguments.measured} minutes at once)"
        disk = streaming.database.stat().st_size / 2**20
        print(f"minute {number:4}: {seconds[number]:5.1f} s{note}, database {disk:,.0f} MiB, "
              f"load {os.getloadavg()[0]:.1f}; {streaming.models()}", flush=True)  # fmt: skip
        if number == late:
            put_hours_before(
                streaming, arguments.files_per_minute, int(60 * arguments.hours_before)
            )
    early = median(taken for number, taken in seconds.items() if number <= arguments.measured)
    full = median(taken for number, taken in seconds.items() if number > late)
    lines, minutes = streaming.query(
        "select (select count(*) from ml_monitoring_restricted.stg_streamed_lines),"
        " (select count(*) from ml_monitoring.service_levels_minute)"
    )[0]
    print(
        f"median of the first {arguments.measured} minutes {early:.1f} s, of the last {full:.1f} s;"
        f" {lines:,} lines held, {minutes:,} minutes in the table"
    )
    for versions in (1, 3):
        print(f"a day of minutes, {versions} version(s): "
              f"{day_of_minutes(streaming, versions):.2f} MiB")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
