"""Drift statistics from binned counts of a reference and a current window.

Counts are integers of shape (..., n_bins); each place on the leading axes, which broadcast, is a
row of its own. Sums run from the first bin to the last, so that a row gives the same bits alone,
in any batch, and with empty cells appended. What is undefined is NaN.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.chebyshev import chebval
from scipy import special

QUANTILE_CELLS = 10
MIN_CELL_COUNT = 10
SIGNIFICANCE = 0.05

# What scipy.stats.kstwo uses to choose its method.
SMALL_SIZE = 140
SMIRNOV_MAX_SIZE = 1_000_000
# Up to here the terms of Smirnov's sum are added one by one, beyond they are integrated.
SMIRNOV_SUM_SIZE = 1000
# Up to here the exact distribution is taken where scipy does; beyond, Pelz and Good's.
EXACT_SIZE = 256
# The exact distribution is a polynomial in size x distance between neighbouring multiples of one
# half, and ever smoother: 12 Chebyshev nodes suffice in each of these pieces.
EXACT_KNOTS = np.array([*np.arange(1, 9, 0.5), 9, 11, 14, 18, 24])
N_NODES = 12


def psi(reference: np.ndarray, current: np.ndarray, *, floor: float = 1e-6) -> np.ndarray:
    """Take the population stability index of two distributions over the same cells.

    Parameters
    ----------
    reference, current : ndarray of float, shape (..., n_cells)
        Proportions.
    floor : float, default 1e-6
        The least proportion that a cell is taken to have.

    Returns
    -------
    ndarray of float, shape (...)
        At least 0. NaN where all proportions of a side are 0, as of a window without rows.

    Raises
    ------
    ValueError
        If a proportion is not in [0, 1], the shapes do not fit, or the floor is not in (0, 1).

    Notes
    -----
    ``sum((c - r) * ln(c / r))``, which is Jeffreys' divergence. A cell that is empty on both sides
    adds 0; one that is empty on one side adds about ``share * ln(share / floor)``.
    """
    if not np.finfo(float).tiny <= floor < 1:
        raise ValueError(f"floor must be in (0, 1) and not subnormal, got {floor}")
    reference, current = _proportions(reference, current)
    is_filled = reference.any(axis=-1) & current.any(axis=-1)
    reference, current = np.maximum(reference, floor), np.maximum(current, floor)
    return np.where(is_filled, _sum((current - reference) * np.log(current / reference)), np.nan)


def js_distance(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance, base 2.

    Parameters
    ----------
    reference, current : ndarray of float, shape (..., n_cells)
        Proportions.

    Returns
    -------
    ndarray of float, shape (...)
        The square root of the divergence, in [0, 1]. NaN where all proportions of a side are 0.

    Raises
    ------
    ValueError
        If a proportion is not in [0, 1] or the shapes do not fit.

    Notes
    -----
    ``scipy.spatial.distance.jensenshannon(reference, current, base=2)``, which however gives NaN
    where rounding takes the divergence of nearly equal sides below 0.
    """
    reference, current = _proportions(reference, current)
    totals = _sum(reference), _sum(current)
    is_filled = (totals[0] > 0) & (totals[1] > 0)
    reference, current = (
        side / np.where(is_filled, total, 1.0)[..., None]
        for side, total in zip((reference, current), totals, strict=True)
    )
    divergence = np.zeros(is_filled.shape)
    for side in (reference, current):
        half = np.full_like(side, 0.5)
        np.divide(side, reference + current, out=half, where=side > 0)
        divergence = divergence + _sum(side * np.log2(2 * half)) / 2
    return np.where(is_filled, np.sqrt(np.clip(divergence, 0.0, 1.0)), np.nan)


