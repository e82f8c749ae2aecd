"""Publish the public tables to a file of their own: the dbt-duckdb plugin.

While a process writes to a DuckDB file no other can open it. So at its end a build copies what is
public to a second file, which readers may open at any moment: see ``double_buffer`` for the files,
``published_relations`` for what is in them. Only what has changed is copied.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from build_lock import acquire
from double_buffer import CURRENT, MARK, SPARE, DoubleBuffer, ForeignFileError, HeldFileError
from published_relations import WHOLE_ROW, Plan, Project, Relation, plan

#: Builds of two databases can only meet in one published file by mistake.
LOCK_WAIT_SECONDS = 60
CURE = (
    "Name another file (ML_MONITORING_PUBLISHED_PATH=/srv/data/bi.duckdb dbt build), or do without"
    " (var publish: false)."
)


class Plugin(BasePlugin):
    """Does what the macros in macros/publishing ask for, as ``adapter.store_relation``."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the path of the published file from the profile; by default beside the database."""
        database = Path(self.creds.path)
        default = database.with_name(f"{database.stem}_published.duckdb")
        self._path = Path(plugin_config.get("path") or default)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Remember the connection, which dbt-duckdb closes and opens again between phases."""
        self._connection = conn

    def store(self, target_config: Any) -> None:
        """Check or publish, as ``action`` of the request says; leave an answer in ``said``."""
        request = target_config.config
        project = Project(request["nodes"], request["schema"])
        connection = self._connection.cursor()
        try:
            if request["action"] == "check":
                self._check(connection, project, request["schema"])
            else:
                request["said"] = self._publish(connection, project, request)
        finally:
            connection.close()

    def _check(self, connection: Any, project: Project, schema: str) -> None:
        """Refuse, before anything is built, what could not be published."""
        mistakes = project.mistakes()
        if mistakes:
            raise DbtRuntimeError(
                "Not all that is public can be published.\n\n  " + "\n\n  ".join(mistakes)
            )
        path = self._path.resolve()
        if path == Path(self.creds.path).resolve():
            raise DbtRuntimeError(f"{self._path} is the database itself; publish to another file.")
        if path.stem in (schema, f"{schema}_internal"):
            raise DbtRuntimeError(
                f"The published file and a schema in it are both named `{path.stem}`, and DuckDB"
                f" cannot tell them apart.\n\n  {CURE}"
            )
        if not path.parent.is_dir():
            raise DbtRuntimeError(
                f"There is no folder {path.parent} to publish to. Make it.\n\n  {CURE}"
            )
        buffer = DoubleBuffer(connection, self._path)
        try:
            self._attach_current(buffer)
        finally:
            buffer.detach()

    def _attach_current(self, buffer: DoubleBuffer) -> bool:
        try:
            return buffer.attach_current()
        except ForeignFileError as error:
            raise DbtRuntimeError(
                f"{self._path} is not a file that this project has published, and will not be"
                f" overwritten ({error}).\n\n  Remove it, if nobody needs it. Or: {CURE}"
            ) from error

    def _publish(self, connection: Any, project: Project, request: dict[str, Any]) -> str:
        """Publish what the run has made; return what to tell."""
        started = time.monotonic()
        buffer = DoubleBuffer(connection, self._path)
        acquire(buffer.spare, LOCK_WAIT_SECONDS)
        try:
            held = relations_in(connection, CURRENT) if self._attach_current(buffer) else {}
            wanted = plan(project, request["statuses"], set(held))
            if wanted.problem:
                return f"Not published: {wanted.problem}. {what_readers_keep(connection, held)}"
            if not wanted.fresh:
                return ""
            is_from_scratch = request["full_refresh"] and not wanted.kept
            buffer.attach_spare(is_empty=is_from_scratch)
            connection.begin()
            try:
                self._fill_spare(connection, project, wanted)
                write_mark(connection, project, wanted, request)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            buffer.swap()
        except HeldFileError as error:
            return f"Not published: {self._path} cannot be replaced while it is open ({error})."
        finally:
            buffer.detach()
        return (
            f"Published {len(wanted.fresh)} relations to {self._path}"
            f" in {time.monotonic() - started:.1f} s"
        )

    def _fill_spare(self, connection: Any, project: Project, wanted: Plan) -> None:
        """Make the spare hold what is to be published, and nothing else."""
        # What this run has not made stays as it is published; the spare may be older than that.
        sources = {
            project.relation(key): self.creds.database if key in wanted.moved else CURRENT
            for key in project.reads(wanted.fresh + wanted.kept)
        }
        tables = {relation.place for relation in sources if not relation.is_view}
        # Views are made anew each time: that costs little, and their columns are always right.
        for place, is_view in relations_in(connection, SPARE).items():
            if is_view or place not in tables:
                kind = "view" if is_view else "table"
                connection.execute(f"drop {kind} {name_of(SPARE, *place)}")
        for schema in sorted({relation.schema for relation in sources}):
            connection.execute(f"create schema if not exists {name_of(SPARE, schema)}")
        for relation, source in sources.items():
            if not relation.is_view:
                copy_table(connection, relation, source)
        # The text of a view names no database: read inside the spare, it means the spare.
        texts = [
            view_text(connection, relation, source)
            for relation, source in sources.items()
            if relation.is_view
        ]
        connection.execute(f"use {SPARE}")
        for text in texts:
            connection.execute(text)
        connection.execute(f"use {name_of(self.creds.database)}")


def name_of(*parts: str) -> str:
    """Return a name as SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def relations_in(connection: Any, database: str) -> dict[tuple[str, str], bool]:
    """Return the published relations in a database, by schema and name: whether it is a view."""
    rows = connection.execute(
        """
        select schema_name, table_name, false from duckdb_tables() where database_name = $database
        union all
        select schema_name, view_name, true from duckdb_views()
        where database_name = $database and not internal
        """,
        {"database": database},
    ).fetchall()
    return {(schema, name): is_view for schema, name, is_view in rows if name != MARK}


