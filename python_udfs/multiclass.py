"""How often the predicted one of several classes is the true one, from counts of pairs."""

from __future__ import annotations

import numpy as np

from intervals import normal_quantile, rate, wilson_interval

AVERAGED = ("precision", "recall", "f1")
METRICS = tuple(f"{average}_{name}" for average in ("macro", "weighted") for name in AVERAGED)


def multiclass_metrics(
    label: np.ndarray,
    predicted: np.ndarray,
    count: np.ndarray,
    *,
    n_classes: int,
    confidence: float = 0.95,
) -> dict[str, float]:
    """Metrics of one group of predictions of classes, with the ends of their intervals.

    Parameters
    ----------
    label, predicted : ndarray of int, shape (n_pairs,)
        The number of the true and of the predicted class.
    count : ndarray of int, shape (n_pairs,)
        How many predictions are such a pair.
    n_classes : int
    confidence : float
        In (0, 1).

    Returns
    -------
    dict of str to float
        ``accuracy`` and ``METRICS``, and for each ``<name>_lower`` and ``<name>_upper``. All NaN
        for a group of nothing.

    Raises
    ------
    ValueError
        If a number of a class is out of range, a count is negative, or the confidence is outside
        (0, 1).

    Notes
    -----
    As ``sklearn.metrics.precision_score`` and its likes give them with ``zero_division=np.nan``: a
    class without a denominator (never predicted, or never true) takes no part in that average.
    ``weighted`` weighs classes by their labels. So ``macro_recall`` is the balanced accuracy, and
    ``weighted_recall`` equals ``accuracy``.

    Accuracy has Wilson's interval. The others are smooth functions f of the counts of pairs that
    do not change when all counts are doubled; so var f = sum over pairs of count (df / dcount)^2
    (delta method for multinomial counts). With t hits, l labels and p predictions of a class, a
    pair (a, b) adds to l_a, to p_b and, if a = b, to t_a.
    """
    z = normal_quantile(confidence)
    if (count < 0).any():
        raise ValueError(f"counts must not be negative, got {count.min()}")
    for name, numbers in (("label", label), ("predicted", predicted)):
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < n_classes:
            raise ValueError(
                f"{name} must be from 0 to {n_classes - 1}, got {numbers.min()} to {numbers.max()}"
            )

    is_hit = label == predicted
    labels, predictions, hits = (
        np.bincount(classes, weights, minlength=n_classes)
        for classes, weights in ((label, count), (predicted, count), (label, count * is_hit))
    )

    total, n_hits = labels.sum(), hits.sum()
    lower, upper = wilson_interval(n_hits, total, confidence=confidence)
    found = {
        "accuracy": float(rate(n_hits, total)),
        "accuracy_lower": float(lower),
        "accuracy_upper": float(upper),
    }
    # Twice the hits over `both` is F1.
    both = labels + predictions
    zero = np.zeros(n_classes)
    # Each with its derivatives by t, l and p.
    values = {
        "precision": (rate(hits, predictions), rate(1, predictions), zero,
                      -rate(hits, predictions**2)),
        "recall": (rate(hits, labels), rate(1, labels), -rate(hits, labels**2), zero),
        "f1": (rate(2 * hits, both), rate(2, both), -rate(2 * hits, both**2),
               -rate(2 * hits, both**2)),
    }  # fmt: skip
    for name, (value, *slopes) in values.items():
        has_value = ~np.isnan(value)
        value, slopes = np.nan_to_num(value), [np.nan_to_num(slope) for slope in slopes]
        for average, weights in (("macro", np.ones(n_classes)), ("weighted", labels)):
            weights = np.where(has_value, weights, 0.0)
            weight = weights.sum()
            mean = float(rate(weights @ value, weight))
            by_hit, by_label, by_prediction = (rate(weights * slope, weight) for slope in slopes)
            if average == "weighted":
                # More labels of a class weigh its value more.
                by_label = by_label + np.where(has_value, rate(value - mean, weight), 0.0)
            influence = (
                by_label[label] + by_prediction[predicted] + np.where(is_hit, by_hit[label], 0.0)
            )
            reach = z * np.sqrt(count @ influence**2)
            found |= {
                f"{average}_{name}": mean,
                f"{average}_{name}_lower": max(mean - reach, 0.0),
                f"{average}_{name}_upper": min(mean + reach, 1.0),
            }
    return found
