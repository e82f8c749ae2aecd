"""Replay a stretch of the demo as a stream: `python -m demo.stream --incident latency-may`.

A producer writes the events as small files while their time comes, at a chosen speed; a consumer
runs the streaming build again and again and prints what it sees. Both work in a folder of their
own, by default `data/stream`, and stop by themselves.
"""

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import duckdb

from demo import PROJECT_DIR
from demo.generate import Arguments, Paths, generate
from demo.incidents import Incident, read_incidents

FLUSH_SECONDS = 0.5
#: A copy of an event is so far from it at most, so that a minute of many is no minute of one.
SPREAD = timedelta(minutes=5)
ANSWERED = """
    select window_start, sum(request_count)::bigint as request_count
    from ml_monitoring.service_levels_minute
    where role = 'live'
    group by window_start
"""
NEWEST = """
    select window_start, request_count, error_rate, latency_p50_ms, latency_p95_ms
    from ml_monitoring.service_levels_minute
    where role = 'live'
    order by window_start desc, request_count desc
    limit 1
"""


class StreamError(Exception):
    """A stream that cannot start or go on; the message says why."""


@dataclass(frozen=True)
class Clock:
    """Simulated time: so many simulated minutes pass in each real one."""

    start: datetime
    speed: float
    started: float

    def now(self) -> datetime:
        """Return the simulated moment that it is now."""
        return self.start + timedelta(seconds=(time.monotonic() - self.started) * self.speed)

    def real(self, moment: datetime) -> float:
        """Return when a simulated moment comes, on the monotonic clock."""
        return self.started + (moment - self.start).total_seconds() / self.speed


# --- The producer ------------------------------------------------------------------------------


def read_events(landing: Path) -> list[dict]:
    """Read the records of generated landing files; lines that are no record are left out."""
    events = []
    for path in sorted((landing / "inference_events").rglob("*.jsonl*")):
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        for line in text.decode().splitlines():
            try:
                record = json.loads(line)
                datetime.fromisoformat(record["ts"])
            except (ValueError, TypeError, KeyError):
                continue
            events.append(record)
    return events


def multiply(
    events: list[dict], times: int, incident: Incident, seed: int
) -> list[tuple[datetime, dict]]:
    """Return each event and ``times - 1`` like it, by time.

    A copy has an id of its own, comes up to five minutes earlier or later, on the same side of the
    incident, and takes a little more or less time.
    """
    rng = random.Random(seed)
    made = []
    for event in events:
        ts = datetime.fromisoformat(event["ts"])
        made.append((ts, event))
        for number in range(1, times):
            moved = ts + SPREAD * rng.uniform(-1, 1)
            if incident.covers(moved) != incident.covers(ts):
                moved = ts
            copy = event | {
                "request_id": f"{event['request_id']}-{number}",
                "ts": moved.isoformat().replace("+00:00", "Z"),
            }
            if isinstance(event.get("latency_ms"), int | float):
                copy["latency_ms"] = round(event["latency_ms"] * rng.lognormvariate(0, 0.1), 2)
            made.append((moved, copy))
    made.sort(key=lambda pair: (pair[0], pair[1]["request_id"]))
    return made


