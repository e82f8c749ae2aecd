"""Time a build from nothing: ``python -m benchmarks.cold_build --landing data/benchmark/landing``.

Prints wall time, peak memory, the size of the database and the models that take longest. Make the
landing files with ``python -m benchmarks.generate_events``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.generate_events import MODEL

PROJECT = Path(__file__).parents[1]
DBT = Path(sys.executable).with_name("dbt")


def main() -> int:
    """Build in a folder of its own and print the figures; returns the exit code of dbt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landing", type=Path, default=Path("data/benchmark/landing"))
    parser.add_argument("--as-of", default="2024-02-05")
    parser.add_argument("--without-tests", action="store_true", help="dbt run, not dbt build")
    arguments = parser.parse_args()
    config = {
        "monitored_models": [MODEL],
        "landing_path": str(arguments.landing.resolve()),
        "as_of": arguments.as_of,
        # The demo's targets are of another model; these relations stand for none.
        "slo_targets_relation": "own.slo_targets",
        "deployments_relation": "own.deployments",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = folder / "warehouse.duckdb"
        prepare(database)
        command = ["run"] if arguments.without_tests else ["build"]
        if not arguments.without_tests:
            command += ["--exclude-resource-type", "unit_test"]
        started = time.perf_counter()
        build = subprocess.run(
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
            check=False,
        )
        wall = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
        print(f"exit code {build.returncode}, {wall:.1f} s, peak {peak:.2f} GiB, "
              f"database {database.stat().st_size / 2**30:.2f} GiB")  # fmt: skip
    models = {result["unique_id"].split(".")[-1]: result["execution_time"] for result in results
              if result["unique_id"].startswith("model.")}  # fmt: skip
    tests = sum(result["execution_time"] for result in results) - sum(models.values())
    print(f"models {sum(models.values()):.1f} s, tests {tests:.1f} s, on threads side by side")
    for name, seconds in sorted(models.items(), key=lambda item: -item[1])[:15]:
        print(f"  {seconds:6.1f} s  {name}")
    return build.returncode


def prepare(database: Path) -> None:
    """Make empty relations of targets and deployments."""
    import duckdb

    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema own")
        for seed in ("slo_targets", "deployments"):
            header = (PROJECT / "seeds" / f"{seed}.csv").read_text().splitlines()[0]
            columns = ", ".join(f'"{column}" varchar' for column in header.split(","))
            connection.execute(f"create table own.{seed} ({columns})")


if __name__ == "__main__":
    sys.exit(main())
