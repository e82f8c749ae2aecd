"""Build the project as of a past moment: `python -m demo.replay --at 2013-05-07T18:05:00Z`.

The build sees exactly the landing files that had arrived by then, in a database of its own below
`replays/`. During an incident it fails, as it would have failed then.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from demo import PROJECT_DIR
from demo.incidents import Incident, read_incidents

# After an incident its traces are still the news of the day.
AFTERMATH = timedelta(days=1)


class ReplayError(Exception):
    """A replay that cannot start; the message says why and what to do."""


@dataclass(frozen=True)
class Replay:
    """The folder of one replay and what is in it."""

    at: datetime
    folder: Path

    @property
    def landing(self) -> Path:
        """Links to the landing files that had arrived."""
        return self.folder / "landing"

    @property
    def database(self) -> Path:
        """The replay's own database."""
        return self.folder / "warehouse.duckdb"

    def link(self, landing: Path, paths: list[str]) -> None:
        """Make the replay's landing folder anew, from hard links or else copies."""
        partial = self.folder / ".landing.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # The two folders exist even if nothing had arrived in one of them.
        for kind in ("inference_events", "labels"):
            (partial / kind).mkdir(parents=True)
        for path in paths:
            target = partial / path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(landing / path, target)
            except FileNotFoundError:
                raise ReplayError(f"{landing / path} is missing: run `make demo` again") from None
            except OSError:  # another file system, or one without hard links
                shutil.copy2(landing / path, target)
        shutil.rmtree(self.landing, ignore_errors=True)
        partial.rename(self.landing)

    def build(self) -> int:
        """Run `dbt build` from an empty database; return its exit code."""
        for suffix in ("", ".wal"):
            self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)
        variables = {"as_of": f"{self.at:%Y-%m-%dT%H:%M:%SZ}", "landing_path": str(self.landing)}
        command = [
            Path(sys.executable).with_name("dbt"),
            "build",
            # They test the code, not the data.
            *("--exclude-resource-type", "unit_test"),
            *("--vars", json.dumps(variables)),
            *("--target-path", self.folder / "target"),
            *("--log-path", self.folder / "logs"),
        ]
        environment = os.environ | {"ML_MONITORING_PATH": str(self.database)}
        return subprocess.run(command, cwd=PROJECT_DIR, env=environment, check=False).returncode


def parse_moment(text: str, incidents: list[Incident]) -> datetime:
    """Read a time, or take the moment at which the incident of that name can be seen.

    A time without an offset is in UTC.
    """
    for incident in incidents:
        if text == incident.incident_id:
            return incident.detected_at
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        names = ", ".join(incident.incident_id for incident in incidents)
        raise ReplayError(
            f"{text!r} is neither a time such as 2013-05-07T18:05:00Z or"
            f" 2013-05-07T14:05:00-04:00, nor one of the incidents: {names}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def read_arrivals(landing: Path) -> dict[str, datetime]:
    """When each landing file arrived, by its path below the landing folder."""
    path = landing.with_name("arrivals.csv")
    if not (landing.is_dir() and path.is_file()):
        raise ReplayError(f"there are no landing files in {landing}: run `make demo` first")
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["file_path"]: datetime.fromisoformat(row["arrived_at"])
            for row in csv.DictReader(file)
        }


def arrived_by(arrivals: dict[str, datetime], at: datetime) -> list[str]:
    """Paths of the files that had arrived by a moment."""
    paths = [path for path, arrived_at in arrivals.items() if arrived_at <= at]
    if not paths:
        raise ReplayError(
            f"nothing had arrived by {at:%Y-%m-%dT%H:%M:%SZ}: the first file came at"
            f" {min(arrivals.values()):%Y-%m-%dT%H:%M:%SZ}, the last one at"
            f" {max(arrivals.values()):%Y-%m-%dT%H:%M:%SZ}"
        )
    return paths


def incidents_at(incidents: list[Incident], at: datetime) -> list[Incident]:
    """Return the incidents that last at a moment, or were seen less than a day before it."""
    return [
        incident
        for incident in incidents
        if incident.started_at <= at <= max(incident.ended_at, incident.detected_at) + AFTERMATH
    ]


def expected_alert(database: Path, incident: Incident) -> str:
    """Say whether the alert that an incident is to be seen by fires."""
    name = incident.detected_by
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            row = connection.execute(
                "select state, fired_at, worst_value, line_count from ml_monitoring.alerts"
                " where alert_name = $name and fired_at >= $since"
                " order by state = 'firing' desc, fired_at desc limit 1",
                {"name": name, "since": incident.started_at.astimezone(UTC).replace(tzinfo=None)},
            ).fetchone()
    except duckdb.Error as error:
        return f"what became of the alert {name} is unknown: {error}"
    if row is None:
        return f"the alert {name} has not fired since it began"
    state, fired_at, worst_value, line_count = row
    worst = "" if worst_value is None else f", worst value {worst_value:.4g}"
    lines = "" if line_count == 1 else f", {line_count} lines"
    return f"the alert {name} is {state}, fired at {fired_at:%Y-%m-%d %H:%M} UTC{worst}{lines}"


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.replay", description=__doc__)
    parser.add_argument("--at", required=True, help="a time (UTC without an offset) or incident_id")
    parser.add_argument("--landing", type=Path, default=PROJECT_DIR / "data" / "landing")
    parser.add_argument("--replays", type=Path, default=PROJECT_DIR / "replays")
    options = parser.parse_args(argv)
    incidents = read_incidents()
    try:
        at = parse_moment(options.at, incidents)
        arrivals = read_arrivals(options.landing)
        paths = arrived_by(arrivals, at)
        replay = Replay(at, options.replays.resolve() / f"{at:%Y-%m-%dT%H-%M-%SZ}")
        replay.link(options.landing, paths)
    except ReplayError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2

    print(f"Replay of {at:%Y-%m-%d %H:%M:%S} UTC in {replay.folder}")
    print(f"{len(paths):,} of {len(arrivals):,} landing files had arrived")
    for incident in incidents_at(incidents, at):
        print(
            f"Incident {incident.incident_id}, {incident.started_at:%Y-%m-%d %H:%M} to"
            f" {incident.ended_at:%Y-%m-%d %H:%M} ({incident.slice}): {incident.description}"
            f" The alert {incident.detected_by} is to fire at"
            f" {incident.detected_at:%Y-%m-%d %H:%M}."
        )
    sys.stdout.flush()  # before dbt's own output
    exit_code = replay.build()
    for incident in incidents_at(incidents, at):
        print(f"{incident.incident_id}: {expected_alert(replay.database, incident)}")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
