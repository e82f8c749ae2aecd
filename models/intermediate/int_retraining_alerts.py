"""Grain: one alert that is a reason to train anew, after the cool-down of the one before."""

import pyarrow as pa

from alerts import after_cooldown


def model(dbt, session):
    dbt.config(materialized="table")
    alerts = dbt.ref("alerts")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    found = session.sql("""
        select
            *,
            dense_rank() over (order by model_name, model_version) as series,
            epoch_us(fired_at) as fired_us
        from alerts
        where triggers_retraining and fired_at is not null
        order by series, fired_us, alert_name, role
    """).to_arrow_table()
    chosen = after_cooldown(
        found["series"].to_numpy(),
        found["fired_us"].to_numpy(),
        settings["retraining_cooldown_days"] * 86_400_000_000,
    )
    return session.from_arrow(found.drop_columns(["series", "fired_us"]).filter(pa.array(chosen)))
