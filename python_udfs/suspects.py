"""How far something else that changed may explain an alert: one rule for whatever was counted.

The score of a suspect is a product of four factors from 0 to 1: how far its value is beyond what
is normal (``beyond``), how much of the value that is (``size``), whether it changed when the metric
did (``fit``), and how much things of its kind can do to such a metric (``weight``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Deviations up to so many are normal; so many more bring the factor to 1 - 1/e.
NORMAL_DEVIATIONS, SCALE_OF_DEVIATIONS = 2.0, 4.0
# Of fewer periods before nobody knows what is normal.
LEAST_PERIODS = 3
# Of a normal distribution, the standard deviation over the median absolute deviation.
MAD_TO_DEVIATION = 1.4826
# A change this far from normal to now is as good as there.
HALF_WAY = 0.5
# Scores below are no suspects.
LEAST_SCORE = 0.05

FAMILIES = {
    "errors": ("error_count", "error_rate"),
    "latency": ("latency_", "inference_time_", "slow_"),
    "traffic": ("request_count", "requests_", "is_unexpectedly_silent"),
    "rejected lines": ("reject_rate",),
    "duplicate lines": ("duplicate_rate",),
    "field issues": ("field_issue_rate", "type_change_rate"),
    "label feed": ("label_coverage", "labeled_count", "label_delay_"),
    "label corrections": ("label_correction_rate", "corrected_label_count"),
    "inputs": (
        "psi",
        "js_distance",
        "ks_statistic",
        "wasserstein_distance",
        "out_of_range_rate",
        "new_category_rate",
        "current_null_rate",
        "unit_change_share",
        "stuck_share",
        "duplicated_share",
        "hash_mismatch_rate",
        "domain_classifier_auc",
    ),
}
#: What a kind can do to a metric of a family, from 0 to 1. A judgement, not a measurement: what
#: makes the metric at once has 1, what hardly ever does 0.1, which is also the default.
WEIGHTS = {
    "errors": {
        "upstream": 1.0,
        "service_errors": 0.9,
        "deployment": 0.8,
        "field_issues": 0.5,
        "latency_of_model": 0.5,
        "slice": 0.4,
        "preprocessing": 0.3,
        "null_rate": 0.3,
    },
    "latency": {
        "upstream": 1.0,
        "latency_of_model": 1.0,
        "deployment": 0.8,
        "slice": 0.4,
        "preprocessing": 0.3,
        "service_errors": 0.3,
    },
    "traffic": {
        "ingestion_gap": 1.0,
        "rejected_lines": 0.9,
        "deployment": 0.7,
        "duplicate_lines": 0.3,
        "slice": 0.3,
    },
    "rejected lines": {"rejected_lines": 1.0, "deployment": 0.7},
    "duplicate lines": {"duplicate_lines": 1.0, "ingestion_gap": 0.4, "deployment": 0.5},
    "field issues": {
        "field_issues": 1.0,
        "feature_integrity": 0.5,
        "deployment": 0.7,
        "upstream": 0.3,
    },
    "label feed": {"label_delay": 1.0, "ingestion_gap": 0.5, "rejected_lines": 0.3},
    "label corrections": {"label_corrections": 1.0, "label_delay": 0.3, "slice": 0.4},
    "inputs": {
        "feature_integrity": 1.0,
        "null_rate": 0.8,
        "field_issues": 0.7,
        "preprocessing": 0.6,
        "feature_drift": 0.6,
        "deployment": 0.6,
        "upstream": 0.3,
        "rejected_lines": 0.3,
        "slice": 0.3,
    },
    "performance": {
        "feature_integrity": 1.0,
        "deployment": 0.9,
        "null_rate": 0.8,
        "label_corrections": 0.7,
        "feature_drift": 0.7,
        "field_issues": 0.6,
        "preprocessing": 0.6,
        "slice": 0.6,
        "label_delay": 0.5,
        "upstream": 0.3,
        "rejected_lines": 0.3,
    },
}
DEFAULT_WEIGHT = 0.1
# What another feature can do to a metric of one feature.
OTHER_FEATURE = 0.2
# What a feature that the model does not depend on can do to its answers.
LEAST_SENSITIVITY = 0.2


@dataclass(frozen=True)
class Comparison:
    """A value of the breach beside those of periods before.

    Attributes
    ----------
    before : float
        The median of the periods before.
    lowest, highest : float
        Of the periods before.
    deviations : float
        How far the value is from ``before``, in the direction that is suspicious; negative in the
        other one.
    size : float
        How much of the larger of the two values the difference is.
    fit : float
        1 where the period just before was as usual, and halved for each period in a row that was
        more than half way to the value already.
    score : float
        ``beyond`` of the deviations times size times fit.
    """

    before: float
    lowest: float
    highest: float
    deviations: float
    size: float
    fit: float
    score: float


def family_of(metric: str) -> str:
    """Name the family of a metric; what is in none is about the answers: `performance`."""
    for family, names in FAMILIES.items():
        beginnings = tuple(name for name in names if name.endswith("_"))
        if metric in names or metric.startswith(beginnings or ("\n",)):
            return family
    return "performance"


def weight(metric: str, kind: str) -> float:
    """How much a suspect of a kind can do to a metric, from 0 to 1."""
    return WEIGHTS[family_of(metric)].get(kind, DEFAULT_WEIGHT)


def beyond(deviations: float) -> float:
    """How far beyond normal: 0 up to 2 deviations, 0.39 at 4, 0.63 at 6, 0.86 at 10."""
    return float(-np.expm1(-max(deviations - NORMAL_DEVIATIONS, 0.0) / SCALE_OF_DEVIATIONS))


def compare(
    now: float,
    before: np.ndarray,
    *,
    direction: int = 1,
    sampling_error: float = 0.0,
    floor: float = 0.0,
) -> Comparison | None:
    """Compare a value with those of periods before.

    Parameters
    ----------
    now : float
    before : ndarray of float, shape (n_periods,)
        The same of the periods before, the newest first. NaN where nothing is known.
    direction : {1, -1}
        Whether a rise or a fall is suspicious.
    sampling_error : float
        The standard error of ``now`` by chance alone, were nothing different.
    floor : float
        A deviation that never counts as much, in the unit of the values.

    Returns
    -------
    Comparison or None
        None where ``now`` is not known, or fewer than ``LEAST_PERIODS`` periods are.

    Notes
    -----
    A deviation is the root of the sum of the squares of three: the spread of the periods before,
    the sampling error, and the floor. The spread is the median absolute deviation times 1.4826
    (Rousseeuw and Croux, JASA 1993), or half of what the second worst of the periods is off,
    whichever is more: what comes every few days is normal, one incident before is not.
    """
    known = before[~np.isnan(before)]
    if np.isnan(now) or len(known) < LEAST_PERIODS:
        return None
    middle = float(np.median(known))
    off = np.sort(direction * (known - middle))
    spread = max(MAD_TO_DEVIATION * float(np.median(np.abs(off))), off[-2] / NORMAL_DEVIATIONS)
    deviation = float(np.sqrt(spread**2 + sampling_error**2 + floor**2))
    difference = direction * (now - middle)
    larger = max(abs(now), abs(middle))
    deviations = difference / deviation if deviation > 0 else 0.0
    size = min(max(difference, 0.0) / larger, 1.0) if larger > 0 else 0.0
    was_so = direction * (before - middle) > HALF_WAY * difference
    earlier = int(np.argmin(np.append(was_so, False)))
    fit = 0.5**earlier if difference > 0 else 1.0
    return Comparison(
        before=middle,
        lowest=float(known.min()),
        highest=float(known.max()),
        deviations=deviations,
        size=size,
        fit=fit,
        score=beyond(deviations) * size * fit,
    )


def proportion_error(successes: float, trials: float, now_trials: float) -> float:
    """Give the standard error of a proportion of ``now_trials``, from what was counted before.

    Not 0 where nothing was counted before: one more success and failure are taken for granted.
    """
    p = min((successes + 1) / (trials + 2), 1.0)
    return float(np.sqrt(p * (1 - p) / now_trials)) if now_trials > 0 else np.nan
