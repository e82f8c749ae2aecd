"""Between Arrow tables of binned feature days and the arrays of ``drift``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

import drift
from arrow_tables import (
    DAY_WINDOW_FIELDS,
    SERIES,
    day_window_columns,
    day_windows,
    histograms,
    parts_of,
    table_of,
)

# The quantile of fewer windows than this says nothing.
LEAST_OWN_WINDOWS = 5
# Bounds the memory: so many counts of each side are compared at a time.
CELLS_AT_ONCE = 2_000_000
COMPARISONS = ("baseline", "previous")
LEVELS = np.array(["none", "moderate", "significant"])
STATISTICS = (
    "baseline_null_rate",
    "current_null_rate",
    "new_category_rate",
    "out_of_range_rate",
    "psi",
    "psi_noise_floor",
    "psi_noise_q95",
    "psi_own_windows_q95",
    "ks_statistic",
    "ks_statistic_error_bound",
    "ks_pvalue",
    "js_distance",
    "wasserstein_distance",
    "wasserstein_distance_error_bound",
    "chi2_statistic",
    "chi2_pvalue",
    "qvalue",
)
CELL = pa.struct(
    [
        pa.field("bin", pa.int32()),
        pa.field("bin_lower", pa.float64()),
        pa.field("bin_upper", pa.float64()),
        pa.field("category", pa.string()),
        pa.field("baseline_count", pa.int64()),
        pa.field("current_count", pa.int64()),
    ]
)
DRIFT = pa.schema(
    [
        *DAY_WINDOW_FIELDS,
        pa.field("feature", pa.string()),
        pa.field("feature_type", pa.string()),
        pa.field("comparison", pa.string()),
        pa.field("baseline_version", pa.string()),
        pa.field("baseline_count", pa.int64()),
        pa.field("current_count", pa.int64()),
        pa.field("baseline_value_count", pa.int64()),
        pa.field("current_value_count", pa.int64()),
        pa.field("baseline_median", pa.float64()),
        pa.field("current_median", pa.float64()),
        *[pa.field(name, pa.float64()) for name in STATISTICS],
        pa.field("drift_level", pa.string()),
        pa.field("data_status", pa.string()),
        pa.field("cells", pa.list_(CELL)),
        pa.field("revision", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class Bins:
    """The bins of one feature: edges of a numerical one, categories of any other.

    Attributes
    ----------
    feature, feature_type, baseline_version : str
    is_discrete : bool
        Whether each value of the baseline has a bin of its own.
    edges : ndarray of float, shape (n_bins - 1,), or None
    categories : list of str, or None
        In the order of their bins; after them come the other categories of the baseline and
        those that it did not have.
    is_probability : bool
    is_output : bool
        Whether it is an output of the model, of which each version has a baseline of its own.
    """

    feature: str
    feature_type: str
    baseline_version: str
    is_discrete: bool
    edges: np.ndarray | None
    categories: list[str] | None
    is_probability: bool
    is_output: bool

    @classmethod
    def of(cls, row: dict) -> Bins:
        """Read a row of ``int_baseline_bins``, with the task of the model."""
        return cls(
            row["feature"],
            row["feature_type"],
            row["baseline_version"],
            row["is_discrete"],
            None if row["edges"] is None else np.array(row["edges"], float),
            row["categories"],
            row["feature_type"] == "prediction" and row["task"] != "regression",
            row["feature"] == "score"
            or (row["feature"] == "prediction" and row["task"] == "multiclass_classification"),
        )

    @property
    def count(self) -> int:
        """How many bins there are, the one for missing values aside."""
        return len(self.categories) + 2 if self.edges is None else len(self.edges) + 1

    @property
    def is_known(self) -> bool:
        """Whether there was a baseline to make bins from."""
        return len(self.categories if self.edges is None else self.edges) > 0

    @property
    def is_single_value(self) -> np.ndarray:
        """Tell for each bin, that of missing values too, whether no two values fall into it."""
        single = np.ones(self.count + 1, bool)
        if self.edges is None:
            # Other categories of the baseline, and those that it did not have.
            single[-3:-1] = False
            return single
        single[1:-2] = np.nextafter(self.edges[1:], -np.inf) == self.edges[:-1]
        # Below the first edge of a probability is 0 alone, and above the last one 1 alone.
        single[[0, -2]] = self.is_probability
        return single

    def describe(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, ...]:
        """Lower bound, upper bound and category of cells, from the first to the last bin of each.

        Bounds are NaN where a cell has none. The bin after the last is that of missing values.
        """
        is_missing = first == self.count
        if self.edges is None:
            names = np.array([*self.categories, "(other)", "(new)", "(missing)"], object)
            return np.full(len(first), np.nan), np.full(len(first), np.nan), names[first]
        bounds = np.concatenate([[np.nan], self.edges, [np.nan, np.nan]])
        lower, upper = bounds[first], bounds[np.minimum(last, self.count) + 1]
        is_value = self.is_single_value[first] & (first == last)
        lower = np.where(is_value & np.isfinite(upper), upper, lower)
        category = np.where(is_missing, "(missing)", None)
        return np.where(is_missing, np.nan, lower), upper, category


@dataclass(frozen=True)
class Extremes:
    """The smallest and largest finite value of some windows, and whether any was infinite."""

    lowest: np.ndarray
    highest: np.ndarray
    has_infinite: np.ndarray

    def together_with(self, other: Extremes) -> Extremes:
        """Take the extremes of two sides, window by window."""
        return Extremes(
            np.fmin(self.lowest, other.lowest),
            np.fmax(self.highest, other.highest),
            self.has_infinite | other.has_infinite,
        )

    def at(self, positions: np.ndarray) -> Extremes:
        """Take some of the windows."""
        return Extremes(*(part[positions] for part in vars(self).values()))


@dataclass(frozen=True)
class Reference:
    """What current windows are compared with: a baseline as one window.

    Attributes
    ----------
    counts : ndarray of int, shape (n_bins + 1,)
    own_windows_q95 : dict of str to float
        For each comparison the 95th percentile of PSI among the windows of the baseline itself.
    lowest, highest : float
    has_infinite : bool
    """

    counts: np.ndarray
    own_windows_q95: dict[str, float]
    lowest: float
    highest: float
    has_infinite: bool

    @classmethod
    def empty(cls, bins: Bins) -> Reference:
        """Stand for a baseline that is not there."""
        nothing = dict.fromkeys(COMPARISONS, np.nan)
        return cls(np.zeros(bins.count + 1, np.int64), nothing, np.nan, np.nan, False)

    def extremes(self, n_windows: int) -> Extremes:
        """Give the extremes as those of so many equal windows."""
        return Extremes(
            *(np.full(n_windows, part) for part in (self.lowest, self.highest, self.has_infinite))
        )


@dataclass(frozen=True)
class Comparison:
    """The windows of one series beside what they are compared with.

    Attributes
    ----------
    key : tuple of str
        The series and the name of the comparison.
    window_end : ndarray of int, shape (n_windows,)
        In days since 1970.
    reference, current : ndarray of int, shape (n_windows, n_bins + 1)
        The last column counts missing values.
    reach : Extremes
        Of both sides together.
    own_windows_q95 : float
    """

    key: tuple[str, ...]
    window_end: np.ndarray
    reference: np.ndarray
    current: np.ndarray
    reach: Extremes
    own_windows_q95: float


def drift_table(
    days: pa.Table,
    baseline_days: pa.Table,
    bins: Bins,
    ends: pa.Table,
    *,
    size: int,
    settings: dict,
) -> pa.Table:
    """Drift of one feature of a model in all windows of one size.

    Parameters
    ----------
    days : Table
        The feature in ``int_feature_days``, from ``2 * size`` days before the first end.
    baseline_days : Table
        The feature in ``int_baseline_days``.
    bins : Bins
    ends : Table
        ``window_end`` and ``revision`` of the windows to compute.
    size : int
        The length of the windows in days.
    settings : dict
        The row of ``int_settings``.

    Returns
    -------
    Table
        With the schema ``DRIFT``; q-values and levels are yet to be judged, see ``judged``.
    """
    end_days, revisions = day_windows(ends)
    origin = int(end_days[0]) - 2 * size
    n_days = int(end_days[-1]) - origin
    stops = end_days - origin

    references = baseline_references(baseline_days, bins, size, settings)
    owners = {key[0] for key in references}
    extremes = {
        key[:3]: daily_extremes(part, origin, n_days)
        for key, part in parts_of(days)
        if key[3] == "all"
    }
    comparisons = []
    tables = [DRIFT.empty_table()]
    for key, part in parts_of(days):
        daily = daily_counts(part, bins, origin, n_days)
        current = sums_of_windows(daily, stops, size)
        filled = np.flatnonzero(current.sum(axis=1))
        reach = window_extremes(extremes[key[:3]], stops, size).at(filled)
        # The scores of a training set may be the baseline of all versions.
        owner = key[1] if bins.is_output and key[1] in owners else "all"
        baseline = references.get((owner, *key[3:]), Reference.empty(bins))
        references_of = {
            "baseline": (
                np.broadcast_to(baseline.counts, current[filled].shape),
                baseline.extremes(len(filled)),
            ),
            "previous": (
                sums_of_windows(daily, stops - size, size)[filled],
                window_extremes(extremes[key[:3]], stops - size, size).at(filled),
            ),
        }
        for comparison, (reference, reference_reach) in references_of.items():
            comparisons.append(
                Comparison(
                    key=(*key, comparison),
                    window_end=end_days[filled],
                    reference=reference,
                    current=current[filled],
                    reach=reach.together_with(reference_reach),
                    own_windows_q95=baseline.own_windows_q95[comparison],
                )
            )
        if sum(comparison.current.size for comparison in comparisons) > CELLS_AT_ONCE:
            tables.append(compared(comparisons, bins, size, revisions, settings))
            comparisons = []
    tables.append(compared(comparisons, bins, size, revisions, settings))
    return pa.concat_tables(tables)


def compared(
    comparisons: list[Comparison], bins: Bins, size: int, revisions: dict[int, int], settings: dict
) -> pa.Table:
    """Rows of ``DRIFT`` for some comparisons."""
    lengths = [len(comparison.window_end) for comparison in comparisons]
    if not sum(lengths):
        return DRIFT.empty_table()
    window_end, reference, current = (
        np.concatenate([getattr(comparison, name) for comparison in comparisons])
        for name in ("window_end", "reference", "current")
    )
    reach = joined([comparison.reach for comparison in comparisons])
    series = np.repeat(np.arange(len(comparisons)), lengths)
    keys = zip(*(comparison.key for comparison in comparisons), strict=True)
    columns = {
        **{
            name: pa.array(values, pa.string()).take(pa.array(series))
            for name, values in zip((*SERIES, "comparison"), keys, strict=True)
        },
        **day_window_columns(window_end, revisions, size=size),
        "feature": bins.feature,
        "feature_type": bins.feature_type,
        "baseline_version": bins.baseline_version,
        "drift_level": None,
        **statistics(reference, current, bins, reach, settings),
        "psi_own_windows_q95": np.repeat(
            [comparison.own_windows_q95 for comparison in comparisons], lengths
        ),
    }
    return table_of(columns, DRIFT, len(window_end))


def daily_counts(part: pa.Table, bins: Bins, origin: int, n_days: int) -> np.ndarray:
    """Count each day from ``origin`` by bin; the last column counts missing values."""
    day = part["event_date"].cast(pa.int32()).to_numpy() - origin
    filled = histograms(part["bin_counts"])
    counts = np.zeros((n_days, bins.count + 1), np.int64)
    inside = (day >= 0) & (day < n_days)
    kept = inside[filled.summary]
    np.add.at(counts, (day[filled.summary[kept]], filled.bin[kept]), filled.count[kept])
    np.add.at(counts[:, -1], day[inside], part["null_count"].to_numpy()[inside])
    return counts


def sums_of_windows(daily: np.ndarray, stops: np.ndarray, size: int) -> np.ndarray:
    """Sum the ``size`` days before each stop."""
    running = np.concatenate([np.zeros((1, daily.shape[1]), np.int64), np.cumsum(daily, axis=0)])
    return running[stops] - running[np.maximum(stops - size, 0)]


def daily_extremes(part: pa.Table, origin: int, n_days: int) -> Extremes:
    """Extremes of each day from ``origin``; NaN where a day has no value."""
    day = part["event_date"].cast(pa.int32()).to_numpy() - origin
    lowest, highest = np.full(n_days, np.nan), np.full(n_days, np.nan)
    has_infinite = np.zeros(n_days, bool)
    lowest[day] = part["value_min"].to_numpy()
    highest[day] = part["value_max"].to_numpy()
    has_infinite[day] = part["infinite_count"].fill_null(0).to_numpy() > 0
    return Extremes(lowest, highest, has_infinite)


def joined(extremes: list[Extremes]) -> Extremes:
    """Put the windows of several extremes one after the other."""
    return Extremes(
        np.concatenate([part.lowest for part in extremes]),
        np.concatenate([part.highest for part in extremes]),
        np.concatenate([part.has_infinite for part in extremes]),
    )


def window_extremes(daily: Extremes, stops: np.ndarray, size: int) -> Extremes:
    """Extremes of the ``size`` days before each stop."""
    nothing = Extremes(np.array([np.nan]), np.array([np.nan]), np.array([False]))
    padded = Extremes(
        *(
            np.concatenate(parts)
            for parts in zip(vars(daily).values(), vars(nothing).values(), strict=True)
        )
    )
    found = nothing.at(np.zeros(len(stops), int))
    for back in range(1, size + 1):
        day = stops - back
        # The last position stands for days before the first.
        found = found.together_with(padded.at(np.where(day >= 0, day, -1)))
    return found


def baseline_references(
    baseline_days: pa.Table, bins: Bins, size: int, settings: dict
) -> dict[tuple[str, str, str], Reference]:
    """Give the baseline of each slice, by (whose baseline it is, slice_key, slice_value)."""
    if not len(baseline_days):
        return {}
    owners: dict[tuple[str, str, str], list[int]] = {}
    names = ("baseline_of", "slice_key", "slice_value")
    for position, key in enumerate(
        zip(*(baseline_days[name].to_pylist() for name in names), strict=True)
    ):
        owners.setdefault(key, []).append(position)

    references = {}
    unknown = dict.fromkeys(COMPARISONS, np.nan)
    reach: dict[str, tuple[float, float, bool]] = {}
    # The whole model comes first: how far the values reach is known for it alone.
    for key in sorted(owners, key=lambda key: (key[0], key[1] != "all", key[1:])):
        part = baseline_days.take(pa.array(owners[key], pa.int64()))
        # A training set has no days: it is one, and knows nothing of how days differ.
        is_dated = not part["event_date"].null_count
        place = part.schema.get_field_index("event_date")
        part = part.set_column(place, "event_date", part["event_date"].fill_null(date(1970, 1, 1)))
        day = part["event_date"].cast(pa.int32()).to_numpy()
        if key[1] == "all":
            lowest, highest = part["value_min"].to_numpy(), part["value_max"].to_numpy()
            reach[key[0]] = (
                float(np.fmin.reduce(lowest)),
                float(np.fmax.reduce(highest)),
                bool((part["infinite_count"].fill_null(0).to_numpy() > 0).any()),
            )
        daily = daily_counts(part, bins, int(day.min()), int(day.max() - day.min()) + 1)
        references[key] = Reference(
            daily.sum(axis=0),
            own_windows_q95(daily, bins, size, settings) if is_dated else unknown,
            *reach.get(key[0], (np.nan, np.nan, False)),
        )
    return references


def own_windows_q95(daily: np.ndarray, bins: Bins, size: int, settings: dict) -> dict[str, float]:
    """PSI that one more window like those of a baseline stays under, in 95 of 100 cases.

    Against the rest of the baseline, and against the window before, as current windows are
    compared with the baseline and with the window before them. A window looks like the days
    around it, and no current window is so near: up to half of the baseline they are left out.

    The quantile is at 0.95 (m + 1) of the m windows in order, and at the largest of fewer than 19:
    of exchangeable windows one more exceeds it in 5 of 100 cases, the usual quantile in 8 where
    m is 28.
    """
    whole, n_days = daily.sum(axis=0), len(daily)
    stops = np.arange(size, n_days + 1)
    windows = sums_of_windows(daily, stops, size)
    reach = days_around(n_days, size)
    last = np.minimum(stops + reach, n_days)
    running = np.concatenate([np.zeros((1, daily.shape[1]), np.int64), np.cumsum(daily, axis=0)])
    near = running[last] - running[np.maximum(stops - size - reach, 0)]
    sides = {
        "baseline": (whole - near, windows),
        "previous": (windows[:-size], windows[size:]),
    }
    result = {}
    for comparison, (reference, current) in sides.items():
        is_enough = has_enough(reference, current, settings)
        found = population_stability(reference[is_enough], current[is_enough], bins, settings)[0]
        found = found[np.isfinite(found)]
        result[comparison] = (
            float(np.quantile(found, 0.95, method="weibull"))
            if len(found) >= LEAST_OWN_WINDOWS
            else np.nan
        )
    return result


def days_around(n_days: int, size: int) -> int:
    """Tell how many days on each side of a baseline's own window are left out of the rest."""
    return max(0, min(n_days // 4, (n_days // 2 - size) // 2))


def has_enough(reference: np.ndarray, current: np.ndarray, settings: dict) -> np.ndarray:
    """Tell which windows have enough predictions on both sides."""
    return (reference.sum(axis=1) >= settings["min_samples"]) & (
        current.sum(axis=1) >= settings["min_samples"]
    )


def population_stability(
    reference: np.ndarray, current: np.ndarray, bins: Bins, settings: dict
) -> tuple[np.ndarray, drift.PsiCells]:
    """PSI of each row and the cells it was computed from; NaN where all cells are too small."""
    cells = drift.psi_cells(
        reference[:, :-1],
        current[:, :-1],
        reference[:, -1],
        current[:, -1],
        is_discrete=bins.is_discrete,
    )
    psi = drift.psi(*shares_of(cells), floor=settings["psi_floor"])
    # All in one cell says something only where the cell stands for one value.
    is_known = (cells.n_cells > 1) | ((cells.n_cells == 1) & is_one_value(reference, current, bins))
    return np.where(is_known, psi, np.nan), cells


def is_one_value(reference: np.ndarray, current: np.ndarray, bins: Bins) -> np.ndarray:
    """Tell in which rows a single value has all but a few of both sides."""
    rows = np.arange(len(current))
    largest = (reference + current).argmax(axis=1)
    rest = [side.sum(axis=1) - side[rows, largest] for side in (reference, current)]
    return bins.is_single_value[largest] & (np.maximum(*rest) < drift.MIN_CELL_COUNT)


def statistics(
    reference: np.ndarray, current: np.ndarray, bins: Bins, reach: Extremes, settings: dict
) -> dict[str, np.ndarray | pa.Array]:
    """Every statistic of the comparison of windows with their references.

    Parameters
    ----------
    reference, current : ndarray of int, shape (n_windows, n_bins + 1)
        The last column counts missing values.
    bins : Bins
    reach : Extremes
        Of both sides together.
    settings : dict

    Returns
    -------
    dict
        The columns of ``DRIFT`` from ``baseline_count`` to ``cells``, NaN where unknown.
    """
    n_reference, n_current = reference.sum(axis=1), current.sum(axis=1)
    result: dict[str, np.ndarray | list] = {
        name: np.full(len(current), np.nan) for name in STATISTICS
    }
    has_reference = (n_reference > 0) & bins.is_known
    result["baseline_count"], result["current_count"] = n_reference, n_current
    result["baseline_value_count"] = n_reference - reference[:, -1]
    result["current_value_count"] = n_current - current[:, -1]
    result["baseline_null_rate"][has_reference] = (
        reference[has_reference, -1] / n_reference[has_reference]
    )
    result["current_null_rate"] = current[:, -1] / n_current
    result["baseline_median"] = medians(reference[:, :-1], bins)
    result["current_median"] = medians(current[:, :-1], bins)
    if bins.feature_type in ("categorical", "boolean"):
        result["new_category_rate"] = current[:, -2] / n_current
    else:
        has_values = has_reference & (result["baseline_value_count"] > 0)
        result["out_of_range_rate"][has_values] = (
            drift.out_of_range_count(reference[has_values, :-1], current[has_values, :-1])
            / n_current[has_values]
        )

    status = np.where(has_reference, "ok", "no_baseline").astype(object)
    is_enough = has_reference & has_enough(reference, current, settings)
    status[has_reference & ~is_enough] = "insufficient_data"
    result["data_status"] = status
    rows = np.flatnonzero(is_enough)
    reference, current, reach = reference[rows], current[rows], reach.at(rows)
    psi, cells = population_stability(reference, current, bins, settings)
    status[rows[np.isnan(psi)]] = "insufficient_data"
    size = cells.n_cells, n_reference[rows], n_current[rows]
    found = {
        "psi": psi,
        "psi_noise_floor": drift.psi_noise_floor(*size),
        "psi_noise_q95": drift.psi_noise_quantile(*size),
        "js_distance": drift.js_distance(*shares_of(cells)),
    }
    if bins.edges is None:
        found["chi2_statistic"], found["chi2_pvalue"] = drift.chi_square(
            cells.reference, cells.current
        )
    else:
        # Missing values have no place in the order of the others.
        found |= ordered_statistics(reference[:, :-1], current[:, :-1], bins, reach)
    is_known = ~np.isnan(psi)
    for name, values in found.items():
        result[name][rows] = np.where(is_known, values, np.nan)
    result["cells"] = list_of_cells(cells, bins, rows[is_known], is_known, len(status))
    return result


def medians(counts: np.ndarray, bins: Bins) -> np.ndarray:
    """Give the upper edge of the bin that the median of each row is in.

    NaN where there is none, and where the median is in an outer bin: how far out is not known.
    """
    total = counts.sum(axis=1)
    if bins.edges is None or not bins.is_known:
        return np.full(len(counts), np.nan)
    bin_number = (np.cumsum(counts, axis=1) * 2 < total[:, None]).sum(axis=1)
    upper = np.concatenate([[np.nan], bins.edges[1:], [np.nan]])
    return np.where(total > 0, upper[np.minimum(bin_number, len(upper) - 1)], np.nan)


def shares_of(cells: drift.PsiCells) -> list[np.ndarray]:
    """Shares of the reference and of the current window in each cell."""
    return [
        counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        for counts in (cells.reference, cells.current)
    ]


def ordered_statistics(
    reference: np.ndarray, current: np.ndarray, bins: Bins, reach: Extremes
) -> dict[str, np.ndarray]:
    """Statistics of values that have an order, the missing ones left out."""
    statistic = drift.ks_statistic(reference, current)
    distance, distance_bound = drift.wasserstein_distance(
        reference, current, bins.edges, reach.lowest, reach.highest
    )
    return {
        "ks_statistic": statistic,
        "ks_statistic_error_bound": drift.ks_error_bound(
            reference, current, bins.is_single_value[:-1]
        ),
        # The distance to an infinite value is no number.
        "wasserstein_distance": np.where(reach.has_infinite, np.nan, distance),
        "wasserstein_distance_error_bound": np.where(reach.has_infinite, np.nan, distance_bound),
    }


def list_of_cells(
    cells: drift.PsiCells, bins: Bins, rows: np.ndarray, is_known: np.ndarray, n_rows: int
) -> pa.ListArray:
    """List the cells of PSI for each of ``n_rows``; none but for ``rows``."""
    cell, n_cells = cells.own_cell[is_known], cells.n_cells[is_known]
    max_cells = cells.reference.shape[1]
    row, bin_number = np.nonzero(cell >= 0)
    first = np.full((len(rows), max_cells), bins.count + 1)
    last = np.full((len(rows), max_cells), -1)
    np.minimum.at(first, (row, cell[row, bin_number]), bin_number)
    np.maximum.at(last, (row, cell[row, bin_number]), bin_number)
    is_cell = np.arange(max_cells) < n_cells[:, None]
    lower, upper, category = bins.describe(first[is_cell], last[is_cell])
    is_rest = (np.arange(max_cells) == cells.rest_cell[is_known][:, None])[is_cell]
    lengths = np.zeros(n_rows, np.int32)
    lengths[rows] = n_cells
    return pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()),
        pa.StructArray.from_arrays(
            [
                pa.array(np.broadcast_to(np.arange(max_cells), is_cell.shape)[is_cell], pa.int32()),
                pa.array(np.where(is_rest, np.nan, lower), pa.float64(), from_pandas=True),
                pa.array(np.where(is_rest, np.nan, upper), pa.float64(), from_pandas=True),
                pa.array(np.where(is_rest, "(rest)", category), pa.string()),
                pa.array(cells.reference[is_known][is_cell], pa.int64()),
                pa.array(cells.current[is_known][is_cell], pa.int64()),
            ],
            fields=list(CELL),
        ),
    )


