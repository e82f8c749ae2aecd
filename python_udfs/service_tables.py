"""Between Arrow tables of service summaries and the arrays of ``service_windows``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrow_tables import SERIES, histograms, series_of
from service_windows import Summaries, rolling_service_levels

MINUTE_US = 60_000_000
SUMS = (
    "request_count",
    "error_count",
    "latency_count",
    "slow_count",
    "unjudged_count",
    "latency_low",
    "latency_high",
)
COUNTS = ("request_count", "error_count", "latency_count", "slow_count")
LEVELS = (
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "latency_mean_ms",
    "latency_max_ms",
    "inference_time_p50_ms",
    "inference_time_p95_ms",
)
SERVICE_WINDOWS = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in SERIES],
        pa.field("window_size", pa.string()),
        pa.field("window_start", pa.timestamp("us")),
        pa.field("window_end", pa.timestamp("us")),
        *[pa.field(name, pa.int64()) for name in COUNTS],
        *[pa.field(name, pa.float64()) for name in LEVELS],
        pa.field("bucket", pa.timestamp("us")),
        pa.field("revision", pa.uint64()),
    ]
)


def rolling_table(
    rows: pa.Table,
    spans: pa.Table,
    buckets: pa.Table,
    run: range,
    *,
    width: int,
    window_size: str,
    slice_key: str,
) -> pa.Table:
    """Service levels of all windows of one size that end in a run of buckets.

    Parameters
    ----------
    rows : Table
        The summaries of the minutes (windows under an hour) or hours that the windows look back
        on: the columns of ``SERIES`` and ``SUMS``, ``window_start``, ``latency_max_ms`` and both
        histograms.
    spans : Table
        ``model_name``, ``model_version``, ``role``, ``span_start``, ``span_end``: only windows
        that end in the span of their version are given; whole models also where silent.
    buckets : Table
        ``bucket`` (in microseconds) and ``revision``, rising.
    run : range
        The buckets to build, in microseconds.
    width : int
        The length of the windows in minutes.
    window_size, slice_key : str
        As they are to stand in the result.

    Returns
    -------
    Table
        With the schema ``SERVICE_WINDOWS``.
    """
    unit = MINUTE_US if width < 60 else 60 * MINUTE_US
    steps = width * MINUTE_US // unit
    n_windows = (run.stop - run.start) // unit
    ends = run.start + unit * np.arange(1, n_windows + 1)
    # Windows of a day and more end at midnight only.
    at_end = ends % run.step == 0 if width >= 1440 else np.ones(n_windows, bool)

    span_of = {
        tuple(span[:3]): tuple(map(as_microseconds, span[3:]))
        for span in zip(
            *(spans[name].to_pylist() for name in (*SERIES[:3], "span_start", "span_end")),
            strict=True,
        )
    }
    series = series_of(rows)
    if slice_key == "all":
        series = {(*key, "all", "all"): np.array([], int) for key in span_of} | series

    starts = rows["window_start"].cast(pa.int64()).to_numpy()
    revisions = dict(
        zip(*(buckets[name].to_pylist() for name in ("bucket", "revision")), strict=True)
    )
    tables = []
    for key, positions in sorted(series.items()):
        span_start, span_end = span_of[key[:3]]
        wanted = at_end & (ends > span_start) & (ends <= span_end)
        if not wanted.any():
            continue
        part = rows.take(pa.array(positions, pa.int64()))
        summaries = Summaries(
            step=(starts[positions] - (ends[0] - width * MINUTE_US)) // unit,
            sums=np.column_stack([part[name].to_numpy() for name in SUMS]).astype(np.int64),
            latency_max_ms=part["latency_max_ms"].to_numpy(),
            latency=histograms(part["latency_histogram"]),
            inference_time=histograms(part["inference_time_histogram"]),
        )
        levels = rolling_service_levels(summaries, n_windows=n_windows, width=steps)
        if slice_key != "all":
            wanted &= levels["request_count"] > 0
        size = int(wanted.sum())
        window_end = ends[wanted]
        bucket = (window_end - 1) // run.step * run.step
        tables.append(
            pa.table(
                [
                    *[pa.repeat(pa.scalar(value), size) for value in key],
                    pa.repeat(pa.scalar(window_size), size),
                    pa.array(window_end - width * MINUTE_US, pa.timestamp("us")),
                    pa.array(window_end, pa.timestamp("us")),
                    # NaN is no number: it becomes null.
                    *[
                        pa.array(levels[name][wanted], pa.int64(), from_pandas=True)
                        for name in COUNTS
                    ],
                    *[
                        pa.array(levels[name][wanted], pa.float64(), from_pandas=True)
                        for name in LEVELS
                    ],
                    pa.array(bucket, pa.timestamp("us")),
                    pa.array([revisions[start] for start in bucket.tolist()], pa.uint64()),
                ],
                schema=SERVICE_WINDOWS,
            )
        )
    return pa.concat_tables(tables or [SERVICE_WINDOWS.empty_table()])


def as_microseconds(moment: object) -> int:
    """Microseconds since 1970 of a naive UTC datetime."""
    return int(np.datetime64(moment, "us").astype(np.int64))
