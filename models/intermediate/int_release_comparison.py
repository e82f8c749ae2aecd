"""Grain: one model_name, model_version, released_at, slice, closed window of whole days after a
release, metric and label_view.
"""

import numpy as np
import pyarrow as pa

from release_tables import COMPARISON, release_table


def model(dbt, session):
    dbt.config(materialized="table")
    days = dbt.ref("int_release_days")
    labelled = dbt.ref("int_release_label_days")
    releases = dbt.ref("int_releases")
    models = dbt.ref("int_monitored_models")
    [(as_of,)] = dbt.ref("int_as_of").project("as_of").fetchall()
    (settings,) = dbt.ref("int_settings").to_arrow_table().to_pylist()
    edges = dbt.ref("int_score_edges").filter("grid = 'fine'").project("calibration_bins")
    [(calibration_bins,)] = edges.fetchall()
    # DuckDB finds relations by the name of their variable.
    found = session.sql("""
        select
            releases.*, models.task, models.label_grace_hours, models.min_label_coverage
        from releases inner join models using (model_name)
        order by model_name, model_version, released_at
    """).to_arrow_table()

    def rows_of(summary, name, version, start, end):  # noqa: ARG001
        return session.sql(
            """
            select * from summary
            where model_name = $name and model_version = $version
                and event_date >= $start and event_date < $end
            order by all
            """,
            params={"name": name, "version": version, "start": start, "end": end},
        ).to_arrow_table()

    def sides_of(summary, release):
        """Rows of the old version before and of the new one after."""
        name = release["model_name"]
        before = [release[f"previous_{part}"] for part in ("version", "start", "end")]
        after = [release[part] for part in ("model_version", "window_start", "window_end")]
        return rows_of(summary, name, *before), rows_of(summary, name, *after)

    tables = [COMPARISON.empty_table()]
    for release in found.to_pylist():
        tables.append(
            release_table(
                release,
                sides_of(days, release),
                sides_of(labelled, release),
                np.array(calibration_bins),
                as_of=as_of,
                settings=settings,
            )
        )
    # A relation stays on this cursor, in dbt's transaction.
    return session.from_arrow(pa.concat_tables(tables))
