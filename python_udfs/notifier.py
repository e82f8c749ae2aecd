"""Send notifications of what the last build found: ``python python_udfs/notifier.py``.

Reads the published tables, compares them with what was told before, records what is to be told,
and sends it. Can be killed at any moment and run again: nothing is lost, and what is sent twice has
the same key.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from notification_ledger import Delivery, Ledger, LedgerError, explained
from notification_targets import HOW_TO, VARIABLES, Target, read_targets
from notification_texts import (
    ALERT_COLUMNS,
    BOARD_COLUMNS,
    LINE_COLUMNS,
    MOST_LINES,
    REPORT_COLUMNS,
    TRIGGER_COLUMNS,
    Message,
    compose,
)
from notifications import CHANNELS, RETRAINING, Memory, Plan, plan
from sql_text import quoted

DELIVERED, UNDELIVERED, NOT_STARTED = 0, 1, 2
#: Waits between attempts double from the first to the last.
FIRST_WAIT_SECONDS, LAST_WAIT_SECONDS = 0.5, 30.0
#: What an attempt that has begun is given beyond the end.
LAST_MOMENT_SECONDS = 1.0


class NotifierError(Exception):
    """A run that cannot start; the message says why and what to do."""


@dataclass
class Findings:
    """What the tables hold.

    Attributes
    ----------
    as_of : datetime
        The moment that they look back from.
    alerts, triggers : list of dict
        Rows of ``alert_board`` that fire or are over, and of ``retraining_triggers``.
    details : callable
        From a list of ``alert_id`` to what else can be said of each.
    """

    as_of: datetime
    alerts: list[dict[str, Any]]
    triggers: list[dict[str, Any]]
    details: Callable[[list[str]], dict[str, dict[str, Any]]]


def main(arguments: list[str] | None = None) -> int:
    """Run as a command; return the exit code."""
    options = read_options(arguments)
    try:
        return run(options, os.environ)
    except (NotifierError, LedgerError) as error:
        print(error, file=sys.stderr)
        return NOT_STARTED
    except KeyboardInterrupt:
        print("Stopped. What is undelivered is kept for the next run.", file=sys.stderr)
        return UNDELIVERED


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="notifier.py",
        description="Send notifications of alerts and retraining triggers.",
        epilog="Exit codes: 0 all is delivered, 1 something waits for the next run, 2 not started.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be sent; change nothing"
    )
    parser.add_argument(
        "--give-up-after", type=seconds, default=60, metavar="SECONDS",
        help="how long to try; what is not delivered by then waits for the next run (60)",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=seconds, default=60, metavar="SECONDS",
        help="how long to wait for another notifier that is at work (60)",
    )  # fmt: skip
    parser.add_argument("--schema", help="the public schema, if the database has several")
    return parser.parse_args(arguments)


def seconds(text: str) -> float:
    """Read a length of time."""
    number = float(text)
    if not 0 <= number <= 86400:
        raise argparse.ArgumentTypeError("should be between 0 and 86400 seconds")
    return number


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Do what the options say; return the exit code."""
    targets = read_targets(environment)
    if not targets and not options.dry_run:
        raise NotifierError(f"Nothing to notify is configured. {HOW_TO}")
    database = Path(environment.get("ML_MONITORING_PATH") or "warehouse.duckdb")
    published = environment.get("ML_MONITORING_PUBLISHED_PATH")
    ledger_path = Path(
        environment.get("ML_MONITORING_NOTIFICATIONS_PATH")
        or database.with_name(f"{database.stem}_notifications.sqlite")
    )
    source = find_source(database, Path(published) if published else None)
    prefix = environment.get("ML_MONITORING_RUNBOOK_URL", "")
    if options.dry_run:
        with Ledger.read(ledger_path) as ledger:
            channels = targets.keys() or CHANNELS
            made, messages, _ = prepare(source, options.schema, ledger.memory(), channels, prefix)
            show(made, messages, ledger.waiting(), targets)
        return DELIVERED
    # The tables are read once nobody else can tell what is in them.
    with explained(ledger_path, options.wait), Ledger.open(ledger_path, options.wait) as ledger:
        memory = ledger.memory()
        made, messages, as_of = prepare(source, options.schema, memory, targets.keys(), prefix)
        names = {channel: [target.name for target in found] for channel, found in targets.items()}
        ledger.record(made, messages, as_of, names)
        return deliver(ledger, made, targets, options.give_up_after)


