"""The published file: readers at any moment, whole builds only, what partial runs publish."""

import json
import multiprocessing
import os
import random
import time

import duckdb
import pytest

from tests.integration.schedules import ACTIONS, PUBLIC, advance, prepare
from tests.integration.warehouse import Warehouse

FIRST = [("send", 1), ("label_some", 2), ("send_another_version", 3), ("send_broken_lines", 4)]


def digests(connection, tables):
    """Rows and a hash of the content of public tables, whatever the order of rows."""
    return {
        table: [
            str(value)
            for value in connection.execute(
                f"select count(*), sum(hash(rows)) from ml_monitoring.{table} as rows"
            ).fetchone()
        ]
        for table in tables
    }


def open_file(path):
    return duckdb.connect(str(path), read_only=True)


def builds_in(connection):
    """The builds that the tables are of: {table: invocation_id}."""
    return dict(
        connection.execute(
            "select relation_name, invocation_id from ml_monitoring.published_build"
        ).fetchall()
    )


def published_names(warehouse):
    """The public models that are not kept out, as dbt knows them."""
    nodes = json.loads((warehouse.folder / "target" / "manifest.json").read_text())["nodes"]
    return [
        name
        for name in PUBLIC
        if nodes[f"model.ml_monitoring.{name}"]["config"]["meta"].get("is_published", True)
    ]


def invocation(warehouse):
    results = json.loads((warehouse.folder / "target" / "run_results.json").read_text())
    return results["metadata"]["invocation_id"]


def read_all_the_time(path, stop, log):
    """Open, read and close the published file until told to stop; each reading is a line."""
    os.nice(10)
    with log.open("w") as lines:
        while not stop.exists():
            if path.exists():
                with open_file(path) as connection:
                    builds = builds_in(connection)
                    tables = random.sample(sorted(builds), 3)
                    found = digests(connection, tables)
                lines.write(json.dumps([builds, found]) + "\n")
            time.sleep(0.1)


def stay_connected(path, stop, log):
    """Open the published file, and read it again when told to stop."""
    with open_file(path) as connection:
        builds = builds_in(connection)
        first = digests(connection, builds)
        log.touch()
        while not stop.exists():
            time.sleep(0.05)
        assert digests(connection, builds) == first
        assert builds_in(connection) == builds


