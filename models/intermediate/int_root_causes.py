"""Grain: one alert_id, contribution_kind, slice_key and slice_value of an alert whose metric can be
split among slices.
"""

from root_cause_tables import root_cause_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    windows = dbt.ref("int_root_cause_windows")
    held = str(dbt.this) if dbt.is_incremental else "windows where false"
    # DuckDB finds `windows` here by the name of the variable.
    alerts = session.sql(f"""
        select * from windows
        where alert_id not in (select alert_id from {held})
        order by alert_id
    """).to_arrow_table()
    relations = {
        "service_hours": dbt.ref("int_service_hours"),
        "pair_hours": dbt.ref("int_pair_hours"),
        "labelled_days": dbt.ref("int_labelled_days"),
        "labelled_pairs": dbt.ref("int_labelled_pairs"),
        "coverage_days": dbt.ref("int_label_coverage_days"),
        "correction_hours": dbt.ref("int_correction_hours"),
        "score_edges": dbt.ref("int_score_edges"),
        "settings": dbt.ref("int_settings"),
    }
    return session.from_arrow(root_cause_table(session, alerts.to_pylist(), relations))
