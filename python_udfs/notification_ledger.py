"""The notifier's memory: a SQLite file beside the database.

What is to be told is recorded before it is sent, together with all that it follows from, in one
transaction. So a notifier that is killed has told nothing that it does not remember, and remembers
all that it has not told. SQLite writes through to the disk, needs no server, and its lock is gone
when the process is, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from notification_texts import Message, as_json_value
from notifications import Incident, Memory, Plan, Trigger

FORMAT = "1"  # of the tables below, which say so too
TABLES = """
    create table if not exists facts (name text primary key, value text not null);
    create table if not exists incidents (
        incident_id text primary key, told text not null, ordinal integer not null,
        alert text not null, seen_at text not null
    );
    create table if not exists triggers (
        trigger_id text primary key, key text not null, incident_id text, is_told integer not null
    );
    create table if not exists messages (
        sequence integer primary key, key text not null unique, subject text not null,
        channel text not null, kind text not null, title text not null, body text not null,
        event text not null, recorded_at text not null
    );
    create table if not exists deliveries (
        key text not null references messages (key), target text not null,
        state text not null check (state in ('waiting', 'delivered', 'handed over')),
        attempts integer not null default 0, last_failure text, changed_at text not null,
        primary key (key, target)
    );
    insert or ignore into facts values ('format', '1');
"""
TIMES = frozenset(["started_at", "fired_at", "resolved_at", "window_start", "window_end"])


class LedgerError(Exception):
    """A ledger that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Delivery:
    """A message that waits to be delivered to a target.

    Attributes
    ----------
    sequence : int
        Its place among all messages.
    target : str
        The name of the target.
    message : Message
        What is to be sent.
    last_failure : str or None
        Why it could not be, the last time.
    """

    sequence: int
    target: str
    message: Message
    last_failure: str | None


