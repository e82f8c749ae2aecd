"""Between summaries of slices and the arrays of ``root_causes``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

import performance
import root_causes
from arrow_tables import table_of
from intervals import rate
from latency import bin_values
from performance_tables import LOG_LOSS_SQUARE_UNIT, UNIT
from root_causes import Members

# What is read of summaries of slices and of pairs of them.
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
SIDES = ("reference", "current")
CONTRIBUTIONS = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("model_name", "model_version", "role")],
        pa.field("slice_key", pa.string()),
        pa.field("slice_value", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("contribution_kind", pa.string()),
        *[
            pa.field(f"{side}_{end}", pa.timestamp("us"))
            for side in SIDES
            for end in ("start", "end")
        ],
        *[
            pa.field(name, pa.float64())
            for name in (
                "reference_value",
                "value",
                "change",
                "reference_share",
                "share",
                "reference_slice_value",
                "slice_metric_value",
                "mix_effect",
                "within_effect",
                "contribution",
                "contribution_share",
                "change_without",
                "zscore",
            )
        ],
        pa.field("contribution_rank", pa.int64()),
        pa.field("cause_rank", pa.int64()),
        pa.field("is_distinct", pa.bool_()),
        pa.field("data_status", pa.string()),
    ]
)
# The columns of an alert that a row of int_root_causes begins with.
ALERT = ("window_size", "window_start", "window_end", "alert_id", "alert_name")
ROOT_CAUSES = pa.schema(
    [
        *[CONTRIBUTIONS.field(name) for name in CONTRIBUTIONS.names[:5]],
        pa.field("window_size", pa.string()),
        pa.field("window_start", pa.timestamp("us")),
        pa.field("window_end", pa.timestamp("us")),
        pa.field("alert_id", pa.string()),
        pa.field("alert_name", pa.string()),
        *[CONTRIBUTIONS.field(name) for name in CONTRIBUTIONS.names[5:]],
    ]
)

Sums = dict[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """How a metric is made of sums of slices, which have the two sides along their first axis.

    Attributes
    ----------
    is_labelled : bool
        Whether it is of labelled predictions, counted by the day; else of requests, by the hour.
    value : function of Sums to ndarray of float, shape (2, n_slices)
    members : function of Sums of slices, and of the model, to list of Members
    size : function of Sums to ndarray of float, shape (2, n_slices)
        How many members a slice has.
    is_of_classes : bool
        Whether it needs members of both classes.
    """

    is_labelled: bool
    value: Callable[[Sums], np.ndarray]
    members: Callable[[Sums, Sums], list[Members]]
    size: Callable[[Sums], np.ndarray]
    is_of_classes: bool = False


def _ratio(total: Iterable[str], count: Iterable[str], *, is_labelled: bool) -> Metric:
    def sums(names: Iterable[str], of: Sums) -> np.ndarray:
        # Of labels by score bin, the last of them of predictions without a score.
        found = sum(of[name] for name in names)
        return found.sum(axis=-1) if is_labelled else found

    def members(of: Sums, _: Sums) -> list[Members]:
        counted = sums(total, of).astype(float)
        return [Members(sums(count, of).astype(float), counted, counted)]

    return Metric(
        is_labelled,
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
        True,
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

    return Metric(False, value, members, lambda of: of["histogram"].sum(axis=-1).astype(float))


def _classes(of: Sums) -> tuple[np.ndarray, np.ndarray]:
    positives = of["positive_count"][..., :-1]
    return of["labeled_count"][..., :-1] - positives, positives


def _auc_members(of: Sums, whole: Sums) -> list[Members]:
    negatives, positives = _classes(of)
    scores = root_causes.auc_scores(*(part[:, 0] for part in _classes(whole)))
    return [
        root_causes.scored(counts, of_class, 0.5)
        for counts, of_class in zip((positives, negatives), scores, strict=True)
    ]


def _gaps(of: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Sums of score less label by calibration bin, and how many predictions have a score."""
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
    "error_rate": _ratio(["error_count"], ["request_count"], is_labelled=False),
    "slow_rate": _ratio(["slow_count"], ["judged_count"], is_labelled=False),
    "latency_mean_ms": Metric(
        False,
        lambda of: rate(of["latency_sum"], of["latency_count"]),
        lambda of, _: [_latency_mean(of)],
        lambda of: of["latency_count"].astype(float),
    ),
    "latency_p50_ms": _percentile(50),
    "latency_p95_ms": _percentile(95),
    "latency_p99_ms": _percentile(99),
    "positive_rate": _ratio(["positive_count"], ["labeled_count"], is_labelled=True),
    "accuracy": _ratio([_TP, _TN], [_TP, _FP, _TN, _FN], is_labelled=True),
    "precision": _ratio([_TP], [_TP, _FP], is_labelled=True),
    "recall": _ratio([_TP], [_TP, _FN], is_labelled=True),
    "true_positive_rate": _ratio([_TP], [_TP, _FN], is_labelled=True),
    "false_positive_rate": _ratio([_FP], [_FP, _TN], is_labelled=True),
    "selection_rate": _ratio([_TP, _FP], [_TP, _FP, _TN, _FN], is_labelled=True),
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
        True,
        lambda of: performance.roc_auc(*_classes(of)),
        _auc_members,
        lambda of: of["labeled_count"][..., :-1].sum(axis=-1).astype(float),
        is_of_classes=True,
    ),
    "ece": Metric(True, _ece, _ece_members, lambda of: _gaps(of)[1]),
}


