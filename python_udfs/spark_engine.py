"""Run the SQL of event-sized models on Spark: the dbt-duckdb plugin of the target ``spark``.

Spark moves the work, DuckDB does it: each worker runs the SQL of a model, as it stands, on a
share of the events (``event_tasks``). Relations of the size of the events are Parquet files in a
folder that driver and workers share, the lake; in the database they are views of these files, and
``lake_files`` says which they are. All others are tables of the database, as on one machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from event_tasks import Task, as_parquet, query_of
from sql_text import literal, quoted

#: What ``lake_files`` and ``lake_parts`` hold, which the macro prepare_lake makes. A part is what
#: one task has written.
LAKE_FILES = ("relation", "path", "part", "keys", "types")
LAKE_PARTS = ("relation", "part", "file_path")
#: A schema that only tasks have.
LAKE = "of the lake"
FORGOTTEN = f'"{LAKE}"."forgotten"'


class Plugin(BasePlugin):
    """Does what the macros in macros/engines/spark ask for, as ``adapter.store_relation``."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the folder of the lake, and where Spark is, from the profile."""
        default = Path(self.creds.path).with_suffix(".lake")
        self._folder = Path(plugin_config.get("lake") or default).resolve()
        self._shares = int(plugin_config.get("shares") or 8)
        self._buckets = int(plugin_config.get("buckets") or 4)
        # A worker's DuckDB is set as the driver's, but for its memory.
        self._settings = {name: str(value) for name, value in (self.creds.settings or {}).items()}
        if plugin_config.get("worker_memory"):
            self._settings["memory_limit"] = plugin_config["worker_memory"]
        self._cluster = Cluster(
            self._folder, plugin_config.get("remote"), plugin_config.get("master") or "local[2]"
        )

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Remember the connection, which dbt-duckdb closes and opens again between phases."""
        self._connection = conn

    def store(self, target_config: Any) -> None:
        """Plan or run a model, as ``action`` of the request says; leave in it what to do next.

        A plan leaves ``exports``, statements that write what the tasks read besides the lake: for
        the transaction of the model, which alone sees what its hooks have deleted. A run leaves
        ``query``, which gives the rows, ``statements``, which note the files of a relation of the
        lake, and ``said``, what to tell.

        Raises
        ------
        DbtRuntimeError
            If Spark cannot be reached, or a worker fails.
        """
        request = target_config.config
        if request["action"] == "plan":
            cursor = self._connection.cursor()
            try:
                lake = Lake(cursor, request, self._folder)
                request["exports"] = []
                request["plan"] = lake, list(self._tasks(cursor, lake, request))
            finally:
                cursor.close()
        else:
            self._run(request)

    def _run(self, request: dict[str, Any]) -> None:
        """Run what was planned."""
        started = time.monotonic()
        lake, tasks = request["plan"]
        done = self._cluster.run(request["name"], tasks) if tasks else []
        if request["partition_by"]:
            request["statements"], request["query"] = lake.replaced(tasks, done)
        elif done:
            found = [file["path"] for result in done for file in result["files"]]
            request["query"] = query_of(found, done[0]["types"])
        else:
            request["query"] = f"select * from ({request['sql']}) limit 0"
        request["said"] = (
            f"{request['name']}: {len(tasks)} shares by {request['share_by']} on Spark in"
            f" {time.monotonic() - started:.1f} s; the largest worker had"
            f" {max((result['peak_mb'] for result in done), default=0):.0f} MB"
        )

    def _tasks(self, cursor: Any, lake: Lake, request: dict[str, Any]) -> Iterator[Task]:
        """Give the shares of a model."""
        folder = lake.new_folder()
        inputs = Inputs(cursor, request, set(lake.files))
        small = inputs.exported(folder / "inputs", request["exports"])
        large = {name: lake.files[name] for name in inputs.tables if name in lake.files}
        for number, share in enumerate(self._shared(large, lake, request)):
            target = folder / f"part-{number:05d}"
            yield Task(
                number=number,
                sql=share.get("sql", request["sql"]),
                database=request["database"],
                schemas=[*request["schemas"], LAKE],
                tables=small | share.get("tables", {}),
                views=inputs.views,
                landing=share.get("landing", {}),
                holds=share.get("holds", []),
                where=share.get("where", "true"),
                target=str(target if request["partition_by"] else target.with_suffix(".parquet")),
                partition_by=request["partition_by"],
                buckets=self._buckets,
                settings=self._settings,
            )

    def _shared(
        self, large: dict[str, list[Any]], lake: Lake, request: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Give what each share reads of the lake or of the landing files, and which rows it has."""
        share_by = request["share_by"]
        if share_by == "whole":
            yield {"tables": {name: lake.table(name, files) for name, files in large.items()}}
        elif share_by == "landing_files":
            landing = request["landing"]
            for group in grouped(landing["file_paths"], self._shares):
                yield {"landing": landing | {"file_paths": group}, "holds": group}
            yield from lake.without(request["forgotten"])
        else:
            keys = sorted(
                {file["keys"].get(share_by) for files in large.values() for file in files} - {None}
            )
            if request["dates"] is not None:
                wanted = set(request["dates"])
                keys = [key for key in keys if key in wanted]
            # Dates are many, and a share takes several.
            count = self._shares if share_by == "event_date" else len(keys)
            for group in grouped(keys, count):
                tables = {
                    name: lake.table(name, [f for f in files if f["keys"].get(share_by) in group])
                    for name, files in large.items()
                }
                of_share = ", ".join(literal(key) for key in group)
                where = f"({request['where']})::varchar in ({of_share})"
                yield {"tables": tables, "where": where if request["where"] else "true"}


