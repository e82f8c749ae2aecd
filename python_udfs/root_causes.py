"""Which slices have moved a metric, and by how much.

The change of each metric here is written as the change of a mean over members (requests,
latencies, labelled predictions) of a score: what a member adds. A rate is a mean as it stands. A
percentile, a ROC AUC and an ECE are not, so the functions ``*_scores`` give the scores whose means
change by exactly as much. One decomposition then serves all, and adds up.

Arrays have the two sides, the reference and now, along their first axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

import performance
from intervals import rate
from slice_changes import contributions

# How far beyond chance, as a z-score, a pair has to differ from the rest of either side.
PAIR_MARGIN = 3.0
# What part of the change has to go with a slice for it to be a cause.
LEAST_PART = 0.1


@dataclass(frozen=True)
class Members:
    """Sums of the scores of the members of some slices.

    Attributes
    ----------
    count, total, square_total : ndarray of float, shape (2, n_slices)
        How many there are, and the sums of their scores and of the squares.
    reach : float
        How far apart two scores can be; 0 where nobody knows.
    weight : float
        By which the mean enters the metric: 1, or one half for each class of a ROC AUC.
    """

    count: np.ndarray
    total: np.ndarray
    square_total: np.ndarray
    reach: float = 1.0
    weight: float = 1.0

    def each(self, function: Callable[[np.ndarray], np.ndarray]) -> Members:
        """Apply a function to all sums."""
        sums = (self.count, self.total, self.square_total)
        return Members(*(function(part) for part in sums), self.reach, self.weight)

    def whole(self) -> Members:
        """Give the model as one slice; of slices that are the model together."""
        return self.each(lambda part: part.sum(axis=1, keepdims=True))

    def at(self, positions: np.ndarray) -> Members:
        """Give some slices."""
        return self.each(lambda part: part[:, positions])


def scored(counts: np.ndarray, scores: np.ndarray, weight: float = 1.0) -> Members:
    """Sum scores that depend on the bin alone.

    Parameters
    ----------
    counts : ndarray of int, shape (2, n_slices, n_bins)
    scores : ndarray of float, shape (n_bins,) or (2, n_bins)
    weight : float

    Returns
    -------
    Members
    """
    scores = np.broadcast_to(scores, (2, counts.shape[-1]))[:, None]
    return Members(
        counts.sum(axis=-1).astype(float),
        (counts * scores).sum(axis=-1),
        (counts * scores**2).sum(axis=-1),
        float(np.max(scores) - np.min(scores)),
        weight,
    )


def quantile_bins(counts: np.ndarray, percent: int) -> np.ndarray:
    """Give the first bin up to which so many percent of the members lie.

    Parameters
    ----------
    counts : ndarray of int, shape (..., n_bins)
    percent : int
        In 1 to 100.

    Returns
    -------
    ndarray of int, shape (...)
        -1 where there are no members.
    """
    below = np.cumsum(counts, axis=-1)
    total = below[..., -1:]
    found = np.argmax(100 * below >= percent * total, axis=-1)
    return np.where(total[..., 0] > 0, found, -1)


def quantile_scores(counts: np.ndarray, values: np.ndarray, percent: int) -> np.ndarray:
    """Scores whose mean changes by as much as a percentile of the whole.

    Parameters
    ----------
    counts : ndarray of int, shape (2, n_bins)
        Of the model, by rising value.
    values : ndarray of float, shape (n_bins,)
        What stands for each bin. The members of a bin are taken to lie at it: nothing is
        interpolated, so percentiles of latencies are within the 2 % of their bins.
    percent : int
        In 1 to 100.

    Returns
    -------
    ndarray of float, shape (n_bins,)
        NaN where a side has no members.

    Notes
    -----
    On the way of mixtures F + t (F' - F) from the distribution of the reference to that of now,
    the percentile leaves bin k for the next one when F + t (F' - F) passes it there, and what each
    slice has in that is its part of F' - F at k (Aumann and Shapley, Values of Non-Atomic Games,
    1974). So slice s with shares w and w' has the sum over the bins between the two percentiles
    of (x_k+1 - x_k) D_s(k) / (F' - F)(k), where D_s = w'_s (F'_s - H) - w_s (F_s - H) and H is the
    mean of F and F': the D_s add up to F' - F. It is linear in F_s: the change of the mean of a
    score, which for a member at x is the sum over those bins with x_k >= x of
    (x_k+1 - x_k) / (F' - F)(k). F' - F is never 0 there, since one of the two has reached the
    percentile at k and the other one has not.
    """
    first, last = quantile_bins(counts, percent)
    if min(first, last) < 0:
        return np.full(len(values), np.nan)
    below = np.cumsum(counts, axis=-1, dtype=np.int64)
    sizes = below[:, -1].astype(float)
    crossed = np.arange(min(first, last), max(first, last))
    # In whole numbers as far as they are exact.
    difference = below[1, crossed] * below[0, -1] - below[0, crossed] * below[1, -1]
    step = np.sign(last - first) * (values[crossed + 1] - values[crossed])
    terms = np.zeros(len(values))
    terms[crossed] = step / (difference / (sizes[0] * sizes[1]))
    return np.cumsum(terms[::-1])[::-1]


def auc_scores(negatives: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placements: scores whose means are the ROC AUC, for the members of each class.

    Parameters
    ----------
    negatives, positives : ndarray of int, shape (2, n_bins)
        Of the model, by rising score of the model.

    Returns
    -------
    of_positives, of_negatives : ndarray of float, shape (2, n_bins)
        The share of all negatives below a positive, and of all positives above a negative, ties
        one half. NaN where a class is missing.

    Notes
    -----
    The ROC AUC is the mean of the placements of positives, and that of negatives; half of each is
    what either class adds (the projection of Hájek that DeLong's variance is made of). A slice
    whose scores have become worse moves its own members and, less, the placements of the others:
    those it is compared with.
    """
    auc = performance.roc_auc(negatives, positives)[:, None]
    of_positives, of_negatives = performance.roc_auc_deviations(negatives, positives)
    return of_positives + auc, of_negatives + auc


def ece_scores(gap: np.ndarray) -> np.ndarray:
    """By what the error of a member, score less label, enters the change of the ECE.

    Parameters
    ----------
    gap : ndarray of float, shape (2, n_bins)
        Of the model and each calibration bin: the sum of score less label, over all members.

    Returns
    -------
    ndarray of float, shape (n_bins,)
        In [-1, 1].

    Notes
    -----
    The ECE is the sum of |g| over the bins. With g = sum of g_s over slices, the change of a bin is
    the integral of sign(g) along the straight way from g to g', of which slice s has
    (|g'| - |g|) / (g' - g) (g'_s - g_s). The quotient is 1 or -1 unless the gap changes its sign.
    """
    before, now = gap
    slope = rate(np.abs(now) - np.abs(before), now - before)
    return np.where(np.isnan(slope), np.sign(now), slope)


def effects(parts: list[Members]) -> tuple[np.ndarray, np.ndarray]:
    """Split the change of a metric among slices that are the model together.

    Parameters
    ----------
    parts : list of Members
        The means that make up the metric.

    Returns
    -------
    within_effect : ndarray of float, shape (n_slices,)
        What a slice itself has changed.
    mix_effect : ndarray of float, shape (n_slices,)
        What its share has changed. See ``slice_changes.contributions``. Both together, over all
        slices, are the change of the metric. NaN where a side has no members.
    """
    own, mix = 0.0, 0.0
    for part in parts:
        mean = rate(part.total, part.count)
        rate_effect, mix_effect, _ = contributions(mean[1], part.count[1], mean[0], part.count[0])
        own, mix = own + part.weight * rate_effect, mix + part.weight * mix_effect
    return own, mix


def explained(parts: list[Members], wholes: list[Members]) -> tuple[np.ndarray, np.ndarray]:
    """How much of the change goes when a slice is taken out, and how that compares with chance.

    Parameters
    ----------
    parts : list of Members
        Of any slices.
    wholes : list of Members
        What each is taken out of: one slice, or as many.

    Returns
    -------
    change : ndarray of float, shape (n_slices,)
        The change of the whole less that of the rest.
    zscore : ndarray of float, shape (n_slices,)
        The signed root of twice the log likelihood ratio of that change against none: in large
        samples the change in standard errors. Both NaN where a slice is all there is, on either
        side; zscore also where no score differs from another.

    Notes
    -----
    A slice with share w and mean m pulls the whole away from the rest, of mean r, by w (m - r).
    The change of the pull is 0 where the slice does as the rest does, however large it is. It is
    not where the slice itself or its share has changed. Its variance v is that where nothing of
    the kind has happened: on each side s² w / (n (1 - w)) for the means, with the variance s² of
    all scores of the side, and g² w (1 - w) / n for the share, with the gap g of m and r on both
    sides together. (With the slice's own variance, all sets that hold the true one would look
    alike: nearly all that varies is what has changed.) Members are taken to be independent.

    Where few members could make a change c of the pull, z = c / sqrt(v) would take one rare member
    of a tiny slice for a discovery. So z² = 2 v / b² h(b c / v), where h(u) = (1 + u) ln(1 + u) - u
    and b is the most that one member can do: Bennett's bound (JASA 1962), which for rare events
    is that of Poisson counts, and c² / v where b c is small beside v.
    """
    change, variance, most = 0.0, 0.0, 0.0
    for part, whole in zip(parts, wholes, strict=True):
        rest_count, rest_total = whole.count - part.count, whole.total - part.total
        # A slice without members pulls nothing; one without a rest cannot be told from it.
        gap = np.where(
            part.count > 0, rate(part.total, part.count) - rate(rest_total, rest_count), 0.0
        )
        gap = np.where(rest_count > 0, gap, np.nan)
        share = rate(part.count, whole.count)
        pull = share * gap
        change = change + part.weight * (pull[1] - pull[0])
        mean_gap = rate(part.total.sum(0), part.count.sum(0)) - rate(
            rest_total.sum(0), rest_count.sum(0)
        )
        spread = np.maximum(
            rate(whole.square_total, whole.count) - rate(whole.total, whole.count) ** 2, 0.0
        )
        of_means = spread * rate(share, whole.count * (1 - share))
        of_shares = mean_gap**2 * rate(share * (1 - share), whole.count)
        variance = variance + part.weight**2 * (of_means + of_shares).sum(axis=0)
        jump = part.weight * part.reach * rate(np.ones(1), whole.count.min(axis=0))
        most = np.maximum(most, jump)
    variance = np.where(variance > 0, variance, np.nan)
    times = most * np.abs(change) / variance
    # The series where the difference would lose all digits.
    bennett = np.where(
        times < 1e-4, 0.5 - times / 6, rate((1 + times) * np.log1p(times) - times, times**2)
    )
    return change, np.sign(change) * np.sqrt(2 * bennett * change**2 / variance)


def cause_ranks(
    parts: list[Members], wholes: list[Members], sides: np.ndarray, change: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rank slices and pairs of slices by how well each alone explains the change of the whole.

    Parameters
    ----------
    parts : list of Members
        Of slices of any keys, and of pairs of them: n_slices in all.
    wholes : list of Members
        Of the model, as one slice.
    sides : ndarray of int, shape (n_slices, 2)
        The positions of the two slices that a pair is of; -1 for a slice.
    change : float
        Of the whole.

    Returns
    -------
    explained_change, zscore : ndarray of float, shape (n_slices,)
        From ``explained``, taken out of the model.
    rank : ndarray of int, shape (n_slices,)
        From 1; of equals the first in the arrays comes first.
    is_distinct : ndarray of bool, shape (n_slices,)
        Whether a slice is a cause by itself: it takes ``LEAST_PART`` of the change with it, beyond
        chance at a level of 5 % for all slices together (Bonferroni).

    Notes
    -----
    z² / 2 is the log likelihood ratio of "this slice has changed, the rest has not" against "none
    has": a scan statistic, whose maximum is the likeliest set (Kulldorff, Communications in
    Statistics 1997). A slice that holds the true one, or overlaps it, or is a part of it, has a
    smaller z: members without a change dilute it, or some with one are in the rest. A contribution
    would not tell: large slices have large ones. A pair is a candidate only if it differs from what
    is left of either side, by ``PAIR_MARGIN``: else that slice says the same in fewer words. What
    takes less than ``LEAST_PART`` of the change with it, or has pulled against it, is behind what
    takes more: in an outage of all, a slice may differ for certain in what does not matter.
    """
    found, zscore = explained(parts, wholes)
    direction = np.sign(change)
    is_pair = sides[:, 0] >= 0
    least = np.full(len(zscore), np.inf)
    for side in sides[is_pair].T:
        _, beside = explained(
            [part.at(np.flatnonzero(is_pair)) for part in parts], [part.at(side) for part in parts]
        )
        # Where nothing is left of a side, the pair is that side.
        least[is_pair] = np.minimum(least[is_pair], np.nan_to_num(beside * direction))
    toward = np.where(np.isnan(zscore), -np.inf, zscore * direction)
    has_part = np.nan_to_num(found * direction) >= LEAST_PART * abs(change)
    order = np.lexsort((np.arange(len(zscore)), -toward, ~has_part, least < PAIR_MARGIN))
    rank = np.empty(len(zscore), np.int64)
    rank[order] = np.arange(1, len(zscore) + 1)
    level = 0.05 / (2 * max(len(zscore), 1))
    return found, zscore, rank, has_part & (toward >= -ndtri(level))
