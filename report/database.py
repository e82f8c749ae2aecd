"""The public tables of a built or published database."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb

from report import ReportError

Row = dict[str, Any]


class Database:
    """A database, opened for reading.

    Parameters
    ----------
    path : Path
    schema : str
        The public schema. Nothing else is read.

    Raises
    ------
    ReportError
        If there is no such database, it cannot be opened, or a table is missing.
    """

    def __init__(self, path: Path, schema: str = "ml_monitoring"):
        self.path, self.schema = path, schema
        if not path.is_file():
            raise ReportError(
                f"There is no database at {path}. Build one first (`make build`, or `make demo`),"
                " or name another with DATABASE=..."
            )
        try:
            self.connection = duckdb.connect(str(path), read_only=True)
            self.connection.sql("set timezone = 'UTC'")
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReportError(
                f"{path} cannot be opened ({reason}). While a build writes to it, nobody else can"
                " read it: wait until it is done, or name the published copy, which is always"
                " free: DATABASE=warehouse_published.duckdb"
            ) from error

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """Give the rows of a query; ``{public}`` in it is the schema.

        Raises
        ------
        ReportError
            If a table or column is missing.
        """
        query = query.replace("{public}", '"' + self.schema.replace('"', '""') + '"')
        try:
            found = self.connection.sql(query, params=parameters or None)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            reason = str(error).splitlines()[0]
            raise ReportError(
                f"{self.path} was built by another version of the project, or its build did not"
                f" get through ({reason}). Run `make build`."
            ) from error
        return found.to_arrow_table().to_pylist()

    def columns(self, query: str, **parameters: Any) -> dict[str, list[Any]]:
        """Give a query's columns: less text than rows where there are many."""
        rows = self.rows(query, **parameters)
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def grouped(rows: list[Row], column: str) -> dict[Any, list[Row]]:
    """Give the rows by the value of a column; nothing where there are none."""
    found: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return found
