"""Grain: one custom metric, model_name, model_version, role, slice, closed window of whole days and
label_view with rows.
"""

from functools import partial

import pyarrow as pa

from custom_metrics import CUSTOM, Sandbox, rows_query, stale_custom_windows


def model(dbt, session):
    dbt.config(materialized="incremental", incremental_strategy="append")
    definitions = dbt.ref("int_custom_definitions").to_arrow_table().to_pylist()
    stale = stale_custom_windows(dbt, session, dbt.ref("int_custom_windows"))
    # DuckDB reads only the dates and columns of these views that a query asks for.
    sources = {"events": dbt.ref("int_custom_events"), "labels": dbt.ref("int_custom_labels")}

    tables = [CUSTOM.empty_table()]
    sandbox = Sandbox() if len(stale) else None
    for definition in definitions:
        source = sources[definition["rows_over"]]
        for size in definition["windows_days"]:
            ends = stale.get((definition["metric"], size))
            if ends:
                query = rows_query(definition, ends, size)
                read = partial(rows, source, query)
                tables.append(sandbox.values(read, definition, ends, size))
    # A relation stays on this cursor, in the transaction that has deleted what is stale.
    return session.from_arrow(pa.concat_tables(tables))


def rows(source, query):
    return source.query("rows", query).to_arrow_reader(100_000)