class Lake:
    """The files of relations of the size of the events, as the last build left them.

    Parameters
    ----------
    cursor : DuckDBPyConnection
    request : dict
        ``name`` and ``relation`` of a model, ``lake_schema`` (where ``lake_files`` is), and
        ``is_anew``: whether what the model left before is of no use.
    folder : Path

    Attributes
    ----------
    files : dict of str to list of dict
        Of each relation, ``path``, ``part``, ``keys`` and ``types``.
    """

    def __init__(self, cursor: Any, request: dict[str, Any], folder: Path):
        self._request, self._folder = request, folder
        self._relation = request["relation"]
        self._tables = f"{quoted(request['lake_schema'])}.lake_files"
        self._parts_table = f"{quoted(request['lake_schema'])}.lake_parts"
        self.files: dict[str, list[dict[str, Any]]] = {}
        rows = cursor.execute(
            f"select relation, path, part, keys, types from {self._tables} order by path"
        ).fetchall()
        for relation, path, part, keys, types in rows:
            file = {"path": path, "part": part, "keys": json.loads(keys) | {"part": part}}
            self.files.setdefault(relation, []).append(file | {"types": json.loads(types)})
        self._landed: dict[str, set[str]] = {}
        rows = cursor.execute(
            f"select part, file_path from {self._parts_table} where relation = $relation",
            {"relation": self._relation},
        ).fetchall()
        for part, file_path in rows:
            self._landed.setdefault(part, set()).add(file_path)
        self._own = [] if request["is_anew"] else self.files.get(self._relation, [])
        # The parts that stay; all is made anew unless `without` says otherwise.
        self._kept: set[str] = set()

    def new_folder(self) -> Path:
        """Make a folder for what a model writes; what no build has noted goes."""
        parent = self._folder / self._request["name"]
        # Also where all is made anew: until then the view is of the files of before.
        noted = {
            Path(file["path"]).relative_to(self._folder).parts[1]
            for file in self.files.get(self._relation, [])
        }
        if parent.exists():
            for folder in parent.iterdir():
                if folder.name not in noted:
                    shutil.rmtree(folder, ignore_errors=True)
        self._new = parent / str(time.time_ns())
        self._new.mkdir(parents=True)
        return self._new

    def table(self, name: str, files: list[dict[str, Any]]) -> dict[str, Any]:
        """Give some files of a relation, for a task."""
        types = self.files[name][0]["types"]
        return {"files": [file["path"] for file in files] or [self._empty(name)], "types": types}

    def without(self, forgotten: list[str]) -> Iterator[dict[str, Any]]:
        """Give a share for each part with lines of landing files that changed or are gone.

        All other parts stay as they are.
        """
        lost = set(forgotten)
        hit = {part for part in self._kept_before() if self._landed.get(part, set()) & lost}
        self._kept = self._kept_before() - hit
        if not hit:
            return
        path = self._new / "forgotten.parquet"
        with duckdb.connect() as connection:
            connection.execute(
                f"copy (select unnest($paths) as file_path) to {literal(path)} (format parquet)",
                {"paths": sorted(lost)},
            )
        for part in sorted(hit):
            own = [file for file in self._own if file["part"] == part]
            yield {
                "sql": f"select * from {self._relation} where file_path not in (from {FORGOTTEN})",
                "tables": {
                    self._relation: self.table(self._relation, own),
                    FORGOTTEN: {"files": [str(path)], "types": {}},
                },
                "holds": sorted(self._landed[part] - lost),
            }

    def _kept_before(self) -> set[str]:
        """Give the parts that the last build left."""
        return {file["part"] for file in self._own}

    def replaced(self, tasks: list[Task], done: list[dict[str, Any]]) -> tuple[list[str], str]:
        """Say how to note what has been written, and give the query of all rows.

        Returns
        -------
        statements : list of str
            For the transaction in which the view is made.
        query : str
        """
        kept = [file for file in self._own if file["part"] in self._kept]
        parts = {part: self._landed.get(part, set()) for part in self._kept}
        made = []
        for task, result in zip(tasks, done, strict=True):
            part = f"{self._new.name}-{task.number:05d}"
            parts[part] = set(task.holds)
            made += [
                {"path": file.pop("path"), "part": part, "keys": file, "types": result["types"]}
                for file in result["files"]
            ]
        files = kept + made
        notes = self._new / "files.json"
        with notes.open("w") as out:
            for file in files:
                text = {name: json.dumps(file[name]) for name in ("keys", "types")}
                json.dump({"relation": self._relation} | file | text, out)
                out.write("\n")
        landed = self._new / "parts.json"
        with landed.open("w") as out:
            for part, found in parts.items():
                for file_path in sorted(found):
                    row = {"relation": self._relation, "part": part, "file_path": file_path}
                    out.write(json.dumps(row) + "\n")
        statements = []
        for table, columns, path in (
            (self._tables, LAKE_FILES, notes), (self._parts_table, LAKE_PARTS, landed)
        ):  # fmt: skip
            statements.append(f"delete from {table} where relation = {literal(self._relation)}")
            if path.stat().st_size:
                typed = ", ".join(f"{name}: 'varchar'" for name in columns)
                statements.append(
                    f"insert into {table} select * from read_json({literal(path)},"
                    f" columns = {{{typed}}}, format = 'newline_delimited')"
                )
        if not files:
            return statements, f"select * from ({self._request['sql']}) limit 0"
        return statements, query_of([file["path"] for file in files], files[0]["types"])

    def _empty(self, name: str) -> str:
        """Give a file of a relation's columns without rows."""
        path = self._folder / "empty" / f"{name.replace(chr(34), '')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            source = (
                f"read_parquet({literal(self.files[name][0]['path'])}, hive_partitioning = false)"
            )
            connection.execute(f"copy (from {source} limit 0) to {literal(path)} (format parquet)")
        return str(path)


