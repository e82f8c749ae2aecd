"""Maps from scores to better probabilities, and whether a model needs one.

A map is fitted on counts by score bin, each bin standing for its mean score. Bins are along the
one axis, by rising score.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from calibration import calibration_line, clipped_logit

METHODS = ("temperature", "platt", "isotonic")
# A slope beyond this means that the scores separate the classes, or nearly.
STEEPEST = 1e3
# An error has risen if it is so much beyond what it was and beyond its noise floor.
LEAST_RISE = 0.02

Parameters = dict[str, float | list[float]]


def fit(
    method: str, scores: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> Parameters | None:
    """Fit one kind of map.

    Parameters
    ----------
    method : {'temperature', 'platt', 'isotonic'}
    scores : ndarray of float, shape (n_bins,)
        The mean score of each bin, in [0, 1], rising.
    negatives, positives : ndarray of int, shape (n_bins,)
        No bin is empty.

    Returns
    -------
    dict or None
        ``temperature``; ``slope`` and ``intercept``; or ``score`` and ``probability``, the knots
        of a rising line. None where the fit does not exist: a class is missing, the scores
        separate the classes, or rank them the wrong way round.

    Raises
    ------
    ValueError
        If the method is none of these.

    Notes
    -----
    Temperature scaling is expit(logit(s) / T), T by maximum likelihood (Guo et al., ICML 2017);
    Platt's is expit(intercept + slope logit(s)), unpenalised; isotonic regression is weighted
    least squares under a rising order (Zadrozny and Elkan, KDD 2002). Scores are clipped to
    [2^-52, 1 - 2^-52] on the log odds scale.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method}")
    if not (negatives.sum() and positives.sum()):
        return None
    if method == "temperature":
        return _fit_temperature(clipped_logit(scores), negatives, positives)
    if method == "platt":
        slope, intercept = (float(part) for part in calibration_line(scores, negatives, positives))
        # A falling map would turn the ranking round: then calibration is not what is wrong.
        return {"slope": slope, "intercept": intercept} if slope > 0 else None
    count = negatives + positives
    regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    regression.fit(scores, positives / count, sample_weight=count)
    return {
        "score": regression.X_thresholds_.tolist(),
        "probability": regression.y_thresholds_.tolist(),
    }


def apply(method: str, parameters: Parameters, scores: np.ndarray) -> np.ndarray:
    """Map scores by fitted parameters.

    Parameters
    ----------
    method : {'temperature', 'platt', 'isotonic'}
    parameters : dict
        As ``fit`` gives them.
    scores : ndarray of float, shape (n,)
        In [0, 1].

    Returns
    -------
    ndarray of float, shape (n,)
        In [0, 1], not falling where the scores rise.
    """
    if method == "temperature":
        return expit(clipped_logit(scores) / parameters["temperature"])
    if method == "platt":
        return expit(parameters["intercept"] + parameters["slope"] * clipped_logit(scores))
    return np.interp(scores, parameters["score"], parameters["probability"])


def has_doubled(ece: float, noise_floor: float, baseline_ece: float) -> bool:
    """Tell whether a calibration error is twice what it was, and not by chance alone.

    Parameters
    ----------
    ece, noise_floor : float
        Now; see ``calibration.ece_noise_floor``.
    baseline_ece : float

    Returns
    -------
    bool
        False where any of them is NaN. A rise counts from 0.02 beyond both the baseline's error
        and the noise floor: twice next to nothing is still nothing.
    """
    rise = ece - np.fmax(baseline_ece, noise_floor)
    return bool(ece >= 2 * baseline_ece and rise >= LEAST_RISE)


def _fit_temperature(
    log_odds: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> Parameters | None:
    """Find where the likelihood is flat: its derivative falls in the slope 1 / T."""

    def derivative(slope: float) -> float:
        line = slope * log_odds
        return float(np.sum(log_odds * (positives * expit(-line) - negatives * expit(line))))

    if not (derivative(0.0) > 0 > derivative(STEEPEST)):
        return None
    return {"temperature": 1 / brentq(derivative, 0.0, STEEPEST, xtol=1e-12, rtol=1e-12)}
