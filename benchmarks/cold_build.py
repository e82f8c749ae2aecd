"""Time a build from nothing: ``python -m benchmarks.cold_build --landing data/benchmark/landing``.

Prints wall time, peak memory, the size of the database and the models that take longest. Make the
landing files with ``python -m benchmarks.generate_events``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.builds import prepare, run_dbt


def main() -> int:
    """Build in a folder of its own and print the figures; returns the exit code of dbt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landing", type=Path, default=Path("data/benchmark/landing"))
    parser.add_argument("--as-of", default="2024-02-05")
    parser.add_argument("--without-tests", action="store_true", help="dbt run, not dbt build")
    arguments = parser.parse_args()
    command = ["build", "--exclude-resource-type", "unit_test"]
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "warehouse.duckdb"
        prepare(database)
        measured = run_dbt(
            ["run"] if arguments.without_tests else command,
            database,
            arguments.landing,
            arguments.as_of,
        )
    measured.print("cold build")
    return measured.exit_code


if __name__ == "__main__":
    sys.exit(main())
