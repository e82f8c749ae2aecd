"""Run dbt on generated events and measure it: what the benchmarks share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.generate_events import MODEL

PROJECT = Path(__file__).parents[1]
DBT = Path(sys.executable).with_name("dbt")


@dataclass
class Measured:
    """What one dbt command took.

    Attributes
    ----------
    exit_code : int
    wall : float
        Seconds from start to end.
    peak : float
        GiB of memory at most.
    disk : float
        GiB of the database afterwards.
    models : dict of str to float
        Seconds of each model.
    tests : float
        Seconds of all tests, on all threads.
    """

    exit_code: int
    wall: float
    peak: float
    disk: float
    models: dict[str, float]
    tests: float

    def print(self, title: str, count: int = 15) -> None:
        """Print the figures and the models that took longest."""
        print(f"{title}: exit code {self.exit_code}, {self.wall:.1f} s, peak {self.peak:.2f} GiB, "
              f"database {self.disk:.2f} GiB")  # fmt: skip
        print(f"  models {sum(self.models.values()):.1f} s, tests {self.tests:.1f} s, "
              "on threads side by side")  # fmt: skip
        for name, seconds in sorted(self.models.items(), key=lambda item: -item[1])[:count]:
            print(f"  {seconds:6.1f} s  {name}")
        sys.stdout.flush()


def prepare(database: Path) -> None:
    """Make empty relations of targets and deployments: those of the project are the demo's."""
    targets = (PROJECT / "seeds" / "slo_targets.csv").read_text().splitlines()[0].split(",")
    deployments = (PROJECT / "seeds" / "deployments.csv").read_text().splitlines()[0].split(",")
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema own")
        for name, columns in (("slo_targets", targets), ("deployments", deployments)):
            fields = ", ".join(f'"{column}" varchar' for column in columns)
            connection.execute(f"create table own.{name} ({fields})")


def run_dbt(command: list[str], database: Path, landing: Path, as_of: str) -> Measured:
    """Run a dbt command on a prepared database; target and logs go beside it."""
    config = {
        "monitored_models": [MODEL],
        "landing_path": str(landing.resolve()),
        "as_of": as_of,
        "slo_targets_relation": "own.slo_targets",
        "deployments_relation": "own.deployments",
    }
    folder = database.parent
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            DBT,
            "--quiet",
            *command,
            "--vars",
            json.dumps(config),
            "--target-path",
            folder / "target",
            "--log-path",
            folder / "logs",
        ],
        cwd=PROJECT,
        env=os.environ | {"ML_MONITORING_PATH": str(database)},
    )
    # The usage of this child alone: getrusage would give the most of all children.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    models = {
        result["unique_id"].split(".")[-1]: result["execution_time"]
        for result in results
        if result["unique_id"].startswith("model.")
    }
    return Measured(
        exit_code=os.waitstatus_to_exitcode(status),
        wall=wall,
        peak=usage.ru_maxrss / 2**20,
        disk=database.stat().st_size / 2**30,
        models=models,
        tests=sum(result["execution_time"] for result in results) - sum(models.values()),
    )
