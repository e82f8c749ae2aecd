"""Grain: one model_name, model_version, role, closed window of a day, feature and check; the check
of hashes is of the feature `all`.
"""

import pyarrow as pa
import pyarrow.compute as pc

from incremental import stale_windows
from integrity_tables import EARLIER_DAYS, INTEGRITY, hash_table, integrity_table


def period_of(stale):
    """Give the first and the last end of some windows."""
    first, last = pc.min_max(stale["window_end"]).as_py().values()
    return {"first": first, "last": last}


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    days = dbt.ref("int_feature_days")
    baseline_days = dbt.ref("int_baseline_days")
    models = dbt.ref("int_monitored_models")
    features = dbt.ref("int_baseline_bins")
    type_days = dbt.ref("int_type_change_days")
    sampled = dbt.ref("int_integrity_days")
    events = dbt.ref("stg_inference_events")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    stale = stale_windows(dbt, session, dbt.ref("int_integrity_windows"))
    tables = [INTEGRITY.empty_table()]
    described = session.sql("""
        select features.* from features
        inner join models using (model_name, baseline_version)
        where feature_type <> 'prediction'
        order by model_name, feature
    """).to_arrow_table()
    ends = dict(zip(stale["window_end"].to_pylist(), stale["revision"].to_pylist(), strict=True))
    for feature in described.to_pylist() if ends else []:
        key = {name: feature[name] for name in ("model_name", "feature")}
        period = period_of(stale)
        rows = session.sql(
            """
            select * exclude (revision) from days
            where model_name = $model_name and feature = $feature and event_date < $last
                and event_date >= $first::date - $before::integer - 1
                and (slice_key = 'all' or prediction_count >= $least)
            order by all
            """,
            params=key | period | {"before": EARLIER_DAYS, "least": settings["min_samples"]},
        ).to_arrow_table()
        references = session.sql(
            """
            select * exclude (revision) from baseline_days
            where model_name = $model_name and feature = $feature
                and baseline_version = $baseline_version and feature_type = $feature_type
                and baseline_of = 'all'
            order by all
            """,
            params=key | {name: feature[name] for name in ("baseline_version", "feature_type")},
        ).to_arrow_table()
        wrong = session.sql(
            """
            select event_date, model_version, role, wrong_type_counts[$feature] as wrong_count
            from type_days
            where model_name = $model_name and wrong_type_counts[$feature] is not null
                and event_date < $last and event_date >= $first::date - 1
            """,
            params=key | period,
        ).fetchall()
        samples = session.sql(
            """
            select * exclude (revision) from sampled
            where model_name = $model_name and feature = $feature and event_date < $last
                and event_date >= $first::date - $before::integer - 1
            """,
            params=key | period | {"before": EARLIER_DAYS},
        ).to_arrow_table()
        tables.append(
            integrity_table(
                rows.to_pylist(),
                references.to_pylist(),
                {tuple(row[:3]): row[3] for row in wrong},
                samples.to_pylist(),
                feature,
                ends,
                settings,
            )
        )
    if ends:
        versions = session.sql(
            """
            select distinct model_name, model_version, role, event_date from days
            inner join models using (model_name)
            where event_date < $last and event_date >= $first::date - 1 and slice_key = 'all'
            order by all
            """,
            params=period_of(stale),
        ).fetchall()
        hashed = session.sql(
            """
            select model_name, model_version, role, event_date, hashed.feature_hash, hashed.features
            from events
            where status < 400 and hashed is not null
                and event_date < $last and event_date >= $first::date - 1
            order by all
            """,
            params=period_of(stale),
        ).fetchall()
        tables.append(hash_table(versions, hashed, ends))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
