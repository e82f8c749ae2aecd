"""Which windows an incremental Python model has to build."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def stale_windows(dbt: Any, session: Any, wanted: Any) -> pa.Table:  # noqa: ARG001
    """Windows of whole days that the model lacks, or that its pre-hook has deleted as stale.

    Parameters
    ----------
    dbt, session
        What dbt gives to a Python model.
    wanted : relation
        ``days``, ``window_size``, ``window_end`` and ``revision`` of all windows that the model
        should hold.

    Returns
    -------
    Table
        The columns of ``wanted``, by length and end.
    """
    held = str(dbt.this) if dbt.is_incremental else "wanted where false"
    # DuckDB finds `wanted` here by the name of the variable.
    return session.sql(f"""
        select days, window_size, window_end, revision from wanted
        where (window_size, window_end) not in (select (window_size, window_end) from {held})
        order by all
    """).to_arrow_table()
