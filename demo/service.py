"""What is simulated: the service around the model. Flights have no servers.

Every draw is made for all flights of the year, whatever part of it is wanted, from a generator
of its own name: a demo of one week holds the very lines of that week in the demo of the year.
"""

import zlib

import numpy as np
import pandas as pd

BASE_ERROR_RATE = 0.001
# v2 is a bigger model: its inference takes 20 % longer, which makes requests 8 % slower.
INFERENCE_MEDIAN_MS = {"v1": 26.0, "v2": 31.2}


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator for one purpose, independent of all others."""
    return np.random.default_rng([seed, zlib.crc32("/".join(names).encode())])


def request_times(flights: pd.DataFrame, *, seed: int) -> pd.Series:
    """When each prediction is asked for: within the minute of the scheduled departure."""
    jitter_ms = generator(seed, "ts").integers(0, 60_000, len(flights))
    return flights["scheduled_at"] + pd.to_timedelta(jitter_ms, unit="ms").as_unit("us")


def answers(flights: pd.DataFrame, version: str, role: str, *, seed: int) -> pd.DataFrame:
    """How the service answers each flight's request.

    A request waits for the weather API (exponential), for the model (log-normal) and a little
    for the rest. Together: a median near 57 ms, a 95th percentile near 130 ms, a 99th near 180 ms
    for v1. One request in a thousand fails.

    Returns
    -------
    pandas.DataFrame
        Indexed as `flights`: `status`, `upstream_status`, `upstream_ms`, `inference_time_ms`,
        `overhead_ms`, `trace_id`, and `chance`, uniform in [0, 1): what has a smaller share than
        it happens to another request.
    """
    rng = generator(seed, "service", version, role)
    count = len(flights)
    chance = rng.random(count)
    trace_ids = rng.bytes(16 * count).hex()
    return pd.DataFrame(
        {
            "status": np.where(chance < BASE_ERROR_RATE, 500, 200),
            "upstream_status": 200,
            "upstream_ms": 2.0 + rng.exponential(32.0, count),
            "inference_time_ms": rng.lognormal(np.log(INFERENCE_MEDIAN_MS[version]), 0.3, count),
            "overhead_ms": rng.uniform(2.0, 6.0, count),
            # A client in thirty does not trace.
            "trace_id": [
                trace_ids[32 * i : 32 * (i + 1)] if is_traced else None
                for i, is_traced in enumerate(rng.random(count) < 29 / 30)
            ],
            "chance": chance,
        },
        index=flights.index,
    )


def label_times(flights: pd.DataFrame, *, seed: int) -> pd.Series:
    """When each flight's label is known: null for flights that never landed as planned.

    A quarter of an hour after landing at the earliest, an hour after it in the median, and one
    to three days after it for 3 % of the flights.
    """
    rng = generator(seed, "labels")
    count = len(flights)
    processing_min = 15.0 + np.minimum(rng.lognormal(np.log(45.0), 0.9, count), 12 * 60)
    is_slow = rng.random(count) < 0.03
    processing_min = np.where(is_slow, rng.uniform(24 * 60, 72 * 60, count), processing_min)
    lag = pd.to_timedelta(np.round(processing_min * 60_000), unit="ms").as_unit("us")
    return flights["landed_at"] + lag
