"""Grain: one estimate of int_estimates, with its interval."""

from estimation_tables import intervals_table


def model(dbt, session):
    dbt.config(materialized="table")
    outcomes = dbt.ref("int_estimate_outcomes").order(
        "model_name, model_version, role, window_size, metric, window_end"
    )
    models = dbt.ref("int_monitored_models").to_arrow_table().to_pylist()
    return session.from_arrow(intervals_table(outcomes.to_arrow_table(), models))
