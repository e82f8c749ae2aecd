"""Shares of the events: what workers write is what one query gives."""

import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_tasks import BUCKET, Task, as_parquet, query_of, run_task
from spark_engine import LAKE, Inputs, Lake, grouped, reason_of
from sql_text import literal, quoted

RELATION = '"raw"."events"'
DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(4)]
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "request_hash": st.integers(0, 2**64 - 1) | st.none(),
            "event_date": st.sampled_from(DAYS) | st.none(),
            "wide": st.integers(-(2**127) + 1, 2**127 - 1) | st.none(),
            "score": st.floats(allow_nan=True) | st.none(),
            "name": st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.none(),
        }
    ),
    min_size=1,
    max_size=40,
)
COLUMNS = "request_hash ubigint, event_date date, wide hugeint, score double, name varchar"


def table_of(rows: list[dict]) -> duckdb.DuckDBPyConnection:
    """A database with the rows: as text, since 128 bits have no type in Python's."""
    connection = duckdb.connect()
    connection.execute(f"create schema raw; create table raw.events ({COLUMNS})")
    for row in rows:
        connection.execute(
            "insert into raw.events values ($hash::ubigint, $day, $wide::hugeint, $score, $name)",
            {
                "hash": None if row["request_hash"] is None else str(row["request_hash"]),
                "day": row["event_date"],
                "wide": None if row["wide"] is None else str(row["wide"]),
                "score": row["score"],
                "name": row["name"],
            },
        )
    return connection


def counted(connection: duckdb.DuckDBPyConnection, query: str) -> Counter:
    """Rows as text, however often: NaN equals itself there."""
    return Counter(map(str, connection.execute(query).fetchall()))


@settings(max_examples=25, deadline=None)
@given(EVENTS, st.integers(1, 4))
def test_what_a_share_writes_is_what_was_read(tmp_path_factory, rows, buckets):
    folder = tmp_path_factory.mktemp("lake")
    connection = table_of([row for row in rows if abs(row["wide"] or 0) < 10**38])
    source = folder / "source.parquet"
    query, types = as_parquet(connection, "select * from raw.events")
    assert types == {"wide": "HUGEINT"}
    connection.execute(f"copy ({query}) to '{source}' (format parquet)")
    task = Task(
        number=0,
        sql=f"select * from main_db.{RELATION}",
        database="main_db",
        schemas=["raw"],
        tables={RELATION: {"files": [str(source)], "types": types}},
        views=[],
        target=str(folder / "out"),
        partition_by=["event_date", BUCKET],
        buckets=buckets,
    )
    done = run_task(Task(**json.loads(json.dumps(task.as_dict()))))
    files = [file["path"] for file in done["files"]]
    if not files:
        assert connection.execute("select count(*) from raw.events").fetchall() == [(0,)]
        return
    found = counted(connection, query_of(files, done["types"]))
    assert found == counted(connection, "select * from raw.events")
    described = connection.execute(f"describe {query_of(files, done['types'])}").fetchall()
    assert [row[:2] for row in described] == [
        row[:2] for row in connection.execute("describe raw.events").fetchall()
    ]
    # All lines of a request are in files of one bucket, all events of a date in its own.
    for file in done["files"]:
        own = f"read_parquet('{file['path']}', hive_partitioning = false)"
        places = connection.execute(
            f"select distinct event_date::varchar, (request_hash % {buckets})::varchar from {own}"
        ).fetchall()
        assert places == [(file["event_date"], file[BUCKET])]


def test_a_share_keeps_what_is_its_own(tmp_path):
    task = Task(
        number=3,
        sql="select unnest(['2024-01-01', '2024-01-02'])::date as event_date",
        database="d",
        schemas=[],
        tables={},
        views=[],
        target=str(tmp_path / "part.parquet"),
        where="(event_date)::varchar in ('2024-01-02')",
    )
    done = run_task(task)
    (file,) = done["files"]
    rows = duckdb.connect().execute(f"from '{file['path']}'").fetchall()
    assert rows == [(date(2024, 1, 2),)] and done["peak_mb"] > 10


def test_views_are_made_in_their_order_and_names_are_quoted(tmp_path):
    name = 'a "b"; drop'
    connection = duckdb.connect()
    connection.execute(f"copy (select 7 as x) to {literal(tmp_path / 's.parquet')}")
    relation = f'"raw".{quoted(name)}'
    task = Task(
        number=0,
        sql='select x + y as z from "raw"."twice"',
        database='my "db"',
        schemas=["raw"],
        tables={relation: {"files": [str(tmp_path / "s.parquet")], "types": {}}},
        views=[
            f"CREATE VIEW raw.once AS SELECT x FROM {relation};",
            "CREATE VIEW raw.twice AS SELECT x, x AS y FROM raw.once;",
        ],
        target=str(tmp_path / "out.parquet"),
    )
    (file,) = run_task(task)["files"]
    assert connection.execute(f"from '{file['path']}'").fetchall() == [(14,)]


@given(st.lists(st.integers()), st.integers(1, 9))
def test_groups_hold_everything_in_order_and_alike(items, count):
    groups = grouped(items, count)
    assert [item for group in groups for item in group] == items
    assert len(groups) == min(count, len(items))
    sizes = {len(group) for group in groups}
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_the_reason_is_the_line_that_says_it():
    text = (
        'Traceback\n  File "x", line 1\n_duckdb.BinderException: Binder Error: no column a\n at y'
    )
    assert reason_of(RuntimeError(text)) == "_duckdb.BinderException: Binder Error: no column a"
    assert reason_of(RuntimeError()) == "RuntimeError"


