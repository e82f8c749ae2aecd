"""One process at a time at a database: a lock file beside it, held from start to end.

The operating system lets go of the lock when a process ends, however it ends: one that is killed
leaves nothing to clean up. The file itself stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: DuckDB's own lock has to do
    fcntl = None

POLL_SECONDS = 0.2
#: The locks of this process by path: dbt connects to one database several times.
held: dict[Path, IO[str]] = {}


class DatabaseIsLockedError(Exception):
    """Another process is at work; the message says which and what to do."""


def acquire(database: Path, wait_seconds: float, say: Callable[[str], None]) -> None:
    """Hold the lock of a database until this process ends.

    Parameters
    ----------
    database : Path
        The database file, which need not exist yet.
    wait_seconds : float
        How long to wait for another process that holds it.
    say : callable
        Is told once if there is something to wait for.

    Raises
    ------
    DatabaseIsLockedError
        If the other process still holds it after that.
    """
    path = database.resolve().with_name(f"{database.name}.lock")
    if fcntl is None or path in held:
        return
    file = path.open("a+")
    deadline = time.monotonic() + wait_seconds
    is_told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = read_holder(file)
            if time.monotonic() >= deadline:
                file.close()
                raise DatabaseIsLockedError(
                    f"Another build is at work on {database}: {holder}. This one waited"
                    f" {wait_seconds:g} s.\n  Run it again when the other is done, or let it wait"
                    " longer: ML_MONITORING_LOCK_WAIT=3600 dbt build"
                ) from None
        if not is_told:
            say(f"Waiting up to {wait_seconds:g} s for another build of {database}: {holder}")
            is_told = True
        time.sleep(POLL_SECONDS)
    file.truncate(0)
    file.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    file.flush()
    held[path] = file


def read_holder(file: IO[str]) -> str:
    """Return which process holds the lock, in words."""
    file.seek(0)
    return file.read() or "a process that has just started"