def start_reader(kind, *arguments):
    # Another process: connections of one process to one path share the file that it opened first.
    reader = multiprocessing.get_context("spawn").Process(target=kind, args=arguments, daemon=True)
    reader.start()
    return reader


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A warehouse that publishes, built once."""
    landing = prepare(tmp_path_factory.mktemp("publishing"))
    landing.warehouse.vars["publish"] = True
    advance(landing, FIRST, 30)
    return landing


def test_readers_see_whole_builds_only(published):
    landing, warehouse = published, published.warehouse
    rng = random.Random()
    seed = rng.randrange(2**32)
    rng.seed(seed)
    stop, log = warehouse.folder / "stop", warehouse.folder / "readings"
    readers = [start_reader(read_all_the_time, warehouse.published, stop, log)]
    snapshots = {}
    for number, options in enumerate([(), (), ("--full-refresh",)]):
        if number:
            actions = [(rng.choice(ACTIONS), rng.randrange(2**32)) for _ in range(4)]
            advance(landing, [*actions, ("other_slices", number)], rng.randint(1, 40))
        run = warehouse.dbt("run", *options)
        assert run.exit_code == 0, f"{seed}\n{run.end}"
        names = published_names(warehouse)
        assert f"Published {len(names)} relations to {warehouse.published} in " in run.output
        build = invocation(warehouse)
        with duckdb.connect(str(warehouse.database), read_only=True) as connection:
            snapshots[build] = digests(connection, names)
        with open_file(warehouse.published) as connection:
            assert builds_in(connection) == dict.fromkeys(names, build)
            assert digests(connection, names) == snapshots[build], seed
        # One more that stays connected while the next builds go on.
        connected = warehouse.folder / f"connected-{number}"
        readers.append(start_reader(stay_connected, warehouse.published, stop, connected))
        while not connected.exists():
            time.sleep(0.05)
    stop.touch()
    for reader in readers:
        reader.join()
    assert [reader.exitcode for reader in readers] == [0] * len(readers)
    readings = [json.loads(line) for line in log.read_text().splitlines()]
    for builds, found in readings:
        (build,) = set(builds.values())
        for table, digest in found.items():
            assert digest == snapshots[build][table], (seed, table)
    seen = {build for builds, _ in readings for build in builds.values()}
    assert len(seen) >= 2 and len(readings) > 20
    assert all(snapshot["service_levels"][0] != "0" for snapshot in snapshots.values())


def test_nothing_restricted_is_in_the_file(published):
    warehouse = published.warehouse
    with open_file(warehouse.published) as connection:
        relations = connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            " union all select schema_name, view_name from duckdb_views() where not internal"
        ).fetchall()
        columns = connection.execute(
            "select table_name, column_name from duckdb_columns() where not internal"
        ).fetchall()
    assert {schema for schema, _ in relations} == {"ml_monitoring", "ml_monitoring_internal"}
    names = {name for schema, name in relations if schema == "ml_monitoring"}
    assert names == {*published_names(warehouse), "published_build"}
    assert not [name for name in columns if name[1] in ("raw_line", "numerical_features")]
    assert "int_label_history" not in {name for _, name in relations}
    # What the public tables do not read would only be more to copy.
    assert "int_feature_days" not in {name for _, name in relations}


def test_a_part_of_the_project_publishes_what_it_has_made_whole(published):
    landing, warehouse = published, published.warehouse
    with open_file(warehouse.published) as connection:
        before, digests_before = builds_in(connection), digests(connection, builds_in(connection))
    advance(landing, [("send", 11)], 2)

    def check(run, fresh):
        assert run.exit_code == 0, run.end
        with open_file(warehouse.published) as connection:
            builds = builds_in(connection)
            found = digests(connection, before)
        assert builds == before | dict.fromkeys(fresh, invocation(warehouse))
        for table in before.keys() - {*fresh}:
            assert found[table] == digests_before[table], table
        with duckdb.connect(str(warehouse.database), read_only=True) as connection:
            assert digests(connection, fresh) == {table: found[table] for table in fresh}
        return found

    # Its minutes stand beside the tables of the last whole build.
    streamed = warehouse.dbt("run", "--select", "tag:streaming")
    found = check(streamed, ["service_levels_minute"])
    assert found["service_levels_minute"] != digests_before["service_levels_minute"]
    before |= {"service_levels_minute": invocation(warehouse)}
    digests_before = found

    mixed = warehouse.dbt("run", "--select", "+data_quality")
    check(mixed, [])
    assert "which was not built, reads `int_as_of`, which was. Readers keep" in mixed.output
    internal = warehouse.dbt("run", "--select", "int_settings")
    check(internal, [])
    assert "ublished" not in internal.output


def test_a_failed_build_publishes_nothing(published):
    warehouse = published.warehouse
    with open_file(warehouse.published) as connection:
        before = builds_in(connection)
    warehouse.execute("alter table own.deployments rename column version to release")
    run = warehouse.dbt("run")
    warehouse.execute("alter table own.deployments rename column release to version")
    assert run.exit_code == 1
    assert (
        "Not published: the build did not get through. Readers keep the tables as of 20"
        in run.output
    )
    with open_file(warehouse.published) as connection:
        assert builds_in(connection) == before


def test_a_build_killed_while_it_publishes_heals(published):
    landing, warehouse = published, published.warehouse
    rng = random.Random()
    advance(landing, [("send", 21), ("send_late", 22)], 3)
    process = warehouse.start_dbt("run")
    for line in process.stdout:
        if "OK created" in line and "slo_report" in line:
            break
    time.sleep(rng.uniform(0, 0.6))
    process.kill()
    run = warehouse.dbt("run")
    assert run.exit_code == 0, run.end
    names = published_names(warehouse)
    with open_file(warehouse.published) as connection:
        found = digests(connection, names)
    with duckdb.connect(str(warehouse.database), read_only=True) as connection:
        assert digests(connection, names) == found


def test_files_of_others_are_not_overwritten(tmp_path):
    warehouse = Warehouse(tmp_path, {"publish": True})
    with duckdb.connect(str(warehouse.published)) as connection:
        connection.execute("create table dear as select 1 as value")
    refused = warehouse.dbt("run", "--select", "int_settings")
    assert refused.exit_code != 0
    assert "is not a file that this project has published" in refused.output
    assert "Remove it, if nobody needs it" in refused.output
    with open_file(warehouse.published) as connection:
        assert connection.execute("from dear").fetchall() == [(1,)]
