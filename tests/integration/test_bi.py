"""What BI tools connect to: SQLAlchemy, plain Python and Parquet give the figures of the logs."""

import json
import re
import time
from collections import Counter, defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import exporting
from tests.integration.warehouse import PROJECT, Warehouse, event

QUERY = """
    select window_start, model_version, request_count, error_count, latency_max_ms
    from ml_monitoring.service_levels
    where slice_key = 'all' and window_size = '1d'
    order by window_start, model_version
"""
DAYS = range(10, 14)


def records(first, count):
    """Make events of four days, some of them errors, of two versions."""
    return [
        event(
            f"r{number}",
            ts=f"2024-01-{DAYS[number % 4]}T{number % 24:02}:00:00Z",
            model_version="v2" if number % 3 else "v1",
            status=500 if number % 7 == 0 else 200,
            latency_ms=10 + number / 4,
            score=... if number % 7 == 0 else 0.5,
        )
        for number in range(first, first + count)
    ]


def figures_of(events):
    """Count requests, errors and the largest latency by day and version, in plain Python."""
    requests, errors, slowest = Counter(), Counter(), defaultdict(float)
    for one in events:
        key = one["ts"][:10], one["model_version"]
        requests[key] += 1
        errors[key] += one["status"] >= 400
        slowest[key] = max(slowest[key], one["latency_ms"])
    return [(*key, requests[key], errors[key], slowest[key]) for key in sorted(requests)]


def types_of(connection, relation):
    return [row[:2] for row in connection.sql(f"describe from {relation}").fetchall()]


def in_utc(value):
    """Give a time of the tables, which has no zone, as Parquet has it."""
    return value.replace(tzinfo=ZoneInfo("UTC")) if isinstance(value, datetime) else value


def found_in(rows):
    return [(f"{start:%Y-%m-%d}", *rest) for start, *rest in rows]


@pytest.fixture(scope="module")
def first():
    return records(0, 200)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, first):
    warehouse = Warehouse(tmp_path_factory.mktemp("bi"), {"publish": True})
    warehouse.write("inference_events/first.jsonl", first)
    build = warehouse.dbt("run")
    assert build.exit_code == 0, build.end
    return warehouse


def url_of(warehouse):
    return f"duckdb:///{warehouse.published}?access_mode=read_only"


@pytest.fixture
def engine(warehouse):
    engine = sa.create_engine(url_of(warehouse), poolclass=NullPool)
    yield engine
    engine.dispose()


def test_sqlalchemy_gives_the_figures_of_the_logs(engine, first):
    with engine.connect() as connection:
        assert found_in(connection.execute(sa.text(QUERY))) == figures_of(first)
    frame = pd.read_sql(QUERY, engine)
    assert found_in(frame.itertuples(index=False, name=None)) == figures_of(first)


def test_sqlalchemy_lists_the_tables_and_their_columns(engine, warehouse):
    # BI tools find tables so. Versions of SQLAlchemy that duckdb-engine does not know fail here.
    inspector = sa.inspect(engine)
    names = {
        *inspector.get_table_names(schema="ml_monitoring"),
        *inspector.get_view_names(schema="ml_monitoring"),
    }
    nodes = json.loads((warehouse.folder / "target" / "manifest.json").read_text())["nodes"]
    public = {
        node["name"]
        for node in nodes.values()
        if node["resource_type"] == "model"
        and node["schema"] == "ml_monitoring"
        and node["config"]["meta"].get("is_published", True)
    }
    assert names == {*public, "published_build"}
    for name in sorted(public):
        columns = [column["name"] for column in inspector.get_columns(name, "ml_monitoring")]
        described = nodes[f"model.ml_monitoring.{name}"]["columns"]
        assert sorted(columns) == sorted(described), name


def test_readers_cannot_write(engine, warehouse):
    statements = [
        "create table ml_monitoring.mine as select 1 as value",
        "drop view ml_monitoring.service_levels",
        "delete from ml_monitoring.published_build",
    ]
    for statement in statements:
        with pytest.raises(sa.exc.DBAPIError, match="read-only"), engine.begin() as connection:
            connection.execute(sa.text(statement))
        with (
            duckdb.connect(str(warehouse.published), read_only=True) as connection,
            pytest.raises(duckdb.InvalidInputException, match="read-only"),
        ):
            connection.execute(statement)


def test_plain_python_gives_the_figures_of_the_logs(warehouse, first):
    with duckdb.connect(str(warehouse.published), read_only=True) as connection:
        frame = connection.sql(QUERY).df()
        table = connection.sql(QUERY).to_arrow_table()
    assert found_in(frame.itertuples(index=False, name=None)) == figures_of(first)
    assert found_in(zip(*table.to_pydict().values(), strict=True)) == figures_of(first)


