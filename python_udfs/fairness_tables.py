"""Between Arrow tables of group performance and the arrays of ``fairness``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import fairness
from arrow_tables import table_of

ATTRIBUTE = ("model_name", "model_version", "role", "slice_key", "window_size", "label_view")
CONFUSION = (
    "true_positive_count",
    "false_positive_count",
    "true_negative_count",
    "false_negative_count",
)
FAIRNESS = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ATTRIBUTE],
        pa.field("window_start", pa.date32()),
        pa.field("window_end", pa.date32()),
        pa.field("metric", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("value_lower", pa.float64()),
        pa.field("value_upper", pa.float64()),
        pa.field("lowest_group", pa.string()),
        pa.field("highest_group", pa.string()),
        pa.field("group_count", pa.int64()),
        pa.field("small_group_count", pa.int64()),
        pa.field("labeled_count", pa.int64()),
        pa.field("fairness_status", pa.string()),
        pa.field("revision", pa.uint64()),
    ]
)


def fairness_table(groups: pa.Table) -> pa.Table:
    """Compare the groups of each protected attribute in each window.

    Parameters
    ----------
    groups : Table
        One row for each group: the columns of ``ATTRIBUTE`` and ``CONFUSION``, ``slice_value``,
        ``window_start``, ``window_end``, ``labeled_count``, ``takes_part`` and ``revision``.

    Returns
    -------
    Table
        With the schema ``FAIRNESS``: a row for each window and metric. ``group_count`` and
        ``labeled_count`` are of the groups that take part, ``small_group_count`` of the others
        that have labels.
    """
    keys = list(zip(*(groups[name].to_pylist() for name in ATTRIBUTE), strict=True))
    positions: dict[tuple[str, ...], list[int]] = {}
    for position, key in enumerate(keys):
        positions.setdefault(key, []).append(position)
    tables = [
        attribute_table(key, groups.take(pa.array(rows, pa.int64())))
        for key, rows in sorted(positions.items())
    ]
    return pa.concat_tables([FAIRNESS.empty_table(), *tables])


def attribute_table(key: tuple[str, ...], part: pa.Table) -> pa.Table:
    """Compare the groups of one attribute in all windows of one size."""
    ends, window = np.unique(part["window_end"].cast(pa.int32()).to_numpy(), return_inverse=True)
    names, group = np.unique(part["slice_value"].to_numpy(), return_inverse=True)
    shape = len(ends), len(names)

    def spread(name: str, kind: type) -> np.ndarray:
        values = np.zeros(shape, kind)
        values[window, group] = part[name].to_numpy()
        return values

    takes_part = spread("takes_part", bool)
    confusion = [spread(name, np.int64) for name in CONFUSION]
    labels = spread("labeled_count", np.int64)
    labeled_count = np.where(takes_part, labels, 0).sum(axis=1)
    small_group_count = ((labels > 0) & ~takes_part).sum(axis=1)
    first = np.unique(window, return_index=True)[1]
    columns = dict(zip(ATTRIBUTE, key, strict=True)) | {
        name: part[name].combine_chunks().take(pa.array(first))
        for name in ("window_start", "window_end", "revision")
    }
    tables = []
    for metric, gap in fairness.fairness_metrics(*confusion, takes_part=takes_part).items():
        has_groups = takes_part.sum(axis=1) >= 2
        found = {
            "metric": metric,
            "value": gap.value,
            "value_lower": gap.lower,
            "value_upper": gap.upper,
            "lowest_group": named(names, gap.lowest_group),
            "highest_group": named(names, gap.highest_group),
            "group_count": takes_part.sum(axis=1),
            "small_group_count": small_group_count,
            "labeled_count": labeled_count,
            "fairness_status": np.select(
                [~has_groups, np.isnan(gap.value)], ["insufficient_data", "no_data"], "ok"
            ).astype(object),
        }
        tables.append(table_of(columns | found, FAIRNESS, len(ends)))
    return pa.concat_tables(tables)


def named(names: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Give the names of groups by number; none for -1."""
    return np.where(group >= 0, names[group], None)
