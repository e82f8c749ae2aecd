"""Root-cause reports: `python -m rca --alert <alert_id>`.

Reads a built database, and writes what it knows of an alert to incidents/<alert_id>.md. Without an
alert the newest alerts are listed. With --metric the change of any metric between two windows is
split among slices.
"""

import argparse
import os
import re
import sys
from pathlib import Path

from rca import PACKAGE_DIR, RcaError
from rca.incidents import has_begun, incidents_text, ranked_incidents, read_truth
from rca.markdown import plain
from rca.reading import (
    Database,
    newest_alerts,
    parse_moment,
    read_contributions,
    read_incident,
    window_before,
)
from rca.report import incident_report, metric_report


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parse_options(argv)
    try:
        print(run(options))
    except RcaError as error:
        print(f"rca: {error}", file=sys.stderr)
        return 2
    return 0


def parse_options(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m rca", description=__doc__)
    parser.add_argument("--alert", help="an alert_id")
    parser.add_argument("--metric", help="a metric, such as roc_auc or latency_p95_ms")
    parser.add_argument("--model", help="with --metric: a model_name")
    parser.add_argument("--model-version", help="with --metric")
    parser.add_argument("--role", default="live", help="with --metric; default: live")
    parser.add_argument("--from", dest="start", help="with --metric: a date or time, UTC")
    parser.add_argument("--to", dest="end", help="with --metric: a date or time, not included")
    parser.add_argument("--against-from", help="default: a window as long, just before")
    parser.add_argument("--against-to")
    parser.add_argument(
        "--incidents", nargs="?", type=Path, const=PACKAGE_DIR / "demo" / "incidents.csv",
        help="how true causes rank; a CSV, default: that of the demo",
    )  # fmt: skip
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("ML_MONITORING_PATH") or "warehouse.duckdb"),
        help="a built database; default: ML_MONITORING_PATH, or warehouse.duckdb",
    )
    parser.add_argument("--schema", default="ml_monitoring", help="the var ml_monitoring_schema")
    parser.add_argument("--folder", type=Path, default=Path("incidents"), help="to write to")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> str:
    """Do what is asked for, and say what was done."""
    database = Database(options.database, options.schema)
    if options.incidents:
        (clock,) = database.rows("select as_of from {internal}.int_as_of")
        known = [row for row in read_truth(options.incidents) if has_begun(row, clock["as_of"])]
        return incidents_text(ranked_incidents(database, known))
    if options.alert:
        report = incident_report(read_incident(database, options.alert))
        return write(report, options.folder, options.alert)
    if options.metric:
        return write(*of_metric(database, options))
    return listed_alerts(database)


def of_metric(database: Database, options: argparse.Namespace) -> tuple[str, Path, str]:
    """Split the change of a metric among slices; returns the report, and where it goes."""
    missing = [
        name
        for name, value in (
            ("MODEL", options.model),
            ("VERSION", options.model_version),
            ("FROM", options.start),
            ("TO", options.end),
        )
        if not value
    ]
    if missing or bool(options.against_from) != bool(options.against_to):
        raise RcaError(
            f"METRIC needs {' and '.join(missing or ['both AGAINST_FROM and AGAINST_TO'])}, such as"
            " `make rca METRIC=roc_auc MODEL=flight_delay VERSION=v1 FROM=2013-07-01 TO=2013-07-08"
            " AGAINST_FROM=2013-06-01 AGAINST_TO=2013-06-08`."
        )
    current = (parse_moment(options.start, "FROM"), parse_moment(options.end, "TO"))
    reference = window_before(*current)
    if options.against_from:
        reference = (
            parse_moment(options.against_from, "AGAINST_FROM"),
            parse_moment(options.against_to, "AGAINST_TO"),
        )
    rows = read_contributions(
        database,
        model_name=options.model,
        model_version=options.model_version,
        role=options.role,
        metric=options.metric,
        reference=reference,
        current=current,
    )
    report = metric_report(
        rows,
        metric=options.metric,
        title=f"{options.model} {options.model_version} {options.role}",
        windows=f"{current[0]} to {current[1]} UTC, against {reference[0]} to {reference[1]} UTC.",
    )
    name = f"{options.metric}-{options.model}-{options.model_version}-{current[0]:%Y%m%dT%H%M}"
    return report, options.folder, name


def write(report: str, folder: Path, name: str) -> str:
    """Write a report; a name from outside stays a name of a file in the folder."""
    path = folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:150]}.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(report, encoding="utf-8")
    except OSError as error:
        raise RcaError(f"{path} cannot be written: {error.strerror}.") from error
    return f"{report}\nWritten to {path}"


def listed_alerts(database: Database) -> str:
    """List the newest alerts with their ids and first suspects."""
    alerts = newest_alerts(database)
    if not alerts:
        return f"{database.path} has no alerts."
    lines = [
        f"{row['alert_id']}  {row['started_at']:%Y-%m-%d %H:%M}  {row['state']:<8}"
        f"  {plain(row['alert_name'])} ({plain(row['model_name'])} {plain(row['model_version'])})"
        + (f": {row['suspect_kind']} {plain(row['suspect'])}" if row["suspect"] else "")
        for row in alerts
    ]
    return "\n".join([*lines, "", "A report of one: make rca ALERT=" + alerts[0]["alert_id"]])


if __name__ == "__main__":
    sys.exit(main())
