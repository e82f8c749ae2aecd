"""One build at a time: the dbt-duckdb plugin that locks the database from start to end.

DuckDB lets one process write. Without this, a second build fails at once with "Could not set
lock", or finds the database between two phases of the first. So each dbt command holds
``<database>.lock`` while it lives; another one waits for it, says so, and gives up with a clear
message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError

import database_lock

logger = AdapterLogger("DuckDB")


def acquire(database: Path, wait_seconds: float) -> None:
    """Hold the lock of a database, as dbt says things: see `database_lock.acquire`."""
    try:
        database_lock.acquire(database, wait_seconds, logger.warning)
    except database_lock.DatabaseIsLockedError as error:
        raise DbtRuntimeError(str(error)) from None


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
