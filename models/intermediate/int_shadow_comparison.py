"""Grain: one model_name, model_version that was a shadow, live_version, slice, closed window of
whole days and label_view; also the groups of each protected attribute together.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from shadow_tables import COMPARISON, DIVIDED_BINS, comparison_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_shadow_days")
    labelled = dbt.ref("int_shadow_label_days")
    models = dbt.ref("int_monitored_models").project("model_name, protected_attributes").fetchall()
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").filter("grid = 'fine'").project("calibration_bins")
    [(calibration_bins,)] = edges.fetchall()
    stale = stale_windows(dbt, session, dbt.ref("int_shadow_windows"))

    def rows_of(days, ends, size):  # noqa: ARG001
        """Rows of the days that some windows are made from."""
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

    tables = [COMPARISON.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        tables.append(
            comparison_table(
                rows_of(days, ends, size),
                rows_of(labelled, ends, size),
                ends,
                np.repeat(calibration_bins, DIVIDED_BINS),
                dict(models),
                size=size,
                settings=settings,
            )
        )
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
