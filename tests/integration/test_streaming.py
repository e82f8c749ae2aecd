"""Streaming runs: against plain Python, against main builds, through trouble and kills."""

import gzip
import os
import random
import re
import shutil
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration import oracle
from tests.integration.warehouse import DEPLOYMENT, MODEL, Warehouse, event

STREAM = ("run", "--select", "tag:streaming")
#: What a main build needs for the table by the minute.
MAIN = ("run", "--select", "+service_levels_minute", "+int_ingested_files")
MINUTES = "ml_monitoring_internal.int_streamed_minutes"
LINES = "ml_monitoring_restricted.stg_streamed_lines"
NOON = datetime(2024, 1, 10, 12)
KEY = ["model_name", "model_version", "role", "window_start"]
EXACT = ["request_count", "error_count", "slow_count"]
THRESHOLDS = {MODEL["name"]: MODEL["latency_threshold_ms"]}
RATES = ["error_rate", "slow_rate", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms",
         "latency_mean_ms", "latency_max_ms", "inference_time_p50_ms",
         "inference_time_p95_ms"]  # fmt: skip


def at(minutes, seconds=0):
    """So long after noon."""
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def text(moment):
    return moment.isoformat() + "Z"


def run(warehouse, command, moment, **environment):
    """Run dbt as of a moment; it is in the environment, so that dbt need not parse anew."""
    build = warehouse.start_dbt(*command, ML_MONITORING_AS_OF=text(moment), **environment).finish()
    assert build.exit_code == 0, build.end
    return build


def stream(warehouse, moment):
    return run(warehouse, STREAM, moment)


def requests(rng, start, end, count, prefix, **fields):
    """Events between two minutes after noon."""
    return [
        event(
            f"{prefix}{number}",
            **{
                "ts": text(at(0, round(rng.uniform(60 * start, 60 * end), 3))),
                "status": rng.choice([200, 200, 200, 503]),
                "latency_ms": rng.lognormvariate(3, 1),
                "inference_time_ms": rng.choice([None, rng.lognormvariate(2, 1)]),
            }
            | fields,
        )
        for number in range(count)
    ]


def shown(warehouse):
    """The public table, in order."""
    table = warehouse.frame(f"from ml_monitoring.service_levels_minute order by {', '.join(KEY)}")
    assert not table.duplicated(KEY).any()
    return table


def expected(warehouse, moment, until=None):
    """What plain Python makes of all files: minutes with requests, and silent ones between.

    ``until`` says for a version when it ends; the others serve on.
    """
    events, _ = oracle.read_events(warehouse.landing, moment, lambda _: {})
    busy = oracle.service_levels(events, "min", THRESHOLDS)
    rows = []
    for key, series in busy.groupby(KEY[:3]):
        last = min(moment, (until or {}).get(key[1], moment))
        silent = pd.date_range(series["window_start"].min(), last, freq="min", inclusive="left")
        index = pd.MultiIndex.from_arrays(
            [[name] * len(silent) for name in key] + [silent], names=KEY
        )
        filled = series.set_index(KEY)
        filled = filled.reindex(filled.index.union(index))
        filled[EXACT] = filled[EXACT].fillna(0)
        rows.append(filled.reset_index())
    table = pd.concat(rows)
    return table[table["window_start"] + pd.Timedelta("1min") <= moment].sort_values(KEY)