def test_the_examples_of_the_document_run(warehouse, monkeypatch):
    text = (PROJECT / "docs" / "bi.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(warehouse.folder)
    for block in blocks:
        names = {}
        exec(block, names)
        assert "sli_value" in names["slos"].columns
        if "levels" in names:
            counted = "select count(*) from ml_monitoring.service_levels"
            assert [(names["levels"].num_rows,)] == warehouse.query(counted)


def test_parquet_is_the_tables(warehouse, first, tmp_path, capsys):
    options = ["--database", str(warehouse.published), "--folder", str(tmp_path / "a" / "b")]
    assert exporting.main(options) == 0
    paths = sorted((tmp_path / "a" / "b").iterdir())
    with duckdb.connect(str(warehouse.published), read_only=True) as connection:
        names = connection.sql(
            "select table_name from information_schema.tables"
            " where table_schema = 'ml_monitoring' order by all"
        ).fetchall()
        assert [path.name for path in paths] == [f"{name}.parquet" for (name,) in names]
        total = 0
        for path in paths:
            table = f"ml_monitoring.{path.stem}"
            written = pq.read_table(path)
            assert types_of(connection, f"read_parquet('{path}')") == [
                (name, "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMP" else kind)
                for name, kind in types_of(connection, table)
            ], table
            assert {str(kind) for kind in written.schema.types if pa.types.is_timestamp(kind)} <= {
                "timestamp[us, tz=UTC]"
            }, table
            rows = connection.sql(f"from {table}").fetchall()
            expected = Counter(repr([in_utc(value) for value in row]) for row in rows)
            found = Counter(repr([*row.values()]) for row in written.to_pylist())
            assert found == expected, table
            total += written.num_rows
    assert f"{len(paths)} tables with {total:,} rows" in capsys.readouterr().out
    # And the figures, read by pandas alone.
    levels = pd.read_parquet(tmp_path / "a" / "b" / "service_levels.parquet")
    days = levels[(levels.slice_key == "all") & (levels.window_size == "1d")]
    columns = ["window_start", "model_version", "request_count", "error_count", "latency_max_ms"]
    rows = days[columns].sort_values(columns[:2]).itertuples(index=False, name=None)
    assert found_in(rows) == figures_of(first)


def test_two_exports_are_the_same_bytes_and_keep_other_files(warehouse, tmp_path):
    names = ["service_levels", "feature_drift"]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text("mine")
        options = ["--database", str(warehouse.published), "--folder", str(tmp_path / folder)]
        for _ in range(2):
            assert exporting.main([*options, "--tables", *names]) == 0
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("one", "two")
    )
    assert one == two
    assert sorted(one) == ["feature_drift.parquet", "notes.txt", "service_levels.parquet"]


def test_an_export_that_fails_says_why_and_leaves_the_old_file(warehouse, tmp_path, capsys):
    def failed(*options):
        assert exporting.main(["--folder", str(tmp_path), *options]) == 2
        return capsys.readouterr().err

    published = ["--database", str(warehouse.published)]
    assert "There is no database at nowhere.duckdb" in failed("--database", "nowhere.duckdb")
    assert "No table nope in the schema" in failed(*published, "--tables", "nope")
    assert "no table in the schema other" in failed(*published, "--schema", "other")
    (tmp_path / "text.duckdb").write_text("no database")
    assert "cannot be opened" in failed("--database", str(tmp_path / "text.duckdb"))
    (tmp_path / "file").touch()
    assert "cannot be written to" in failed(*published, "--folder", str(tmp_path / "file"))
    # A folder in the way of the file that is written beside: the last export stays as it was.
    assert exporting.main(["--folder", str(tmp_path), *published, "--tables", "alerts"]) == 0
    before = (tmp_path / "alerts.parquet").read_bytes()
    (tmp_path / ".alerts.parquet.partial").mkdir()
    assert "cannot be written to" in failed(*published, "--tables", "alerts")
    assert (tmp_path / "alerts.parquet").read_bytes() == before


def test_a_reader_lasts_through_the_next_builds_and_a_new_one_sees_them(warehouse, first):
    """The last of the module: it builds further days."""
    pooled = sa.create_engine(url_of(warehouse))
    with pooled.connect() as connection:
        assert found_in(connection.execute(sa.text(QUERY))) == figures_of(first)
    # The pool has kept its connection open.
    expected = list(first)
    for number in (1, 2):
        more = records(200 * number, 200)
        warehouse.write(f"inference_events/more-{number}.jsonl", more)
        process = warehouse.start_dbt("run")
        readings = 0
        while process.is_running() or not readings:
            with pooled.connect() as connection:
                assert found_in(connection.execute(sa.text(QUERY))) == figures_of(first)
            readings += 1
            time.sleep(0.2)
        build = process.finish()
        assert build.exit_code == 0, build.end
        expected += more
        # In this process all share the file that is open; another one sees what is published.
        engine = sa.create_engine(url_of(warehouse), poolclass=NullPool)
        with engine.connect() as connection:
            assert found_in(connection.execute(sa.text(QUERY))) == figures_of(first)
    pooled.dispose()
    with engine.connect() as connection:
        assert found_in(connection.execute(sa.text(QUERY))) == figures_of(expected)
    assert figures_of(expected) != figures_of(first)