@dataclass(frozen=True)
class Question:
    """Why is a metric of a model other in one window than in another?

    Attributes
    ----------
    model_name, model_version, role, metric : str
    reference, current : tuple of datetime
        [start, end), UTC: whole hours of services, whole days of labels.
    is_same_hours : bool
        Whether the reference is only of the hours of the day that ``current`` has. Of services.
    """

    model_name: str
    model_version: str
    role: str
    metric: str
    reference: tuple[datetime, datetime]
    current: tuple[datetime, datetime]
    is_same_hours: bool = False


def contributions(
    connection: Any,
    *,
    model_name: str,
    model_version: str,
    role: str,
    metric: str,
    reference: tuple[datetime, datetime],
    current: tuple[datetime, datetime],
    relations: Mapping[str, Any],
    is_same_hours: bool = False,
) -> pa.Table:
    """Split the change of any metric between any two windows among slices and pairs of them.

    Parameters
    ----------
    connection : DuckDB connection
        Or a session of a Python model: what has ``sql``.
    model_name, model_version, role, metric : str
    reference, current : tuple of datetime
        [start, end), UTC and naive: whole hours of services, whole days of labels.
    relations : mapping of str to relation or str
        ``service_hours``, ``pair_hours``, ``labelled_days``, ``labelled_pairs``, ``score_edges``
        and ``settings``: relations of the connection, or names of them.
    is_same_hours : bool
        Whether the reference is only of the hours of the day that ``current`` has. Of services.

    Returns
    -------
    Table
        With the schema ``CONTRIBUTIONS``: a row for each slice and pair of slices. Where there is
        nothing to compare, one row of the slice ``all`` that says why in ``data_status``.

    Raises
    ------
    ValueError
        If the metric cannot be decomposed, or a window is empty or not of whole hours or days.
    """
    question = Question(model_name, model_version, role, metric, reference, current, is_same_hours)
    (table,) = answers(connection, [question], relations)
    return table


def root_cause_table(
    connection: Any, alerts: list[dict[str, Any]], relations: Mapping[str, Any]
) -> pa.Table:
    """Explain alerts.

    Parameters
    ----------
    connection, relations
        As in ``contributions``.
    alerts : list of dict
        Rows of ``int_root_cause_windows``. Those of other metrics are left out.

    Returns
    -------
    Table
        With the schema ``ROOT_CAUSES``.
    """
    chosen = [row for row in alerts if row["metric"] in METRICS]
    questions = [
        Question(
            *(row[name] for name in ("model_name", "model_version", "role", "metric")),
            *((row[f"{side}_start"], row[f"{side}_end"]) for side in SIDES),
            is_same_hours=True,
        )
        for row in chosen
    ]
    tables = [ROOT_CAUSES.empty_table()]
    for row, table in zip(chosen, answers(connection, questions, relations), strict=True):
        for name in ALERT:
            kind = ROOT_CAUSES.field(name)
            table = table.append_column(
                kind, pa.repeat(pa.scalar(row[name], kind.type), len(table))
            )
        tables.append(table.select(ROOT_CAUSES.names))
    return pa.concat_tables(tables)


