"""Grain: one model_name, model_version, role with labels of late, and method of recalibration."""

from recalibration_tables import plan_table


def model(dbt, session):
    dbt.config(materialized="table")
    bins = dbt.ref("int_recalibration_bins").order(
        "model_name, model_version, role, part, score_bin"
    )
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    return session.from_arrow(plan_table(bins.to_arrow_table(), settings))
