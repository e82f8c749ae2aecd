"""Whether scores are the probabilities that they claim to be.

Calibration bins, or for the calibration line score bins, are along the last axis.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, log_expit, logit

from intervals import normal_quantile, rate

CLIP = 2.0**-52
MAX_STEPS = 100
MAX_HALVINGS = 50
STEP_TOLERANCE = 1e-8


def expected_calibration_error(
    count: np.ndarray, score_sum: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """Mean distance of the mean label from the mean score, over the bins by their share.

    Parameters
    ----------
    count : ndarray of int, shape (..., n_bins)
    score_sum : ndarray of float, shape (..., n_bins)
    positives : ndarray of int, shape (..., n_bins)

    Returns
    -------
    ndarray of float, shape (...)
        In [0, 1]; NaN where all bins are empty.

    Raises
    ------
    ValueError
        If the positives are outside [0, count] or the shapes differ.

    Notes
    -----
    Sum over bins of count/n times the absolute value of positives/count - score_sum/count
    (Naeini, Cooper and Hauskrecht, AAAI 2015), in which the bin's count cancels. It is biased
    upwards: see ``ece_noise_floor``.
    """
    count, distance = _distances(count, score_sum, positives)
    return rate(np.sum(distance, axis=-1), np.sum(count, axis=-1))


def maximum_calibration_error(
    count: np.ndarray, score_sum: np.ndarray, positives: np.ndarray, *, min_samples: int = 50
) -> np.ndarray:
    """Largest distance of the mean label from the mean score, among the bins that hold enough.

    Parameters
    ----------
    count : ndarray of int, shape (..., n_bins)
    score_sum : ndarray of float, shape (..., n_bins)
    positives : ndarray of int, shape (..., n_bins)
    min_samples : int
        Bins with fewer are left out: their mean label says little.

    Returns
    -------
    ndarray of float, shape (...)
        In [0, 1]; NaN where no bin holds enough.

    Raises
    ------
    ValueError
        If the positives are outside [0, count] or the shapes differ.
    """
    count, distance = _distances(count, score_sum, positives)
    error = np.where(count >= min_samples, rate(distance, count), np.nan)
    return np.fmax.reduce(error, axis=-1, initial=np.nan)


def ece_noise_floor(count: np.ndarray, variance_sum: np.ndarray) -> np.ndarray:
    """About what the calibration error of a perfectly calibrated model is on so few labels.

    Parameters
    ----------
    count : ndarray of int, shape (..., n_bins)
    variance_sum : ndarray of float, shape (..., n_bins)
        Sum of score x (1 - score).

    Returns
    -------
    ndarray of float, shape (...)
        NaN where all bins are empty.

    Raises
    ------
    ValueError
        If a count is negative or the shapes differ.

    Notes
    -----
    Where labels are drawn with their scores as probabilities, a bin's positives less its scores
    have mean 0 and variance ``variance_sum``, and the mean absolute value of such a normal
    variable is sqrt(2/π) times its standard deviation. The floor is the sum over bins of that,
    over n. With uniform scores it gives 0.137, 0.070 and 0.032 at n = 50, 200 and 1000, and
    simulations 0.138, 0.071 and 0.031.
    """
    count, variance_sum = _same_shape(count=count, variance_sum=variance_sum)
    _check_not_negative(count=count)
    # A sum of zeros may come out as -1e-17.
    spread = np.sqrt(np.where(count > 0, np.maximum(variance_sum, 0.0), 0.0))
    return rate(np.sqrt(2 / np.pi) * np.sum(spread, axis=-1), np.sum(count, axis=-1))


def ece_interval(
    count: np.ndarray, score_sum: np.ndarray, positives: np.ndarray, *, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Interval for the calibration error that the scores have beyond chance.

    Parameters
    ----------
    count : ndarray of int, shape (..., n_bins)
    score_sum : ndarray of float, shape (..., n_bins)
    positives : ndarray of int, shape (..., n_bins)
    confidence : float
        In (0, 1).

    Returns
    -------
    lower, upper : ndarray of float, shape (...)
        In [0, 1]. The observed error is no estimate of the middle: where the scores are right it
        is near the upper end. NaN where all bins are empty.

    Raises
    ------
    ValueError
        If the positives are outside [0, count], the shapes differ, or the confidence is outside
        (0, 1).

    Notes
    -----
    Given the scores, the distance of a bin is that of a normal variable with the true distance d
    for a mean and standard deviation s = sqrt(n r (1 - r)) / N, r = (positives + 2) / (n + 4). The
    mean of its absolute value is between abs(d) and abs(d) + sqrt(2/π) s, its variance at most
    s². So the sum over bins is at most sqrt(2/π) sum(s) over the true error in the mean, never
    under it, with a variance of at most sum(s²): the interval takes the one for its lower end and
    the other for its upper end, and so keeps at least its level.
    """
    z = normal_quantile(confidence)
    count, distance = _distances(count, score_sum, positives)
    total = np.sum(count, axis=-1)
    share = (np.asarray(positives) + 2) / (count + 4)
    variance = count * share * (1 - share)
    observed = rate(np.sum(distance, axis=-1), total)
    bias = ece_noise_floor(count, variance)
    reach = z * rate(np.sqrt(np.sum(variance, axis=-1)), total)
    return np.maximum(observed - bias - reach, 0.0), np.minimum(observed + reach, 1.0)