def columns_of(connection: Any, database: str, relation: Relation) -> list[tuple[str, str]]:
    """Return the names and types of the columns of a table, in order; none if it is not there."""
    return connection.execute(
        """
        select column_name, data_type from duckdb_columns()
        where database_name = ? and schema_name = ? and table_name = ?
        order by column_index
        """,
        [database, *relation.place],
    ).fetchall()


def view_text(connection: Any, relation: Relation, database: str) -> str:
    """Return the statement that creates a view."""
    found = connection.execute(
        "select sql from duckdb_views() where database_name = ? and schema_name = ?"
        " and view_name = ?",
        [database, *relation.place],
    ).fetchone()
    return found[0]


def copy_table(connection: Any, relation: Relation, database: str) -> None:
    """Bring a table of the spare up to date: the units that differ, or all of it."""
    source = name_of(database, *relation.place)
    target = name_of(SPARE, *relation.place)
    columns = columns_of(connection, database, relation)
    if relation.unit and columns == columns_of(connection, SPARE, relation):
        unit = relation.unit if relation.unit != (WHOLE_ROW,) else [name for name, _ in columns]
        copy_units(connection, source, target, [name_of(column) for column in unit])
        count = "select count(*) from {}"
        if read_value(connection, count.format(source)) == read_value(
            connection, count.format(target)
        ):
            return
    connection.execute(f"create or replace table {target} as from {source}")


def copy_units(connection: Any, source: str, target: str, unit: list[str]) -> None:
    """Delete the units that the source no longer has, and copy those that the target lacks."""
    columns = ", ".join(unit)
    is_same = " and ".join(f"rows.{column} is not distinct from units.{column}" for column in unit)
    units_of = f"select distinct {columns} from {{}}"
    for name, ours, others in (("gone", target, source), ("new", source, target)):
        connection.execute(
            f"create or replace temp table {name}_units as"
            f" {units_of.format(ours)} except {units_of.format(others)}"
        )
    if read_value(connection, "select count(*) from gone_units"):
        connection.execute(
            f"delete from {target} as rows using gone_units as units where {is_same}"
        )
    if read_value(connection, "select count(*) from new_units"):
        connection.execute(
            f"insert into {target}"
            f" select rows.* from {source} as rows inner join new_units as units on {is_same}"
        )


def read_value(connection: Any, sql: str) -> Any:
    """Run a query that gives one value."""
    return connection.execute(sql).fetchone()[0]


def write_mark(connection: Any, project: Project, wanted: Plan, request: dict[str, Any]) -> None:
    """Say in the spare, for each public relation, which build it is of."""
    mark = name_of(SPARE, request["schema"], MARK)
    kept = [project.relation(key).name for key in wanted.kept]
    connection.execute(
        f"""
        create or replace table {mark} (
            relation_name varchar, as_of timestamp, published_at timestamp, invocation_id varchar
        )
        """
    )
    if kept:
        current = name_of(CURRENT, request["schema"], MARK)
        connection.execute(
            f"insert into {mark} from {current} where list_contains(?, relation_name)", [kept]
        )
    connection.execute(
        f"insert into {mark} select unnest(?), ?::timestamp, ?, ?",
        [
            [project.relation(key).name for key in wanted.fresh],
            request["as_of"],
            datetime.now(UTC).replace(tzinfo=None),
            request["invocation_id"],
        ],
    )


def what_readers_keep(connection: Any, held: dict[tuple[str, str], bool]) -> str:
    """Say which tables readers go on with."""
    if not held:
        return "Nothing is published yet."
    place = connection.execute(
        "select schema_name from duckdb_tables() where database_name = ? and table_name = ?",
        [CURRENT, MARK],
    ).fetchone()
    as_of, published_at = connection.execute(
        "select max(as_of)::timestamp(0)::varchar, max(published_at)::timestamp(0)::varchar"
        f" from {name_of(CURRENT, place[0], MARK)}"
    ).fetchone()
    return f"Readers keep the tables as of {as_of} UTC, published at {published_at} UTC."