class Inputs:
    """What a query reads: tables, and the views on the way to them.

    Parameters
    ----------
    cursor : DuckDBPyConnection
    request : dict
        ``sql``, ``database``, ``schemas`` and ``landing``.
    lake : set of str
        The relations that are files.
    """

    def __init__(self, cursor: Any, request: dict[str, Any], lake: set[str]):
        self._cursor, self._lake = cursor, lake
        self._sources = set(request["landing"].get("sources", {}).values())
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
                {"database": request["database"], "schemas": request["schemas"]},
            ).fetchall()
        }
        self.tables: list[str] = []
        self.views: list[str] = []
        self._look(request["sql"], set())

    def _look(self, sql: str, seen: set[tuple[str, str]]) -> None:
        """Find the relations that a query names, and those that these need."""
        for relation, text in self._relations.items():
            schema, name = relation
            pattern = rf'"?\b{re.escape(schema)}"?\."?{re.escape(name)}\b"?'
            qualified = f"{quoted(schema)}.{quoted(name)}"
            # Of landing files a worker reads its own.
            if relation in seen or qualified in self._sources or not re.search(pattern, sql):
                continue
            seen.add(relation)
            if text is None or qualified in self._lake:
                self.tables.append(qualified)
            else:
                self._look(text.split(" AS ", 1)[1], seen)
                self.views.append(text)

    def exported(self, folder: Path, statements: list[str]) -> dict[str, dict[str, Any]]:
        """Say how to write the tables that are not in the lake as Parquet, and give the files."""
        folder.mkdir(parents=True)
        found = {}
        for name in self.tables:
            if name not in self._lake:
                path = folder / f"{name.replace(chr(34), '')}.parquet"
                query, types = as_parquet(self._cursor, f"select * from {name}")
                statements.append(f"copy ({query}) to {literal(path)} (format parquet)")
                found[name] = {"files": [str(path)], "types": types}
        return found