@dataclass
class Producer(threading.Thread):
    """Writes events into the landing folder as their time comes, each file at once and for good."""

    landing: Path
    events: list[tuple[datetime, dict]]
    clock: Clock
    stopped: threading.Event = field(default_factory=threading.Event)
    files: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Write until all is written or somebody says stop."""
        position = 0
        while position < len(self.events) and not self.stopped.wait(FLUSH_SECONDS):
            now, first = self.clock.now(), position
            while position < len(self.events) and self.events[position][0] <= now:
                position += 1
            if position > first:
                self._write([event for _, event in self.events[first:position]], now)

    def _write(self, events: list[dict], now: datetime) -> None:
        self.files += 1
        target = self.landing / "inference_events" / f"{now:%Y-%m-%d}" / f"{now:%H}"
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"{now:%M%S}-{self.files:06}.jsonl.gz"
        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
        partial = path.with_suffix(".partial")
        partial.write_bytes(gzip.compress(text.encode()))
        partial.rename(path)


# --- The consumer ------------------------------------------------------------------------------


@dataclass
class Consumer:
    """Runs the streaming build in a database of its own, and sees when minutes are complete.

    Freshness is the real time from the moment that the first event of a minute was logged to the
    end of the build after which the minute is in the table with all its events: the most that an
    event of the minute had to wait.
    """

    folder: Path
    landing: Path
    expected: Counter
    complete: dict[datetime, float] = field(default_factory=dict)
    builds: list[float] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """The stream's own database."""
        return self.folder / "warehouse.duckdb"

    def build(self, as_of: datetime) -> float:
        """Run dbt; return the seconds that it took."""
        command = [
            Path(sys.executable).with_name("dbt"),
            *("build", "--select", "tag:streaming", "--exclude-resource-type", "unit_test"),
            *("--vars", json.dumps({"landing_path": str(self.landing)})),
            *("--target-path", self.folder / "target"),
            *("--log-path", self.folder / "logs"),
        ]
        environment = os.environ | {
            "ML_MONITORING_PATH": str(self.database),
            # Not among the vars: dbt parses the project anew where those differ.
            "ML_MONITORING_AS_OF": f"{as_of:%Y-%m-%dT%H:%M:%SZ}",
        }
        started = time.monotonic()
        # In a session of its own: Ctrl-C stops the stream after this build, not in it.
        run = subprocess.run(
            command,
            cwd=PROJECT_DIR,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if run.returncode:
            raise StreamError(f"the build failed:\n{run.stdout}{run.stderr}")
        return time.monotonic() - started

    def step(self, clock: Clock) -> str:
        """Build once and return a line on what is seen."""
        as_of = clock.now().replace(microsecond=0)
        seconds = self.build(as_of)
        self.builds.append(seconds)
        ended = time.monotonic()
        with duckdb.connect(str(self.database), read_only=True) as connection:
            counts = connection.execute(ANSWERED).fetchall()
            newest = connection.execute(NEWEST).fetchone()
        fresh = []
        for minute, count in counts:
            moment = minute.replace(tzinfo=UTC)
            wanted = self.expected.get(moment)
            if wanted and count >= wanted[1] and moment not in self.complete:
                self.complete[moment] = ended - clock.real(wanted[0])
                fresh.append(self.complete[moment])
        if newest is None:
            return f"{as_of:%H:%M:%S}  no minute yet{'':56}build {seconds:4.1f} s"
        minute, requests, error_rate, p50, p95 = newest
        levels = "silent" if not requests else (
            f"p50 {p50 or 0:4.0f} ms  p95 {p95 or 0:5.0f} ms  errors {100 * error_rate:4.1f} %"
        )  # fmt: skip
        worst = max(self.complete.values(), default=0)
        waited = f"fresh {fresh[-1]:4.0f} s, worst {worst:4.0f} s" if fresh else ""
        return (
            f"{as_of:%H:%M:%S}  minute {minute:%H:%M}  {requests:5,}/min  {levels:42}  {waited:28}"
            f"  build {seconds:4.1f} s"
        )

    def summary(self) -> Iterator[str]:
        """Yield what came of it, in words."""
        if self.builds:
            yield (
                f"{len(self.builds)} runs of {median(self.builds):.1f} s in the median,"
                f" {max(self.builds):.1f} s at most; {len(self.complete)} minutes complete"
            )
        if self.complete:
            waits = self.complete.values()
            yield (
                "from the first event of a minute to its row with all events:"
                f" {median(waits):.0f} s in the median, {max(waits):.0f} s at worst"
            )


def by_minute(events: list[tuple[datetime, dict]]) -> dict[datetime, tuple[datetime, int]]:
    """Return the first moment and the number of live events of each minute."""
    minutes: dict[datetime, tuple[datetime, int]] = {}
    seen = set()
    for ts, event in events:
        if event.get("role", "live") != "live" or event.get("request_id") in seen:
            continue
        seen.add(event.get("request_id"))
        minute = ts.replace(second=0, microsecond=0)
        first, count = minutes.get(minute, (ts, 0))
        minutes[minute] = min(first, ts), count + 1
    return minutes


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    incidents = {incident.incident_id: incident for incident in read_incidents()}
    parser = argparse.ArgumentParser(prog="python -m demo.stream", description=__doc__)
    parser.add_argument("--incident", default="latency-may", choices=sorted(incidents))
    parser.add_argument("--minutes", type=float, default=3, help="real minutes until it stops")
    parser.add_argument("--speed", type=float, default=20, help="simulated minutes a real minute")
    parser.add_argument("--multiply", type=int, default=20, help="events for each of the demo's")
    parser.add_argument("--folder", type=Path, default=PROJECT_DIR / "data" / "stream")
    options = parser.parse_args(argv)
    if options.minutes <= 0 or options.speed <= 0 or options.multiply < 1:
        parser.error("--minutes and --speed must be above 0, --multiply at least 1")
    folder = options.folder.resolve()
    incident = incidents[options.incident]
    length = timedelta(minutes=options.minutes * options.speed)
    # A third of the time before the incident, so that there is something to compare with.
    start = incident.started_at - min(length / 3, timedelta(hours=2))
    start = start.replace(second=0, microsecond=0)
    landing = folder / "landing"
    for leftover in folder.glob("warehouse.duckdb*"):
        leftover.unlink()
    shutil.rmtree(landing, ignore_errors=True)
    (landing / "inference_events").mkdir(parents=True)

    source = folder / "source" / f"{incident.incident_id}-{length.total_seconds():.0f}" / "landing"
    source.parent.mkdir(parents=True, exist_ok=True)
    print("Making the events ...", flush=True)
    generate(Paths(source), Arguments(start - SPREAD, start + length + SPREAD, 2013), quiet=True)
    events = multiply(read_events(source), options.multiply, incident, 2013)
    events = [(ts, event) for ts, event in events if start <= ts < start + length]
    print(
        f"{incident.incident_id}: from {incident.started_at:%Y-%m-%d %H:%M}. {incident.description}"
        f"\n{len(events):,} events of {length.total_seconds() / 60:.0f} minutes in"
        f" {options.minutes:g}, {options.multiply} for each of the demo's; Ctrl-C ends it sooner.",
        flush=True,
    )
    consumer = Consumer(folder, landing, by_minute(events))
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        consumer.build(start)  # reads the project, which takes longer than later runs do
        clock = Clock(start, options.speed, time.monotonic())
        producer = Producer(landing, events, clock)
        producer.start()
        deadline = time.monotonic() + 60 * options.minutes
        while not stop.is_set() and time.monotonic() < deadline:
            print(consumer.step(clock), flush=True)
            stop.wait(1)
        producer.stopped.set()
        producer.join()
    except StreamError as error:
        print(f"stream: {error}", file=sys.stderr)
        return 1
    for line in consumer.summary():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