def assert_equal(found, wanted):
    assert len(found) == len(wanted) > 0
    pd.testing.assert_frame_equal(
        found[KEY + EXACT + RATES].reset_index(drop=True),
        wanted[KEY + EXACT + RATES].reset_index(drop=True),
        check_dtype=False,
        check_exact=False,
        rtol=0,
        atol=1e-6,  # means come from sums in fixed point
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("streaming")


@pytest.fixture
def warehouse(folder):
    """An empty warehouse, at one place: with the same vars dbt need not parse anew."""
    shutil.rmtree(folder / "landing", ignore_errors=True)
    (folder / "warehouse.duckdb").unlink(missing_ok=True)
    return Warehouse(folder)


def write_parquet(warehouse, name, records):
    table = pa.Table.from_pylist([
        record | {"ts": datetime.fromisoformat(record["ts"]).astimezone(UTC)} for record in records
    ])  # fmt: skip
    path = warehouse.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """An hour and a half, streamed in five runs without a main build before, then built."""
    warehouse = Warehouse(tmp_path_factory.mktemp("streamed"))
    rng = random.Random(5)
    steps = {}

    def step(moment, *command):
        run(warehouse, command or STREAM, moment)
        steps[moment] = shown(warehouse), expected(warehouse, moment)

    first = requests(rng, 0, 10, 150, "a")
    warehouse.write("inference_events/0.jsonl", [*first, "no json", event(status=700), "{}"])
    write_parquet(warehouse, "inference_events/p/1.parquet", requests(rng, 0, 10, 50, "p"))
    step(at(10, 30))
    # A minute later: a file, late events, events that have not come, and repeats: one that loses,
    # one that wins, one that wins in another minute, one with an equal time.
    repeats = [
        first[0] | {"ts": text(at(9.5)), "latency_ms": 1e6},
        first[1] | {"ts": text(at(-1)), "latency_ms": 1e6},
        first[2] | {"latency_ms": first[2]["latency_ms"]},
        *requests(rng, 12, 30, 20, "future"),
    ]
    warehouse.write("inference_events/2.jsonl.gz", requests(rng, 5, 11, 60, "b") + repeats)
    step(at(11, 5))
    # A new version, a shadow, latencies that cannot be, and ten silent minutes.
    more = requests(rng, 20, 40, 80, "c", model_version="v2")
    more += requests(rng, 20, 40, 40, "c", model_version="s", role="shadow", latency_ms=-1)
    warehouse.write("inference_events/d/3.jsonl", more)
    step(at(41))
    # Nothing at all; with the tests of the public table.
    step(at(50, 59), "build", "--select", "tag:streaming", "--exclude-resource-type", "unit_test")
    # The lookback has moved on; what is older waits for a main build.
    warehouse.write("inference_events/4.jsonl", requests(rng, 55, 90, 50, "d", model_version="v2"))
    too_late = requests(rng, 0, 20, 15, "late")
    warehouse.write("inference_events/5.jsonl", too_late)
    stream(warehouse, at(90))
    last = shown(warehouse)
    (warehouse.landing / "inference_events/5.jsonl").unlink()
    steps[at(90)] = last, expected(warehouse, at(90))
    return warehouse, steps


def ends(table):
    """Leave versions that nobody deployed and that are not in use to their last request."""
    live = table[(table["role"] == "live") & (table["request_count"] > 0)]
    newest = live["window_start"].max()
    kept = []
    for (_, _, role), series in table.groupby(KEY[:3]):
        last = series.loc[series["request_count"] > 0, "window_start"].max()
        serves = role == "live" and last == newest
        kept.append(series if serves else series[series["window_start"] <= last])
    return pd.concat(kept)


def test_streamed_minutes_are_those_of_plain_python(streamed):
    _, steps = streamed
    for found, wanted in steps.values():
        assert_equal(found, ends(wanted))
    assert (steps[at(50, 59)][0]["request_count"] == 0).sum() > 15


def test_a_main_build_gives_the_same_and_takes_over(streamed):
    warehouse, steps = streamed
    run(warehouse, MAIN, at(90))
    found, _ = steps[at(90)]
    built = shown(warehouse)
    pd.testing.assert_frame_equal(found, built)
    # A later streaming run goes on where it ended.
    stream(warehouse, at(92))
    later = shown(warehouse)
    before = later[later["window_start"] < at(90)].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, built)
    assert len(later) == len(built) + 2
    # A later main build hides it.
    run(warehouse, MAIN, at(91))
    assert shown(warehouse)["window_start"].max() == at(91)
    run(warehouse, MAIN, at(92))
    pd.testing.assert_frame_equal(shown(warehouse), later)


