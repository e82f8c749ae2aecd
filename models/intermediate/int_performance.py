"""Grain: one model_name, model_version, role, slice, closed window of whole days and label_view
with labelled predictions of a classifier.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from performance_tables import PERFORMANCE, performance_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_labelled_days")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").project("grid, calibration_bins").fetchall()
    grids = {grid: np.array(calibration_bins) for grid, calibration_bins in edges}
    stale = stale_windows(dbt, session, dbt.ref("int_label_windows"))

    tables = [PERFORMANCE.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        rows = session.sql(
            """
            select * from days
            where event_date < $last and event_date >= $first::date - to_days($size::integer)
            order by all
            """,
            params={
                "first": pc.min(ends["window_end"]).as_py(),
                "last": pc.max(ends["window_end"]).as_py(),
                "size": size,
            },
        ).to_arrow_table()
        tables.append(performance_table(rows, ends, grids, size=size, settings=settings))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
