"""The metrics whose change can be split among slices, from sums of slices.

``METRICS`` says for each how its value and the members that it is a mean of come from the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

import performance
import root_causes
from intervals import rate
from performance_tables import LOG_LOSS_SQUARE_UNIT
from root_causes import Members

SERVICE_COUNTS = ("request_count", "error_count", "latency_count", "judged_count", "slow_count")
LABEL_COUNTS = (
    "labeled_count",
    "positive_count",
    "true_positive_count",
    "false_positive_count",
    "true_negative_count",
    "false_negative_count",
)
LABEL_SUMS = (
    "score_sum",
    "variance_sum",
    "squared_error_sum",
    "squared_error_square_sum",
    "log_loss_sum",
    "log_loss_square_sum",
)


@dataclass(frozen=True)
class Home:
    """Where the sums of some metrics come from.

    Attributes
    ----------
    relations : tuple of str
        The summaries of slices, and those of pairs of slices if they are apart.
    moment : str
        The column with the hour or the day.
    step : timedelta
        The length of it.
    counts : tuple of str
        What is summed; the first says how many there are of a slice.
    """

    relations: tuple[str, ...]
    moment: str
    step: timedelta
    counts: tuple[str, ...]


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
HOMES = {
    "services": Home(("service_hours", "pair_hours"), "event_hour", _HOUR, SERVICE_COUNTS),
    "labels": Home(("labelled_days", "labelled_pairs"), "event_date", _DAY, LABEL_COUNTS),
    "coverage": Home(("coverage_days",), "event_date", _DAY, ("prediction_count", "labeled_count")),
    "corrections": Home(
        ("correction_hours",), "label_hour", _HOUR, ("label_count", "corrected_label_count")
    ),
}

Sums = dict[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """How a metric is made of sums of slices, which have the two sides along their first axis.

    Attributes
    ----------
    home : str
        What it is made of: one of ``HOMES``.
    value : function of Sums to ndarray of float, shape (2, n_slices)
    members : function of Sums of slices, and of the model, to list of Members
    size : function of Sums to ndarray of float, shape (2, n_slices)
        How many members a slice has.
    is_of_classes : bool
        Whether it needs members of both classes.
    """

    home: str
    value: Callable[[Sums], np.ndarray]
    members: Callable[[Sums, Sums], list[Members]]
    size: Callable[[Sums], np.ndarray]
    is_of_classes: bool = False


def _ratio(home: str, total: Iterable[str], count: Iterable[str]) -> Metric:
    def sums(names: Iterable[str], of: Sums) -> np.ndarray:
        # Of labels by score bin, the last of them of predictions without a score.
        found = sum(of[name] for name in names)
        return found.sum(axis=-1) if home == "labels" else found

    def members(of: Sums, _: Sums) -> list[Members]:
        counted = sums(total, of).astype(float)
        return [Members(sums(count, of).astype(float), counted, counted)]

    return Metric(
        home,
        lambda of: rate(sums(total, of).astype(float), sums(count, of)),
        members,
        lambda of: sums(count, of).astype(float),
    )


def _mean(
    total: Callable[[Sums], np.ndarray],
    squares: Callable[[Sums], np.ndarray],
    reach: float = 1.0,
) -> Metric:
    """Give the mean of something over predictions with a score."""

    def count(of: Sums) -> np.ndarray:
        return of["labeled_count"][..., :-1].sum(axis=-1).astype(float)

    return Metric(
        "labels",
        lambda of: rate(total(of), count(of)),
        lambda of, _: [Members(count(of), total(of), squares(of), reach)],
        count,
    )


def _latency_mean(of: Sums) -> Members:
    return Members(
        of["latency_count"].astype(float),
        of["latency_sum"],
        # Of what stands for each bin: it says how far chance reaches, and is in no mean.
        (of["histogram"] * of["bin_value"] ** 2).sum(axis=-1),
        float(of["bin_value"].max()),
    )


def _percentile(percent: int) -> Metric:
    def value(of: Sums) -> np.ndarray:
        position = root_causes.quantile_bins(of["histogram"], percent)
        return np.where(position < 0, np.nan, np.append(of["bin_value"], np.nan)[position])

    def members(of: Sums, whole: Sums) -> list[Members]:
        scores = root_causes.quantile_scores(whole["histogram"][:, 0], of["bin_value"], percent)
        return [root_causes.scored(of["histogram"], scores)]

    return Metric("services", value, members, lambda of: of["histogram"].sum(axis=-1).astype(float))


def classes(of: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Give the negatives and the positives by score bin."""
    positives = of["positive_count"][..., :-1]
    return of["labeled_count"][..., :-1] - positives, positives