def test_the_clock_only_moves_forward(streamed):
    warehouse, _ = streamed
    stream(warehouse, at(95))
    # Behind itself, and behind the main build, which was at 13:32.
    for moment, seen in ((at(94), "13:35:00"), (at(91), "13:32:00")):
        build = warehouse.start_dbt(*STREAM, ML_MONITORING_AS_OF=text(moment)).finish()
        assert build.exit_code == 2
        assert f"The database has seen 2024-01-10 {seen} UTC" in build.output
    # A main build has a clock of its own.
    run(warehouse, ("run", "--select", "int_as_of"), at(93))


def changes(warehouse, moment):
    stream(warehouse, moment)
    return dict(warehouse.query(
        f"select minute(window_start), request_count from {MINUTES}"
        " where request_count > 0 order by all"
    ))  # fmt: skip


def test_files_that_change(warehouse):
    def one(minute, name):
        return event(name, ts=text(at(minute)))

    a = warehouse.write("inference_events/a.jsonl", [one(1, "a1"), one(2, "a2")])
    warehouse.write("inference_events/b.jsonl", [one(1, "b1"), one(3, "b3")])
    c = warehouse.write("inference_events/c.jsonl.gz", [one(4, f"c{n}") for n in range(500)])
    assert changes(warehouse, at(6)) == {1: 2, 2: 1, 3: 1, 4: 500}
    # A torn line waits for its end, and an archive that is cut off gives what can be read of it.
    with a.open("a") as file:
        file.write(f'{{"request_id": "a5", "ts": "{text(at(5))}", "model": "churn",')
    c.write_bytes(c.read_bytes()[:-100])
    found = changes(warehouse, at(7))
    assert {**found, 4: 0} == {1: 2, 2: 1, 3: 1, 4: 0}
    assert 0 < found.get(4, 0) < 500
    with a.open("a") as file:
        file.write(' "model_version": "v1", "status": 200, "latency_ms": 3}\n')
    c.write_bytes(gzip.compress(b"broken"))
    assert changes(warehouse, at(8)) == {1: 2, 2: 1, 3: 1, 5: 1}
    # One is gone, one shrinks, and what was a repeat wins when the first is gone.
    warehouse.write("inference_events/d.jsonl", [one(4, "b1"), one(4, "b3")])
    assert changes(warehouse, at(9)) == {1: 2, 2: 1, 3: 1, 5: 1}
    (warehouse.landing / "inference_events/b.jsonl").unlink()
    warehouse.write("inference_events/a.jsonl", [one(2, "a2")])
    assert changes(warehouse, at(10)) == {2: 1, 4: 2}


def test_only_changed_minutes_are_made_again(warehouse):
    rng = random.Random(1)
    warehouse.write("inference_events/a.jsonl", requests(rng, 0, 5, 100, "a"))
    stream(warehouse, at(5))
    # Rows that no run makes again keep what somebody has put there.
    warehouse.execute(f"update {MINUTES} set request_count = 1000 + minute(window_start)")
    warehouse.write("inference_events/b.jsonl", requests(rng, 3, 4, 5, "b"))
    stream(warehouse, at(6))
    counts = dict(warehouse.query(f"select minute(window_start), request_count from {MINUTES}"))
    assert counts[3] < 1000
    assert counts.pop(3) > 5
    assert counts == {0: 1000, 1: 1001, 2: 1002, 4: 1004, 5: 0}


