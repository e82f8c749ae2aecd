"""Grain: one alert_id, suspect_kind and suspect: all that was looked at, with what was found."""

from suspect_tables import suspects_table


def model(dbt, session):
    dbt.config(materialized="table")
    alerts = dbt.ref("int_suspect_alerts")
    counts = dbt.ref("int_suspect_counts")
    deployments = dbt.ref("stg_deployments")
    importances = dbt.ref("int_feature_importances")
    contributions = dbt.ref("root_cause_contributions")
    # DuckDB finds them here by the names of the variables.
    tables = [
        session.sql("select * from alerts order by alert_id"),
        # Exact as long as they are under 2^53, and never too large.
        session.sql("""
            select * replace (numerator::double as numerator, denominator::double as denominator)
            from counts order by all
        """),
        session.sql("select * from deployments where problem is null order by all"),
        session.sql("select * from importances where data_status = 'ok' order by all"),
        session.sql("""
            select * from contributions
            where contribution_kind = 'slice' and data_status = 'ok' and is_distinct
            order by all
        """),
    ]
    rows = [table.to_arrow_table().to_pylist() for table in tables]
    return session.from_arrow(suspects_table(*rows))
