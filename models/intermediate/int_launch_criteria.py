"""Grain: one model_name, model_version that was a shadow, live_version, window_end of a look and
criterion.
"""

import numpy as np
import pyarrow as pa

from launch_tables import CRITERIA, criteria_table
from shadow_tables import DIVIDED_BINS


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_shadow_days")
    labelled = dbt.ref("int_shadow_label_days")
    models = dbt.ref("int_monitored_models")
    margins = dbt.ref("stg_launch_margins").to_arrow_table().sort_by("criterion")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").filter("grid = 'fine'").project("calibration_bins")
    [(calibration_bins,)] = edges.fetchall()
    looks = dbt.ref("int_launch_looks")
    held = str(dbt.this) if dbt.is_incremental else "looks where false"
    # DuckDB finds relations by the name of their variable.
    stale = session.sql(f"""
        select * from looks
        where (model_name, model_version, window_end) not in (
            select (model_name, model_version, window_end) from {held}
        )
        order by all
    """).to_arrow_table()

    tables = [CRITERIA.empty_table()]
    # One version at a time: its days are all that is in memory.
    for name, version in sorted(
        set(zip(stale["model_name"].to_pylist(), stale["model_version"].to_pylist(), strict=True))
    ):
        params = {"name": name, "version": version}
        of_version = "model_name = $name and model_version = $version"
        tables.append(
            criteria_table(
                session.sql(
                    f"select * from days where {of_version} and slice_key = 'all' order by all",
                    params=params,
                ).to_arrow_table(),
                session.sql(
                    f"""
                    select labelled.* from labelled inner join models using (model_name)
                    where {of_version}
                        and (slice_key = 'all' or list_contains(protected_attributes, slice_key))
                    order by all
                    """,
                    params=params,
                ).to_arrow_table(),
                session.sql(
                    f"select * from stale where {of_version} order by all", params=params
                ).to_arrow_table(),
                margins,
                np.repeat(calibration_bins, DIVIDED_BINS),
                settings=settings,
            )
        )
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
