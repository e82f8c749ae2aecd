"""Between summaries of slices and the arrays of ``root_causes``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

import root_causes
from arrow_tables import table_of
from intervals import rate
from latency import bin_values
from performance_tables import UNIT
from root_cause_metrics import (
    HOMES,
    LABEL_COUNTS,
    LABEL_SUMS,
    METRICS,
    Metric,
    Sums,
    classes,
)

SIDES = ("reference", "current")
DAY = timedelta(days=1)
# What the relations of a question are called, and the models that they are.
RELATIONS = {
    "service_hours": "int_service_hours",
    "pair_hours": "int_pair_hours",
    "labelled_days": "int_labelled_days",
    "labelled_pairs": "int_labelled_pairs",
    "coverage_days": "int_label_coverage_days",
    "correction_hours": "int_correction_hours",
    "score_edges": "int_score_edges",
    "settings": "int_settings",
}
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
# What a row of int_root_causes has of its alert.
ALERT = ("window_size", "window_start", "window_end", "alert_id", "alert_name", "revision")
ROOT_CAUSES = pa.schema(
    [
        *[CONTRIBUTIONS.field(name) for name in CONTRIBUTIONS.names[:5]],
        pa.field("window_size", pa.string()),
        pa.field("window_start", pa.timestamp("us")),
        pa.field("window_end", pa.timestamp("us")),
        pa.field("alert_id", pa.string()),
        pa.field("alert_name", pa.string()),
        *[CONTRIBUTIONS.field(name) for name in CONTRIBUTIONS.names[5:]],
        pa.field("revision", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class Question:
    """What is asked: why a metric of a model is other in one window than in another.

    Attributes
    ----------
    model_name, model_version, role, metric : str
    reference, current : tuple of datetime
        [start, end), UTC: whole hours or days.
    reference_role : str
        That of the reference; ``all`` for any.
    is_same_hours : bool
        Whether the reference is only of the hours of the day that ``current`` has.
    """

    model_name: str
    model_version: str
    role: str
    metric: str
    reference: tuple[datetime, datetime]
    current: tuple[datetime, datetime]
    reference_role: str
    is_same_hours: bool


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
    reference_role: str | None = None,
    is_same_hours: bool = False,
) -> pa.Table:
    """Split the change of any metric between any two windows among slices and pairs of them.

    Parameters
    ----------
    connection : DuckDB connection
        Or a session of a Python model: what has ``sql``.
    model_name, model_version, role, metric : str
        As an alert has them; the metric is one of ``METRICS``.
    reference, current : tuple of datetime
        [start, end), UTC and naive: whole hours of services and corrections, whole days of labels
        and their coverage. Labels count as they were known after the grace of each window.
    relations : mapping of str to relation or str
        Relations of the connection, or names of them: ``RELATIONS`` says of which models.
    reference_role : str, optional
        The role in the reference, ``all`` for any. By default that of now.
    is_same_hours : bool
        Whether the reference is only of the hours of the day that ``current`` has. Of hours.

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
    question = Question(
        model_name, model_version, role, metric, reference, current,
        reference_role or role, is_same_hours,
    )  # fmt: skip
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
            # The baseline of a version may be of the time when it was a shadow.
            reference_role=row["role"] if HOMES[METRICS[row["metric"]].home].step < DAY else "all",
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
    for home in HOMES:
        asked = {n: q for n, q in enumerate(questions) if METRICS[q.metric].home == home}
        rows = _read(connection, home, asked, found) if asked else {}
        for number, question in asked.items():
            tables[number] = _answer(question, rows.get(number, []), bins=bins, settings=settings)
    return [tables[number] for number in range(len(questions))]


def _validate(question: Question) -> None:
    if question.metric not in METRICS:
        raise ValueError(
            f"{question.metric} cannot be split among slices; these can: {', '.join(METRICS)}"
        )
    step = HOMES[METRICS[question.metric].home].step
    for side in SIDES:
        start, end = getattr(question, side)
        if start >= end:
            raise ValueError(f"the {side} must end after it starts, got {start} to {end}")
        if any((moment - datetime(1970, 1, 1)) % step for moment in (start, end)):
            unit = "hours" if step < DAY else "days"
            raise ValueError(f"{question.metric} needs whole {unit}, got {start} to {end}")


def _spans(questions: dict[int, Question], step: timedelta) -> pa.Table:
    """Give each hour or day of each side of each question."""
    rows = []
    for number, question in questions.items():
        hours = {moment.hour for moment in _moments(question.current, step)}
        for side, window in enumerate((question.reference, question.current)):
            role = question.role if side else question.reference_role
            rows += [
                # Labels count as they were known after the grace of the window, as in alerts.
                (number, side, question.model_name, question.model_version, role, moment, window[1])
                for moment in _moments(window, step)
                if side or not question.is_same_hours or moment.hour in hours
            ]
    names = ("question", "side", "model_name", "model_version", "role", "moment", "known_by")
    kinds = (pa.int64(), pa.int64(), *[pa.string()] * 3, *[pa.timestamp("us")] * 2)
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], names=names
    )


