"""Grain: one model_name, model_version, role and closed window of whole days with predictions."""

import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from multivariate_tables import MULTIVARIATE, multivariate_table


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    samples = dbt.ref("int_feature_samples")
    baseline_samples = dbt.ref("int_baseline_samples")
    models = dbt.ref("int_monitored_models")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    stale = stale_windows(dbt, session, dbt.ref("int_multivariate_windows"))

    tables = [MULTIVARIATE.empty_table()]
    described = session.sql("""
        select model_name, baseline_version, features from models order by model_name
    """).to_arrow_table()
    for description in described.to_pylist() if len(stale) else []:
        key = {"model_name": description["model_name"]}
        baseline = session.sql(
            """
            select * from baseline_samples
            where model_name = $model_name and baseline_version = $baseline_version
            order by request_hash, event_date, model_version, role, feature_bins
            """,
            params=key | {"baseline_version": description["baseline_version"]},
        ).to_arrow_table()
        current = session.sql(
            """
            select * from samples
            where model_name = $model_name and event_date < $last
                and event_date >= $first::date - to_days($size::integer)
            order by request_hash, event_date, model_version, role, feature_bins
            """,
            params=key
            | {"size": stale["days"][0].as_py()}
            | {"first": pc.min(stale["window_end"]).as_py()}
            | {"last": pc.max(stale["window_end"]).as_py()},
        ).to_arrow_table()
        tables.append(multivariate_table(current, baseline, stale, description, settings))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
