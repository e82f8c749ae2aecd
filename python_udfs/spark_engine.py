"""Run the SQL of event-sized models on Spark: the dbt-duckdb plugin of the target ``spark``.

Spark moves the work, DuckDB does it: each worker runs the SQL of a model, as it stands, on a
share of the events (``event_tasks``). Relations of the size of the events are Parquet files in a
folder that driver and workers share, the lake; in the database they are views of these files. All
others are tables of the database, as on one machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from event_tasks import BUCKET, Task, query_of, quoted

#: By what a model may be shared out: the key of the lake's files that its shares are made of.
SHARES = ("landing_files", "event_date", BUCKET, "part", "whole")
RESULTS = "result: string"


class Plugin(BasePlugin):
    """Does what the macros in macros/engines/spark ask for, as ``adapter.store_relation``."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the folder of the lake, and where Spark is, from the profile."""
        default = Path(self.creds.path).with_suffix(".lake")
        self._lake = Path(plugin_config.get("lake") or default).resolve()
        self._remote = plugin_config.get("remote") or None
        self._master = plugin_config.get("master") or "local[2]"
        self._buckets = int(plugin_config.get("buckets") or 4)
        self._shares = int(plugin_config.get("shares") or 8)
        self._memory = plugin_config.get("worker_memory") or ""
        self._spark = None
        self._files: dict[str, list[dict[str, Any]]] = {}

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Remember the connection, which dbt-duckdb closes and opens again between phases."""
        self._connection = conn

    def store(self, target_config: Any) -> None:
        """Run a model; leave the query of its rows in ``query``, and what is to tell in ``said``.

        Raises
        ------
        DbtRuntimeError
            If Spark cannot be reached, or a worker fails.
        """
        request = target_config.config
        started = time.monotonic()
        cursor = self._connection.cursor()
        try:
            tasks = list(self._tasks(cursor, request))
        finally:
            cursor.close()
        done = self._run(request["name"], tasks) if tasks else []
        files = [file for result in done for file in result["files"]]
        request["query"] = self._query(request, files)
        request["said"] = (
            f"{request['name']}: {len(tasks)} shares by {request['share_by']} on Spark,"
            f" {len(files)} files, {time.monotonic() - started:.1f} s; the largest worker had"
            f" {max((result['peak_mb'] for result in done), default=0):.0f} MB"
        )

    # What there is to do

    def _tasks(self, cursor: Any, request: dict[str, Any]) -> Iterator[Task]:
        """Give the shares of a model."""
        share_by = request["share_by"]
        folder = self._new_folder(request["name"])
        inputs = Inputs(cursor, request)
        small = inputs.exported(folder / "inputs", set(self._files))
        large = {name: self._files[name] for name in inputs.tables if name in self._files}
        common = {
            "sql": request["sql"],
            "database": request["database"],
            "views": inputs.views,
            "partition_by": request["partition_by"],
            "buckets": self._buckets,
            "settings": {"TimeZone": "UTC", "perfect_ht_threshold": "24"}
            | ({"memory_limit": self._memory} if self._memory else {}),
        }
        for number, (files, landing, where) in enumerate(self._shared(share_by, large, request)):
            target = folder / f"part-{number:05d}"
            yield Task(
                number=number,
                tables=small | files,
                landing=landing,
                where=where,
                target=str(target if request["partition_by"] else target.with_suffix(".parquet")),
                **common,
            )

    def _shared(
        self, share_by: str, large: dict[str, list[dict[str, Any]]], request: dict[str, Any]
    ) -> Iterator[tuple[dict[str, list[str]], dict[str, Any], str]]:
        """Give what each share reads of the lake and of the landing files, and which rows it has."""
        if share_by == "whole":
            yield {name: paths(files) for name, files in large.items()}, {}, "true"
        elif share_by == "landing_files":
            landing = request["landing"]
            for group in grouped(landing["file_paths"], self._shares):
                yield {}, landing | {"file_paths": group}, "true"
        else:
            for name, files in large.items():
                if any(share_by not in file for file in files):
                    raise DbtRuntimeError(
                        f"{request['name']} cannot be shared by {share_by}: {name} is not."
                    )
            keys = sorted(
                {file[share_by] for files in large.values() for file in files} - {None}
            )
            groups = grouped(keys, self._shares) if share_by == "event_date" else [[k] for k in keys]
            for group in groups:
                chosen = {
                    name: paths([file for file in files if file[share_by] in group])
                    or [self._empty(name)]
                    for name, files in large.items()
                }
                where = "true"
                if request["where"]:
                    found = ", ".join(f"'{key}'" for key in group)
                    where = f"({request['where']})::varchar in ({found})"
                yield chosen, {}, where

    def _empty(self, name: str) -> str:
        """Give a file of a relation's columns without rows."""
        path = self._lake / "empty" / f"{name.replace(chr(34), '')}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with duckdb.connect() as connection:
                query = f"{query_of([self._files[name][0]['path']])} limit 0"
                connection.execute(f"copy ({query}) to '{path}' (format parquet)")
        return str(path)

    def _query(self, request: dict[str, Any], files: list[dict[str, Any]]) -> str:
        """Give a query of a model's rows; those of the lake are known from now on."""
        if request["partition_by"]:
            known = [
                file | {"part": Path(file["path"]).relative_to(self._lake).parts[2]}
                for file in files
            ]
            self._files[request["relation"]] = known
        if not files:
            return f"select * from ({request['sql']}) limit 0"
        return query_of(paths(files))

    def _new_folder(self, name: str) -> Path:
        """Make a folder for a model's files."""
        folder = self._lake / name / f"{time.time_ns()}"
        folder.mkdir(parents=True)
        return folder

    # Spark

    def _session(self) -> Any:
        """Connect to Spark, once."""
        if self._spark is None:
            try:
                from pyspark.sql import SparkSession  # noqa: PLC0415 - only this target needs it
            except ImportError as error:
                raise DbtRuntimeError(
                    "The target spark needs pyspark: pip install -r requirements-spark.txt"
                ) from error
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            builder = SparkSession.builder.appName("ml-monitoring")
            builder = builder.config("spark.ui.showConsoleProgress", "false")
            builder = builder.remote(self._remote) if self._remote else builder.master(self._master)
            try:
                self._spark = builder.getOrCreate()
            except Exception as error:
                where = self._remote or self._master
                raise DbtRuntimeError(
                    f"Spark cannot be reached at {where} ({str(error).splitlines()[0]})."
                ) from error
            self._send_code()
        return self._spark

    def _send_code(self) -> None:
        """Send workers the modules that they need."""
        archive = self._lake / "worker.zip"
        archive.parent.mkdir(parents=True, exist_ok=True)
        here = Path(__file__).parent
        with zipfile.ZipFile(archive, "w") as file:
            for name in ("event_tasks.py", "landing.py"):
                file.write(here / name, name)
        if self._remote:
            self._spark.addArtifacts(str(archive), pyfile=True)
        else:
            self._spark.sparkContext.addPyFile(str(archive))

    def _run(self, name: str, tasks: list[Task]) -> list[dict[str, Any]]:
        """Run tasks, each as a task of Spark."""
        spark = self._session()
        plan = self._lake / "tasks" / f"{name}-{time.time_ns()}"
        plan.mkdir(parents=True)
        for task in tasks:
            (plan / f"{task.number}.json").write_text(json.dumps(task.as_dict()))
        folder = str(plan)

        def work(batches: Iterable[Any]) -> Iterator[Any]:
            import json as in_worker  # noqa: PLC0415 - pickled with the function
            from pathlib import Path as InWorker  # noqa: N814, PLC0415

            import pyarrow as pa  # noqa: PLC0415
            from event_tasks import Task as Share, run_task as run  # noqa: PLC0415

            for batch in batches:
                found = []
                for number in batch.column(0).to_pylist():
                    text = (InWorker(folder) / f"{number}.json").read_text()
                    found.append(in_worker.dumps(run(Share(**in_worker.loads(text)))))
                yield pa.RecordBatch.from_pydict({"result": found})

        try:
            rows = (
                spark.range(0, len(tasks), 1, numPartitions=len(tasks))
                .mapInArrow(work, RESULTS)
                .collect()
            )
        except Exception as error:
            raise DbtRuntimeError(f"A worker failed at {name}: {reason_of(error)}") from error
        shutil.rmtree(plan)
        return [json.loads(row["result"]) for row in rows]


