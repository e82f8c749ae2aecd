"""Grain: one model_name, model_version, role, slice, closed window of whole days and label_view
with labelled predictions.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from multiclass_tables import multiclass_table
from performance_tables import PERFORMANCE, performance_table
from regression_tables import regression_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    binary_days = dbt.ref("int_labelled_days")
    regression_days = dbt.ref("int_regression_days")
    multiclass_days = dbt.ref("int_multiclass_days")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").project("grid, calibration_bins").fetchall()
    grids = {grid: np.array(calibration_bins) for grid, calibration_bins in edges}
    stale = stale_windows(dbt, session, dbt.ref("int_label_windows"))

    def days_of(days, ends, size):  # noqa: ARG001
        """Rows of labelled days that some windows are made from."""
        # DuckDB finds `days` here by the name of the variable.
        return session.sql(
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

    tables = [PERFORMANCE.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        of_windows = {"ends": ends, "size": size, "settings": settings}
        tables += [
            performance_table(days_of(binary_days, ends, size), grids=grids, **of_windows),
            regression_table(days_of(regression_days, ends, size), **of_windows),
            multiclass_table(days_of(multiclass_days, ends, size), **of_windows),
        ]
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
