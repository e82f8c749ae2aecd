"""A share of what a model's SQL reads, and that SQL on it: what a Spark worker does.

A worker runs the same SQL in the same engine as a build on one machine, on some of the files of
the events: those of some dates, of some requests, or of some landing files. It needs Python,
DuckDB and the folder of the lake, and knows nothing of dbt.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

#: The column by which requests are spread over files; no relation shows it.
BUCKET = "lake_bucket"


@dataclass
class Task:
    """One share.

    Attributes
    ----------
    number : int
    sql : str
        A query of DuckDB, as dbt has compiled it.
    database : str
        The name by which it calls its database.
    tables : dict of str to list of str
        The Parquet files of each relation that it reads, by qualified name.
    views : list of str
        Statements that make the views that it reads, in order.
    landing : dict
        ``input``, ``folder``, ``file_paths``, ``monitored_models`` where it reads landing files,
        and ``sources``, the qualified names of their two forms.
    where : str
        Which rows of the result are of this share.
    target : str
        A Parquet file, or with ``partition_by`` a folder.
    partition_by : list of str
        Columns of the result; ``lake_bucket`` comes from ``request_hash``.
    buckets : int
    settings : dict of str to str
        Of DuckDB.
    """

    number: int
    sql: str
    database: str
    tables: dict[str, list[str]]
    views: list[str]
    target: str
    landing: dict[str, Any] = field(default_factory=dict)
    where: str = "true"
    partition_by: list[str] = field(default_factory=list)
    buckets: int = 1
    settings: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for JSON."""
        return asdict(self)


def run_task(task: Task) -> dict[str, Any]:
    """Run a task.

    Returns
    -------
    dict
        ``number``, ``files`` (what was written, with ``rows``), ``seconds`` and ``peak_mb``, the
        memory that the worker's process has had at most.

    Raises
    ------
    duckdb.Error
        As DuckDB gives it: what is wrong with the SQL is wrong in a build on one machine too.
    """
    started = time.monotonic()
    connection = duckdb.connect(config={"threads": 1})
    try:
        prepare(connection, task)
        files = write(connection, task)
    finally:
        connection.close()
    return {
        "number": task.number,
        "files": files,
        "seconds": time.monotonic() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def prepare(connection: duckdb.DuckDBPyConnection, task: Task) -> None:
    """Make what the SQL reads."""
    for name, value in task.settings.items():
        connection.execute(f"set {name} = {literal(value)}")
    connection.execute(f"attach ':memory:' as {quoted(task.database)}")
    connection.execute(f"use {quoted(task.database)}")
    sources = task.landing.get("sources", {})
    for name in (*task.tables, *sources.values(), *map(name_of_view, task.views)):
        connection.execute(f"create schema if not exists {name.rsplit('.', 1)[0]}")
    for name, files in task.tables.items():
        connection.execute(f"create view {name} as {query_of(files)}")
    if sources:
        read_landing(connection, task.landing)
    for statement in task.views:
        connection.execute(statement)


def name_of_view(statement: str) -> str:
    """Give the name in `CREATE VIEW name AS ...`, as DuckDB writes it."""
    return statement.split(" ", 3)[2]


def read_landing(connection: duckdb.DuckDBPyConnection, landing: dict[str, Any]) -> None:
    """Read landing files with the reader of a build on one machine."""
    from landing import stream_of  # noqa: PLC0415 - only staging needs it

    for form, name in landing["sources"].items():
        stream = stream_of(form, **{k: v for k, v in landing.items() if k != "sources"})
        connection.register("landing_stream", stream)
        connection.execute(f"create table {name} as select * from landing_stream")
        connection.unregister("landing_stream")


def write(connection: duckdb.DuckDBPyConnection, task: Task) -> list[dict[str, Any]]:
    """Write the result; give the files."""
    target = Path(task.target)
    query = f"select * from ({task.sql}) as share where {task.where}"
    if not task.partition_by:
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = connection.execute(f"copy ({query}) to {literal(target)} (format parquet)")
        return [{"path": str(target), "rows": rows.fetchone()[0]}]
    if BUCKET in task.partition_by:
        query = f"select *, (request_hash % {task.buckets})::integer as {BUCKET} from ({query})"
    target.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"copy ({query}) to {literal(target)} (format parquet, write_partition_columns true,"
        f" overwrite_or_ignore true, partition_by ({', '.join(task.partition_by)}))"
    )
    found = sorted(target.rglob("*.parquet"))
    return [{"path": str(path)} | keys_of(path, target) for path in found]


def keys_of(path: Path, folder: Path) -> dict[str, str | None]:
    """Give the values that a path names: ``event_date=2013-05-07/lake_bucket=3/data_0.parquet``."""
    pairs = (part.split("=", 1) for part in path.relative_to(folder).parts[:-1])
    return {name: None if value.startswith("__HIVE") else value for name, value in pairs}


def query_of(files: Iterable[str]) -> str:
    """Give a query of Parquet files, without the column by which requests are spread."""
    paths = ", ".join(literal(path) for path in files)
    return (
        f"select columns(lambda name: name <> '{BUCKET}')"
        f" from read_parquet([{paths}], hive_partitioning = false)"
    )


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """Quote a text for SQL."""
    return "'" + str(value).replace("'", "''") + "'"
