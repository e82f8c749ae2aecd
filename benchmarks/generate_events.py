"""Make landing files of any size: ``python -m benchmarks.generate_events --events 1_000_000``.

Events of one model with 20 numerical and 5 categorical features, two slices and labels for 95 %
of them, as one .jsonl.gz file an hour. The values come from a seeded generator and drift a little.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

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


def write_hour(landing: Path, hour: datetime, count: int, rng: np.random.Generator) -> None:
    """Write the events of one hour, and their labels."""
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

    name = f"{hour:%Y-%m-%d}/{hour:%H}.jsonl.gz"
    events = landing / "inference_events" / name
    labels = landing / "labels" / name
    for path in (events, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        gzip.open(events, "wt", compresslevel=1) as event_file,
        gzip.open(labels, "wt", compresslevel=1) as label_file,
    ):
        for row in range(count):
            request_id = f"{hour:%Y%m%d%H}-{row}"
            moment = hour + timedelta(seconds=float(second[row]))
            event = {
                "request_id": request_id,
                "ts": moment.isoformat(timespec="milliseconds") + "Z",
                "model": MODEL["name"],
                "model_version": "v1",
                "status": int(status[row]),
                "latency_ms": round(float(latency[row]), 3),
                "score": float(score[row]) if status[row] < 400 else None,
                "features": {
                    name: None if missing[row, position] else round(float(value), 6)
                    for position, (name, value) in enumerate(
                        zip(NUMERICAL, numbers[row], strict=True)
                    )
                }
                | {
                    name: f"c{value}"
                    for name, value in zip(CATEGORICAL, categories[row], strict=True)
                },
                "attributes": {
                    "country": COUNTRIES[countries[row]],
                    "device": DEVICES[devices[row]],
                },
            }
            event_file.write(json.dumps(event) + "\n")
            if has_label[row]:
                labeled_at = moment + timedelta(hours=float(delay[row]))
                record = {
                    "request_id": request_id,
                    "label": int(label[row]),
                    "labeled_at": labeled_at.isoformat(timespec="milliseconds") + "Z",
                }
                label_file.write(json.dumps(record) + "\n")


def write_days(landing: Path, first_day: int, days: int, events: int) -> None:
    """Write so many events, spread over the hours of so many days, and their labels."""
    hours = days * 24
    for number in range(hours):
        count = events * (number + 1) // hours - events * number // hours
        hour = 24 * first_day + number
        rng = np.random.default_rng([7, hour])
        write_hour(landing, START + timedelta(hours=hour), count, rng)
        if number % 24 == 23:
            print(f"day {hour // 24 + 1}, {(number + 1) // 24} of {days}", flush=True)


def main() -> int:
    """Write the landing files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--first-day", type=int, default=0, help="days after the first of 2024")
    parser.add_argument("--landing", type=Path, default=Path("data/benchmark/landing"))
    arguments = parser.parse_args()
    write_days(arguments.landing, arguments.first_day, arguments.days, arguments.events)
    return 0


if __name__ == "__main__":
    sys.exit(main())
