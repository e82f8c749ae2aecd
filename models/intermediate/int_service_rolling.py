"""Grain: one model_name, model_version, role, slice and closed window of a size that a target
names. Windows under an hour end each minute, under a day each hour, all others each day.
"""

import pyarrow as pa

from service_tables import MINUTE_US, SERVICE_WINDOWS, rolling_table
from windows import consecutive_runs

HOUR_US = 60 * MINUTE_US
MEASURES = """
    request_count, error_count, latency_count,
    coalesce(slow_count, 0) as slow_count,
    case when slow_count is null then latency_count else 0 end as unjudged_count,
    coalesce(latency_sum % 4294967296, 0)::bigint as latency_low,
    coalesce(latency_sum // 4294967296, 0)::bigint as latency_high,
    latency_max_ms, latency_histogram, inference_time_histogram
"""


def model(dbt, session):
    dbt.config(
        materialized="incremental",
        incremental_strategy="append",
    )
    wanted = dbt.ref("int_rolling_windows")
    minutes = dbt.ref("int_service_minutes").project(
        f"*, 'all' as slice_key, 'all' as slice_value, {MEASURES}"
    )
    hours = dbt.ref("int_service_hours").project(f"*, {MEASURES}")
    spans = dbt.ref("int_service_spans").to_arrow_table()
    held = str(dbt.this) if dbt.is_incremental else "wanted where false"

    tables = [SERVICE_WINDOWS.empty_table()]
    sizes = session.sql("select distinct window_size, slice_key, minutes from wanted order by all")
    for window_size, slice_key, width in sizes.fetchall():
        key = {"window_size": window_size, "slice_key": slice_key}
        stale = session.sql(
            f"""
            select epoch_us(bucket) as bucket, revision from wanted
            where window_size = $window_size and slice_key = $slice_key and bucket not in (
                select bucket from {held}
                {"and" if "where" in held else "where"} window_size = $window_size
                    and slice_key = $slice_key
            )
            order by bucket
            """,
            params=key,
        ).to_arrow_table()
        source = minutes if width < 60 else hours
        bucket_us = HOUR_US if width < 1440 else 24 * HOUR_US
        longest = 7 * 24 if width < 60 else 52 * 7 * 24
        for run in consecutive_runs(stale["bucket"].to_numpy(), bucket_us, longest):
            rows = session.sql(
                """
                select * from source
                where slice_key = $slice_key and window_start < make_timestamp($last)
                    and window_start >= make_timestamp($first)
                """,
                params={"slice_key": slice_key, "last": run.stop}
                | {"first": run.start - width * MINUTE_US},
            ).to_arrow_table()
            tables.append(rolling_table(rows, spans, stale, run, width=width, **key))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
