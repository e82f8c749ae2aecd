"""Grain: one model_name, model_version, role, slice, closed window of whole days, feature and
comparison.
"""

import pyarrow as pa
import pyarrow.compute as pc

from drift_tables import DRIFT, Bins, drift_table, judged


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    wanted = dbt.ref("int_drift_windows")
    days = dbt.ref("int_feature_days")
    baseline_days = dbt.ref("int_baseline_days")
    models = dbt.ref("int_monitored_models")
    features = dbt.ref("int_baseline_bins")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    held = str(dbt.this) if dbt.is_incremental else "wanted"
    stale = session.sql(f"""
        select days, window_end, revision from wanted
        where not exists (
            select 1 from {held} as held
            where held.window_size = wanted.window_size and held.window_end = wanted.window_end
        ) or {not dbt.is_incremental}
        order by all
    """).to_arrow_table()
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
