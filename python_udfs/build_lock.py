"""One build at a time: the dbt-duckdb plugin that locks the database from start to end.

DuckDB lets one process write. Without this, a second build fails at once with "Could not set
lock", or finds the database between two phases of the first. So each dbt command holds
``<database>.lock`` while it lives; another one waits for it, says so, and gives up with a clear
message. The operating system lets go of the lock when a process ends, however it ends: a killed
build leaves nothing to clean up. The file itself stays.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError

try:
    import fcntl
except ImportError:  # Windows: DuckDB's own lock has to do
    fcntl = None

POLL_SECONDS = 0.2
logger = AdapterLogger("DuckDB")
#: The locks of this process by path: dbt connects to one database several times.
held: dict[Path, IO[str]] = {}


def acquire(database: Path, wait_seconds: float) -> None:
    """Hold the lock of a database until this process ends.

    Parameters
    ----------
    database : Path
        The database file, which need not exist yet.
    wait_seconds : float
        How long to wait for another process that holds it.

    Raises
    ------
    DbtRuntimeError
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
                raise DbtRuntimeError(
                    f"Another build is at work on {database}: {holder}. This one waited"
                    f" {wait_seconds:g} s.\n  Run it again when the other is done, or let it wait"
                    " longer: ML_MONITORING_LOCK_WAIT=3600 dbt build"
                ) from None
        if not is_told:
            logger.warning(
                f"Waiting up to {wait_seconds:g} s for another build of {database}: {holder}"
            )
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


class Plugin(BasePlugin):
    """Locks the database before dbt-duckdb opens it."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take ``wait_seconds`` from the profile."""
        self._wait_seconds = float(plugin_config["wait_seconds"])

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> dict[str, Any]:
        """Take the lock; the configuration stays as it is."""
        if not creds.path.startswith((":memory:", "md:", "motherduck:")):
            acquire(Path(creds.path), self._wait_seconds)
        return config
