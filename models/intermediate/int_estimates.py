"""Grain: one model_name, model_version, role, closed window of whole days with predictions, and
metric that its model has an estimate of.
"""

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from estimation_tables import ESTIMATES, LABELS, estimates_table
from incremental import stale_windows


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    predictions = dbt.ref("int_estimation_days")
    labels = dbt.ref("int_labelled_days").filter("slice_key = 'all' and score_bin is not null")
    labels = labels.project(", ".join(LABELS))
    errors = dbt.ref("int_error_days")
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    models = dbt.ref("int_monitored_models").to_arrow_table().to_pylist()
    stale = stale_windows(dbt, session, dbt.ref("int_estimate_windows"))

    tables = [ESTIMATES.empty_table()]
    for size in sorted(set(stale["days"].to_pylist())):
        ends = stale.filter(pc.equal(stale["days"], size))
        first, last = pc.min_max(ends["window_end"]).as_py().values()
        first -= timedelta(size + settings["estimation_reference_days"])
        within = f"event_date >= date '{first}' and event_date < date '{last}'"
        # Sums of counts are the same in any order, those of errors are not.
        parts = (
            predictions.filter(within),
            labels.filter(within),
            errors.filter(within).order("all"),
        )
        found = [days.to_arrow_table() for days in parts]
        tables.append(estimates_table(*found, ends, size=size, models=models, settings=settings))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))
