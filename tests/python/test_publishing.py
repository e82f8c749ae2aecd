"""Publishing without dbt: killed at any step, with damaged files, and what it refuses."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

import database_lock
from publishing import Plugin


def node(name, schema, kind, *parents, **meta):
    return {
        "resource_type": "model",
        "schema": schema,
        "alias": name,
        "config": {"materialized": kind, "meta": meta},
        "depends_on": {"nodes": [f"model.p.{parent}" for parent in parents]},
    }


NODES = {
    f"model.p.{made['alias']}": made
    for made in [
        node("days", "m_internal", "incremental", unit=["day", "revision"]),
        node("totals", "m_internal", "view", "days"),
        node("by_day", "m", "view", "days"),
        node("sums", "m", "view", "totals"),
        node("report", "m", "table", "sums"),
    ]
}


def open_plugin(folder, published=None):
    """A warehouse and the plugin on it, as dbt-duckdb makes it."""
    path = folder / "warehouse.duckdb"
    plugin = Plugin(
        "publishing", {"path": published}, SimpleNamespace(path=str(path), database="warehouse")
    )
    connection = duckdb.connect(str(path))
    plugin.configure_connection(connection)
    return plugin, connection


def build(connection, number):
    """What a build makes of day after day: each holds its number, some days are made anew."""
    connection.execute("create schema if not exists m; create schema if not exists m_internal")
    connection.execute("create table if not exists m_internal.days (day int, revision int, x int)")
    connection.execute("delete from m_internal.days where day % 5 = ?", [number % 5])
    connection.execute(
        "insert into m_internal.days select day, $n, $n * 1000 + row from range($n) as a(day)"
        " cross join range(500) as b(row) where day not in (select day from m_internal.days)",
        {"n": number},
    )
    connection.execute(
        "create or replace view m_internal.totals as"
        " select count(*) as n, sum(x * (day + 1)) as s from m_internal.days;"
        "create or replace view m.by_day as select day, sum(x) as s from m_internal.days group by 1"
        ";create or replace view m.sums as select * from m_internal.totals;"
        "create or replace table m.report as from m.sums"
    )


def publish(plugin, number, built=NODES, action="publish", **changes):
    request = {
        "action": action, "nodes": NODES, "schema": "m", "full_refresh": False,
        "statuses": dict.fromkeys(built, "success"), "as_of": "2024-01-01",
        "invocation_id": str(number),
    } | changes  # fmt: skip
    plugin.store(SimpleNamespace(config=request))
    return request.get("said")


def read(path):
    """The build and its tables; all of one build, or this raises."""
    with duckdb.connect(str(path), read_only=True) as connection:
        ((number,),) = connection.execute(
            "select distinct invocation_id from m.published_build"
        ).fetchall()
        assert (
            connection.execute("from m.sums").fetchall()
            == connection.execute("from m.report").fetchall()
        )
        return int(number), connection.execute("from m.sums").fetchall()


def work(folder):
    """Build and publish again and again (in a process that is killed)."""
    plugin, connection = open_plugin(Path(folder))
    number = 1
    if (Path(folder) / "warehouse_published.duckdb").exists():
        number = connection.execute("select max(revision) from m_internal.days").fetchone()[0]
    while True:
        number += 1
        build(connection, number)
        print("publishing", flush=True)
        publish(plugin, number)


def start_work(folder, dies_at=""):
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), dies_at],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.fixture(autouse=True)
def locks_of_builds():
    yield
    let_go()


def let_go():
    """What the end of a process does."""
    for file in database_lock.held.values():
        file.close()
    database_lock.held.clear()


def check_heals(folder):
    """Publish once more; what is published is what the warehouse has."""
    plugin, connection = open_plugin(folder)
    # It may have been killed while it built, before the last table: the next build makes that too.
    connection.execute("create or replace table m.report as from m.sums")
    publish(plugin, 0)
    expected = connection.execute("from m.sums").fetchall()
    connection.close()
    let_go()
    assert read(folder / "warehouse_published.duckdb") == (0, expected)
    names = {path.name for path in folder.glob("*published*")} | {
        path.name for path in folder.glob(".*published*")
    }
    assert names <= {
        "warehouse_published.duckdb",
        ".warehouse_published.spare.duckdb",
        ".warehouse_published.spare.duckdb.lock",
    }


STEPS = ["checkpoint", "link", "replace 1", "replace 2", "copy"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_before_or_after_a_step(tmp_path, step):
    for moment in ("before", "after"):
        # Without a spare there is something to copy.
        (tmp_path / ".warehouse_published.spare.duckdb").unlink(missing_ok=True)
        process = start_work(tmp_path, f"{moment} {step}")
        process.stdout.read()
        assert process.wait() == -signal.SIGKILL
        if (tmp_path / "warehouse_published.duckdb").exists():
            read(tmp_path / "warehouse_published.duckdb")
        check_heals(tmp_path)


def test_killed_at_any_moment_while_others_read(tmp_path):
    rng = random.Random()
    published = tmp_path / "warehouse_published.duckdb"
    readings = 0
    for _ in range(6):
        process = start_work(tmp_path)
        process.stdout.readline()
        end = time.monotonic() + rng.uniform(0.05, 0.8)
        while time.monotonic() < end:
            if published.exists():
                read(published)
                readings += 1
        process.kill()
        process.stdout.read()
        process.wait()
        if published.exists():
            read(published)
    assert readings > 20
    check_heals(tmp_path)


def test_damage_to_the_spare_is_mended(tmp_path):
    plugin, connection = open_plugin(tmp_path)
    spare = tmp_path / ".warehouse_published.spare.duckdb"
    published = tmp_path / "warehouse_published.duckdb"
    damages = [
        lambda: None,
        lambda: spare.write_bytes(b"no database"),
        lambda: spare.write_bytes(published.read_bytes()[:20000]),
        lambda: spare.with_name(f"{spare.name}.wal").write_bytes(b"no log"),
        spare.unlink,
        lambda: duckdb.connect(str(spare)).execute("drop schema m cascade").close(),
        # By a mistake both are one file.
        lambda: (spare.unlink(), os.link(published, spare)),
    ]
    for number, damage in enumerate(damages, 2):
        build(connection, number)
        assert publish(plugin, number).startswith("Published 3 relations to")
        build(connection, number + 100)
        publish(plugin, number + 100)
        held = read(published)
        damage()
        assert read(published) == held
        publish(plugin, 1000)
        assert read(published) == (1000, connection.execute("from m.sums").fetchall())


def test_permissions_stay(tmp_path):
    plugin, connection = open_plugin(tmp_path)
    published = tmp_path / "warehouse_published.duckdb"
    for number in range(2, 6):
        build(connection, number)
        publish(plugin, number)
        if number > 2:
            assert published.stat().st_mode & 0o777 == 0o640
        published.chmod(0o640)


def test_a_column_that_changes_and_a_relation_that_goes(tmp_path):
    plugin, connection = open_plugin(tmp_path)
    published = tmp_path / "warehouse_published.duckdb"
    for number in (2, 3):
        build(connection, number)
        publish(plugin, number)
    connection.execute("alter table m_internal.days alter x type bigint")
    connection.execute(
        "create or replace view m.sums as select n, s, 1 as one from m_internal.totals"
    )
    connection.execute("drop table m.report; create view m.report as from m.sums")
    nodes = NODES | {"model.p.report": node("report", "m", "view", "sums")}
    nodes.pop("model.p.by_day")
    for number in (4, 5):
        publish(plugin, number, nodes=nodes)
        with duckdb.connect(str(published), read_only=True) as reader:
            assert reader.execute("select one from m.report").fetchall() == [(1,)]
            assert reader.execute(
                "select data_type from duckdb_columns() where table_name = 'days'"
                " and column_name = 'x'"
            ).fetchall() == [("BIGINT",)]
            assert not reader.execute(
                "select 1 from duckdb_views() where view_name = 'by_day'"
            ).fetchall()


def test_what_did_not_change_is_not_written(tmp_path):
    plugin, connection = open_plugin(tmp_path)
    for number in (2, 3, 4):
        build(connection, number)
        publish(plugin, number)
    # Had it been copied, the spare would not have kept what only it has.
    spare = tmp_path / ".warehouse_published.spare.duckdb"
    publish(plugin, 5)
    with duckdb.connect(str(spare)) as other:
        other.execute("update m_internal.days set x = -1 where day = 0")
    publish(plugin, 6)
    with duckdb.connect(str(tmp_path / "warehouse_published.duckdb"), read_only=True) as reader:
        assert reader.execute("select count(*) from m_internal.days where x = -1").fetchone() == (
            500,
        )
    # A full refresh copies all of it.
    publish(plugin, 7, full_refresh=True)
    assert read(tmp_path / "warehouse_published.duckdb") == (
        7, connection.execute("from m.sums").fetchall(),
    )  # fmt: skip


def test_somebody_who_opened_the_file_to_write_stops_nothing(tmp_path):
    plugin, connection = open_plugin(tmp_path)
    published = tmp_path / "warehouse_published.duckdb"
    build(connection, 2)
    publish(plugin, 2)
    writer = subprocess.Popen(
        [sys.executable, "-c", "import duckdb, sys; connection = duckdb.connect(sys.argv[1]);"
         "connection.execute('create table mine as select 1'); print(1, flush=True); input()",
         str(published)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    writer.stdout.readline()
    for number in (3, 4, 5):
        build(connection, number)
        publish(plugin, number, action="check")
        assert publish(plugin, number).startswith("Published")
        assert read(published)[0] == number
    writer.kill()
    writer.wait()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("warehouse.duckdb", "is the database itself"),
        ("m.duckdb", "cannot tell them apart"),
        ("m_internal.duckdb", "cannot tell them apart"),
        ("nowhere/bi.duckdb", "There is no folder"),
        ("notes.txt", "will not be overwritten"),
        ("other.duckdb", "will not be overwritten"),
    ],
)
def test_wrong_places_are_refused(tmp_path, name, problem):
    (tmp_path / "notes.txt").write_text("dear")
    duckdb.connect(str(tmp_path / "other.duckdb")).execute("create table dear as select 1").close()
    plugin, connection = open_plugin(tmp_path, str(tmp_path / name))
    build(connection, 2)
    with pytest.raises(DbtRuntimeError, match=problem):
        publish(plugin, 2, action="check")


def dying(function, step, dies_at, calls=None):
    """A function that kills its process before or after it does its work."""

    def call(*arguments, **options):
        at = f"{step} {len(calls)}" if calls is not None and not calls.append(1) else step
        if dies_at == f"before {at}":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if dies_at == f"after {at}":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


if __name__ == "__main__":
    import double_buffer

    folder, dies_at = sys.argv[1:]
    # pathlib replaces through os.
    double_buffer.os.link = dying(os.link, "link", dies_at)
    swap = double_buffer.DoubleBuffer.swap
    double_buffer.DoubleBuffer.swap = dying(swap, "checkpoint", dies_at)
    double_buffer.os.replace = dying(os.replace, "replace", dies_at, [])
    double_buffer.shutil.copyfile = dying(double_buffer.shutil.copyfile, "copy", dies_at)
    work(folder)
