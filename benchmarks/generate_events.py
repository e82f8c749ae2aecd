"""Make landing files of any size: ``python -m benchmarks.generate_events --events 1_000_000``.

Events of one model with 20 numerical and 5 categorical features, two slices and labels for 95 %
of them: a .jsonl.gz file an hour, or a .parquet file a day. The values come from a seeded
generator and drift a little. The same arguments give the same values, on any number of processes
and in both formats.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

START = datetime(2024, 1, 1)
NUMERICAL = [f"number_{position:02}" for position in range(20)]
CATEGORICAL = [f"category_{position}" for position in range(5)]
COUNTRIES = ["de", "fr", "it", "es", "pl", "nl", "at", "ch", "be", "dk"]
DEVICES = ["phone", "tablet", "desktop", "watch"]
MODEL = {
    "name": "benchmark",
    "task": "binary_classification",
    "baseline": {"days": 7},
    "features": [
        *({"name": name, "type": "numerical"} for name in NUMERICAL),
        *({"name": name, "type": "categorical"} for name in CATEGORICAL),
    ],
    "slices": ["country", "device"],
    "protected_attributes": ["device"],
}
INPUTS = ["inference_events", "labels"]


# Values


def make_hour(hour: datetime, count: int, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """Make the events of one hour, and their labels, with the fields of the contracts."""
    second = np.sort(rng.uniform(0, 3600, count))
    age = (hour - START) / timedelta(days=30)
    numbers = rng.normal(size=(count, len(NUMERICAL))) * np.arange(1, 21) + 0.2 * age
    # Some are whole numbers, some are mostly 0, and one in a hundred is missing.
    numbers[:, 15:18] = np.round(numbers[:, 15:18])
    numbers[:, 18:] = np.maximum(numbers[:, 18:], 0)
    missing = rng.random(numbers.shape) < 0.01
    categories = rng.zipf(1.5, (count, len(CATEGORICAL))) % 300
    countries = rng.choice(len(COUNTRIES), count, p=np.arange(10, 0, -1) / 55)
    devices = rng.choice(len(DEVICES), count, p=[0.6, 0.1, 0.28, 0.02])
    logit = 0.8 * numbers[:, 0] - 1.5 + 0.1 * devices
    score = 1 / (1 + np.exp(-logit))
    label = rng.random(count) < score
    latency = rng.lognormal(3.5, 0.5, count)
    status = np.where(rng.random(count) < 0.002, 503, 200)
    delay = rng.exponential(20, count)
    has_label = rng.random(count) < 0.95

    request_ids = pa.array([f"{hour:%Y%m%d%H}-{row}" for row in range(count)], pa.string())
    ts = np.datetime64(hour, "ms") + (second * 1e3).astype("timedelta64[ms]")
    rounded = np.round(numbers, 6)
    features = {
        name: pa.array(rounded[:, position], mask=missing[:, position])
        for position, name in enumerate(NUMERICAL)
    } | {
        name: chosen([f"c{value}" for value in range(300)], categories[:, position])
        for position, name in enumerate(CATEGORICAL)
    }
    attributes = {"country": chosen(COUNTRIES, countries), "device": chosen(DEVICES, devices)}
    events = {
        "request_id": request_ids,
        "ts": pa.array(ts),
        "model": pa.repeat(MODEL["name"], count),
        "model_version": pa.repeat("v1", count),
        "status": pa.array(status),
        "latency_ms": pa.array(np.round(latency, 3)),
        "score": pa.array(score, mask=status >= 400),
        "features": pa.StructArray.from_arrays(list(features.values()), list(features)),
        "attributes": pa.StructArray.from_arrays(list(attributes.values()), list(attributes)),
    }
    labels = {
        "request_id": request_ids,
        "label": pa.array(label.astype(np.int64)),
        "labeled_at": pa.array(ts + (delay * 3.6e6).astype("timedelta64[ms]")),
    }
    return pa.table(events), pa.table(labels).filter(pa.array(has_label))


def chosen(names: list[str], positions: np.ndarray) -> pa.Array:
    """Pick names by their positions."""
    return pa.array(names).take(pa.array(positions))


# Files


def json_lines(table: pa.Table) -> bytes:
    """Write a table as lines of JSON, column by column: rows one by one take far longer."""
    lines = json_objects(table.schema, table.combine_chunks().columns, table.num_rows)
    _, ends, text = pc.binary_join_element_wise(lines, "", "\n").buffers()
    # Arrow holds the texts of a column one after the other, as a file does.
    return text.to_pybytes()[: np.frombuffer(ends, np.int32)[table.num_rows]] if text else b""


def json_objects(fields: pa.Schema | pa.StructType, columns: list, count: int) -> pa.Array:
    """Join columns to one JSON object a row."""
    pieces = []
    for field, column in zip(fields, columns, strict=True):
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        pieces += [f'{", " if pieces else "{"}"{field.name}": ', json_values(column)]
    return pc.binary_join_element_wise(*pieces, "}", "") if count else pa.array([], pa.string())


def json_values(column: pa.Array) -> pa.Array:
    """Write each value of a column as JSON; no text of these has anything to escape."""
    if pa.types.is_struct(column.type):
        return json_objects(column.type, column.flatten(), len(column))
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
    elif not pa.types.is_string(column.type):
        return pc.fill_null(column.cast(pa.string()), "null")
    return pc.binary_join_element_wise('"', column, '"', "")


def write_hour(landing: Path, hour: datetime, count: int, rng: np.random.Generator) -> None:
    """Write the events of one hour, and their labels, as .jsonl.gz files."""
    for name, table in zip(INPUTS, make_hour(hour, count, rng), strict=True):
        path = landing / name / f"{hour:%Y-%m-%d}" / f"{hour:%H}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(json_lines(table), compresslevel=1, mtime=0))


def write_day(landing: Path, day: int, counts: list[int], file_format: str) -> int:
    """Write so many events an hour of the day so many days after the first; returns the day."""
    hours = [START + timedelta(days=day, hours=hour) for hour in range(24)]
    generators = [np.random.default_rng([7, 24 * day + hour]) for hour in range(24)]
    if file_format == "jsonl":
        for hour, count, rng in zip(hours, counts, generators, strict=True):
            write_hour(landing, hour, count, rng)
        return day
    made = [make_hour(*args) for args in zip(hours, counts, generators, strict=True)]
    for name, tables in zip(INPUTS, zip(*made, strict=True), strict=True):
        path = landing / name / f"{hours[0]:%Y-%m-%d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(tables), path, compression="zstd")
    return day


def write_days(
    landing: Path,
    first_day: int,
    days: int,
    events: int,
    *,
    file_format: str = "jsonl",
    processes: int | None = None,
) -> None:
    """Write so many events, spread over the hours of so many days, and their labels."""
    ends = [events * hour // (24 * days) for hour in range(24 * days + 1)]
    counts = [end - start for start, end in pairwise(ends)]
    # Arrow has threads of its own, which no fork survives: the processes start anew.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes or os.cpu_count(), days), context) as pool:
        tasks = [
            pool.submit(
                write_day, landing, first_day + day, counts[24 * day : 24 * day + 24], file_format
            )
            for day in range(days)
        ]
        for number, task in enumerate(tasks, 1):
            day = task.result()
            if number % 10 == 0 or number == days:
                print(f"  wrote day {day + 1}, {number} of {days}", flush=True)


def main() -> int:
    """Write the landing files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--first-day", type=int, default=0, help="days after the first of 2024")
    parser.add_argument("--landing", type=Path, default=Path("data/benchmark/landing"))
    parser.add_argument("--format", choices=["jsonl", "parquet"], default="jsonl")
    parser.add_argument("--processes", type=int, help="default: one for each core")
    arguments = parser.parse_args()
    write_days(
        arguments.landing,
        arguments.first_day,
        arguments.days,
        arguments.events,
        file_format=arguments.format,
        processes=arguments.processes,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
