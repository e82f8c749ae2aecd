"""Grain: one model_name, model_version, role, slice, closed window of whole days and label_view."""

import pyarrow as pa

from incremental import stale_windows
from label_tables import COVERAGE, coverage_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_label_coverage_days")
    stale = stale_windows(dbt, session, dbt.ref("int_label_windows"))

    tables = [COVERAGE.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pa.compute.equal(stale["days"], size))
        rows = session.sql(
            """
            select * from days
            where event_date < $last and event_date >= $first::date - to_days($size::integer)
            order by all
            """,
            params={
                "first": pa.compute.min(ends["window_end"]).as_py(),
                "last": pa.compute.max(ends["window_end"]).as_py(),
                "size": size,
            },
        ).to_arrow_table()
        tables.append(coverage_table(rows, ends))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
