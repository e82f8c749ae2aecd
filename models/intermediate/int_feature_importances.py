"""Grain: one model_name, model_version and feature: how much the score depends on it."""

from surrogate_tables import importances_table

# A surrogate is fitted to the newest days of a version.
DAYS = 90


def model(dbt, session):
    dbt.config(materialized="table")
    samples = dbt.ref("int_feature_samples")
    models = dbt.ref("int_monitored_models")
    given = dbt.ref("int_given_importances").to_arrow_table().to_pylist()
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    newest = session.sql(f"""
        select samples.* from samples
        inner join models
            on samples.model_name = models.model_name and samples.features = models.features
        qualify event_date > max(event_date) over (
            partition by samples.model_name, model_version
        ) - {DAYS}
        order by model_name, model_version, request_hash, event_date, role, feature_bins, score_bin
    """).to_arrow_table()
    found = {(row["model_name"], row["feature"]): row["importance"] for row in given}
    return session.from_arrow(importances_table(newest, found, settings["min_samples"]))