# What the lake consists of


@pytest.fixture
def database():
    connection = duckdb.connect()
    connection.execute("""
        create schema internal;
        create table internal.lake_files
            (relation varchar, path varchar, part varchar, keys varchar, types varchar);
        create table internal.lake_parts (relation varchar, part varchar, file_path varchar)
    """)
    return connection


def lake_of(database, folder: Path, is_anew: bool = False) -> Lake:
    request = {
        "name": "stg_lines", "relation": RELATION, "lake_schema": "internal",
        "is_anew": is_anew, "share_by": "landing_files", "sql": "select 1",
    }  # fmt: skip
    return Lake(database.cursor(), request, folder)


def write(folder: Path, shares: list[dict]) -> tuple[list[Task], list[dict]]:
    """Do what workers would: a line for each landing file of a share."""
    tasks, done = [], []
    for number, share in enumerate(shares):
        target = folder / f"part-{number:05d}"
        task = Task(
            number=number, sql=share.get("sql", ""), database="d", schemas=["raw", LAKE],
            views=[], target=str(target), tables=share.get("tables", {}),
            landing=share.get("landing", {}), holds=share.get("holds", []),
            partition_by=["event_date"],
        )  # fmt: skip
        if share.get("landing"):
            names = share["landing"]["file_paths"]
            rows = pa.table({"file_path": names, "event_date": [DAYS[0]] * len(names)})
            database = duckdb.connect()
            database.register("rows", rows)
            task.sql = "select * from rows_of"
            target.mkdir()
            path = target / "event_date=2024-01-01" / "data_0.parquet"
            path.parent.mkdir()
            database.execute(f"copy (from rows) to '{path}' (format parquet)")
            done.append({
                "number": number, "types": {},
                "files": [{"path": str(path), "event_date": "2024-01-01"}],
            })  # fmt: skip
        else:
            done.append(run_task(task))
        tasks.append(task)
    return tasks, done


def build(database, folder: Path, changed: list[str], forgotten: list[str], is_anew=False) -> str:
    """One build of a staging model; gives the query of its view."""
    lake = lake_of(database, folder, is_anew)
    target = lake.new_folder()
    shares = [{"landing": {"file_paths": group}, "holds": group} for group in grouped(changed, 2)]
    shares += list(lake.without(forgotten))
    statements, query = lake.replaced(*write(target, shares))
    for statement in statements:
        database.execute(statement)
    return query


def held(database, query: str) -> list[str]:
    return sorted(row[0] for row in database.execute(f"select file_path from ({query})").fetchall())


def test_changed_and_vanished_files_leave_the_lake(database, tmp_path):
    query = build(database, tmp_path, ["a", "b", "c", "d"], [])
    assert held(database, query) == ["a", "b", "c", "d"]
    # b has changed, c is gone, e is new; the parts of the others stay as they are.
    before = lake_of(database, tmp_path).files[RELATION]
    query = build(database, tmp_path, ["b", "e"], ["b", "c"])
    assert held(database, query) == ["a", "b", "d", "e"]
    # Nothing new: nothing is written, and nothing of use is removed.
    query = build(database, tmp_path, [], [])
    assert held(database, query) == ["a", "b", "d", "e"]
    query = build(database, tmp_path, ["f"], [], is_anew=True)
    assert held(database, query) == ["f"]
    assert not {file["path"] for file in before} & {
        file["path"] for file in lake_of(database, tmp_path).files[RELATION]
    }


def test_a_build_that_noted_nothing_leaves_the_one_before(database, tmp_path):
    query = build(database, tmp_path, ["a", "b"], [])
    lake = lake_of(database, tmp_path)
    lost = lake.new_folder()
    write(lost, [{"landing": {"file_paths": ["b"]}}])
    # Killed here. What it wrote goes with the next build.
    assert held(database, query) == ["a", "b"]
    query = build(database, tmp_path, ["c"], [])
    assert held(database, query) == ["a", "b", "c"] and not lost.exists()


def test_a_killed_full_refresh_leaves_the_files_of_before(database, tmp_path):
    query = build(database, tmp_path, ["a", "b"], [])
    lake_of(database, tmp_path, is_anew=True).new_folder()
    # Killed here: the view still is of these files.
    assert held(database, query) == ["a", "b"]


def test_inputs_are_what_a_query_names_and_what_its_views_need():
    connection = duckdb.connect()
    connection.execute("""
        create schema s; create table s.lines (a int); create table s.clock (b int);
        create table s.line (c int);
        create view s.valid as select a from s.lines;
        create view s.accepted as select a from s.valid cross join s.clock
    """)
    request = {
        "sql": 'select * from "memory"."s"."accepted"', "database": "memory", "schemas": ["s"],
        "landing": {},
    }  # fmt: skip
    found = Inputs(connection, request, {'"s"."lines"'})
    assert set(found.tables) == {'"s"."lines"', '"s"."clock"'}
    # Each after what it reads.
    assert ["clock" in view for view in found.views] == [False, True]
