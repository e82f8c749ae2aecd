"""The statistics as DuckDB functions, for analyses: a dbt-duckdb plugin.

Counts are lists, one number a bin or group, rising with the score where there is one. What each
function gives is said where it comes from; docs/functions.md shows them at work.

- Drift, of two lists of counts over the same cells: ``psi(reference, current)``,
  ``psi_noise_floor(reference, current)``, ``psi_noise_q95(reference, current)``,
  ``js_distance(reference, current)``, ``ks_statistic(reference, current)`` or ``ks``,
  ``ks_pvalue(reference, current)``, ``chi_square(reference, current)``,
  ``chi_square_pvalue(reference, current)``
- Ranking, of counts by rising score: ``roc_auc(negatives, positives)`` or ``auc``,
  ``roc_auc_lower(negatives, positives)``, ``roc_auc_upper(negatives, positives)``,
  ``average_precision(negatives, positives)``
- Calibration: ``expected_calibration_error(counts, score_sums, positives)`` or ``ece``,
  ``maximum_calibration_error(counts, score_sums, positives)`` or ``mce``,
  ``ece_noise_floor(counts, variance_sums)``,
  ``calibration_slope(mean_scores, negatives, positives)``,
  ``calibration_intercept(mean_scores, negatives, positives)``
- Rates: ``wilson_lower(successes, trials)``, ``wilson_upper(successes, trials)``, and for the
  difference of two, first less second,
  ``newcombe_lower(successes_a, trials_a, successes_b, trials_b)``,
  ``newcombe_upper(successes_a, trials_a, successes_b, trials_b)``
- Groups, of one number a group: ``rate_gap(successes, trials)``,
  ``rate_gap_lower(successes, trials)``, ``rate_gap_upper(successes, trials)``,
  ``rate_ratio(successes, trials)``

A number that does not exist is null, as is one of a null.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin

import calibration
import drift
import fairness
import performance
from custom_metrics import expression_problem
from intervals import newcombe_interval, rate, wilson_interval

COUNTS = "BIGINT[]"
NUMBERS = "DOUBLE[]"
COUNT = "BIGINT"


def shares(counts: np.ndarray) -> np.ndarray:
    """Divide each row by its sum; 0 where that is 0."""
    return np.nan_to_num(rate(counts, counts.sum(axis=-1, keepdims=True)))


def psi_noise(
    noise: Callable[..., np.ndarray], reference: np.ndarray, current: np.ndarray
) -> np.ndarray:
    """Noise of PSI over the cells that are not empty on both sides."""
    n_cells = np.count_nonzero(reference + current, axis=-1)
    return noise(n_cells, reference.sum(axis=-1), current.sum(axis=-1))


def rate_gap(successes: np.ndarray, trials: np.ndarray) -> fairness.Gap:
    """Gap between the rates of all groups that have trials."""
    return fairness.group_gap(successes, trials, takes_part=trials > 0)


# name: (function of arrays, types of its arguments)
FUNCTIONS: dict[str, tuple[Callable[..., np.ndarray], list[str]]] = {
    "psi": (lambda reference, current: drift.psi(shares(reference), shares(current)), [COUNTS] * 2),
    "psi_noise_floor": (
        lambda reference, current: psi_noise(drift.psi_noise_floor, reference, current),
        [COUNTS] * 2,
    ),
    "psi_noise_q95": (
        lambda reference, current: psi_noise(drift.psi_noise_quantile, reference, current),
        [COUNTS] * 2,
    ),
    "js_distance": (
        lambda reference, current: drift.js_distance(shares(reference), shares(current)),
        [COUNTS] * 2,
    ),
    "ks_statistic": (drift.ks_statistic, [COUNTS] * 2),
    "ks_pvalue": (
        lambda reference, current: drift.ks_pvalue(
            drift.ks_statistic(reference, current), reference.sum(axis=-1), current.sum(axis=-1)
        ),
        [COUNTS] * 2,
    ),
    "chi_square": (
        lambda reference, current: drift.chi_square(reference, current)[0],
        [COUNTS] * 2,
    ),
    "chi_square_pvalue": (
        lambda reference, current: drift.chi_square(reference, current)[1],
        [COUNTS] * 2,
    ),
    "roc_auc": (performance.roc_auc, [COUNTS] * 2),
    "roc_auc_lower": (
        lambda negatives, positives: performance.roc_auc_interval(negatives, positives)[0],
        [COUNTS] * 2,
    ),
    "roc_auc_upper": (
        lambda negatives, positives: performance.roc_auc_interval(negatives, positives)[1],
        [COUNTS] * 2,
    ),
    "average_precision": (performance.average_precision, [COUNTS] * 2),
    "expected_calibration_error": (
        calibration.expected_calibration_error,
        [COUNTS, NUMBERS, COUNTS],
    ),
    "maximum_calibration_error": (
        calibration.maximum_calibration_error,
        [COUNTS, NUMBERS, COUNTS],
    ),
    "ece_noise_floor": (calibration.ece_noise_floor, [COUNTS, NUMBERS]),
    "calibration_slope": (
        lambda *columns: calibration.calibration_line(*columns)[0],
        [NUMBERS, COUNTS, COUNTS],
    ),
    "calibration_intercept": (
        lambda *columns: calibration.calibration_line(*columns)[1],
        [NUMBERS, COUNTS, COUNTS],
    ),
    "wilson_lower": (
        lambda successes, trials: wilson_interval(successes, trials)[0],
        [COUNT, COUNT],
    ),
    "wilson_upper": (
        lambda successes, trials: wilson_interval(successes, trials)[1],
        [COUNT, COUNT],
    ),
    "newcombe_lower": (lambda *columns: newcombe_interval(*columns)[0], [COUNT] * 4),
    "newcombe_upper": (lambda *columns: newcombe_interval(*columns)[1], [COUNT] * 4),
    "rate_gap": (lambda successes, trials: rate_gap(successes, trials).value, [COUNTS] * 2),
    "rate_gap_lower": (lambda successes, trials: rate_gap(successes, trials).lower, [COUNTS] * 2),
    "rate_gap_upper": (lambda successes, trials: rate_gap(successes, trials).upper, [COUNTS] * 2),
    "rate_ratio": (
        lambda successes, trials: (
            fairness.group_ratio(successes, trials, takes_part=trials > 0).value
        ),
        [COUNTS] * 2,
    ),
}
# What people call them for short, some after the columns of the tables.
SHORT_NAMES = {
    "ks": "ks_statistic",
    "auc": "roc_auc",
    "ece": "expected_calibration_error",
    "mce": "maximum_calibration_error",
}


def on_arrow(
    name: str, function: Callable[..., np.ndarray], n_arguments: int
) -> Callable[..., pa.Array]:
    """Turn a function of arrays into one of Arrow columns.

    Parameters
    ----------
    name : str
        What SQL calls it, for messages.
    function : callable
        Of arrays with one row for each call; lists become rows padded with 0.
    n_arguments : int

    Returns
    -------
    callable
        Gives a float column; null where an argument is null or the result is NaN.
    """

    def call(*columns: pa.Array) -> pa.Array:
        columns = [
            column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            for column in columns
        ]
        known = np.ones(len(columns[0]), bool)
        for column in columns:
            known &= np.array(column.is_valid())
        kept = [column.filter(pa.array(known)) for column in columns]
        result = np.full(len(known), np.nan)
        if known.any():
            result[known] = function(*rows(name, kept))
        return pa.array(result, pa.float64(), from_pandas=True)

    # DuckDB looks at the signature for the number of arguments.
    call.__signature__ = inspect.Signature(
        [
            inspect.Parameter(f"column_{position}", inspect.Parameter.POSITIONAL_ONLY)
            for position in range(n_arguments)
        ]
    )
    return call


def rows(name: str, columns: list[pa.Array]) -> list[np.ndarray]:
    """Columns of lists as matrices, shorter lists padded with 0; plain columns as they are.

    Raises
    ------
    ValueError
        If the lists of one call differ in length, or one holds a null.
    """
    lists = [column for column in columns if pa.types.is_list(column.type)]
    if not lists:
        return [column.to_numpy(zero_copy_only=False) for column in columns]
    lengths = [np.diff(column.offsets.to_numpy()) for column in lists]
    if any((length != lengths[0]).any() for length in lengths):
        raise ValueError(f"{name}: the lists of one call must be equally long")
    inside = np.arange(lengths[0].max()) < lengths[0][:, None]
    matrices = []
    for column in lists:
        values = column.flatten()
        if values.null_count:
            raise ValueError(f"{name}: a list holds a null; write 0 for an empty bin")
        values = values.to_numpy()
        matrix = np.zeros(inside.shape, values.dtype)
        matrix[inside] = values
        matrices.append(matrix)
    return matrices


def register(connection: Any) -> None:
    """Register ``FUNCTIONS``, also by their short names, in a connection to DuckDB."""
    short = {name: FUNCTIONS[long] for name, long in SHORT_NAMES.items()}
    for name, (function, arguments) in (FUNCTIONS | short).items():
        connection.create_function(
            name,
            on_arrow(name, function, len(arguments)),
            arguments,
            "DOUBLE",
            type="arrow",
            null_handling="special",
        )


def custom_metric_problem(expression: str, columns: str) -> str | None:
    """Say what is wrong with the expression of a custom metric; ``columns`` is a JSON object."""
    return expression_problem(expression, json.loads(columns))


class Plugin(BasePlugin):
    """Registers the functions in each connection, and the check of custom metrics."""

    def configure_connection(self, conn: Any) -> None:
        """Register the functions."""
        register(conn)
        conn.create_function(
            "custom_metric_problem",
            custom_metric_problem,
            ["VARCHAR", "VARCHAR"],
            "VARCHAR",
            null_handling="special",
        )
