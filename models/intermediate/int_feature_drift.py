"""Grain: one model_name, model_version, role, slice, closed window of whole days, feature and
comparison.
"""

import pyarrow as pa
import pyarrow.compute as pc

from drift_tables import DRIFT, Bins, drift_table, judged
from incremental import stale_windows


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_feature_days")
    baseline_days = dbt.ref("int_baseline_days")
    models = dbt.ref("int_monitored_models")
    features = dbt.ref("int_baseline_bins")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    stale = stale_windows(dbt, session, dbt.ref("int_drift_windows"))
    described = session.sql("""
        select features.*, task from features
        inner join models using (model_name, baseline_version)
        order by model_name, feature
    """).to_arrow_table()

    tables = [DRIFT.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        for feature in described.to_pylist():
            key = {name: feature[name] for name in ("model_name", "feature")}
            rows = session.sql(
                """
                select * from days
                where model_name = $model_name and feature = $feature and event_date < $last
                    and event_date >= $first::date - to_days(2 * $size::integer)
                order by all
                """,
                params=key
                | {"size": size}
                | {"first": pc.min(ends["window_end"]).as_py()}
                | {"last": pc.max(ends["window_end"]).as_py()},
            ).to_arrow_table()
            references = session.sql(
                """
                select * from baseline_days
                where model_name = $model_name and feature = $feature
                    and baseline_version = $baseline_version and feature_type = $feature_type
                order by all
                """,
                params=key | {name: feature[name] for name in ("baseline_version", "feature_type")},
            ).to_arrow_table()
            bins = Bins.of(feature)
            tables.append(drift_table(rows, references, bins, ends, size=size, settings=settings))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(judged(pa.concat_tables(tables), settings))
