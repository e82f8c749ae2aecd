"""Export the public tables as Parquet: ``python python_udfs/exporting.py --folder export``.

For tools that cannot read a DuckDB file. Each table and view of the public schema becomes
``<folder>/<table>.parquet``, all of one build.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

from built_database import open_to_read
from sql_text import quoted


class ExportError(Exception):
    """Why there is nothing to export, and what to do about it."""


def main(arguments: list[str] | None = None) -> int:
    """Export; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="made if it is not there")
    parser.add_argument("--database", type=Path, default=default_database(os.environ))
    parser.add_argument("--schema", default="ml_monitoring", help="the var ml_monitoring_schema")
    parser.add_argument("--tables", nargs="+", default=(), help="only these")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        with open_to_read(options.database, ExportError) as connection:
            counts = export(connection, options.schema, options.folder, options.tables)
    except ExportError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"{len(counts)} tables with {sum(counts.values()):,} rows to {options.folder}"
        f" in {time.monotonic() - started:.1f} s"
    )
    return 0


def default_database(environment: os._Environ | dict[str, str]) -> Path:
    """Return the published file, as a build names it."""
    database = Path(environment.get("ML_MONITORING_PATH") or "warehouse.duckdb")
    published = environment.get("ML_MONITORING_PUBLISHED_PATH")
    return Path(published or database.with_name(f"{database.stem}_published.duckdb"))


def export(
    connection: duckdb.DuckDBPyConnection, schema: str, folder: Path, tables: Sequence[str] = ()
) -> dict[str, int]:
    """Write tables as Parquet, with their rows in order and their times as UTC.

    A file is written beside and then takes its name: a reader never sees half of it.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Whose time zone is UTC.
    schema : str
    folder : Path
        Other files in it stay.
    tables : sequence of str
        Which; all where none is named.

    Returns
    -------
    dict of str to int
        The rows of each table.

    Raises
    ------
    ExportError
        If there is no such schema or table, or the folder cannot be written to.
    """
    columns: dict[str, list[str]] = {}
    for table, column, data_type in connection.execute(
        "select table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() and schema_name = ?"
        " order by table_name, column_index",
        [schema],
    ).fetchall():
        # Without a time zone in its type, Parquet has a time of nowhere.
        is_time = data_type == "TIMESTAMP"
        columns.setdefault(table, []).append(
            f"{quoted(column)}::timestamptz as {quoted(column)}" if is_time else quoted(column)
        )
    if not columns:
        raise ExportError(f"There is no table in the schema {schema}. Was it built? `make build`")
    unknown = sorted(set(tables) - columns.keys())
    if unknown:
        raise ExportError(
            f"No table {', '.join(unknown)} in the schema {schema}. There are: {', '.join(columns)}"
        )
    counts = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables or columns:
            path = folder / f"{table}.parquet"
            partial = folder / f".{table}.parquet.partial"
            try:
                relation = connection.sql(
                    f"select {', '.join(columns[table])} from {quoted(schema)}.{quoted(table)}"
                    " order by all"
                )
                relation.write_parquet(str(partial), compression="zstd")
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            ((counts[table],),) = connection.execute(
                "select num_rows from parquet_file_metadata(?)", [str(path)]
            ).fetchall()
    except (OSError, duckdb.IOException) as error:
        raise ExportError(f"{folder} cannot be written to: {error}") from error
    return counts


if __name__ == "__main__":
    sys.exit(main())