def ks_statistic(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Kolmogorov-Smirnov statistic over the edges of the bins.

    Parameters
    ----------
    reference, current : ndarray of int, shape (..., n_bins)
        Counts of bins in rising order.

    Returns
    -------
    ndarray of float, shape (...)
        The largest distance of the two empirical distribution functions, in [0, 1]. The exact
        statistic is no smaller, and larger by at most ``ks_error_bound``. NaN where a side is
        empty.

    Raises
    ------
    ValueError
        If counts are negative or no integers, or the shapes do not fit.
    """
    reference, current, is_filled = _sides(reference, current)
    distance = np.abs(_ecdf(reference) - _ecdf(current))
    return np.where(is_filled, np.max(distance, axis=-1, initial=0.0), np.nan)


def ks_error_bound(
    reference: np.ndarray, current: np.ndarray, is_single_value: np.ndarray
) -> np.ndarray:
    """Bound by how much the exact statistic may exceed ``ks_statistic``.

    Parameters
    ----------
    reference, current : ndarray of int, shape (..., n_bins)
        Counts of bins in rising order.
    is_single_value : ndarray of bool, broadcastable to the counts
        Whether both sides together hold one single value in the bin.

    Returns
    -------
    ndarray of float, shape (...)
        In [0, 1]. NaN where a side is empty.

    Raises
    ------
    ValueError
        If counts are negative or no integers, or the shapes do not fit.

    Notes
    -----
    At x in a bin (a, b], F(x) - G(x) is at most F(b) - G(a), as both rise: that is the difference
    at a plus the bin's share of F, and that at b plus its share of G. So the smaller of the shares
    bounds it. With a single value both step at once, and no difference is new.
    """
    reference, current, is_filled = _sides(reference, current)
    is_single_value = np.asarray(is_single_value)
    if is_single_value.dtype != bool:
        raise ValueError(f"is_single_value must be bool, got {is_single_value.dtype}")
    if not _fits(is_single_value.shape, reference.shape):
        raise ValueError(
            f"is_single_value of shape {is_single_value.shape} for counts of {reference.shape}"
        )
    smaller = np.minimum(_shares(reference), _shares(current))
    bound = np.max(np.where(is_single_value, 0.0, smaller), axis=-1, initial=0.0)
    return np.where(is_filled, bound, np.nan)


def ks_pvalue(statistic: np.ndarray, n_reference: np.ndarray, n_current: np.ndarray) -> np.ndarray:
    """Give the p-value of a two-sample Kolmogorov-Smirnov statistic.

    Parameters
    ----------
    statistic : ndarray of float, shape (...)
        In [0, 1], or NaN.
    n_reference, n_current : ndarray of int, broadcastable with the statistic
        Rows of each side.

    Returns
    -------
    ndarray of float, shape (...)
        NaN where the statistic is, where a side is empty, and for one row against one, whose
        effective size rounds to 0.

    Raises
    ------
    ValueError
        If a statistic is outside [0, 1], or a size is negative or no integer.

    Notes
    -----
    As ``scipy.stats.ks_2samp(method="asymp")``: ``kstwo.sf(statistic, n)`` at the effective size
    ``n = round(m k / (m + k))``. kstwo takes the values one by one and sums n terms for each, up
    to seconds. Here its methods [1]_ run on arrays, and meet it within a relative 1e-8 where p is
    over 1e-12; but within 1e-6 for n over 256 and p over 0.9, where scipy goes on to use matrices
    of growing size. Smaller p agree within 1e-3, and below 1e-300 are 0.

    References
    ----------
    .. [1] R. Simard and P. L'Ecuyer, "Computing the two-sided Kolmogorov-Smirnov distribution",
       Journal of Statistical Software 39(11), 2011.
    """
    statistic = np.asarray(statistic, float)
    if np.any((statistic < 0) | (statistic > 1)):
        raise ValueError(
            "statistics must be in [0, 1] or NaN,"
            f" got {np.nanmin(statistic)} to {np.nanmax(statistic)}"
        )
    m, k = (side.astype(float) for side in _sizes(n_reference=n_reference, n_current=n_current))
    statistic, m, k = np.broadcast_arrays(statistic, m, k)
    n = np.round(m * k / np.maximum(m + k, 1.0))
    is_known = ~np.isnan(statistic) & (n > 0)
    d, n = statistic[is_known], n[is_known]
    order = np.lexsort((d, n))
    d, n = d[order], n[order]
    is_first = np.ones(len(d), bool)
    is_first[1:] = (d[1:] != d[:-1]) | (n[1:] != n[:-1])
    pvalue = np.empty(len(d))
    pvalue[order] = _kstwo_sf(d[is_first], n[is_first])[np.cumsum(is_first) - 1]
    result = np.full(statistic.shape, np.nan)
    result[is_known] = pvalue
    return result


def wasserstein_distance(
    reference: np.ndarray,
    current: np.ndarray,
    edges: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Wasserstein-1 distance from bins, and the bound of its error.

    Parameters
    ----------
    reference, current : ndarray of int, shape (..., n_bins)
        Counts of finite values. Bin i holds (edges[i - 1], edges[i]], the first bin all up to the
        first edge, the last all above the last edge.
    edges : ndarray of float, shape (n_bins - 1,)
        Rising, in the feature's unit.
    lowest, highest : ndarray of float, shape (...)
        The smallest and the largest finite value of both sides together.

    Returns
    -------
    distance, error_bound : ndarray of float, shape (...)
        In the feature's unit. The exact distance is within ``distance`` plus or minus
        ``error_bound``, but for float rounding. NaN where a side is empty, an extreme is NaN, or
        the range is too wide for a float.

    Raises
    ------
    ValueError
        If counts are negative or no integers, edges are NaN or do not rise, extremes are infinite,
        the lowest value is over the highest, or the shapes do not fit.

    Notes
    -----
    The integral of |F - G|, with both distribution functions linear in each bin. The bound adds
    up ``width * (reference share + current share) / 2``:

    |F - G| errs by at most |F - its line| + |G - its line|; F rises by its share s within the
    width w, as a mixture of single steps by s, and a step is off the line by an area up to w s / 2.
    """
    reference, current, is_filled = _sides(reference, current)
    edges, lowest, highest = (np.asarray(part, float) for part in (edges, lowest, highest))
    rows = reference.shape[:-1]
    if edges.shape != (max(reference.shape[-1] - 1, 0),):
        raise ValueError(f"edges of shape {edges.shape} for counts of {reference.shape}")
    if np.isnan(edges).any() or not (edges[1:] > edges[:-1]).all():
        raise ValueError("edges must rise and not be NaN")
    if not (_fits(lowest.shape, rows) and _fits(highest.shape, rows)):
        raise ValueError(
            f"lowest and highest of shapes {lowest.shape} and {highest.shape} for rows of {rows}"
        )
    if np.isinf(lowest).any() or np.isinf(highest).any():
        raise ValueError("lowest and highest must be finite or NaN")
    if (lowest > highest).any():
        raise ValueError("lowest must not be over highest")

    knots = np.empty((*rows, len(edges) + 2))
    knots[..., 0], knots[..., -1] = lowest, highest
    # Bins beyond the extremes are empty: they get width 0.
    knots[..., 1:-1] = np.clip(edges, lowest[..., None], highest[..., None])
    right = _ecdf(reference) - _ecdf(current)
    left = np.zeros_like(right)
    left[..., 1:] = right[..., :-1]
    area = (np.abs(left) + np.abs(right)) / 2
    # Where F and G cross within the bin, two triangles.
    is_crossed = np.sign(left) * np.sign(right) < 0
    np.divide(left**2 + right**2, 2 * np.abs(left - right), out=area, where=is_crossed)
    error = (_shares(reference) + _shares(current)) / 2

    is_known = is_filled & ~np.isnan(lowest) & ~np.isnan(highest)
    with np.errstate(over="ignore", invalid="ignore"):
        width = np.diff(knots, axis=-1)
        distance = _sum(np.where(area == 0, 0.0, width * area))
        bound = _sum(np.where(error == 0, 0.0, width * error))
        is_known &= np.isfinite(distance) & np.isfinite(bound)
    return np.where(is_known, distance, np.nan), np.where(is_known, bound, np.nan)


def chi_square(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chi-square test that both sides have the same distribution.

    Parameters
    ----------
    reference, current : ndarray of int, shape (..., n_bins)
        Counts.

    Returns
    -------
    statistic, pvalue : ndarray of float, shape (...)
        Of the 2 x k table of the columns that are not empty on both sides, without continuity
        correction. NaN where fewer than two columns remain or a side is empty.

    Raises
    ------
    ValueError
        If counts are negative or no integers, or the shapes do not fit.

    Notes
    -----
    ``sum((r_i C - c_i R)^2 / (r_i + c_i)) / (R C)`` with the totals R and C, which is Pearson's
    sum of (observed - expected)^2 / expected over both rows of the table.
    """
    reference, current, is_filled = _sides(reference, current)
    columns = np.count_nonzero(reference + current, axis=-1)
    is_known = is_filled & (columns > 1)
    r, c = reference.astype(float), current.astype(float)
    r_total, c_total = (
        np.where(is_filled, side.sum(axis=-1), 1).astype(float) for side in (reference, current)
    )
    difference = r * c_total[..., None] - c * r_total[..., None]
    statistic = _sum(difference**2 / np.maximum(r + c, 1.0)) / (r_total * c_total)
    pvalue = special.chdtrc(np.where(is_known, columns - 1.0, 1.0), statistic)
    return np.where(is_known, statistic, np.nan), np.where(is_known, pvalue, np.nan)


def out_of_range_count(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Count the current values that lie beyond all of the reference.

    Parameters
    ----------
    reference, current : ndarray of int, shape (..., n_bins)
        Counts of bins in rising order.

    Returns
    -------
    ndarray of int, shape (...)
        What is in bins below the lowest and above the highest filled bin of the reference: all that
        is out of range where those bins end with the reference's extremes, else the least that is.
        0 where the reference is empty.

    Raises
    ------
    ValueError
        If counts are negative or no integers, or the shapes do not fit.
    """
    reference, current, is_filled = _sides(reference, current)
    running = np.cumsum(reference, axis=-1)
    is_below = running == 0
    is_above = (running == running[..., -1:]) & (reference == 0)
    beyond = np.where(is_below | is_above, current, 0).sum(axis=-1)
    return np.where(is_filled, beyond, 0)


def psi_noise_floor(
    n_cells: np.ndarray, n_reference: np.ndarray, n_current: np.ndarray
) -> np.ndarray:
    """PSI to expect of two samples of one and the same distribution.

    Parameters
    ----------
    n_cells, n_reference, n_current : ndarray of int, broadcastable with each other
        Cells of the PSI, and rows of each side.

    Returns
    -------
    ndarray of float
        ``(k - 1) (1 / n_reference + 1 / n_current)``. NaN where there are fewer than two cells or
        a side is empty.

    Raises
    ------
    ValueError
        If an argument is negative or no integer.

    Notes
    -----
    Without drift PSI is to first order a chi-square with k - 1 degrees of freedom times
    ``1 / n_reference + 1 / n_current`` (B. Yurdakul, "Statistical properties of population
    stability index", Western Michigan University, 2018).
    """
    cells, scale = _noise(n_cells, n_reference, n_current)
    return (cells - 1) * scale


def psi_noise_quantile(
    n_cells: np.ndarray, n_reference: np.ndarray, n_current: np.ndarray, *, q: float = 0.95
) -> np.ndarray:
    """Quantile of the PSI of two samples of one and the same distribution.

    Parameters
    ----------
    n_cells, n_reference, n_current : ndarray of int, broadcastable with each other
        Cells of the PSI, and rows of each side.
    q : float, default 0.95
        In (0, 1).

    Returns
    -------
    ndarray of float
        ``chi2.ppf(q, k - 1) (1 / n_reference + 1 / n_current)``. NaN where there are fewer than
        two cells or a side is empty.

    Raises
    ------
    ValueError
        If an argument is negative or no integer, or q is not in (0, 1).

    Notes
    -----
    See ``psi_noise_floor``.
    """
    if not 0 < q < 1:
        raise ValueError(f"q must be in (0, 1), got {q}")
    cells, scale = _noise(n_cells, n_reference, n_current)
    # Twice a gamma's quantile is the chi-square's.
    return 2 * special.gammaincinv((cells - 1) / 2, q) * scale


@dataclass(frozen=True)
class PsiCells:
    """The cells over which PSI is taken, for each row.

    Attributes
    ----------
    cell : ndarray of int, shape (n_rows, n_bins + 1)
        The cell of each bin and, last, of the nulls. Cells are numbered in bin order, then come
        the nulls' and the rest. -1 for nulls that there are none of, for bins without rows where
        there is no rest, and in rows without a reference.
    own_cell : ndarray of int, shape (n_rows, n_bins + 1)
        The same, but -1 also for what a rest too small to stand alone brought into a cell: the
        bins that the cell is named by.
    reference, current : ndarray of int, shape (n_rows, max_cells)
        Counts of the cells, 0 beyond the last one. ``max_cells`` depends on the number of bins
        alone.
    n_cells : ndarray of int, shape (n_rows,)
        0 without a reference.
    rest_cell : ndarray of int, shape (n_rows,)
        The rest where it stands alone, else -1.
    joined_cell : ndarray of int, shape (n_rows,)
        The cell that a rest with rows has joined, else -1.
    """

    cell: np.ndarray
    own_cell: np.ndarray
    reference: np.ndarray
    current: np.ndarray
    n_cells: np.ndarray
    rest_cell: np.ndarray
    joined_cell: np.ndarray


def psi_cells(
    reference: np.ndarray,
    current: np.ndarray,
    reference_nulls: np.ndarray,
    current_nulls: np.ndarray,
    *,
    is_discrete: bool,
    min_count: int = MIN_CELL_COUNT,
) -> PsiCells:
    """Merge fine bins to the cells of PSI.

    Parameters
    ----------
    reference, current : ndarray of int, shape (n_rows, n_bins)
        Counts of bins in rising order, or of categories.
    reference_nulls, current_nulls : ndarray of int, shape (n_rows,)
        Counts of nulls.
    is_discrete : bool
        Whether each bin is a value or category, and so a cell of its own, or the bins merge to
        ten quantile cells of the reference's values.
    min_count : int, default 10
        The least count, found in the reference and expected in the current window, of a cell.

    Returns
    -------
    PsiCells

    Raises
    ------
    ValueError
        If counts are negative or no integers, the shapes do not fit, or ``min_count`` is under 1.

    Notes
    -----
    A bin that starts after a share s of the reference's values is in the quantile cell
    ``floor(10 s)``, so what is below their minimum is in the first cell and what is above their
    maximum in the last. Nulls are one more cell. Cells under the least count, and with them all
    that the reference has not seen, are pooled to a rest. It stands alone if the least count is
    expected or found in it, and else joins the last other cell: so many small cells do not pass
    for drift, and new categories or nulls show in full.
    """
    if min_count < 1:
        raise ValueError(f"min_count must be at least 1, got {min_count}")
    reference, current, _ = _sides(reference, current)
    nulls = _sides(np.asarray(reference_nulls)[..., None], np.asarray(current_nulls)[..., None])
    rows, n_bins = reference.shape[:-1], reference.shape[-1]
    if len(rows) != 1 or nulls[0].shape != (*rows, 1):
        raise ValueError(
            f"counts must be of shape (n_rows, n_bins) and nulls of (n_rows,), got"
            f" {reference.shape} and {nulls[0].shape[:-1]}"
        )

    # First, every bin and the nulls have a cell, whatever its counts.
    if is_discrete:
        n_first = n_bins + 1
        first = np.broadcast_to(np.arange(n_first), (*rows, n_first))
    else:
        n_first = QUANTILE_CELLS + 1
        below = np.cumsum(reference, axis=-1) - reference
        n_values = np.maximum(reference.sum(axis=-1, keepdims=True), 1)
        first = np.full((*rows, n_bins + 1), QUANTILE_CELLS)
        first[:, :-1] = np.minimum(QUANTILE_CELLS * below // n_values, QUANTILE_CELLS - 1)
    reference, current = (
        _add_up(np.concatenate(side, axis=-1), first, n_first)
        for side in ((reference, nulls[0]), (current, nulls[1]))
    )

    # n_current * count / n_reference >= min_count, in integers that do not overflow.
    n_reference, n_current = reference.sum(axis=-1), current.sum(axis=-1)
    expects = np.where(
        n_current > 0,
        -(-min_count * n_reference // np.maximum(n_current, 1)),
        np.iinfo(np.int64).max,
    )
    is_kept = reference >= np.maximum(expects, min_count)[:, None]
    n_kept = is_kept.sum(axis=-1)
    rest_reference, rest_current = (
        np.where(is_kept, 0, side).sum(axis=-1) for side in (reference, current)
    )
    has_rest = (n_reference > 0) & (rest_reference + rest_current > 0)
    is_large = (rest_reference >= expects) | (rest_current >= min_count)
    stands = has_rest & (is_large | (n_kept == 0))
    joins = has_rest & ~stands
    rest_cell, joined_cell = np.where(stands, n_kept, -1), np.where(joins, n_kept - 1, -1)

    pooled = np.maximum(rest_cell, joined_cell)
    final = np.where(is_kept, np.cumsum(is_kept, axis=-1) - 1, pooled[:, None])
    final[(reference + current)[:, -1] == 0, -1] = -1
    own = np.where(is_kept, final, rest_cell[:, None])
    return PsiCells(
        cell=np.take_along_axis(final, first, axis=-1),
        own_cell=np.take_along_axis(own, first, axis=-1),
        reference=_add_up(reference, final, n_first + 1),
        current=_add_up(current, final, n_first + 1),
        n_cells=n_kept + stands,
        rest_cell=rest_cell,
        joined_cell=joined_cell,
    )


def benjamini_hochberg(pvalue: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg q-values within families of tests.

    Parameters
    ----------
    pvalue : ndarray of float, shape (n,)
        In [0, 1], or NaN for a test that was not made.
    family : ndarray of int, shape (n,)
        The label of each test's family.

    Returns
    -------
    ndarray of float, shape (n,)
        Least rate of false discoveries at which the test is one. NaN where the p-value is.

    Raises
    ------
    ValueError
        If a p-value is outside [0, 1], labels are no integers, or the shapes do not fit.

    Notes
    -----
    ``min over j >= i of p_(j) m / j`` for the i-th smallest of a family's m p-values, as
    ``scipy.stats.false_discovery_control`` (Y. Benjamini and Y. Hochberg, JRSS B 57, 1995).
    """
    pvalue, family = np.asarray(pvalue, float), np.asarray(family)
    if pvalue.ndim != 1 or pvalue.shape != family.shape:
        raise ValueError(f"p-values of shape {pvalue.shape} for families of {family.shape}")
    if not np.issubdtype(family.dtype, np.integer):
        raise ValueError(f"families must be integers, got {family.dtype}")
    if np.any((pvalue < 0) | (pvalue > 1)):
        raise ValueError(
            f"p-values must be in [0, 1] or NaN, got {np.nanmin(pvalue)} to {np.nanmax(pvalue)}"
        )
    qvalue = np.full(len(pvalue), np.nan)
    tests = np.flatnonzero(~np.isnan(pvalue))
    if not len(tests):
        return qvalue
    tests = tests[np.lexsort((pvalue[tests], family[tests]))]
    is_first = np.ones(len(tests), bool)
    is_first[1:] = family[tests[1:]] != family[tests[:-1]]
    index = np.cumsum(is_first) - 1
    start = np.flatnonzero(is_first)
    size = np.diff(np.append(start, len(tests)))
    ratio = pvalue[tests] * (size[index] / (np.arange(len(tests)) - start[index] + 1))
    # The running minimum from the right starts anew in each family: it runs over the ranks of the
    # ratios, and those of a family are all above those of the families to its left.
    order = np.argsort(ratio, kind="stable")
    rank = np.empty(len(tests), np.int64)
    rank[order] = np.arange(len(tests))
    rank -= len(tests) * (index[-1] - index)
    rank = np.minimum.accumulate(rank[::-1])[::-1] + len(tests) * (index[-1] - index)
    qvalue[tests] = ratio[order][rank]
    return qvalue


def drift_level(
    psi: np.ndarray,
    noise_q95: np.ndarray,
    own_windows_q95: np.ndarray,
    qvalue: np.ndarray,
    *,
    moderate: float = 0.1,
    significant: float = 0.25,
) -> np.ndarray:
    """Grade drift by PSI, where it exceeds what would be there without.

    Parameters
    ----------
    psi : ndarray of float
        All arrays broadcast with each other.
    noise_q95 : ndarray of float
        ``psi_noise_quantile``.
    own_windows_q95 : ndarray of float
        95th percentile of the PSI of the reference's own windows, or NaN.
    qvalue : ndarray of float
        From ``benjamini_hochberg``, or NaN.
    moderate, significant : float
        Least PSI of each grade.

    Returns
    -------
    ndarray of int
        0 none, 1 moderate, 2 significant, -1 unknown: PSI is NaN, or large enough for a grade but
        without a noise quantile. Drift has a grade only if PSI is over both quantiles and the
        q-value under 0.05, of which NaN ``own_windows_q95`` and ``qvalue`` do not count.

    Raises
    ------
    ValueError
        If not 0 < moderate <= significant.
    """
    if not 0 < moderate <= significant:
        raise ValueError(f"need 0 < moderate <= significant, got {moderate} and {significant}")
    psi, noise_q95, own_windows_q95, qvalue = np.broadcast_arrays(
        *(np.asarray(part, float) for part in (psi, noise_q95, own_windows_q95, qvalue))
    )
    level = np.where(psi >= significant, 2, np.where(psi >= moderate, 1, 0))
    is_noise = (psi <= noise_q95) | (psi <= own_windows_q95) | (qvalue >= SIGNIFICANCE)
    level = np.where(is_noise, 0, level)
    return np.where(np.isnan(psi) | (np.isnan(noise_q95) & (level > 0)), -1, level)


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _sizes(**sizes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Check counts of rows or cells."""
    arrays = {name: np.asarray(size) for name, size in sizes.items()}
    for name, size in arrays.items():
        if not np.issubdtype(size.dtype, np.integer):
            raise ValueError(f"{name} must be integers, got {size.dtype}")
        if size.size and size.min() < 0:
            raise ValueError(f"{name} must not be negative, got {size.min()}")
    return tuple(size.astype(np.int64) for size in arrays.values())


def _pair(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Broadcast the leading axes, into arrays laid out alike whatever the batch."""
    if not reference.ndim or not current.ndim or reference.shape[-1] != current.shape[-1]:
        raise ValueError(
            "reference and current must have the same bins along the last axis,"
            f" got shapes {reference.shape} and {current.shape}"
        )
    reference, current = np.broadcast_arrays(reference, current)
    return np.ascontiguousarray(reference), np.ascontiguousarray(current)


def _sides(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check counts, and tell in which rows neither side is empty."""
    reference, current = _pair(*_sizes(reference=reference, current=current))
    return reference, current, reference.any(axis=-1) & current.any(axis=-1)


def _proportions(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    reference, current = _pair(np.asarray(reference, float), np.asarray(current, float))
    for name, side in (("reference", reference), ("current", current)):
        # Not NaN either; a share of all rows may round to above 1.
        if not ((side >= 0) & (side <= 1 + 1e-9)).all():
            raise ValueError(
                f"{name} must be proportions in [0, 1], got {side.min()} to {side.max()}"
            )
    return reference, current


def _sum(values: np.ndarray) -> np.ndarray:
    """Sum along the last axis from left to right, where numpy.sum's order depends on its length."""
    if not values.shape[-1]:
        return np.zeros(values.shape[:-1])
    return np.cumsum(values, axis=-1)[..., -1]


def _shares(counts: np.ndarray) -> np.ndarray:
    """Give counts as shares of their row; 0 where the row is empty."""
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def _ecdf(counts: np.ndarray) -> np.ndarray:
    """Empirical distribution function at the upper edge of each bin."""
    return np.cumsum(counts, axis=-1) / np.maximum(counts.sum(axis=-1, keepdims=True), 1)


def _noise(
    n_cells: np.ndarray, n_reference: np.ndarray, n_current: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cells and 1 / n_reference + 1 / n_current, NaN where PSI has no noise to speak of."""
    cells, reference, current = np.broadcast_arrays(
        *_sizes(n_cells=n_cells, n_reference=n_reference, n_current=n_current)
    )
    scale = 1 / np.maximum(reference, 1) + 1 / np.maximum(current, 1)
    is_known = (cells > 1) & (reference > 0) & (current > 0)
    return np.where(cells > 1, cells, 2.0), np.where(is_known, scale, np.nan)


def _add_up(counts: np.ndarray, cell: np.ndarray, n_cells: int) -> np.ndarray:
    """Sum the counts of each row by cell, leaving out cell -1."""
    result = np.zeros((len(counts), n_cells + 1), np.int64)
    np.add.at(result, (np.arange(len(counts))[:, None], cell), counts)
    return result[:, :-1]


def _kstwo_sf(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """``scipy.stats.kstwo.sf(d, n)`` for whole floats n from 1, sorted by n for speed."""
    steps = n * d
    square = steps * d
    is_small = n <= SMALL_SIZE
    is_lattice = steps <= 1
    # Twice the one-sided probability, where hardly any sample departs to both sides.
    is_one_sided = ~is_lattice & ((d >= 0.5) | np.where(is_small, square > 4, square >= 2.2))
    is_exact = is_small | ((n <= EXACT_SIZE) & (steps * np.sqrt(d) <= 1.4))
    is_exact &= ~is_lattice & ~is_one_sided
    is_limit = ~(is_lattice | is_one_sided | is_exact)
    result = np.empty(len(d))
    for part, tail in (
        (is_lattice, _lattice_sf),
        # Below 1e-300: 0.
        (is_one_sided & (square < 370), _smirnov_sf),
        (is_exact, _exact_sf),
        (is_limit, _pelz_good_sf),
    ):
        result[part] = tail(d[part], n[part])
    result[is_one_sided] *= 2
    result[is_one_sided & (square >= 370)] = 0.0
    return np.clip(result, 0.0, 1.0)


def _lattice_sf(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Two-sided, for n d <= 1: ``1 - n! (2 d - 1 / n)^n``, after Ruben and Gambino."""
    gap = np.maximum(2 * n * d - 1, np.finfo(float).tiny)
    return 1 - np.exp(special.gammaln(n + 1) + n * (np.log(gap) - np.log(n)))


def _smirnov_sf(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """One-sided, after Smirnov: ``sum of d C(n, j) (d + j/n)^(j-1) (1 - d - j/n)^(n-j)``."""
    result = np.empty(len(d))
    is_short, is_long = n <= SMIRNOV_SUM_SIZE, n > SMIRNOV_MAX_SIZE
    is_middle = ~(is_short | is_long)
    result[is_short] = _smirnov_sum(d[is_short], n[is_short])
    result[is_middle] = _smirnov_integral(d[is_middle], n[is_middle])
    d, n = d[is_long], n[is_long]
    result[is_long] = np.exp(-((6 * n * d + 1) ** 2) / (18 * n))
    return result


def _smirnov_sum(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Add the terms for j from 0 to ``floor(n (1 - d))``."""
    log_factorial = special.gammaln(np.arange(1.0, SMIRNOV_SUM_SIZE + 2))
    n_terms = np.floor(n * (1 - d)).astype(np.int64) + 1
    result = np.empty(len(d))
    for rows in _chunks(n_terms, 2**18):
        start = np.cumsum(n_terms[rows]) - n_terms[rows]
        j = np.arange(n_terms[rows].sum()) - np.repeat(start, n_terms[rows])
        size, x = np.repeat(n[rows], n_terms[rows]), np.repeat(d[rows], n_terms[rows])
        left = size.astype(np.int64) - j
        above = np.maximum(left / size - x, np.finfo(float).tiny)
        log_term = log_factorial[size.astype(np.int64)] - log_factorial[j] - log_factorial[left]
        log_term += (j - 1) * np.log(x + j / size) + left * np.log(above)
        result[rows] = d[rows] * np.add.reduceat(np.exp(log_term), start)
    return result


def _smirnov_integral(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Integrate the terms over u = j / n, as they are smooth.

    In w = logit(u / (1 - d)) they fall like ``exp(-n d^2 cosh(w))``, for which few equal steps
    are exact. Binomial coefficients are Stirling's, so that the large parts cancel by hand.
    """
    n_steps, depth = 40, 40.0
    result = np.empty(len(d))
    offset = np.arange(-n_steps / 2, n_steps / 2 + 1) / (n_steps / 2)
    for rows in _chunks(np.full(len(d), n_steps), 2**17):
        x, size = d[rows], n[rows]
        width = np.arccosh(1 + depth / (size * x * x))
        # The largest term is near u = 1/2 - 2/3 d.
        peak = np.log((0.5 - x * 2 / 3) / (0.5 - x / 3))
        scale = 2 * width / n_steps * x * np.sqrt(size / (2 * np.pi))
        part = 1 / (1 + np.exp(-(peak[:, None] + width[:, None] * offset)))
        x, size = x[:, None], size[:, None]
        u = (1 - x) * part
        log_term = size * (u * np.log1p(x / u) + (1 - u) * np.log1p(-x / (1 - u)))
        # What Stirling's formula leaves out, ln(m!) - ln(sqrt(2 pi m) (m / e)^m), is 1 / (12 m).
        log_term += (1 - 1 / u - 1 / (1 - u)) / (12 * size)
        term = np.exp(log_term) * np.sqrt(u / (1 - u)) * (1 - part) / (x + u)
        result[rows] = scale * _sum(term)
    return result


def _exact_sf(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Two-sided, interpolated in pieces of n d for each n."""
    angles = np.pi * (np.arange(N_NODES) + 0.5) / N_NODES
    # From values at the nodes to Chebyshev coefficients.
    transform = np.cos(np.arange(N_NODES)[:, None] * angles) * 2 / N_NODES
    transform[0] /= 2
    steps = n * d
    pieces = np.searchsorted(EXACT_KNOTS, steps) - 1
    result = np.empty(len(d))
    for piece in np.unique(pieces):
        rows = pieces == piece
        low, high = EXACT_KNOTS[piece : piece + 2]
        sizes, index = np.unique(n[rows], return_inverse=True)
        nodes = (low + high) / 2 + (high - low) / 2 * np.cos(angles)
        values = 1 - _durbin_cdf(
            np.tile(nodes, len(sizes)), np.repeat(sizes, N_NODES), 2 * int(np.ceil(high)) - 1
        )
        coefficients = _sum(values.reshape(-1, 1, N_NODES) * transform)
        position = (2 * steps[rows] - low - high) / (high - low)
        result[rows] = chebval(position, coefficients[index].T, tensor=False)
    return result


def _durbin_cdf(steps: np.ndarray, n: np.ndarray, width: int) -> np.ndarray:
    """Two-sided probability up to d = steps / n, exact.

    ``n! / n^n`` times the middle of the n-th power of Durbin's matrix (G. Marsaglia, W. W. Tsang
    and J. Wang, Journal of Statistical Software 8(18), 2003), by one product of matrix and vector
    for each of the n. Matrices are padded to ``width`` at least ``2 ceil(steps) - 1``.
    """
    index = np.arange(width)
    lag = index[:, None] - index + 1
    inverse_factorial = np.exp(-special.gammaln(np.arange(1.0, width + 2)))
    band = np.where(lag >= 0, inverse_factorial[np.maximum(lag, 0)], 0.0)
    result = np.empty(len(n))
    for rows in _chunks(np.full(len(n), width * width), 2**16):
        k = np.ceil(steps[rows]).astype(np.int64)
        size = 2 * k - 1
        h = (k - steps[rows])[:, None]
        row = np.arange(len(k))
        is_inside = index < size[:, None]
        border = np.where(is_inside, (1 - h ** (index + 1)) * inverse_factorial[1:], 0.0)
        matrix = np.where(is_inside[:, :, None] & is_inside[:, None, :], band, 0.0)
        matrix[:, :, 0] = border
        mirrored = np.maximum(size[:, None] - 1 - index, 0)
        matrix[row, size - 1] = np.where(
            is_inside, np.take_along_axis(border, mirrored, axis=1), 0.0
        )
        h = h[:, 0]
        corner = 1 - 2 * h**size + np.maximum(2 * h - 1, 0.0) ** size
        matrix[row, size - 1, 0] = corner * inverse_factorial[size]
        vector = np.zeros((len(k), width))
        vector[row, k - 1] = 1.0
        part = np.empty(len(k))
        for step in range(1, int(n[rows].max()) + 1):
            # Sizes already done go on unused, but must not overflow.
            factor = np.minimum(step / n[rows], 1.0)
            vector = (matrix * vector[:, None, :]).sum(axis=-1) * factor[:, None]
            is_last = n[rows] == step
            part[is_last] = vector[is_last, k[is_last] - 1]
        result[rows] = part
    return result


def _pelz_good_sf(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Two-sided, to the third order in ``1 / sqrt(n)`` (Pelz and Good, JRSS B 38, 1976)."""
    z = np.sqrt(n) * d
    z2 = z * z
    z4, z6 = z2 * z2, z2 * z2 * z2
    pi2, pi4, pi6 = np.pi**2, np.pi**4, np.pi**6
    k0, k1, k2, k3 = np.zeros((4, len(d)))
    # For z < 1.5 as here, later terms do not count.
    for k in range(1, 7):
        m = (2 * k - 1) ** 2
        weight = np.exp(-m * pi2 / (8 * z2))
        k0 += weight
        k1 += weight * (pi2 / 4 * m - z2)
        k2 += weight * (
            6 * z6 + 2 * z4 + pi2 / 4 * (2 * z4 - 5 * z2) * m + pi4 / 16 * (1 - 2 * z2) * m**2
        )
        k3 += weight * (
            -30 * z6
            - 90 * z4 * z4
            + pi2 / 4 * (135 * z4 - 96 * z6) * m
            + pi4 / 16 * (212 * z4 - 60 * z2) * m**2
            + pi6 / 64 * (5 - 30 * z2) * m**3
        )
    k0, k1, k2, k3 = k0 / z, k1 / (6 * z4), k2 / (72 * z4 * z2 * z), k3 / (6480 * z4 * z6)
    for k in range(1, 7):
        weight = k * k * pi2 * np.exp(-k * k * pi2 / (2 * z2))
        k2 -= weight / (36 * z2 * z)
        k3 += weight * (3 * z2 - pi2 * k * k) / (216 * z6)
    root = np.sqrt(n)
    return 1 - np.sqrt(2 * np.pi) * (k0 + k1 / root + k2 / n + k3 / (n * root))


def _chunks(costs: np.ndarray, most: int) -> Iterator[slice]:
    """Slices of rows whose costs add up to about ``most``, to bound the memory."""
    if not len(costs):
        return
    cuts = np.flatnonzero(np.diff(np.cumsum(costs) // most)) + 1
    bounds = [0, *cuts.tolist(), len(costs)]
    for start, stop in itertools.pairwise(bounds):
        yield slice(start, stop)