def find_source(database: Path, published: Path | None) -> Path:
    """Return the file to read: the published one if it is there, else the database."""
    copy = published or database.with_name(f"{database.stem}_published.duckdb")
    for path in (copy, database):
        if path.exists():
            return path
    raise NotifierError(
        f"There is no {copy} and no {database}: build first (make build), or say where the database"
        " is (ML_MONITORING_PATH)."
    )


def prepare(
    source: Path, schema: str | None, memory: Memory, channels: Any, prefix: str
) -> tuple[Plan, list[Message], datetime]:
    """Read the tables; return what is due, in words, and the moment that they look back from."""
    try:
        with duckdb.connect(str(source), read_only=True) as connection:
            findings = read_findings(connection, source, schema)
            if memory.as_of and findings.as_of < memory.as_of:
                raise NotifierError(
                    f"{source} looks back from {findings.as_of} UTC, and notifications were sent as"
                    f" of {memory.as_of} UTC already: is it another database, or an old copy? Give"
                    " it a ledger of its own (ML_MONITORING_NOTIFICATIONS_PATH), or move the old"
                    " ledger away: a new one tells again what fires now."
                )
            made = plan(findings.alerts, findings.triggers, findings.as_of, memory, channels)
            details = findings.details(
                [change.row["alert_id"] for change in made.changes if change.channel != RETRAINING]
            )
    except duckdb.IOException as error:
        if "lock" not in str(error):
            raise NotifierError(f"{source} cannot be read: {error}") from error
        raise NotifierError(
            f"A build is at work on {source}. Run this after it, or let builds publish (var"
            " publish): the published file can be read at any moment."
        ) from error
    except duckdb.Error as error:
        raise NotifierError(
            f"{source} does not hold what this version of the project makes; build anew with it"
            f" (make build). DuckDB says: {error}"
        ) from error
    messages = [
        compose(change, details.get(change.row["alert_id"], {}), prefix) for change in made.changes
    ]
    return made, messages, findings.as_of


