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

from sql_text import literal, quoted

#: The column by which requests are spread over files; no relation shows it.
BUCKET = "lake_bucket"
#: Types that Parquet does not have.
WIDE = ("HUGEINT", "UHUGEINT")


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
    schemas : list of str
        In which relations are.
    tables : dict of str to dict
        Of each relation that it reads, by qualified name, its Parquet ``files`` and the ``types``
        of its columns that Parquet does not have.
    views : list of str
        Statements that make the views that it reads, in order.
    landing : dict
        ``input``, ``folder``, ``file_paths``, ``monitored_models`` where it reads landing files,
        and ``sources``, the qualified names of their two forms.
    holds : list of str
        The landing files whose lines the result will have.
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
    schemas: list[str]
    tables: dict[str, dict[str, Any]]
    views: list[str]
    target: str
    landing: dict[str, Any] = field(default_factory=dict)
    holds: list[str] = field(default_factory=list)
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
        ``number``, ``files`` (what was written), ``types`` (of columns that Parquet does not have),
        ``seconds`` and ``peak_mb``, the memory that the worker's process has had at most.

    Raises
    ------
    duckdb.Error
        As DuckDB gives it: what is wrong with the SQL is wrong in a build on one machine too.
    """
    started = time.monotonic()
    connection = duckdb.connect(config={"threads": 1})
    try:
        prepare(connection, task)
        files, types = write(connection, task)
    finally:
        connection.close()
    return {
        "number": task.number,
        "files": files,
        "types": types,
        "seconds": time.monotonic() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def prepare(connection: duckdb.DuckDBPyConnection, task: Task) -> None:
    """Make what the SQL reads."""
    for name, value in task.settings.items():
        connection.execute(f"set {name} = {literal(value)}")
    connection.execute(f"attach ':memory:' as {quoted(task.database)}")
    connection.execute(f"use {quoted(task.database)}")
    for name in task.schemas:
        connection.execute(f"create schema {quoted(name)}")
    for name, table in task.tables.items():
        connection.execute(f"create view {name} as {query_of(**table)}")
    if task.landing:
        read_landing(connection, task.landing)
    for statement in task.views:
        connection.execute(statement)


def read_landing(connection: duckdb.DuckDBPyConnection, landing: dict[str, Any]) -> None:
    """Read landing files with the reader of a build on one machine."""
    from landing import stream_of

    for form, name in landing["sources"].items():
        wanted = ("input", "folder", "file_paths", "monitored_models")
        stream = stream_of(form, **{key: landing[key] for key in wanted})
        connection.register("landing_stream", stream)
        connection.execute(f"create table {name} as select * from landing_stream")
        connection.unregister("landing_stream")


def write(
    connection: duckdb.DuckDBPyConnection, task: Task
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Write the result; give the files, and the types that Parquet does not have."""
    target = Path(task.target)
    query, types = as_parquet(connection, f"select * from ({task.sql}) as share where {task.where}")
    if not task.partition_by:
        target.parent.mkdir(parents=True, exist_ok=True)
        connection.execute(f"copy ({query}) to {literal(target)} (format parquet)")
        return [{"path": str(target)}], types
    if BUCKET in task.partition_by:
        query = f"select *, (request_hash % {task.buckets})::integer as {BUCKET} from ({query})"
    target.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"copy ({query}) to {literal(target)} (format parquet, write_partition_columns true,"
        f" overwrite_or_ignore true, partition_by ({', '.join(task.partition_by)}))"
    )
    found = sorted(target.rglob("*.parquet"))
    return [{"path": str(path)} | keys_of(path, target) for path in found], types


def as_parquet(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[str, dict[str, str]]:
    """Cast what Parquet would round: whole numbers of 128 bits become doubles in it.

    Returns
    -------
    query : str
    types : dict of str to str
        Of the columns that were cast, as they were.
    """
    columns = connection.execute(f"describe {query}").fetchall()
    types = {name: kind for name, kind, *_ in columns if kind in WIDE}
    casts = ", ".join(f"{quoted(name)}::decimal(38, 0) as {quoted(name)}" for name in types)
    return (f"select * replace ({casts}) from ({query})" if types else query), types


def keys_of(path: Path, folder: Path) -> dict[str, str | None]:
    """Give the values that a path names: ``event_date=2013-05-07/lake_bucket=3/data_0.parquet``."""
    pairs = (part.split("=", 1) for part in path.relative_to(folder).parts[:-1])
    return {name: None if value.startswith("__HIVE") else value for name, value in pairs}


def query_of(files: Iterable[str], types: dict[str, str]) -> str:
    """Give a query of Parquet files, without the column by which requests are spread."""
    paths = ", ".join(literal(path) for path in files)
    casts = ", ".join(f"{quoted(name)}::{kind} as {quoted(name)}" for name, kind in types.items())
    source = f"(from read_parquet([{paths}], hive_partitioning = false))"
    if casts:
        source = f"(select * replace ({casts}) from {source})"
    return f"select columns(lambda name: name <> '{BUCKET}') from {source}"
