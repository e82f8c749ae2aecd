"""From simulated values to the project's verdicts, by the code that the dbt models call.

Only what SQL does is done here in NumPy: to make the bins of ``int_baseline_bins`` and to count
values by bin, as ``int_feature_days`` holds them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from drift_tables import Bins, drift_table, judged
from simulations.worlds import GAP, Feature, Sample

#: As dbt_project.yml has them.
SETTINGS = {"min_samples": 50, "psi_floor": 1e-6, "psi_moderate": 0.1, "psi_significant": 0.25}
DRIFT_BINS = 200
WHOLE = {"model_version": "1", "role": "live", "slice_key": "all", "slice_value": "all"}
COUNTS = pa.map_(pa.int32(), pa.int64())


def bins_of(feature: Feature, sample: Sample) -> Bins:
    """Make the bins of a feature from its baseline, as ``int_baseline_bins`` does."""
    values = sample.ordered
    edges = names = None
    if feature.is_categorical:
        codes, counts = np.unique(values, return_counts=True)
        text = np.array([category_name(code) for code in codes])
        names = text[np.lexsort((text, -counts))][:DRIFT_BINS].tolist()
        is_discrete = True
    else:
        distinct = values[np.append(True, np.diff(values) > 0)] if len(values) else values
        is_discrete = len(distinct) <= DRIFT_BINS
        edges = np.sort(np.append(distinct, below(distinct)))
        if not is_discrete:
            # As quantile_disc counts, floats and all.
            shares, n = np.arange(1, DRIFT_BINS) / DRIFT_BINS, len(values)
            quantiles = values[(n - np.floor(n - shares * n)).astype(int) - 1]
            repeated = quantiles[1:][quantiles[1:] == quantiles[:-1]]
            lowest = below(np.append(repeated, values[0]))
            edges = np.unique(np.concatenate([quantiles, values[-1:], lowest]))
    kind = "categorical" if feature.is_categorical else "numerical"
    return Bins(feature.name, kind, "v", is_discrete, edges, names, False, False)


def below(values: np.ndarray) -> np.ndarray:
    """Give the next smaller double of each."""
    return np.nextafter(values, -np.inf)


def category_name(code: float) -> str:
    """Name a category."""
    return f"c{int(code):04d}"


def counts_by_bin(days: np.ndarray, bins: Bins, known: set[float]) -> np.ndarray:
    """Count the values of each day by bin; ``known`` are the codes in the baseline."""
    counts = np.zeros((len(days), bins.count), np.int64)
    for row, day in zip(counts, days, strict=True):
        values = np.sort(day[~np.isnan(day)])
        if bins.edges is not None:
            # Bin i holds (edges[i - 1], edges[i]].
            ends = np.searchsorted(values, bins.edges, "right")
            row[:] = np.diff(ends, prepend=0, append=len(values))
            continue
        number = {name: place for place, name in enumerate(bins.categories)}
        other, new = len(number), len(number) + 1
        codes, found = np.unique(values, return_counts=True)
        places = [number.get(category_name(c), other if c in known else new) for c in codes]
        np.add.at(row, places, found)
    return counts


def days_table(
    model: str, dates: np.ndarray, days: np.ndarray, bins: Bins, known: set[float]
) -> pa.Table:
    """Summarise days as ``int_feature_days`` does; ``days`` is of shape (n_days, n)."""
    counts = counts_by_bin(days, bins, known)
    filled_day, filled_bin = np.nonzero(counts)
    offsets = np.searchsorted(filled_day, np.arange(len(days) + 1))
    maps = pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(filled_bin, pa.int32()),
        pa.array(counts[filled_day, filled_bin], pa.int64()),
    )
    is_number = bins.edges is not None
    nothing = np.full(len(days), np.nan)
    columns = {name: pa.repeat(pa.scalar(text), len(days)) for name, text in WHOLE.items()}
    return pa.table(
        {
            "model_name": pa.repeat(pa.scalar(model), len(days)),
            **columns,
            "event_date": pa.array(dates, pa.int32()).cast(pa.date32()),
            "bin_counts": maps.cast(COUNTS),
            "null_count": pa.array(np.isnan(days).sum(axis=1), pa.int64()),
            "value_min": np.fmin.reduce(days, axis=1) if is_number else nothing,
            "value_max": np.fmax.reduce(days, axis=1) if is_number else nothing,
            "infinite_count": pa.array(np.isinf(days).sum(axis=1), pa.int64()),
        }
    )


def comparisons_of(feature: Feature, sample: Sample, model: str) -> pa.Table:
    """Compare the window with the baseline and with the day before; not yet judged."""
    bins = bins_of(feature, sample)
    known = set(np.unique(sample.ordered).tolist()) if feature.is_categorical else set()
    n_days = len(sample.baseline)
    baseline = days_table(model, np.arange(n_days), sample.baseline, bins, known)
    baseline = baseline.append_column("baseline_of", pa.repeat(pa.scalar("all"), n_days))
    window = n_days + GAP - 1
    days = np.stack([sample.previous, sample.current])
    ends = pa.table(
        {
            "window_end": pa.array([window + 1], pa.int32()).cast(pa.date32()),
            "revision": pa.array([1], pa.uint64()),
        }
    )
    return drift_table(
        days_table(model, np.array([window - 1, window]), days, bins, known),
        baseline,
        bins,
        ends,
        size=1,
        settings=SETTINGS,
    ).drop_columns("cells")


def judge(tables: list[pa.Table]) -> pa.Table:
    """Fill in q-values and levels; the features of one model are one family."""
    # One chunk: there are thousands of tables.
    return judged(pa.concat_tables(tables).combine_chunks(), SETTINGS)


def is_flagged(table: pa.Table) -> np.ndarray:
    """Tell which rows are graded moderate or significant."""
    return np.isin(table["drift_level"].to_numpy(zero_copy_only=False), ["moderate", "significant"])
