"""Backtest alert rules: `python -m backtesting --rules rules.csv --from 2013-09-01`.

Judges rules and targets on all metrics that a built database holds, as if they had been there all
the time, and sets their alerts against a list of incidents. The built database is only read.
"""

import argparse
import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from backtest import Backtest, Period, backtest, stands_for
from backtesting import PACKAGE_DIR, BacktestError
from backtesting.files import parse_moment, read_incidents, read_rows
from backtesting.report import text_report, write_csv, write_json
from backtesting.scratch import Scratch


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parse_options(argv)
    try:
        found, heading, warnings = run(options)
        if options.json:
            write_json(found, options.json)
        if options.csv:
            write_csv(found, options.csv)
    except BacktestError as error:
        print(f"backtest: {error}", file=sys.stderr)
        return 2
    print(f"{heading}\n\n{text_report(found)}")
    for warning in warnings:
        print(f"\nWARNING {warning}")
    failures = failures_of(found, options.most_false_pages_a_week) if options.strict else []
    for failure in failures:
        print(f"backtest: {failure}", file=sys.stderr)
    return 1 if failures else 0


def parse_options(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m backtesting", description=__doc__)
    parser.add_argument("--rules", type=Path, help="CSV; default: those of the project")
    parser.add_argument("--targets", type=Path, help="CSV; default: those of the project")
    parser.add_argument(
        "--incidents", type=Path, default=PACKAGE_DIR / "demo" / "incidents.csv", help="CSV"
    )
    parser.add_argument("--from", dest="start", help="a date or time; default: the first request")
    parser.add_argument("--to", dest="end", help="a date, or a time; default: the last build")
    parser.add_argument("--tolerance-hours", type=float, help="see docs/backtesting.md")
    parser.add_argument("--json", type=Path, help="also write it to this file")
    parser.add_argument("--csv", type=Path, help="also write it to files in this folder")
    parser.add_argument(
        "--strict", action="store_true", help="fail on missed incidents and many false pages"
    )
    parser.add_argument("--most-false-pages-a-week", type=float, default=1)
    parser.add_argument("--project-dir", type=Path, default=Path(), help="of dbt_project.yml")
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("ML_MONITORING_PATH") or "warehouse.duckdb"),
        help="a built database; default: ML_MONITORING_PATH, or warehouse.duckdb",
    )
    parser.add_argument("--folder", type=Path, help="to work in; default: backtests/<database>")
    parser.add_argument("--vars", type=json.loads, default={}, help="for dbt, as JSON")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> tuple[Backtest, str, list[str]]:
    """Make the backtest; returns it with a heading and warnings."""
    project, database = options.project_dir.resolve(), options.database.resolve()
    folder = options.folder or project / "backtests" / database.stem
    scratch = Scratch(project, database, folder.resolve(), options.vars)
    # A mistake in the files shows before anything is built.
    read_incidents(options.incidents)
    files = {
        "alert_rules": options.rules or scratch.seed("alert_rules"),
        "slo_targets": options.targets or scratch.seed("slo_targets"),
    }
    rules = {kind: path and read_rows(path, kind) for kind, path in files.items()}

    scratch.lock(float(os.environ.get("ML_MONITORING_LOCK_WAIT") or 600))
    scratch.prepare()
    scratch.fill(rules)
    period = period_of(options.start, options.end, scratch.history())
    scratch.run()

    severities = scratch.severities()
    incidents = read_incidents(options.incidents, severities, scratch.public_tables())
    found = backtest(
        scratch.alerts(),
        incidents,
        severities=severities,
        period=period,
        tolerance=None
        if options.tolerance_hours is None
        else timedelta(hours=options.tolerance_hours),
    )
    named = " and ".join(
        str(path or f"{scratch.settings[f'{kind}_relation']} (the project's {kind}_relation)")
        for kind, path in files.items()
    )
    heading = (
        f"Backtest of {named} on {options.database}, against {options.incidents}\n"
        f"{period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC,"
        f" {period.weeks:.1f} weeks. Every alert: {scratch.database}"
    )
    nameless = [
        f"{incident.incident_id}: no rule or target makes an alert named {name}"
        for incident in incidents
        for name in incident.detected_by
        if not any(stands_for(name, alert_name) for alert_name in severities)
    ]
    return found, heading.replace(f"{Path.cwd()}/", ""), scratch.unjudged() + nameless


def period_of(start: str | None, end: str | None, history: tuple[datetime, datetime]) -> Period:
    """Return what is reported on: what is asked for, as far as there is history.

    A date as the end is in it.
    """
    first, last = history
    asked_start = parse_moment(start, "FROM") if start else first
    asked_end = parse_moment(end, "TO") if end else last
    if end and len(end.strip()) == len("2013-12-31"):
        asked_end += timedelta(days=1)
    period = Period(max(asked_start, first), min(asked_end, last))
    if period.end <= period.start:
        raise BacktestError(
            f"there is nothing from {asked_start} to {asked_end}: the database knows of"
            f" {first} to {last} UTC"
        )
    return period


def failures_of(found: Backtest, most_false_pages_a_week: float) -> list[str]:
    """Say what CI should fail for."""
    failures = [
        f"{result.incident.incident_id} was not caught"
        for result in found.incidents
        if result.outcome == "missed"
    ]
    pages = found.false_alarms_a_week("page")
    if pages > most_false_pages_a_week:
        failures.append(
            f"{pages:.2f} false pages a week; at most {most_false_pages_a_week:g} are allowed"
        )
    return failures


if __name__ == "__main__":
    sys.exit(main())
