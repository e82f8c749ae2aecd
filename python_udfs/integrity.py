"""Whether a feature is wrong as such: another unit, one value only, another type.

Arrays in, arrays out; an undefined number is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PROBABILITIES = np.arange(5, 100, 5) / 100
# A conversion explains a window if what is left of the difference is at most so much of the
# baseline's span (95th less 5th percentile, in the new unit), ...
MAX_RESIDUAL = 0.2
# ... the difference without it is so many times as large, ...
LEAST_GAIN = 4.0
# ... and is at least so much of the span.
LEAST_CHANGE = 0.25
# A factor that is no known one has to fit closely, and to be far from 1.
MAX_FREE_RESIDUAL = 0.02
LEAST_FREE_FACTOR = 2.0
# Quantiles of mostly one value fit any factor.
LEAST_DISTINCT = 5
# Slices are compared with their peers only if both agree in the baseline up to this.
MAX_BASELINE_DIFFERENCE = 0.2

DUPLICATED_SHARE = 0.99
STUCK_SHARE = 0.95
# What the baseline's own days may reach for a feature that varies.
MAX_BASELINE_STUCK_SHARE = 0.9
TYPE_CHANGE_RATE = 0.005


@dataclass(frozen=True)
class Conversion:
    """``new = offset + factor * old``."""

    name: str
    factor: float
    offset: float = 0.0

    @property
    def inverse(self) -> Conversion:
        """The way back."""
        before, _, after = self.name.partition(" to ")
        return Conversion(f"{after} to {before}", 1 / self.factor, -self.offset / self.factor)


_ONE_WAY = [
    Conversion("fahrenheit to celsius", 5 / 9, -160 / 9),
    Conversion("celsius to kelvin", 1.0, 273.15),
    Conversion("miles to kilometres", 1.609344),
    Conversion("feet to metres", 0.3048),
    Conversion("inches to millimetres", 25.4),
    Conversion("inches to centimetres", 2.54),
    Conversion("miles an hour to metres a second", 0.44704),
    Conversion("kilometres an hour to metres a second", 1 / 3.6),
    Conversion("pounds to kilograms", 0.45359237),
    Conversion("shares to percent", 100.0),
    Conversion("seconds to milliseconds", 1000.0),
    Conversion("minutes to seconds", 60.0),
    Conversion("seconds to microseconds", 1e6),
]
CONVERSIONS = tuple(c for one in _ONE_WAY for c in (one, one.inverse))


def bin_quantiles(
    counts: np.ndarray,
    edges: np.ndarray,
    value_min: np.ndarray,
    value_max: np.ndarray,
) -> np.ndarray:
    """Quantiles of binned values, linear inside a bin.

    Parameters
    ----------
    counts : ndarray of int, shape (n_rows, n_edges + 1)
        Bin i holds the values in (edges[i - 1], edges[i]].
    edges : ndarray of float, shape (n_edges,)
        Rising.
    value_min, value_max : ndarray of float, shape (n_rows,)
        How far the values reach: the outer bins end there.

    Returns
    -------
    ndarray of float, shape (n_rows, 19)
        At ``PROBABILITIES``; NaN without values.
    """
    counts = np.asarray(counts)
    quantiles = np.full((len(counts), len(PROBABILITIES)), np.nan)
    for row, (count, low, high) in enumerate(zip(counts, value_min, value_max, strict=True)):
        total = count.sum()
        if total == 0 or not low <= high:
            continue
        filled = np.flatnonzero(count)
        ends = np.concatenate([[low], edges, [high]]).clip(low, high)
        share = count[filled].cumsum() / total
        # The two ends of each filled bin; between bins the quantile jumps.
        shares = np.column_stack([np.concatenate([[0.0], share[:-1]]), share]).ravel()
        values = np.column_stack([ends[filled], ends[filled + 1]]).ravel()
        quantiles[row] = np.interp(PROBABILITIES, shares, values)
    return quantiles


def span(quantiles: np.ndarray) -> np.ndarray:
    """95th less 5th percentile, shape (n_rows,) of (n_rows, 19)."""
    return quantiles[..., -1] - quantiles[..., 0]


def distinct(quantiles: np.ndarray) -> np.ndarray:
    """Count distinct values, shape (n_rows,) of (n_rows, n_quantiles), rising."""
    return 1 + (np.diff(quantiles, axis=-1) > 0).sum(axis=-1)


def peers(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare each slice value with the others of one window.

    Parameters
    ----------
    quantiles : ndarray of float, shape (n_values, n_quantiles)

    Returns
    -------
    reference : ndarray of float, shape (n_values, n_quantiles)
        The median of the others. NaN with fewer than two others: one other alone does not say
        which of both is odd.
    spread : ndarray of float, shape (n_values,)
        Root mean square of the others' typical distance from their median.
    """
    n_values = len(quantiles)
    reference = np.full(quantiles.shape, np.nan)
    spread = np.full(n_values, np.nan)
    if n_values >= 3:
        for value in range(n_values):
            others = np.delete(quantiles, value, axis=0)
            reference[value] = np.median(others, axis=0)
            gaps = np.median(np.abs(others - reference[value]), axis=0)
            spread[value] = np.sqrt(np.mean(gaps**2))
    return reference, spread