class Inputs:
    """What a query reads: tables, and the views on the way to them.

    Parameters
    ----------
    cursor : DuckDBPyConnection
    request : dict
        ``sql``, ``database`` and ``schemas``.
    """

    def __init__(self, cursor: Any, request: dict[str, Any]):
        self._cursor = cursor
        self._schemas = request["schemas"]
        self._relations = {
            (schema, name): text
            for schema, name, text in cursor.execute(
                """
                select schema_name, view_name, sql from duckdb_views()
                where database_name = $database and schema_name in $schemas
                union all
                select schema_name, table_name, null from duckdb_tables()
                where database_name = $database and schema_name in $schemas
                """,
                {"database": request["database"], "schemas": self._schemas},
            ).fetchall()
        }
        self.tables: list[str] = []
        self.views: list[str] = []
        self._lake_views = set(request["lake_views"])
        self._sources = set(request["landing"].get("sources", {}).values())
        self._look(request["sql"], set())

    def _look(self, sql: str, seen: set[tuple[str, str]]) -> None:
        """Find the relations that a query names, and those that these need."""
        for relation, text in self._relations.items():
            schema, name = relation
            pattern = rf'"?\b{re.escape(schema)}"?\."?{re.escape(name)}\b"?'
            if relation in seen or not re.search(pattern, sql):
                continue
            seen.add(relation)
            qualified = f"{quoted(schema)}.{quoted(name)}"
            if qualified in self._sources:
                # A worker reads its own files.
                continue
            if text is None or qualified in self._lake_views:
                self.tables.append(qualified)
            else:
                self._look(text.split(" AS ", 1)[1], seen)
                self.views.append(text)

    def exported(self, folder: Path, lake: set[str]) -> dict[str, list[str]]:
        """Write the tables that are not in the lake as Parquet; give their files."""
        folder.mkdir(parents=True)
        found = {}
        for name in self.tables:
            if name not in lake:
                path = folder / f"{name.replace(chr(34), '')}.parquet"
                self._cursor.execute(f"copy (select * from {name}) to '{path}' (format parquet)")
                found[name] = [str(path)]
        return found


def paths(files: list[dict[str, Any]]) -> list[str]:
    """Give the paths of files."""
    return [file["path"] for file in files]


def grouped(items: list[Any], count: int) -> list[list[Any]]:
    """Split items into at most so many groups of neighbours, as alike in size as can be."""
    count = min(count, len(items))
    bounds = [len(items) * n // count for n in range(count + 1)] if count else []
    return [items[first:last] for first, last in zip(bounds, bounds[1:], strict=False)]


def reason_of(error: Exception) -> str:
    """Give the line of a worker's traceback that says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"^[\w.]*(Error|Exception)\b", line)]
    return (told or lines or [type(error).__name__])[0]


