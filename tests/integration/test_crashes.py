"""A build that is killed at any moment and run again gives the tables of one never killed."""

import json
import os
import random
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.dbt_process import DbtProcess
from tests.integration.schedules import PUBLIC, advance, prepare, snapshot
from tests.integration.warehouse import label

STARTED = re.compile(r"(\d+) of \d+ START .* model \w+\.(\w+) ")
DONE = re.compile(r"(\d+) of \d+ OK created .* model \w+\.(\w+) ")
DAY_ONE = [("send", 1), ("label_some", 2), ("send_another_version", 3), ("send_broken_lines", 4)]
DAY_TWO = [
    ("send", 5), ("send_late", 6), ("repeat_events", 7), ("label_some", 8), ("label_twice", 9),
    ("vanish", 10), ("grow", 11), ("other_slices", 12), ("send_new_values", 13),
]  # fmt: skip


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """A warehouse built on day one, with the files of day two there, and what it has to become."""
    folder = tmp_path_factory.mktemp("crashes")
    landing = prepare(folder)
    warehouse = landing.warehouse
    empty = folder / "empty.duckdb"
    shutil.copy(warehouse.database, empty)
    advance(landing, DAY_ONE, 30)
    assert warehouse.dbt("run").exit_code == 0
    before = folder / "before.duckdb"
    shutil.copy(warehouse.database, before)
    advance(landing, DAY_TWO, 24)
    run = warehouse.dbt("run")
    assert run.exit_code == 0, run.end
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    seconds = {
        result["unique_id"].split(".")[-1]: result["execution_time"]
        for result in results
        if result["unique_id"].startswith("model.")
    }
    ghosts = ghost_files(landing)
    return warehouse, {"empty": empty, "before": before}, snapshot(warehouse), seconds, ghosts


def ghost_files(landing):
    """Files that a killed build finds and that are gone when it is run again.

    What they say wins while they are there: earlier duplicates, corrected labels, new events.
    """
    events = [event for event in landing.events if isinstance(event, dict)][:40]
    earlier = [
        event | {"ts": event["ts"][:11] + "00:00:00Z", "latency_ms": 1.0} for event in events
    ]
    late = landing.now.isoformat() + "Z"
    fixes = [label(event["request_id"], label=1, labeled_at=late) for event in events]
    new = [event | {"request_id": f"ghost-{number}"} for number, event in enumerate(events)]
    return {
        "inference_events/ghost.jsonl": earlier + new,
        "labels/ghost.jsonl": fixes + [label(event["request_id"], label=0) for event in new],
    }


def run_and_kill(warehouse, threads, model, moment, seconds):
    """Start a build and kill it at the start, in the middle or at the end of a model.

    Returns whether it was killed before it ended.
    """
    process = warehouse.start_dbt("run", "--threads", str(threads))
    wanted = DONE if moment == "end" else STARTED
    for line in process.stdout:
        found = wanted.search(line)
        if found and found[2] == model:
            if moment == "middle":
                time.sleep(seconds / 2)
            break
    is_killed = process.is_running()
    process.kill()
    return is_killed


def test_killed_at_any_moment(days, kill_count):
    warehouse, starts, expected, seconds, ghosts = days
    rng = random.Random()
    seed = rng.randrange(2**32)
    print(f"\nseed {seed}")
    rng.seed(seed)
    # Each model in turn, in an order of chance.
    models = [rng.sample(sorted(seconds), len(seconds)) for _ in range(kill_count)]
    targets = [model for shuffled in models for model in shuffled][:kill_count]
    killed = []
    while targets:
        start = rng.choice(sorted(starts))
        shutil.copy(starts[start], warehouse.database)
        history = [f"from {start}"]
        # A build that is run again may be killed again.
        for _ in range(min(len(targets), rng.randint(1, 4))):
            model, moment = targets.pop(), rng.choice(["start", "middle", "end"])
            threads = rng.choice([1, 2, 4])
            there = rng.sample(sorted(ghosts), rng.randint(0, len(ghosts)))
            for name in there:
                warehouse.write(name, ghosts[name])
            if run_and_kill(warehouse, threads, model, moment, seconds[model]):
                history.append(f"{moment} of {model}, {threads} threads, gone: {there}")
            for name in there:
                (warehouse.landing / name).unlink()
        killed += history[1:]
        run = warehouse.dbt("run", "--threads", str(rng.choice([1, 2, 4])))
        assert run.exit_code == 0, f"{history}\n{run.end}"
        found = snapshot(warehouse)
        assert [name for name in PUBLIC if found[name] != expected[name]] == [], history
        print(history, flush=True)
    print(f"{len(killed)} kills")
    assert len(killed) >= kill_count // 2


def test_of_two_builds_the_second_waits(days):
    warehouse, starts, expected, *_ = days
    shutil.copy(starts["before"], warehouse.database)
    processes = [warehouse.start_dbt("run") for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        builds = list(pool.map(DbtProcess.finish, processes))
    assert [build.exit_code for build in builds] == [0, 0], [build.end for build in builds]
    waited = ["Waiting up to 600 s for another build" in build.output for build in builds]
    assert sorted(waited) == [False, True]
    assert snapshot(warehouse) == expected


def test_a_build_that_may_not_wait_says_why(days):
    warehouse = days[0]
    first = warehouse.start_dbt("run")
    for line in first.stdout:
        if STARTED.search(line):
            break
    os.kill(first.pid, signal.SIGSTOP)
    second = warehouse.start_dbt("run", ML_MONITORING_LOCK_WAIT="0")
    build = second.finish()
    os.kill(first.pid, signal.SIGCONT)
    assert build.exit_code != 0
    assert "Another build is at work on" in build.output
    assert f"process {first.pid}" in build.output
    assert "ML_MONITORING_LOCK_WAIT=3600" in build.output
    assert first.finish().exit_code == 0


def test_a_killed_build_leaves_no_lock(days):
    warehouse = days[0]
    assert run_and_kill(warehouse, 2, "stg_landing_files", "start", 0)
    lock = warehouse.database.with_name("warehouse.duckdb.lock")
    assert lock.exists()
    run = warehouse.start_dbt("run", "--select", "int_settings", ML_MONITORING_LOCK_WAIT="0")
    build = run.finish()
    assert build.exit_code == 0, build.end


def test_processes_are_killed_whole(days):
    """Were dbt to survive its kill, the tests above would prove nothing."""
    warehouse, starts, *_ = days
    shutil.copy(starts["empty"], warehouse.database)
    assert run_and_kill(warehouse, 2, "int_feature_days", "start", 0)
    made = {name for (name,) in warehouse.query("select table_name from duckdb_tables()")}
    assert "stg_inference_lines" in made
    assert "int_ingested_files" not in made or "int_feature_drift" not in made