def clipped_logit(scores: np.ndarray) -> np.ndarray:
    """Log odds of scores, clipped at 2^-52 from 0 and 1, where they would be infinite.

    Parameters
    ----------
    scores : ndarray of float, shape (...)

    Returns
    -------
    ndarray of float, shape (...)
        Within ±36.1.
    """
    return logit(np.clip(scores, CLIP, 1 - CLIP))


def calibration_line_interval(
    scores: np.ndarray,
    negatives: np.ndarray,
    positives: np.ndarray,
    slope: np.ndarray,
    intercept: np.ndarray,
    *,
    confidence: float = 0.95,
) -> dict[str, np.ndarray]:
    """Wald intervals of the calibration line, each by itself.

    Parameters
    ----------
    scores, negatives, positives : ndarray, shape (..., n_bins)
        As in ``calibration_line``.
    slope, intercept : ndarray of float, shape (...)
        As it gives them.
    confidence : float
        In (0, 1).

    Returns
    -------
    dict of str to ndarray of float, shape (...)
        ``slope_lower``, ``slope_upper``, ``intercept_lower`` and ``intercept_upper``; NaN where
        there is no line.

    Raises
    ------
    ValueError
        If the confidence is outside (0, 1).

    Notes
    -----
    From the inverse of the information matrix, which about the weighted mean of the log odds is
    diagonal.
    """
    z = normal_quantile(confidence)
    count = np.add(negatives, positives)
    x = clipped_logit(np.where(count > 0, scores, 0.5))
    line = np.asarray(intercept)[..., None] + np.asarray(slope)[..., None] * x
    weight = count * expit(line) * expit(-line)
    total = np.sum(weight, axis=-1)
    centre = rate(np.sum(weight * x, axis=-1), total)
    slope_variance = rate(1.0, np.sum(weight * (x - centre[..., None]) ** 2, axis=-1))
    intercept_variance = rate(1.0, total) + centre**2 * slope_variance
    result = {}
    for name, value, variance in (
        ("slope", slope, slope_variance),
        ("intercept", intercept, intercept_variance),
    ):
        reach = z * np.sqrt(variance)
        result[f"{name}_lower"], result[f"{name}_upper"] = value - reach, value + reach
    return result