class Ledger:
    """An open ledger, which no other process can open meanwhile."""

    def __init__(self, connection: sqlite3.Connection, path: Path):
        self._connection = connection
        self._path = path
        # Targets are served side by side; each marks what it has delivered.
        self._lock = threading.Lock()
        self._is_closed = False

    @classmethod
    def open(cls, path: Path, wait_seconds: float) -> Ledger:
        """Open the ledger to write, make it if it is not there, and keep others out.

        Parameters
        ----------
        path : Path
            The file.
        wait_seconds : float
            How long to wait for another notifier.

        Raises
        ------
        LedgerError
            If another one is still at work, or the file is no ledger.
        """
        if not path.parent.is_dir():
            raise LedgerError(
                f"There is no folder {path.parent} for the ledger of notifications. Make it, or"
                " name another file: ML_MONITORING_NOTIFICATIONS_PATH=/srv/data/told.sqlite"
            )
        with explained(path, wait_seconds):
            ledger = cls(connect(path, "rwc", wait_seconds), path)
            try:
                ledger._connection.execute("pragma locking_mode = exclusive")
                ledger._connection.execute("pragma journal_mode = wal")
                ledger._connection.execute("pragma synchronous = full")
                ledger._connection.executescript(f"begin immediate; {TABLES} commit;")
                ledger._check_format()
            except BaseException:
                ledger._connection.close()
                raise
        return ledger

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Open a ledger to look at it; an empty one where there is none. Nothing is changed."""
        if not path.exists():
            ledger = cls(sqlite3.connect(":memory:", isolation_level=None), path)
            ledger._connection.executescript(TABLES)
            return ledger
        with explained(path, 5):
            ledger = cls(connect(path, "ro", 5), path)
            ledger._check_format()
        return ledger

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_closed = True
            self._connection.close()

    def _check_format(self) -> None:
        found = self._fact("format")
        if found != FORMAT:
            raise LedgerError(
                f"{self._path} was written by another version of this project (format {found}, not"
                f" {FORMAT}). Use that version, or move the file away: a new ledger tells again"
                " what fires now."
            )

    def _fact(self, name: str) -> str | None:
        found = self._connection.execute(
            "select value from facts where name = ?", [name]
        ).fetchone()
        return found[0] if found else None

    def memory(self) -> Memory:
        """Return what earlier runs have seen and told."""
        incidents = self._connection.execute(
            "select incident_id, told, ordinal, alert, seen_at from incidents order by incident_id"
        )
        triggers = self._connection.execute(
            "select trigger_id, key, incident_id, is_told from triggers order by trigger_id"
        )
        began, as_of = self._fact("began"), self._fact("as_of")
        return Memory(
            tuple(
                Incident(*known, read_row(alert), datetime.fromisoformat(seen_at))
                for *known, alert, seen_at in incidents
            ),
            tuple(Trigger(*known, bool(is_told)) for *known, is_told in triggers),
            began and datetime.fromisoformat(began),
            as_of and datetime.fromisoformat(as_of),
        )

    def record(
        self,
        made: Plan,
        messages: Iterable[Message],
        as_of: datetime,
        targets: Mapping[str, Iterable[str]],
    ) -> None:
        """Remember a plan, and what is to be sent to whom. All of it, or nothing.

        Parameters
        ----------
        made : Plan
            What has changed.
        messages : iterable of Message
            Its changes in words.
        as_of : datetime
            The moment that the tables look back from.
        targets : mapping of str to iterable of str
            The names of the targets of each channel, as they are configured now.
        """
        now = write_now()
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                for incident in made.incidents:
                    self._connection.execute(
                        "insert or replace into incidents values (?, ?, ?, ?, ?)",
                        [
                            incident.incident_id, incident.told, incident.ordinal,
                            write_row(incident.alert), incident.seen_at.isoformat(),
                        ],
                    )  # fmt: skip
                for trigger_id in made.gone_triggers:
                    self._connection.execute(
                        "delete from triggers where trigger_id = ?", [trigger_id]
                    )
                for trigger in made.triggers:
                    self._connection.execute(
                        "insert into triggers values (?, ?, ?, ?)",
                        [trigger.trigger_id, trigger.key, trigger.incident_id, trigger.is_told],
                    )
                for message in messages:
                    self._connection.execute(
                        "insert into messages values (null, ?, ?, ?, ?, ?, ?, ?, ?)",
                        [
                            message.key, message.subject, message.channel, message.kind,
                            message.title, message.body,
                            json.dumps(message.event, default=str), now,
                        ],
                    )  # fmt: skip
                    self._add_deliveries(message.key, targets.get(message.channel, ()), now)
                self._hand_over(targets, now)
                for name, value in (("began", as_of), ("as_of", as_of)):
                    if name == "as_of" or self._fact(name) is None:
                        self._connection.execute(
                            "insert or replace into facts values (?, ?)", [name, value.isoformat()]
                        )
                self._connection.execute("commit")
            except BaseException:
                self._connection.execute("rollback")
                raise

    def _add_deliveries(self, key: str, names: Iterable[str], now: str) -> None:
        self._connection.executemany(
            "insert or ignore into deliveries values (?, ?, 'waiting', 0, null, ?)",
            [(key, name, now) for name in names],
        )

    def _hand_over(self, targets: Mapping[str, Iterable[str]], now: str) -> None:
        """Give what waits for a target that is configured no more to those that are."""
        waiting = self._connection.execute(
            "select key, target, channel from deliveries inner join messages using (key)"
            " where state = 'waiting'"
        ).fetchall()
        for key, target, channel in waiting:
            names = list(targets.get(channel, ()))
            if names and target not in names:
                self._add_deliveries(key, names, now)
                self._connection.execute(
                    "update deliveries set state = 'handed over', changed_at = ?"
                    " where key = ? and target = ?",
                    [now, key, target],
                )

    def waiting(self) -> list[Delivery]:
        """Return what is still to be delivered, in order."""
        with self._lock:
            rows = self._connection.execute(
                """
                select
                    sequence, target, key, subject, channel, kind, title, body, event, last_failure
                from deliveries inner join messages using (key)
                where state = 'waiting'
                order by sequence, target
                """
            ).fetchall()
        return [
            Delivery(sequence, target, Message(*message, json.loads(event)), failure)
            for sequence, target, *message, event, failure in rows
        ]

    def mark(self, delivery: Delivery, failure: str | None) -> None:
        """Note what became of an attempt: delivered where there was no failure.

        An answer that comes after the run has ended is not noted: the next run sends again.
        """
        with self._lock:
            if self._is_closed:
                return
            self._connection.execute(
                """
                update deliveries
                set state = ?, attempts = attempts + 1, last_failure = ?, changed_at = ?
                where key = ? and target = ?
                """,
                [
                    "waiting" if failure else "delivered", failure, write_now(),
                    delivery.message.key, delivery.target,
                ],
            )  # fmt: skip


@contextlib.contextmanager
def explained(path: Path, wait_seconds: float) -> Iterator[None]:
    """Turn errors of SQLite into what to do about them."""
    try:
        yield
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise LedgerError(
                f"Another notifier is at work on {path}; this one waited {wait_seconds:g} s. Run it"
                " again when the other is done, or let it wait longer: --wait 300"
            ) from error
        raise LedgerError(
            f"{path} cannot be used as the ledger of notifications ({error}). If it is damaged,"
            " move it away: a new one tells again what fires now. Or name another file:"
            " ML_MONITORING_NOTIFICATIONS_PATH"
        ) from error


def connect(path: Path, mode: str, wait_seconds: float) -> sqlite3.Connection:
    """Open a SQLite file in autocommit mode, for use by several threads in turn."""
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=wait_seconds,
        isolation_level=None,
        check_same_thread=False,
    )


def write_row(row: Mapping[str, Any]) -> str:
    """Return a row of ``alerts`` as text."""
    return json.dumps({column: as_json_value(value) for column, value in row.items()}, default=str)


def read_row(text: str) -> dict[str, Any]:
    """Return the row that a text was written from."""
    row = json.loads(text)
    for column in TIMES & row.keys():
        if row[column]:
            row[column] = datetime.fromisoformat(row[column]).replace(tzinfo=None)
    return row


def write_now() -> str:
    """Return the time as it is noted in the ledger."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