def _auc_members(of: Sums, whole: Sums) -> list[Members]:
    negatives, positives = classes(of)
    scores = root_causes.auc_scores(*(part[:, 0] for part in classes(whole)))
    return [
        root_causes.scored(counts, of_class, 0.5)
        for counts, of_class in zip((positives, negatives), scores, strict=True)
    ]


def _gaps(of: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Give sums of score less label by calibration bin, and how many predictions have a score."""
    gap = of["score_sum"][..., :-1] - of["positive_count"][..., :-1]
    return _by_calibration_bin(gap, of), of["labeled_count"][..., :-1].sum(axis=-1).astype(float)


def _by_calibration_bin(values: np.ndarray, of: Sums) -> np.ndarray:
    starts = np.flatnonzero(np.diff(of["calibration_bin"], prepend=-1))
    return np.add.reduceat(values, starts, axis=-1)


def _ece(of: Sums) -> np.ndarray:
    gap, count = _gaps(of)
    return rate(np.abs(gap).sum(axis=-1), count)


def _ece_members(of: Sums, whole: Sums) -> list[Members]:
    gap, count = _gaps(of)
    whole_gap, whole_count = _gaps(whole)
    slope = root_causes.ece_scores(rate(whole_gap, whole_count[..., None])[:, 0])
    squares = _by_calibration_bin(of["squared_error_sum"][..., :-1], of)
    totals = (gap * slope).sum(axis=-1), (squares * slope**2).sum(axis=-1)
    return [Members(count, *totals, reach=2.0)]


def _summed(name: str, unit: float = 1.0) -> Callable[[Sums], np.ndarray]:
    return lambda of: of[name][..., :-1].sum(axis=-1) * unit


_TP, _FP, _TN, _FN = LABEL_COUNTS[2:]
METRICS = {
    "error_rate": _ratio("services", ["error_count"], ["request_count"]),
    "slow_rate": _ratio("services", ["slow_count"], ["judged_count"]),
    "latency_mean_ms": Metric(
        "services",
        lambda of: rate(of["latency_sum"], of["latency_count"]),
        lambda of, _: [_latency_mean(of)],
        lambda of: of["latency_count"].astype(float),
    ),
    "latency_p50_ms": _percentile(50),
    "latency_p95_ms": _percentile(95),
    "latency_p99_ms": _percentile(99),
    "label_coverage": _ratio("coverage", ["labeled_count"], ["prediction_count"]),
    "label_correction_rate": _ratio("corrections", ["corrected_label_count"], ["label_count"]),
    "positive_rate": _ratio("labels", ["positive_count"], ["labeled_count"]),
    "accuracy": _ratio("labels", [_TP, _TN], [_TP, _FP, _TN, _FN]),
    "precision": _ratio("labels", [_TP], [_TP, _FP]),
    "recall": _ratio("labels", [_TP], [_TP, _FN]),
    "true_positive_rate": _ratio("labels", [_TP], [_TP, _FN]),
    "false_positive_rate": _ratio("labels", [_FP], [_FP, _TN]),
    "selection_rate": _ratio("labels", [_TP, _FP], [_TP, _FP, _TN, _FN]),
    "brier_score": _mean(_summed("squared_error_sum"), _summed("squared_error_square_sum")),
    "log_loss": _mean(
        # The loss of one prediction may be any.
        _summed("log_loss_sum"),
        _summed("log_loss_square_sum", LOG_LOSS_SQUARE_UNIT),
        reach=0.0,
    ),
    # The square of a score is the score less what fixed sums of variances hold.
    "mean_score": _mean(
        _summed("score_sum"), lambda of: _summed("score_sum")(of) - _summed("variance_sum")(of)
    ),
    "roc_auc": Metric(
        "labels",
        lambda of: performance.roc_auc(*classes(of)),
        _auc_members,
        lambda of: of["labeled_count"][..., :-1].sum(axis=-1).astype(float),
        is_of_classes=True,
    ),
    "ece": Metric("labels", _ece, _ece_members, lambda of: _gaps(of)[1]),
}