def read_findings(
    connection: duckdb.DuckDBPyConnection, source: Path, schema: str | None
) -> Findings:
    """Read the public tables, no column but those that may be told."""
    schema = schema or find_schema(connection, source)
    place = quoted(schema)

    def read(columns: tuple[str, ...], table: str, rest: str = "", values: Any = None) -> list:
        names = ", ".join(columns)
        cursor = connection.execute(f"select {names} from {place}.{table} {rest}", values)
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def details(alert_ids: list[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        asked = "where list_contains(?, alert_id)"
        for row in read(("alert_id", *REPORT_COLUMNS), "slo_report", asked, [alert_ids]):
            found[row.pop("alert_id")] |= row
        lines = f"""
            {asked}
            qualify row_number() over (
                partition by alert_id order by fired_at, slice_key, slice_value, feature
            ) <= {MOST_LINES}
            order by alert_id, fired_at, slice_key, slice_value, feature
        """
        for row in read(("alert_id", *LINE_COLUMNS), "alert_lines", lines, [alert_ids]):
            found[row.pop("alert_id")].setdefault("lines", []).append(row)
        return found

    return Findings(
        read_as_of(connection, schema),
        read((*ALERT_COLUMNS, *BOARD_COLUMNS), "alert_board", "where state <> 'pending'"),
        read(TRIGGER_COLUMNS, "retraining_triggers"),
        details,
    )


def find_schema(connection: duckdb.DuckDBPyConnection, source: Path) -> str:
    """Return the schema that has the alerts."""
    found = connection.execute(
        """
        select distinct schema_name from (
            select schema_name, table_name from duckdb_tables()
            union all
            select schema_name, view_name from duckdb_views()
        )
        where table_name = 'alert_board'
        order by schema_name
        """
    ).fetchall()
    if not found:
        raise NotifierError(
            f"{source} has no table alert_board. Build with this version of the project first"
            " (make build)."
        )
    if len(found) > 1:
        names = ", ".join(name for (name,) in found)
        raise NotifierError(f"{source} has alerts in several schemas: {names}. Name one: --schema")
    return found[0][0]


def read_as_of(connection: duckdb.DuckDBPyConnection, schema: str) -> datetime:
    """Return the moment that the tables of alerts look back from."""
    is_published = connection.execute(
        "select 1 from duckdb_tables() where schema_name = ? and table_name = 'published_build'",
        [schema],
    ).fetchall()
    table = (
        f"{quoted(schema)}.published_build where relation_name = 'alert_board'"
        if is_published
        else f"{quoted(f'{schema}_internal')}.int_as_of"
    )
    as_of = connection.execute(f"select max(as_of)::timestamp from {table}").fetchone()[0]
    if as_of is None:
        raise NotifierError("The alerts are of no known moment. Build first (make build).")
    return as_of


def deliver(
    ledger: Ledger, made: Plan, targets: Mapping[str, list[Target]], give_up_after: float
) -> int:
    """Send what waits, to all targets side by side; say what became of it."""
    deadline = time.monotonic() + give_up_after
    by_name = {target.name: target for found in targets.values() for target in found}
    queues: dict[str, list[Delivery]] = defaultdict(list)
    waiting = ledger.waiting()
    for delivery in waiting:
        queues[delivery.target].append(delivery)
    threads = [
        # One that stalls for ever must not keep the process alive.
        threading.Thread(
            target=serve, args=(ledger, by_name[name], queue, deadline), daemon=True, name=name
        )
        for name, queue in queues.items()
        if name in by_name
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline + LAST_MOMENT_SECONDS - time.monotonic()))
    left = ledger.waiting()
    for reason, count in made.passed_over.items():
        print(f"Not sent, {reason}: {count}")
    print(f"Delivered {len(waiting) - len(left)} of {len(waiting)} notifications")
    if not left:
        return DELIVERED
    by_target: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in left:
        by_target[delivery.target].append(delivery)
    for name, deliveries in by_target.items():
        why = deliveries[0].last_failure or "not tried yet"
        if name not in by_name:
            variable = VARIABLES[deliveries[0].message.channel]
            why = f"it is configured no more; name another target in {variable}"
        print(f"  {name}: {len(deliveries)} undelivered ({why})", file=sys.stderr)
        for delivery in deliveries[:5]:
            print(f"    {delivery.message.title}", file=sys.stderr)
    print("What is undelivered is kept, and is tried again in the next run.", file=sys.stderr)
    return UNDELIVERED


def serve(ledger: Ledger, target: Target, queue: list[Delivery], deadline: float) -> None:
    """Send to one target: in order about each subject, with growing waits after failures."""
    waiting, failures = deque(queue), 0
    while waiting:
        delivery = next(
            candidate
            for candidate in waiting
            if not any(
                other.message.subject == candidate.message.subject
                and other.sequence < candidate.sequence
                for other in waiting
            )
        )
        failure = target.send(delivery.message)
        ledger.mark(delivery, failure)
        waiting.remove(delivery)
        if failure is None:
            failures = 0
        else:
            # Others go first: it may be this message, and not the target.
            waiting.append(delivery)
            longest = min(LAST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**failures)
            failures += 1
            # Receivers that come back are not to be met by all at once.
            time.sleep(min(longest * random.uniform(0.5, 1), max(0, deadline - time.monotonic())))
        if time.monotonic() >= deadline:
            return


def show(
    made: Plan,
    messages: list[Message],
    waiting: list[Delivery],
    targets: Mapping[str, list[Target]],
) -> None:
    """Print what would be sent."""
    for message in messages:
        names = ", ".join(target.name for target in targets.get(message.channel, ()))
        print(f"{message.title}\n  to: {names or 'no target is configured'}")
        print("".join(f"  {line}\n" for line in message.body.splitlines()))
    for delivery in waiting:
        print(f"Waits from an earlier run, for {delivery.target}: {delivery.message.title}")
    for reason, count in made.passed_over.items():
        print(f"Not to be sent, {reason}: {count}")
    print(f"Dry run: {len(messages)} new notifications, {len(waiting)} that wait; nothing was sent")


if __name__ == "__main__":
    sys.exit(main())