class Cluster:
    """Spark: over Spark Connect where ``remote`` says, else in this process.

    Parameters
    ----------
    folder : Path
        The lake, which workers see too.
    remote : str or None
        Such as ``sc://host:15002``.
    master : str
        Such as ``local[2]``.
    """

    def __init__(self, folder: Path, remote: str | None, master: str):
        self._folder, self._remote, self._master = folder, remote, master
        self._spark: Any = None
        # Models are built side by side.
        self._starting = threading.Lock()

    def run(self, name: str, tasks: list[Task]) -> list[dict[str, Any]]:
        """Run tasks, each as a task of Spark; give what ``run_task`` gives."""
        with self._starting:
            spark = self._session()
        plan = self._folder / "tasks" / f"{name}-{time.time_ns()}"
        plan.mkdir(parents=True)
        for task in tasks:
            (plan / f"{task.number}.json").write_text(json.dumps(task.as_dict()))
        try:
            rows = (
                spark.range(0, len(tasks), 1, numPartitions=len(tasks))
                .mapInArrow(work_of(str(plan)), "result string")
                .collect()
            )
        except Exception as error:
            raise DbtRuntimeError(f"A worker failed at {name}: {reason_of(error)}") from error
        shutil.rmtree(plan)
        return sorted((json.loads(row["result"]) for row in rows), key=lambda done: done["number"])

    def _session(self) -> Any:
        """Connect to Spark, once."""
        if self._spark is not None:
            return self._spark
        # It warns about pandas, which no task uses.
        warnings.filterwarnings("ignore", message=".*pandas >= 3", category=FutureWarning)
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise DbtRuntimeError(
                "The target spark needs pyspark, which is not installed:"
                " pip install -r requirements-spark.txt"
            ) from error
        # Else workers take the machine's Python, which lacks DuckDB.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName("ml-monitoring")
        if self._remote:
            builder = builder.remote(self._remote)
        else:
            builder = builder.master(self._master)
            builder = builder.config("spark.ui.showConsoleProgress", "false")
            builder = builder.config("spark.ui.enabled", "false")
        try:
            if self._remote:
                self._knock()
            spark = builder.getOrCreate()
            self._send_code(spark)
        except Exception as error:
            where = self._remote or self._master
            raise DbtRuntimeError(
                f"Spark cannot be reached at {where} ({reason_of(error)})."
            ) from error
        self._spark = spark
        return spark

    def _knock(self) -> None:
        """Fail at once where nobody listens: Spark's client tries for many minutes."""
        address = urlsplit(self._remote)
        with socket.create_connection((address.hostname, address.port or 15002), timeout=10):
            pass

    def _send_code(self, spark: Any) -> None:
        """Send workers the modules that they need."""
        archive = self._folder / "worker.zip"
        archive.parent.mkdir(parents=True, exist_ok=True)
        here = Path(__file__).parent
        with zipfile.ZipFile(archive, "w") as file:
            for name in ("event_tasks.py", "landing.py", "sql_text.py"):
                file.write(here / name, name)
        if self._remote:
            spark.addArtifacts(str(archive), pyfile=True)
        else:
            spark.sparkContext.addPyFile(str(archive))


def work_of(folder: str) -> Any:
    """Give the function that a worker runs: of a number, the task of that number."""

    def work(batches: Iterable[Any]) -> Iterator[Any]:
        # Pickled with the function: a worker has no other module of the driver.
        import json
        from pathlib import Path

        import pyarrow as pa

        from event_tasks import Task, run_task

        for batch in batches:
            found = []
            for number in batch.column(0).to_pylist():
                task = json.loads((Path(folder) / f"{number}.json").read_text())
                found.append(json.dumps(run_task(Task(**task))))
            yield pa.RecordBatch.from_pydict({"result": found})

    return work


def grouped(items: list[Any], count: int) -> list[list[Any]]:
    """Split items into at most so many groups of neighbours, as alike in size as can be."""
    count = min(count, len(items))
    bounds = [len(items) * n // count for n in range(count + 1)] if count else []
    return [items[first:last] for first, last in pairwise(bounds)]


def reason_of(error: Exception) -> str:
    """Give the line of a worker's traceback that says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"^[\w.]*(Error|Exception)\b", line)]
    return (told or lines or [type(error).__name__])[0]
