"""Run dbt on generated events and measure it: what the parts that build share."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.generate_events import MODEL, START, write_days
from benchmarks.measure import (
    PROJECT,
    BenchmarkError,
    Process,
    require_disk,
    run_process,
    say,
    size_of,
)

DBT = Path(sys.executable).with_name("dbt")
DAYS = 30
#: Five days after the last event: nearly all labels have come.
AS_OF = f"{START + timedelta(days=DAYS + 5):%Y-%m-%d}"
#: The demo's, which other relations stand in for.
SEEDS = ("slo_targets", "alert_rules", "deployments", "launch_margins")
#: dbt build as a schedule runs it.
BUILD = ["build", "--exclude-resource-type", "unit_test"]


@dataclass
class Measured(Process):
    """What one dbt command took.

    Attributes
    ----------
    disk : float
        GiB of the database afterwards.
    models : dict of str to float
        Seconds of each model.
    tests : float
        Seconds of all tests, on all threads.
    """

    disk: float = 0.0
    models: dict[str, float] = field(default_factory=dict)
    tests: float = 0.0

    def print(self, title: str, count: int = 15) -> None:
        """Print the figures and the models that took longest."""
        print(f"{title}: exit code {self.exit_code}, {self.wall:.1f} s, peak {self.peak:.2f} GiB, "
              f"database {self.disk:.2f} GiB")  # fmt: skip
        print(f"  models {sum(self.models.values()):.1f} s, tests {self.tests:.1f} s, "
              "on threads side by side")  # fmt: skip
        for name, seconds in sorted(self.models.items(), key=lambda item: -item[1])[:count]:
            print(f"  {seconds:6.1f} s  {name}")
        sys.stdout.flush()


def landing_of(folder: Path, events: int, file_format: str = "jsonl") -> Path:
    """Return the landing files of so many events over 30 days, made if they are not there yet."""
    landing = folder / f"{events}_events" / file_format
    finished = landing.with_suffix(".finished")
    if not finished.exists():
        require_disk(folder, events * 1500 / 2**30 + 0.5, f"A build of {events:,} events")
        say(f"writing {events:,} events as {file_format}")
        shutil.rmtree(landing, ignore_errors=True)
        write_days(landing, 0, DAYS, events, file_format=file_format)
        finished.touch()
    return landing


def new_database(folder: Path) -> Path:
    """Make a database for a build from nothing; what was in its folder is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database = folder / "warehouse.duckdb"
    prepare(database)
    return database


def prepare(database: Path) -> None:
    """Make empty relations in place of the seeds, which are the demo's."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema if not exists own")
        for name in SEEDS:
            columns = (PROJECT / "seeds" / f"{name}.csv").read_text().splitlines()[0].split(",")
            fields = ", ".join(f'"{column}" varchar' for column in columns)
            connection.execute(f"create table if not exists own.{name} ({fields})")


def run_dbt(
    command: list[str],
    database: Path,
    landing: Path,
    as_of: str = AS_OF,
    more_vars: dict[str, Any] | None = None,
    **environment: str,
) -> Measured:
    """Run a dbt command on a prepared database; target and logs go beside it."""
    config = (
        {
            "monitored_models": [MODEL],
            "landing_path": str(landing.resolve()),
        }
        | {f"{name}_relation": f"own.{name}" for name in SEEDS}
        | (more_vars or {})
    )
    folder = database.parent
    paths = ["--target-path", folder / "target", "--log-path", folder / "logs"]
    results_file = folder / "target" / "run_results.json"
    results_file.unlink(missing_ok=True)
    process = run_process(
        [DBT, "--quiet", *command, "--vars", json.dumps(config), *paths],
        # Not among the vars: dbt parses all anew when these change, which a schedule never does.
        environment={"ML_MONITORING_PATH": str(database), "ML_MONITORING_AS_OF": as_of}
        | environment,
    )
    if process.exit_code:
        raise BenchmarkError(
            f"dbt {' '.join(command)} ended with exit code {process.exit_code}; "
            f"{folder / 'logs' / 'dbt.log'} says why."
        )
    results = json.loads(results_file.read_text())["results"] if results_file.exists() else []
    models = {
        result["unique_id"].split(".")[-1]: result["execution_time"]
        for result in results
        if result["unique_id"].startswith("model.")
    }
    return Measured(
        **vars(process),
        disk=size_of(database),
        models=models,
        tests=sum(result["execution_time"] for result in results) - sum(models.values()),
    )
