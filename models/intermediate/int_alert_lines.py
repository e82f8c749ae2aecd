"""Grain: one alert_name, model_name, model_version, role, slice and feature, and stretch of time in
which it was pending or firing.
"""

from alert_tables import alert_lines


def model(dbt, session):
    dbt.config(materialized="table")
    evaluations = dbt.ref("int_alert_evaluations")
    conditions = dbt.ref("int_alert_conditions")
    clock = dbt.ref("int_as_of")
    # One number for the key of a condition's windows; of those that could be judged.
    keyed = session.sql("""
        select
            *,
            hash(
                alert_name, model_name, model_version, role, slice_key, slice_value, line_feature
            ) as key_hash
        from evaluations
        where is_breached is not null
    """)
    keys = session.sql("""
        select
            key_hash, condition_number, alert_name, model_name, model_version, role, slice_key,
            slice_value, line_feature, any_value(feature) as feature
        from keyed
        group by all
        order by all
    """).to_arrow_table()
    windows = session.sql("""
        select
            key_hash,
            condition_number,
            (epoch_us(window_end) // 60000000 // step_minutes) as window,
            step_minutes,
            epoch_us(window_start) as window_start,
            epoch_us(window_end) as window_end,
            epoch_us(breached_since) as breached_since,
            epoch_us(evaluated_at) as evaluated_at,
            epoch_us(expires_at) as expires_at,
            compared_value,
            is_breached
        from keyed
        order by key_hash, condition_number, evaluated_at
    """).to_arrow_table()
    rules = session.sql("""
        select
            alert_name, model_name, comparator, condition_number,
            breach_windows, evaluation_windows, resolve_windows
        from conditions
        qualify row_number() over (
            partition by alert_name, model_name, condition_number order by slice_key
        ) = 1
        order by alert_name, model_name, condition_number
    """).to_arrow_table()
    as_of = session.sql("select epoch_us(as_of) from clock").fetchall()[0][0]
    return session.from_arrow(alert_lines(windows, keys, rules, as_of=as_of))
