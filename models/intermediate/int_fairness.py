"""Grain: one model_name, model_version, role, protected attribute, closed window of whole days,
label_view and metric.
"""

from fairness_tables import fairness_table
from incremental import stale_windows


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    stale = stale_windows(dbt, session, dbt.ref("int_label_windows"))
    performance = dbt.ref("int_performance")
    coverage = dbt.ref("int_label_coverage")
    models = dbt.ref("int_monitored_models")
    settings = dbt.ref("int_settings")
    groups = session.sql("""
        select
            performance.*,
            performance.labeled_count >= min_samples
            and performance.labeled_count >= min_label_coverage * prediction_count as takes_part
        from performance
        inner join stale using (window_size, window_end)
        inner join models using (model_name)
        inner join coverage using (
            model_name, model_version, role, slice_key, slice_value, window_size, window_end,
            label_view
        )
        cross join settings
        where
            list_contains(protected_attributes, slice_key)
            and task = 'binary_classification'
        order by all
    """).to_arrow_table()
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(fairness_table(groups))
