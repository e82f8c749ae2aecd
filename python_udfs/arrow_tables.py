"""What all Arrow tables of summaries and windows have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from service_windows import Histograms

SERIES = ("model_name", "model_version", "role", "slice_key", "slice_value")
# The first columns of a table of windows of whole days.
DAY_WINDOW_FIELDS = [
    *[pa.field(name, pa.string()) for name in SERIES],
    pa.field("window_size", pa.string()),
    pa.field("window_start", pa.date32()),
    pa.field("window_end", pa.date32()),
]


def histograms(column: pa.ChunkedArray) -> Histograms:
    """Flatten a column of MAP(bin, count); a null map is an empty histogram.

    Parameters
    ----------
    column : ChunkedArray of map<int, int>, length n

    Returns
    -------
    Histograms
        With ``summary`` the position in the column.
    """
    maps = column.combine_chunks()
    offsets = maps.offsets.to_numpy()
    filled = slice(offsets[0], offsets[-1])
    return Histograms(
        summary=np.repeat(np.arange(len(maps)), np.diff(offsets)),
        bin=maps.keys.to_numpy()[filled].astype(np.int64),
        count=maps.items.to_numpy()[filled].astype(np.int64),
    )


def codes_of(table: pa.Table, names: tuple[str, ...]) -> np.ndarray:
    """Give each combination of some columns a number, shape (n_rows,); none of them holds nulls."""
    combined = np.zeros(len(table), np.int64)
    for name in names:
        codes = table[name].combine_chunks().dictionary_encode()
        combined = combined * max(len(codes.dictionary), 1) + codes.indices.to_numpy()
    return combined


def series_of(
    table: pa.Table, names: tuple[str, ...] = SERIES
) -> dict[tuple[str, ...], np.ndarray]:
    """Row positions, rising, of each combination of some columns; series as a rule."""
    codes = codes_of(table, names)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    parts = np.split(order, starts[1:]) if len(order) else []
    return {tuple(table[name][int(rows[0])].as_py() for name in names): rows for rows in parts}


def parts_of(
    table: pa.Table, names: tuple[str, ...] = SERIES
) -> Iterator[tuple[tuple[str, ...], pa.Table]]:
    """Each combination of some columns with its rows, in a fixed order; series as a rule."""
    for key, positions in sorted(series_of(table, names).items()):
        yield key, table.take(pa.array(positions, pa.int64()))


def day_windows(ends: pa.Table) -> tuple[np.ndarray, dict[int, int]]:
    """Read the windows to build.

    Parameters
    ----------
    ends : Table
        ``window_end`` and ``revision``.

    Returns
    -------
    end_days : ndarray of int, shape (n_windows,)
        In days since 1970, rising.
    revisions : dict of int to int
        The revision of each.
    """
    end_days = ends["window_end"].cast(pa.int32()).to_numpy()
    revisions = dict(zip(end_days.tolist(), ends["revision"].to_pylist(), strict=True))
    return np.sort(end_days), revisions


def day_window_columns(
    window_end: np.ndarray, revisions: dict[int, int], *, size: int
) -> dict[str, pa.Array | str]:
    """Columns that say which windows some rows are of.

    Parameters
    ----------
    window_end : ndarray of int, shape (n_rows,)
        In days since 1970.
    revisions : dict of int to int
        As ``day_windows`` gives them.
    size : int
        The length of the windows in days.
    """
    return {
        "window_size": f"{size}d",
        "window_start": pa.array(window_end - size, pa.int32()).cast(pa.date32()),
        "window_end": pa.array(window_end, pa.int32()).cast(pa.date32()),
        "revision": pa.array([revisions[day] for day in window_end.tolist()], pa.uint64()),
    }


def table_of(columns: dict, schema: pa.Schema, size: int) -> pa.Table:
    """Make a table of columns by name.

    Parameters
    ----------
    columns : dict
        For each column of the schema an array, or one text (or None) for all rows. NaN in a
        NumPy array is no number and becomes null.
    schema : Schema
    size : int
        The number of rows.
    """
    arrays = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        column = columns[name]
        if column is None or isinstance(column, str):
            column = pa.repeat(pa.scalar(column, kind), size)
        elif isinstance(column, np.ndarray):
            column = pa.array(column, kind, from_pandas=True)
        arrays.append(column)
    return pa.table(arrays, schema=schema)
