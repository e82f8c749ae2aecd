"""The pure parts of the benchmarks: what the generator writes, and how work is counted."""

import gzip
import json
import sys
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import peers, report
from benchmarks.builds import Measured
from benchmarks.generate_events import INPUTS, make_hour, write_day, write_days
from benchmarks.measure import BenchmarkError, median_run, require_disk, run_process, table

HOUR = datetime(2024, 1, 2, 6)
DAY = 1
COUNTS = [3] * 24


TIMES = {"ts", "labeled_at"}


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def read_lines(landing, name):
    """Read .jsonl.gz files, with times as Parquet has them."""
    records = []
    for path in sorted((landing / name).rglob("*.jsonl.gz")):
        records += map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    for record in records:
        for field in TIMES & record.keys():
            record[field] = datetime.fromisoformat(record[field]).replace(tzinfo=None)
    return records


def test_the_same_arguments_give_the_same_files(tmp_path):
    for landing in ("one", "two"):
        write_day(tmp_path / landing, DAY, COUNTS, "jsonl")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 48


def test_days_do_not_depend_on_the_number_of_processes(tmp_path):
    write_days(tmp_path / "one", 0, 2, 100, processes=1)
    write_days(tmp_path / "two", 0, 2, 100, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(read_lines(tmp_path / "one", "inference_events")) == 100


def test_both_formats_hold_the_same_values(tmp_path):
    for file_format in ("jsonl", "parquet"):
        write_day(tmp_path, DAY, COUNTS, file_format)
    for name in INPUTS:
        rows = pq.read_table(tmp_path / name / "2024-01-02.parquet").to_pylist()
        assert len(rows) > 0
        assert read_lines(tmp_path, name) == rows


def test_an_hour_is_like_a_service():
    events, labels = make_hour(HOUR, 20_000, np.random.default_rng(1))
    ts = events["ts"].to_numpy()
    assert HOUR <= ts.min().astype(datetime) < ts.max().astype(datetime) < HOUR + timedelta(hours=1)
    failed = np.array(events["status"]) >= 400
    assert 0 < failed.mean() < 0.01
    assert events["score"].null_count == failed.sum()
    assert 0.94 < len(labels) / len(events) < 0.96
    missing = events["features"].combine_chunks().field("number_00").null_count
    assert 0.005 < missing / len(events) < 0.015


def test_an_hour_without_events_has_empty_files(tmp_path):
    write_day(tmp_path, DAY, [0] * 24, "jsonl")
    assert set(map(gzip.decompress, contents(tmp_path).values())) == {b""}


def test_compared_rows_are_those_of_windows_with_a_result():
    with duckdb.connect() as connection:
        connection.execute("create schema ml_monitoring")
        connection.execute("""
            create table ml_monitoring.feature_drift as
            from (values
                ('all', '1d', 'baseline', 'number', 10, 0.1),
                ('all', '1d', 'baseline', 'number', 20, 0.1),
                ('all', '1d', 'previous', 'number', 30, 0.1),
                ('all', '7d', 'baseline', 'number', 40, 0.1),
                ('country', '1d', 'baseline', 'number', 50, 0.1),
                ('all', '1d', 'baseline', 'number', 1000, null),
                ('all', '1d', 'baseline', 'prediction', 2000, 0.1)
            ) as rows (slice_key, window_size, comparison, feature_type, current_count, psi)
        """)
        assert peers.count_compared(connection, "drift") == [30, 100, 150]


def test_labelled_rows_are_counted_once_for_each_window():
    with duckdb.connect() as connection:
        connection.execute("create schema ml_monitoring")
        connection.execute("""
            create table ml_monitoring.model_performance as
            from (values
                ('all', '1d', 'latest', 10, 0.7),
                ('all', '7d', 'latest', 20, 0.7),
                ('all', '7d', 'as_known', 30, 0.7),
                ('device', '1d', 'latest', 40, 0.7),
                ('all', '1d', 'latest', 1000, null)
            ) as rows (slice_key, window_size, label_view, labeled_count, roc_auc)
        """)
        assert peers.count_compared(connection, "auc") == [10, 30, 100]


def test_the_time_of_each_is_in_nanoseconds():
    assert peers.nanoseconds_each(2.0, 1_000_000) == pytest.approx(2000)
    assert peers.nanoseconds_each(2.0, 0) == float("inf")


def test_the_median_is_a_run_that_took_place():
    runs = [Measured(exit_code=0, wall=wall, peak=1) for wall in (3.0, 9.0, 4.0)]
    assert median_run(runs) is runs[2]


def test_a_table_is_markdown():
    text = table(["what", "s"], [["one", 1234], ["two", "5.0"]])
    assert text == "| what | s |\n| --- | ---: |\n| one | 1,234 |\n| two | 5.0 |"


def test_a_process_is_measured_by_itself():
    process = run_process(
        [sys.executable, "-c", "import time; x = b'x' * 2**28; time.sleep(0.3); print(len(x))"],
        keep_output=True,
    )
    assert process.exit_code == 0
    assert process.output == f"{2**28}\n"
    assert process.wall > 0.3
    assert 0.25 < process.peak < 2


def test_a_disk_that_is_too_small_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"needs some 1000000000\.0 GiB of disk"):
        require_disk(tmp_path, 1e9, "A build of 1 events")


def test_a_model_is_there_by_as_many_names_as_asked_for(tmp_path):
    published = tmp_path / "published.duckdb"
    with duckdb.connect(str(published)) as connection:
        connection.execute("""
            create schema made;
            create table made.levels as
            select 'model 01' as model_name, range as day from range(3);
            create table made.alerts as select 'model 01' as model_name, 'a' || range as alert_id
            from range(2);
            create table made.lines as select alert_id, 1 as line from made.alerts;
            create table made.files as select 1 as file;
        """)
    report.multiply(published, 3)
    with duckdb.connect(str(published)) as connection:
        levels = connection.sql("from made.levels order by all").fetchall()
        alerts = connection.sql("from made.alerts").fetchall()
        lines = connection.sql("select alert_id from made.lines").fetchall()
        assert connection.sql("from made.files").fetchall() == [(1,)]
    assert levels == [(f"model 0{number}", day) for number in (1, 2, 3) for day in range(3)]
    assert sorted(name for name, _ in alerts) == [row[0] for row in levels if row[1] < 2]
    assert len({key for _, key in alerts}) == 6
    assert {key for _, key in alerts} == {key for (key,) in lines}


def test_days_of_the_report_have_shadows_and_incidents(tmp_path):
    for day in (0, 3, 4, 45):
        report.write_day(tmp_path, day, 8, 50)
    events = [
        pq.read_table(tmp_path / "inference_events" / name).to_pylist()
        for name in ("2024-01-01.parquet", "2024-01-05.parquet", "2024-02-15.parquet")
    ]
    served = [{(row["model_version"], row["role"]) for row in rows} for rows in events]
    assert served == [{("v1", "live"), ("v2", "shadow")}, {("v2", "live")}, {("v2", "live")}]
    assert len(events[0]) == 100 and len(events[0][0]["features"]) == 50
    typical = [np.median([row["latency_ms"] for row in rows]) for rows in events]
    assert typical[2] > 2 * typical[1]