def calibration_line(
    scores: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of the label's log odds on those of the score, fitted jointly.

    A calibrated model has slope 1 and intercept 0; a slope under 1 means that its scores are
    too extreme.

    Parameters
    ----------
    scores : ndarray of float, shape (..., n_bins)
        The mean score of each bin, in [0, 1]; anything, also NaN, where the bin is empty.
    negatives, positives : ndarray of int, shape (..., n_bins)

    Returns
    -------
    slope, intercept : ndarray of float, shape (...)
        NaN where the fit does not exist: a class is missing, there are fewer than two distinct
        scores, or the scores separate the classes, which also means that no positive is under
        any negative but some may tie with it, or the reverse. NaN also where it is so close to
        that that the iteration does not end.

    Raises
    ------
    ValueError
        If a count is negative, the shapes differ, or the score of a filled bin is not in [0, 1].

    Notes
    -----
    Unpenalised logistic regression on logit(score), scores clipped to [2^-52, 1 - 2^-52] (Cox,
    Biometrika 1958). The fit exists and is unique where the ranges of the two classes overlap
    in more than a point (Albert and Anderson, Biometrika 1984). Newton's method, a step halved
    until the loss falls by half of what it predicts; each row takes its own steps and stops by
    itself.
    """
    scores, negatives, positives = _same_shape(
        scores=scores, negatives=negatives, positives=positives
    )
    _check_not_negative(negatives=negatives, positives=positives)
    filled = negatives + positives > 0
    # A mean may come out an ulp over 1.
    if (filled & ~((scores >= -1e-9) & (scores <= 1 + 1e-9))).any():
        raise ValueError(f"scores of filled bins must be in [0, 1], got {scores[filled]}")
    log_odds = clipped_logit(np.where(filled, scores, 0.5))

    lowest_positive, highest_positive = _range(log_odds, positives > 0)
    lowest_negative, highest_negative = _range(log_odds, negatives > 0)
    exists = (lowest_positive < highest_negative) & (lowest_negative < highest_positive)
    slope, intercept = (np.full(exists.shape, np.nan) for _ in range(2))
    slope[exists], intercept[exists] = _fit(log_odds[exists], negatives[exists], positives[exists])
    return slope, intercept


def _fit(
    x: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit rows of which each has a fit; NaN where the iteration does not end."""
    total = np.sum(negatives + positives, axis=-1)
    # Each line is kept by its level at a centre amid the scores that still decide the fit: an
    # intercept far from them would cancel against slope * x.
    slope, centre = np.zeros(len(x)), np.zeros(len(x))
    level = np.log(np.sum(positives, axis=-1) / np.sum(negatives, axis=-1))
    negatives, positives = negatives / total[:, None], positives / total[:, None]
    fitted = np.zeros(len(x), bool)
    rows = np.arange(len(x))
    for _ in range(MAX_STEPS):
        data = x[rows], negatives[rows], positives[rows]
        new_centre, slope_step, level_step, gain = _newton_step(
            *data, slope[rows], level[rows], centre[rows]
        )
        # Where the curvature is lost to underflow there is no step.
        usable = np.isfinite(slope_step) & np.isfinite(level_step)
        rows, new_centre, slope_step, level_step, gain = (
            part[usable] for part in (rows, new_centre, slope_step, level_step, gain)
        )
        data = tuple(part[usable] for part in data)
        level[rows] += slope[rows] * (new_centre - centre[rows])
        centre[rows] = new_centre
        length = _step_length(
            *data, slope[rows], level[rows], new_centre, slope_step, level_step, gain
        )
        slope[rows] += length * slope_step
        level[rows] += length * level_step
        # A step in standard errors. Newton's last step squares the error: what is left after one
        # of 1e-8 is rounding.
        ends = np.sqrt(gain * total[rows]) <= STEP_TOLERANCE
        fitted[rows[ends]] = True
        rows = rows[~ends]
        if not rows.size:
            break
    slope = np.where(fitted, slope, np.nan)
    return slope, level - slope * centre


def _newton_step(x, negatives, positives, slope, level, centre):
    """Give a centre, the steps in slope and in level there, and how fast the loss falls."""
    line = level[:, None] + slope[:, None] * (x - centre[:, None])
    chance, rest = expit(line), expit(-line)
    # As a difference of what each class adds: count x chance - positives would cancel.
    residual = negatives * chance - positives * rest
    weight = (negatives + positives) * chance * rest
    total = np.sum(weight, axis=-1)
    # About the weighted mean the two steps are independent, and need no determinant.
    centre = rate(np.sum(weight * x, axis=-1), total)
    offset = x - centre[:, None]
    level_slope = np.sum(residual, axis=-1)
    tilt_slope = np.sum(residual * offset, axis=-1)
    level_step = -rate(level_slope, total)
    slope_step = -rate(tilt_slope, np.sum(weight * offset**2, axis=-1))
    return centre, slope_step, level_step, -(level_slope * level_step + tilt_slope * slope_step)


def _step_length(x, negatives, positives, slope, level, centre, slope_step, level_step, gain):
    """Halve each row's step until the loss falls by at least half of what was predicted.

    Newton's step predicts a fall of gain / 2. To accept much less would let a step jump to where
    all chances are 0 or 1, and no curvature is left to come back by.
    """
    offset = x - centre[:, None]

    def loss(rows, length):
        line = (level[rows] + length * level_step[rows])[:, None]
        line = line + (slope[rows] + length * slope_step[rows])[:, None] * offset[rows]
        return -np.sum(
            positives[rows] * log_expit(line) + negatives[rows] * log_expit(-line), axis=-1
        )

    length = np.ones(len(x))
    rows = np.arange(len(x))
    before = loss(rows, np.zeros(len(x)))
    for _ in range(MAX_HALVINGS):
        # At the end of the road the loss differs by rounding only.
        allowed = before[rows] * (1 + 1e-14) - length[rows] * gain[rows] / 4
        rows = rows[~(loss(rows, length[rows]) <= allowed)]
        if not rows.size:
            break
        length[rows] /= 2
    return length


def _distances(
    count: np.ndarray, score_sum: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the counts, and each bin's distance of the sum of labels from that of scores."""
    count, score_sum, positives = _same_shape(count=count, score_sum=score_sum, positives=positives)
    if ((positives < 0) | (positives > count)).any():
        raise ValueError(
            "positives must be between 0 and count, got "
            f"{positives.min()} to {positives.max()} of {count.min()} to {count.max()}"
        )
    return count, np.where(count > 0, np.abs(positives - score_sum), 0.0)


def _range(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest of some values; inf and -inf where there are none."""
    return (
        np.min(values, axis=-1, where=where, initial=np.inf),
        np.max(values, axis=-1, where=where, initial=-np.inf),
    )


def _same_shape(**arrays: np.ndarray) -> list[np.ndarray]:
    """Check shapes, and lay arrays out so that a row's sums are the same alone and in a batch."""
    parts = [np.asarray(array) for array in arrays.values()]
    shapes = {name: part.shape for name, part in zip(arrays, parts, strict=True)}
    if len(set(shapes.values())) > 1 or not parts[0].ndim:
        raise ValueError(f"all must have one shape (..., n_bins), got {shapes}")
    return [np.ascontiguousarray(part) for part in parts]


def _check_not_negative(**counts: np.ndarray) -> None:
    for name, count in counts.items():
        if (count < 0).any():
            raise ValueError(f"{name} must not be negative, got {count.min()}")