@dataclass(frozen=True)
class UnitChanges:
    """For each row: the conversion that explains it best.

    Attributes
    ----------
    is_flagged : ndarray of bool, shape (n_rows,)
    factor, offset : ndarray of float, shape (n_rows,)
        ``current = offset + factor * reference``; NaN where not flagged.
    residual : ndarray of float, shape (n_rows,)
        Root mean square of what is left, as a share of ``factor * span``.
    names : list of str, length n_rows
        The conversion, '' if it is none that is known.
    """

    is_flagged: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    residual: np.ndarray
    names: list[str]


def unit_changes(current: np.ndarray, reference: np.ndarray, span: float) -> UnitChanges:
    """Find windows that another unit explains.

    Each known conversion is tried; weather and seasons move and narrow the values of one day, so
    that a free fit of both coefficients would not find it. One free factor is tried last.

    Parameters
    ----------
    current, reference : ndarray of float, shape (n_rows, n_quantiles)
    span : float
        Of the baseline, positive, in the unit of the reference.

    Returns
    -------
    UnitChanges
    """
    current, reference = np.atleast_2d(current), np.atleast_2d(reference)
    rows = np.arange(len(current))

    def left(factor: np.ndarray, offset: np.ndarray) -> np.ndarray:
        gap = current - offset[..., None] - factor[..., None] * reference
        return np.sqrt(np.mean(gap**2, axis=-1)) / (factor * span)

    if not (np.isfinite(span) and span > 0):
        none = np.full(len(current), np.nan)
        return UnitChanges(np.zeros(len(current), bool), none, none, none, [""] * len(current))
    with np.errstate(all="ignore"):
        factors = np.array([c.factor for c in CONVERSIONS])[:, None] + np.zeros(len(current))
        offsets = np.array([c.offset for c in CONVERSIONS])[:, None] + np.zeros(len(current))
        residuals = left(factors, offsets)
        residuals[np.isnan(residuals)] = np.inf
        best = np.argmin(residuals, axis=0)
        residual, factor, offset = residuals[best, rows], factors[best, rows], offsets[best, rows]
        # In the unit of the reference and in the new one: both must be far from the reference.
        change = left(np.ones(len(current)), np.zeros(len(current)))
        change = np.minimum(change, change / factor)
        is_varied = np.minimum(distinct(current), distinct(reference)) >= LEAST_DISTINCT
        is_known = is_varied & (
            (residual <= MAX_RESIDUAL)
            & (change >= LEAST_CHANGE)
            & (change >= LEAST_GAIN * residual)
        )

        free = np.sum(current * reference, axis=1) / np.sum(reference**2, axis=1)
        free_left = left(free, np.zeros(len(current)))
        is_free = (
            ~is_known
            & is_varied
            & (free > 0)
            & (np.maximum(free, 1 / free) >= LEAST_FREE_FACTOR)
            & (free_left <= MAX_FREE_RESIDUAL)
        )
    is_flagged = is_known | is_free
    residual = np.where(is_free, free_left, residual)
    return UnitChanges(
        is_flagged,
        np.where(is_known, factor, np.where(is_free, free, np.nan)),
        np.where(is_known, offset, np.where(is_free, 0.0, np.nan)),
        np.where(is_flagged, residual, np.nan),
        [CONVERSIONS[b].name if known else "" for b, known in zip(best, is_known, strict=True)],
    )


def stuck_shares(
    counts: np.ndarray,
    value_min: np.ndarray | None = None,
    value_max: np.ndarray | None = None,
) -> np.ndarray:
    """Share of the fullest bin among the values of each row.

    Parameters
    ----------
    counts : ndarray of int, shape (n_rows, n_bins)
    value_min, value_max : ndarray of float, shape (n_rows,), optional
        Of numbers. Their outer bins are of any width, and count only if all values are one.

    Returns
    -------
    ndarray of float, shape (n_rows,)
        NaN without values.
    """
    counts = np.asarray(counts, float)
    total = counts.sum(axis=1)
    inner = counts
    if value_min is not None:
        inner = counts.copy()
        inner[:, [0, -1]] = 0
    with np.errstate(invalid="ignore"):
        shares = np.where(total > 0, inner.max(axis=1) / total, np.nan)
    if value_min is not None:
        shares = np.where((total > 0) & (value_min == value_max), 1.0, shares)
    return shares
