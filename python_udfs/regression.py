"""How far predicted values are from the true ones, from sums that merge.

A part is a group of labelled predictions, such as those of a day; parts add up to windows without
a look at the predictions. What varies around a mean is kept around the mean of its part, so that
nothing cancels where values are large and close together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from intervals import mean_interval, normal_quantile, rate

METRICS = ("mae", "rmse", "mape", "r2", "mean_error")


@dataclass(frozen=True)
class ErrorSums:
    """Sums over groups of predictions with label y and error e, the prediction less the label.

    Attributes
    ----------
    count, nonzero_count : ndarray of int, shape (n,)
        Predictions, and those whose label is not 0.
    label_min, label_max, label_mean, error_mean : ndarray of float, shape (n,)
        In the unit of the label.
    label_m2, label_m3, label_m4 : ndarray of float, shape (n,)
        Sums of (y - mean)^2 and so on.
    error_m2 : ndarray of float, shape (n,)
        Sum of (e - mean)^2.
    absolute, squared, fourth : ndarray of float, shape (n,)
        Sums of abs(e), e^2 and e^4.
    squared_label, squared_squared_label : ndarray of float, shape (n,)
        Sums of e^2 (y - mean) and of e^2 (y - mean)^2.
    percentage, percentage_squared : ndarray of float, shape (n,)
        Sums of abs(e / y) and of its square over labels that are not 0.
    """

    count: np.ndarray
    nonzero_count: np.ndarray
    label_min: np.ndarray
    label_max: np.ndarray
    label_mean: np.ndarray
    label_m2: np.ndarray
    label_m3: np.ndarray
    label_m4: np.ndarray
    error_mean: np.ndarray
    error_m2: np.ndarray
    absolute: np.ndarray
    squared: np.ndarray
    fourth: np.ndarray
    squared_label: np.ndarray
    squared_squared_label: np.ndarray
    percentage: np.ndarray
    percentage_squared: np.ndarray


def merge(parts: ErrorSums, group: np.ndarray, n_groups: int) -> ErrorSums:
    """Merge parts into groups.

    Parameters
    ----------
    parts : ErrorSums
        Of shape (n,); none is empty.
    group : ndarray of int, shape (n,)
        Which of the groups a part belongs to.
    n_groups : int

    Returns
    -------
    ErrorSums
        Of shape (n_groups,). The means and the sums around them are those of the groups; NaN
        where a group is empty. Sums are taken in the order of the parts. What overflows is
        infinite or NaN.

    Notes
    -----
    Moments around the mean of a part are moved to that of its group (Chan, Golub and LeVeque 1979;
    Pébay, SAND2008-6212).
    """

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, minlength=n_groups)

    def extreme(of: np.ufunc, values: np.ndarray, start: float) -> np.ndarray:
        found = np.full(n_groups, start)
        of.at(found, group, values)
        return np.where(count > 0, found, np.nan)

    n = parts.count.astype(float)
    with np.errstate(over="ignore", invalid="ignore"):
        count = total(n)
        label_mean, error_mean = (
            rate(total(n * mean), count) for mean in (parts.label_mean, parts.error_mean)
        )
        d = parts.label_mean - label_mean[group]
        bias = parts.error_mean - error_mean[group]
        return ErrorSums(
            count=count.astype(np.int64),
            nonzero_count=total(parts.nonzero_count).astype(np.int64),
            label_min=extreme(np.minimum, parts.label_min, np.inf),
            label_max=extreme(np.maximum, parts.label_max, -np.inf),
            label_mean=label_mean,
            label_m2=total(parts.label_m2 + n * d**2),
            label_m3=total(parts.label_m3 + 3 * d * parts.label_m2 + n * d**3),
            label_m4=total(
                parts.label_m4 + 4 * d * parts.label_m3 + 6 * d**2 * parts.label_m2 + n * d**4
            ),
            error_mean=error_mean,
            error_m2=total(parts.error_m2 + n * bias**2),
            absolute=total(parts.absolute),
            squared=total(parts.squared),
            fourth=total(parts.fourth),
            squared_label=total(parts.squared_label + d * parts.squared),
            squared_squared_label=total(
                parts.squared_squared_label + 2 * d * parts.squared_label + d**2 * parts.squared
            ),
            percentage=total(parts.percentage),
            percentage_squared=total(parts.percentage_squared),
        )


def regression_metrics(sums: ErrorSums, *, confidence: float = 0.95) -> dict[str, np.ndarray]:
    """Give the metrics of errors, with the ends of their intervals.

    Parameters
    ----------
    sums : ErrorSums
        Of shape (n,).
    confidence : float
        In (0, 1).

    Returns
    -------
    dict of str to ndarray of float, shape (n,)
        ``METRICS``, and for each ``<name>_lower`` and ``<name>_upper``. NaN where a metric is not
        defined or a sum overflows: of nothing, ``mape`` where all labels are 0, ``r2`` where all
        labels are equal, an interval of a single prediction.

    Raises
    ------
    ValueError
        If the confidence is outside (0, 1).

    Notes
    -----
    As in scikit-learn: ``mae`` is the mean of abs(e), ``rmse`` the root of the mean of e^2,
    ``mape`` the mean of abs(e / y) as a share, over labels that are not 0; ``mean_error`` that of
    e, above 0 where predictions are too high; ``r2`` is 1 - A / B with A the mean of e^2 and B that
    of (y - mean)^2.

    The intervals are normal ones of means; that of ``rmse`` is the root of that of its square. The
    variance of ``r2`` is that of its influence values, ((A / B) (y - mean)^2 - e^2) / B, over n
    (delta method).
    """
    z = normal_quantile(confidence)
    n = sums.count
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean_square = rate(sums.squared, n)
        varies = sums.label_max > sums.label_min
        unexplained = rate(sums.squared, np.where(varies, sums.label_m2, 0.0))
        influence_squares = (
            sums.fourth
            - 2 * unexplained * sums.squared_squared_label
            + unexplained**2 * sums.label_m4
        )
        reach = z * np.sqrt(np.maximum(influence_squares, 0)) / sums.label_m2
        bias_reach = z * np.sqrt(rate(rate(sums.error_m2, np.maximum(n - 1, 0)), n))
        square_lower, square_upper = mean_interval(
            sums.squared, sums.fourth, n, confidence=confidence
        )
        found = {
            "mae": rate(sums.absolute, n),
            "rmse": np.sqrt(mean_square),
            "rmse_lower": np.sqrt(np.maximum(square_lower, 0)),
            "rmse_upper": np.sqrt(square_upper),
            "mape": rate(sums.percentage, sums.nonzero_count),
            "r2": 1 - unexplained,
            "r2_lower": 1 - unexplained - reach,
            "r2_upper": np.minimum(1 - unexplained + reach, 1),
            "mean_error": sums.error_mean,
            "mean_error_lower": sums.error_mean - bias_reach,
            "mean_error_upper": sums.error_mean + bias_reach,
        }
        for name, total, squares, count in (
            ("mae", sums.absolute, sums.squared, n),
            ("mape", sums.percentage, sums.percentage_squared, sums.nonzero_count),
        ):
            lower, upper = mean_interval(total, squares, count, confidence=confidence)
            found |= {f"{name}_lower": np.maximum(lower, 0), f"{name}_upper": upper}
    for name in METRICS:
        # Rounding must not push an end past the value.
        found[f"{name}_lower"] = np.minimum(found[f"{name}_lower"], found[name])
        found[f"{name}_upper"] = np.maximum(found[f"{name}_upper"], found[name])
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in found.items()}


PARTS = tuple(field.name for field in fields(ErrorSums))