def answers(
    connection: Any, questions: list[Question], relations: Mapping[str, Any]
) -> list[pa.Table]:
    """Answer many questions with few queries: a table of ``CONTRIBUTIONS`` for each."""
    for question in questions:
        _validate(question)
    found = {
        name: connection.sql(f"from {relation}") if isinstance(relation, str) else relation
        for name, relation in relations.items()
    }
    (settings,) = found["settings"].to_arrow_table().to_pylist()
    bins = dict(found["score_edges"].project("grid, calibration_bins").fetchall())
    tables: dict[int, pa.Table] = {}
    for is_labelled, read in ((False, _read_services), (True, _read_labels)):
        asked = [
            number
            for number, question in enumerate(questions)
            if METRICS[question.metric].is_labelled == is_labelled
        ]
        if not asked:
            continue
        rows = read(connection, {n: questions[n] for n in asked}, found)
        for number in asked:
            tables[number] = _answer(
                questions[number], rows.get(number, []), bins=bins, settings=settings
            )
    return [tables[number] for number in range(len(questions))]


def _validate(question: Question) -> None:
    if question.metric not in METRICS:
        raise ValueError(
            f"{question.metric} cannot be split among slices; these can: {', '.join(METRICS)}"
        )
    step = timedelta(days=1) if METRICS[question.metric].is_labelled else timedelta(hours=1)
    for side in SIDES:
        start, end = getattr(question, side)
        if start >= end:
            raise ValueError(f"the {side} must end after it starts, got {start} to {end}")
        if any((moment - datetime(1970, 1, 1)) % step for moment in (start, end)):
            unit = "days" if step.days else "hours"
            raise ValueError(f"{question.metric} needs whole {unit}, got {start} to {end}")


def _spans(questions: dict[int, Question], step: timedelta) -> pa.Table:
    """Each hour or day of each side of each question."""
    rows = []
    for number, question in questions.items():
        hours = {moment.hour for moment in _moments(question.current, step)}
        for side, window in enumerate((question.reference, question.current)):
            # Labels count as they were known after the grace of the window, as alerts have them.
            rows += [
                (number, side, question.model_name, question.model_version,
                 # The baseline of a version may be of the time when it was a shadow.
                 None if step.days and side == 0 else question.role, moment, window[1])
                for moment in _moments(window, step)
                if side or step.days or not question.is_same_hours or moment.hour in hours
            ]  # fmt: skip
    names = ("question", "side", "model_name", "model_version", "role", "moment", "known_by")
    kinds = (pa.int64(), pa.int64(), *[pa.string()] * 3, *[pa.timestamp("us")] * 2)
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(zip(*rows), kinds, strict=True)],  # noqa: B905
        names=names,
    )


