"""Grain: one model_name, model_version, role, slice, closed window of whole days, label_view and
metric of a classifier.
"""

import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from slice_tables import DAY_COLUMNS, SLICE_CHANGES, slice_change_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_labelled_days")
    coverage = dbt.ref("int_label_coverage")
    models = dbt.ref("int_monitored_models")
    all_periods = dbt.ref("int_baseline_periods")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").project("grid, calibration_bins").fetchall()
    (n_bins,) = (len(bins) for grid, bins in edges if grid == "coarse")
    stale = stale_windows(dbt, session, dbt.ref("int_slice_windows"))
    columns = ", ".join(DAY_COLUMNS)
    periods = session.sql("""
        select
            model_name, model_version, all_periods.baseline_start, all_periods.baseline_end
        from all_periods inner join models using (model_name, baseline_version)
        where kind = 'score' and task = 'binary_classification'
        order by all
    """).to_arrow_table()
    # Counts are whole numbers: their sums are the same in any order.
    reference_days = session.sql(f"""
        select {columns} from days inner join periods using (model_name, model_version)
        where slice_key <> 'all' and event_date >= baseline_start and event_date < baseline_end
    """).to_arrow_table()

    tables = [SLICE_CHANGES.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        params = {
            "first": pc.min(ends["window_end"]).as_py(),
            "last": pc.max(ends["window_end"]).as_py(),
            "size": size,
        }
        rows = session.sql(
            f"""
            select {columns} from days
            where slice_key <> 'all' and event_date < $last
                and event_date >= $first::date - to_days($size::integer)
            """,
            params=params,
        ).to_arrow_table()
        covered = session.sql(
            """
            select coverage.* from coverage inner join models using (model_name)
            where slice_key <> 'all' and window_size = $size || 'd'
                and window_end between $first and $last
                and labeled_count >= min_label_coverage * prediction_count
            """,
            params=params,
        ).to_arrow_table()
        tables.append(
            slice_change_table(
                rows,
                reference_days,
                periods.to_pylist(),
                covered,
                ends,
                size=size,
                n_bins=n_bins,
                settings=settings,
            )
        )
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
