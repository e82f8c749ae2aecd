"""A database that a build has made, opened for reading."""

from __future__ import annotations

from pathlib import Path

import duckdb

PUBLISHED_IS_FREE = (
    "wait until it is done, or name the published copy, which is always free:"
    " DATABASE=warehouse_published.duckdb"
)


def open_to_read(
    path: Path, error_type: type[Exception], cure: str = PUBLISHED_IS_FREE
) -> duckdb.DuckDBPyConnection:
    """Open a database to read, with all times in UTC.

    Parameters
    ----------
    path : Path
    error_type : type of Exception
        What to raise.
    cure : str
        What to do where a build writes to it.

    Raises
    ------
    error_type
        If there is no database, or it cannot be opened; with the reason and the cure.
    """
    if not path.is_file():
        raise error_type(
            f"There is no database at {path}. Build one first (`make build`, or `make demo`),"
            " or name another with DATABASE=..."
        )
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise error_type(
            f"{path} cannot be opened ({reason}). While a build writes to it, nobody else can"
            f" read it: {cure}"
        ) from error
    connection.execute("set timezone = 'UTC'")
    return connection
