"""The public tables of a built or published database."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb

from built_database import open_to_read
from report import ReportError
from sql_text import quoted

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
        self.connection = open_to_read(path, ReportError)

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """Give the rows of a query; ``{public}`` in it is the schema.

        Raises
        ------
        ReportError
            If a table or column is missing.
        """
        query = query.replace("{public}", quoted(self.schema))
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