def _moments(window: tuple[datetime, datetime], step: timedelta) -> list[datetime]:
    start, end = window
    return [start + step * number for number in range((end - start) // step)]


def _within(column: str, questions: dict[int, Question]) -> str:
    """Give a condition by constants, which DuckDB pushes down to the events."""
    windows = {w for question in questions.values() for w in (question.reference, question.current)}
    return " or ".join(
        f"({column} >= timestamp '{start}' and {column} < timestamp '{end}')"
        for start, end in sorted(windows)
    )


# The names of a pair's sides; a slice has none.
PAIR = ("first_key", "first_value", "second_key", "second_value")
_SLICE = f"question, side, slice_key, slice_value, {', '.join(PAIR)}"


def _read(
    connection: Any, home: str, questions: dict[int, Question], relations: Mapping[str, Any]
) -> dict[int, list[dict[str, Any]]]:
    """Read sums by question: a row for each side and slice or pair."""
    source = HOMES[home]
    spans = _spans(questions, source.step)  # noqa: F841
    # DuckDB finds these by the names of the variables.
    slices = relations[source.relations[0]]  # noqa: F841
    has_pairs = len(source.relations) > 1
    pairs = relations[source.relations[-1]]  # noqa: F841
    condition = _within(source.moment, questions)
    moments = f"""
        select spans.question, spans.side, spans.known_by, moments.*
        from (
            select * from slices where {condition}
            {f"union all by name select * from pairs where {condition}" if has_pairs else ""}
        ) as moments
        inner join spans
            on moments.{source.moment} = spans.moment and moments.model_name = spans.model_name
            and moments.model_version = spans.model_version
            and (spans.role = 'all' or moments.role = spans.role)
    """
    return _by_question(connection.sql(_QUERIES[home](moments)).to_arrow_table())


def _service_query(moments: str) -> str:
    return f"""
        with moments as materialized ({moments}),

        counts as (
            select
                {_SLICE},
                sum(request_count)::bigint as request_count,
                sum(error_count)::bigint as error_count,
                sum(latency_count)::bigint as latency_count,
                coalesce(sum(latency_count) filter (where slow_count is not null), 0)::bigint
                    as judged_count,
                coalesce(sum(slow_count), 0)::bigint as slow_count,
                coalesce(sum(latency_sum), 0)::double as latency_sum
            from moments
            group by all
        ),

        entries as (
            select {_SLICE}, unnest(map_entries(latency_histogram), recursive := true)
            from moments
        ),

        bins as (
            select {_SLICE}, key as bin, sum(value)::bigint as bin_count from entries group by all
        ),

        histograms as (
            select
                {_SLICE}, list(bin order by bin) as bins, list(bin_count order by bin) as bin_counts
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
    """


def _label_query(moments: str) -> str:
    sums = LABEL_COUNTS + LABEL_SUMS
    return f"""
        with bins as (
            select
                {_SLICE}, coalesce(score_bin, -1) as bin,
                {", ".join(f"sum({name})::bigint as {name}" for name in sums)}
            from ({moments})
            where known_on <= known_by and (replaced_on is null or replaced_on > known_by)
            group by all
        )

        select
            {_SLICE}, list(bin order by bin) as bins,
            {", ".join(f"list({name} order by bin) as {name}" for name in sums)}
        from bins
        group by all
    """


def _coverage_query(moments: str) -> str:
    return f"""
        select
            {_SLICE}, sum(prediction_count)::bigint as prediction_count,
            coalesce(sum(labeled_count) filter (where known_on <= known_by), 0)::bigint
                as labeled_count
        from (select *, {", ".join(f"null::varchar as {name}" for name in PAIR)} from ({moments}))
        group by all
    """


def _correction_query(moments: str) -> str:
    return f"""
        select
            {_SLICE}, sum(label_count)::bigint as label_count,
            sum(corrected_label_count)::bigint as corrected_label_count
        from ({moments})
        group by all
    """


_QUERIES = {
    "services": _service_query,
    "labels": _label_query,
    "coverage": _coverage_query,
    "corrections": _correction_query,
}


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
    slices = _slices(rows, metric.home, bins)
    value, size = metric.value(slices.whole)[:, 0], metric.size(slices.whole)[:, 0]
    status = _status(metric, slices.whole, size, settings)
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
    _, zscore, cause_rank, is_distinct = root_causes.cause_ranks(
        parts, wholes, slices.sides, change
    )
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
            "is_distinct": is_distinct,
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


def _status(metric: Metric, whole: Sums, size: np.ndarray, settings: dict[str, Any]) -> str:
    for side, missing in ((1, "no_data"), (0, "no_baseline")):
        if not size[side]:
            return missing
    if metric.home == "labels" and size.min() < settings["min_samples"]:
        return "insufficient_data"
    if metric.is_of_classes:
        least = min(part.sum(axis=-1).min() for part in classes(whole))
        if least < settings["min_samples_per_class"]:
            return "insufficient_data" if least else "single_class"
    return "ok"


# What does not differ between slices.
_CONSTANTS = ("bin_value", "calibration_bin")


def _slices(rows: list[dict[str, Any]], home: str, bins: dict[str, list[int]]) -> Slices:
    count = HOMES[home].counts[0]
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
        sides = tuple(row[name] for name in PAIR)
        if is_part[(sides[0] is not None, row["slice_key"])]:
            about = (sides[0] is not None, row["slice_key"], row["slice_value"], sides)
            found.setdefault(about, {})[row["side"]] = row
    about = sorted(found, key=lambda a: (a[0], a[1], a[2], tuple(part or "" for part in a[3])))
    names = Counter(key[:3] for key in about)
    # Two pairs have one name only where values have " x " in them: nobody could tell them apart.
    unclear = {key for (_, key, _), times in names.items() if times > 1}
    position = {(key, value): n for n, (is_pair, key, value, _) in enumerate(about) if not is_pair}
    kept, sides = [], []
    for is_pair, key, value, of in about:
        ends = (position.get(of[:2], -1), position.get(of[2:], -1)) if is_pair else (-1, -1)
        if not is_pair or (min(ends) >= 0 and key not in unclear):
            kept.append((is_pair, key, value, of))
            sides.append(ends)
    sums = _sums(home, [found[key] for key in kept], rows, bins["coarse"])
    # All slices of one key are the model. Of a model without slices there is its value alone.
    first = [n for n, key in enumerate(kept) if not key[0] and key[1] == kept[0][1]]
    if first:
        whole = {
            name: part if name in _CONSTANTS else part[:, first].sum(axis=1, keepdims=True)
            for name, part in sums.items()
        }
    else:
        alone = {
            row["side"]: row for row in rows if row["slice_key"] == "all" and not row["first_key"]
        }
        whole = _sums(home, [alone], rows, bins["fine"])
    return Slices(
        [(key, value) for _, key, value, _ in kept],
        np.array(sides, np.int64).reshape(-1, 2),
        sums,
        whole,
    )


def _sums(
    home: str,
    found: list[dict[int, dict[str, Any]]],
    rows: list[dict[str, Any]],
    calibration_bins: list[int],
) -> Sums:
    """Lay out the rows of some slices, by side, as arrays; a side without a row is 0."""
    if home == "labels":
        return _label_sums(found, calibration_bins)
    names = HOMES[home].counts
    sums: Sums = {name: np.zeros((2, len(found)), np.int64) for name in names}
    for number, of_sides in enumerate(found):
        for side, row in of_sides.items():
            for name in names:
                sums[name][side, number] = row[name]
    return sums | (_latency_sums(found, rows) if home == "services" else {})


def _latency_sums(found: list[dict[int, dict[str, Any]]], rows: list[dict[str, Any]]) -> Sums:
    filled = [row["bins"] for row in rows if row["bins"]]
    grid = np.unique(np.concatenate([*filled, [0]])).astype(np.int64)
    latency_sum = np.zeros((2, len(found)))
    histogram = np.zeros((2, len(found), len(grid)), np.int64)
    for number, of_sides in enumerate(found):
        for side, row in of_sides.items():
            # The macro latency_unit: 2^-20 ms.
            latency_sum[side, number] = row["latency_sum"] * 2.0**-20
            if row["bins"]:
                places = np.searchsorted(grid, row["bins"])
                histogram[side, number, places] = row["bin_counts"]
    return {"latency_sum": latency_sum, "histogram": histogram, "bin_value": bin_values(grid)}


def _label_sums(found: list[dict[int, dict[str, Any]]], calibration_bins: list[int]) -> Sums:
    # Bins of scores, and one for predictions without any.
    shape = (2, len(found), len(calibration_bins) + 1)
    sums: Sums = {name: np.zeros(shape, np.int64) for name in LABEL_COUNTS}
    sums |= {name: np.zeros(shape) for name in LABEL_SUMS}
    for number, of_sides in enumerate(found):
        for side, row in of_sides.items():
            places = np.asarray(row["bins"])
            for name in LABEL_COUNTS:
                sums[name][side, number, places] = row[name]
            for name in LABEL_SUMS:
                sums[name][side, number, places] = np.array(row[name], float) * UNIT
    return sums | {"calibration_bin": np.array(calibration_bins)}
