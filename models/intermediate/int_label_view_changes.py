"""Grain: one model_name, model_version, role, slice, closed window of whole days and metric of a
classifier.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from label_view_tables import LABEL_VIEW_CHANGES, label_view_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_labelled_days")
    performance = dbt.ref("int_performance")
    models = dbt.ref("int_monitored_models")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").project("grid, calibration_bins").fetchall()
    (calibration_bins,) = (np.array(bins) for grid, bins in edges if grid == "fine")
    stale = stale_windows(dbt, session, dbt.ref("int_label_windows"))

    tables = [LABEL_VIEW_CHANGES.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        params = {
            "first": pc.min(ends["window_end"]).as_py(),
            "last": pc.max(ends["window_end"]).as_py(),
            "size": size,
        }
        rows = session.sql(
            """
            select * from days
            where slice_key = 'all' and event_date < $last
                and event_date >= $first::date - to_days($size::integer)
            """,
            params=params,
        ).to_arrow_table()
        views = session.sql(
            """
            select performance.* from performance
            inner join stale using (window_size, window_end)
            inner join models using (model_name)
            where slice_key = 'all' and days = $size and task = 'binary_classification'
            """,
            params={"size": size},
        ).to_arrow_table()
        tables.append(
            label_view_table(rows, views, ends, calibration_bins, size=size, settings=settings)
        )
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