def test_the_state_is_that_of_the_lookback(warehouse):
    warehouse.vars["streaming_lookback_minutes"] = 10
    warehouse.vars["max_clock_skew_minutes"] = 5

    def send(minute):
        records = [event(f"{minute}-{n}", ts=text(at(minute, n))) for n in range(9)]
        # A repeat within the lookback, which must not win when the first is forgotten.
        records.append(event(f"{minute - 4}-0", ts=text(at(minute, 30)), latency_ms=1e6))
        path = warehouse.write(f"inference_events/{minute}.jsonl", records)
        changed = at(minute + 1).replace(tzinfo=UTC).timestamp()
        os.utime(path, (changed, changed))

    for minute in range(30):
        send(minute)
        if minute % 10 == 9:
            stream(warehouse, at(minute + 1, 2))
    found = shown(warehouse)
    assert set(found["request_count"]) == {9, 10}
    assert (found["request_count"] == 10).sum() == 4
    assert len(found) == 30
    held = warehouse.query(f"""
        select count(*) filter (where line_number = 0), count(*) filter (where line_number > 0),
            min(event_minute)
        from {LINES}
    """)
    assert held[0][0] <= 17
    assert held[0][1] <= 100
    assert held[0][2] == at(20)
    # A longer lookback reads again what it needs.
    warehouse.vars["streaming_lookback_minutes"] = 25
    stream(warehouse, at(30, 10))
    pd.testing.assert_frame_equal(shown(warehouse), found)
    assert warehouse.query(f"select min(event_minute) from {LINES}") == [(at(5),)]


def test_a_relation_in_place_of_files(warehouse):
    rng = random.Random(2)
    warehouse.vars["inference_events_relation"] = "own.events"
    first = requests(rng, 0, 10, 80, "a")
    warehouse.write("inference_events/a.jsonl", first)
    path = warehouse.landing / "inference_events/a.jsonl"
    warehouse.execute(f"create table own.events as from read_json('{path}')")
    warehouse.execute("insert into own.events by name (from own.events where request_id < 'a3')")
    stream(warehouse, at(10))
    assert_equal(shown(warehouse), expected(warehouse, at(10)))
    warehouse.write("inference_events/b.jsonl", requests(rng, 8, 12, 20, "b"))
    path = warehouse.landing / "inference_events/b.jsonl"
    warehouse.execute(f"insert into own.events by name (from read_json('{path}'))")
    stream(warehouse, at(12))
    assert_equal(shown(warehouse), expected(warehouse, at(12)))


def test_killed_at_any_model(warehouse, tmp_path):
    """A run that was killed leaves nothing that the next one does not mend."""
    rng = random.Random(4)
    first = requests(rng, 0, 10, 90, "a")
    warehouse.write("inference_events/a.jsonl", first)
    stream(warehouse, at(10))
    before = tmp_path / "before.duckdb"
    shutil.copy(warehouse.database, before)
    warehouse.write("inference_events/a.jsonl", first[10:])
    warehouse.write("inference_events/b.jsonl.gz", requests(rng, 8, 12, 30, "b") + first[:3])
    wanted = expected(warehouse, at(12))
    for model in ("int_streamed_calendar", "int_streamed_minutes", "int_streamed_as_of"):
        shutil.copy(before, warehouse.database)
        process = warehouse.start_dbt(*STREAM, ML_MONITORING_AS_OF=text(at(12)))
        for line in process.stdout:
            if re.search(rf"START .* model \w+\.{model} ", line):
                break
        process.kill()
        # What readers see until then is no mixture.
        assert len(shown(warehouse)) in (10, len(wanted))
        stream(warehouse, at(12))
        assert_equal(shown(warehouse), wanted)


def test_deployments_end_in_the_stream_too(warehouse):
    warehouse.own("deployments", DEPLOYMENT, [{}, {"version": "v0", "to": text(at(6))}])
    rng = random.Random(3)
    warehouse.write("inference_events/0.jsonl", requests(rng, 0, 3, 20, "a", model_version="v0"))
    run(warehouse, MAIN, at(4))
    warehouse.write("inference_events/1.jsonl", requests(rng, 4, 5, 9, "a", model_version="v1"))
    stream(warehouse, at(9))
    wanted = expected(warehouse, at(9), until={"v0": at(6)})
    assert_equal(shown(warehouse), wanted)
    assert MODEL["name"] in set(wanted["model_name"])