def judged(table: pa.Table, settings: dict) -> pa.Table:
    """Fill in q-values and drift levels, which need all features of a window together.

    And the p-values of KS, which are much faster many at once.

    Whole models first: their features are one family. A slice is judged only where the feature
    is flagged in the whole, and then its values are the family (hierarchical testing; Yekutieli,
    JASA 2008).
    """
    columns = {
        name: table[name].to_numpy()
        for name in ("psi", "psi_noise_q95", "psi_own_windows_q95", "ks_statistic", "chi2_pvalue")
    }
    ks_pvalue = drift.ks_pvalue(
        columns["ks_statistic"],
        table["baseline_value_count"].to_numpy(),
        table["current_value_count"].to_numpy(),
    )
    pvalue = np.where(np.isnan(ks_pvalue), columns["chi2_pvalue"], ks_pvalue)
    pvalue = with_missing_values(pvalue, table)
    is_whole = table["slice_key"].to_numpy() == "all"
    window = (*SERIES[:3], "window_size", "window_end", "comparison")
    whole_family = number_of(table, *window)
    feature_family = number_of(table, *window, "feature")
    slice_family = number_of(table, *window, "feature", "slice_key")

    def level_of(rows: np.ndarray, qvalue: np.ndarray) -> np.ndarray:
        return drift.drift_level(
            columns["psi"][rows],
            columns["psi_noise_q95"][rows],
            columns["psi_own_windows_q95"][rows],
            qvalue,
            moderate=settings["psi_moderate"],
            significant=settings["psi_significant"],
        )

    qvalue = np.full(len(table), np.nan)
    level = np.full(len(table), -1)
    whole = np.flatnonzero(is_whole)
    qvalue[whole] = drift.benjamini_hochberg(pvalue[whole], whole_family[whole])
    level[whole] = level_of(whole, qvalue[whole])
    flagged = feature_family[whole[level[whole] > 0]]
    slices = np.flatnonzero(~is_whole & np.isin(feature_family, flagged))
    qvalue[slices] = drift.benjamini_hochberg(pvalue[slices], slice_family[slices])
    level[slices] = level_of(slices, qvalue[slices])
    replaced = {
        "ks_pvalue": pa.array(ks_pvalue, pa.float64(), from_pandas=True),
        "qvalue": pa.array(qvalue, pa.float64(), from_pandas=True),
        "drift_level": pa.array(np.where(level < 0, None, LEVELS[level]), pa.string()),
    }
    for name, column in replaced.items():
        table = table.set_column(table.schema.get_field_index(name), DRIFT.field(name), column)
    return table


def with_missing_values(pvalue: np.ndarray, table: pa.Table) -> np.ndarray:
    """Let the p-values of KS, which leaves missing values out, tell of a change in their share.

    Twice the smaller of the two p-values (Bonferroni), where a side has missing values; that of
    their share alone where there is no other. Categories have them in their own test.
    """
    counts = [
        np.stack([values, total - values], axis=1)
        for values, total in (
            (table[f"{side}_value_count"].to_numpy(), table[f"{side}_count"].to_numpy())
            for side in ("baseline", "current")
        )
    ]
    missing = np.where(
        np.isnan(table["chi2_pvalue"].to_numpy()), drift.chi_square(*counts)[1], np.nan
    )
    missing = np.where(np.isnan(table["psi"].to_numpy()), np.nan, missing)
    both = np.minimum(2 * np.minimum(pvalue, missing), 1.0)
    return np.where(np.isnan(missing), pvalue, np.where(np.isnan(pvalue), missing, both))


def number_of(table: pa.Table, *names: str) -> np.ndarray:
    """Give each row the number of its combination of some columns."""
    return table.select(names).to_pandas().groupby(list(names), sort=False).ngroup().to_numpy()