def _moments(window: tuple[datetime, datetime], step: timedelta) -> list[datetime]:
    start, end = window
    return [start + step * number for number in range((end - start) // step)]


def _within(column: str, questions: dict[int, Question]) -> str:
    """Give the condition that a moment is in one of the windows, as constants that DuckDB pushes
    down to the events.
    """
    windows = {w for question in questions.values() for w in (question.reference, question.current)}
    return " or ".join(
        f"({column} >= timestamp '{start}' and {column} < timestamp '{end}')"
        for start, end in sorted(windows)
    )


# The names of a pair's sides; a slice has none.
_PAIR = "first_key, first_value, second_key, second_value"
_NO_PAIR = ", ".join(f"null::varchar as {name.strip()}" for name in _PAIR.split(","))


def _read_services(
    connection: Any, questions: dict[int, Question], relations: Mapping[str, Any]
) -> dict[int, list[dict[str, Any]]]:
    """Counts and histograms of latencies, by question: a row for each side and slice or pair."""
    spans = _spans(questions, timedelta(hours=1))  # noqa: F841
    service_hours, pair_hours = relations["service_hours"], relations["pair_hours"]  # noqa: F841
    columns = """model_name, model_version, role, slice_key, slice_value, event_hour,
        request_count, error_count, latency_count, slow_count, latency_sum, latency_histogram"""
    condition = _within("event_hour", questions)
    hours = f"""
        select spans.question, spans.side, hours.*
        from (
            select {columns}, {_NO_PAIR} from service_hours where {condition}
            union all
            select {columns}, {_PAIR} from pair_hours where {condition}
        ) as hours
        inner join spans
            on hours.event_hour = spans.moment and hours.model_name = spans.model_name
            and hours.model_version = spans.model_version and hours.role = spans.role
    """
    table = connection.sql(f"""
        with hours as materialized ({hours}),

        counts as (
            select
                question, side, slice_key, slice_value, {_PAIR},
                sum(request_count)::bigint as request_count,
                sum(error_count)::bigint as error_count,
                sum(latency_count)::bigint as latency_count,
                coalesce(sum(latency_count) filter (where slow_count is not null), 0)::bigint
                    as judged_count,
                coalesce(sum(slow_count), 0)::bigint as slow_count,
                coalesce(sum(latency_sum), 0)::double as latency_sum
            from hours
            group by all
        ),

        entries as (
            select
                question, side, slice_key, slice_value, {_PAIR},
                unnest(map_entries(latency_histogram), recursive := true)
            from hours
        ),

        bins as (
            select
                question, side, slice_key, slice_value, {_PAIR},
                key as bin, sum(value)::bigint as bin_count
            from entries
            group by all
        ),

        histograms as (
            select
                question, side, slice_key, slice_value, {_PAIR},
                list(bin order by bin) as bins, list(bin_count order by bin) as bin_counts
            from bins
            group by all
        )

        select counts.*, histograms.bins, histograms.bin_counts
        from counts
        left join histograms
            on counts.question = histograms.question and counts.side = histograms.side
            and counts.slice_key = histograms.slice_key
            and counts.slice_value = histograms.slice_value
            and counts.first_value is not distinct from histograms.first_value
            and counts.second_value is not distinct from histograms.second_value
    """).to_arrow_table()
    return _by_question(table)


def _read_labels(
    connection: Any, questions: dict[int, Question], relations: Mapping[str, Any]
) -> dict[int, list[dict[str, Any]]]:
    """Labelled predictions by score bin, by question: a row for each side and slice or pair."""
    spans = _spans(questions, timedelta(days=1))  # noqa: F841
    labelled_days, labelled_pairs = relations["labelled_days"], relations["labelled_pairs"]  # noqa: F841
    columns = f"""model_name, model_version, role, slice_key, slice_value, event_date, known_on,
        replaced_on, score_bin, {", ".join(LABEL_COUNTS + LABEL_SUMS)}"""
    condition = _within("event_date", questions)
    sums = LABEL_COUNTS + LABEL_SUMS
    table = connection.sql(f"""
        with bins as (
            select
                spans.question, spans.side, slice_key, slice_value, {_PAIR},
                coalesce(score_bin, -1) as bin,
                {", ".join(f"sum({name})::bigint as {name}" for name in sums)}
            from (
                select {columns}, {_NO_PAIR} from labelled_days where {condition}
                union all
                select {columns}, {_PAIR} from labelled_pairs where {condition}
            ) as days
            inner join spans
                on days.event_date = spans.moment and days.model_name = spans.model_name
                and days.model_version = spans.model_version
                and days.role = coalesce(spans.role, days.role)
            where
                days.known_on <= spans.known_by
                and (days.replaced_on is null or days.replaced_on > spans.known_by)
            group by all
        )

        select
            question, side, slice_key, slice_value, {_PAIR},
            list(bin order by bin) as bins,
            {", ".join(f"list({name} order by bin) as {name}" for name in sums)}
        from bins
        group by all
    """).to_arrow_table()
    return _by_question(table)


def _by_question(table: pa.Table) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["question"], []).append(row)
    return found


@dataclass(frozen=True)
class Slices:
    """The slices and pairs of a question, and their sums.

    Attributes
    ----------
    names : list of (slice_key, slice_value)
        Slices first, then pairs; in order of their names.
    sides : ndarray of int, shape (n_slices, 2)
        The positions of the slices that a pair is of; -1 for a slice.
    sums : Sums, of shape (2, n_slices, ...)
    whole : Sums, of shape (2, 1, ...)
    """

    names: list[tuple[str, str]]
    sides: np.ndarray
    sums: Sums
    whole: Sums


def _answer(
    question: Question,
    rows: list[dict[str, Any]],
    *,
    bins: dict[str, list[int]],
    settings: dict[str, Any],
) -> pa.Table:
    metric = METRICS[question.metric]
    slices = _slices(rows, metric.is_labelled, bins)
    value, size = metric.value(slices.whole)[:, 0], metric.size(slices.whole)[:, 0]
    status = _status(metric, slices.whole, value, size, settings)
    about = {
        "model_name": question.model_name,
        "model_version": question.model_version,
        "role": question.role,
        "metric": question.metric,
        "reference_value": value[0],
        "value": value[1],
        "data_status": status,
    }
    if status != "ok" or not slices.names:
        is_ok = status == "ok"
        nothing = dict.fromkeys(CONTRIBUTIONS.names, np.nan)
        columns = (
            nothing | dict.fromkeys(("contribution_rank", "cause_rank", "is_distinct")) | about
        )
        columns |= {"slice_key": "all", "slice_value": "all", "contribution_kind": "slice"}
        columns["change"] = value[1] - value[0] if is_ok else np.nan
        return _table(columns, question, 1)

    parts = metric.members(slices.sums, slices.whole)
    wholes = metric.members(slices.whole, slices.whole)
    n, is_pair = len(slices.names), slices.sides[:, 0] >= 0
    keys = np.array([key for key, _ in slices.names])
    within, mix = np.full(n, np.nan), np.full(n, np.nan)
    groups = [
        np.flatnonzero((keys == key) & (is_pair == kind))
        for key, kind in sorted({(str(k), bool(p)) for k, p in zip(keys, is_pair, strict=True)})
    ]
    for group in groups:
        within[group], mix[group] = root_causes.effects([part.at(group) for part in parts])
    contribution = within + mix
    change = value[1] - value[0]
    contribution_rank = np.empty(n, np.int64)
    for group in groups:
        order = group[np.lexsort((group, -np.abs(contribution[group])))]
        contribution_rank[order] = np.arange(1, len(group) + 1)
    _, zscore, cause_rank = root_causes.cause_ranks(parts, wholes, slices.sides, change)
    own, share = metric.value(slices.sums), rate(metric.size(slices.sums), size[:, None])
    rest = metric.value(
        {
            name: part if name in _CONSTANTS else slices.whole[name] - part
            for name, part in slices.sums.items()
        }
    )
    return _table(
        about
        | {
            "slice_key": [key for key, _ in slices.names],
            "slice_value": [name for _, name in slices.names],
            "contribution_kind": np.where(is_pair, "slice_pair", "slice").tolist(),
            "change": change,
            "reference_share": share[0],
            "share": share[1],
            "reference_slice_value": own[0],
            "slice_metric_value": own[1],
            "mix_effect": mix,
            "within_effect": within,
            "contribution": contribution,
            "contribution_share": rate(contribution, np.full(n, change)),
            "change_without": rest[1] - rest[0],
            "zscore": zscore,
            "contribution_rank": contribution_rank,
            "cause_rank": cause_rank,
            "is_distinct": root_causes.distinct(zscore, change),
        },
        question,
        n,
    )


def _table(columns: dict[str, Any], question: Question, size: int) -> pa.Table:
    columns = columns | {
        f"{side}_{end}": pa.repeat(pa.scalar(moment, pa.timestamp("us")), size)
        for side in SIDES
        for end, moment in zip(("start", "end"), getattr(question, side), strict=True)
    }
    columns = {
        name: np.full(size, column) if isinstance(column, float) else column
        for name, column in columns.items()
    }
    return table_of(columns, CONTRIBUTIONS, size)


def _status(
    metric: Metric, whole: Sums, value: np.ndarray, size: np.ndarray, settings: dict[str, Any]
) -> str:
    for side, missing in ((1, "no_data"), (0, "no_baseline")):
        if not size[side]:
            return missing
    if metric.is_labelled and size.min() < settings["min_samples"]:
        return "insufficient_data"
    if metric.is_of_classes:
        least = min(part.sum(axis=-1).min() for part in _classes(whole))
        if least < settings["min_samples_per_class"]:
            return "insufficient_data" if least else "single_class"
    return "ok" if not np.isnan(value).any() else "not_estimable"


# What does not differ between slices.
_CONSTANTS = ("bin_value", "calibration_bin")


def _slices(rows: list[dict[str, Any]], is_labelled: bool, bins: dict[str, list[int]]) -> Slices:
    count = "labeled_count" if is_labelled else "request_count"
    totals: dict[tuple, np.ndarray] = {}
    for row in rows:
        kind = (row["first_key"] is not None, row["slice_key"])
        totals.setdefault(kind, np.zeros(2, np.int64))[row["side"]] += np.sum(row[count])
    pair_keys = {key for is_pair, key in totals if is_pair}
    whole_total = totals.get((False, "all"), np.zeros(2, np.int64))
    # A slice that was configured later, or a pair whose events are no longer kept, is no part of
    # the whole; and a pair that has summaries as protected attributes have is that pair.
    is_part = {
        kind: kind != (False, "all")
        and (kind[0] or kind[1] not in pair_keys)
        and bool((total == whole_total).all())
        for kind, total in totals.items()
    }
    found: dict[tuple, dict[int, dict[str, Any]]] = {}
    for row in rows:
        sides = tuple(
            row[name] for name in ("first_key", "first_value", "second_key", "second_value")
        )
        if is_part[(sides[0] is not None, row["slice_key"])]:
            about = (sides[0] is not None, row["slice_key"], row["slice_value"], sides)
            found.setdefault(about, {})[row["side"]] = row
    # Two pairs can have one name only where values have " x " in them: the first stands for both.
    about = sorted(found, key=lambda a: (a[0], a[1], a[2], tuple(part or "" for part in a[3])))
    position = {(key, value): n for n, (is_pair, key, value, _) in enumerate(about) if not is_pair}
    kept, sides, seen = [], [], set()
    for is_pair, key, value, of in about:
        ends = (position.get(of[:2], -1), position.get(of[2:], -1)) if is_pair else (-1, -1)
        if (is_pair, key, value) not in seen and (not is_pair or min(ends) >= 0):
            seen.add((is_pair, key, value))
            kept.append((is_pair, key, value, of))
            sides.append(ends)
    n_bins, constants = _grid(rows, is_labelled, bins["coarse"])
    read = _label_sums if is_labelled else _service_sums
    sums = read([found[key] for key in kept], n_bins, constants)
    # All slices of one key are the model; of a model without slices, all that is asked is its value.
    first = [n for n, key in enumerate(kept) if not key[0] and key[1] == kept[0][1]]
    if first:
        whole = {
            name: part if name in _CONSTANTS else part[:, first].sum(axis=1, keepdims=True)
            for name, part in sums.items()
        }
    else:
        n_bins, constants = _grid(rows, is_labelled, bins["fine"])
        alone: dict[int, dict[str, Any]] = {
            row["side"]: row for row in rows if row["slice_key"] == "all" and not row["first_key"]
        }
        whole = read([alone], n_bins, constants)
    return Slices(
        [(key, value) for _, key, value, _ in kept],
        np.array(sides, np.int64).reshape(-1, 2),
        sums,
        whole,
    )


def _grid(
    rows: list[dict[str, Any]], is_labelled: bool, calibration_bins: list[int]
) -> tuple[np.ndarray, Sums]:
    """Give the bins there are, and what is known of them."""
    if is_labelled:
        # Those of scores, and one for predictions without any.
        grid = np.append(np.arange(len(calibration_bins)), -1)
        return grid, {"calibration_bin": np.array(calibration_bins)}
    filled = [row["bins"] for row in rows if row["bins"]]
    grid = np.unique(np.concatenate([*filled, [0]])).astype(np.int64)
    return grid, {"bin_value": bin_values(grid)}


def _service_sums(
    found: list[dict[int, dict[str, Any]]], grid: np.ndarray, constants: Sums
) -> Sums:
    sums: Sums = {name: np.zeros((2, len(found)), np.int64) for name in SERVICE_COUNTS}
    sums["latency_sum"] = np.zeros((2, len(found)))
    sums["histogram"] = np.zeros((2, len(found), len(grid)), np.int64)
    for number, of_sides in enumerate(found):
        for side, row in of_sides.items():
            for name in SERVICE_COUNTS:
                sums[name][side, number] = row[name]
            # The macro latency_unit: 2^-20 ms.
            sums["latency_sum"][side, number] = row["latency_sum"] * 2.0**-20
            if row["bins"]:
                places = np.searchsorted(grid, row["bins"])
                sums["histogram"][side, number, places] = row["bin_counts"]
    return sums | constants


def _label_sums(found: list[dict[int, dict[str, Any]]], grid: np.ndarray, constants: Sums) -> Sums:
    shape = (2, len(found), len(grid))
    sums: Sums = {name: np.zeros(shape, np.int64) for name in LABEL_COUNTS}
    sums |= {name: np.zeros(shape) for name in LABEL_SUMS}
    for number, of_sides in enumerate(found):
        for side, row in of_sides.items():
            places = np.asarray(row["bins"])
            for name in LABEL_COUNTS:
                sums[name][side, number, places] = row[name]
            for name in LABEL_SUMS:
                sums[name][side, number, places] = np.array(row[name], float) * UNIT
    return sums | constants
