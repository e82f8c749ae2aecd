"""Write the report: ``python -m report --database warehouse.duckdb``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from report import ReportError
from report.database import Database
from report.models import read_models
from report.pages import (
    alerts,
    data,
    drift,
    groups,
    launch,
    overview,
    performance,
    runbooks,
    service,
)
from report.site import write_site

PAGES = (overview, service, drift, performance, groups, launch, alerts, data, runbooks)
# The pages of a model.
SECTIONS = [
    ("service.html", "Service"),
    ("drift.html", "Drift"),
    ("performance.html", "Performance"),
    ("groups.html", "Calibration & fairness"),
    ("launch.html", "Shadow & launch"),
    ("alerts.html", "Alerts"),
    ("data.html", "Data"),
]


def main() -> int:
    """Write the site; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("ML_MONITORING_PATH", "warehouse.duckdb")
    parser.add_argument("--database", type=Path, default=Path(default))
    parser.add_argument("--schema", default="ml_monitoring", help="the var ml_monitoring_schema")
    parser.add_argument("--folder", type=Path, default=Path("report/site"))
    parser.add_argument("--quiet", action="store_true", help="tell of no page")
    arguments = parser.parse_args()
    started = time.perf_counter()
    try:
        database = Database(arguments.database, arguments.schema)
        models = read_models(database)
        count = write_site(
            (page for kind in PAGES for page in kind.pages(database, models)),
            arguments.folder,
            common={"models": models, "sections": SECTIONS},
            say=(lambda _: None) if arguments.quiet else lambda path: print(f"  {path}"),
        )
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    index = arguments.folder / "index.html"
    print(f"{count} pages in {time.perf_counter() - started:.1f} s. Open {index} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
